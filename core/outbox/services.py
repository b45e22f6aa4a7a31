"""The outbox: ClickHouse rows committed with the change that caused them, carried over in order, once.

A drain first names a batch (committed), then inserts it with tokens made from the batch's id, then
deletes it. A crash anywhere repeats an insert that ClickHouse drops by its token.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

import orjson
import redis
import structlog
import zstandard
from celery import current_app
from django.conf import settings
from django.db import transaction
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry

from core.tenancy.holding import TeamGoneError
from core.tenancy.statements import execute
from events import client
from events.errors import QueryFailed, QueryRefused
from events.rows import Row

log = structlog.get_logger(__name__)

MAX_BATCH_BYTES: Final = 8 * 1024 * 1024
NUDGE_LIFETIME_MS: Final = 2_000
PACE_MS: Final = 400
REDIS_PAUSE_SECONDS: Final = 5.0

_ADD = """
INSERT INTO core_outboxrows ("table", row_count, payload, created_at)
SELECT t, n, p, now() FROM unnest(%s::text[], %s::int[], %s) AS new(t, n, p)
"""

_ADD_TO_TEAM = """
WITH held AS MATERIALIZED (
    SELECT set_config('synchronous_commit', 'off', true) FROM core_team
    WHERE id = %s AND deleted_at IS NULL FOR KEY SHARE
)
INSERT INTO core_outboxrows ("table", row_count, payload, created_at)
SELECT t, n, p, now() FROM held, unnest(%s::text[], %s::int[], %s) AS new(t, n, p)
RETURNING id
"""

_BEGIN_BATCH = """
WITH waiting AS (
    SELECT id, sum(octet_length(payload)) OVER (ORDER BY id) - octet_length(payload) AS bytes_before
    FROM (SELECT id, payload FROM core_outboxrows WHERE batch_id IS NULL AND refused_at IS NULL
          ORDER BY id LIMIT %s) AS oldest
)
UPDATE core_outboxrows SET batch_id = %s
FROM waiting
WHERE core_outboxrows.id = waiting.id AND bytes_before <= %s
RETURNING octet_length(payload)
"""


def outbox_add(rows: Mapping[str, Sequence[Row]]) -> None:
    """Put rows in the outbox; must run inside the transaction of the change they describe."""
    if any(rows.values()):
        execute(_ADD, [*_columns(rows)])


def outbox_add_alone(team_id: int, rows: Mapping[str, Sequence[Row]]) -> None:
    """Put rows of a team in the outbox that describe no change, such as lines of a log; at least one.

    One statement is the whole transaction, and nobody waits for the disk because of it: a power cut may take the last
    rows. Raises TeamGoneError for a team that is deleted.
    """
    if not execute(_ADD_TO_TEAM, [team_id, *_columns(rows)]):
        raise TeamGoneError


def _columns(rows: Mapping[str, Sequence[Row]]) -> tuple[list[str], list[int], list[bytes]]:
    """Return the tables, numbers of rows and payloads of what is not empty."""
    filled = [(str(table), items) for table, items in rows.items() if items]
    compressor = zstandard.ZstdCompressor(level=1)
    payloads = [compressor.compress(b"\n".join(orjson.dumps(row) for row in items) + b"\n") for _, items in filled]
    return [table for table, _ in filled], [len(items) for _, items in filled], payloads


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that are inserted and deleted together; `more` says that others were waiting behind them."""

    id: UUID
    more: bool


def outbox_drain() -> int:
    """Carry what waits into ClickHouse; return the number of rows.

    What is committed meanwhile is left for the next drain, so that it goes in larger portions: an insert of
    100 rows costs ClickHouse about as much as one of 1,000. Raises StoreUnavailable when ClickHouse is away;
    nothing is lost then.
    """
    carried = 0
    while (batch := batch_begin()) is not None:
        carried += batch_finish(batch.id)
        if not batch.more:
            break
    return carried


def batch_begin() -> Batch | None:
    """Return the batch to carry next: one left by a crashed drain, else a new one of the oldest rows."""
    with transaction.atomic():
        execute("SELECT pg_advisory_xact_lock(hashtext('outbox_drain'))")
        left = execute("SELECT batch_id FROM core_outboxrows WHERE batch_id IS NOT NULL ORDER BY id LIMIT 1")
        if left:
            return Batch(left[0][0], more=True)
        batch_id = uuid4()
        sizes = execute(_BEGIN_BATCH, [settings.OUTBOX_BATCH_ENTRIES, batch_id, MAX_BATCH_BYTES])
    if not sizes:
        return None
    return Batch(
        batch_id, more=len(sizes) == settings.OUTBOX_BATCH_ENTRIES or sum(row[0] for row in sizes) > MAX_BATCH_BYTES
    )


def batch_finish(batch_id: UUID) -> int:
    """Insert a batch and delete it; return the number of rows, 0 when another drain did it first."""
    with transaction.atomic():
        # One drain has the whole batch or nothing of it: two halves under one token would lose the second.
        # The other waits, because rows may have come since that nobody else is told of.
        execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [str(batch_id)])
        entries = execute(
            'SELECT id, "table", row_count, payload FROM core_outboxrows WHERE batch_id = %s ORDER BY id', [batch_id]
        )
        by_table: dict[str, list[tuple[int, bytes]]] = {}
        for entry_id, table, _, payload in entries:
            by_table.setdefault(table, []).append((entry_id, bytes(payload)))
        refused: list[int] = []
        for table, parts in by_table.items():
            refused.extend(_insert(table, parts, str(batch_id)))
        carried = [entry_id for entry_id, *_ in entries if entry_id not in refused]
        execute("DELETE FROM core_outboxrows WHERE id = ANY(%s)", [carried])
        if refused:
            execute("UPDATE core_outboxrows SET batch_id = NULL, refused_at = now() WHERE id = ANY(%s)", [refused])
    return sum(int(count) for _, _, count, _ in entries)


def _insert(table: str, parts: Sequence[tuple[int, bytes]], token: str) -> list[int]:
    """Insert all parts at once; when ClickHouse refuses the rows, one by one, and return the ids refused.

    Refused rows stay in Postgres under `refused_at`, so that one bad row never stops the others.
    """
    decompressor = zstandard.ZstdDecompressor()
    texts = [(entry_id, decompressor.decompress(payload)) for entry_id, payload in parts]
    try:
        client.insert_json_rows(table, b"".join(text for _, text in texts), token=f"{token}-{table}")
    except (QueryRefused, QueryFailed):
        refused = []
        for entry_id, text in texts:
            try:
                client.insert_json_rows(table, text, token=f"{token}-{table}-{entry_id}")
            except (QueryRefused, QueryFailed) as error:
                log.exception("outbox_rows_refused", table=table, entry=entry_id, reason=str(error))
                refused.append(entry_id)
        return refused
    return []


class Nudger:
    """Tells the worker that something waits: at most one unread nudge at a time, and none while Redis is away."""

    def __init__(self, *, topic: str = "outbox", task: str = "tasks.outbox.outbox_drain") -> None:
        self._task = task
        self._nudged_key = f"persons-api:{topic}:nudged"
        self._begun_key = f"persons-api:{topic}:begun"
        self._lock = threading.Lock()
        self._redis: redis.Redis | None = None
        self._paused_until = 0.0

    def _client(self) -> redis.Redis:
        with self._lock:
            if self._redis is None:
                self._redis = redis.Redis.from_url(
                    settings.REDIS_URL,
                    socket_connect_timeout=0.25,
                    socket_timeout=0.5,
                    retry=Retry(NoBackoff(), 0),
                )
            return self._redis

    @property
    def is_paused(self) -> bool:
        """Whether Redis failed so lately that it is not asked again yet."""
        return time.monotonic() < self._paused_until

    def nudge(self) -> None:
        """Send a message unless one waits unread."""
        if self.is_paused:
            return
        try:
            if self._client().set(self._nudged_key, b"1", nx=True, px=NUDGE_LIFETIME_MS):
                current_app.send_task(self._task, expires=60, retry=False, ignore_result=True)
        except (redis.RedisError, OSError, OperationalError):
            self._paused_until = time.monotonic() + REDIS_PAUSE_SECONDS
            log.warning("nudge_failed", task=self._task)

    def wait(self) -> float:
        """Return the seconds until the next run may begin."""
        try:
            return max(int(self._client().pttl(self._begun_key)), 0) / 1000
        except redis.RedisError:
            return 0.0

    def forget(self) -> None:
        """Let the next nudge through, and note that a run begins."""
        try:
            pipe = self._client().pipeline(transaction=False)
            pipe.set(self._begun_key, b"1", px=PACE_MS)
            pipe.delete(self._nudged_key)
            pipe.execute()
        except redis.RedisError:
            log.warning("nudge_not_forgotten", task=self._task)


_nudger = Nudger()


def outbox_nudge() -> None:
    """Ask the worker to drain now; lost without harm, since the drain also runs by the clock."""
    _nudger.nudge()


def outbox_drain_paced() -> int:
    """Drain for a nudge: at once when the last one was a while ago, else after the rest of PACE_MS.

    A nudge that comes before the drain reads is covered by it, one that comes later is let through.
    """
    time.sleep(_nudger.wait())
    _nudger.forget()
    return outbox_drain()


def outbox_depth() -> int:
    """Return how many entries wait."""
    return int(execute("SELECT count(*) FROM core_outboxrows WHERE refused_at IS NULL")[0][0])
