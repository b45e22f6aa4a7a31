"""Members: shown, raised and lowered, removed, leaving."""

from typing import Any
from uuid import uuid4

import pytest

from core.activity.models import ActivityLog
from core.roles.models import Role, RoleMembership
from core.tenancy.models import OrganizationMembership, User
from tests.core.conftest import Cast
from tests.core.http import Caller, parsed, problem
from tests.factories import make_key, make_team, make_user

MEMBERS = "/api/organizations/@current/members/"
MISSING = (404, "invalid_request", "not_found", "Not found.", None)
FIELDS = {"id", "user", "level", "joined_at", "updated_at", "is_2fa_enabled", "has_social_auth", "last_login"}
TOO_LOW = "Your organization access level is insufficient."
OWN_LEVEL = "You can't change your own access level."
ABOVE = "You can only edit others with level lower or equal to you."
NO_OWNER = "You can only make another member owner if you're this organization's owner."
LAST_OWNER = (400, "validation_error", "invalid_input", "Cannot leave the organization as its owner!", None)


def forbidden(detail: str) -> tuple[int, str, str, str, None]:
    return 403, "authentication_error", "permission_denied", detail, None


def url(user: Any) -> str:
    return f"{MEMBERS}{user.uuid}/"


def level(cast: Cast, user: Any) -> int | None:
    return (
        OrganizationMembership.objects.filter(organization=cast.organization, user=user)
        .values_list("level", flat=True)
        .first()
    )


def member(cast: Cast, level: int) -> tuple[User, Caller]:
    user = make_user(cast.organization, level=level, team=cast.team)
    return user, Caller(make_key(user))


def test_members_are_listed_in_order_of_joining(cast: Cast) -> None:
    body = parsed(cast.as_member().get(f"{MEMBERS}?limit=1"))
    assert body["count"] == 2
    assert body["results"][0]["user"]["email"] == cast.owner.email
    assert body["results"][0]["level"] == 15
    assert set(body["results"][0]) == FIELDS


def test_one_member_is_shown_by_uuid_and_as_me(cast: Cast) -> None:
    caller = cast.as_member()
    shown = parsed(caller.get(url(cast.owner)))
    assert set(shown) == FIELDS
    assert (shown["user"]["id"], shown["level"]) == (cast.owner.pk, 15)
    assert parsed(caller.get(f"{MEMBERS}@me/")) == parsed(caller.get(url(cast.member)))


def test_members_need_their_own_scope(cast: Cast) -> None:
    caller = Caller(make_key(cast.owner, scopes=["organization:read"]))
    assert caller.get("/api/organizations/@current/").status_code == 200
    assert problem(caller.get(MEMBERS))[3] == "API key missing required scope 'organization_member:read'"
    reader = Caller(make_key(cast.owner, scopes=["organization_member:read"]))
    assert reader.get(url(cast.member)).status_code == 200
    for method in ("PATCH", "PUT", "DELETE"):
        refused = problem(reader(method, url(cast.member)))
        assert refused[3] == "API key missing required scope 'organization_member:write'"


@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
def test_who_is_no_active_member_is_not_there(cast: Cast, method: str) -> None:
    inactive = make_user(cast.organization, level=1, is_active=False)
    caller = cast.as_owner()
    body = {"level": 8} if method in {"PATCH", "PUT"} else None
    for name in (cast.stranger.uuid, inactive.uuid, uuid4(), "nonsense", "%00", str(cast.member.pk), "@current"):
        assert problem(caller(method, f"{MEMBERS}{name}/", body)) == MISSING
    foreign = f"/api/organizations/{cast.outside.pk}/members/{cast.stranger.uuid}/"
    assert problem(caller(method, foreign, body)) == forbidden("You do not have permission to perform this action.")


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_the_id_of_a_membership_is_answered_with_the_uuid_that_is_meant(cast: Cast, method: str) -> None:
    membership = OrganizationMembership.objects.get(user=cast.member)
    refused = cast.as_owner()(method, f"{MEMBERS}{membership.pk}/", {"level": 8})
    assert problem(refused) == MISSING
    assert str(cast.member.uuid) in parsed(refused)["extra"]["hint"]
    assert level(cast, cast.member) == 1


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_levels_are_changed_and_logged(cast: Cast, method: str) -> None:
    caller = cast.as_owner()
    changed = parsed(caller(method, url(cast.member), {"level": 8}))
    assert (changed["level"], changed["user"]["email"]) == (8, cast.member.email)
    entry = ActivityLog.objects.get(scope="OrganizationMembership")
    assert (entry.activity, entry.item_id, entry.user_id) == ("updated", changed["id"], cast.owner.pk)
    assert (entry.organization_id, entry.team_id) == (cast.organization.pk, None)
    assert entry.detail["name"] == cast.member.email
    assert entry.detail["changes"] == [
        {"type": "OrganizationMembership", "action": "changed", "field": "level", "before": 1, "after": 8}
    ]
    assert parsed(caller(method, url(cast.member), changed)) == changed
    assert parsed(caller(method, url(cast.member))) == changed
    assert ActivityLog.objects.count() == 1


@pytest.mark.parametrize(
    ("value", "code", "detail"),
    [
        (5, "invalid_choice", '"5" is not a valid choice.'),
        (0, "invalid_choice", '"0" is not a valid choice.'),
        (-1, "invalid_choice", '"-1" is not a valid choice.'),
        (10**18, "invalid_choice", f'"{10**18}" is not a valid choice.'),
        ("owner", "invalid_choice", '"owner" is not a valid choice.'),
        ("", "invalid_choice", '"" is not a valid choice.'),
        (True, "invalid_choice", '"True" is not a valid choice.'),
        ([8], "invalid_choice", '"[8]" is not a valid choice.'),
        ({"a": 1}, "invalid_choice", "\"{'a': 1}\" is not a valid choice."),
        (None, "null", "This field may not be null."),
    ],
)
def test_wrong_levels_are_refused(cast: Cast, value: Any, code: str, detail: str) -> None:
    refused = problem(cast.as_owner()("PATCH", url(cast.member), {"level": value}))
    assert refused == (400, "validation_error", code, detail, "level")
    assert level(cast, cast.member) == 1


def test_who_may_give_which_level_to_whom(cast: Cast) -> None:
    admin, as_admin = member(cast, 8)
    other_admin, _ = member(cast, 8)
    assert problem(cast.as_member()("PATCH", url(admin), {"level": 1})) == forbidden(TOO_LOW)
    assert problem(cast.as_member()("PATCH", url(cast.member), {"level": 8})) == forbidden(TOO_LOW)
    assert problem(as_admin("PATCH", url(cast.owner), {"level": 1})) == forbidden(ABOVE)
    assert problem(as_admin("PATCH", url(cast.member), {"level": 15})) == forbidden(NO_OWNER)
    assert problem(as_admin("PATCH", url(admin), {"level": 1})) == forbidden(OWN_LEVEL)
    assert problem(cast.as_owner()("PATCH", f"{MEMBERS}@me/", {"level": 1})) == forbidden(OWN_LEVEL)
    assert ActivityLog.objects.count() == 0
    assert parsed(as_admin("PATCH", url(other_admin), {"level": 1}))["level"] == 1
    assert parsed(as_admin("PATCH", url(cast.member), {"level": 8}))["level"] == 8
    assert parsed(cast.as_owner()("PATCH", url(admin), {"level": 15}))["level"] == 15
    assert level(cast, cast.owner) == 15
    assert parsed(as_admin("PATCH", url(cast.owner), {"level": 8}))["level"] == 8


def test_who_may_remove_whom(cast: Cast) -> None:
    admin, as_admin = member(cast, 8)
    other_admin, _ = member(cast, 8)
    other_owner, as_other_owner = member(cast, 15)
    assert problem(cast.as_member()("DELETE", url(admin))) == forbidden(TOO_LOW)
    assert problem(cast.as_member()("DELETE", url(cast.owner))) == forbidden(TOO_LOW)
    assert problem(as_admin("DELETE", url(cast.owner))) == forbidden(ABOVE)
    assert as_admin("DELETE", url(other_admin)).status_code == 204
    assert as_admin("DELETE", url(cast.member)).status_code == 204
    assert cast.as_owner()("DELETE", url(other_owner)).status_code == 204
    assert {level(cast, user) for user in (other_admin, cast.member, other_owner)} == {None}
    assert problem(as_other_owner.get(MEMBERS))[0] == 404
    assert problem(cast.as_owner()("DELETE", url(cast.member))) == MISSING


@pytest.mark.parametrize("name", ["@me", "uuid"])
def test_everyone_may_leave_but_the_last_owner(cast: Cast, name: str) -> None:
    def own(user: Any) -> str:
        return f"{MEMBERS}@me/" if name == "@me" else url(user)

    inactive = make_user(cast.organization, level=15, is_active=False)
    assert cast.as_member()("DELETE", own(cast.member)).status_code == 204
    assert problem(cast.as_owner()("DELETE", own(cast.owner))) == LAST_OWNER
    other, as_other = member(cast, 15)
    assert cast.as_owner()("DELETE", own(cast.owner)).status_code == 204
    assert problem(as_other("DELETE", own(other))) == LAST_OWNER
    assert [level(cast, user) for user in (cast.member, cast.owner, other, inactive)] == [None, None, 15, 15]


def test_with_a_membership_go_roles_and_what_was_current_and_access(cast: Cast) -> None:
    OrganizationMembership.objects.create(user=cast.member, organization=cast.outside, level=1)
    roles = [
        Role.objects.create(organization=organization, name="Support")
        for organization in (cast.organization, cast.outside)
    ]
    for role in roles:
        membership = OrganizationMembership.objects.get(user=cast.member, organization=role.organization)
        RoleMembership.objects.create(role=role, user=cast.member, organization_member=membership)
    project = f"/api/projects/{cast.team.pk}/"
    assert cast.as_member().get(project).status_code == 200
    ended = OrganizationMembership.objects.get(user=cast.member, organization=cast.organization)
    assert cast.as_owner()("DELETE", url(cast.member)).status_code == 204
    assert list(RoleMembership.objects.values_list("role", flat=True)) == [roles[1].pk]
    user = User.objects.get(pk=cast.member.pk)
    assert (user.current_organization, user.current_team) == (None, None)
    me = parsed(cast.as_member().get("/api/users/@me/"))
    assert (me["organization"]["id"], me["team"]["id"]) == (str(cast.outside.pk), cast.outside_team.pk)
    assert problem(cast.as_member().get(project))[0] == 404
    logged = {entry.scope: entry for entry in ActivityLog.objects.filter(organization_id=cast.organization.pk)}
    assert set(logged) == {"OrganizationMembership", "Role"}
    gone = logged["OrganizationMembership"]
    assert (gone.activity, gone.item_id, gone.detail["name"]) == ("deleted", str(ended.pk), cast.member.email)
    assert gone.detail["changes"] is None


def test_what_is_current_elsewhere_stays(cast: Cast) -> None:
    OrganizationMembership.objects.create(user=cast.member, organization=cast.outside, level=1)
    team = make_team(cast.outside)
    User.objects.filter(pk=cast.member.pk).update(current_organization=cast.outside, current_team=team)
    assert cast.as_owner()("DELETE", url(cast.member)).status_code == 204
    user = User.objects.get(pk=cast.member.pk)
    assert (user.current_organization_id, user.current_team_id) == (cast.outside.pk, team.pk)
