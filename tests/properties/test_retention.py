"""Retention against section 10 of insight_actors.md read sentence by sentence, through reading of parameters."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.insights.parameters import Parameters
from core.insights.project import InsightProject
from core.insights.retention import read_retention
from events.insights.retention import retention_page
from tests.support.event_streams import Stream, StreamEvent, store, streams
from tests.support.retention_oracle import Predicate, Table, Values, range_of, table_row

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clickhouse"), pytest.mark.timeout(900)]

# Some days before the clocks change there: by an hour or half of one, at midnight forward and back, or never.
ZONES = {
    "Europe/Berlin": [datetime(2024, 3, 26, tzinfo=UTC), datetime(2024, 10, 22, tzinfo=UTC)],
    "America/New_York": [datetime(2024, 3, 6, tzinfo=UTC), datetime(2024, 10, 29, tzinfo=UTC)],
    "America/Havana": [datetime(2024, 3, 6, tzinfo=UTC), datetime(2024, 10, 29, tzinfo=UTC)],
    "Africa/Cairo": [datetime(2024, 4, 22, tzinfo=UTC), datetime(2024, 10, 27, tzinfo=UTC)],
    "Australia/Lord_Howe": [datetime(2024, 4, 2, tzinfo=UTC), datetime(2024, 10, 1, tzinfo=UTC)],
    "Asia/Kathmandu": [datetime(2024, 1, 28, tzinfo=UTC)],
    "UTC": [datetime(2024, 2, 25, tzinfo=UTC), datetime(2023, 12, 28, tzinfo=UTC)],
}
PLANS = ["pro", "pro", "free", "1", 1, "", None]
plans = st.fixed_dictionaries({}, optional={"plan": st.sampled_from(PLANS), "vip": st.just("yes")})


def text_of(properties: Any, key: str) -> str:
    value = properties.get(key)
    return "" if value is None else str(value)


@st.composite
def entities(draw: st.DrawFn) -> tuple[dict[str, Any], Predicate]:
    name = draw(st.sampled_from(["a", "a", "b", None]))
    entity: dict[str, Any] = {"id": name, "type": "events"}
    vip = draw(st.sampled_from([False, False, False, False, True]))
    if vip:
        entity["properties"] = [{"key": "vip", "value": "yes", "type": "event"}]

    def matches(event: StreamEvent) -> bool:
        return (name is None or event.event == name) and (not vip or event.properties.get("vip") == "yes")

    return entity, matches


PERIODS = {
    "Hour": timedelta(hours=1),
    "Day": timedelta(days=1),
    "Week": timedelta(weeks=1),
    "Month": timedelta(days=30),
}


@dataclass(frozen=True)
class Place:
    """A stream about the time when the clocks of a zone change, and a row that one of its events often is in."""

    zone: str
    stream: Stream
    period: str
    total: int
    selected: int
    date_to: datetime


@st.composite
def places(draw: st.DrawFn) -> Place:
    zone = draw(st.sampled_from(sorted(ZONES)))
    stream = draw(streams(properties=plans, person_properties=plans, begin=draw(st.sampled_from(ZONES[zone]))))
    period, total = draw(st.sampled_from(sorted(PERIODS))), draw(st.sampled_from([1, 2, 3, 5, 11, 64, 65, 130]))
    # The row is so many periods before the last one, which is that of `date_to`.
    later = draw(st.integers(0, min(total - 1, 4)) | st.integers(0, total - 1))
    moment = draw(st.sampled_from([event.timestamp for event in stream.events] or [datetime(2024, 3, 1, tzinfo=UTC)]))
    beside = draw(st.sampled_from([timedelta(0), timedelta(0), timedelta(minutes=-31), timedelta(hours=5)]))
    date_to = (moment + PERIODS[period] * later + beside).astimezone(ZoneInfo(zone))
    return Place(zone, stream, period, total, total - 1 - later, date_to)


def table_of(place: Place, target: Predicate, returning: Predicate, **fields: Any) -> Table:
    since, until = range_of(place.date_to, place.period.lower(), place.total)
    return Table(ZoneInfo(place.zone), place.period.lower(), since, until, target, returning, **fields)


def asked(place: Place, *, first_time: bool, **params: Any) -> list[tuple[str, list[int]]]:
    """Ask about a stream and return the whole answer, part of which must be a page."""
    asked_for = {
        "period": place.period,
        "total_intervals": place.total,
        "date_to": place.date_to.isoformat(),
        "retention_type": "retention_first_time" if first_time else "retention_recurring",
        **params,
    }
    project = InsightProject(store(place.stream), place.zone)
    query = read_retention(Parameters(asked_for), project, now=datetime(2024, 6, 1, tzinfo=UTC))
    whole = retention_page(query, limit=100, offset=0)
    assert whole[1:3] == retention_page(query, limit=2, offset=1)
    return [(row.actor, row.appearances) for row in whole]


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    place=places(),
    target=entities(),
    returning=st.one_of(st.none(), entities()),
    first_time=st.booleans(),
)
def test_a_row_is_that_of_the_text(
    *,
    place: Place,
    target: tuple[dict[str, Any], Predicate],
    returning: tuple[dict[str, Any], Predicate] | None,
    first_time: bool,
) -> None:
    table = table_of(place, target[1], (returning or target)[1], first_time=first_time)
    found = asked(
        place, selected_interval=place.selected, target_entity=target[0], first_time=first_time,
        **({"returning_entity": orjson.dumps(returning[0]).decode()} if returning else {}),
    )  # fmt: skip
    assert found == table_row(table, place.stream.by_actor(), place.selected, place.total - place.selected)


@st.composite
def breakdowns(draw: st.DrawFn, place: Place) -> tuple[str, list[str], Values, list[str | int]]:
    """Draw a breakdown: its type, keys, the values that an event has, and those that are asked for."""
    kind, keys = draw(st.sampled_from(["event", "event", "person"])), draw(st.sampled_from([["plan"], ["plan", "vip"]]))

    def values_of(event: StreamEvent) -> tuple[str, ...]:
        owner = place.stream.owner(event)
        properties = event.properties if kind == "event" or owner is None else place.stream.person_properties[owner]
        return tuple(text_of(properties, key) for key in keys)

    had: list[list[str | int]] = [list(values_of(event)) for event in place.stream.events]
    return kind, keys, values_of, draw(st.sampled_from([*had, *had, ["free"], [1], ["pro", "yes"], []]))


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), place=places(), target=entities(), returning=entities(), first_time=st.booleans())
def test_a_row_of_values_is_that_of_the_text(
    *,
    data: st.DataObject,
    place: Place,
    target: tuple[dict[str, Any], Predicate],
    returning: tuple[dict[str, Any], Predicate],
    first_time: bool,
) -> None:
    kind, keys, values_of, values = data.draw(breakdowns(place))
    table = table_of(place, target[1], returning[1], first_time=first_time, breakdown=values_of)
    found = asked(
        place, target_entity=target[0], returning_entity=returning[0], first_time=first_time, breakdown_type=kind,
        breakdowns=[{"property": key, "type": kind} for key in keys], breakdown_values=values,
    )  # fmt: skip
    # Without values the number of the row stands for them.
    assert found == table_row(table, place.stream.by_actor(), tuple(map(str, values or [0])), place.total)


def test_the_range_of_the_text() -> None:
    noon = datetime(2024, 5, 2, 12, 34, tzinfo=ZoneInfo("Europe/Berlin"))
    assert [moment.isoformat() for moment in range_of(noon, "week", 3)] == [
        "2024-04-14T00:00:00+02:00",
        "2024-05-09T00:00:00+02:00",
    ]
    assert range_of(noon, "hour", 2) == (noon - timedelta(hours=1), noon + timedelta(hours=1))
