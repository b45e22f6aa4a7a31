"""Every change of one property of a person, with the update that made it.

The rules are those of `events.history` with `$set_once` included. ClickHouse walks the operations on the key in the
order of replay and keeps those that changed the value; it compares hashes, and only the rows of the asked page travel.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from events import client
from events.errors import QueryTooBig
from events.history import (
    KIND_BITS,
    KIND_MASK,
    ONCE,
    ONCE_NULL,
    POSITION,
    ROWS,
    SET,
    SET_NULL,
    UNSET,
    UUID_MASK,
    Ids,
    Selection,
    read_object,
    selection_of,
)
from events.rows import LATEST

QUERY_MEMORY_BYTES: Final = 1024 * 1024 * 1024
# Rows of updates may be large: what does not fit is asked for in halves.
QUERY_RESULT_BYTES: Final = 32 * 1024 * 1024
NAMES: Final = {SET: "$set", SET_NULL: "$set", ONCE: "$set_once", ONCE_NULL: "$set_once", UNSET: "$unset"}

# Of one update, `$unset` hides its `$set`, and that its `$set_once`.
_OPERATIONS: Final = f"""
    SELECT position, kind,
        if(kind IN ({SET}, {ONCE}), sipHash128(if(kind = {SET}, of_set, of_once)), toFixedString('', 16)) AS hash
    FROM (
        SELECT {POSITION} AS position, JSONExtractRaw(`set`, {{key:String}}) AS of_set,
            JSONExtractRaw(set_once, {{key:String}}) AS of_once,
            multiIf(has(unset, {{key:String}}), {UNSET}, of_set = 'null', {SET_NULL}, of_set != '', {SET},
                    of_once = 'null', {ONCE_NULL}, of_once != '', {ONCE}, 0) AS kind
        {ROWS})
    WHERE kind != 0"""  # noqa: S608 constants only

# A `run` is a `$set` or `$unset` with the `$set_once` operations after it. Of these the first that is not null counts
# unless the run began with a value, and a null before it only where there was nothing at all.
_EFFECTIVE: Final = f"""
    SELECT position, kind, hash
    FROM (
        SELECT position, kind, hash, first_value(kind) OVER in_run AS head,
            countIf(kind = {ONCE}) OVER in_run AS onces, countIf(kind = {ONCE_NULL}) OVER in_run AS nulls
        FROM (
            SELECT position, kind, hash, countIf(kind NOT IN ({ONCE}, {ONCE_NULL})) OVER (
                ORDER BY position ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS run
            FROM ({_OPERATIONS}))
        WINDOW in_run AS (PARTITION BY run ORDER BY position ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW))
    WHERE kind IN ({SET}, {SET_NULL}, {UNSET})
        OR (kind = {ONCE} AND onces = 1 AND head != {SET})
        OR (kind = {ONCE_NULL} AND onces = 0 AND nulls = 1 AND head NOT IN ({SET}, {SET_NULL}))"""  # noqa: S608

_CHANGES: Final = f"""
    SELECT position + kind AS code, before_position + before_kind AS before
    FROM (
        SELECT position, kind, hash, lagInFrame(position, 1) OVER before AS before_position,
            lagInFrame(kind, 1) OVER before AS before_kind, lagInFrame(hash, 1) OVER before AS before_hash
        FROM ({_EFFECTIVE})
        WINDOW before AS (ORDER BY position ROWS BETWEEN 1 PRECEDING AND CURRENT ROW))
    WHERE (hash, <state>) != (before_hash, <before_state>) AND <after>
    ORDER BY code <direction>
    LIMIT {{limit:UInt32}}
    SETTINGS max_memory_usage = {QUERY_MEMORY_BYTES}"""  # noqa: S608 constants only

_ROWS_OF: Final = f"""
    SELECT {POSITION} AS position, toString(uuid), event, distinct_id, timestamp, `set`, set_once
    {ROWS} AND uuid IN {{uuids:Array(UUID)}}
    LIMIT 1 BY position, distinct_id
    SETTINGS max_result_bytes = {QUERY_RESULT_BYTES}, result_overflow_mode = 'throw'"""


def _state(kind: str) -> str:
    """Return SQL for what an operation leaves: 0 nothing, 1 a null, 2 a value (which the hash tells apart)."""
    return f"multiIf({kind} IN (0, {UNSET}), 0, {kind} IN ({SET_NULL}, {ONCE_NULL}), 1, 2)"


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `previous` and `value` are JSON values in a tuple of one; the empty tuple where there is none."""

    position: int
    operation: str
    value: tuple[Any, ...]
    previous: tuple[Any, ...]
    uuid: str
    event: str
    distinct_id: str
    timestamp: datetime


def property_changes(  # noqa: PLR0913 a page of one key of one person
    *, team_id: int, ids: Ids, key: str, newest_first: bool, limit: int, after: int | None = None
) -> tuple[list[Change], bool]:
    """Return up to `limit` changes beyond the position `after`, and whether more follow.

    The whole history counts, whatever its length: the memory used here depends on `limit` and the size of values.
    """
    if not ids:
        return [], False
    selection = selection_of(team_id=team_id, ids=ids, at=LATEST, include_set_once=True)
    sql = (
        selection.sql(_CHANGES)
        .replace("<state>", _state("kind"))
        .replace("<before_state>", _state("before_kind"))
        .replace("<direction>", "DESC" if newest_first else "ASC")
        .replace("<after>", _beyond(after, newest_first=newest_first))
    )
    parameters = {**selection.parameters, "key": key, "limit": limit + 1}
    if after is not None:
        parameters["after"] = str(after)
    codes = client.query(sql, parameters).rows
    page = codes[:limit]
    return list(_read(selection, key, page)), len(codes) > limit


def _beyond(after: int | None, *, newest_first: bool) -> str:
    if after is None:
        return "true"
    return f"position {'<' if newest_first else '>'} toUInt256({{after:String}})"


def _read(selection: Selection, key: str, page: Sequence[tuple[int, int]]) -> Iterator[Change]:
    """Read the values of the operations of a page from their rows."""
    codes = {code for pair in page for code in pair if code}
    values: dict[int, tuple[Any, ...]] = {0: ()}
    rows: dict[int, tuple[Any, ...]] = {}
    for row in _rows_of(selection, sorted({code >> KIND_BITS & UUID_MASK for code in codes})):
        position, texts = row[0], row[5:]
        rows[position] = row[1:5]
        for kind, text in ((SET, texts[0]), (ONCE, texts[1])):
            if position + kind in codes:
                values[position + kind] = (read_object(text)[key],)
        values |= {position + kind: (None,) for kind in (SET_NULL, ONCE_NULL)} | {position + UNSET: ()}
    for code, before in page:
        kind = code & KIND_MASK
        uuid, event, distinct_id, timestamp = rows[code - kind]
        yield Change(
            position=code - kind,
            operation=NAMES[kind],
            value=values[code],
            previous=values[before],
            uuid=uuid,
            event=event,
            distinct_id=distinct_id,
            timestamp=timestamp.replace(tzinfo=UTC),
        )


def _rows_of(selection: Selection, uuids: Sequence[int]) -> Iterator[tuple[Any, ...]]:
    if not uuids:
        return
    parameters = {**selection.parameters, "uuids": [str(UUID(int=number)) for number in uuids]}
    try:
        yield from client.query(selection.sql(_ROWS_OF), parameters).rows
    except QueryTooBig:
        if len(uuids) == 1:
            raise
        middle = len(uuids) // 2
        yield from _rows_of(selection, uuids[:middle])
        yield from _rows_of(selection, uuids[middle:])
