"""Requests to erase whole projects: what a run counts, removes and verifies of them, and their receipts.

Nothing of a deleted project is written any more (core.tenancy.holding), so after one drain its rows can be counted
in peace. The counts stand in the request's receipt before anything is removed: `found` by place, and `removed`, which
Postgres' batches add to in their own transactions. Objects in S3 are counted while they are removed: to list them
twice would take too long. The rows of the project itself go last, with the final receipt.

Requests of single persons of the project that still wait are not carried out on their own: when nothing of the whole
project is left, nothing of them is. Their receipts say with which project they were erased, and count only what runs
of their own met before.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import batched, islice
from typing import Any, Final
from uuid import UUID

import orjson
import structlog
from django.db import IntegrityError, transaction

from core.deletions.project_rows import (
    PROJECT,
    REFUSED,
    STORES,
    project_delete,
    refused_rows_count,
    refused_rows_delete,
    removed_add,
    rows_count,
    rows_delete,
)
from core.deletions.queue import CHUNK, MAX_ERROR, VERIFIED, Asked, Run, facts_of, verified_add, verified_document
from core.tenancy.statements import execute
from events.deletion_teams import TEAM_TABLES, team_rows, teams_add

log = structlog.get_logger(__name__)

OBJECTS: Final = "s3.recordings"
OBJECTS_AT_ONCE: Final = 1_000
"""What S3 deletes with one request."""
MOST_LEFT: Final = 100_000
PLACES: Final = (*TEAM_TABLES, OBJECTS, *(store.place for store in STORES), REFUSED)
STILL_NAMED: Final = "Something still refers to the project; the log says what."

type Teams = Mapping[int, int]
"""The projects of a run: team id to request id."""
type Counts = Iterator[tuple[str, dict[int, int]]]
"""A place, and its rows by team."""

_WAITING: Final = """
SELECT team_id, id FROM core_deletionrequest
WHERE kind = 'project' AND verified_at IS NULL AND (%(run)s::uuid IS NULL OR run_id = %(run)s) ORDER BY id
"""
_FOUND: Final = """
UPDATE core_deletionrequest r
SET receipt = jsonb_set(coalesce(receipt, '{"found": {}, "removed": {}}'), ARRAY['found', %(place)s],
    to_jsonb(n.rows + coalesce((receipt #>> ARRAY['removed', %(place)s])::bigint, 0)))
FROM jsonb_to_recordset(%(counts)s::jsonb) AS n(id bigint, rows bigint)
WHERE r.id = n.id
"""
_SUM: Final = """
SELECT place, sum(rows::bigint)::bigint FROM core_deletionrequest, jsonb_each_text(receipt -> 'found') AS n(place, rows)
WHERE run_id = %s AND kind = 'project' AND verified_at IS NULL GROUP BY place HAVING sum(rows::bigint) > 0
"""
_REQUEST: Final = """
SELECT project_name, organization_id, requested_at, requested_by_id, requested_by_email, receipt::text
FROM core_deletionrequest WHERE id = %s
"""
_DONE: Final = """
UPDATE core_deletionrequest SET verified_at = %s, receipt = %s::jsonb, last_error = '' WHERE id = %s
"""
_NOT_YET: Final = """
UPDATE core_deletionrequest
SET receipt = %s::jsonb, attempts = attempts + 1, last_error = %s, run_id = NULL WHERE id = %s
"""
_OF_PERSONS: Final = """
SELECT id, distinct_ids::text, receipt::text, requested_at, requested_by_id, requested_by_email
FROM core_deletionrequest
WHERE team_id = %s AND kind <> 'project' AND verified_at IS NULL ORDER BY id LIMIT %s FOR UPDATE
"""
_RELEASE_PERSONS: Final = """
UPDATE core_deletionrequest SET attempts = attempts + 1, last_error = %s, run_id = NULL
WHERE team_id = %s AND kind <> 'project' AND verified_at IS NULL AND run_id = %s
"""


def projects_waiting(run_id: UUID | None) -> dict[int, int]:
    """Return the projects whose erasure a run has taken, or of all that wait: team id to request id."""
    return dict(execute(_WAITING, {"run": run_id}))


def projects_collect(run_id: UUID, teams: Teams) -> None:
    """Write the teams down in ClickHouse."""
    for number, some in enumerate(batched(teams.items(), CHUNK, strict=False)):
        teams_add(run_id, ((request_id, team_id) for team_id, request_id in some), token=f"{run_id}-{number}")


def projects_count(run_id: UUID, teams: Teams, objects_of: Callable[[int], Iterable[str]] | None) -> Counts:
    """Yield each of PLACES with its rows by team; `objects_of` lists a team's objects in S3, None leaves them out.

    Of objects MOST_LEFT are counted at most.
    """
    ids = list(teams)
    for table in TEAM_TABLES:
        yield table, team_rows(run_id, table)
    objects = {} if objects_of is None else {team_id: islice(objects_of(team_id), MOST_LEFT) for team_id in ids}
    yield OBJECTS, {team_id: sum(1 for _ in keys) for team_id, keys in objects.items()}
    for store in STORES:
        yield store.place, rows_count(store, ids)
    yield REFUSED, refused_rows_count(ids)


def found_write(teams: Teams, place: str, counts: Mapping[int, int]) -> None:
    """Store what was found in a place, on top of what earlier runs removed; once more changes nothing."""
    for some in batched(teams.items(), CHUNK, strict=False):
        rows = [{"id": request_id, "rows": counts.get(team_id, 0)} for team_id, request_id in some]
        execute(_FOUND, {"place": place, "counts": orjson.dumps(rows).decode()})


def found_total(run_id: UUID) -> dict[str, int]:
    """Return the rows found of all projects of a run by place."""
    return dict(execute(_SUM, [run_id]))


def objects_erase(
    teams: Teams, objects_of: Callable[[int], Iterable[str]], delete: Callable[[Iterable[str]], object]
) -> Iterator[int]:
    """Remove every object of the projects, also those that a failed request left, yielding how many after each batch.

    A kill between a batch and its count makes `removed` smaller by that batch.
    """
    for team_id, request_id in teams.items():
        for keys in batched(objects_of(team_id), OBJECTS_AT_ONCE, strict=False):
            delete(keys)
            removed_add(request_id, OBJECTS, len(keys))
            yield len(keys)
    found_write(teams, OBJECTS, {})


def rows_erase(teams: Teams) -> Iterator[int]:
    """Remove all that Postgres keeps of the projects but their own rows, yielding after each batch how many it took."""
    yield from refused_rows_delete(teams)
    for team_id, request_id in teams.items():
        for store in STORES:
            yield from rows_delete(store, team_id=team_id, request_id=request_id)


def outcomes_write(run: Run, teams: Teams, remaining: Mapping[int, Mapping[str, int]], *, error: str) -> None:
    """Delete the projects of which nothing remains and write their receipts; the others wait for the next run."""
    for team_id, request_id in teams.items():
        left = {place: count for place, count in remaining.get(team_id, {}).items() if count}
        if left:
            _leave(run, team_id, request_id, left, error)
            continue
        while _persons_verify(run, team_id, request_id) == CHUNK:
            pass
        try:
            _project_verify(run, team_id, request_id)
        except IntegrityError:
            log.exception("project_still_named", project=team_id)
            _leave(run, team_id, request_id, {}, STILL_NAMED)


def _project_verify(run: Run, team_id: int, request_id: int) -> None:
    with transaction.atomic():
        name, organization_id, *asked, partial = execute(_REQUEST, [request_id])[0]
        project_delete(team_id=team_id)
        tables = {
            place: {"found": removed, "removed": removed, "remaining": 0}
            for place, removed in (*_removed(orjson.loads(partial), {}).items(), (PROJECT, 1))
        }
        at = _clock()
        receipt = {
            "project_id": team_id,
            "name": name,
            "organization_id": organization_id,
            **facts_of(run, Asked(*asked), at),
            "tables": tables,
        }
        execute(_DONE, [at, orjson.dumps(receipt).decode(), request_id])
        verified_add(run.id, 1)


def _leave(run: Run, team_id: int, request_id: int, left: Mapping[str, int], error: str) -> None:
    with transaction.atomic():
        partial = orjson.loads(execute(_REQUEST, [request_id])[0][-1])
        partial["removed"] = _removed(partial, left)
        execute(_NOT_YET, [orjson.dumps(partial).decode(), error[:MAX_ERROR], request_id])
        execute(_RELEASE_PERSONS, [error[:MAX_ERROR], team_id, run.id])


def _removed(partial: Mapping[str, Mapping[str, int]], left: Mapping[str, int]) -> dict[str, int]:
    found, removed = partial["found"], partial["removed"]
    return {
        place: max(found.get(place, 0) - left.get(place, 0), 0) if place in TEAM_TABLES else removed.get(place, 0)
        for place in PLACES
    }


def _persons_verify(run: Run, team_id: int, request_id: int) -> int:
    """Verify some requests of persons of an erased project; return how many they are."""
    with transaction.atomic():
        rows: Sequence[tuple[Any, ...]] = execute(_OF_PERSONS, [team_id, CHUNK])
        at = _clock()
        done = []
        for own_id, distinct_ids, earlier, *asked in rows:
            tables = orjson.loads(earlier).get("tables", {}) if earlier else {}
            for counts in tables.values():
                counts.update(removed=counts["found"], remaining=0)
            document = verified_document(run, own_id, Asked(*asked), orjson.loads(distinct_ids), tables, at)
            document["receipt"]["erased_with_project"] = {"project_id": team_id, "request_id": request_id}
            done.append(document)
        if done:
            execute(VERIFIED, [orjson.dumps(done).decode()])
            verified_add(run.id, len(done))
    return len(rows)


def _clock() -> datetime:
    at: datetime = execute("SELECT clock_timestamp()")[0][0]
    return at
