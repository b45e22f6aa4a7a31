"""Who owns an event of a random stream, against the stream's own plain rule."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings

from events.insights.source import EventScope, Source
from events.insights.statement import Statement
from tests.support.event_streams import Stream, store, streams

pytestmark = pytest.mark.usefixtures("clickhouse")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stream=streams())
def test_events_count_for_whom_they_belong_to_now(stream: Stream) -> None:
    statement = Statement()
    source = Source(EventScope(store(stream), None, None, "UTC"), statement)
    rows = statement.rows(f"SELECT toString(actor), uuid FROM ({source.select({'uuid': 'e.uuid'})})")  # noqa: S608
    wanted = Counter((actor, event.uuid) for actor, events in stream.by_actor().items() for event in events)
    assert Counter(rows) == wanted
