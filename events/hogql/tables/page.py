"""Prints the page of docs on tables: `python -m events.hogql.tables.page > docs/hogql_tables.md`."""

import sys
from collections.abc import Iterator
from typing import Final

from events.hogql.context import Context
from events.hogql.tables.registry import TABLES
from events.hogql.tables.table import Field, Join, Member, Part, Table
from events.hogql.types import Type

_HEAD: Final = """\
# Tables of HogQL

Made by `python -m events.hogql.tables.page`; edit `events/hogql/tables/`. Every table has the rows of one project only.
`*` stands for the columns that are not marked as hidden. Columns of a joined row that does not exist are NULL, and
no row is lost because of one. Tables are joined only when one of their columns is asked for.
"""
_PERSONS: Final = """\
## Whose an event is

The modifier `personsOnEventsMode` decides what `person_id` and `person` of an event are:

| mode | `person_id` | `person.properties` |
|---|---|---|
| `person_id_override_properties_on_events` (default) | whose the distinct id is now, else as stored | as of the event |
| `person_id_override_properties_joined` | the same | as they are now |
| `person_id_no_override_properties_on_events` | as stored with the event | as of the event |
| `disabled` | whose the distinct id is now, else NULL | as they are now |

A merge or split counts as soon as ClickHouse has it, within seconds. An event of an earlier life of a distinct id, from
before its person was deleted, keeps the person that it was stored with (in the mode `disabled` it has none).
"""
_NUMBERS: Final = """\
## numbers(n), numbers(start, n)

`n` whole numbers from 0 or from `start` on. The only function that can stand for a table.

| column | type | |
|---|---|---|
| `number` | Integer | The number. |
"""


def page() -> str:
    """Return the page as Markdown."""
    parts = [_HEAD, _PERSONS, *map(_section, TABLES.values()), _NUMBERS]
    return "\n".join(parts)


def _section(table: Table) -> str:
    members = table.of(Context(team_id=0))
    rows = [line for name, member in members.items() for line in _rows(name, member)]
    head = [f"## {table.name}", "", table.description, "", "| column | type | |", "|---|---|---|"]
    return "\n".join([*head, *rows, ""])


def _rows(name: str, member: Member) -> Iterator[str]:
    match member:
        case Field():
            hidden = " Not in `*`." if member.hidden else ""
            yield f"| `{name}` | {_type(member.type)} | {member.description}{hidden} |"
        case Join():
            several = " Rows are repeated for each." if member.many else ""
            yield f"| `{name}.…` | a row of `{member.table}` | {member.description}{several} |"
        case Part():
            below = ", ".join(f"`{each}`" for each in member.members)
            yield f"| `{name}.…` | {below} | {member.description} |"


def _type(kind: Type) -> str:
    items = f" of {kind.items[0].kind}" if kind.items else ""
    return f"{kind.kind}{items}{' or NULL' if kind.nullable else ''}"


if __name__ == "__main__":
    sys.stdout.write(page())
