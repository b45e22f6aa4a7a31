"""The names of a project's properties, for those who write queries."""

from typing import Final, LiteralString

from core.tenancy.statements import fetch_rows
from events.hogql.context import PropertyOf

_NAMES: Final[LiteralString] = """
SELECT name, property_type FROM core_propertydefinition
WHERE team_id = %s AND type = %s AND group_type_index IS NOT DISTINCT FROM %s::int
    AND name ILIKE '%%' || %s || '%%' ORDER BY lower(name), name LIMIT %s
"""
_WILD: Final = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_", "\0": ""})
_LONGEST: Final = 400


def property_names(team_id: int, owner: PropertyOf, *, part: str, most: int) -> list[tuple[str, str | None]]:
    """Return at most so many names that hold `part`, in any case, in order, each with its type where that is known."""
    kind, _, index = owner.partition("_")
    held = part[:_LONGEST].translate(_WILD)
    return fetch_rows(_NAMES, [team_id, kind, int(index) if index else None, held, most])
