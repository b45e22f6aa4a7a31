"""Lifecycle against section 9 of insight_actors.md read sentence by sentence, through reading of parameters."""

from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.insights.lifecycle import read_lifecycle
from core.insights.parameters import Parameters
from core.insights.project import InsightProject
from events.insights.lifecycle import STATUSES, lifecycle_page
from tests.support.calendar_oracle import start_of
from tests.support.calendar_streams import places
from tests.support.event_streams import Stream, moments, store
from tests.support.lifecycle_oracle import MONDAY, statuses

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clickhouse")]

MARGINS = (timedelta(0), timedelta(days=3), timedelta(days=60))


@st.composite
def questions(draw: st.DrawFn) -> tuple[str, str, Stream, datetime, datetime, datetime]:
    """Draw a zone, an interval, a stream, the two dates and the date asked about."""
    zone, interval, begin, stream = draw(places())
    times = moments(begin, 12)
    if stream.events:
        times = st.one_of(times, st.sampled_from([event.timestamp for event in stream.events]))
    since, until = sorted([draw(times), draw(times)])
    margins = st.sampled_from(MARGINS)
    return zone, interval, stream, since - draw(margins), until + draw(margins), draw(times)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(question=questions(), name=st.sampled_from(["a", "a", None]), week_start=st.integers(0, 1))
def test_statuses_are_those_of_the_specification(
    question: tuple[str, str, Stream, datetime, datetime, datetime], name: str | None, week_start: int
) -> None:
    zone, interval, stream, since, until, target = question
    project = InsightProject(store(stream), zone, week_start_day=week_start)
    expected: dict[str, list[str]] = {status: [] for status in STATUSES}
    wanted = start_of(target, interval, zone, MONDAY)
    for person, born in stream.created_at.items():
        events = stream.by_actor().get(str(person), [])
        times = [event.timestamp for event in events if name is None or event.event == name]
        found = statuses(times, born, since=since, until=until, interval=interval, zone=zone)
        for status in STATUSES:
            if (status, wanted) in found:
                expected[status].append(str(person))
    for status, actors in expected.items():
        asked = {
            "events": [{"id": name}],
            "interval": interval,
            "date_from": since.isoformat(),
            "date_to": until.isoformat(),
            "explicit_date": True,
            "target_date": target.isoformat(),
            "lifecycle_type": status,
        }
        query = read_lifecycle(Parameters(asked, {key: str(asked[key]) for key in asked}), project, now=until)
        assert query is not None
        whole = [row.actor for row in lifecycle_page(query, limit=100, offset=0)]
        assert whole == sorted(actors), status
        if whole:
            assert [row.actor for row in lifecycle_page(query, limit=2, offset=1)] == whole[1:3]
