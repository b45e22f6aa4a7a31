"""What waits for ClickHouse: how much, for whoever watches over the server, and the newest rows of a table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
import zstandard

from core.tenancy.statements import execute, fetch_rows
from events.rows import Row, Table

_WAITING = """
SELECT count(*) FILTER (WHERE refused_at IS NULL), coalesce(sum(row_count) FILTER (WHERE refused_at IS NULL), 0),
       min(created_at) FILTER (WHERE refused_at IS NULL),
       count(*) FILTER (WHERE refused_at IS NOT NULL),
       coalesce(sum(row_count) FILTER (WHERE refused_at IS NOT NULL), 0)
FROM core_outboxrows
"""
_READMIT = "UPDATE core_outboxrows SET refused_at = NULL WHERE id = ANY(%s) AND refused_at IS NOT NULL RETURNING id"
# A worker that is far behind must not make readers slow.
_NEWEST = """
SELECT payload
FROM (SELECT id, "table", payload FROM core_outboxrows WHERE refused_at IS NULL ORDER BY id DESC LIMIT 20000) AS newest
WHERE "table" = %s ORDER BY id DESC LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class OutboxState:
    """Entries and the rows in them: those that wait, since when, and those that ClickHouse refused."""

    entries: int
    rows: int
    oldest_at: datetime | None
    refused_entries: int
    refused_rows: int


def outbox_state() -> OutboxState:
    """Count what is in the outbox, in one reading of it."""
    return OutboxState(*execute(_WAITING)[0])


def outbox_readmit(*, ids: Sequence[int]) -> int:
    """Let refused entries wait again; return how many of them were refused."""
    return len(execute(_READMIT, [list(ids)]))


def rows_waiting(table: Table, *, team_id: int, entries: int) -> Iterator[Row]:
    """Yield the rows of a team that wait for a table, the newest first, from its newest entries of all teams."""
    mark = f'"team_id":{team_id},'.encode()
    decompressor = zstandard.ZstdDecompressor()
    for (payload,) in fetch_rows(_NEWEST, [table.value, entries]):
        for line in reversed(decompressor.decompress(bytes(payload)).splitlines()):
            if mark in line and (row := orjson.loads(line))["team_id"] == team_id:
                yield row
