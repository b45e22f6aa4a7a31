"""The queue of a destination in Postgres: whose turn it is, what waits, and what became of it."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

import orjson
from django.conf import settings
from django.db import transaction

from core.tenancy.statements import execute

EVENTS_PER_SEND_MOST: Final = 500
BATCH_BYTES: Final = 4 * 1024 * 1024
_PORTION_FIRST: Final = 20
_PORTION_MOST: Final = 500
_PORTION_BYTES: Final = 8 * 1024 * 1024
_LONG: Final = "1 hour"
_AGED_AT_ONCE: Final = 1_000

# OFFSET 0 keeps the planner from joining: it may believe that reading the whole queue is cheaper than one look each.
# The team is held as writers hold it (core.tenancy.holding), without waiting.
_CLAIM: Final = f"""
SELECT d.plugin_config_id, d.team_id, d.attempts,
       coalesce(d.failing_since < statement_timestamp() - interval '{_LONG}', false),
       greatest(extract(epoch FROM d.next_attempt_at - statement_timestamp()), 0)::float8, d.is_slow
FROM core_plugindestination d JOIN core_team t ON t.id = d.team_id
WHERE d.is_active AND t.deleted_at IS NULL AND (%s OR NOT d.is_slow)
  AND d.next_attempt_at <= statement_timestamp() + %s * interval '1 second'
  AND EXISTS (SELECT FROM core_plugindelivery q
              WHERE q.team_id = d.team_id AND q.plugin_config_id = d.plugin_config_id AND q.dead_at IS NULL OFFSET 0)
ORDER BY d.next_attempt_at, d.plugin_config_id
LIMIT 1
FOR NO KEY UPDATE OF d SKIP LOCKED FOR KEY SHARE OF t SKIP LOCKED
"""  # noqa: S608 constants of this module
_PLACE: Final = "SELECT pg_try_advisory_xact_lock(hashtextextended('slow_destinations', %s))"
# Whoever erases a person's events waits for these locks, so that none is sent after it was erased. The order names
# dead_at, which is null in all of them, because the index has it before the id: without it the whole queue is sorted.
_READ: Final = """
WITH oldest AS MATERIALIZED (
    SELECT id, event_uuid, payload, alone,
           captured_at < statement_timestamp() - %(hours)s * interval '1 hour' AS aged
    FROM core_plugindelivery
    WHERE team_id = %(team)s AND plugin_config_id = %(config)s AND dead_at IS NULL AND id > %(after)s
    ORDER BY dead_at, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
SELECT id, event_uuid, payload, alone, aged
FROM (SELECT *, sum(octet_length(payload)) OVER (ORDER BY id) - octet_length(payload) AS before FROM oldest) AS o
WHERE before <= %(bytes)s ORDER BY id
"""
_REMOVE: Final = "DELETE FROM core_plugindelivery WHERE team_id = %s AND plugin_config_id = %s AND id = ANY(%s)"
_PART: Final = (
    "UPDATE core_plugindelivery SET alone = true WHERE team_id = %s AND plugin_config_id = %s AND id = ANY(%s)"
)
_BURY: Final = """
UPDATE core_plugindelivery q SET dead_at = statement_timestamp(), attempts = dead.a, error = dead.e
FROM json_to_recordset(%s::json) AS dead(i bigint, a int, e text)
WHERE q.id = dead.i AND q.team_id = %s AND q.plugin_config_id = %s
"""
_BURY_AGED: Final = """
WITH next AS MATERIALIZED (
    SELECT id, captured_at FROM core_plugindelivery
    WHERE team_id = %(team)s AND plugin_config_id = %(config)s AND dead_at IS NULL AND id > %(after)s
    ORDER BY dead_at, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE core_plugindelivery q SET dead_at = statement_timestamp(), error = %(error)s
FROM next WHERE q.id = next.id AND next.captured_at < statement_timestamp() - %(hours)s * interval '1 hour'
RETURNING 1
"""
_COUNT: Final = """
INSERT INTO core_plugindeliverycount AS c (team_id, plugin_config_id, bucket, delivered, failed, failed_attempts)
VALUES (%s, %s, date_bin('10 minutes', statement_timestamp(), '2000-01-01 00:00Z'), %s, %s, %s)
ON CONFLICT (plugin_config_id, bucket)
DO UPDATE SET delivered = c.delivered + excluded.delivered, failed = c.failed + excluded.failed,
              failed_attempts = c.failed_attempts + excluded.failed_attempts
"""
_REST: Final = """
UPDATE core_plugindestination
SET next_attempt_at = statement_timestamp() + %s * interval '1 second' WHERE plugin_config_id = %s AND team_id = %s
"""
_FINISH: Final = """
UPDATE core_plugindestination
SET attempts = %(attempts)s, last_error = %(error)s, is_slow = %(slow)s,
    next_attempt_at = statement_timestamp() + %(pause)s * interval '1 second',
    failing_since = CASE WHEN NOT %(failing)s THEN NULL
                         WHEN %(answered)s THEN statement_timestamp()
                         ELSE coalesce(failing_since, statement_timestamp()) END,
    last_delivered_at = CASE WHEN %(delivered)s THEN statement_timestamp() ELSE last_delivered_at END
WHERE plugin_config_id = %(config)s AND team_id = %(team)s
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """A destination whose row this transaction holds; `wait` are the seconds until it is due.

    `attempts` were made for its next event; it is `failing_long` when the receiver took nothing for an hour.
    """

    plugin_config_id: int
    team_id: int
    attempts: int
    failing_long: bool
    wait: float
    is_slow: bool


@dataclass(frozen=True, slots=True)
class WaitingEvent:
    """An event that waits, or one of several; `aged` is one that waited for longer than events should."""

    id: int
    uuid: UUID
    payload: str
    alone: bool
    aged: bool


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that is given up."""

    id: int
    attempts: int
    error: str


def claim_next(*, within: float) -> Claim | None:
    """Lock the destination that has been due for longest, or is due within so many seconds, until the commit.

    Those that others hold are passed over, and slow ones while PLUGIN_SLOW_AT_ONCE of them are served; None when
    there is no other for which events wait.
    """
    with transaction.atomic():
        claim = _claim(within, slow=True)
        if claim is None or not claim.is_slow or claim.wait > 0 or _slow_place():
            return claim
        transaction.set_rollback(True)
    return _claim(within, slow=False)


def _claim(within: float, *, slow: bool) -> Claim | None:
    rows = execute(_CLAIM, [slow, within])
    return Claim(*rows[0]) if rows else None


def _slow_place() -> bool:
    """Take one of the places for slow receivers until the commit, if one is free."""
    return any(execute(_PLACE, [number])[0][0] for number in range(settings.PLUGIN_SLOW_AT_ONCE))


class WaitingEvents:
    """The events that wait for a destination, oldest first, in batches; read and locked in growing portions."""

    def __init__(self, claim: Claim, *, events_per_send: int) -> None:
        self._claim = claim
        self._most = max(1, min(events_per_send, EVENTS_PER_SEND_MOST))
        self._portion = max(self._most, _PORTION_FIRST)
        self._after = 0
        self._events: deque[WaitingEvent] = deque()

    def next_batch(self) -> list[WaitingEvent]:
        """Return the next events that may go together: bounded in number and size; empty when none is left."""
        if not self._events:
            self._read()
        batch: list[WaitingEvent] = []
        size = 0
        while self._events and len(batch) < self._most:
            event = self._events[0]
            size += len(event.payload)
            if batch and (event.alone or size > BATCH_BYTES):
                break
            batch.append(self._events.popleft())
            if event.alone:
                break
        return batch

    def part(self, batch: Sequence[WaitingEvent]) -> None:
        """Put a batch back, to be returned event by event."""
        self._events.extendleft(replace(event, alone=True) for event in reversed(batch))

    def _read(self) -> None:
        claim = self._claim
        rows = execute(
            _READ,
            {
                "team": claim.team_id,
                "config": claim.plugin_config_id,
                "after": self._after,
                "limit": self._portion,
                "bytes": _PORTION_BYTES,
                "hours": settings.PLUGIN_DELIVERY_MAX_AGE_HOURS,
            },
        )
        self._events.extend(WaitingEvent(*row) for row in rows)
        if rows:
            self._after = rows[-1][0]
        # A slow receiver takes few events in a turn: most of a large portion would be locked for nothing.
        self._portion = max(self._most, min(self._portion * 4, _PORTION_MOST))


def delivered_remove(claim: Claim, ids: Sequence[int]) -> None:
    """Remove events that were delivered."""
    if ids:
        execute(_REMOVE, [claim.team_id, claim.plugin_config_id, list(ids)])


def events_part(claim: Claim, ids: Iterable[int]) -> None:
    """Let events be sent one by one from now on."""
    if found := list(ids):
        execute(_PART, [claim.team_id, claim.plugin_config_id, found])


def letters_bury(claim: Claim, letters: Sequence[DeadLetter]) -> None:
    """Turn events into dead letters."""
    if letters:
        rows = [{"i": letter.id, "a": letter.attempts, "e": letter.error} for letter in letters]
        execute(_BURY, [orjson.dumps(rows).decode(), claim.team_id, claim.plugin_config_id])


def aged_bury(claim: Claim, *, after: int, error: str) -> int:
    """Turn those of the next events into dead letters that waited for too long; return how many."""
    rows = execute(
        _BURY_AGED,
        {
            "team": claim.team_id,
            "config": claim.plugin_config_id,
            "after": after,
            "limit": _AGED_AT_ONCE,
            "error": error,
            "hours": settings.PLUGIN_DELIVERY_MAX_AGE_HOURS,
        },
    )
    return len(rows)


def outcomes_count(claim: Claim, *, delivered: int, failed: int, failed_attempts: int) -> None:
    """Add to the destination's counts of this time: events delivered and given up, and attempts that failed."""
    if delivered or failed or failed_attempts:
        execute(_COUNT, [claim.team_id, claim.plugin_config_id, delivered, failed, failed_attempts])


def destination_rest(claim: Claim, *, pause: float) -> None:
    """Let a destination be due in so many seconds, and change nothing else of it."""
    execute(_REST, [pause, claim.plugin_config_id, claim.team_id])


def destination_finish(  # noqa: PLR0913 what the row says
    claim: Claim,
    *,
    attempts: int,
    failing: bool,
    answered: bool,
    delivered: bool,
    slow: bool,
    pause: float,
    error: str,
) -> None:
    """Write down how a destination fares after its turn, and when it is due again, in so many seconds.

    `failing` says that its last attempt failed for now, `answered` that the receiver took or refused something before.
    """
    execute(
        _FINISH,
        {
            "config": claim.plugin_config_id,
            "team": claim.team_id,
            "attempts": attempts,
            "failing": failing,
            "answered": answered,
            "delivered": delivered,
            "slow": slow,
            "pause": pause,
            "error": error,
        },
    )
