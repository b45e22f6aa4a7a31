"""Whether a statement finds its events by the primary key, or reads all of the project's: told by EXPLAIN alone."""

from collections.abc import Iterator
from typing import Any, Final

import orjson
from django.conf import settings

from core.query.runners.base import QueryContext
from events import client
from events.errors import EventStoreError
from events.hogql.compile import Compiled

UNDECISIVE: Final = "undecisive"
SECONDS: Final = 5
_TABLE: Final = ".events"
# The keys after the team: a project's events are ordered by them.
_KEYS: Final = frozenset({"toDate(timestamp)", "event"})

type Json = Any


def index_use(compiled: Compiled, context: QueryContext) -> str:
    """Return `yes`, `partial` (some of the reads) or `no`; `undecisive` where no events are read, or nobody knows."""
    if "events" not in compiled.tables:
        return UNDECISIVE
    try:
        found = client.ask(
            f"EXPLAIN json = 1, indexes = 1 {compiled.sql}",
            compiled.parameters,
            team_id=context.team.id,
            query_id=context.query_id,
            seconds=SECONDS,
            memory_mb=settings.QUERY_MEMORY_MB,
            max_rows=100_000,
            max_bytes=settings.QUERY_MAX_RESULT_MB * 1024**2,
        )
    except EventStoreError:
        return UNDECISIVE
    plan = orjson.loads("".join(str(row[0]) for row in found.rows))
    reads = [_by_key(read) for read in _reads(plan)]
    if not reads:
        return UNDECISIVE
    return "yes" if all(reads) else "partial" if any(reads) else "no"


def _reads(plan: Json) -> Iterator[Json]:
    """Yield the steps of a plan that read the table of events."""
    waiting = [plan]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting.extend(one)
        elif isinstance(one, dict):
            if str(one.get("Description", "")).endswith(_TABLE) and one.get("Node Type", "").startswith("ReadFrom"):
                yield one
            waiting.extend(value for value in one.values() if isinstance(value, list | dict))


def _by_key(read: Json) -> bool:
    keys = {
        key for index in read.get("Indexes", []) if index.get("Type") == "PrimaryKey" for key in index.get("Keys", [])
    }
    return bool(keys & _KEYS)
