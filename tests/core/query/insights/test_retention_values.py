"""RetentionQuery broken down, by brackets, cumulative, with a least number of returns: over HTTP, against a twin."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.persons.ingest import IngestTeam, NewEvent, events_ingest
from tests.core.cohorts.conftest import calculate
from tests.core.insights.asking import Capture
from tests.core.persons.conftest import Api
from tests.core.query.asking import DAY, HOUR, NOON, answer, column, refusal
from tests.core.query.insights.support import served
from tests.support.calendar_streams import places
from tests.support.event_streams import Stream, StreamEvent
from tests.support.retention_oracle import Table, before, table_row, trunc, whole_range_of

pytestmark = pytest.mark.usefixtures("db", "clickhouse")
OTHER = "$$_posthog_breakdown_other_$$"
FILTER = {"targetEntity": {"id": "a"}, "returningEntity": {"id": "a"}, "totalIntervals": 3}
MAY = {"retentionFilter": FILTER, "dateRange": {"date_to": "2024-05-04"}}
BY_PLAN = {"breakdownFilter": {"breakdown": "plan", "breakdown_type": "event"}}

type World = tuple[str, str, datetime, Stream]


@pytest.fixture
def shop(capture: Capture, stranger: Api) -> None:
    """From 2 May on, Ann (pro, then free) comes thrice, Ben and Cem (free) once, Dan (basic) twice, Eve without a plan.

    A neighbour's Ann has a plan of theirs.
    """
    for who, plans in (
        ("ann", ("pro", "free", "free")), ("ben", ("free",)), ("cem", ("free",)), ("dan", ("basic", "basic")),
        ("eve", (None,)),
    ):  # fmt: skip
        for day, plan in enumerate(plans):
            properties = {} if plan is None else {"plan": plan}
            capture(who, "a", timestamp=NOON + DAY * day, properties=properties, set={"tier": who[0] < "c"})
    event = NewEvent(event="a", distinct_id="ann", uuid=uuid4(), timestamp=NOON, properties={"plan": "theirs"})
    events_ingest(team=IngestTeam(stranger.team.id), events=[event])


def blocks(api: Api, **node: Any) -> list[tuple[str, list[list[float]]]]:
    """Return the blocks of an answer in their order: the value, and the counts of each row."""
    found: list[tuple[str, list[list[float]]]] = []
    for row in answer(api, "RetentionQuery", **{**MAY, **node})["results"]:
        if row["label"].endswith(" 0"):
            found.append((row["breakdown_value"], []))
        assert row["breakdown_value"] == found[-1][0]
        found[-1][1].append([one["count"] for one in row["values"]])
    return found


def people(api: Api, breakdown: Any, row: int = 0, **node: Any) -> list[tuple[str, list[int]]]:
    source = {
        "kind": "InsightActorsQuery", "interval": row, "breakdown": breakdown,
        "source": {"kind": "RetentionQuery", **MAY, **node},
    }  # fmt: skip
    found = answer(api, "ActorsQuery", source=source, select=["person", "appearances"])["results"]
    return [(person["distinct_ids"][0], appearances) for person, appearances in found]


@pytest.mark.usefixtures("shop")
def test_a_block_for_each_value(api: Api) -> None:
    found = answer(api, "RetentionQuery", **MAY, **BY_PLAN)["results"]
    assert found[0] == {
        "breakdown_value": "pro", "date": "2024-05-02T00:00:00Z", "label": "Day 0",
        "values": [{"count": 1, "label": f"Day {day}"} for day in range(3)],
    }  # fmt: skip
    one = [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert blocks(api, **BY_PLAN) == [
        ("pro", [[1, 1, 1], [1, 1, 0], [1, 0, 0]]),
        ("basic", [[1, 1, 0], [1, 0, 0], [0, 0, 0]]),
        ("free", [[2, 0, 0], [0, 0, 0], [0, 0, 0]]),
        ("", one),
    ]
    assert people(api, ["free"], **BY_PLAN) == people(api, "free", **BY_PLAN)
    assert sorted(people(api, ["free"], **BY_PLAN)) == [("ben", [0]), ("cem", [0])]
    assert people(api, ["pro"], 1, **BY_PLAN) == [("ann", [0, 1])]
    assert people(api, [""], **BY_PLAN) == [("eve", [0])]
    assert people(api, ["theirs"], **BY_PLAN) == []
    assert len(people(api, None, **BY_PLAN)) == len(people(api, [], **BY_PLAN)) == 5


@pytest.mark.usefixtures("shop")
def test_values_beyond_the_limit_are_one(api: Api) -> None:
    most: dict[str, Any] = {"breakdownFilter": {**BY_PLAN["breakdownFilter"], "breakdown_limit": 1}}
    assert blocks(api, **most) == [
        ("pro", [[1, 1, 1], [1, 1, 0], [1, 0, 0]]), (OTHER, [[4, 1, 0], [1, 0, 0], [0, 0, 0]])
    ]  # fmt: skip
    assert sorted(people(api, [OTHER], **most)) == [("ben", [0]), ("cem", [0]), ("dan", [0, 1]), ("eve", [0])]
    assert people(api, [OTHER], 1, **most) == [("dan", [0])]
    most["breakdownFilter"]["breakdown_hide_other_aggregation"] = True
    assert [value for value, _ in blocks(api, **most)] == ["pro"]


@pytest.mark.usefixtures("shop")
def test_several_properties_and_expressions(api: Api) -> None:
    both = [{"property": "plan", "type": "event"}, {"property": "tier", "type": "person"}]
    found = blocks(api, breakdownFilter={"breakdowns": both})
    assert [(value, rows[0]) for value, rows in found] == [
        ("pro::true", [1, 1, 1]), ("basic::false", [1, 1, 0]), ("::false", [1, 0, 0]), ("free::false", [1, 0, 0]),
        ("free::true", [1, 0, 0]),
    ]  # fmt: skip
    for value in (["free", "true"], ["free::true"]):
        assert people(api, value, breakdownFilter={"breakdowns": both}) == [("ben", [0])]
    by_name = {"breakdownFilter": {"breakdown": "upper(properties.plan)", "breakdown_type": "hogql"}}
    assert [value for value, _ in blocks(api, **by_name)] == ["PRO", "BASIC", "FREE", ""]
    assert people(api, ["PRO"], **by_name) == [("ann", [0, 1, 2])]


@pytest.mark.usefixtures("shop")
def test_cohorts(api: Api) -> None:
    def cohort(name: str, *, tier: bool) -> int:
        condition = {"key": "tier", "value": tier, "type": "person", "operator": "exact"}
        filters = {"properties": {"type": "AND", "values": [{"type": "AND", "values": [condition]}]}}
        body = {"name": name, "filters": filters}
        path = f"/api/projects/{api.team.id}/cohorts/"
        made = api.client.post(path, body, content_type="application/json").json()
        calculate()
        return int(made["id"])

    first, rest = cohort("first", tier=True), cohort("rest", tier=False)
    by = {"breakdownFilter": {"breakdown": [rest, "all", first], "breakdown_type": "cohort"}}
    found = blocks(api, **by)
    assert [(value, rows[0]) for value, rows in found] == [
        ("0", [5, 2, 1]), *sorted([(str(rest), [3, 1, 0]), (str(first), [2, 1, 1])]),
    ]  # fmt: skip
    assert sorted(people(api, [str(first)], **by)) == [("ann", [0, 1, 2]), ("ben", [0])]
    assert len(people(api, "all", **by)) == len(people(api, ["0"], **by)) == 5
    source = {"kind": "RetentionQuery", **MAY, **by}
    assert "cohort" in refusal(api, "InsightActorsQuery", source=source, breakdown=["7000"])[2]


def test_a_period_with_enough_returns(api: Api, capture: Capture) -> None:
    for who, day, times in (("ann", 0, 1), ("ann", 1, 2), ("ann", 2, 1), ("ben", 0, 3)):
        for number in range(times):
            capture(who, "a", timestamp=NOON + DAY * day + HOUR * number)
    for least, expected in (
        (1, [[2, 1, 1], [1, 1, 0], [1, 0, 0]]),
        (2, [[2, 1, 0], [1, 0, 0], [1, 0, 0]]),
        (3, [[2, 0, 0], [1, 0, 0], [1, 0, 0]]),
    ):
        node = {"retentionFilter": {**FILTER, "minimumOccurrences": least}}
        rows = answer(api, "RetentionQuery", **{**MAY, **node})["results"]
        assert [[one["count"] for one in row["values"]] for row in rows] == expected
        assert "breakdown_value" not in rows[0]
        listed = {1: [0, 1, 2], 2: [0, 1], 3: [0]}[least]
        assert sorted(people(api, None, **node)) == [("ann", listed), ("ben", [0])]


def test_brackets_and_cumulative_tables(api: Api, capture: Capture) -> None:
    for who, days in (("ann", (0, 1, 4)), ("ben", (0, 3)), ("cem", (0, 5))):
        for day in days:
            capture(who, "a", timestamp=NOON + DAY * day)

    def first_row(**given: Any) -> list[tuple[str, float]]:
        node = {"retentionFilter": {**FILTER, "totalIntervals": 6, **given}, "dateRange": {"date_to": "2024-05-07"}}
        row = answer(api, "RetentionQuery", **node)["results"][0]
        return [(one["label"], one["count"]) for one in row["values"]]

    brackets = {"retentionCustomBrackets": [1, 3.0]}
    assert first_row(**brackets) == [("Day 0", 3), ("Day 1", 1), ("Day 2-4", 2)]
    assert [count for _, count in first_row(cumulative=True)] == [3, 3, 3, 3, 2, 1]
    assert [count for _, count in first_row(cumulative=True, **brackets)] == [3, 2, 2]
    node = {"retentionFilter": {**FILTER, "totalIntervals": 6, **brackets}, "dateRange": {"date_to": "2024-05-07"}}
    assert sorted(people(api, None, **node)) == [("ann", [0, 1, 2]), ("ben", [0, 2]), ("cem", [0])]
    source = {"kind": "RetentionQuery", **node}
    assert answer(api, "InsightActorsQuery", source=source)["columns"] == [
        "actor_id", "appearances", "day_0", "day_1", "day_2"
    ]  # fmt: skip


@pytest.mark.usefixtures("shop")
def test_strangers_see_their_own(stranger: Api) -> None:
    assert [value for value, _ in blocks(stranger, **BY_PLAN)] == ["theirs"]
    assert people(stranger, ["free"], **BY_PLAN) == []


@pytest.mark.parametrize(
    ("node", "part"),
    [
        ({"retentionFilter": {"minimumOccurrences": 0}}, "between"),
        ({"retentionFilter": {"minimumOccurrences": 2**40}}, "between"),
        ({"retentionFilter": {"minimumOccurrences": "2"}}, "valid integer"),
        ({"breakdownFilter": {"breakdown": "a", "breakdown_histogram_bin_count": 3}}, "histogram"),
        ({"breakdownFilter": {"breakdown": "a", "breakdown_type": "element"}}, "element"),
        ({"breakdownFilter": {"breakdown": "$session_duration", "breakdown_type": "session"}}, "of sessions"),
        ({"breakdownFilter": {"breakdown": "a", "breakdown_limit": 0}}, "between"),
        ({"breakdownFilter": {"breakdown": {"a": 1}}}, "valid string"),
        ({"breakdownFilter": {"breakdown": "a", "breakdown_type": "group"}}, "Field required"),
        ({"breakdownFilter": {"breakdown": 2**31 - 1, "breakdown_type": "cohort"}}, "no cohort"),
        ({"breakdownFilter": {"breakdown": "nope(", "breakdown_type": "hogql"}}, ""),
        ({"breakdownFilter": {"breakdowns": [{"property": "a"}] * 4}}, "at most 3"),
        ({"breakdownFilter": {"breakdown": "a", "breakdown_limit": 1000},
          "retentionFilter": {"totalIntervals": 100}}, "cells"),
        ({"dateRange": {"date_from": "2016-06-01", "date_to": "2024-05-04"},
          "retentionFilter": {"totalIntervals": 100}}, "cells"),
        ({"dateRange": {"date_from": "2016-01-01", "date_to": "2024-05-04"}}, "query__dateRange__date_from"),
        ({"dateRange": {"date_from": "1900-01-01", "date_to": "1900-01-04"},
          "retentionFilter": {"period": "Month", "totalIntervals": 1}}, "out of range"),
        ({"dateRange": {"date_from": "1900-01-01"}, "retentionFilter": {"period": "Month"}}, "out of range"),
    ],
)  # fmt: skip
def test_what_is_refused(api: Api, node: dict[str, Any], part: str) -> None:
    status, _, detail, attr = refusal(api, "RetentionQuery", **{**MAY, **node})
    assert status == 400, detail
    assert part in detail or part in str(attr), (detail, attr)


@pytest.mark.parametrize("breakdown", [["a"], "a", [{}], {"a": 1}, [1.5], ["a"] * 500])
def test_actors_of_a_value_that_is_none(api: Api, breakdown: Any) -> None:
    source = {"kind": "RetentionQuery", **MAY}
    assert refusal(api, "InsightActorsQuery", source=source, breakdown=breakdown)[0] == 400


PLANS = st.sampled_from(["pro", "pro", "free", "1", 1, "", None])
TEXTS = st.fixed_dictionaries({}, optional={"plan": PLANS, "vip": st.just("yes")})
BREAKDOWNS: dict[str, list[tuple[str, str]]] = {
    "event": [("plan", "event")],
    "person": [("plan", "person")],
    "both": [("plan", "event"), ("vip", "person")],
}


def value_of(stream: Stream, actor: str, events: Sequence[StreamEvent], keys: list[tuple[str, str]]) -> str:
    """Return the value of an actor: that of the first of its events that count."""
    places = {"event": events[0].properties, "person": stream.person_properties[UUID(actor)]}
    values = [places[place].get(key) for key, place in keys]
    return "::".join("" if value is None else str(value) for value in values)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    world=places(names=("a", "a", "b"), max_events=40, properties=TEXTS, person_properties=TEXTS),
    total=st.integers(1, 6),
    back=st.integers(0, 12),
    least=st.sampled_from([1, 1, 2, 3]),
    returning=st.sampled_from(["a", "b", None]),
    by=st.sampled_from([None, "event", "event", "person", "both"]),
    limit=st.sampled_from([1, 2, 25]),
    brackets=st.sampled_from([None, None, None, [1, 2], [2, 1, 9]]),
    first_time=st.booleans(),
    cumulative=st.booleans(),
    steps=st.sampled_from([None, None, -2, 0, 1, 3, 9, 40]),
)
def test_any_table_is_that_of_the_twin(
    world: World,
    total: int,
    back: int,
    least: int,
    returning: str | None,
    by: str | None,
    limit: int,
    brackets: list[int] | None,
    steps: int | None,
    *,
    first_time: bool,
    cumulative: bool,
) -> None:
    zone, period, begun, stream = world
    until = (begun + timedelta(days=back, minutes=17)).astimezone(ZoneInfo(zone))
    date_from = before(until, period, steps)
    since, end, count = whole_range_of(until, period, total, date_from)
    by_actor = stream.by_actor()
    often = frequent(world, least, returning, since, end)
    table = Table(
        ZoneInfo(zone), period, since, end, lambda one: one.event == "a", lambda one: one.uuid in often,
        first_time=first_time,
    )  # fmt: skip
    rows = [
        {
            actor: bracketed(ones, brackets)
            for actor, ones in table_row(table, by_actor, row, count - row if brackets else total)
        }
        for row in range(count)
    ]
    values: dict[str, str] = {}
    for actor in {actor for row in rows for actor in row}:
        counted = [
            one for one in by_actor[actor]
            if (one.event == "a" or returning in {None, one.event}) and one.timestamp <= end
            and (first_time or since <= one.timestamp)
        ]  # fmt: skip
        values[actor] = value_of(stream, actor, counted, BREAKDOWNS[by]) if by else ""
    sizes = Counter(values[actor] for row in rows for actor in row)
    ranked = sorted(sizes, key=lambda value: (-sizes[value], value))
    shown = {value: value if place < limit else OTHER for place, value in enumerate(ranked)}
    node: dict[str, Any] = {
        "retentionFilter": {
            "period": period.title(), "totalIntervals": total, "targetEntity": {"id": "a", "type": "events"},
            "returningEntity": {"id": returning, "type": "events"}, "minimumOccurrences": least,
            "retentionType": "retention_first_time" if first_time else "retention_recurring",
            "retentionCustomBrackets": brackets, "cumulative": cumulative,
        },
        "dateRange": {
            "date_from": date_from.isoformat() if date_from else None, "date_to": until.isoformat(),
            "explicitDate": True,
        },
    }  # fmt: skip
    if by:
        keys = [{"property": key, "type": place} for key, place in BREAKDOWNS[by]]
        node["breakdownFilter"] = {"breakdowns": keys, "breakdown_limit": limit}
    api = served(stream, zone=zone)
    found = answer(api, "RetentionQuery", **node)["results"]
    names = list(dict.fromkeys(shown.values())) if by else [None]
    assert [one.get("breakdown_value") for one in found] == [name for name in names for _ in range(count)]
    for place, one in enumerate(found):
        name, row = names[place // count], place % count
        expected = {actor: ones for actor, ones in rows[row].items() if name is None or shown[values[actor]] == name}
        assert [cell["count"] for cell in one["values"]] == [
            sum(any(ones[at:]) if cumulative else ones[at] for ones in expected.values())
            for at in range(len(brackets) + 1 if brackets else total)
        ], (name, row)
        if place % 3 == 0:
            point = {
                "source": {"kind": "RetentionQuery", **node}, "interval": row,
                "breakdown": None if name is None else [name],
            }  # fmt: skip
            listed = answer(api, "InsightActorsQuery", **point)
            order = sorted(expected.items(), key=lambda item: (-sum(item[1]), item[0]))
            assert column(listed) == [actor for actor, _ in order]
            assert column(listed, 1) == [[at for at, there in enumerate(ones) if there] for _, ones in order]


def bracketed(ones: list[int], brackets: list[int] | None) -> list[int]:
    """Return the ones and zeros of columns that stand for several periods each."""
    if brackets is None:
        return ones
    found, at = ones[:1], 1
    for size in brackets:
        found.append(int(any(ones[at : at + size])))
        at += size
    return found


def frequent(world: World, least: int, returning: str | None, since: datetime, end: datetime) -> set[UUID]:
    """Return the returning events in periods that have enough of them."""
    zone, period, _, stream = world
    found: set[UUID] = set()
    for events in stream.by_actor().values():
        inside = [one for one in events if returning in {None, one.event} and since <= one.timestamp <= end]
        starts = [trunc(one.timestamp, period, ZoneInfo(zone)) for one in inside]
        found |= {one.uuid for one, start in zip(inside, starts, strict=True) if starts.count(start) >= least}
    return found
