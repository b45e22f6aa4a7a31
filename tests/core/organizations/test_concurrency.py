"""Requests at the same moment: an owner always remains, a slug is given once, nobody gets a 500."""

from functools import partial
from typing import Any

import pytest

from core.tenancy.models import Organization, OrganizationMembership, Team
from tests.core.conftest import Cast
from tests.core.http import Caller, parsed
from tests.factories import make_key, make_organization, make_team, make_user
from tests.support.at_once import at_once

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = 6


def two_owners() -> tuple[Any, list[Any], list[Caller]]:
    organization = make_organization()
    make_team(organization)
    users = [make_user(organization) for _ in range(2)]
    return organization, users, [Caller(make_key(user)) for user in users]


def owners(organization: Any) -> int:
    return OrganizationMembership.objects.filter(organization=organization, level=15).count()


def send(caller: Caller, method: str, url: str, body: Any = None) -> int:
    return caller(method, url, body).status_code


def test_of_two_owners_who_leave_at_once_one_stays() -> None:
    for _ in range(ROUNDS):
        organization, _, callers = two_owners()
        url = f"/api/organizations/{organization.pk}/members/@me/"
        assert sorted(at_once(*[partial(send, caller, "DELETE", url) for caller in callers])) == [204, 400]
        assert owners(organization) == 1


@pytest.mark.parametrize(("method", "body", "done"), [("PATCH", {"level": 1}, 200), ("DELETE", None, 204)])
def test_of_two_owners_who_demote_or_remove_each_other_one_stays(method: str, body: Any, done: int) -> None:
    for _ in range(ROUNDS):
        organization, users, callers = two_owners()
        url = f"/api/organizations/{organization.pk}/members/"
        answers = at_once(
            partial(send, callers[0], method, f"{url}{users[1].uuid}/", body),
            partial(send, callers[1], method, f"{url}{users[0].uuid}/", body),
        )
        # Who comes too late is either too low by then, or was a stranger already when the request was judged.
        assert sorted(answers) == [done, 403]
        assert owners(organization) == 1


def test_an_owner_who_leaves_while_the_other_is_demoted() -> None:
    for _ in range(ROUNDS):
        organization, users, callers = two_owners()
        url = f"/api/organizations/{organization.pk}/members/"
        left, demoted = at_once(
            partial(send, callers[0], "DELETE", f"{url}@me/"),
            partial(send, callers[0], "PATCH", f"{url}{users[1].uuid}/", {"level": 1}),
        )
        assert (left, demoted) in {(204, 403), (400, 200)}
        assert owners(organization) == 1


def test_organizations_of_one_name_made_at_once_have_slugs_of_their_own() -> None:
    caller = Caller(make_key(make_user()))
    answers = at_once(*[partial(caller, "POST", "/api/organizations/", {"name": "Same"})] * 6)
    assert [answer.status_code for answer in answers] == [201] * 6
    assert len({parsed(answer)["slug"] for answer in answers}) == 6


def test_a_project_made_while_its_organization_is_deleted_is_deleted_too() -> None:
    for _ in range(ROUNDS):
        organization, _, callers = two_owners()
        url = f"/api/organizations/{organization.pk}/"
        deleted, made = at_once(
            partial(send, callers[0], "DELETE", url),
            partial(send, callers[1], "POST", f"{url}projects/", {"name": "X"}),
        )
        assert deleted == 204
        assert made in {201, 404}
        assert not Team.objects.filter(organization=organization).exists()


def test_of_two_who_delete_an_organization_at_once_one_finds_it_gone() -> None:
    for _ in range(ROUNDS):
        organization, _, callers = two_owners()
        url = f"/api/organizations/{organization.pk}/"
        assert sorted(at_once(*[partial(send, caller, "DELETE", url) for caller in callers])) == [204, 404]


def test_settings_changed_at_once_are_both_kept(cast: Cast) -> None:
    url = f"/api/organizations/{cast.organization.pk}/"
    for number in range(ROUNDS):
        wanted = {"name": f"Acme {number}", "members_can_invite": bool(number % 2)}
        calls = [partial(send, cast.as_owner(), "PATCH", url, {field: value}) for field, value in wanted.items()]
        assert at_once(*calls) == [200, 200]
        stored = Organization.objects.get(pk=cast.organization.pk)
        assert {field: getattr(stored, field) for field in wanted} == wanted
