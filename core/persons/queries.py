"""Reads of persons: one statement each, rows straight to dicts, properties passed through as JSON text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import orjson

from core.tenancy.statements import fetch_row, fetch_rows

DEFAULT_DISPLAY_PROPERTIES: Final = (
    "email",
    "Email",
    "$email",
    "name",
    "Name",
    "username",
    "Username",
    "UserName",
)
MAX_DISTINCT_IDS_IN_LIST: Final = 1000
MAX_DISTINCT_IDS_IN_DETAIL: Final = 10_000
MAX_DISTINCT_IDS_IN_BATCH: Final = 10
_ANONYMOUS: Final = re.compile(r"([a-z0-9]+-){4}([a-z0-9]+)")

_TIME: Final = """to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
_IDS_OF_PERSON: Final = "SELECT d.distinct_id FROM core_persondistinctid d WHERE d.person_id = p.id ORDER BY d.id LIMIT"
# Texts for ids and times: Postgres formats them several times faster than Python parses and formats them again.
_COLUMNS: Final = (
    "p.id, p.uuid::text, p.properties::text, "
    + _TIME.format(column="p.created_at")
    + ", p.is_identified, "
    + _TIME.format(column="p.last_seen_at")
    + ", ARRAY("
    + _IDS_OF_PERSON
)
LIST_COLUMNS: Final = f"{_COLUMNS} {MAX_DISTINCT_IDS_IN_LIST})"
"""What `list_item` takes, of a row called `p`."""
_DETAIL: Final = f"SELECT {_COLUMNS} {MAX_DISTINCT_IDS_IN_DETAIL}) FROM core_person p "  # noqa: S608 own constants
DETAIL_BY_ID: Final = _DETAIL + "WHERE p.team_id = %s AND p.id = %s"
DETAIL_BY_UUID: Final = _DETAIL + "WHERE p.team_id = %s AND p.uuid = %s"
DETAIL_BY_DISTINCT_ID: Final = (
    _DETAIL
    + "JOIN core_persondistinctid named ON named.person_id = p.id WHERE named.team_id = %s AND named.distinct_id = %s"
)
BATCH_COLUMNS: Final = f"{_COLUMNS} {MAX_DISTINCT_IDS_IN_BATCH})"

_IDS: Final = (
    "SELECT distinct_id, generation FROM core_persondistinctid WHERE team_id = %s AND person_id = %s ORDER BY id"
)


def is_anonymous(distinct_id: str) -> bool:
    """Tell ids made by SDKs (five groups joined by hyphens) from ids that a product chose."""
    return _ANONYMOUS.fullmatch(distinct_id) is not None


def chosen_first(distinct_ids: list[str]) -> list[str]:
    """Return the ids with the anonymous ones last, otherwise in the order in which they came."""
    if len(distinct_ids) < 2:  # noqa: PLR2004 nothing to sort
        return distinct_ids
    return sorted(distinct_ids, key=is_anonymous)


@dataclass(frozen=True, slots=True)
class Naming:
    """How the persons of a project get their display name; `hints` are the property names as JSON writes them."""

    properties: tuple[str, ...]
    hints: tuple[str, ...]

    def name(self, properties: str, distinct_ids: Sequence[str], fallback: str) -> Any:  # noqa: ANN401 the raw property value
        """Return the first named property with a truthy value, else the first distinct id, else the fallback.

        `properties` is JSON text, parsed only when one of the names occurs in it.
        """
        for hint in self.hints:
            if hint in properties:
                values = orjson.loads(properties)
                for key in self.properties:
                    if value := values.get(key):
                        return value
                break
        return distinct_ids[0] if distinct_ids else fallback


@lru_cache(maxsize=1024)
def naming(configured: tuple[str, ...] | None) -> Naming:
    """Return the naming of a project that may have chosen its own properties."""
    properties = configured or DEFAULT_DISPLAY_PROPERTIES
    # jsonb's text escapes like orjson does but for a few control characters, which no hint may miss.
    hints = tuple(orjson.dumps(key).decode() if key.isprintable() else "" for key in properties)
    return Naming(properties, hints)


def detail(row: Sequence[Any], names: Naming) -> dict[str, Any]:
    """Return the detail shape of persons.md 2.1 (component Person): `id` is the integer key."""
    person_id, uuid, properties, created_at, is_identified, last_seen_at, ids = row
    distinct_ids = chosen_first(ids)
    return {
        "id": person_id,
        "name": names.name(properties, distinct_ids, str(person_id)),
        "distinct_ids": distinct_ids,
        "properties": orjson.Fragment(properties),
        "created_at": created_at,
        "uuid": uuid,
        "is_identified": is_identified,
        "last_seen_at": last_seen_at,
    }


def list_item(row: Sequence[Any], names: Naming) -> dict[str, Any]:
    """Return the list shape of persons.md 2.2 (component PersonListItem): `id` is the UUID's text."""
    _, uuid, properties, created_at, is_identified, last_seen_at, ids = row
    distinct_ids = chosen_first(ids)
    return {
        "type": "person",
        "id": uuid,
        "uuid": uuid,
        "created_at": created_at,
        "properties": orjson.Fragment(properties),
        "is_identified": is_identified,
        "name": names.name(properties, distinct_ids, uuid),
        "distinct_ids": distinct_ids,
        "matched_recordings": [],
        "value_at_data_point": None,
        "last_seen_at": last_seen_at,
    }


def person_row(*, team_id: int, key: int | UUID) -> tuple[Any, ...] | None:
    """Return one person's row by integer id or UUID, or None."""
    return fetch_row(DETAIL_BY_UUID if isinstance(key, UUID) else DETAIL_BY_ID, [team_id, key])


def distinct_ids_of(*, team_id: int, person_id: int) -> list[tuple[str, int]]:
    """Return all distinct ids of a person, oldest first, each with its generation."""
    return fetch_rows(_IDS, [team_id, person_id])


def person_row_of_distinct_id(*, team_id: int, distinct_id: str) -> tuple[Any, ...] | None:
    """Return the row of the person that a distinct id names, or None."""
    return fetch_row(DETAIL_BY_DISTINCT_ID, [team_id, distinct_id])
