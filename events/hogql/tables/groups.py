"""Groups, such as companies, and their properties."""

from collections.abc import Mapping
from typing import Final

from events.hogql.tables.table import Field, Table, column, same, written
from events.hogql.types import DATETIME, INTEGER, JSON, STRING

_MEMBERS: Final[Mapping[str, Field]] = {
    "index": Field(type=INTEGER, write=column("group_type_index"), description="The number of its type, from 0 to 4."),
    "team_id": Field(type=INTEGER, write=column("team_id"), hidden=True, description="The project."),
    "key": Field(type=STRING, write=column("group_key"), description="The group's key."),
    "created_at": Field(type=DATETIME, write=column("created_at"), description="When the group was first identified."),
    "updated_at": Field(
        type=DATETIME.or_null(),
        write=written("CAST(NULL AS Nullable(DateTime64(6, 'UTC')))"),
        description="Always NULL: when a group changed is not stored.",
    ),
    "properties": Field(type=JSON, write=column("properties"), description="The group's properties, as JSON."),
}
GROUPS: Final = Table(
    name="groups",
    clickhouse="groups",
    description="Groups of events, such as companies, as they are now.",
    of=same(_MEMBERS),
    final=True,
)
RAW_GROUPS: Final = Table(
    name="raw_groups",
    clickhouse="groups",
    description="Groups with the versions of their rows.",
    of=same(
        {**_MEMBERS, "version": Field(type=INTEGER, write=column("version"), description="Which version of the row.")}
    ),
    final=True,
    listed=False,
)
