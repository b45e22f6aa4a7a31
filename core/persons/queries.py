"""Reads of persons: one statement each, rows straight to dicts, properties passed through as JSON text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
from django.db import connection

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
_ANONYMOUS: Final = re.compile(r"([a-z0-9]+-){4}([a-z0-9]+)")

_DETAIL = """
SELECT p.id, p.uuid, p.properties::text, p.created_at, p.is_identified, p.last_seen_at,
       ARRAY(SELECT d.distinct_id FROM core_persondistinctid d WHERE d.person_id = p.id ORDER BY d.id LIMIT {cap})
FROM core_person p
WHERE p.team_id = %s AND p.{key} = %s
"""
DETAIL_BY_ID: Final = _DETAIL.format(key="id", cap=MAX_DISTINCT_IDS_IN_DETAIL)
DETAIL_BY_UUID: Final = _DETAIL.format(key="uuid", cap=MAX_DISTINCT_IDS_IN_DETAIL)
DETAIL_BY_DISTINCT_ID: Final = f"""
SELECT p.id, p.uuid, p.properties::text, p.created_at, p.is_identified, p.last_seen_at,
       ARRAY(SELECT d.distinct_id FROM core_persondistinctid d WHERE d.person_id = p.id ORDER BY d.id
             LIMIT {MAX_DISTINCT_IDS_IN_DETAIL})
FROM core_persondistinctid named JOIN core_person p ON p.id = named.person_id
WHERE named.team_id = %s AND named.distinct_id = %s
"""

_PAGE = """
SELECT p.id, p.uuid, p.properties::text, p.created_at, p.is_identified, p.last_seen_at,
       ARRAY(SELECT d.distinct_id FROM core_persondistinctid d WHERE d.person_id = p.id ORDER BY d.id LIMIT {cap})
FROM (SELECT id FROM core_person WHERE team_id = %(team_id)s {filters}
      ORDER BY created_at DESC, uuid LIMIT %(limit)s OFFSET %(offset)s) AS page
JOIN core_person p ON p.id = page.id
ORDER BY p.created_at DESC, p.uuid
"""
_BY_DISTINCT_ID: Final = (
    "AND id = (SELECT person_id FROM core_persondistinctid "
    "WHERE team_id = %(team_id)s AND distinct_id = %(distinct_id)s)"
)
_BY_EMAIL: Final = (
    "AND properties ? 'email' AND md5(properties ->> 'email') = md5(%(email)s) AND properties ->> 'email' = %(email)s"
)


def page_sql(*, by_distinct_id: bool = False, by_email: bool = False) -> str:
    """Return the statement of a page; the filters are the only parts that vary."""
    filters = " ".join(text for text, on in ((_BY_DISTINCT_ID, by_distinct_id), (_BY_EMAIL, by_email)) if on)
    return _PAGE.format(cap=MAX_DISTINCT_IDS_IN_LIST, filters=filters)


_PLAIN_PAGE: Final = page_sql()


@dataclass(frozen=True, slots=True)
class PersonPageQuery:
    """What a caller asked of the list: `limit` rows from `offset`, newest first."""

    limit: int
    offset: int
    distinct_id: str | None = None
    email: str | None = None


def api_time(value: datetime) -> str:
    """Return `YYYY-MM-DDTHH:MM:SS.ffffffZ`; connections run in UTC."""
    return value.isoformat(timespec="microseconds")[:-6] + "Z"


def is_anonymous(distinct_id: str) -> bool:
    """Tell ids made by SDKs (five groups joined by hyphens) from ids that a product chose."""
    return _ANONYMOUS.fullmatch(distinct_id) is not None


def chosen_first(distinct_ids: list[str]) -> list[str]:
    """Return the ids with the anonymous ones last, otherwise in the order in which they came."""
    if len(distinct_ids) < 2:  # noqa: PLR2004 nothing to sort
        return distinct_ids
    return sorted(distinct_ids, key=is_anonymous)


def display_name(properties: str, distinct_ids: Sequence[str], fallback: str, wanted: Sequence[str]) -> Any:  # noqa: ANN401 the raw property value
    """Return the first wanted property with a truthy value, else the first distinct id, else the fallback.

    `properties` is JSON text, parsed only when one of the names occurs in it.
    """
    if any(f'"{name}"' in properties for name in wanted) or any(_needs_escape(name) for name in wanted):
        values = orjson.loads(properties)
        for name in wanted:
            if value := values.get(name):
                return value
    return distinct_ids[0] if distinct_ids else fallback


def _needs_escape(name: str) -> bool:
    return not name.isascii() or '"' in name or "\\" in name


def _display_properties(configured: Sequence[str] | None) -> Sequence[str]:
    return configured or DEFAULT_DISPLAY_PROPERTIES


def detail(row: Sequence[Any], display_properties: Sequence[str] | None) -> dict[str, Any]:
    """Return the detail shape of persons.md 2.1 (component Person): `id` is the integer key."""
    person_id, uuid, properties, created_at, is_identified, last_seen_at, ids = row
    distinct_ids = chosen_first(ids)
    return {
        "id": person_id,
        "name": display_name(properties, distinct_ids, str(person_id), _display_properties(display_properties)),
        "distinct_ids": distinct_ids,
        "properties": orjson.Fragment(properties),
        "created_at": api_time(created_at),
        "uuid": str(uuid),
        "is_identified": is_identified,
        "last_seen_at": api_time(last_seen_at) if last_seen_at else None,
    }


def list_item(row: Sequence[Any], display_properties: Sequence[str] | None) -> dict[str, Any]:
    """Return the list shape of persons.md 2.2 (component PersonListItem): `id` is the UUID's text."""
    _, uuid, properties, created_at, is_identified, last_seen_at, ids = row
    distinct_ids = chosen_first(ids)
    text = str(uuid)
    return {
        "type": "person",
        "id": text,
        "uuid": text,
        "created_at": api_time(created_at),
        "properties": orjson.Fragment(properties),
        "is_identified": is_identified,
        "name": display_name(properties, distinct_ids, text, _display_properties(display_properties)),
        "distinct_ids": distinct_ids,
        "matched_recordings": [],
        "value_at_data_point": None,
        "last_seen_at": api_time(last_seen_at) if last_seen_at else None,
    }


def person_row(*, team_id: int, key: int | UUID) -> tuple[Any, ...] | None:
    """Return one person's row by integer id or UUID, or None."""
    with connection.cursor() as cursor:
        cursor.execute(DETAIL_BY_UUID if isinstance(key, UUID) else DETAIL_BY_ID, [team_id, key])
        row: tuple[Any, ...] | None = cursor.fetchone()
    return row


def person_page(*, team_id: int, wanted: PersonPageQuery) -> tuple[list[tuple[Any, ...]], bool]:
    """Return the rows of a page and whether another one follows."""
    plain = wanted.distinct_id is None and wanted.email is None
    sql = (
        _PLAIN_PAGE
        if plain
        else page_sql(by_distinct_id=wanted.distinct_id is not None, by_email=wanted.email is not None)
    )
    with connection.cursor() as cursor:
        cursor.execute(
            sql,
            {
                "team_id": team_id,
                "limit": wanted.limit + 1,
                "offset": wanted.offset,
                "distinct_id": wanted.distinct_id,
                "email": wanted.email,
            },
        )
        rows = cursor.fetchall()
    return rows[: wanted.limit], len(rows) > wanted.limit


def distinct_ids_of(*, team_id: int, person_id: int) -> list[tuple[str, int]]:
    """Return all distinct ids of a person, oldest first, each with its generation."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT distinct_id, generation FROM core_persondistinctid "
            "WHERE team_id = %s AND person_id = %s ORDER BY id",
            [team_id, person_id],
        )
        return list(cursor.fetchall())


def person_row_of_distinct_id(*, team_id: int, distinct_id: str) -> tuple[Any, ...] | None:
    """Return the row of the person that a distinct id names, or None."""
    with connection.cursor() as cursor:
        cursor.execute(DETAIL_BY_DISTINCT_ID, [team_id, distinct_id])
        row: tuple[Any, ...] | None = cursor.fetchone()
    return row
