from functools import partial
from typing import Any

import orjson
import pytest

from core.access.models import PersonalAPIKey, hash_key_value
from core.activity.models import ActivityLog
from core.projects.deleting import projects_delete
from core.tenancy.models import OrganizationMembership
from tests.core.conftest import Cast
from tests.core.http import Caller, parsed, problem
from tests.factories import make_key
from tests.support.at_once import at_once
from tests.support.contract import CheckedClient

KEYS = "/api/personal_api_keys"
UNSUPPORTED = "This action does not support Personal API Key access"
FIELDS = {
    "id", "label", "value", "mask_value", "created_at", "last_used_at", "last_rolled_at", "user_id", "scopes",
    "scoped_teams", "scoped_organizations",
}  # fmt: skip


@pytest.fixture
def browser(cast: Cast) -> CheckedClient:
    client = CheckedClient(raise_request_exception=False)
    client.force_login(cast.owner)
    return client


def send(browser: CheckedClient, method: str, path: str, body: Any = None) -> Any:
    return browser.generic(method, path, orjson.dumps(body or {}), content_type="application/json")


def test_key_is_made_and_works(cast: Cast, browser: CheckedClient) -> None:
    body = {"label": "ci", "scopes": ["person:read", "user:read"], "scoped_teams": [cast.team.pk]}
    response = send(browser, "POST", f"{KEYS}/", body)
    assert response.status_code == 201
    made = parsed(response)
    assert set(made) == FIELDS
    assert made["value"].startswith("phx_")
    assert made["mask_value"] == f"{made['value'][:4]}...{made['value'][-4:]}"
    assert (made["scopes"], made["scoped_teams"], made["scoped_organizations"]) == (
        body["scopes"], [cast.team.pk], [],
    )  # fmt: skip
    assert PersonalAPIKey.objects.get(pk=made["id"]).secure_value == hash_key_value(made["value"])
    assert Caller(made["value"]).get("/api/users/@me/").status_code == 200
    listed = parsed(browser.get(KEYS))
    assert listed[0]["id"] == made["id"]
    assert {item["value"] for item in listed} == {None}
    assert parsed(browser.get(f"{KEYS}/{made['id']}"))["value"] is None


@pytest.mark.parametrize(
    ("change", "code", "detail", "attr"),
    [
        ({"scopes": ["person:fly"]}, "invalid_input", "Invalid scope: person:fly", "scopes"),
        ({"scopes": ["a:b:c"]}, "invalid_input", "Invalid scope: a:b:c", "scopes"),
        ({"scopes": []}, "empty", "This list may not be empty.", "scopes"),
        ({"scopes": None}, "null", "This field may not be null.", "scopes"),
        ({"label": "x" * 41}, "max_length", "Ensure this field has no more than 40 characters.", "label"),
        ({"label": ""}, "blank", "This field may not be blank.", "label"),
        (
            {"scoped_teams": [10**9]},
            "invalid_input",
            "You must be a member of all teams that you are scoping the key to.",
            "scoped_teams",
        ),
        ({"scoped_organizations": ["x"]}, "invalid_input", "Invalid organization UUID", "scoped_organizations"),
        (
            {"scoped_organizations": ["00000000-0000-4000-8000-000000000000"]},
            "invalid_input",
            "You must be a member of all organizations that you are scoping the key to.",
            "scoped_organizations",
        ),
    ],
)
def test_wrong_wishes_are_refused(
    browser: CheckedClient, change: dict[str, Any], code: str, detail: str, attr: str
) -> None:
    response = send(browser, "POST", KEYS, {"label": "ci", "scopes": ["*"], **change})
    assert problem(response) == (400, "validation_error", code, detail, attr)


def test_projects_of_others_cannot_be_named(cast: Cast, browser: CheckedClient) -> None:
    response = send(browser, "POST", KEYS, {"label": "ci", "scopes": ["*"], "scoped_teams": [cast.outside_team.pk]})
    assert problem(response)[4] == "scoped_teams"


def test_eleventh_key_is_refused(cast: Cast, browser: CheckedClient) -> None:
    for _ in range(9):
        make_key(cast.owner)
    expected = "You can only have 10 personal API keys. Remove an existing key before creating a new one."
    response = send(browser, "POST", KEYS, {"label": "ci", "scopes": ["*"]})
    assert problem(response) == (400, "validation_error", "invalid_input", expected, None)


def test_rolled_key_keeps_everything_but_its_value(cast: Cast, browser: CheckedClient) -> None:
    value = make_key(cast.owner, scopes=["user:read"])
    before = PersonalAPIKey.objects.get(secure_value=hash_key_value(value))
    rolled = parsed(send(browser, "POST", f"{KEYS}/{before.pk}/roll"))
    assert rolled["id"] == before.pk
    assert rolled["scopes"] == ["user:read"]
    assert rolled["last_rolled_at"]
    assert rolled["value"] != value
    assert Caller(value).get("/api/users/@me/").status_code == 401
    assert Caller(rolled["value"]).get("/api/users/@me/").status_code == 200


def test_key_can_be_changed_and_deleted(cast: Cast, browser: CheckedClient) -> None:
    value = make_key(cast.owner)
    key = PersonalAPIKey.objects.get(secure_value=hash_key_value(value))
    changed = parsed(send(browser, "PATCH", f"{KEYS}/{key.pk}/", {"label": "new", "scopes": ["user:read"]}))
    assert (changed["label"], changed["scopes"], changed["value"]) == ("new", ["user:read"], None)
    assert problem(send(browser, "PUT", f"{KEYS}/{key.pk}/", {"label": "new"}))[2:] == (
        "required", "This field is required.", "scopes",
    )  # fmt: skip
    assert send(browser, "DELETE", f"{KEYS}/{key.pk}").status_code == 204
    assert Caller(value).get("/api/users/@me/").status_code == 401


def test_keys_of_others_are_not_there(cast: Cast, browser: CheckedClient) -> None:
    key = PersonalAPIKey.objects.get(user=cast.member)
    for method, path in (("GET", ""), ("PATCH", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/roll")):
        for name in (key.pk, "none", "%00", "x" * 500):
            assert problem(send(browser, method, f"{KEYS}/{name}{path}"))[0] == 404
    assert problem(browser.get(f"{KEYS}/@current"))[0] == 404


def test_key_sees_only_itself(cast: Cast) -> None:
    value = make_key(cast.owner, scopes=["person:read"], scoped_teams=[cast.team.pk])
    other = PersonalAPIKey.objects.exclude(secure_value=hash_key_value(value)).filter(user=cast.owner).get()
    caller = Caller(value)
    own = parsed(caller.get(f"{KEYS}/@current"))
    assert (own["scopes"], own["scoped_teams"], own["value"]) == (["person:read"], [cast.team.pk], None)
    assert parsed(caller.get(f"{KEYS}/{own['id']}/"))["id"] == own["id"]
    refused = (403, "authentication_error", "permission_denied", UNSUPPORTED, None)
    assert problem(caller.get(f"{KEYS}/{other.pk}")) == refused
    for method, path in (
        ("GET", ""),
        ("POST", ""),
        ("PATCH", "/@current"),
        ("DELETE", "/@current"),
        ("POST", "/@current/roll"),
    ):
        assert problem(caller(method, f"{KEYS}{path}", {})) == refused


def test_what_happens_to_keys_is_logged_per_organization(cast: Cast, browser: CheckedClient) -> None:
    made = parsed(send(browser, "POST", KEYS, {"label": "ci", "scopes": ["person:read"]}))
    send(browser, "PATCH", f"{KEYS}/{made['id']}", {"label": "new"})
    send(browser, "PATCH", f"{KEYS}/{made['id']}", {"label": "new"})
    send(browser, "DELETE", f"{KEYS}/{made['id']}")
    entries = list(ActivityLog.objects.filter(scope="PersonalAPIKey", item_id=made["id"]).order_by("created_at"))
    assert [entry.activity for entry in entries] == ["created", "updated", "deleted"]
    assert {entry.organization_id for entry in entries} == {cast.organization.pk}
    assert entries[1].detail["changes"] == [
        {"type": "PersonalAPIKey", "action": "changed", "field": "label", "before": "ci", "after": "new"}
    ]
    assert made["value"] not in orjson.dumps([entry.detail for entry in entries]).decode()


def test_whole_keys_can_be_sent_back(cast: Cast, browser: CheckedClient) -> None:
    made = parsed(send(browser, "POST", KEYS, {"label": "ci", "scopes": ["*"], "scoped_teams": [cast.team.pk]}))
    shown = parsed(browser.get(f"{KEYS}/{made['id']}"))
    assert parsed(send(browser, "PUT", f"{KEYS}/{made['id']}", {**shown, "user_id": 1, "mask_value": "x"})) == shown
    assert parsed(send(browser, "PATCH", f"{KEYS}/{made['id']}", {})) == shown
    assert Caller(made["value"]).get("/api/users/@me/").status_code == 200
    assert ActivityLog.objects.filter(scope="PersonalAPIKey").count() == 1


def test_a_key_of_a_deleted_project_can_be_sent_back_but_no_other_gets_it(cast: Cast, browser: CheckedClient) -> None:
    key_id = PersonalAPIKey.objects.get(user=cast.owner).pk
    PersonalAPIKey.objects.filter(pk=key_id).update(scoped_teams=[cast.team.pk])
    projects_delete(organization_id=cast.organization.pk, team_ids=[cast.team.pk], user_id=None)
    path = f"/api/personal_api_keys/{key_id}/"
    whole = {**parsed(browser.get(path)), "label": "renamed"}
    answer = parsed(browser.patch(path, whole, content_type="application/json"))
    assert (answer["label"], answer["scoped_teams"]) == ("renamed", [cast.team.pk])
    wish = {"label": "new", "scopes": ["*"], "scoped_teams": [cast.team.pk]}
    refused = browser.post("/api/personal_api_keys/", wish, content_type="application/json")
    assert problem(refused)[4] == "scoped_teams"


def test_restrictions_can_be_lifted(cast: Cast, browser: CheckedClient) -> None:
    wanted = {
        "label": "ci",
        "scopes": ["*", "*"],
        "scoped_teams": [cast.team.pk],
        "scoped_organizations": [str(cast.organization.pk).upper()],
    }
    made = parsed(send(browser, "POST", KEYS, wanted))
    assert (made["scopes"], made["scoped_organizations"]) == (["*"], [str(cast.organization.pk)])
    url = f"{KEYS}/{made['id']}"
    assert parsed(send(browser, "PATCH", url, {"scoped_teams": None}))["scoped_teams"] == []
    assert parsed(send(browser, "PATCH", url, {"scoped_organizations": []}))["scoped_organizations"] == []


def test_keys_are_made_and_changed_with_forms(cast: Cast, browser: CheckedClient) -> None:
    form = partial(browser.generic, content_type="application/x-www-form-urlencoded")
    body = f"label=ci&scopes=person:read&scopes=user:read&scoped_teams={cast.team.pk}&scoped_organizations="
    made = parsed(form("POST", KEYS, body))
    assert (made["scopes"], made["scoped_teams"]) == (["person:read", "user:read"], [cast.team.pk])
    changed = parsed(form("PATCH", f"{KEYS}/{made['id']}", "scoped_teams="))
    assert (changed["scopes"], changed["scoped_teams"]) == (made["scopes"], [])
    assert problem(form("PATCH", f"{KEYS}/{made['id']}", "scopes="))[2] == "empty"


@pytest.mark.parametrize(
    "change",
    [
        {"label": None},
        {"label": "a\x00b"},
        {"label": ["x"]},
        {"scopes": "*"},
        {"scopes": {"a": 1}},
        {"scopes": [None]},
        {"scopes": [["*"]]},
        {"scopes": ["x" * 101]},
        {"scopes": ["person:read\x00"]},
        {"scoped_teams": "x"},
        {"scoped_teams": [None]},
        {"scoped_teams": [10**18]},
        {"scoped_teams": ["1e3"]},
        {"scoped_organizations": [1]},
        {"scoped_organizations": [None]},
        {"scoped_organizations": ["\x00"]},
    ],
)
def test_malformed_values_are_refused_and_change_nothing(browser: CheckedClient, change: dict[str, Any]) -> None:
    made = parsed(send(browser, "POST", KEYS, {"label": "ci", "scopes": ["*"]}))
    before = PersonalAPIKey.objects.filter(pk=made["id"]).values().get()
    for method, path in (("POST", KEYS), ("PUT", f"{KEYS}/{made['id']}"), ("PATCH", f"{KEYS}/{made['id']}")):
        refused = problem(send(browser, method, path, {"label": "new", "scopes": ["*"], **change}))
        assert refused[:2] == (400, "validation_error")
        assert (refused[4] or "").partition("__")[0] == next(iter(change))
    assert PersonalAPIKey.objects.filter(pk=made["id"]).values().get() == before


def test_an_organization_that_was_left_is_told_nothing_more(cast: Cast, browser: CheckedClient) -> None:
    membership = OrganizationMembership.objects.create(user=cast.owner, organization=cast.outside, level=1)
    both = [str(cast.organization.pk), str(cast.outside.pk)]
    made = parsed(send(browser, "POST", KEYS, {"label": "ci", "scopes": ["*"], "scoped_organizations": both}))
    url = f"{KEYS}/{made['id']}"
    send(browser, "PATCH", url, {"scoped_organizations": both[:1]})
    send(browser, "PATCH", url, {"scoped_organizations": both})
    membership.delete()
    send(browser, "PATCH", url, {"label": "private"})
    send(browser, "POST", f"{url}/roll")
    told = ActivityLog.objects.filter(scope="PersonalAPIKey", item_id=made["id"]).order_by("created_at")
    assert told.filter(organization_id=cast.organization.pk).count() == 5
    outside = told.filter(organization_id=cast.outside.pk)
    assert [entry.activity for entry in outside] == ["created", "updated", "updated"]
    assert "private" not in orjson.dumps([entry.detail for entry in outside]).decode()


def test_a_key_of_a_former_member_reaches_nothing_there(cast: Cast) -> None:
    caller = Caller(make_key(cast.member, scoped_teams=[cast.team.pk]))
    assert caller.get(f"/api/projects/{cast.team.pk}/persons/").status_code == 200
    OrganizationMembership.objects.filter(user=cast.member).delete()
    refused = problem(caller.get(f"/api/projects/{cast.team.pk}/persons/"))
    assert refused[:1] + refused[3:4] == (403, "You don't have access to the project.")


@pytest.mark.django_db(transaction=True)
def test_of_many_requests_at_once_ten_get_a_key(cast: Cast) -> None:
    client = CheckedClient(raise_request_exception=False)
    client.force_login(cast.owner)
    cookies = client.cookies

    def make() -> int:
        own = CheckedClient(raise_request_exception=False)
        own.cookies = cookies
        return int(send(own, "POST", KEYS, {"label": "ci", "scopes": ["*"]}).status_code)

    assert sorted(at_once(*[make] * 12)) == [201] * 9 + [400] * 3
    assert PersonalAPIKey.objects.filter(user=cast.owner).count() == 10


@pytest.mark.django_db(transaction=True)
def test_a_key_that_is_changed_rolled_and_deleted_at_once(cast: Cast) -> None:
    client = CheckedClient(raise_request_exception=False)
    client.force_login(cast.owner)
    for _ in range(5):
        key = PersonalAPIKey.objects.get(secure_value=hash_key_value(make_key(cast.owner)))

        def ask(method: str, path: str, key: PersonalAPIKey = key) -> int:
            own = CheckedClient(raise_request_exception=False)
            own.cookies = client.cookies
            return int(send(own, method, f"{KEYS}/{key.pk}{path}", {"label": "new"}).status_code)

        changed, rolled, deleted = at_once(
            partial(ask, "PATCH", ""), partial(ask, "POST", "/roll"), partial(ask, "DELETE", "")
        )
        assert (changed in {200, 404}, rolled in {200, 404}, deleted) == (True, True, 204)
