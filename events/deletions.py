"""Erases rows from ClickHouse for good: finds them by keys, deletes them in one mutation per table, counts again.

The keys of a run stand in `deletion_keys` (a distinct id with one of its lives and a time bound) and
`deletion_persons` (a dead person with the version of its tombstone). What they match is written down in
`deletion_targets` before anything is deleted, one line per row and request: so the counts of a receipt survive a
kill, and a mutation deletes exactly the rows that were counted, whatever is inserted meanwhile.
"""
# ruff: noqa: S608 - statements are made of this module's constants; values are bound

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import orjson
from django.conf import settings

from events import client
from events.deletion_places import KEPT, RECORDING_ROW, VALUES, VALUES_ROW, Place
from events.recordings import blob_keys_where
from events.rows import Row, Table, clickhouse_time

# Far more than a mutation's set needs in memory at once would be too much for the server: then it goes in slices.
TARGETS_PER_MUTATION: Final = 5_000_000
SECONDS_PER_STATEMENT: Final = 800
"""Below Celery's hard limit for a task. At 20 million rows a second this reads 16 billion."""
LOOKUP_KEYS: Final = 2_000
SPILLED_BYTES: Final = 256 * 1024 * 1024
_OUTSIDE: Final = "-" * 16
"""Stands for the hash of a row that is not in ClickHouse."""
SCRATCH: Final = ("deletion_keys", "deletion_persons", "deletion_targets", "deletion_teams")
"""What a run writes down, in partitions of its own; removed at its end."""


class MutationFailed(Exception):  # noqa: N818 named as events.errors names its own
    """ClickHouse could not carry out a deletion; the text is safe to show."""


@dataclass(frozen=True, slots=True)
class Key:
    """A distinct id up to one of its lives, and up to a moment; `deleted_generation` is the last dead life or -1."""

    request_id: int
    kind: str
    team_id: int
    distinct_id: str
    generation: int
    deleted_generation: int
    until: datetime


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the mutations of a run are."""

    parts_left: int
    tables_left: tuple[str, ...]


def keys_add(run_id: UUID, keys: Iterable[Key], persons: Iterable[tuple[int, int, str, int]], *, token: str) -> None:
    """Write down keys and (request_id, team_id, person UUID, version) of dead persons; once per token."""
    scratch_insert(
        "deletion_keys",
        (
            {
                "run_id": str(run_id),
                "request_id": key.request_id,
                "kind": key.kind,
                "team_id": key.team_id,
                "distinct_id": key.distinct_id,
                "generation": key.generation,
                "deleted_generation": key.deleted_generation,
                "until": clickhouse_time(key.until),
            }
            for key in keys
        ),
        token,
    )
    scratch_insert(
        "deletion_persons",
        (
            {"run_id": str(run_id), "request_id": request, "team_id": team, "person_id": uuid, "version": version}
            for request, team, uuid, version in persons
        ),
        token,
    )


def scratch_insert(table: str, rows: Iterable[Row], token: str) -> None:
    """Insert what a run writes down into one of SCRATCH; once per token."""
    payload = b"\n".join(map(orjson.dumps, rows))
    if payload:
        client.insert_json_rows(table, payload, token=f"{token}-{table}")


def targets_find(run_id: UUID, place: Place) -> None:
    """Write down every row of a place that the run's keys match."""
    named = f"if({place.within}, '{place.table}', '{KEPT}')" if place.notes_kept else f"'{place.table}'"
    condition = "" if place.notes_kept else f" AND {place.within}"
    distinct_id = f"if(place = '{KEPT}', r.distinct_id, '')" if place.notes_kept else "''"
    only_once = "DISTINCT" if place.once_per_request else ""
    row = place.row.replace("(", "(r.").replace(", ", ", r.")
    client.command(
        f"""INSERT INTO deletion_targets (run_id, place, request_id, row_hash, team_id, distinct_id)
        SELECT {only_once} {{run:UUID}}, {named} AS place, k.request_id, {row}, r.team_id, {distinct_id}
        {place.matched}{condition}""",
        {"run": run_id, "kind": place.kind.value},
        settings={"insert_deduplicate": 0, "max_insert_threads": 1},
        seconds=SECONDS_PER_STATEMENT,
    )


def targets_add(run_id: UUID, place: str, request_ids: Iterable[int], *, token: str) -> None:
    """Write down rows that were found outside ClickHouse, one per request id; once per token."""
    rows = (
        {"run_id": str(run_id), "place": place, "request_id": request_id, "row_hash": _OUTSIDE}
        for request_id in request_ids
    )
    scratch_insert("deletion_targets", rows, token)


def targets_total(run_id: UUID) -> dict[str, int]:
    """Return how many rows were found in each place, each once for all requests; KEPT is what matched and stays."""
    return dict(
        client.query(
            """SELECT place, count() FROM (
                SELECT place, row_hash FROM deletion_targets WHERE run_id = {run:UUID} AND row_hash != {outside:String}
                GROUP BY place, row_hash
                UNION ALL SELECT place, row_hash FROM deletion_targets
                WHERE run_id = {run:UUID} AND row_hash = {outside:String})
            GROUP BY place ORDER BY place""",
            {"run": run_id, "outside": _OUTSIDE},
            settings={"max_bytes_before_external_group_by": SPILLED_BYTES},
            seconds=SECONDS_PER_STATEMENT,
        ).rows
    )


def targets_by_request(run_id: UUID, *, first: int, last: int) -> dict[int, dict[str, int]]:
    """Return how many rows were found for each request of a range of ids, by place."""
    found: dict[int, dict[str, int]] = {}
    for request_id, place, count in client.query(
        "SELECT request_id, place, count() FROM deletion_targets WHERE run_id = {run:UUID}"
        " AND request_id BETWEEN {first:Int64} AND {last:Int64} GROUP BY request_id, place",
        {"run": run_id, "first": first, "last": last},
        seconds=SECONDS_PER_STATEMENT,
    ).rows:
        found.setdefault(request_id, {})[place] = count
    return found


def remaining(run_id: UUID, place: Place, *, most: int) -> dict[int, int]:
    """Count again what the keys match: rows by request, of `most` requests at most."""
    condition = "" if place.within == "true" else f" AND {place.within}"
    return dict(
        client.query(
            f"SELECT k.request_id, count() {place.matched}{condition} GROUP BY k.request_id LIMIT {{most:UInt32}}",
            {"run": run_id, "kind": place.kind.value, "most": most},
            seconds=SECONDS_PER_STATEMENT,
        ).rows
    )


def replicas_sync() -> None:
    """Wait until every replica has the keys and targets: each evaluates a mutation's subqueries on its own copy."""
    if settings.CLICKHOUSE_CLUSTER:
        for table in SCRATCH:
            client.command(
                f"SYSTEM SYNC REPLICA ON CLUSTER '{settings.CLICKHOUSE_CLUSTER}' {table}", seconds=SECONDS_PER_STATEMENT
            )


def rows_delete(run_id: UUID, place: str, *, row: str, among: str = "true", count: int) -> None:
    """Start what deletes the targets of a place: one mutation, or several in slices for very many rows.

    Those that were started already, by a run that was killed since, are left alone.
    """
    ((started,),) = client.query(
        "SELECT count() FROM system.mutations WHERE database = currentDatabase() AND table = {place:String}"
        " AND NOT is_killed AND position(command, {run:String}) > 0 AND position(command, 'deletion_targets') > 0",
        {"place": place, "run": str(run_id)},
    ).rows
    replicas_sync()
    slices = -(-count // TARGETS_PER_MUTATION)
    few = among.replace("{run:UUID}", f"toUUID('{run_id}')")
    for number in range(started, slices):
        part = f" AND reinterpretAsUInt64(row_hash) % {slices} = {number}" if slices > 1 else ""
        client.command(
            f"ALTER TABLE {place} DELETE WHERE {few} AND {row} IN (SELECT row_hash FROM deletion_targets"
            f" WHERE run_id = toUUID('{run_id}') AND place = '{place}'{part})",
            settings={"mutations_sync": 0, "allow_nondeterministic_mutations": 1},
        )


def mutations_progress(run_id: UUID) -> Progress:
    """Return how far the mutations of a run are. Raises MutationFailed, after ending it, when one cannot go on."""
    waiting = client.query(
        "SELECT table, mutation_id, parts_to_do, latest_fail_reason FROM system.mutations"
        " WHERE database = currentDatabase() AND NOT is_done AND NOT is_killed"
        " AND position(command, {run:String}) > 0",
        {"run": str(run_id)},
    ).rows
    for table, mutation_id, _, reason in waiting:
        if reason:
            client.command(
                "KILL MUTATION WHERE database = currentDatabase() AND table = {table:String}"
                " AND mutation_id = {id:String}",
                {"table": table, "id": mutation_id},
            )
            message = f"ClickHouse could not delete rows of {table}; its log says why."
            raise MutationFailed(message)
    return Progress(sum(parts for _, _, parts, _ in waiting), tuple(sorted({table for table, *_ in waiting})))


def empty_values_find(run_id: UUID, attempt_id: UUID) -> int:
    """Write down, under `attempt_id`, the summary rows that count no person, of teams that lost one; return how many.

    Nothing may be inserted into the summary between this and the start of its deletion.
    """
    client.command(
        f"""INSERT INTO deletion_targets (run_id, place, request_id, row_hash)
        SELECT {{attempt:UUID}}, '{VALUES}', 0, {VALUES_ROW} FROM person_property_values
        WHERE team_id IN (SELECT team_id FROM deletion_persons WHERE run_id = {{run:UUID}})
        GROUP BY team_id, key, value HAVING sum(persons) = 0""",
        {"run": run_id, "attempt": attempt_id},
        settings={"insert_deduplicate": 0},
        seconds=SECONDS_PER_STATEMENT,
    )
    return targets_total(attempt_id).get(VALUES, 0)


def blob_keys(run_id: UUID) -> Iterator[str]:
    """Yield the keys of stored objects that the found recordings point at, in order."""
    condition = f"""{RECORDING_ROW} IN (
        SELECT row_hash FROM deletion_targets
        WHERE run_id = {{run:UUID}} AND place = '{Table.SESSION_RECORDINGS}')"""
    return blob_keys_where(condition, {"run": run_id})


def persons_named(run_id: UUID, uuids: Sequence[str]) -> dict[tuple[int, str], tuple[int, list[int]]]:
    """Return the dead persons of a run among these UUIDs: (team_id, UUID) to version and request ids."""
    rows: list[tuple[int, UUID, int, list[int]]] = []
    for start in range(0, len(uuids), LOOKUP_KEYS):
        rows += client.query(
            """SELECT team_id, person_id, max(version), groupUniqArray(request_id) FROM deletion_persons
            WHERE run_id = {run:UUID} AND person_id IN {uuids:Array(UUID)} GROUP BY team_id, person_id""",
            {"run": run_id, "uuids": uuids[start : start + LOOKUP_KEYS]},
        ).rows
    return {(team_id, str(uuid)): (version, requests) for team_id, uuid, version, requests in rows}


def keys_named(run_id: UUID, names: Sequence[str]) -> Iterator[Key]:
    """Yield the run's keys among these distinct ids, of whatever team."""
    for chunk in client.parameter_chunks(names):
        for start in range(0, len(chunk), LOOKUP_KEYS):
            rows = client.query(
                """SELECT request_id, kind, team_id, distinct_id, generation, deleted_generation, until
                FROM deletion_keys WHERE run_id = {run:UUID} AND distinct_id IN {names:Array(String)}""",
                {"run": run_id, "names": chunk[start : start + LOOKUP_KEYS]},
            ).rows
            yield from (Key(*row) for row in rows)


def run_forget(run_id: UUID) -> None:
    """Remove all that a run wrote down."""
    for table in SCRATCH:
        _drop(table, str(run_id))


def other_runs(*, but: UUID | None) -> list[tuple[str, str]]:
    """Return what other runs wrote down and never removed: tables with their partitions."""
    return [
        (table, partition)
        for table, partition in client.query(
            "SELECT DISTINCT table, partition FROM system.parts WHERE database = currentDatabase() AND active"
            " AND table IN {tables:Array(String)} AND partition != {kept:String}",
            {"tables": list(SCRATCH), "kept": str(but)},
        ).rows
    ]


def other_runs_forget(*, but: UUID | None) -> None:
    """Remove what other runs wrote down; none of them may be at work."""
    for table, partition in other_runs(but=but):
        _drop(table, partition)


def _drop(table: str, partition: str) -> None:
    client.command(f"ALTER TABLE {table} DROP PARTITION '{UUID(partition)}'")
