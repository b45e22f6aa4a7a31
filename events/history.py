"""A person's properties at any past moment, replayed from `person_property_updates`.

Order of operations: (timestamp, ingested_at, uuid), and within one row `$set_once`, `$set`, `$unset`. Up to
SHORT_HISTORY rows are folded here, which is cheaper than asking ClickHouse to; for more, ClickHouse finds for
every key the one row that decides it, and only those rows travel. Both give the same answer.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import orjson

from events import client
from events.errors import QueryTooBig
from events.rows import EMPTY_OBJECT, clickhouse_time

SHORT_HISTORY: Final = 1000
# Rows may be large: beyond this the short way is given up for the long one, whatever the number of rows.
SHORT_HISTORY_BYTES: Final = 16 * 1024 * 1024
WINNERS_PER_QUERY: Final = 200

type Ids = Sequence[tuple[str, int]]

ROWS: Final = """
    FROM person_property_updates
    WHERE team_id = {team_id:Int64} AND (<ids>) AND timestamp <= {at:DateTime64(6, 'UTC')} AND (<relevant>)"""

# UUIDs compare by their second half in ClickHouse; as a number they compare like their text.
SHORT_SQL: Final = f"""
    SELECT `set`, <set_once>, unset {ROWS}
    ORDER BY timestamp, ingested_at, toUInt128(uuid)
    LIMIT 1 BY timestamp, ingested_at, uuid, distinct_id
    LIMIT {{limit:UInt32}}
    SETTINGS max_result_bytes = {SHORT_HISTORY_BYTES}, result_overflow_mode = 'throw'"""

COUNT_SQL: Final = f"SELECT uniqExact(timestamp, ingested_at, uuid, distinct_id) {ROWS}"

# One number that sorts like (timestamp, ingested_at, uuid) and ends in the kind of operation: an aggregation over
# it is several times faster than over the tuple. Microseconds since 1900 fit 54 bits: 54 + 54 + 128 + 4 < 256.
POSITION: Final = """
    bitShiftLeft(toUInt256(toUnixTimestamp64Micro(timestamp) + 2208988800000000), 186)
    + bitShiftLeft(toUInt256(toUnixTimestamp64Micro(ingested_at) + 2208988800000000), 132)
    + bitShiftLeft(toUInt256(toUInt128(uuid)), 4)"""
KIND_BITS: Final = 4
KIND_MASK: Final = 0b1111
UUID_MASK: Final = (1 << 128) - 1
ONCE, ONCE_NULL, SET, SET_NULL, UNSET = range(1, 6)

HEADS_SQL: Final = f"""
    SELECT operation.1 AS key, max(position + operation.2) AS head
    FROM (
        SELECT {POSITION} AS position, arrayJoin(arrayConcat(
            arrayMap(pair -> (pair.1, if(pair.2 = 'null', {SET_NULL}, {SET})), JSONExtractKeysAndValuesRaw(`set`)),
            arrayMap(key -> (key, {UNSET}), unset))) AS operation
        {ROWS})
    GROUP BY key"""  # noqa: S608 constants only

HEADS_AND_FIRSTS_SQL: Final = f"""
    SELECT key, max(heads.head) AS head, minIf(code, code > heads.head AND bitAnd(code, {KIND_MASK}) = {ONCE}) AS first,
        minIf(code, code > heads.head) AS first_null
    FROM (
        SELECT pair.1 AS key, position + if(pair.2 = 'null', {ONCE_NULL}, {ONCE}) AS code
        FROM (SELECT {POSITION} AS position, arrayJoin(JSONExtractKeysAndValuesRaw(set_once)) AS pair {ROWS})
    ) AS once
    FULL JOIN ({HEADS_SQL}) AS heads USING (key)
    GROUP BY key
    SETTINGS join_use_nulls = 0"""  # noqa: S608 constants only

WINNERS_SQL: Final = f"""
    SELECT {POSITION} AS position, `set`, <set_once> {ROWS} AND uuid IN {{uuids:Array(UUID)}}"""

USED_SQL: Final = f"""
    SELECT uuid, event, distinct_id, timestamp, `set`, <set_once>, unset {ROWS}
    ORDER BY timestamp DESC, ingested_at DESC, toUInt128(uuid) DESC
    LIMIT 1 BY timestamp, ingested_at, uuid, distinct_id
    LIMIT {{limit:UInt32}}"""


@dataclass(frozen=True, slots=True)
class PropertiesAt:
    """Properties at a moment; `operations_applied` counts the updates (one per event) that were replayed."""

    properties: dict[str, Any]
    operations_applied: int


@dataclass(frozen=True, slots=True)
class UpdatesUsed:
    """What a replay reads: the query, and its newest rows in the order of replay."""

    query: str
    params: dict[str, Any]
    events_found: int
    events: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows count: the texts that go into the SQL templates (constants only) and the bound values."""

    ids_sql: str
    include_set_once: bool
    parameters: dict[str, Any]

    def sql(self, template: str) -> str:
        """Fill a template."""
        relevant = "`set` != '{}' OR notEmpty(unset)" + (" OR set_once != '{}'" if self.include_set_once else "")
        return (
            template.replace("<ids>", self.ids_sql)
            .replace("<relevant>", relevant)
            .replace("<set_once>", "set_once" if self.include_set_once else "'' AS set_once")
        )


def properties_at(*, team_id: int, ids: Ids, at: datetime, include_set_once: bool) -> PropertiesAt:
    """Return the properties that the updates of (distinct id, generation) pairs up to and including `at` lead to."""
    if not ids:
        return PropertiesAt({}, 0)
    selection = selection_of(team_id=team_id, ids=ids, at=at, include_set_once=include_set_once)
    # A list of ids this long costs more to send than the rows: do not send it once more than needed.
    return (_short(selection) if len(ids) <= SHORT_HISTORY else None) or _long(selection)


def updates_used(
    *, team_id: int, ids: Ids, at: datetime, include_set_once: bool, limit: int = SHORT_HISTORY
) -> UpdatesUsed:
    """Return the query behind `properties_at`, how many updates it replays, and the newest `limit` of them."""
    selection = selection_of(team_id=team_id, ids=ids, at=at, include_set_once=include_set_once)
    sql, parameters = selection.sql(USED_SQL), {**selection.parameters, "limit": limit}
    rows = client.query(sql, parameters).rows if ids else []
    found = len(rows) if len(rows) < limit else _count(selection)
    return UpdatesUsed(
        query=sql.strip(), params=parameters, events_found=found, events=[_used(row) for row in reversed(rows)]
    )


def selection_of(*, team_id: int, ids: Ids, at: datetime, include_set_once: bool) -> Selection:
    """Return the selection of the updates of (distinct id, generation) pairs up to and including `at`."""
    parameters: dict[str, Any] = {"team_id": team_id, "at": clickhouse_time(at)}
    by_generation: dict[int, list[str]] = {}
    for distinct_id, generation in ids:
        by_generation.setdefault(generation, []).append(distinct_id)
    alternatives = []
    for number, (generation, distinct_ids) in enumerate(by_generation.items()):
        parameters[f"generation_{number}"] = generation
        same_generation = f"generation = {{generation_{number}:UInt32}}"
        if len(distinct_ids) == 1:
            parameters[f"id_{number}"] = distinct_ids[0]
            alternatives.append(f"distinct_id = {{id_{number}:String}} AND {same_generation}")
            continue
        names = []
        for part, chunk in enumerate(client.parameter_chunks(distinct_ids)):
            parameters[f"ids_{number}_{part}"] = chunk
            names.append(f"{{ids_{number}_{part}:Array(String)}}")
        array = names[0] if len(names) == 1 else f"arrayConcat({', '.join(names)})"
        alternatives.append(f"distinct_id IN {array} AND {same_generation}")
    return Selection(" OR ".join(alternatives) or "false", include_set_once, parameters)


def _short(selection: Selection) -> PropertiesAt | None:
    """Fold here; None when there are too many rows, or too large ones."""
    try:
        rows = client.query(selection.sql(SHORT_SQL), {**selection.parameters, "limit": SHORT_HISTORY + 1}).rows
    except QueryTooBig:
        return None
    return PropertiesAt(_fold(rows), len(rows)) if len(rows) <= SHORT_HISTORY else None


def _fold(rows: Iterable[tuple[Any, ...]]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for set_text, once_text, unset in rows:
        for key, value in read_object(once_text).items():
            if properties.get(key) is None and (value is not None or key not in properties):
                properties[key] = value
        properties.update(read_object(set_text))
        for key in unset:
            properties.pop(key, None)
    return properties


def _long(selection: Selection) -> PropertiesAt:
    """Let ClickHouse find the operation that decides each key, then read the values from those rows."""
    deciding: dict[str, int] = {}
    if selection.include_set_once:
        for key, head, first, first_null in client.query(
            selection.sql(HEADS_AND_FIRSTS_SQL), selection.parameters
        ).rows:
            deciding[key] = decide(head, first, first_null)
    else:
        deciding = dict(client.query(selection.sql(HEADS_SQL), selection.parameters).rows)
    present = {key: code for key, code in deciding.items() if code and code & KIND_MASK != UNSET}
    properties: dict[str, Any] = {
        key: None for key, code in present.items() if code & KIND_MASK in (SET_NULL, ONCE_NULL)
    }
    wanted: dict[int, list[str]] = {}
    for key, code in present.items():
        if key not in properties:
            wanted.setdefault(code, []).append(key)
    for code, values in _winners(selection, wanted):
        for key in wanted[code]:
            properties[key] = values[key]
    return PropertiesAt(properties, _count(selection))


def decide(head: int, first: int, first_null: int) -> int:
    """Choose between the last `$set` or `$unset` of a key and the first `$set_once` after it; 0 stands for none."""
    if head & KIND_MASK == SET:
        return head
    if first:
        return first
    return head if head & KIND_MASK == SET_NULL else first_null


def _winners(selection: Selection, wanted: Iterable[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    remaining = set(wanted)
    uuids = sorted({str(UUID(int=code >> KIND_BITS & UUID_MASK)) for code in remaining})
    for start in range(0, len(uuids), WINNERS_PER_QUERY):
        parameters = {**selection.parameters, "uuids": uuids[start : start + WINNERS_PER_QUERY]}
        for position, set_text, once_text in client.query(selection.sql(WINNERS_SQL), parameters).rows:
            for kind, text in ((SET, set_text), (ONCE, once_text)):
                if position + kind in remaining:
                    remaining.discard(position + kind)
                    yield position + kind, read_object(text)


def _count(selection: Selection) -> int:
    return int(client.query(selection.sql(COUNT_SQL), selection.parameters).rows[0][0])


def read_object(text: str) -> dict[str, Any]:
    """Read a column; anything that is not a JSON object counts as no operation."""
    if not text or text == EMPTY_OBJECT:
        return {}
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _used(row: tuple[Any, ...]) -> dict[str, Any]:
    uuid, event, distinct_id, timestamp, set_text, once_text, unset = row
    operations = {"$set": read_object(set_text), "$set_once": read_object(once_text), "$unset": list(unset)}
    return {
        "uuid": str(uuid),
        "event": event,
        "distinct_id": distinct_id,
        "timestamp": timestamp.replace(tzinfo=UTC),
        "properties": {name: value for name, value in operations.items() if value},
    }
