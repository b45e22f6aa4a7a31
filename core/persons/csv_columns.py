"""The columns of a table of persons: found by one pass over their properties, made by Postgres in a second.

A column is a path into the list shape (persons.md 2.2), and an SQL expression over a row `p` that has the
person's distinct ids, in the order in which they are shown, as `p.ids`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString

from core.api.streaming import Connection
from core.persons.flattening import column_name
from core.persons.queries import MAX_DISTINCT_IDS_IN_LIST, Naming

MAX_COLUMNS: Final = 10_000
MAX_SQL_COLUMNS: Final = 1_500
"""Postgres takes 1,664 in one statement."""

type Path = tuple[str, ...]
type Kinds = dict[Path, set[str]]

_NESTED: Final = frozenset({"array", "object"})
_KINDS: Final = """
SELECT pair.key, jsonb_typeof(pair.value) FROM ({rows}) p, jsonb_each(p.properties) pair
GROUP BY 1, 2 LIMIT {limit}
"""
_MOST_IDS: Final = """
SELECT max(ids) FROM (
    SELECT count(*) AS ids FROM ({rows}) p JOIN core_persondistinctid d ON d.person_id = p.id GROUP BY p.id) counted
"""
_LEAVES: Final = """
WITH RECURSIVE leaf(path, value) AS (
    SELECT ARRAY[pair.key], pair.value FROM ({rows}) p, jsonb_each(p.properties) pair
    WHERE jsonb_typeof(pair.value) IN ('array', 'object')
    UNION ALL
    SELECT leaf.path || step.key, step.value FROM leaf, LATERAL (
        SELECT key, value FROM jsonb_each(CASE jsonb_typeof(leaf.value) WHEN 'object' THEN leaf.value ELSE '{{}}' END)
        UNION ALL
        SELECT (place - 1)::text, value FROM jsonb_array_elements(
            CASE jsonb_typeof(leaf.value) WHEN 'array' THEN leaf.value ELSE '[]' END) WITH ORDINALITY AS o(value, place)
    ) step)
SELECT path, jsonb_typeof(value) FROM leaf GROUP BY 1, 2 LIMIT {limit}
"""
_IDS: Final[LiteralString] = """
ARRAY(SELECT d.distinct_id FROM (SELECT d.distinct_id, d.id FROM core_persondistinctid d
                                 WHERE d.person_id = p.id ORDER BY d.id LIMIT 1000) d
      ORDER BY d.distinct_id ~ '^([a-z0-9]+-){4}([a-z0-9]+)$', d.id)"""
_TIME: Final[LiteralString] = """to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
_FIXED: Final[dict[str, LiteralString]] = {
    "type": "'person'",
    "id": "p.uuid::text",
    "uuid": "p.uuid::text",
    "created_at": _TIME.replace("{column}", "p.created_at"),
    "last_seen_at": _TIME.replace("{column}", "p.last_seen_at"),
    "is_identified": "CASE WHEN p.is_identified THEN 'True' ELSE 'False' END",
    "value_at_data_point": "null",
}
_FALSY: Final[LiteralString] = """'{"null","false","0","\\"\\"","[]","{}"}'::jsonb[]"""


class TooManyColumnsError(ValueError):
    """The persons have more different properties than a table may have columns."""


@dataclass(frozen=True, slots=True)
class Columns:
    """What the first pass found: the kinds of value at each path of the properties, and the most distinct ids."""

    kinds: Kinds
    most_ids: int
    nested_name: bool

    @property
    def header(self) -> list[str]:
        """Return the names of all columns, sorted. A display name that is a document has columns like any other."""
        found = {*_FIXED, "name"} | {f"distinct_ids.{number}" for number in range(self.most_ids)}
        return sorted(found | {column_name(("properties", *path)) for path in self.kinds})

    @property
    def fit_sql(self) -> bool:
        """Tell whether one statement can make all columns."""
        return not self.nested_name and len(self.header) <= MAX_SQL_COLUMNS


def find_columns(connection: Connection, rows: LiteralString, parameters: dict[str, Any], names: Naming) -> Columns:
    """Look through the rows once; raises TooManyColumnsError."""

    def run(text: str) -> list[tuple[Any, ...]]:
        sql = text.format(rows=rows, limit=MAX_COLUMNS + 1)
        return connection.execute(sql, parameters).fetchall()

    kinds: Kinds = {}
    found = run(_KINDS)
    nested = {key for key, kind in found if kind in _NESTED}
    leaves = run(_LEAVES) if nested else []
    for path, kind in [*(((key,), kind) for key, kind in found), *leaves]:
        kinds.setdefault(tuple(path), set()).add(kind)
    kinds = {path: kinds_there for path, kinds_there in kinds.items() if kinds_there - _NESTED}
    most = min(run(_MOST_IDS)[0][0] or 0, MAX_DISTINCT_IDS_IN_LIST)
    if max(len(found), len(leaves), len(kinds) + most) > MAX_COLUMNS:
        raise TooManyColumnsError
    return Columns(kinds, most, nested_name=bool(nested & set(names.properties)))


def table_sql(columns: Columns, rows: LiteralString, parameters: dict[str, Any], names: Naming) -> LiteralString:
    """Return the SELECT that makes the table, adding its parameters."""
    makers: dict[str, list[LiteralString]] = {name: [text] for name, text in _FIXED.items()}
    makers["name"] = [_name(columns.kinds, parameters, names)]
    for number in range(columns.most_ids):
        makers[f"distinct_ids.{number}"] = [f"p.ids[{number + 1}]"]
    for path, kinds in columns.kinds.items():
        name = column_name(("properties", *path))
        makers.setdefault(name, []).append(_value(path, kinds, parameters))
    parts = [_either(makers[name]) for name in columns.header]
    return "SELECT " + ", ".join(parts) + " FROM (SELECT p.*, " + _IDS + " AS ids FROM (" + rows + ") p OFFSET 0) p"  # noqa: S608 own constants, values are bound


def _either(expressions: Sequence[LiteralString]) -> LiteralString:
    return expressions[0] if len(expressions) == 1 else "coalesce(" + ", ".join(expressions) + ")"


def _bound(value: object, parameters: dict[str, Any]) -> LiteralString:
    name = f"c{len(parameters)}"
    parameters[name] = value
    return f"%({name})s"


def _value(path: Path, kinds: set[str], parameters: dict[str, Any]) -> LiteralString:
    if len(path) == 1:
        key = _bound(path[0], parameters) + "::text"
        raw, text = "p.properties -> " + key, "p.properties ->> " + key
    else:
        steps = _bound(list(path), parameters) + "::text[]"
        raw, text = "p.properties #> " + steps, "p.properties #>> " + steps
    made = _in_words(raw, text, kinds)
    for depth in range(1, len(path)):
        if _could_count(path[depth]):
            parent = "p.properties #> " + _bound(list(path[:depth]), parameters) + "::text[]"
            made = "CASE WHEN jsonb_typeof(" + parent + ") = 'object' THEN " + made + " END"
    return made


def _in_words(raw: LiteralString, text: LiteralString, kinds: set[str]) -> LiteralString:
    """Return a scalar's text, with Python's words for booleans; a document at the same path is none."""
    words: LiteralString = text
    if "boolean" in kinds:
        words = "CASE " + raw + " WHEN 'true' THEN 'True' WHEN 'false' THEN 'False' ELSE " + text + " END"
    if kinds & _NESTED:
        words = "CASE WHEN jsonb_typeof(" + raw + ") NOT IN ('array', 'object') THEN " + words + " END"
    return words


def _could_count(part: str) -> bool:
    """Tell whether Postgres would take the part for a place in an array although no list has it."""
    try:
        return str(int(part)) != part or part.startswith("-")
    except ValueError:
        return False


def _name(kinds: Kinds, parameters: dict[str, Any], names: Naming) -> LiteralString:
    tried: list[LiteralString] = []
    for key in names.properties:
        found = kinds.get((key,), set())
        if not found - {"null"}:
            continue
        bound = _bound(key, parameters) + "::text"
        raw, text = "p.properties -> " + bound, "p.properties ->> " + bound
        if found <= {"string", "null"}:
            tried.append("nullif(" + text + ", '')")
        else:
            tried.append("CASE WHEN " + raw + " <> ALL(" + _FALSY + ") THEN " + _in_words(raw, text, found) + " END")
    return "coalesce(" + ", ".join([*tried, "p.ids[1]", "p.uuid::text"]) + ")"
