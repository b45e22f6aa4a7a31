"""properties_timeline against a plain loop over the events."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events import client
from events.insights.entities import EventMatch
from events.rows import Table, event_row
from events.timeline import Window, timeline

pytestmark = pytest.mark.usefixtures("clickhouse")

BEGIN = datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC)
moments = st.sampled_from([0, 1, 2, 1_000_000, 86_400_000_000]).map(lambda us: BEGIN + timedelta(microseconds=us))


@dataclass(frozen=True)
class Event:
    owner: int
    generation: int
    event: str
    timestamp: datetime
    uuid: UUID
    properties: dict[str, Any]


events = st.builds(
    Event,
    owner=st.integers(0, 2),
    generation=st.integers(0, 1),
    event=st.sampled_from(["view", "buy", "qu'o\"te"]),
    timestamp=moments,
    uuid=st.uuids(),
    properties=st.dictionaries(
        st.sampled_from(["tier", "ci'ty", "other"]), st.sampled_from([None, 1, True, "1", "", [1], {}]), max_size=3
    ),
)


def naive(rows: list[Event], keys: list[str]) -> list[tuple[datetime, dict[str, Any], int]]:
    points: list[tuple[datetime, dict[str, Any], int]] = []
    before = None
    for row in sorted(rows, key=lambda row: (row.timestamp, str(row.uuid))):
        state = [orjson.dumps(row.properties[key]) if key in row.properties else b"" for key in keys]
        if before is None or state != before:
            points.append((row.timestamp, row.properties, 0))
        before = state
        points[-1] = (*points[-1][:2], points[-1][2] + 1)
    return points


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(events, max_size=14, unique_by=lambda row: row.uuid),
    ids=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1)), max_size=3, unique_by=lambda pair: pair[0]),
    names=st.lists(st.sampled_from(["view", "buy", "qu'o\"te"]), max_size=2, unique=True),
    keys=st.lists(st.sampled_from(["tier", "ci'ty"]), max_size=2, unique=True),
    since=moments,
    until=moments,
    repeated=st.sampled_from([0, 0, 3]),
)
def test_points_are_those_of_a_plain_loop(
    rows: list[Event],
    ids: list[tuple[int, int]],
    names: list[str],
    keys: list[str],
    since: datetime,
    until: datetime,
    repeated: int,
) -> None:
    prefix = uuid4().hex
    lines = [
        orjson.dumps(
            event_row(
                team_id=7, uuid=row.uuid, event=row.event, distinct_id=f"{prefix}{row.owner}", timestamp=row.timestamp,
                created_at=BEGIN, properties="{}", person_id=UUID(int=1), person_created_at=BEGIN,
                person_properties=orjson.dumps(row.properties).decode(), generation=row.generation,
            )
        )
        for row in rows
    ]  # fmt: skip
    for part in (lines, lines[:repeated]):
        if part:
            client.insert_json_rows(Table.EVENTS, b"\n".join(part), token=str(uuid4()))
    counted = [
        row
        for row in rows
        if (row.owner, row.generation) in ids and since <= row.timestamp <= until and (not names or row.event in names)
    ]
    window = Window(
        team_id=7,
        person_id=UUID(int=1),
        ids=[(f"{prefix}{owner}", life) for owner, life in ids],
        since=since,
        until=until,
        matches=[EventMatch(name) for name in names] or None,
    )
    found = [
        (point.timestamp, orjson.loads(point.properties), point.relevant_event_count)
        for point in timeline(window, keys=keys, limit=100)
    ]
    assert found == naive(counted, keys)
