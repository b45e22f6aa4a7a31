"""Columns of the answer are called what query.md B5 says, and their types are what ClickHouse answers."""
# ruff: noqa: S608 - nobody else's text is in the statements

from types import ModuleType

import pytest

from tests.events.hogql.compiler.test_selects import STATEMENTS
from tests.events.hogql.compiler.world import answer, compiled

NAMES: list[tuple[str, tuple[str, ...]]] = [
    ("event, count()", ("event", "count()")),
    ("e.event", ("event",)),
    ("event AS name", ("name",)),
    ("properties.a", ("a",)),
    ("properties.a.b", ("a__b",)),
    ("properties['a b']", ("a b",)),
    ("person.properties.email", ("email",)),
    ("person.id", ("id",)),
    ("1 + 1", ("1 + 1",)),
    ("event, event", ("event", "event")),
    ("'text'", ("'text'",)),
]


@pytest.mark.parametrize(("columns", "names"), NAMES)
def test_name(world: ModuleType, columns: str, names: tuple[str, ...]) -> None:
    made = compiled(
        f"SELECT {columns} FROM events AS e GROUP BY ALL"
        if "count" in columns
        else f"SELECT {columns} FROM events AS e"
    )
    assert made.columns == names


def test_star_names_the_stored_columns(world: ModuleType) -> None:
    columns = compiled("SELECT * FROM events").columns
    assert columns[:4] == ("uuid", "event", "properties", "timestamp")
    assert not {"team_id", "person", "person_id", "$session_id_uuid"} & set(columns)
    assert compiled("SELECT * FROM events a JOIN events b USING (uuid)").columns == (*columns, *columns[1:])


KINDS = {
    "String": "String",
    "Integer": "Int",
    "Float": "Float",
    "Decimal": "Decimal",
    "Boolean": "Bool|UInt8",
    "Date": "Date",
    "DateTime": "DateTime",
    "UUID": "UUID",
    "JSON": "String",
    "Array": "Array",
    "Tuple": "Tuple",
    "Map": "Map",
}


def test_types_are_those_of_the_engine(world: ModuleType) -> None:
    checked = 0
    for text, _ in STATEMENTS:
        made, meta = compiled(text), answer(text)["meta"]
        for kind, column in zip(made.types, meta, strict=True):
            name = column["type"]
            if kind.kind not in KINDS:
                continue
            checked += 1
            wanted = KINDS[kind.kind].split("|")
            assert any(part in name for part in wanted), (text, kind, name)
            # What may be NULL must be known; what is never NULL may be taken for it.
            assert kind.nullable or "Nullable" not in name.partition("(")[0], (text, kind, name)
    assert checked > 60
