"""Actors as they are answered: persons and groups by their keys, always as they are now."""

from collections.abc import Collection, Iterator
from itertools import batched
from typing import Any, Final, LiteralString

import orjson

from core.api.errors import Invalid
from core.persons.queries import LIST_COLUMNS, list_item, naming
from core.tenancy.statements import fetch_rows

_PERSONS: Final = (
    f"SELECT {LIST_COLUMNS} FROM core_person p "  # noqa: S608 own constants
    "WHERE p.team_id = %s AND p.uuid = ANY(%s::uuid[])"
)
_GROUPS: Final[LiteralString] = """
SELECT group_key, properties::text, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
FROM core_group WHERE team_id = %s AND group_type_index = %s AND group_key = ANY(%s)
"""

AT_ONCE: Final = 1000
"""Actors of one statement: as many as a page of the list of persons has."""
MAX_BYTES: Final = 128 * 1024**2
"""Of the properties of a page."""

type Actor = dict[str, Any]


def people_of(*, team_id: int, actors: Collection[str], display_properties: tuple[str, ...] | None) -> dict[str, Actor]:
    """Return the persons with these UUIDs in the list shape, by UUID; those that are no more are left out.

    Raises Invalid for a page that is too large to be answered.
    """
    names = naming(display_properties)
    budget = _Budget()
    return {
        row[1]: list_item(row, names)
        for some in batched(actors, AT_ONCE, strict=False)
        for row in budget.checked(fetch_rows(_PERSONS, [team_id, list(some)]), properties=2)
    }


def groups_of(*, team_id: int, group_type_index: int, actors: Collection[str]) -> dict[str, Actor]:
    """Return the groups with these keys (insight_actors.md 3.2), by key; those never described are left out.

    Raises Invalid for a page that is too large to be answered.
    """
    budget = _Budget()
    return {
        key: {
            "id": key,
            "type": "group",
            "group_type_index": group_type_index,
            "group_key": key,
            "created_at": created_at,
            "matched_recordings": [],
            "properties": orjson.Fragment(properties),
            "value_at_data_point": None,
        }
        for some in batched(actors, AT_ONCE, strict=False)
        for key, properties, created_at in budget.checked(
            fetch_rows(_GROUPS, [team_id, group_type_index, list(some)]), properties=1
        )
    }


class _Budget:
    """Adds up how large the properties of a page are."""

    def __init__(self) -> None:
        self._left = MAX_BYTES

    def checked(self, rows: list[tuple[Any, ...]], *, properties: int) -> Iterator[tuple[Any, ...]]:
        """Yield rows whose properties are text in this column; raises Invalid beyond MAX_BYTES."""
        self._left -= sum(len(row[properties]) for row in rows)
        if self._left < 0:
            message = f"This page would have more than {MAX_BYTES // 1024**2} MB of properties. Ask for fewer actors."
            raise Invalid(message, attr="limit")
        yield from rows
