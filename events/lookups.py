"""Small look-ups in stored events."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from events import client
from events.rows import clickhouse_time

_KNOWN: Final = """
SELECT DISTINCT uuid FROM events
WHERE team_id = {team_id:Int64}
  AND timestamp >= parseDateTime64BestEffort({since:String}, 6, 'UTC')
  AND timestamp <= parseDateTime64BestEffort({until:String}, 6, 'UTC')
  AND uuid IN {uuids:Array(UUID)}
"""


def known_event_uuids(*, team_id: int, uuids: Sequence[UUID], since: datetime, until: datetime) -> set[UUID]:
    """Return which of these events are stored; only those from `since` to `until`, both included, are looked at.

    Reads the uuids of the team's events on the days in between, so the caller keeps that range narrow.
    """
    known: set[UUID] = set()
    for chunk in client.parameter_chunks([str(uuid) for uuid in uuids]):
        parameters = {
            "team_id": team_id,
            "since": clickhouse_time(since),
            "until": clickhouse_time(until),
            "uuids": chunk,
        }
        known.update(UUID(str(row[0])) for row in client.query(_KNOWN, parameters).rows)
    return known
