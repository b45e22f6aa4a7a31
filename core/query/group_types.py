"""The project's group types, which are names in HogQL."""

from typing import Final, LiteralString

from core.tenancy.statements import fetch_rows

_GROUP_TYPES: Final[LiteralString] = (
    "SELECT group_type, group_type_index FROM core_grouptype WHERE team_id = %s ORDER BY group_type_index"
)


def group_types_of(team_id: int) -> dict[str, int]:
    """Return the indexes of a project's group types by name, in the order of the indexes."""
    return dict(fetch_rows(_GROUP_TYPES, [team_id]))
