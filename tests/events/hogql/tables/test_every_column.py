"""Every column of every table can be read, is of the type that it says, and is never another team's."""
# ruff: noqa: S608 values are bound

from types import ModuleType
from typing import Final, get_args

import pytest

from events.hogql.context import Context, PersonMode
from events.hogql.tables.registry import TABLES
from events.hogql.tables.table import Field, Join, Part
from events.hogql.types import Type
from tests.events.hogql.tables import reading

MODES: Final = get_args(PersonMode.__value__)
_KINDS: Final = {
    "String": {"String"},
    "JSON": {"String"},
    "Integer": {"Int", "UInt"},
    "Float": {"Float"},
    "Boolean": {"Bool", "UInt8"},
    "DateTime": {"DateTime"},
    "Date": {"Date"},
    "UUID": {"UUID"},
    "Array": {"Array"},
}


def chains(table: str, context: Context, depth: int = 3) -> list[tuple[str, Type]]:
    found = []
    for name, member in TABLES[table].of(context).items():
        match member:
            case Field():
                found.append((name, member.type))
            case Part():
                found += [(f"{name}.{below}", field.type) for below, field in member.members.items()]
            case Join() if depth > 1:
                found += [(f"{name}.{below}", kind) for below, kind in chains(member.table, context, depth - 1)]
    return found


def _agrees(said: Type, found: str) -> bool:
    if said.nullable != found.startswith("Nullable("):
        return False
    plain = found.removeprefix("Nullable(")
    return any(plain.startswith(start) for start in _KINDS[said.kind])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_column_is_read_and_of_its_type(clickhouse: ModuleType, table: str, mode: PersonMode) -> None:
    context = {"person_mode": mode, "group_types": {"company": 1}, "static_cohorts": frozenset({1})}
    asked = reading.Question(table, **context)
    named = [chain for chain, _ in chains(table, Context(team_id=7, **context))]
    assert named
    fields = {chain: asked.field(chain) for chain in named}
    names = [field.sql for field in fields.values()]
    sql = f"SELECT {', '.join(names)} FROM {asked.source.sql()}"
    reading.ask(clickhouse, f"{sql} LIMIT 1", asked.parameters)
    types = [row[1] for row in clickhouse.query(f"DESCRIBE TABLE ({sql})", asked.parameters).rows]
    wrong = {
        chain: (field.type, found)
        for (chain, field), found in zip(fields.items(), types, strict=True)
        if not _agrees(field.type, found)
    }
    assert not wrong
