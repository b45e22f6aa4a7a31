"""StickinessQuery: how often an interval asks for the event, intervals taken together, and who is behind each number.

Over HTTP, against a slow twin.
"""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.persons.ingest import IngestTeam, NewEvent, events_ingest
from tests.core.insights.asking import Capture
from tests.core.persons.conftest import Api
from tests.core.query.asking import DAY, HOUR, NOON, answer, column
from tests.core.query.insights.support import dated, series, served
from tests.support.calendar_oracle import start_of
from tests.support.calendar_streams import places
from tests.support.event_streams import Stream

pytestmark = pytest.mark.usefixtures("db", "clickhouse")
KIND = "StickinessQuery"
WEEK = {"dateRange": {"date_from": "2024-05-01", "date_to": "2024-05-07"}, "series": series("a")}

type World = tuple[str, str, datetime, Stream]


@pytest.fixture
def shop(capture: Capture, stranger: Api) -> None:
    """From 2 May on: Ann does it 3, 1 and 2 times a day, Ben twice on one, Cem once on two. A neighbour's Cem often."""
    for who, times in (("ann", (3, 1, 2)), ("ben", (2,)), ("cem", (1, 1))):
        for day, count in enumerate(times):
            for number in range(count):
                capture(who, "a", timestamp=NOON + DAY * day + HOUR * number)
    events = [
        NewEvent(event="a", distinct_id="cem", uuid=uuid4(), timestamp=NOON + DAY * day + HOUR * hour, properties={})
        for day in range(5) for hour in range(4)
    ]  # fmt: skip
    events_ingest(team=IngestTeam(stranger.team.id), events=events)


def data(api: Api, *, criteria: tuple[str, int] | None = None, computed: str | None = None, **more: Any) -> list[float]:
    given: dict[str, Any] = {"computedAs": computed}
    if criteria is not None:
        given["stickinessCriteria"] = {"operator": criteria[0], "value": criteria[1]}
    (found,) = answer(api, KIND, **{**WEEK, **more}, stickinessFilter=given)["results"]
    return found["data"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        (None, [1, 1, 1, 0, 0, 0, 0]),
        (("gte", 0), [1, 1, 1, 0, 0, 0, 0]),
        (("gte", 2), [1, 1, 0, 0, 0, 0, 0]),
        (("exact", 2), [2, 0, 0, 0, 0, 0, 0]),
        (("lte", 2), [1, 2, 0, 0, 0, 0, 0]),
        (("exact", 1), [1, 1, 0, 0, 0, 0, 0]),
        (("gte", 4), [0, 0, 0, 0, 0, 0, 0]),
    ],
)
@pytest.mark.usefixtures("shop")
def test_days_that_meet_the_criteria(api: Api, criteria: tuple[str, int] | None, expected: list[int]) -> None:
    assert data(api, criteria=criteria) == expected
    cumulative = [sum(expected[place:]) for place in range(7)]
    assert data(api, criteria=criteria, computed="cumulative") == cumulative


@pytest.mark.usefixtures("shop")
def test_days_taken_together_from_the_last_one_back(api: Api) -> None:
    # 1 May | 2 and 3 May | 4 and 5 May | 6 and 7 May.
    assert data(api, intervalCount=2) == [2, 1, 0, 0]
    # 1 May | 2, 3 and 4 May | 5, 6 and 7 May.
    assert data(api, intervalCount=3) == [3, 0, 0]
    assert data(api, intervalCount=3, criteria=("gte", 6)) == [1, 0, 0]
    assert data(api, intervalCount=100) == [3]
    (found,) = answer(api, KIND, **WEEK, intervalCount=2)["results"]
    assert (found["labels"], found["days"]) == (["1 day", "2 days", "3 days", "4 days"], [1, 2, 3, 4])


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ({"day": 2}, ["cem"]),
        ({"day": "2", "operator": "gte"}, ["ann", "cem"]),
        ({"day": 2, "operator": "lte"}, ["ben", "cem"]),
        ({"day": 0, "operator": "gte"}, ["ann", "ben", "cem"]),
        ({"day": 0, "operator": "lte"}, []),
        ({"day": 0}, []),
    ],
)
@pytest.mark.usefixtures("shop")
def test_the_actors_of_a_number_of_days(api: Api, point: dict[str, Any], expected: list[str]) -> None:
    source = {"kind": "StickinessActorsQuery", "source": {"kind": KIND, **WEEK}, **point}
    found = column(answer(api, "ActorsQuery", source=source, select=["person"]))
    assert sorted(one["distinct_ids"][0] for one in found) == expected


@pytest.mark.usefixtures("shop")
def test_strangers_see_their_own(stranger: Api) -> None:
    assert data(stranger, criteria=("exact", 4)) == [0, 0, 0, 0, 1, 0, 0]


def twin(
    world: World, until: datetime, *, week_start: int, count: int, criteria: tuple[str, int] | None
) -> tuple[Counter[str], int]:
    """Return in how many intervals each actor was active, and how many there are."""
    zone, interval, begun, stream = world
    starts: list[object] = []
    moment = begun
    while moment <= until:
        start = start_of(moment, interval, zone, week_start)
        if start not in starts:
            starts.append(start)
        moment += timedelta(minutes=30)
    # The last one is in group 0.
    group = {start: (len(starts) - 1 - place) // count for place, start in enumerate(starts)}
    active: Counter[str] = Counter()
    for actor, events in stream.by_actor().items():
        times: Counter[int] = Counter()
        for event in events:
            if event.event == "a" and begun <= event.timestamp <= until:
                times[group[start_of(event.timestamp, interval, zone, week_start)]] += 1
        for number in times.values():
            operator, value = criteria or ("gte", 1)
            active[actor] += {"exact": number == value, "gte": number >= value, "lte": number <= value}[operator]
    return +active, len(set(group.values()))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    world=places(names=("a", "a", "b"), max_events=40),
    length=st.integers(0, 12),
    week_start=st.sampled_from([0, 1]),
    count=st.sampled_from([1, 1, 2, 3, 7]),
    criteria=st.none() | st.tuples(st.sampled_from(["exact", "gte", "lte"]), st.integers(1, 3)),
    operator=st.sampled_from([None, "exact", "gte", "lte"]),
    cumulative=st.booleans(),
)
def test_any_of_it_is_what_the_twin_says(
    world: World,
    length: int,
    week_start: int,
    count: int,
    criteria: tuple[str, int] | None,
    operator: str | None,
    *,
    cumulative: bool,
) -> None:
    zone, interval, begun, stream = world
    until = begun + timedelta(days=length, hours=5)
    api = served(stream, zone=zone, week_start=week_start)
    here = [one.astimezone(ZoneInfo(zone)) for one in (begun, until)]
    node: dict[str, Any] = {
        "interval": interval, "intervalCount": count, **dated(*here, explicitDate=True), "series": series("a"),
        "stickinessFilter": {
            "computedAs": "cumulative" if cumulative else "non_cumulative",
            "stickinessCriteria": {"operator": criteria[0], "value": criteria[1]} if criteria else None,
        },
    }  # fmt: skip
    active, length = twin(world, until, week_start=week_start, count=count, criteria=criteria)
    numbers = Counter(active.values())
    days = range(1, length + 1)
    exact = [numbers[day] for day in days]
    (found,) = answer(api, KIND, **node)["results"]
    assert found["data"] == ([sum(exact[place:]) for place in range(length)] if cumulative else exact)
    assert (found["days"], found["count"]) == (list(days), len(active))
    for day in (1, 2):
        by = "gte" if cumulative else operator
        wanted = [
            actor for actor, times in sorted(active.items())
            if {"gte": times >= day, "lte": times <= day}.get(by or "exact", times == day)
        ]  # fmt: skip
        point = {"source": {"kind": KIND, **node}, "day": day, "operator": operator}
        assert column(answer(api, "InsightActorsQuery", **point)) == wanted
