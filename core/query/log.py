"""The log of queries: one row of ClickHouse for each run, also of those that failed, through the outbox."""

from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from time import monotonic, perf_counter
from typing import Any, Final

from django.db import transaction

from core.api.json import dumps
from core.outbox.services import outbox_add_alone, outbox_nudge
from core.query.runners.base import QueryContext
from events.errors import EventStoreError
from events.rows import Table, query_log_row

MAX_TEXT: Final = 100_000
NUDGE_SECONDS: Final = 1.0
"""How often a process asks for the rows to be carried over; those of a burst that come later wait for the clock."""


class _Pace:
    """When something was last begun."""

    def __init__(self) -> None:
        self._last = -inf

    def begins(self, seconds: float) -> bool:
        """Tell whether it was so long ago, and if so, that it is begun now."""
        now = monotonic()
        if now - self._last < seconds:
            return False
        self._last = now
        return True


_pace: Final = _Pace()


@dataclass(frozen=True, slots=True)
class Logged:
    """What a row says of the request: its kind, the text of its HogQL or else its node, and the caller's name."""

    kind: str
    text: str
    name: str


def logged_text(node: Any) -> str:  # noqa: ANN401 a JSON object
    """Return what is asked as text: HogQL as it was sent, of other kinds the node."""
    text = node.get("query")
    if node.get("kind") == "HogQLQuery" and isinstance(text, str):
        return text[:MAX_TEXT]
    return dumps({name: value for name, value in node.items() if name != "tags"})[:MAX_TEXT].decode("utf-8", "ignore")


def run_log(logged: Logged, context: QueryContext, *, began: float, error: BaseException | None) -> None:
    """Put a row in the outbox; `began` is of `perf_counter`."""
    record = context.record
    row = query_log_row(
        team_id=context.team.id,
        query_id=context.query_id,
        event_time=datetime.now(UTC),
        query_duration_ms=round((perf_counter() - began) * 1000),
        read_rows=record.rows_read,
        read_bytes=record.bytes_read,
        result_rows=record.result_rows,
        memory_usage=record.memory,
        query=logged.text,
        kind=logged.kind,
        name=logged.name,
        is_personal_api_key_request=context.key_id is not None,
        created_by=context.user_id or 0,
        exception_code=_code(error),
        status="error" if error is not None else "success",
    )
    outbox_add_alone(context.team.id, {Table.QUERY_LOG: [row]})
    if _pace.begins(NUDGE_SECONDS):
        transaction.on_commit(outbox_nudge)


def _code(error: BaseException | None) -> int:
    while error is not None and not isinstance(error, EventStoreError):
        error = error.__cause__
    return (error.code or 0) if isinstance(error, EventStoreError) else 0
