"""Two requests at the same moment: one has its effect, the other gets the documented answer, nobody a 500."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, transaction

from core.organizations.services import Author as OrganizationAuthor
from core.organizations.services import organization_delete, organization_lock
from core.roles.models import Role, RoleMembership
from core.roles.services import Author, memberships_end
from core.tenancy.models import Organization, OrganizationMembership
from tests.core.conftest import Cast
from tests.core.http import problem
from tests.core.roles.conftest import Roles
from tests.core.roles.test_role_memberships import IN_ALREADY, NO_USER, add
from tests.core.roles.test_roles import MISSING, TAKEN
from tests.support.at_once import wait_for_a_lock

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 8
GONE = (404, "invalid_request", "not_found", "Organization not found.", None)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


def in_thread(pool: ThreadPoolExecutor, call: Callable[[], Any]) -> Future[Any]:
    def run() -> Any:
        try:
            return call()
        finally:
            connection.close()

    return pool.submit(run)


def at_once(pool: ThreadPoolExecutor, *calls: Callable[[], Any]) -> list[Any]:
    start = threading.Barrier(len(calls))

    def begin(call: Callable[[], Any]) -> Any:
        start.wait()
        return call()

    asked = [in_thread(pool, lambda call=call: begin(call)) for call in calls]
    return [one.result(timeout=60) for one in asked]


def test_two_roles_of_one_name(roles: Roles, pool: ThreadPoolExecutor) -> None:
    for number in range(ROUNDS):
        names = (f"role {number}", f"ROLE {number}")
        answers = at_once(pool, *(lambda name=name: roles.send("POST", body={"name": name}) for name in names))
        assert sorted(answer.status_code for answer in answers) == [201, 400]
        assert [problem(answer) for answer in answers if answer.status_code == 400] == [TAKEN]
    assert Role.objects.count() == ROUNDS


def test_two_roles_renamed_to_one_name(roles: Roles, pool: ThreadPoolExecutor) -> None:
    for number in range(ROUNDS):
        made = [roles.make(f"{letter} {number}") for letter in "ab"]
        wanted = {"name": f"both {number}"}
        answers = at_once(
            pool, *(lambda one=one, wanted=wanted: roles.send("PATCH", one["id"], body=wanted) for one in made)
        )
        assert sorted(answer.status_code for answer in answers) == [200, 400]
        assert [problem(answer) for answer in answers if answer.status_code == 400] == [TAKEN]


def test_one_user_put_into_a_role_twice(roles: Roles, cast: Cast, pool: ThreadPoolExecutor) -> None:
    body = {"user_uuid": str(cast.member.uuid)}
    for number in range(ROUNDS):
        role = roles.make(f"role {number}")
        answers = at_once(pool, *[lambda role=role: add(roles, role["id"], body)] * 4)
        assert sorted(answer.status_code for answer in answers) == [201, 400, 400, 400]
        assert [problem(answer) for answer in answers if answer.status_code == 400] == [IN_ALREADY] * 3
        assert len(roles.read(role["id"])["members"]) == 1


def test_a_role_deleted_twice_and_a_membership_removed_twice(
    roles: Roles, cast: Cast, pool: ThreadPoolExecutor
) -> None:
    for number in range(ROUNDS):
        role = roles.make(f"role {number}")
        membership = roles.join(role, cast.member)
        for path in ((role["id"], "role_memberships", membership["id"]), (role["id"],)):
            answers = at_once(pool, *[lambda path=path: roles.send("DELETE", *path)] * 2)
            assert sorted(answer.status_code for answer in answers) == [204, 404]
            assert [problem(answer) for answer in answers if answer.status_code == 404] == [MISSING]


def test_a_user_put_into_a_role_that_is_being_deleted(roles: Roles, cast: Cast, pool: ThreadPoolExecutor) -> None:
    body = {"user_uuid": str(cast.member.uuid)}
    for number in range(ROUNDS):
        role = roles.make(f"role {number}")
        deleted, added = at_once(
            pool,
            lambda role=role: roles.send("DELETE", role["id"]),
            lambda role=role: add(roles, role["id"], body),
        )
        assert (deleted.status_code, added.status_code) in {(204, 201), (204, 400), (204, 404)}
    assert not RoleMembership.objects.exists()


def test_a_member_removed_at_the_same_moment_gets_no_role(roles: Roles, cast: Cast, pool: ThreadPoolExecutor) -> None:
    role = roles.make()
    with transaction.atomic():
        member = OrganizationMembership.objects.select_for_update().get(user=cast.member)
        asked = in_thread(pool, lambda: add(roles, role["id"], {"user_uuid": str(cast.member.uuid)}))
        wait_for_a_lock(seconds=60)
        memberships_end(author=Author(cast.organization.pk, cast.owner.pk), organization_member_id=member.id)
        member.delete()
    assert problem(asked.result(timeout=60)) == NO_USER
    assert not RoleMembership.objects.exists()


def test_who_is_removed_right_after_getting_a_role_leaves_it(
    roles: Roles, cast: Cast, pool: ThreadPoolExecutor
) -> None:
    """The removal waits for the membership under way, and takes it along."""
    author = Author(cast.organization.pk, cast.owner.pk)

    def remove() -> None:
        with transaction.atomic():
            member = OrganizationMembership.objects.select_for_update().get(user=cast.member)
            memberships_end(author=author, organization_member_id=member.id)
            member.delete()

    role = Role.objects.create(organization=cast.organization, name="Support")
    with transaction.atomic():
        made = add(roles, role.id, {"user_uuid": str(cast.member.uuid)})
        removed = in_thread(pool, remove)
        wait_for_a_lock(seconds=60)
    removed.result(timeout=60)
    assert made.status_code == 201
    assert not RoleMembership.objects.exists()
    assert not OrganizationMembership.objects.filter(user=cast.member).exists()


@pytest.mark.parametrize("path", [(), ("role_memberships",)])
def test_nothing_is_made_in_an_organization_that_is_being_deleted(
    roles: Roles, cast: Cast, pool: ThreadPoolExecutor, path: tuple[str, ...]
) -> None:
    role = roles.make()
    roles.join(role, cast.owner)
    parts, body = ((role["id"], *path), {"user_uuid": str(cast.member.uuid)}) if path else ((), {"name": "New"})
    with transaction.atomic():
        organization_lock(cast.organization.pk, no_key=False)
        asked = in_thread(pool, lambda: roles.send("POST", *parts, body=body))
        wait_for_a_lock(seconds=60)
        organization_delete(author=OrganizationAuthor(cast.organization.pk, cast.owner.pk))
    assert problem(asked.result(timeout=60)) == GONE
    assert Role.objects.count() == 1
    assert not RoleMembership.objects.exists()


def test_a_role_deleted_while_it_becomes_the_default(roles: Roles, cast: Cast, pool: ThreadPoolExecutor) -> None:
    """Whoever changes the default holds the organization first, as the deletion does: neither fails."""
    role = roles.make()
    with transaction.atomic():
        organization = Organization.objects.select_for_update(no_key=True).get(id=cast.organization.pk)
        deleted = in_thread(pool, lambda: roles.send("DELETE", role["id"]))
        wait_for_a_lock(seconds=60)
        organization.default_role_id = role["id"]
        organization.save()
    assert deleted.result(timeout=60).status_code == 204
    organization.refresh_from_db()
    assert organization.default_role_id is None
