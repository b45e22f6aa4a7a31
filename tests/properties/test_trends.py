"""Trends against section 7 of insight_actors.md read sentence by sentence, through reading of parameters."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.insights.parameters import Parameters
from core.insights.project import InsightProject
from core.insights.trends import DAYS_EARLIER, MATHS, read_trends
from events.insights.rows import ActorRow
from events.insights.trends import PROPERTY_MATHS, trends_page
from tests.support.calendar_oracle import day_ends
from tests.support.calendar_streams import places
from tests.support.event_streams import Stream, StreamEvent, moments, store
from tests.support.trends_oracle import counts, days_earlier, number, value_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clickhouse")]

AMOUNTS = [1, 2.5, -3, 0, "7", "-0.25", "1e3", " 7", "7x", "0x10", "nan", "inf", "1e999", "", True, None, [1], {"a": 1}]
AMOUNTS += [1e308, 1.7e308, 2**62, "1180591620717411303424", "05", ".5"]
PLANS = ["pro", "free", "1", 1, "", None, "qu'o\"te"]
properties = st.fixed_dictionaries(
    {},
    optional={
        "amount": st.sampled_from(AMOUNTS),
        "plan": st.sampled_from(PLANS),
        "$group_1": st.sampled_from(["acme", "b", ""]),
    },
)
GROUPED = [math for math in MATHS if math == "unique_group" or math.endswith("_per_actor")]

type Passes = Callable[[StreamEvent, Any], bool]


@st.composite
def questions(draw: st.DrawFn) -> tuple[str, str, Stream, date, date]:
    """Draw a zone, an interval, a stream and the first and last day."""
    person_properties = st.fixed_dictionaries({}, optional={"plan": st.sampled_from(PLANS)})
    zone, interval, begin, stream = draw(places(properties=properties, person_properties=person_properties))
    times = moments(begin, 12)
    if stream.events:
        times = st.one_of(times, st.sampled_from([event.timestamp for event in stream.events]))
    first, last = sorted(draw(times).astimezone(ZoneInfo(zone)).date() for _ in range(2))
    return zone, interval, stream, first, last


def text(value: Any) -> str:
    return "" if value is None else str(value)


@st.composite
def breakdowns(draw: st.DrawFn) -> tuple[dict[str, Any], Passes]:
    """Draw parameters of a breakdown, and what an event of a person with such properties must be."""
    kind = draw(st.sampled_from(["event", "person"]))

    def of(event: StreamEvent, person: Any, key: str) -> Any:
        return (event.properties if kind == "event" else person).get(key)

    match draw(st.sampled_from(["none", "none", "value", "missing", "bin", "other", "several"])):
        case "value":
            value = draw(st.sampled_from(["pro", "free", "1", "qu'o\"te"]))
            asked = {"breakdown": "plan", "breakdown_type": kind, "breakdown_value": value}
            return asked, lambda event, person: text(of(event, person, "plan")) == value
        case "missing":
            value = draw(st.sampled_from(["", "$$_posthog_breakdown_null_$$"]))
            asked = {"breakdown": "plan", "breakdown_type": kind, "breakdown_value": value}
            return asked, lambda event, person: text(of(event, person, "plan")) == ""
        case "bin":
            low, high = draw(st.sampled_from([(0, 3), (-3, 1), (2.5, 7), (7, 7), (7, 2000)]))
            asked = {
                "breakdown": "amount",
                "breakdown_value": orjson.dumps([low, high]).decode(),
                "breakdown_histogram_bin_count": "5",
            }

            def inside(event: StreamEvent, _: Any) -> bool:
                found = number(event.properties.get("amount"))
                return found is not None and low <= found < high

            return asked, inside
        case "other":
            asked = {"breakdown": "plan", "breakdown_value": "$$_posthog_breakdown_other_$$"}
        case "several":
            asked = {"breakdown": '["plan"]', "breakdown_value": "pro"}
        case _:
            asked = {}
    return asked, lambda *_: True


def actor_of(event: StreamEvent, stream: Stream, math: str) -> str | None:
    owner = stream.owner(event)
    if owner is None:
        return None
    return (event.properties.get("$group_1") or None) if math in GROUPED else str(owner)


def agrees(rows: list[ActorRow], expected: dict[str, float | None]) -> None:
    found = {row.actor: row.value for row in rows}
    assert len(found) == len(rows)
    assert found == {actor: None if value is None else pytest.approx(value) for actor, value in expected.items()}
    by_actor = sorted(rows, key=lambda row: row.actor, reverse=True)
    assert rows == sorted(by_actor, key=lambda row: float("inf") if row.value is None else -row.value)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    place=questions(),
    name=st.sampled_from(["a", "a", None]),
    math=st.sampled_from([*MATHS, *PROPERTY_MATHS, *DAYS_EARLIER]),
    breakdown=breakdowns(),
    week_start=st.integers(0, 1),
)
def test_actors_and_values_are_those_of_the_specification(
    place: tuple[str, str, Stream, date, date],
    name: str | None,
    math: str,
    breakdown: tuple[dict[str, Any], Passes],
    week_start: int,
) -> None:
    zone, interval, stream, first, last = place
    asked, passes = breakdown
    since, until = day_ends(first, last, zone)
    amounts: dict[str, list[Any]] = {}
    for event in stream.events:
        actor = actor_of(event, stream, math)
        if actor is None or not passes(event, stream.person_properties[stream.owner(event)]):  # type: ignore[index]
            continue
        # The beginning is rounded first, and moved after that.
        moment = event.timestamp
        earlier = days_earlier(since, DAYS_EARLIER.get(math, 0), zone)
        rounded = counts(moment, since=since, until=until, interval=interval, zone=zone, week_start=week_start)
        if math in DAYS_EARLIER and interval in {"hour", "day"}:
            rounded = earlier <= moment <= until
        elif math in DAYS_EARLIER:
            shifted = days_earlier(moment, -DAYS_EARLIER[math], zone)
            rounded = moment <= until and counts(
                shifted, since=since, until=shifted, interval=interval, zone=zone, week_start=week_start
            )
        if rounded and (name is None or event.event == name):
            amounts.setdefault(actor, []).append(event.properties.get("amount"))
    expected: dict[str, float | None] = {
        actor: value_of(values, math) if math in PROPERTY_MATHS else len(values) for actor, values in amounts.items()
    }
    entity = {"id": name, "math": math, "math_property": "amount", "math_group_type_index": 1}
    params = {
        "events": orjson.dumps([entity]).decode(),
        "entity_order": 0,
        "interval": interval,
        "date_from": first.isoformat() if interval != "hour" else since.isoformat(),
        "date_to": last.isoformat() if interval != "hour" else until.isoformat(),
        **asked,
    }
    project = InsightProject(store(stream), zone, week_start_day=week_start)
    query = read_trends(Parameters(params), project, now=datetime(2024, 6, 1, tzinfo=UTC))
    whole = trends_page(query, limit=100, offset=0)
    agrees(whole, expected)
    assert trends_page(query, limit=2, offset=1) == whole[1:3]
