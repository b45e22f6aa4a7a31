"""DatabaseSchemaQuery: the tables of HogQL and their fields, in PostHog's shape."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from core.query.completion.names import quoted
from core.query.reading import Fields
from core.query.runners.base import QueryContext, Runner
from events.hogql.context import Context
from events.hogql.tables.registry import TABLES
from events.hogql.tables.table import Field, Join, Member, Part
from events.hogql.types import Kind

TYPES: Final[Mapping[Kind, str]] = {
    "String": "string",
    "Integer": "integer",
    "Float": "float",
    "Decimal": "decimal",
    "Boolean": "boolean",
    "Date": "date",
    "DateTime": "datetime",
    "UUID": "string",
    "JSON": "json",
    "Array": "array",
}
"""PostHog's words for the types of fields; any other is `unknown`."""
_UNLISTED: Final = frozenset({"team_id"})

type Json = Any


class DatabaseSchemaRunner(Runner):
    """Answers from the registry of tables and the project's group types."""

    kind = "DatabaseSchemaQuery"
    immediate = True

    def __init__(self, node: Mapping[str, Json], context: QueryContext) -> None:
        """Check that the node asks for nothing else."""
        super().__init__(node, context)
        fields = Fields(node).only("name", "connectionId")
        fields.text("name", longest=128)

    def run(self) -> dict[str, Json]:
        """Return all listed tables; the project has no joins of its own."""
        project = self.context.project
        context = Context(team_id=project.team_id, timezone=project.timezone, group_types=project.group_types)
        tables = {
            name: {
                "fields": dict(_fields(table.of(context), context)),
                "id": name,
                "name": name,
                "type": "posthog",
                "row_count": None,
            }
            for name, table in TABLES.items()
            if table.listed
        }
        return {"tables": tables, "joins": []}


def _fields(members: Mapping[str, Member], context: Context) -> Iterator[tuple[str, dict[str, Json]]]:
    for name in _names(members):
        yield name, _field(name, members[name], context)


def _names(members: Mapping[str, Member]) -> list[str]:
    return [
        name
        for name, member in members.items()
        if name not in _UNLISTED and not (isinstance(member, Field) and member.hidden)
    ]


def _field(name: str, member: Member, context: Context) -> dict[str, Json]:
    table, below = None, None
    match member:
        case Field():
            kind = TYPES.get(member.type.kind, "unknown")
        case Join():
            kind, table = "lazy_table", member.table
            below = _names(TABLES[member.table].of(context))
        case Part():
            kind, table = "virtual_table", name
            below = list(member.members)
    return {
        "name": name,
        "hogql_value": quoted(name),
        "type": kind,
        "schema_valid": True,
        "table": table,
        "fields": below,
        "chain": None,
        "id": table or name,
    }
