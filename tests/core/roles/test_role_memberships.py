"""Who is in a role, over HTTP: shapes, pages, refusals in their order, the tenant of the URL."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from core.roles.models import RoleMembership
from core.roles.services import Author, memberships_end
from core.tenancy.models import OrganizationMembership
from tests.core.conftest import Cast
from tests.core.http import Caller, parsed, problem
from tests.core.roles.conftest import ENCODINGS, Roles
from tests.core.roles.test_roles import BASIC, LOW_LEVEL, MISSING
from tests.factories import make_key, make_user

pytestmark = pytest.mark.django_db

KEYS = {"id", "role_id", "organization_member", "user", "joined_at", "updated_at"}
MEMBER = {"id", "user", "level", "joined_at", "updated_at", "is_2fa_enabled", "has_social_auth", "last_login"}
NO_ROLE = (400, "validation_error", "invalid_input", "Role does not exist.", None)
NO_USER = (400, "validation_error", "invalid_input", "User does not exist.", None)
IN_ALREADY = (400, "validation_error", "invalid_input", "User is already part of the role.", None)


@pytest.fixture
def role(roles: Roles) -> Any:
    return roles.make()


def add(roles: Roles, role_id: Any, body: Any, encoding: str = "json") -> Any:
    return roles.send("POST", role_id, "role_memberships", body=body, encoding=encoding)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_membership_has_exactly_the_keys_of_posthog(roles: Roles, role: Any, cast: Cast, encoding: str) -> None:
    answer = add(roles, role["id"], {"user_uuid": str(cast.member.uuid)}, encoding)
    made = parsed(answer)
    assert (answer.status_code, set(made), made["role_id"]) == (201, KEYS, role["id"])
    assert (set(made["organization_member"]), set(made["user"])) == (MEMBER, BASIC)
    assert made["organization_member"]["user"] == made["user"]
    assert made["organization_member"]["level"] == 1
    listed = parsed(roles.caller.get(f"/api/organizations/{cast.organization.pk}/members/"))["results"]
    assert made["organization_member"] in listed
    assert (made["user"]["uuid"], made["user"]["email"]) == (str(cast.member.uuid), cast.member.email)
    assert roles.read(role["id"], "role_memberships", made["id"]) == made
    assert roles.read(role["id"], "role_memberships")["results"] == [made]
    assert roles.read(role["id"])["members"] == [made]


def test_the_list_is_in_the_order_of_joining_with_links(roles: Roles, role: Any, cast: Cast) -> None:
    users = [cast.member, cast.owner, make_user(cast.organization)]
    made = [roles.join(role, user) for user in users]
    page = parsed(roles.caller.get(roles.path(role["id"], "role_memberships") + "?limit=2&role_id=x"))
    assert (page["count"], page["results"], page["previous"]) == (3, made[:2], None)
    second = parsed(roles.caller.get(page["next"]))
    assert (second["results"], second["next"]) == (made[2:], None)
    assert parsed(roles.caller.get(second["previous"]))["results"] == made[:2]


def test_a_user_may_have_several_roles(roles: Roles, role: Any, cast: Cast) -> None:
    other = roles.make("Other")
    assert roles.join(role, cast.member)["id"] != roles.join(other, cast.member)["id"]


def test_delete_takes_one_user_out_of_one_role(roles: Roles, role: Any, cast: Cast) -> None:
    other = roles.make("Other")
    made, kept, elsewhere = (
        roles.join(role, cast.member), roles.join(role, cast.owner), roles.join(other, cast.member),
    )  # fmt: skip
    path = (role["id"], "role_memberships", made["id"])
    answer = roles.send("DELETE", *path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert problem(roles.send("GET", *path)) == problem(roles.send("DELETE", *path)) == MISSING
    assert roles.read(role["id"])["members"] == [kept]
    assert roles.read(other["id"])["members"] == [elsewhere]
    assert roles.join(role, cast.member)["id"] != made["id"]


def test_read_only_and_unknown_fields_are_ignored_whatever_they_hold(roles: Roles, role: Any, cast: Cast) -> None:
    nonsense = {
        "id": 1, "role_id": "other", "organization_member": 3, "user": [], "joined_at": 0, "updated_at": "x",
        "level": 15,
    }  # fmt: skip
    made = parsed(add(roles, role["id"], {**nonsense, "user_uuid": str(cast.member.uuid)}))
    assert (made["role_id"], made["organization_member"]["level"]) == (role["id"], 1)


@pytest.mark.parametrize(
    ("body", "code", "detail"),
    [
        (None, "required", "This field is required."),
        ({}, "required", "This field is required."),
        ({"user": "x"}, "required", "This field is required."),
        ({"user_uuid": None}, "null", "This field may not be null."),
        *(
            ({"user_uuid": value}, "invalid_input", "Must be a valid UUID.")
            for value in ("", "x", 7, True, 1.5, [], {}, "a\x00b", "7" * 33, ["7" * 32])
        ),
    ],
)
def test_a_bad_user_uuid_is_refused_before_the_role_is_looked_at(
    roles: Roles, role: Any, body: Any, code: str, detail: str
) -> None:
    for role_id in (role["id"], uuid4(), "x"):
        answer = add(roles, role_id, body)
        assert problem(answer) == (400, "validation_error", code, detail, "user_uuid")
    assert problem(add(roles, role["id"], []))[3:] == (
        "Invalid data. Expected a dictionary, but got list.", None,
    )  # fmt: skip
    assert not RoleMembership.objects.exists()


def test_the_role_is_judged_before_the_user(roles: Roles, elsewhere: Roles, cast: Cast) -> None:
    theirs = elsewhere.make()
    for role_id in (uuid4(), "x", "1", theirs["id"]):
        for user_uuid in (cast.member.uuid, uuid4()):
            assert problem(add(roles, role_id, {"user_uuid": str(user_uuid)})) == NO_ROLE
    assert not RoleMembership.objects.exists()


def test_only_active_members_of_the_organization_get_a_role(roles: Roles, role: Any, cast: Cast) -> None:
    inactive = make_user(cast.organization, is_active=False)
    homeless = make_user()
    for user_uuid in (uuid4(), cast.stranger.uuid, inactive.uuid, homeless.uuid):
        answer = add(roles, role["id"], {"user_uuid": str(user_uuid)})
        assert problem(answer) == NO_USER
        assert "extra" not in parsed(answer)
    assert roles.read(role["id"])["members"] == []


def test_who_sends_the_id_of_the_membership_is_told_the_uuid_of_the_user(roles: Roles, role: Any, cast: Cast) -> None:
    mistaken = OrganizationMembership.objects.get(user=cast.member)
    answer = add(roles, role["id"], {"user_uuid": str(mistaken.id)})
    assert problem(answer) == NO_USER
    assert str(cast.member.uuid) in parsed(answer)["extra"]["hint"]
    foreign = OrganizationMembership.objects.get(user=cast.stranger)
    answer = add(roles, role["id"], {"user_uuid": str(foreign.id)})
    assert problem(answer) == NO_USER
    assert "extra" not in parsed(answer)


def test_a_user_is_in_a_role_once(roles: Roles, role: Any, cast: Cast) -> None:
    made = roles.join(role, cast.member)
    assert problem(add(roles, role["id"], {"user_uuid": str(cast.member.uuid).upper()})) == IN_ALREADY
    assert roles.read(role["id"])["members"] == [made]


def test_who_was_deactivated_stays_visible_and_can_be_taken_out(roles: Roles, role: Any, cast: Cast) -> None:
    made = roles.join(role, cast.member)
    cast.member.is_active = False
    cast.member.save()
    assert roles.read(role["id"])["members"] == [made]
    assert roles.send("DELETE", role["id"], "role_memberships", made["id"]).status_code == 204


def test_memberships_are_seen_under_their_own_role_and_organization_only(
    roles: Roles, elsewhere: Roles, role: Any, cast: Cast
) -> None:
    other, theirs = roles.make("Other"), elsewhere.make()
    made, foreign = roles.join(role, cast.member), elsewhere.join(theirs, cast.stranger)
    for caller, role_id, membership in (
        (roles, other["id"], made), (roles, theirs["id"], made), (roles, theirs["id"], foreign),
        (roles, role["id"], foreign), (elsewhere, role["id"], made), (elsewhere, theirs["id"], made),
    ):  # fmt: skip
        for method in ("GET", "DELETE"):
            assert problem(caller.send(method, role_id, "role_memberships", membership["id"])) == MISSING
    empty = {"count": 0, "next": None, "previous": None, "results": []}
    assert roles.read(theirs["id"], "role_memberships") == empty
    assert roles.read(uuid4(), "role_memberships") == empty
    assert RoleMembership.objects.count() == 2


@pytest.mark.parametrize("bad", ["x", "1", "%00", "@current", "0" * 40])
def test_malformed_ids_are_not_found(roles: Roles, role: Any, cast: Cast, bad: str) -> None:
    made = roles.join(role, cast.member)
    assert problem(roles.send("GET", bad, "role_memberships")) == MISSING
    for method in ("GET", "DELETE"):
        assert problem(roles.send(method, bad, "role_memberships", made["id"])) == MISSING
        assert problem(roles.send(method, role["id"], "role_memberships", bad)) == MISSING


def test_members_read_and_admins_write(roles: Roles, as_member: Roles, role: Any, cast: Cast) -> None:
    made = roles.join(role, cast.member)
    path = (role["id"], "role_memberships", made["id"])
    assert as_member.read(*path) == made
    assert as_member.read(*path[:2])["results"] == [made]
    assert problem(as_member.send("DELETE", *path)) == LOW_LEVEL
    assert problem(add(as_member, role["id"], {"user_uuid": str(cast.owner.uuid)})) == LOW_LEVEL
    admin = Roles(Caller(make_key(make_user(cast.organization, level=8))), cast.organization.pk)
    assert admin.send("DELETE", *path).status_code == 204


def test_nothing_else_can_be_done_to_a_membership(roles: Roles, role: Any, cast: Cast) -> None:
    """A key gets 403 where a method does not exist, for it has no scope."""
    made = roles.join(role, cast.member)
    for method in ("PUT", "PATCH"):
        answer = roles.send(method, role["id"], "role_memberships", made["id"], body={})
        assert problem(answer)[3] == "This action does not support Personal API Key access"


def test_an_admin_of_one_organization_gets_nobody_into_roles_of_another(roles: Roles, cast: Cast) -> None:
    """The escalation of PostHog's issue 37446: an admin here, a plain member there."""
    both = make_user(cast.outside, level=15)
    both.organization_memberships.create(organization=cast.organization, level=1)
    role = roles.make()
    here, there = (Roles(Caller(make_key(both)), one.pk) for one in (cast.organization, cast.outside))
    body = {"user_uuid": str(both.uuid)}
    assert problem(add(here, role["id"], body)) == LOW_LEVEL
    assert problem(add(there, role["id"], body)) == NO_ROLE
    own = there.make("Own")
    assert problem(add(there, own["id"], {"user_uuid": str(cast.member.uuid)})) == NO_USER
    assert there.join(own, both)["organization_member"]["level"] == 15


def test_who_leaves_the_organization_leaves_its_roles(roles: Roles, elsewhere: Roles, role: Any, cast: Cast) -> None:
    other, theirs = roles.make("Other"), elsewhere.make()
    both = make_user(cast.outside, level=1)
    member = both.organization_memberships.create(organization=cast.organization, level=1)
    for one in (role, other):
        roles.join(one, both)
    stays, kept = roles.join(role, cast.member), elsewhere.join(theirs, both)
    with transaction.atomic(), CaptureQueriesContext(connection) as captured:
        memberships_end(author=Author(cast.organization.pk, cast.owner.pk), organization_member_id=member.id)
    assert len([one for one in captured if not one["sql"].startswith(("SAVEPOINT", "RELEASE"))]) == 2
    member.delete()
    assert {one.id for one in RoleMembership.objects.all()} == {UUID(stays["id"]), UUID(kept["id"])}


def test_removing_a_member_removes_the_memberships(roles: Roles, role: Any, cast: Cast) -> None:
    roles.join(role, cast.member)
    OrganizationMembership.objects.get(user=cast.member).delete()
    assert roles.read(role["id"])["members"] == []


def test_statements_do_not_grow(roles: Roles, role: Any, cast: Cast) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as captured:
            roles.read(role["id"], "role_memberships")
        return len(captured)

    few = statements()
    for user in (cast.owner, cast.member, make_user(cast.organization)):
        roles.join(role, user)
    assert statements() == few == 3
