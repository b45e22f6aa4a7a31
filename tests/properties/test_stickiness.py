"""Stickiness against section 8 of insight_actors.md read sentence by sentence, through reading of parameters."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.insights.parameters import Parameters
from core.insights.project import InsightProject
from core.insights.stickiness import read_stickiness
from events.insights.stickiness import stickiness_page
from tests.support.calendar_oracle import day_ends
from tests.support.calendar_streams import places
from tests.support.event_streams import Stream, moments, store
from tests.support.stickiness_oracle import active_intervals

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clickhouse")]

# Longer than the numbers of bits that hold short ranges.
LONG = timedelta(days=300)


@st.composite
def questions(draw: st.DrawFn) -> tuple[str, str, Stream, date, date]:
    """Draw a zone, an interval, a stream and the first and last day."""
    zone, interval, begin, stream = draw(places(days=draw(st.sampled_from([1, 10, 60]))))
    times = moments(begin, 12)
    if stream.events:
        times = st.one_of(times, st.sampled_from([event.timestamp for event in stream.events]))
    since, until = sorted([draw(times), draw(times)])
    since -= draw(st.sampled_from([timedelta(0), timedelta(0), LONG]))
    here = ZoneInfo(zone)
    return zone, interval, stream, since.astimezone(here).date(), until.astimezone(here).date()


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    place=questions(),
    name=st.sampled_from(["a", "a", None]),
    wanted=st.integers(0, 6),
    week_start=st.integers(0, 1),
)
def test_active_intervals_are_those_of_the_specification(
    place: tuple[str, str, Stream, date, date], name: str | None, wanted: int, week_start: int
) -> None:
    zone, interval, stream, first, last = place
    since, until = day_ends(first, last, zone)
    expected = []
    for actor, events in stream.by_actor().items():
        times = [event.timestamp for event in events if name is None or event.event == name]
        count = active_intervals(times, since=since, until=until, interval=interval, zone=zone, week_start=week_start)
        if count == wanted and count:
            expected.append(actor)
    asked = {
        "entity_type": "events",
        "entity_id": name,
        "interval": interval,
        "date_from": first.isoformat() if interval != "hour" else since.isoformat(),
        "date_to": last.isoformat() if interval != "hour" else until.isoformat(),
        "stickiness_days": wanted,
    }
    project = InsightProject(store(stream), zone, week_start_day=week_start)
    query = read_stickiness(Parameters(asked), project, now=datetime(2024, 6, 1, tzinfo=UTC))
    whole = [row.actor for row in stickiness_page(query, limit=100, offset=0)]
    assert whole == sorted(expected)
    assert [row.actor for row in stickiness_page(query, limit=2, offset=1)] == whole[1:3]
