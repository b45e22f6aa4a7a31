"""The properties of many persons, each at moments of its own, in one query.

The rules are those of `events.history`. ClickHouse finds for every (moment, key) the one operation that decides it
and sends the rows of those operations, so what travels depends on the answer and not on the length of histories.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final

import orjson

from events import client
from events.errors import QueryTooBig
from events.history import (
    KIND_BITS,
    KIND_MASK,
    ONCE,
    ONCE_NULL,
    POSITION,
    SET,
    SET_NULL,
    UNSET,
    Ids,
    PropertiesAt,
    properties_at,
    read_object,
)
from events.rows import EARLIEST, LATEST

# A query carries the distinct ids of its persons: more than this many are spread over several queries.
IDS_PER_QUERY: Final = 50_000
# Rows of updates may be large. Past these the persons are asked one by one, which needs less at a time.
QUERY_MEMORY_BYTES: Final = 1024 * 1024 * 1024
QUERY_RESULT_BYTES: Final = 64 * 1024 * 1024
# All answers of one call together; beyond it QueryTooBig.
ANSWER_BYTES: Final = 128 * 1024 * 1024
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

# `names` are the distinct ids with the number of their person, `moments` what is asked of each person.
_NAMES: Final = "SELECT arrayJoin(arrayZip(<ids>, <generations>, <persons>)) AS name"
_MOMENTS: Final = """
    SELECT arrayJoin(arrayZip({persons:Array(UInt32)}, {ats:Array(Int64)}, {onces:Array(UInt8)},
                              arrayEnumerate({ats:Array(Int64)}))) AS moment"""

_ROWS: Final = f"""
    SELECT named.person AS person, toUnixTimestamp64Micro(timestamp) AS micro, {POSITION} AS position, <columns>
    FROM person_property_updates
    INNER JOIN (SELECT name.1 AS distinct_id, name.2 AS generation, name.3 AS person FROM ({_NAMES})) AS named
        USING (distinct_id, generation)
    WHERE team_id = {{team_id:Int64}} AND distinct_id IN (<ids>)
        AND timestamp <= fromUnixTimestamp64Micro({{latest:Int64}}, 'UTC') AND (<relevant>)"""  # noqa: S608 constants only

_ASKED: Final = f"""
    INNER JOIN (
        SELECT moment.1 AS person, moment.2 AS at, moment.3 AS once, moment.4 AS number FROM ({_MOMENTS})
    ) AS asked USING (person)
    WHERE micro <= asked.at"""  # noqa: S608 constants only

_HEADS: Final = f"""
    SELECT number, operation.1 AS key, max(position + operation.2) AS head,
        argMax(text, position + operation.2) AS head_text
    FROM (
        SELECT asked.number AS number, position, text, arrayJoin(operations) AS operation
        FROM (<set_rows>) AS updates {_ASKED})
    GROUP BY number, key"""  # noqa: S608 constants only
_SET_COLUMNS: Final = f"""
    `set` AS text, arrayConcat(
        arrayMap(pair -> (pair.1, if(pair.2 = 'null', {SET_NULL}, {SET})), JSONExtractKeysAndValuesRaw(`set`)),
        arrayMap(key -> (key, {UNSET}), unset)) AS operations"""

_ONCES: Final = f"""
    SELECT asked.number AS number, position, text, arrayJoin(operations) AS operation
    FROM (<once_rows>) AS updates {_ASKED} AND asked.once = 1"""  # noqa: S608 constants only
_ONCE_COLUMNS: Final = f"""
    set_once AS text, arrayMap(pair -> (pair.1, if(pair.2 = 'null', {ONCE_NULL}, {ONCE})),
                               JSONExtractKeysAndValuesRaw(set_once)) AS operations"""

# The choice between the last `$set` or `$unset` of a key and the first `$set_once` after it is events.history.decide.
_DECIDED_WITH_ONCE: Final = f"""
    SELECT number, key,
        max(heads.head) AS head,
        minIf(code, code > heads.head AND bitAnd(code, {KIND_MASK}) = {ONCE}) AS first,
        minIf(code, code > heads.head) AS first_null,
        multiIf(bitAnd(head, {KIND_MASK}) = {SET}, head, first != 0, first,
                bitAnd(head, {KIND_MASK}) = {SET_NULL}, head, first_null) AS code_of_key,
        if(code_of_key = head, any(heads.head_text), argMinIf(text, code, code > heads.head
            AND bitAnd(code, {KIND_MASK}) = {ONCE})) AS text_of_key
    FROM (SELECT number, operation.1 AS key, position + operation.2 AS code, text FROM ({_ONCES})) AS onces
    FULL JOIN ({_HEADS}) AS heads USING (number, key)
    GROUP BY number, key"""  # noqa: S608 constants only
_DECIDED: Final = f"SELECT number, key, head AS code_of_key, head_text AS text_of_key FROM ({_HEADS})"  # noqa: S608

_COUNTS: Final = f"""
    SELECT asked.number AS number, '' AS text, CAST([], 'Array(Tuple(String, UInt8))') AS keys,
        uniqExact(position, distinct_id) AS operations
    FROM (<all_rows>) AS updates {_ASKED} AND (changes OR asked.once = 1)
    GROUP BY number"""  # noqa: S608 constants only
_ALL_COLUMNS: Final = "distinct_id, `set` != '{}' OR notEmpty(unset) AS changes"

_SQL: Final = f"""
    SELECT number, max(text_of_key) AS text, groupArray((key, toUInt8(bitAnd(code_of_key, {KIND_MASK})))) AS keys,
        toUInt64(0) AS operations
    FROM (<decided>)
    WHERE code_of_key != 0 AND bitAnd(code_of_key, {KIND_MASK}) != {UNSET}
    GROUP BY number, bitShiftRight(code_of_key, {KIND_BITS}), bitAnd(code_of_key, {KIND_MASK}) <= {ONCE_NULL}
    UNION ALL {_COUNTS}
    SETTINGS join_use_nulls = 0, max_memory_usage = {QUERY_MEMORY_BYTES},
        max_result_bytes = {QUERY_RESULT_BYTES}, result_overflow_mode = 'throw'"""  # noqa: S608 constants only


@dataclass(frozen=True, slots=True)
class Moment:
    """One question: the place of the person in the list of persons, the moment, and how to replay."""

    person: int
    at: datetime
    include_set_once: bool


def properties_at_moments(*, team_id: int, persons: Sequence[Ids], moments: Sequence[Moment]) -> list[PropertiesAt]:
    """Answer every question exactly as `events.history.properties_at` would, in the order of the questions.

    One query for all, as long as the persons have at most IDS_PER_QUERY distinct ids together.
    Raises QueryTooBig when the answers together exceed ANSWER_BYTES.
    """
    answers: list[PropertiesAt] = [PropertiesAt({}, 0)] * len(moments)
    size = 0
    for asked in _parts(persons, moments):
        chosen = [moments[place] for place in asked]
        for place, (found, bytes_read) in zip(asked, _answers(team_id, persons, chosen), strict=True):
            answers[place] = found
            size += bytes_read
            if size > ANSWER_BYTES:
                raise QueryTooBig
    return answers


def _parts(persons: Sequence[Ids], moments: Sequence[Moment]) -> Iterator[list[int]]:
    """Cut the questions where their persons have too many distinct ids for one query; nobody is asked without ids."""
    part: list[int] = []
    size, known = 0, set[int]()
    for place in sorted(range(len(moments)), key=lambda place: moments[place].person):
        person = moments[place].person
        ids = len(persons[person])
        if not ids:
            continue
        if person not in known and part and size + ids > IDS_PER_QUERY:
            yield part
            part, size, known = [], 0, set()
        size += 0 if person in known else ids
        known.add(person)
        part.append(place)
    if part:
        yield part


def _answers(team_id: int, persons: Sequence[Ids], moments: Sequence[Moment]) -> Iterator[tuple[PropertiesAt, int]]:
    try:
        rows = client.query(*_query(team_id, persons, moments)).rows
    except QueryTooBig:
        for one in moments:
            found = properties_at(
                team_id=team_id, ids=persons[one.person], at=one.at, include_set_once=one.include_set_once
            )
            yield found, len(orjson.dumps(found.properties))
        return
    properties: list[dict[str, Any]] = [{} for _ in moments]
    counts, sizes = [0] * len(moments), [0] * len(moments)
    for number, text, keys, operations in rows:
        place = number - 1
        counts[place] += operations
        sizes[place] += len(text)
        values = read_object(text)
        for key, kind in keys:
            properties[place][key] = None if kind in (SET_NULL, ONCE_NULL) else values[key]
    for values, operations, size in zip(properties, counts, sizes, strict=True):
        yield PropertiesAt(values, operations), size


def _query(team_id: int, persons: Sequence[Ids], moments: Sequence[Moment]) -> tuple[str, dict[str, Any]]:
    once = any(one.include_set_once for one in moments)
    ats = [microseconds(one.at) for one in moments]
    parameters: dict[str, Any] = {
        "team_id": team_id,
        "latest": max(ats),
        "ats": ats,
        "persons": [one.person for one in moments],
        "onces": [int(one.include_set_once) for one in moments],
    }
    names = named_ids({person: persons[person] for person in dict.fromkeys(parameters["persons"])}, parameters)
    changes = "`set` != '{}' OR notEmpty(unset)"

    def rows(columns: str, relevant: str) -> str:
        return names.sql(_ROWS.replace("<columns>", columns).replace("<relevant>", relevant))

    sql = (
        _SQL.replace("<decided>", _DECIDED_WITH_ONCE if once else _DECIDED)
        .replace("<set_rows>", rows(_SET_COLUMNS, changes))
        .replace("<once_rows>", rows(_ONCE_COLUMNS, "set_once != '{}'"))
        .replace("<all_rows>", rows(_ALL_COLUMNS, changes + (" OR set_once != '{}'" if once else "")))
    )
    return sql, parameters


@dataclass(frozen=True, slots=True)
class NamedIds:
    """Three expressions, arrays of equal length: distinct ids, their generations, the numbers of their persons."""

    ids: str
    generations: str
    persons: str

    def sql(self, template: str) -> str:
        """Fill a template."""
        return (
            template.replace("<ids>", self.ids)
            .replace("<generations>", self.generations)
            .replace("<persons>", self.persons)
        )


def named_ids(persons: "dict[int, Ids]", parameters: dict[str, Any]) -> NamedIds:
    """Bind the distinct ids of numbered persons into `parameters`, cut into what one form field may hold."""
    flat = [(distinct_id, generation, number) for number, ids in persons.items() for distinct_id, generation in ids]
    columns: dict[str, list[str]] = {"ids": [], "generations": [], "persons": []}
    begin = 0
    for part, chunk in zip(count(), client.parameter_chunks([row[0] for row in flat])):
        rows = flat[begin : begin + len(chunk)]
        begin += len(chunk)
        for name, kind, values in (
            ("ids", "String", chunk),
            ("generations", "UInt32", [row[1] for row in rows]),
            ("persons", "UInt32", [row[2] for row in rows]),
        ):
            parameters[f"named_{name}_{part}"] = values
            columns[name].append(f"{{named_{name}_{part}:Array({kind})}}")
    return NamedIds(*(f"arrayConcat({', '.join(parts)})" for parts in columns.values()))


def microseconds(moment: datetime) -> int:
    """Return microseconds since 1970, moved into the range that a column of times can hold."""
    return (min(max(moment, EARLIEST), LATEST) - _EPOCH) // _MICROSECOND


def moment_of(micro: int) -> datetime:
    """Return the moment that is so many microseconds after the beginning of 1970."""
    return _EPOCH + micro * _MICROSECOND
