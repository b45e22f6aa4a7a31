"""What Postgres still holds of persons that are to be erased: refused outbox rows, activity, kept answers."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import orjson
import zstandard
from django.db import transaction

from core.idempotency.services import answers_erase
from core.tenancy.statements import execute
from events.deletion_places import ACTIVITY, OUTBOX, Kind
from events.deletions import Key, keys_named, persons_named, targets_add
from events.rows import Row, Table, clickhouse_time

ENTRIES: Final = 500
_RECORDINGS: Final = frozenset({Table.SESSION_RECORDINGS, Table.SESSION_RECORDING_BLOBS})
_MAPPINGS: Final = frozenset({Table.PERSON_DISTINCT_IDS, Table.PERSON_DISTINCT_ID_OVERRIDES})
_TIMES: Final = ("created_at", "ingested_at", "timestamp")

_SPLITS: Final = """
SELECT id, team_id, created_at, detail::text FROM core_activitylog
WHERE team_id = ANY(ARRAY(SELECT DISTINCT team_id FROM core_deletionrequest WHERE run_id = %s AND kind = 'events'))
  AND scope = 'Person' AND activity = 'split_person' AND id > %s
ORDER BY id LIMIT %s
"""
_TEAMS: Final = """
SELECT team_id, max(requested_at) FROM core_deletionrequest WHERE run_id = %s AND kind <> 'project' GROUP BY team_id
"""


def answers_forget(run_id: UUID) -> None:
    """Forget the answers kept for repeated requests to the run's teams: they hold persons."""
    for team_id, until in execute(_TEAMS, [run_id]):
        answers_erase(team_id=team_id, until=until)


@dataclass(frozen=True, slots=True)
class _Names:
    """The keys of a run among some distinct ids."""

    by_name: Mapping[tuple[int, str], Sequence[Key]]

    @classmethod
    def among(cls, run_id: UUID, names: set[str]) -> "_Names":
        found: dict[tuple[int, str], list[Key]] = {}
        for key in keys_named(run_id, sorted(names)) if names else ():
            found.setdefault((key.team_id, key.distinct_id), []).append(key)
        return cls(found)

    def keys(self, team_id: int, name: str, kind: Kind) -> Iterator[Key]:
        return (key for key in self.by_name.get((team_id, name), ()) if key.kind == kind)


def activity_redact(run_id: UUID) -> None:
    """Put the hash of an erased distinct id in its place, in the log of splits: nothing else names distinct ids."""
    after = UUID(int=0)
    while entries := execute(_SPLITS, [run_id, after, ENTRIES]):
        after = entries[-1][0]
        details = [orjson.loads(entry[3] or "null") for entry in entries]
        names = _Names.among(run_id, set(_texts(details)))
        for (entry_id, team_id, created_at, _), detail in zip(entries, details, strict=True):
            _redact(run_id, entry_id, detail, _named_in(names, team_id, created_at, detail))


def _named_in(names: _Names, team_id: int, at: datetime, detail: object) -> dict[str, list[int]]:
    """Return the erased ids that an entry names, each with its requests."""
    found: dict[str, list[int]] = {}
    for text in set(_texts(detail)):
        requests = [key.request_id for key in names.keys(team_id, text, Kind.EVENTS) if at <= _aware(key.until)]
        if requests:
            found[text] = requests
    return found


def _redact(run_id: UUID, entry_id: UUID, detail: object, named: Mapping[str, Sequence[int]]) -> None:
    if not named:
        return
    requests = sorted({request for of_one in named.values() for request in of_one})
    targets_add(run_id, ACTIVITY, requests, token=f"{run_id}-{entry_id}")
    text = orjson.dumps(_replaced(detail, named)).decode()
    execute("UPDATE core_activitylog SET detail = %s::jsonb WHERE id = %s", [text, entry_id])


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(item)


def _replaced(value: object, named: Mapping[str, object]) -> object:
    if isinstance(value, str):
        return f"sha256:{hashlib.sha256(value.encode()).hexdigest()}" if value in named else value
    if isinstance(value, Mapping):
        return {key: _replaced(item, named) for key, item in value.items()}
    return [_replaced(item, named) for item in value] if isinstance(value, list) else value


def refused_rows_redact(run_id: UUID) -> None:
    """Take erased persons out of the outbox entries that ClickHouse refused and that stay for a look."""
    ids = execute("SELECT id FROM core_outboxrows WHERE refused_at IS NOT NULL ORDER BY id")
    for (entry_id,) in ids:
        with transaction.atomic():
            entries = execute(
                'SELECT "table", payload FROM core_outboxrows WHERE id = %s AND refused_at IS NOT NULL FOR UPDATE',
                [entry_id],
            )
            if entries:
                _rewrite(run_id, entry_id, *entries[0])


def _rewrite(run_id: UUID, entry_id: int, table: str, payload: bytes) -> None:
    lines = [line for line in zstandard.ZstdDecompressor().decompress(bytes(payload)).split(b"\n") if line]
    kept, requests = _without_erased(run_id, table, [orjson.loads(line) for line in lines])
    if len(kept) == len(lines):
        return
    targets_add(run_id, OUTBOX, requests, token=f"{run_id}-{entry_id}")
    if not kept:
        execute("DELETE FROM core_outboxrows WHERE id = %s", [entry_id])
        return
    rest = zstandard.ZstdCompressor(level=1).compress(b"\n".join(lines[number] for number in kept) + b"\n")
    execute("UPDATE core_outboxrows SET payload = %s, row_count = %s WHERE id = %s", [rest, len(kept), entry_id])


def _without_erased(run_id: UUID, table: str, rows: Sequence[Row]) -> tuple[list[int], list[int]]:
    """Return the numbers of the rows that stay, and one request id for each row and request that goes."""
    names = _Names.among(run_id, {name for row in rows for name in _names_of(table, row)})
    uuids = sorted({row["id"] for row in rows}) if table == Table.PERSONS else []
    persons = persons_named(run_id, uuids) if uuids else {}
    kept: list[int] = []
    requests: list[int] = []
    for number, row in enumerate(rows):
        if table == Table.PERSONS:
            version, named_by = persons.get((row["team_id"], row["id"]), (-1, []))
            asked = named_by if row["version"] < version else []
        else:
            asked = sorted({
                key.request_id
                for name in _names_of(table, row)
                for key in names.keys(row["team_id"], name, Kind.RECORDINGS if table in _RECORDINGS else Kind.EVENTS)
                if _is_due(table, row, key)
            })  # fmt: skip
        requests.extend(asked)
        if not asked:
            kept.append(number)
    return kept, requests


def _names_of(table: str, row: Row) -> list[str]:
    if table == Table.INGESTION_WARNINGS:
        return list(_texts(orjson.loads(row["details"])))
    return [row["distinct_id"]] if "distinct_id" in row else []


def _is_due(table: str, row: Row, key: Key) -> bool:
    """Decide about a row as events.deletions does about those in ClickHouse."""
    if table in _MAPPINGS:
        return bool(row["generation"] <= key.deleted_generation)
    until = clickhouse_time(_aware(key.until))
    times = [row[name] for name in _TIMES if name in row]
    return all(time <= until for time in times) and row.get("generation", 0) <= key.generation


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
