"""How much waits for ClickHouse, for whoever watches over the server."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from core.tenancy.statements import execute

_WAITING = """
SELECT count(*) FILTER (WHERE refused_at IS NULL), coalesce(sum(row_count) FILTER (WHERE refused_at IS NULL), 0),
       min(created_at) FILTER (WHERE refused_at IS NULL),
       count(*) FILTER (WHERE refused_at IS NOT NULL),
       coalesce(sum(row_count) FILTER (WHERE refused_at IS NOT NULL), 0)
FROM core_outboxrows
"""
_READMIT = "UPDATE core_outboxrows SET refused_at = NULL WHERE id = ANY(%s) AND refused_at IS NOT NULL RETURNING id"


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
