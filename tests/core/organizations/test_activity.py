"""The activity log of an organization with all its projects."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.activity.models import ActivityLog
from core.activity.services import activity_log
from tests.core.conftest import Cast
from tests.core.http import Caller, parsed, problem
from tests.factories import make_key, make_user

LOG = "/api/organizations/@current/activity/"
LOW = (403, "authentication_error", "permission_denied", "Your organization access level is insufficient.", None)


def enter(cast: Cast, scope: str, item_id: str, *, team: int | None = None, organization: object = None) -> None:
    activity_log(
        team_id=team,
        organization_id=organization or cast.organization.pk,  # type: ignore[arg-type]
        user_id=cast.owner.pk,
        scope=scope,
        activity="created",
        item_id=item_id,
        detail={"name": f"{scope} {item_id}"},
    )


@pytest.fixture
def log(cast: Cast) -> list[tuple[str, str]]:
    enter(cast, "Role", "1")
    enter(cast, "Person", "1", team=cast.team.pk)
    enter(cast, "Role", "2")
    enter(cast, "Person", "1", team=cast.other_team.pk)
    enter(cast, "Person", "3", team=cast.outside_team.pk, organization=cast.outside.pk)
    return [("Person", "1"), ("Role", "2"), ("Person", "1"), ("Role", "1")]


def items(body: dict[str, object]) -> list[tuple[str, str]]:
    return [(entry["scope"], entry["item_id"]) for entry in body["results"]]  # type: ignore[attr-defined]


def test_everything_of_the_organization_is_listed_newest_first(cast: Cast, log: list[tuple[str, str]]) -> None:
    body = parsed(cast.as_owner().get(LOG))
    assert items(body) == log
    assert (body["next"], body["previous"], body["total_count"]) == (None, None, 4)
    assert body["results"][0]["user"] == {"first_name": cast.owner.first_name, "email": cast.owner.email}
    assert parsed(cast.as_owner().get(f"/api/organizations/{cast.organization.pk}/activity")) == body


def test_pages(cast: Cast, log: list[tuple[str, str]]) -> None:
    caller = cast.as_owner()
    first = parsed(caller.get(f"{LOG}?limit=3"))
    assert first["total_count"] == 4
    rest = parsed(caller.get(first["next"]))
    assert items(first) + items(rest) == log
    assert problem(caller.get(f"{LOG}?page=9"))[::3] == (404, "Invalid page.")
    for query in ("limit=0", "limit=x", "page=0", "page=-1"):
        assert problem(caller.get(f"{LOG}?{query}"))[0] == 400


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("scope=Role", [("Role", "2"), ("Role", "1")]),
        ("scope=Role&item_id=1", [("Role", "1")]),
        ("scope=Person&item_id=1", [("Person", "1"), ("Person", "1")]),
        ("scope=Person&item_id=3", []),
        ("scope=role", []),
        ("scope=%00", []),
        ("scope=" + "x" * 500, []),
        ("scope=&item_id=", [("Person", "1"), ("Role", "2"), ("Person", "1"), ("Role", "1")]),
    ],
)
@pytest.mark.usefixtures("log")
def test_scope_and_item_narrow_it(cast: Cast, query: str, expected: list[tuple[str, str]]) -> None:
    body = parsed(cast.as_owner().get(f"{LOG}?{query}"))
    assert (items(body), body["total_count"]) == (expected, len(expected))


def test_an_item_is_one_of_a_scope(cast: Cast) -> None:
    refused = problem(cast.as_owner().get(f"{LOG}?item_id=1"))
    assert refused == (400, "validation_error", "required", "This field is required.", "scope")


def test_who_may_read_it(cast: Cast) -> None:
    admin = make_user(cast.organization, level=8)
    assert Caller(make_key(admin, scopes=["activity_log:read"])).get(LOG).status_code == 200
    assert problem(cast.as_member().get(LOG)) == LOW
    refused = problem(Caller(make_key(admin, scopes=["organization:write"])).get(LOG))
    assert refused[3] == "API key missing required scope 'activity_log:read'"
    refused = problem(cast.as_owner().get(f"/api/organizations/{cast.outside.pk}/activity/"))
    assert refused[3] == "You do not have permission to perform this action."
    refused = problem(Caller(make_key(cast.owner, scoped_teams=[cast.team.pk])).get(LOG))
    assert refused[3] == "API keys with scoped projects are only supported on project-based endpoints."


def test_nothing_but_reading(cast: Cast) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert problem(cast.as_owner()(method, LOG))[0] == 403


@pytest.mark.parametrize("query", ["", "scope=Role&", "scope=Role&item_id=7&"])
def test_a_page_is_read_from_an_index_in_order(cast: Cast, query: str) -> None:
    rows = [
        ActivityLog(organization_id=organization, scope=scope, item_id=str(number % 50), activity="created")
        for number in range(400)
        for scope in ("Role", "Person")
        for organization in (cast.organization.pk, *[cast.outside.pk] * 9)
    ]
    ActivityLog.objects.bulk_create(rows, batch_size=2000)
    caller = cast.as_owner()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE core_activitylog")
    with CaptureQueriesContext(connection) as seen:
        assert caller.get(f"{LOG}?{query}limit=5").status_code == 200
    assert len(seen) <= 4
    page = next(found["sql"] for found in seen if "AS page" in found["sql"])
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {page}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "Index Only Scan using activity_org" in plan, plan
    assert "Seq Scan on core_activitylog" not in plan
