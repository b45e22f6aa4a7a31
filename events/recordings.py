"""Reads of stored session replay: which sessions and blocks there are, and what a deletion would take."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from events import client
from events.retention import ttl_apply
from events.rows import Table, clickhouse_time

type Ids = Sequence[tuple[str, int]]
"""Pairs of distinct id and generation."""

PAGE: Final = 1000

# A request that was sent again leaves two rows of a block until they are merged: FINAL shows one.
_BLOCKS: Final = """
SELECT uuid, window_id, distinct_id, generation, blob_key, size FROM session_recordings FINAL
WHERE team_id = {team_id:Int64} AND session_id = {session_id:String}
ORDER BY first_timestamp, last_timestamp, uuid
"""
_LINES: Final = """
SELECT lines FROM session_recording_blobs
WHERE team_id = {team_id:Int64} AND session_id = {session_id:String} AND uuid = {uuid:UUID}
ORDER BY created_at DESC LIMIT 1
"""
_EXISTING: Final = """
SELECT session_id, min(first_timestamp), max(last_timestamp) FROM session_recordings
WHERE team_id = {team_id:Int64} AND session_id IN {session_ids:Array(String)}
GROUP BY session_id
"""
_SESSIONS: Final = """
SELECT session_id, groupUniqArray(distinct_id), min(first_timestamp) AS started, max(last_timestamp),
       sum(event_count), sum(click_count), sum(keypress_count), sum(size), count()
FROM session_recordings FINAL
WHERE team_id = {team_id:Int64} AND (<ids>)
GROUP BY session_id ORDER BY started DESC, session_id LIMIT {limit:UInt32}
"""
_BLOB_KEYS: Final = """
SELECT DISTINCT blob_key FROM session_recordings
WHERE blob_key > {after:String} AND (<condition>)
ORDER BY blob_key LIMIT {page:UInt32}
"""
_OF_IDS: Final = "team_id = {team_id:Int64} AND (<ids>) AND created_at <= {until:DateTime64(6, 'UTC')}"


@dataclass(frozen=True, slots=True)
class BlockInfo:
    """What is known of a block; `size` in bytes of JSON, `blob_key` empty when the blob lies in ClickHouse."""

    uuid: UUID
    window_id: str
    distinct_id: str
    generation: int
    blob_key: str
    size: int


@dataclass(frozen=True, slots=True)
class Session:
    """A recorded session, summed over its blocks; timestamps are naive UTC."""

    session_id: str
    distinct_ids: tuple[str, ...]
    first_timestamp: datetime
    last_timestamp: datetime
    event_count: int
    click_count: int
    keypress_count: int
    size: int
    blocks: int


@dataclass(frozen=True, slots=True)
class Counts:
    """What a deletion of some ids would take."""

    rows: int
    blob_rows: int
    keys: int


def blocks_of_session(*, team_id: int, session_id: str) -> list[BlockInfo]:
    """Return the blocks of a session, earliest first."""
    rows = client.query(_BLOCKS, {"team_id": team_id, "session_id": session_id}).rows
    return [BlockInfo(UUID(str(row[0])), *row[1:]) for row in rows]


def block_lines(*, team_id: int, session_id: str, uuid: UUID) -> str:
    """Return the JSON lines of a block whose blob lies in ClickHouse; empty when there is none."""
    rows = client.query(_LINES, {"team_id": team_id, "session_id": session_id, "uuid": str(uuid)}).rows
    return str(rows[0][0]) if rows else ""


def existing_sessions(*, team_id: int, session_ids: Sequence[str]) -> dict[str, tuple[datetime, datetime]]:
    """Return first and last timestamp (naive UTC) of those of the sessions that have a recording."""
    found: dict[str, tuple[datetime, datetime]] = {}
    for chunk in client.parameter_chunks(list(dict.fromkeys(session_ids))):
        rows = client.query(_EXISTING, {"team_id": team_id, "session_ids": chunk}).rows
        found.update((session_id, (first, last)) for session_id, first, last in rows)
    return found


def sessions_of(*, team_id: int, ids: Ids, limit: int = 100) -> list[Session]:
    """Return the recorded sessions of these lives of distinct ids, latest first."""
    if not ids:
        return []
    condition, parameters = _ids_condition(ids)
    rows = client.query(_SESSIONS.replace("<ids>", condition), {"team_id": team_id, "limit": limit, **parameters}).rows
    return [Session(row[0], tuple(sorted(row[1])), *row[2:]) for row in rows]


def counts_of(*, team_id: int, ids: Ids, until: datetime) -> Counts:
    """Count what there is of these lives of distinct ids, received up to and including `until`."""
    if not ids:
        return Counts(0, 0, 0)
    condition, parameters = _until_condition(team_id, ids, until)
    ((rows, keys),) = client.query(
        f"SELECT count(), uniqExactIf(blob_key, blob_key != '') FROM session_recordings WHERE {condition}",  # noqa: S608 built of constants
        parameters,
    ).rows
    ((blob_rows,),) = client.query(
        f"SELECT count() FROM session_recording_blobs WHERE {condition}",  # noqa: S608 built of constants
        parameters,
    ).rows
    return Counts(rows, blob_rows, keys)


def blob_keys_of(*, team_id: int, ids: Ids, until: datetime) -> Iterator[str]:
    """Yield the keys of the blobs in S3 of these lives of distinct ids, received up to and including `until`."""
    if ids:
        yield from blob_keys_where(*_until_condition(team_id, ids, until))


def blob_keys_where(condition: str, parameters: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys of the blobs in S3 whose row in `session_recordings` meets a condition, in order.

    `condition` is SQL made of constants with its values bound by `parameters`. Reads 1,000 keys with each query,
    so memory stays flat and rows may be deleted meanwhile.
    """
    sql = _BLOB_KEYS.replace("<condition>", condition)
    after = ""
    while rows := client.query(sql, {**parameters, "after": after, "page": PAGE}).rows:
        for (after,) in rows:
            yield after


def _until_condition(team_id: int, ids: Ids, until: datetime) -> tuple[str, dict[str, Any]]:
    condition, parameters = _ids_condition(ids)
    bound = {"team_id": team_id, "until": clickhouse_time(until), **parameters}
    return _OF_IDS.replace("<ids>", condition), bound


def _ids_condition(ids: Ids) -> tuple[str, dict[str, Any]]:
    by_generation: dict[int, list[str]] = {}
    for distinct_id, generation in ids:
        by_generation.setdefault(generation, []).append(distinct_id)
    alternatives: list[str] = []
    parameters: dict[str, Any] = {}
    for generation, distinct_ids in by_generation.items():
        for chunk in client.parameter_chunks(distinct_ids):
            number = len(alternatives)
            alternatives.append(
                f"generation = {{generation_{number}:UInt32}} AND distinct_id IN {{ids_{number}:Array(String)}}"
            )
            parameters |= {f"generation_{number}": generation, f"ids_{number}": chunk}
    return " OR ".join(f"({one})" for one in alternatives), parameters


def retention_apply(days: int) -> list[str]:
    """Let ClickHouse drop recordings `days` after they arrived, or keep them for 0; return the tables changed."""
    tables = (Table.SESSION_RECORDINGS, Table.SESSION_RECORDING_BLOBS)
    return [table.value for table in tables if ttl_apply(table, column="created_at", days=days)]
