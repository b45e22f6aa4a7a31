"""Deletion requests and runs as they stand in Postgres: who is next, how far a run is, how it ended."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid4

import orjson
from django.db import transaction

from core.tenancy.statements import execute
from events.deletion_places import COUNTED, Kind
from events.deletions import Key

CHUNK: Final = 1_000
KEPT_DAYS: Final = 90
MAX_ERROR: Final = 400
ABANDONED: Final = "The run stopped before anything was erased."
_HIGHEST_ID: Final = 2**62

_CLAIM: Final = """
WITH claimed AS (UPDATE core_deletionrequest SET run_id = %s WHERE verified_at IS NULL RETURNING 1)
SELECT count(*) FROM claimed
"""
# Requests of persons whose whole project goes in the same run are left to it: see core.deletions.projects.
ALONE: Final = """r.kind <> 'project' AND NOT EXISTS (
    SELECT FROM core_deletionrequest p WHERE p.team_id = r.team_id AND p.kind = 'project' AND p.verified_at IS NULL
      AND (%(run)s::uuid IS NULL OR p.run_id = %(run)s))"""
_CHUNK: Final = f"""
SELECT r.id, r.kind, r.team_id, r.distinct_ids::text, r.tombstones::text FROM core_deletionrequest r
WHERE r.verified_at IS NULL AND (%(run)s::uuid IS NULL OR r.run_id = %(run)s) AND r.id > %(after)s AND {ALONE}
ORDER BY r.id LIMIT %(limit)s
"""  # noqa: S608 constants of this module
_OUTCOMES: Final = f"""
SELECT r.id, r.kind, r.run_id = %(run)s AS ours, r.distinct_ids::text, r.receipt::text, r.requested_at,
       r.requested_by_id, r.requested_by_email
FROM core_deletionrequest r
WHERE r.verified_at IS NULL AND (r.run_id = %(run)s OR r.id = ANY(%(found)s))
  AND r.id > %(after)s AND r.id <= %(last)s AND {ALONE}
ORDER BY r.id FOR UPDATE OF r
"""  # noqa: S608 constants of this module
VERIFIED: Final = """
UPDATE core_deletionrequest r
SET verified_at = done.at, receipt = done.receipt, distinct_ids = done.hashes, tombstones = '[]', last_error = ''
FROM jsonb_to_recordset(%s::jsonb) AS done(id bigint, at timestamptz, receipt jsonb, hashes jsonb)
WHERE r.id = done.id
"""
_NOT_YET: Final = """
UPDATE core_deletionrequest r
SET receipt = open.receipt, attempts = attempts + open.failed::int, run_id = nullif(run_id, %s),
    last_error = CASE WHEN open.failed THEN %s ELSE last_error END
FROM jsonb_to_recordset(%s::jsonb) AS open(id bigint, receipt jsonb, failed bool)
WHERE r.id = open.id
"""


@dataclass(slots=True)
class Run:
    """A run as stored: `step` is the last one completed, `found` the rows by place."""

    id: UUID
    started_at: datetime
    step: str
    requests: int
    found: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KeyChunk:
    """The keys of some requests, and (request_id, team_id, UUID, version) of their dead persons."""

    keys: Sequence[Key]
    persons: Sequence[tuple[int, int, str, int]]
    last_id: int


@dataclass(slots=True)
class Remaining:
    """What a second count still met: rows by request and place; `complete` is false when it met too much to list."""

    rows: dict[int, dict[str, int]] = field(default_factory=dict)
    complete: bool = True

    def add(self, place: str, counted: Mapping[int, int], *, most: int) -> None:
        """Note what was met in a place, by request; a count of `most` requests may have left others out."""
        self.complete = self.complete and len(counted) < most
        for request_id, count in counted.items():
            self.rows.setdefault(request_id, {})[place] = count


def run_unfinished() -> Run | None:
    """Return the run that was begun and has not ended."""
    rows = execute(
        "SELECT id, started_at, step, requests, found::text FROM core_deletionrun"
        " WHERE finished_at IS NULL ORDER BY started_at LIMIT 1"
    )
    for run_id, started_at, step, requests, found in rows:
        return Run(run_id, started_at, step, requests, orjson.loads(found))
    return None


def run_begin() -> Run | None:
    """Begin a run over all requests of all teams that wait; None when none does."""
    with transaction.atomic():
        ((run_id, started_at),) = execute(
            "INSERT INTO core_deletionrun (id, started_at, step, requests, verified, found)"
            " VALUES (%s, clock_timestamp(), 'claim', 0, 0, '{}') RETURNING id, started_at",
            [uuid4()],
        )
        ((claimed,),) = execute(_CLAIM, [run_id])
        if not claimed:
            execute("DELETE FROM core_deletionrun WHERE id = %s", [run_id])
            return None
        execute("UPDATE core_deletionrun SET requests = %s WHERE id = %s", [claimed, run_id])
    return Run(run_id, started_at, "claim", claimed)


def run_reached(run: Run, step: str) -> None:
    """Store that a step is completed."""
    run.step = step
    found = orjson.dumps(run.found).decode()
    execute("UPDATE core_deletionrun SET step = %s, found = %s::jsonb WHERE id = %s", [step, found, run.id])


def run_end(run_id: UUID, *, error: str = "") -> None:
    """Close a run; requests that it did not verify wait for the next one."""
    with transaction.atomic():
        execute(
            "UPDATE core_deletionrequest SET run_id = NULL WHERE run_id = %s AND verified_at IS NULL",
            [run_id],
        )
        execute(
            "UPDATE core_deletionrun SET finished_at = clock_timestamp(), last_error = %s WHERE id = %s",
            [error[:MAX_ERROR], run_id],
        )


def failure_note(run_id: UUID, text: str) -> None:
    """Keep why a run stopped, on itself and on its requests."""
    with transaction.atomic():
        execute(
            "UPDATE core_deletionrequest SET attempts = attempts + 1, last_error = %s"
            " WHERE run_id = %s AND verified_at IS NULL",
            [text[:MAX_ERROR], run_id],
        )
        execute("UPDATE core_deletionrun SET last_error = %s WHERE id = %s", [text[:MAX_ERROR], run_id])


def requests_waiting() -> int:
    """Return how many requests are not verified."""
    return int(execute("SELECT count(*) FROM core_deletionrequest WHERE verified_at IS NULL")[0][0])


def key_chunks(run_id: UUID | None) -> Iterator[KeyChunk]:
    """Yield the keys of a run's requests, or of all that wait, some thousand requests at a time."""
    after = 0
    while rows := execute(_CHUNK, {"run": run_id, "after": after, "limit": CHUNK}):
        after = rows[-1][0]
        keys: list[Key] = []
        persons: list[tuple[int, int, str, int]] = []
        for request_id, kind, team_id, distinct_ids, tombstones in rows:
            keys.extend(_keys(request_id, kind, team_id, orjson.loads(distinct_ids)))
            if kind == Kind.EVENTS:
                gone = orjson.loads(tombstones)
                persons.extend((request_id, team_id, person["uuid"], person["version"]) for person in gone)
        yield KeyChunk(keys, persons, after)


def _keys(request_id: int, kind: str, team_id: int, pairs: Sequence[Mapping[str, Any]]) -> Iterator[Key]:
    """Yield one key per distinct id: a later mention has the later life and the later bound."""
    latest: dict[str, tuple[datetime, int]] = {}
    dead: dict[str, int] = {}
    for pair in pairs:
        name, generation = pair["distinct_id"], pair["generation"]
        until = datetime.fromisoformat(pair["until"]).astimezone(UTC)
        latest[name] = max(latest.get(name, (until, generation)), (until, generation))
        if pair["deleted"]:
            dead[name] = max(dead.get(name, -1), generation)
    for name, (until, generation) in latest.items():
        yield Key(request_id, kind, team_id, name, generation, dead.get(name, -1), until)


type FoundOf = Callable[[int, int], Mapping[int, Mapping[str, int]]]
"""Returns, for the request ids from the first to the last, how many rows were found by place."""


def outcomes_write(run: Run, *, found_of: FoundOf, remaining: Remaining, error: str) -> int:
    """Verify every request of a run that nothing remains of, in one transaction; return how many those are.

    The others keep what was removed so far, and wait. So do those that were repeated during the run: they have
    left it, and are verified by the next one. `found_of` returns the rows found for a range of request ids.
    """
    verified = 0
    with transaction.atomic():
        ((at,),) = execute("SELECT clock_timestamp()")
        for first, last in _ranges(run.id):
            found = found_of(first + 1, last)
            rows = execute(_OUTCOMES, {"run": run.id, "found": list(found), "after": first, "last": last})
            verified += _outcomes_of(run, rows, found, remaining, at, error)
        verified_add(run.id, verified)
    return verified


def verified_add(run_id: UUID, count: int) -> None:
    """Count requests as verified by a run, in the transaction that verifies them."""
    execute("UPDATE core_deletionrun SET verified = verified + %s WHERE id = %s", [count, run_id])


def _ranges(run_id: UUID) -> Iterator[tuple[int, int]]:
    """Yield (after, last) of consecutive ranges of ids that hold some thousand of the run's requests each."""
    after = 0
    while ids := execute(
        "SELECT id FROM core_deletionrequest WHERE run_id = %s AND verified_at IS NULL AND id > %s"
        " ORDER BY id LIMIT %s",
        [run_id, after, CHUNK],
    ):
        yield after, ids[-1][0]
        after = ids[-1][0]
    yield after, _HIGHEST_ID


def _outcomes_of(  # noqa: PLR0913, PLR0917 one argument per fact
    run: Run,
    rows: Sequence[tuple[Any, ...]],
    found: Mapping[int, Mapping[str, int]],
    remaining: Remaining,
    at: datetime,
    error: str,
) -> int:
    done: list[dict[str, Any]] = []
    still_open: list[dict[str, Any]] = []
    for request_id, kind, ours, distinct_ids, earlier, requested_at, user_id, email in rows:
        tables, run_ids = _tables(run, kind, earlier, found.get(request_id, {}), remaining.rows.get(request_id, {}))
        failed = bool(ours) and (not remaining.complete or request_id in remaining.rows)
        if failed or not ours:
            partial = {"tables": tables, "run_ids": run_ids}
            still_open.append({"id": request_id, "receipt": partial, "failed": failed})
            continue
        asked = Asked(requested_at, user_id, email)
        done.append(verified_document(run, request_id, asked, orjson.loads(distinct_ids), tables, at))
    if done:
        execute(VERIFIED, [orjson.dumps(done).decode()])
    if still_open:
        execute(_NOT_YET, [run.id, error[:MAX_ERROR], orjson.dumps(still_open).decode()])
    return len(done)


@dataclass(frozen=True, slots=True)
class Asked:
    """When a request was made, and by whom: both None and empty when no user asked."""

    at: datetime
    user_id: int | None
    email: str


def facts_of(run: Run, asked: Asked, at: datetime) -> dict[str, Any]:
    """Return what every receipt says: who asked and when, which run carried it out, when it was verified."""
    return {
        "requested_at": _text(asked.at),
        "requested_by": {"id": asked.user_id, "email": asked.email}
        if asked.user_id is not None or asked.email
        else None,
        "run_id": run.id,
        "run_started_at": _text(run.started_at),
        "verified_at": _text(at),
    }


def verified_document(  # noqa: PLR0913, PLR0917 one argument per fact
    run: Run,
    request_id: int,
    asked: Asked,
    distinct_ids: Sequence[Mapping[str, Any]],
    tables: Mapping[str, Any],
    at: datetime,
) -> dict[str, Any]:
    """Return a verified request of a person as VERIFIED reads it: its receipt, and hashes for its distinct ids."""
    hashes = [
        {"sha256": hashlib.sha256(pair["distinct_id"].encode()).hexdigest(), "generation": pair["generation"]}
        for pair in distinct_ids
    ]
    receipt = {
        "request_id": request_id,
        **facts_of(run, asked, at),
        "tables": tables,
        "distinct_ids_sha256": sorted({pair["sha256"] for pair in hashes}),
    }
    return {"id": request_id, "at": at, "receipt": receipt, "hashes": hashes}


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"


def _tables(
    run: Run, kind: str, earlier: str | None, found: Mapping[str, int], remaining: Mapping[str, int]
) -> tuple[dict[str, dict[str, int]], list[str]]:
    """Return the counts of all runs so far by table; a run is added once, however often it is counted."""
    before = orjson.loads(earlier) if earlier else {}
    tables: dict[str, dict[str, int]] = before.get("tables", {})
    run_ids: list[str] = before.get("run_ids", [])
    counted = str(run.id) in run_ids
    result = {}
    for place, of_kind in COUNTED:
        if of_kind is not None and of_kind != kind:
            continue
        old = tables.get(place, {"found": 0, "removed": 0})
        new, left = (0 if counted else found.get(place, 0)), remaining.get(place, 0)
        result[str(place)] = {
            "found": old["found"] + new,
            "removed": old["removed"] + max(new - left, 0),
            "remaining": left,
        }
    return result, run_ids if counted else [*run_ids, str(run.id)]


def requests_prune() -> int:
    """Forget requests that were verified more than KEPT_DAYS ago, and runs that ended then; return how many."""
    gone = execute(
        "DELETE FROM core_deletionrequest WHERE verified_at < now() - make_interval(days => %s) RETURNING 1",
        [KEPT_DAYS],
    )
    execute(
        "DELETE FROM core_deletionrun d WHERE finished_at < now() - make_interval(days => %s)"
        " AND NOT EXISTS (SELECT FROM core_deletionrequest r WHERE r.run_id = d.id)",
        [KEPT_DAYS],
    )
    return len(gone)
