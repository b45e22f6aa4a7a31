"""Reading organizations: what is shown, to whom, at what cost."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.tenancy.models import OrganizationMembership
from tests.core.conftest import Cast
from tests.core.http import Caller, parsed, problem
from tests.factories import make_key, make_organization, make_team, make_user

LIST = "/api/organizations/"
FIELDS = set(
    """id name slug logo_media_id created_at updated_at membership_level plugins_access_level teams projects
    available_product_features is_member_join_email_enabled metadata customer_id enforce_2fa members_can_invite
    members_can_use_personal_api_keys allow_publicly_shared_resources member_count is_ai_data_processing_approved
    default_experiment_stats_method default_role_id""".split()  # noqa: SIM905 the specification's own list
)


def join(user: Any, organization: Any, level: int = 1) -> None:
    OrganizationMembership.objects.create(user=user, organization=organization, level=level)


def test_list_and_retrieve_show_the_whole_organization(cast: Cast) -> None:
    listed = parsed(cast.as_owner().get("/api/organizations"))
    assert listed["count"] == 1
    for path in ("@current", str(cast.organization.pk)):
        body = parsed(cast.as_owner().get(f"{LIST}{path}/"))
        assert body == listed["results"][0]
        assert set(body) == FIELDS
    assert body["member_count"] == 2
    assert body["projects"][0] == {
        "id": cast.team.pk, "organization_id": str(cast.organization.pk), "name": cast.team.name,
    }  # fmt: skip
    assert [team["id"] for team in body["teams"]] == [cast.team.pk, cast.other_team.pk]


def test_the_list_is_paged_in_the_order_of_joining(cast: Cast) -> None:
    names = ["Acme"]
    for number in range(3):
        names.append(f"Other {number}")
        join(cast.owner, make_organization(name=names[-1]))
    caller = cast.as_owner()
    first = parsed(caller.get(f"{LIST}?limit=3"))
    assert first["count"] == 4
    rest = parsed(caller.get(first["next"]))
    assert [item["name"] for item in first["results"] + rest["results"]] == names
    assert parsed(caller.get(f"{LIST}?offset=9")) == {
        "count": 4, "next": None, "previous": "http://testserver/api/organizations/", "results": [],
    }  # fmt: skip


def test_each_organization_shows_its_own_projects(cast: Cast) -> None:
    join(cast.owner, cast.outside)
    join(cast.owner, make_organization(name="Empty"))
    listed = parsed(cast.as_owner().get(LIST))["results"]
    assert [[team["id"] for team in item["teams"]] for item in listed] == [
        [cast.team.pk, cast.other_team.pk], [cast.outside_team.pk], [],
    ]  # fmt: skip
    assert [team["effective_membership_level"] for item in listed for team in item["teams"]] == [15, 15, 1]


def statements(caller: Caller) -> int:
    with CaptureQueriesContext(connection) as seen:
        assert caller.get(f"{LIST}?limit=100").status_code == 200
    return len(seen)


def test_the_number_of_statements_does_not_grow(cast: Cast) -> None:
    caller = cast.as_owner()
    caller.get(LIST)
    few = statements(caller)
    for _ in range(7):
        organization = make_organization()
        join(cast.owner, organization)
        make_team(organization)
    assert statements(caller) == few <= 5


def test_inactive_members_do_not_count(cast: Cast) -> None:
    make_user(cast.organization, level=1, is_active=False)
    assert parsed(cast.as_owner().get(f"{LIST}@current/"))["member_count"] == 2


def test_a_key_is_shown_only_where_it_may_be_used(cast: Cast) -> None:
    closed = make_organization(name="Closed", members_can_use_personal_api_keys=False)
    join(cast.owner, closed)
    join(cast.member, closed, level=8)
    assert [item["name"] for item in parsed(cast.as_owner().get(LIST))["results"]] == ["Acme"]
    assert [item["name"] for item in parsed(cast.as_member().get(LIST))["results"]] == ["Acme", "Closed"]
    narrow = Caller(make_key(cast.member, scoped_organizations=[str(closed.pk)]))
    assert [item["name"] for item in parsed(narrow.get(LIST))["results"]] == ["Closed"]


@pytest.mark.parametrize("name", ["nonsense", "%00", "0" * 40, "00000000-0000-4000-8000-000000000000"])
@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
def test_what_is_no_organization_of_ones_own_is_not_there(cast: Cast, method: str, name: str) -> None:
    missing = (404, "invalid_request", "not_found", "Not found.", None)
    assert problem(cast.as_owner()(method, f"{LIST}{name}/", {"name": "x"} if method != "GET" else None)) == missing
    foreign = cast.as_owner()(method, f"{LIST}{cast.outside.pk}/", {"name": "x"} if method != "GET" else None)
    assert problem(foreign) == missing
