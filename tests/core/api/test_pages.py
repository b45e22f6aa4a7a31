"""The browsable pages: a form for every operation, read back into the body that it stands for."""

import html
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import orjson
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from core.access.models import PersonalAPIKey
from core.access.routing import Route
from core.access.sessions import SIGNED_IN_AT
from core.actions.models import Action
from core.api.browsing import CONTENT_SECURITY_POLICY
from core.api.views import ApiViewSet
from core.cohorts.models import Cohort
from core.folders.models import PersistedFolder
from core.persons.ingest import IngestTeam, NewEvent, events_ingest
from core.persons.models import Person
from core.query.status import Status, status_start
from core.roles.models import Role, RoleMembership
from core.routes import routes
from core.tenancy.models import OrganizationMembership, Team
from tests.core.conftest import Cast
from tests.factories import make_key, make_plugin, make_plugin_config
from tests.support.contract import CheckedClient

PROPERTIES = {"bio": "<script>alert(1)</script>", "zip": "00123"}
HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
FORM = re.compile(r"<form id=\"(\w+)-form\".*?</form>", re.DOTALL)
FIELD = re.compile(r"<(?:input|select|textarea) id=\"[^\"]+\" name=\"([^\"]+)\"")
EXTERNAL = re.compile(r"(?:src|href|action)=\"(?:https?:)?//(?!testserver)")
INLINE_SCRIPT = re.compile(
    r"<script(?![^>]*\bsrc=)(?![^>]*type=\"application/json\")|\son\w+=|javascript:", re.IGNORECASE
)


class Browser:
    """A signed-in browser that asks for pages and sends forms."""

    def __init__(self, user: Any) -> None:
        self.client = CheckedClient(raise_request_exception=False)
        self.client.force_login(user)

    def get(self, path: str) -> str:
        return self.text(self.client.get(path, headers={"Accept": HTML}))

    def send(self, method: str, path: str, fields: dict[str, Any], filled: str = "") -> HttpResponse:
        body = encode_multipart(BOUNDARY, {"_html_form": filled, **fields})
        return self.client.generic(method, path, body, MULTIPART_CONTENT, headers={"Accept": HTML})  # type: ignore[return-value]

    @staticmethod
    def text(response: Any) -> str:
        assert response["Content-Type"].startswith("text/html"), response.content
        assert response.status_code < 500, response.content
        return str(response.content.decode())


@pytest.fixture
def browser(cast: Cast) -> Browser:
    return Browser(cast.owner)


@pytest.fixture
def person(cast: Cast) -> Person:
    event = NewEvent(
        event="$set", distinct_id="ann", uuid=uuid4(), timestamp=datetime.now(UTC),
        properties={}, set=PROPERTIES,
    )  # fmt: skip
    events_ingest(team=IngestTeam(cast.team.pk), events=[event])
    return Person.objects.for_team(cast.team.pk).get()


def answer(page: str) -> Any:
    """The JSON that a page shows."""
    found = re.search(r"<pre class=\"answer\">(.*?)</pre>", page, re.DOTALL)
    assert found is not None, page
    return orjson.loads(html.unescape(re.sub(r"</?a[^>]*>", "", found[1])))


def written_routes() -> Iterator[tuple[str, str, Route, type[ApiViewSet]]]:
    """Each route and method that takes a body, but for those that always answer 405."""
    for route, viewset, actions in routes():
        for method, name in actions.items():
            refused = getattr(getattr(viewset, name), "refused", False)
            if method in {"post", "put", "patch"} and not refused:
                yield method, route.template, route, viewset


@pytest.fixture
def address(cast: Cast, person: Person, clickhouse: object) -> Callable[[str], str]:
    """Fill a route's template with objects that exist."""
    key = make_key(cast.owner)
    role = Role.objects.create(organization=cast.organization, name="Support", created_by=cast.owner)
    member = OrganizationMembership.objects.get(user=cast.member)
    membership = RoleMembership.objects.create(role=role, user=cast.member, organization_member=member)
    assert cast.as_owner()("DELETE", f"/api/projects/{cast.other_team.pk}/").status_code == 204
    everything = {"methods": ["onEvent", "processEvent"], "scheduled_tasks": ["runEveryDay"]}
    plugin = make_plugin(cast.organization, capabilities=everything)
    config = make_plugin_config(cast.team, plugin)
    app = make_plugin_config(cast.team)
    # The same place in the URL is a kind to POST, and an id to GET.
    status = Status("DatabaseSchemaQuery", cast.team.pk, cache_key="", start_time=datetime.now(UTC))
    status_start(status, again=True)
    folder = PersistedFolder.unscoped.create(team_id=cast.team.pk, user=cast.owner, type="home")
    ids = {
        "plugins": plugin.pk,
        "plugin_configs": config.pk,
        "pipeline_destination_configs": config.pk,
        "pipeline_transformation_configs": config.pk,
        "pipeline_import_apps_configs": config.pk,
        "pipeline_frontend_apps_configs": app.pk,
        "persisted_folder": folder.pk,
        "deleted_projects": cast.other_team.pk,
        "persons": person.pk,
        "actions": Action.unscoped.create(team_id=cast.team.pk, name="a", created_by=cast.owner).pk,
        "cohorts": Cohort.unscoped.create(team_id=cast.team.pk, name="c", is_static=True, created_by=cast.owner).pk,
        "query": "DatabaseSchemaQuery",
        "projects": cast.team.pk,
        "environments": cast.team.pk,
        "organizations": cast.organization.pk,
        "members": cast.member.uuid,
        "roles": role.pk,
        "role_memberships": membership.pk,
        "users": "@me",
        "personal_api_keys": PersonalAPIKey.objects.get(mask_value=f"{key[:4]}...{key[-4:]}").pk,
    }

    def fill(template: str) -> str:
        return re.sub(r"(\w+)/\{\w+\}", lambda found: f"{found[1]}/{ids[found[1]]}", template)

    return fill


def test_every_operation_with_a_body_has_a_form(browser: Browser, address: Callable[[str], str]) -> None:
    seen = 0
    pages: dict[str, str] = {}
    for method, template, route, viewset in written_routes():
        path = address(route.template)
        page = pages[template] = pages.get(template) or browser.get(path)
        buttons = [found for found in FORM.finditer(page) if f">{method.upper()}</button>" in found[0]]
        assert len(buttons) == 1, (method, template, page)
        name = {"put": "update", "patch": "partial_update", "post": "create"}.get(method)
        assert 'name="_html_form"' in buttons[0][0]
        assert FIELD.search(buttons[0][0]) or "takes no fields" in buttons[0][0], (method, template, viewset, name)
        seen += 1
    assert seen > 40


def test_pages_stay_on_this_server(browser: Browser, address: Callable[[str], str]) -> None:
    for route, _, actions in routes():
        response = browser.client.get(address(route.template), headers={"Accept": HTML})
        if route.template.endswith("/frontend/"):
            assert response["Content-Type"].startswith("application/javascript")
            continue
        page = browser.text(response)
        assert response.status_code < 404 or "get" not in actions or response.status_code == 400, (route.template, page)
        assert response["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
        assert EXTERNAL.search(page) is None, route.template
        assert INLINE_SCRIPT.search(re.sub(r"<pre.*?</pre>|<textarea.*?</textarea>", "", page, flags=re.DOTALL)) is None


def test_lists_lead_to_their_objects_and_to_the_pages_below(browser: Browser, cast: Cast, person: Person) -> None:
    page = browser.get(f"/api/projects/{cast.team.pk}/persons/")
    assert f'href="/api/projects/{cast.team.pk}/persons/{person.uuid}/"' in page
    for name in ("values", "bulk_delete", "properties_at_time"):
        assert f'href="/api/projects/{cast.team.pk}/persons/{name}/"' in page
    page = browser.get(f"/api/organizations/{cast.organization.pk}/")
    for name in ("projects", "members", "roles"):
        assert f'href="/api/organizations/{cast.organization.pk}/{name}/"' in page
    page = browser.get(f"/api/projects/{cast.team.pk}/persons/?limit=1&personal_api_key=")
    assert 'name="search" type="text" value=""' in page
    assert 'name="limit" type="text" value="1"' in page


def test_a_key_in_the_address_is_not_repeated(cast: Cast) -> None:
    client = CheckedClient()
    response = client.get(f"/api/projects/{cast.team.pk}/?personal_api_key={cast.owner_key}", headers={"Accept": HTML})
    assert response.status_code == 200
    assert cast.owner_key not in response.content.decode()


def test_what_callers_stored_is_text_in_a_page(browser: Browser, cast: Cast, person: Person) -> None:
    cast.team.name = '"><img src=x onerror=alert(1)>'
    Team.objects.filter(pk=cast.team.pk).update(name=cast.team.name)
    for path in (f"/api/projects/{cast.team.pk}/persons/{person.pk}/", f"/api/projects/{cast.team.pk}/", "/api/"):
        page = browser.get(path)
        assert "<script>alert" not in page
        assert "<img" not in page
    assert answer(browser.get(f"/api/projects/{cast.team.pk}/"))["name"] == cast.team.name


def test_members_get_only_the_forms_that_they_may_use(cast: Cast) -> None:
    browser = Browser(cast.member)
    page = browser.get(f"/api/projects/{cast.team.pk}/reset_token/")
    assert FORM.search(page) is None
    assert 'data-method="DELETE"' not in browser.get(f"/api/projects/{cast.team.pk}/")
    assert 'data-method="DELETE"' in Browser(cast.owner).get(f"/api/projects/{cast.team.pk}/")
    page = browser.get(f"/api/projects/{cast.outside_team.pk}/")
    assert FORM.search(page) is None


def test_property_values_keep_their_json_type(browser: Browser, cast: Cast, person: Person) -> None:
    path = f"/api/projects/{cast.team.pk}/persons/{person.pk}"
    for text, value in (("12", 12), ('"12"', "12"), ("true", True), ('{"a": [1]}', {"a": [1]}), ("00123", "00123")):
        response = browser.send("POST", f"{path}/update_property/", {"key": "x", "value": text})
        assert answer(browser.text(response))["properties"]["x"] == value
    # Forms of programs have no mark, and stay text.
    plain = browser.client.post(f"{path}/update_property/", {"key": "x", "value": "12"})
    assert plain.json()["properties"]["x"] == "12"
    gone = browser.send("POST", f"{path}/delete_property/", {"$unset": '["x", "bio"]'})
    assert set(answer(browser.text(gone))["properties"]) & {"x", "bio", "zip"} == {"zip"}
    gone = browser.send("POST", f"{path}/delete_property/", {"$unset": "zip"})
    assert "zip" not in answer(browser.text(gone))["properties"]


def test_changes_of_a_person_start_from_what_is_there(browser: Browser, cast: Cast, person: Person) -> None:
    path = f"/api/projects/{cast.team.pk}/persons/{person.pk}/"
    page = browser.get(path)
    shown = re.search(r"name=\"properties\".*?>\n(.*?)</textarea>", page, re.DOTALL)
    assert shown is not None
    assert orjson.loads(html.unescape(shown[1]))["zip"] == "00123"
    assert '<input type="hidden" name="_html_form" value="properties">' in page
    for method in ("PATCH", "PUT"):
        response = browser.send(method, path, {"properties": f'{{"by": "{method}"}}'}, filled="properties")
        assert answer(browser.text(response))["properties"]["by"] == method


def test_lists_are_lines_words_or_json(browser: Browser, cast: Cast) -> None:
    form = {"label": "lines", "scopes": "person:read\r\nperson:write, user:read", "scoped_teams": f"{cast.team.pk}"}
    response = browser.send("POST", "/api/personal_api_keys/", {**form, "scoped_organizations": ""})
    assert response.status_code == 201
    made = answer(browser.text(response))
    assert made["scopes"] == ["person:read", "person:write", "user:read"]
    assert (made["scoped_teams"], made["scoped_organizations"]) == ([cast.team.pk], [])
    assert made["value"].startswith("phx_")
    path = f"/api/personal_api_keys/{made['id']}/"
    assert made["value"] not in browser.get(path) + browser.get("/api/personal_api_keys/")
    changed = browser.send("PATCH", path, {"label": "lines", "scopes": '["*"]'}, filled="label scopes scoped_teams")
    assert answer(browser.text(changed))["scopes"] == ["*"]


def test_cohorts_take_a_file_and_filters(browser: Browser, cast: Cast, person: Person) -> None:
    path = f"/api/projects/{cast.team.pk}/cohorts/"
    file = SimpleUploadedFile("members.csv", b"ann\n", content_type="text/csv")
    response = browser.send("POST", path, {"name": "list", "is_static": "true", "filters": "", "csv": file})
    assert response.status_code == 201, response.content
    assert answer(browser.text(response))["is_static"] is True
    filters = {"properties": {"type": "AND", "values": [{"type": "person", "key": "zip", "value": "1"}]}}
    response = browser.send("POST", path, {"name": "found", "filters": orjson.dumps(filters).decode(), "is_static": ""})
    made = answer(browser.text(response))
    assert (response.status_code, made["is_static"]) == (201, False)
    response = browser.send(
        "POST", f"{path}{answer(browser.get(path))['results'][1]['id']}/add_persons_to_static_cohort/",
        {"person_ids": f"{person.uuid}, {uuid4()}"},
    )  # fmt: skip
    assert answer(browser.text(response)) == {"success": True}
    assert 'type="file"' in browser.get(path)


def test_a_refused_form_keeps_the_page_and_what_was_typed(browser: Browser, cast: Cast) -> None:
    path = f"/api/projects/{cast.team.pk}/cohorts/"
    response = browser.send("POST", path, {"name": "kept <name>", "filters": "{oops"})
    page = browser.text(response)
    assert response.status_code == 400
    assert answer(page)["attr"] == "filters"
    refused = re.search(r"<div class=\"field refused\">(.*?)</div>\s*</div>", page, re.DOTALL)
    assert refused is not None
    assert 'name="filters"' in refused[1]
    assert "{oops" in refused[1]
    assert "Value must be valid JSON." in refused[1]
    assert 'value="kept &lt;name&gt;"' in page
    response = browser.send("POST", "/api/personal_api_keys/", {"label": "", "scopes": "person:fly"})
    assert "This field may not be blank." in browser.text(response)
    assert PersonalAPIKey.objects.filter(user=cast.owner).count() == 1


def test_a_refused_body_keeps_the_raw_text(browser: Browser, cast: Cast) -> None:
    path = f"/api/projects/{cast.team.pk}/cohorts/"
    for body in ('{"name": 5}', '{"name": ', "[" * 300 + "]" * 300):
        response = browser.client.generic("POST", path, body, "application/json", headers={"Accept": HTML})
        page = browser.text(response)
        assert response.status_code == 400
        assert html.escape(body) in page


def test_emptied_fields_are_cleared_and_untouched_ones_stay(browser: Browser, cast: Cast) -> None:
    path = f"/api/projects/{cast.team.pk}/"
    Team.objects.filter(pk=cast.team.pk).update(person_display_name_properties=["email"], week_start_day=1)
    empty = {"name": cast.team.name, "person_display_name_properties": "", "week_start_day": ""}
    filled = "name person_display_name_properties week_start_day"
    changed = answer(browser.text(browser.send("PATCH", path, empty, filled=filled)))
    assert (changed["person_display_name_properties"], changed["week_start_day"]) == (None, None)
    Team.objects.filter(pk=cast.team.pk).update(week_start_day=1)
    changed = answer(browser.text(browser.send("PATCH", path, empty, filled="name")))
    assert changed["week_start_day"] == 1


def test_a_whole_project_shown_and_sent_back_is_unchanged(browser: Browser, cast: Cast) -> None:
    path = f"/api/projects/{cast.team.pk}/"
    page = browser.get(path)
    before = answer(page)
    form = next(found[0] for found in FORM.finditer(page) if found[1] == "patch")
    fields: dict[str, Any] = {}
    for name, value in re.findall(r"<input id=\"[^\"]+\" name=\"([^\"]+)\"[^>]*?value=\"([^\"]*)\"", form):
        fields[name] = html.unescape(value)
    for name, value in re.findall(
        r"<textarea id=\"[^\"]+\" name=\"([^\"]+)\"[^>]*>\n(.*?)</textarea>", form, re.DOTALL
    ):
        fields[name] = html.unescape(value).replace("\n", "\r\n")
    for name, options in re.findall(r"<select id=\"[^\"]+\" name=\"([^\"]+)\">(.*?)</select>", form, re.DOTALL):
        chosen = re.search(r"value=\"([^\"]*)\" selected", options)
        fields[name] = html.unescape(chosen[1]) if chosen else ""
    assert len(fields) > 30
    filled = re.search(r"name=\"_html_form\" value=\"([^\"]*)\"", form)
    assert filled is not None
    for method in ("PATCH", "PUT"):
        response = browser.send(method, path, fields, filled=filled[1])
        assert response.status_code == 200, response.content
        after = answer(browser.text(response))
        assert {name: value for name, value in after.items() if before[name] != value and name != "updated_at"} == {}


def signed_in_before(browser: Browser, seconds: int) -> None:
    session = browser.client.session
    session[SIGNED_IN_AT] -= seconds
    session.save()


def notice(page: str) -> str:
    """The text of the notice that asks for a new sign-in; empty where there is none."""
    found = re.search(r"<p class=\"note\" id=\"sign-in-again\">(.*?)</p>", page, re.DOTALL)
    return html.unescape(found[1]) if found else ""


def test_pages_tell_sessions_of_before_to_sign_in_again(browser: Browser, cast: Cast, settings: Any) -> None:
    sensitive = (f"/api/organizations/{cast.organization.pk}/roles/?limit=5", "/api/personal_api_keys/")
    assert [notice(browser.get(path)) for path in sensitive] == ["", ""]
    signed_in_before(browser, 2 * 3600 + 60)
    for path in sensitive:
        page = browser.get(path)
        assert FORM.search(page) is None
        assert notice(page).startswith("You signed in more than 2 hours ago.")
        assert f'<a href="/login/?next={quote(path, safe="")}">Sign in again</a>' in notice(page)
    settings.SESSION_SENSITIVE_ACTIONS_AGE = 90
    assert "more than 90 seconds ago" in notice(browser.get(sensitive[1]))
    # Neither what no old session is refused, nor what this user may not do at any time.
    assert notice(browser.get(f"/api/projects/{cast.team.pk}/cohorts/")) == ""
    assert FORM.search(browser.get("/api/organizations/")) is not None
    member = Browser(cast.member)
    signed_in_before(member, 3 * 3600)
    assert notice(member.get(sensitive[0])) == ""
    assert notice(browser.get(f"/api/organizations/{cast.organization.pk}/roles/{uuid4()}/")) == ""


def test_a_form_that_came_too_late_keeps_what_was_typed(browser: Browser, cast: Cast) -> None:
    path = f"/api/organizations/{cast.organization.pk}/roles/"
    role = Role.objects.create(organization=cast.organization, name="Support", created_by=cast.owner)
    signed_in_before(browser, 3 * 3600)
    for method, place in (("POST", path), ("PATCH", f"{path}{role.pk}/"), ("PUT", f"{path}{role.pk}/")):
        response = browser.send(method, place, {"name": "typed <name>"}, filled="name")
        page = browser.text(response)
        assert (response.status_code, answer(page)["code"]) == (403, "sensitive_action_required_reauth")
        assert f'<a href="/login/?next={quote(place, safe="")}" target="_blank">' in notice(page)
        assert 'value="typed &lt;name&gt;"' in page
        assert '<input type="hidden" name="_html_form" value="name">' in page
    for given in ('{"name": "raw <name>"}', '["<name>"]'):
        response = browser.client.generic("POST", path, given, "application/json", headers={"Accept": HTML})
        page = browser.text(response)
        assert (response.status_code, bool(notice(page))) == (403, True)
        assert html.escape(given) in page
    page = browser.text(browser.client.delete(f"{path}{role.pk}/", headers={"Accept": HTML}))
    assert notice(page)
    assert FORM.search(page) is None
    assert [one.name for one in Role.objects.all()] == ["Support"]


def test_the_delete_dialog_says_what_and_with_what_effect(browser: Browser, cast: Cast, person: Person) -> None:
    Team.objects.filter(pk=cast.team.pk).update(name="Shop <b>1</b>")
    for path in (
        f"/api/projects/{cast.team.pk}/",
        f"/api/environments/{cast.team.pk}/",
        f"/api/organizations/{cast.organization.pk}/projects/{cast.team.pk}/",
    ):
        dialog = dialog_of(browser.get(path))
        assert f"Delete <b>Shop &lt;b&gt;1&lt;/b&gt;</b>, <code>{path}</code>?" in dialog
        assert "all its persons, events and recordings are erased and cannot be restored" in dialog
    dialog = dialog_of(browser.get(f"/api/organizations/{cast.organization.pk}/"))
    assert "Delete <b>Acme</b>" in dialog
    assert "All persons, events and recordings of these are erased and cannot be restored." in dialog
    dialog = dialog_of(browser.get(f"/api/projects/{cast.team.pk}/persons/{person.uuid}/"))
    assert "Delete <b>ann</b>" in dialog


def dialog_of(page: str) -> str:
    found = re.search(r"<dialog id=\"delete-dialog\">.*?</dialog>", page, re.DOTALL)
    assert found is not None, page
    return found[0]


def test_the_page_of_a_new_key_says_that_its_value_is_shown_once(browser: Browser) -> None:
    form = {"label": "mine", "scopes": "*"}
    made = browser.text(browser.send("POST", "/api/personal_api_keys/", form))
    assert 'id="shown-once"' in made
    path = f"/api/personal_api_keys/{answer(made)['id']}/"
    rolled = browser.text(browser.send("POST", f"{path}roll/", {}))
    assert answer(rolled)["value"].startswith("phx_")
    assert 'id="shown-once"' in rolled
    refused = browser.text(browser.send("POST", "/api/personal_api_keys/", {**form, "label": ""}))
    changed = browser.text(browser.send("PATCH", path, form))
    assert 'id="shown-once"' not in refused + changed + browser.get(path) + browser.get("/api/personal_api_keys/")


def test_forms_need_the_csrf_token(cast: Cast) -> None:
    browser = Browser(cast.owner)
    browser.client.handler.enforce_csrf_checks = True
    path = f"/api/organizations/{cast.organization.pk}/roles/"
    token = re.search(r"name=\"csrfmiddlewaretoken\" value=\"(\w+)\"", browser.get(path))
    assert token is not None
    assert browser.send("POST", path, {"name": "Support"}).status_code == 403
    made = browser.send("POST", path, {"name": "Support", "csrfmiddlewaretoken": token[1]})
    assert made.status_code == 201, made.content
    assert answer(browser.text(made))["name"] == "Support"
