"""Limits of one project alone, and projects that are never refused."""

from typing import Any

import pytest

from core.access.throttles import rates_checked
from tests.core.conftest import Cast
from tests.core.http import Caller
from tests.factories import make_key

pytestmark = pytest.mark.django_db


def persons(team: Any) -> str:
    return f"/api/projects/{team.id}/persons/"


def override(team: Any, value: Any) -> None:
    team.rate_limits = value
    team.save()


def statuses(caller: Caller, team: Any, times: int) -> list[int]:
    return [caller.get(persons(team)).status_code for _ in range(times)]


def test_a_project_may_have_more_room_than_the_others(cast: Cast, limit: Any) -> None:
    limit(clickhouse_burst="1/minute", clickhouse_sustained="100/hour")
    override(cast.team, {"clickhouse_burst": "3/minute"})
    response = cast.as_owner().get(persons(cast.team))
    assert response.headers["RateLimit-Policy"] == '"clickhouse_burst";q=3;w=60, "clickhouse_sustained";q=100;w=3600'
    assert statuses(cast.as_owner(), cast.team, 3) == [200, 200, 429]
    assert statuses(cast.as_owner(), cast.other_team, 2) == [200, 429], "what it used was not the others'"


def test_a_project_with_less_room_neither_borrows_nor_eats_that_of_others(cast: Cast, limit: Any) -> None:
    limit(clickhouse_burst="3/minute")
    override(cast.team, {"clickhouse_burst": "1/minute"})
    assert statuses(cast.as_owner(), cast.team, 2) == [200, 429]
    assert statuses(cast.as_owner(), cast.other_team, 4) == [200, 200, 200, 429]
    assert statuses(cast.as_owner(), cast.team, 1) == [429]
    assert statuses(Caller(make_key(cast.owner)), cast.team, 2) == [200, 429], "each key has its own room"


def test_it_is_the_same_project_under_every_path(cast: Cast, limit: Any) -> None:
    limit(burst="100/minute", clickhouse_burst="100/minute")
    override(cast.team, {"burst": "2/minute"})
    paths = ("projects/{0}/", "environments/{0}/", "organizations/@current/projects/{0}/")
    found = [cast.as_owner().get(f"/api/{path.format(cast.team.id)}").status_code for path in paths]
    assert found == [200, 200, 429]


def test_a_limit_that_is_not_overridden_is_shared(cast: Cast, limit: Any) -> None:
    limit(clickhouse_burst="100/minute", clickhouse_sustained="2/hour")
    override(cast.team, {"clickhouse_burst": "50/minute"})
    assert statuses(cast.as_owner(), cast.team, 1) == [200]
    assert statuses(cast.as_owner(), cast.other_team, 2) == [200, 429]


def test_none_lifts_a_limit(cast: Cast, limit: Any) -> None:
    limit(clickhouse_burst="1/minute", clickhouse_sustained="5/hour")
    override(cast.team, {"clickhouse_burst": "none"})
    response = cast.as_owner().get(persons(cast.team))
    assert response.headers["RateLimit-Policy"] == '"clickhouse_sustained";q=5;w=3600'
    override(cast.team, {"clickhouse_burst": "none", "clickhouse_sustained": "none"})
    for _ in range(3):
        response = cast.as_owner().get(persons(cast.team))
        assert response.status_code == 200
        assert "RateLimit" not in response.headers


@pytest.mark.parametrize(
    "value", [None, {}, {"clickhouse_burst": None}, {"unknown": "9/minute"}, {"clickhouse_burst": "quickly"},
              {"clickhouse_burst": 7}, [], "none", 1]
)  # fmt: skip
def test_what_says_nothing_or_makes_no_sense_leaves_the_default(value: Any, cast: Cast, limit: Any) -> None:
    limit(clickhouse_burst="1/minute")
    override(cast.team, value)
    assert statuses(cast.as_owner(), cast.team, 2) == [200, 429]


def test_projects_on_the_allow_list_are_never_refused_nor_counted(
    cast: Cast, limit: Any, settings: Any, valkey: Any
) -> None:
    limit(clickhouse_burst="1/minute")
    settings.RATE_LIMITING_ALLOW_LIST_TEAMS = frozenset({cast.team.id})
    assert statuses(cast.as_owner(), cast.team, 3) == [200, 200, 200]
    assert not valkey.keys("*limit*")
    assert statuses(cast.as_owner(), cast.other_team, 2) == [200, 429]


def test_rates_that_can_be_stored() -> None:
    assert rates_checked(None) == {}
    assert rates_checked({}) == {}
    given = {"burst": "1000/minute", "sustained": "none", "clickhouse_burst": None}
    assert rates_checked(given) == {"burst": "1000/minute", "sustained": "none"}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ([], 'expected an object such as {"burst": "1000/minute"}'),
        ("burst=1/minute", 'expected an object such as {"burst": "1000/minute"}'),
        ({"bursts": "1/minute"}, "there is no limit 'bursts', only burst, sustained, clickhouse_burst, "),
        ({1: "1/minute"}, "there is no limit '1', only "),
        ({"burst": "1/fortnight"}, "burst: expected a number from 1 to 100000 per second, minute, hour or day, "),
        ({"burst": 100}, "burst: expected a number"),
        ({"burst": True}, "burst: expected a number"),
        ({"burst": {"a": 1}}, "burst: expected a number"),
        ({"burst": "x" * 10_000}, "burst: expected a number"),
    ],
)
def test_rates_that_cannot_be_stored(given: Any, text: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        rates_checked(given)
    assert str(raised.value).startswith(text)
    assert len(str(raised.value)) < 400
