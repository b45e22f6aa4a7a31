"""Look-ups of many persons at once: one statement each, in the detail shape with few distinct ids."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from core.persons.queries import BATCH_COLUMNS, detail, naming
from core.tenancy.statements import fetch_rows

MAX_KEYS: Final = 200

_BY_DISTINCT_IDS: Final = f"""
SELECT named.distinct_id, {BATCH_COLUMNS}
FROM core_persondistinctid named JOIN core_person p ON p.id = named.person_id
WHERE named.team_id = %s AND named.distinct_id = ANY(%s)
"""  # noqa: S608 own constants

_BY_UUIDS: Final = f"""
SELECT {BATCH_COLUMNS} FROM core_person p WHERE p.team_id = %s AND p.uuid = ANY(%s)
"""  # noqa: S608 own constants

type Details = dict[str, dict[str, Any]]


def details_by_distinct_ids(
    *, team_id: int, distinct_ids: Sequence[str], display_properties: tuple[str, ...] | None
) -> Details:
    """Return the persons that these ids name, by id; an id that names nobody is absent."""
    names = naming(display_properties)
    rows = fetch_rows(_BY_DISTINCT_IDS, [team_id, list(distinct_ids)]) if distinct_ids else []
    return {row[0]: detail(row[1:], names) for row in rows}


def details_by_uuids(*, team_id: int, uuids: Sequence[UUID], display_properties: tuple[str, ...] | None) -> Details:
    """Return the persons with these UUIDs, by the UUID's canonical text; unknown ones are absent."""
    names = naming(display_properties)
    rows = fetch_rows(_BY_UUIDS, [team_id, list(uuids)]) if uuids else []
    return {row[1]: detail(row, names) for row in rows}
