"""Making, changing and deleting organizations over HTTP."""

from typing import Any
from urllib.parse import urlencode

import orjson
import pytest

from core.activity.models import ActivityLog
from core.deletions.models import DeletionRequest
from core.roles.models import Role
from core.tenancy.models import Organization, OrganizationMembership, Team, User
from tests.core.conftest import Cast
from tests.core.http import Caller, parsed, problem
from tests.factories import make_key, make_user

LIST = "/api/organizations/"
ONE = "/api/organizations/@current/"
LOW = (403, "authentication_error", "permission_denied", "Your organization access level is insufficient.", None)
UNKNOWN = "01890a5d-ac96-774b-bcce-b302099a8057"


def entries(organization: Any, scope: str = "Organization") -> list[tuple[str, Any]]:
    found = ActivityLog.objects.filter(organization_id=organization, scope=scope).order_by("created_at", "id")
    return [(entry.activity, entry.detail["changes"]) for entry in found]


def admin_of(cast: Cast) -> Caller:
    return Caller(make_key(make_user(cast.organization, level=8)))


def test_whoever_makes_an_organization_owns_it_and_works_with_it(cast: Cast) -> None:
    caller = cast.as_member()
    response = caller("POST", LIST, {"name": " Neu GmbH ", "enforce_2fa": True, "slug": "mine", "id": UNKNOWN})
    assert response.status_code == 201
    made = parsed(response)
    assert (made["name"], made["slug"], made["membership_level"], made["member_count"]) == (
        "Neu GmbH",
        "neu-gmbh",
        15,
        1,
    )
    assert (made["enforce_2fa"], made["members_can_invite"], made["default_role_id"]) == (True, True, None)
    assert [project["name"] for project in made["projects"]] == ["Default project"]
    me = parsed(caller.get("/api/users/@me/"))
    assert (me["organization"]["id"], me["team"]["id"]) == (made["id"], made["projects"][0]["id"])
    assert parsed(caller.get(f"{LIST}{made['id']}/")) == made
    assert entries(made["id"]) == [("created", None)]
    assert entries(made["id"], "Team") == [("created", None)]
    assert problem(cast.as_owner().get(f"{LIST}{made['id']}/"))[0] == 404


def test_a_user_of_no_organization_can_make_one(db: None) -> None:
    caller = Caller(make_key(make_user(), scopes=["organization:write"]))
    assert caller("POST", LIST, {"name": "First"}).status_code == 201
    assert parsed(caller.get(LIST))["count"] == 1


@pytest.mark.parametrize("name", ["Acme", "acme!", "ACME", "日本", "-", "x" * 64])
def test_slugs_are_unique(cast: Cast, name: str) -> None:
    slugs = {parsed(cast.as_owner()("POST", LIST, {"name": name}))["slug"] for _ in range(3)}
    assert len(slugs) == 3
    assert all(slug and len(slug) <= 48 and slug == slug.lower() for slug in slugs)


def test_the_slug_of_a_deleted_organization_stays_taken(cast: Cast) -> None:
    caller = cast.as_owner()
    first = parsed(caller("POST", LIST, {"name": "Gone"}))
    assert caller("DELETE", f"{LIST}{first['id']}/").status_code == 204
    assert parsed(caller("POST", LIST, {"name": "Gone"}))["slug"].startswith("gone-")


def test_keys_that_may_not_make_organizations(cast: Cast) -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({"scopes": ["organization:read"]}, "API key missing required scope 'organization:write'"),
        (
            {"scoped_teams": [cast.team.pk]},
            "API keys with scoped projects are only supported on project-based endpoints.",
        ),
        (
            {"scoped_organizations": [str(cast.organization.pk)]},
            "API keys with scoped organizations are only supported on endpoints of these organizations.",
        ),
    ]
    for key, detail in refused:
        response = Caller(make_key(cast.owner, **key))("POST", LIST, {"name": "x"})
        assert problem(response) == (403, "authentication_error", "permission_denied", detail, None)
    assert Organization.objects.count() == 2


WRONG: list[tuple[str, Any, str, str]] = [
    ("name", "", "blank", "This field may not be blank."),
    ("name", "  ", "blank", "This field may not be blank."),
    ("name", None, "null", "This field may not be null."),
    ("name", "x" * 65, "max_length", "Ensure this field has no more than 64 characters."),
    ("name", ["x"], "invalid_input", "Not a valid string."),
    ("name", {"x": 1}, "invalid_input", "Not a valid string."),
    ("name", True, "invalid_input", "Not a valid string."),
    ("name", "a\x00b", "null_characters_not_allowed", "Null characters are not allowed."),
    ("enforce_2fa", "maybe", "invalid_input", "Must be a valid boolean."),
    ("enforce_2fa", [], "invalid_input", "Must be a valid boolean."),
    ("members_can_invite", None, "null", "This field may not be null."),
    ("members_can_invite", {}, "invalid_input", "Must be a valid boolean."),
    ("members_can_use_personal_api_keys", 7, "invalid_input", "Must be a valid boolean."),
    ("allow_publicly_shared_resources", "x", "invalid_input", "Must be a valid boolean."),
    ("is_member_join_email_enabled", None, "null", "This field may not be null."),
    ("default_role_id", "nonsense", "invalid_input", "Must be a valid UUID."),
    ("default_role_id", 12, "invalid_input", "Must be a valid UUID."),
    ("default_role_id", UNKNOWN, "invalid_input", "Role does not exist."),
]


@pytest.mark.parametrize(("field", "value", "code", "detail"), WRONG)
@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
def test_wrong_values_change_nothing(cast: Cast, method: str, field: str, value: Any, code: str, detail: str) -> None:
    before = list(Organization.objects.values().order_by("pk"))
    body = {"name": "New", field: value}
    response = cast.as_owner()(method, LIST if method == "POST" else ONE, body)
    assert problem(response) == (400, "validation_error", code, detail, field)
    assert list(Organization.objects.values().order_by("pk")) == before
    assert not ActivityLog.objects.exists()


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_the_name_is_required(cast: Cast, method: str) -> None:
    for body in ({}, {"enforce_2fa": True}, None):
        response = cast.as_owner()(method, LIST if method == "POST" else ONE, body)
        assert problem(response) == (400, "validation_error", "required", "This field is required.", "name")


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"12", b"{", b'{"name": "\\ud800"}'])
@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
def test_bodies_that_are_no_objects_are_refused(cast: Cast, method: str, body: bytes) -> None:
    assert problem(cast.as_owner()(method, LIST if method == "POST" else ONE, body))[0] == 400


def test_admins_change_settings_and_it_is_logged(cast: Cast) -> None:
    role = Role.objects.create(organization=cast.organization, name="Support")
    changes = {
        "name": "Acme 2",
        "enforce_2fa": True,
        "members_can_invite": False,
        "members_can_use_personal_api_keys": False,
        "allow_publicly_shared_resources": False,
        "is_member_join_email_enabled": False,
        "default_role_id": str(role.pk),
    }
    caller = admin_of(cast)
    changed = parsed(caller("PATCH", ONE, changes))
    assert {name: changed[name] for name in changes} == changes
    ((activity, logged),) = entries(cast.organization.pk)
    assert activity == "updated"
    assert {change["field"]: change["after"] for change in logged} == changes
    assert {change["field"]: change["before"] for change in logged} == {
        **dict.fromkeys(changes, True), "name": "Acme", "enforce_2fa": None, "default_role_id": None,
    }  # fmt: skip
    assert {change["type"] for change in logged} == {"Organization"}
    assert parsed(caller("PATCH", ONE, {"default_role_id": None}))["default_role_id"] is None


def test_a_whole_object_can_be_sent_back(cast: Cast) -> None:
    caller = cast.as_owner()
    shown = parsed(caller.get(ONE))
    assert parsed(caller("PUT", ONE, {**shown, "unknown": 1})) == shown
    assert parsed(caller("PATCH", ONE)) == shown
    assert entries(cast.organization.pk) == []
    renamed = {**shown, "id": UNKNOWN, "slug": "other", "plugins_access_level": 0, "member_count": 9, "name": "B"}
    changed = parsed(caller("PUT", ONE, renamed))
    assert {name for name in shown if changed[name] != shown[name]} == {"name", "updated_at"}


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_forms_work_and_leave_alone_what_they_do_not_name(cast: Cast, kind: str) -> None:
    role = Role.objects.create(organization=cast.organization, name="Support")
    Organization.objects.filter(pk=cast.organization.pk).update(default_role=role)

    def form(fields: dict[str, str]) -> bytes:
        if kind.startswith("application"):
            return urlencode(fields).encode()
        parts = [f'--x\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items()]
        return "".join([*parts, "--x--\r\n"]).encode()

    caller = cast.as_owner()
    changed = parsed(caller("PUT", ONE, form({"name": "Form", "enforce_2fa": "true"}), content_type=kind))
    assert (changed["name"], changed["enforce_2fa"], changed["members_can_invite"]) == ("Form", True, True)
    assert changed["default_role_id"] == str(role.pk)
    changed = parsed(caller("PATCH", ONE, form({"default_role_id": "", "members_can_invite": "0"}), content_type=kind))
    assert (changed["default_role_id"], changed["members_can_invite"]) == (None, False)
    made = caller("POST", LIST, form({"name": "Made"}), content_type=kind)
    assert (made.status_code, parsed(made)["members_can_invite"]) == (201, True)


def test_roles_of_other_organizations_cannot_be_default(cast: Cast) -> None:
    role = Role.objects.create(organization=cast.outside, name="Theirs")
    expected = (400, "validation_error", "invalid_input", "Role does not exist.", "default_role_id")
    assert problem(cast.as_owner()("PATCH", ONE, {"default_role_id": str(role.pk)})) == expected
    assert problem(cast.as_owner()("POST", LIST, {"name": "x", "default_role_id": str(role.pk)})) == expected


def test_levels(cast: Cast) -> None:
    for method in ("PATCH", "PUT", "DELETE"):
        assert problem(cast.as_member()(method, ONE, {"name": "x"})) == LOW
    assert problem(admin_of(cast)("DELETE", ONE)) == LOW
    narrow = Caller(make_key(cast.owner, scopes=["organization:read"]))
    for method in ("PATCH", "PUT", "DELETE"):
        assert problem(narrow(method, ONE))[3] == "API key missing required scope 'organization:write'"
    assert Organization.objects.get(pk=cast.organization.pk).name == "Acme"


def test_a_deleted_organization_is_gone_at_once_for_everyone(cast: Cast) -> None:
    url = f"{LIST}{cast.organization.pk}/"
    assert cast.as_owner()("DELETE", url).status_code == 204
    for caller in (cast.as_owner(), cast.as_member()):
        assert problem(caller.get(url))[0] == 404
        assert problem(caller.get(f"{url}projects/")) == (
            404, "invalid_request", "not_found", "Organization not found.", None,
        )  # fmt: skip
        assert problem(caller.get(f"/api/projects/{cast.team.pk}/"))[0] == 404
        assert parsed(caller.get(LIST))["count"] == 0
        me = parsed(caller.get("/api/users/@me/"))
        assert (me["organization"], me["team"], me["organizations"]) == (None, None, [])
    assert problem(cast.as_owner()("DELETE", url))[0] == 404
    assert not OrganizationMembership.objects.filter(organization_id=cast.organization.pk).exists()
    assert not Team.objects.filter(organization_id=cast.organization.pk).exists()
    assert Organization.with_deleted.filter(pk=cast.organization.pk, deleted_at__isnull=False).exists()
    assert set(User.objects.filter(pk__in=[cast.owner.pk, cast.member.pk]).values_list("current_organization")) == {
        (None,)
    }
    assert set(DeletionRequest.unscoped.values_list("team_id", flat=True)) == {cast.team.pk, cast.other_team.pk}
    assert entries(cast.organization.pk) == [("deleted", None)]
    assert len(entries(cast.organization.pk, "Team")) == 2
    refused = Caller()("POST", "/capture/", {"api_key": cast.team.api_token, "event": "x", "distinct_id": "d"})
    assert refused.status_code == 401


def test_users_fall_back_to_another_organization(cast: Cast) -> None:
    OrganizationMembership.objects.create(user=cast.owner, organization=cast.outside, level=1)
    caller = cast.as_owner()
    assert caller("DELETE", ONE).status_code == 204
    me = parsed(caller.get("/api/users/@me/"))
    assert (me["organization"]["id"], me["team"]["id"]) == (str(cast.outside.pk), cast.outside_team.pk)
    assert parsed(caller.get("/api/projects/@current/"))["id"] == cast.outside_team.pk


def test_an_organization_without_projects_can_be_deleted(cast: Cast) -> None:
    caller = cast.as_owner()
    made = parsed(caller("POST", LIST, {"name": "Empty"}))
    Team.objects.filter(organization_id=made["id"]).delete()
    assert caller("DELETE", f"{LIST}{made['id']}/").status_code == 204


def test_a_repeated_request_makes_one_organization(cast: Cast) -> None:
    answers = [cast.as_owner()("POST", LIST, {"name": "Once"}, headers={"Idempotency-Key": "one"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert orjson.loads(answers[0].content) == orjson.loads(answers[1].content)
    assert Organization.objects.filter(name="Once").count() == 1
