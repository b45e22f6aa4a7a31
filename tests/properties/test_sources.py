"""Who owns an event of a random stream, against the stream's own plain rule."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.insights.source import EventScope, Source
from events.insights.statement import Statement
from tests.support.event_streams import DISTINCT_IDS, Stream, store, streams, waiting_owners

pytestmark = pytest.mark.usefixtures("clickhouse")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stream=streams(), waiting=st.sets(st.sampled_from(DISTINCT_IDS)))
def test_events_count_for_whom_they_belong_to_now(stream: Stream, waiting: set[str]) -> None:
    statement = Statement()
    team_id = store(stream, waiting=waiting)
    source = Source(EventScope(team_id, None, None, "UTC", waiting=waiting_owners(stream, waiting)), statement)
    rows = statement.rows(f"SELECT toString(actor), uuid FROM ({source.select({'uuid': 'e.uuid'})})")  # noqa: S608
    wanted = Counter((actor, event.uuid) for actor, events in stream.by_actor().items() for event in events)
    assert Counter(rows) == wanted
