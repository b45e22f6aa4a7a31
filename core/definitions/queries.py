"""Reads of the definitions of properties."""

from collections.abc import Mapping, Sequence
from typing import Final, LiteralString, cast

from core.tenancy.statements import fetch_rows
from events.hogql.context import PropertyOf, PropertyType

_TYPES: Final[LiteralString] = """
SELECT type, group_type_index, name, property_type FROM core_propertydefinition
WHERE team_id = %s AND name = ANY(%s) AND property_type IS NOT NULL
"""


def property_types(team_id: int, names: Sequence[str]) -> Mapping[tuple[PropertyOf, str], PropertyType]:
    """Return the types of a project's properties of these names, of events, persons and groups each.

    What was never seen, or with lists and objects only, is left out.
    """
    if not names:
        return {}
    rows = fetch_rows(_TYPES, [team_id, list(names)])
    return {(property_of(kind, index), name): property_type for kind, index, name, property_type in rows}


def property_of(kind: str, group_type_index: int | None) -> PropertyOf:
    """Return whose property it is, as HogQL names it."""
    return cast("PropertyOf", kind if group_type_index is None else f"{kind}_{group_type_index}")
