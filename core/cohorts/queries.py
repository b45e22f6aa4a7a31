"""Reads of cohorts: PostHog's cohort object straight from rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString

import orjson

from core.api.params import MAX_INTEGER_ID
from core.tenancy.answers import user_basic
from core.tenancy.statements import fetch_row, fetch_rows

_NO_CONDITIONS: Final = {"properties": {"type": "OR", "values": []}}

_IS_DUE_NOW: Final = (
    "c.version_wanted > coalesce(c.version, 0) AND (c.retry_at IS NULL OR c.retry_at <= statement_timestamp())"
)
_COLUMNS: Final = f"""
c.id, c.name, c.description, c.groups::text, c.deleted, c.filters::text, c.version, c.version_wanted,
NOT c.deleted AND (c.lease_until > statement_timestamp() OR c.progress IS NOT NULL OR {_IS_DUE_NOW}) IS TRUE,
c.created_at, c.last_calculation, c.errors_calculating, c.last_error, c.count, c.is_static,
u.id, u.uuid, u.distinct_id, u.first_name, u.last_name, u.email, u.is_email_verified
"""
_FROM: Final = " FROM core_cohort c LEFT JOIN core_user u ON u.id = c.created_by_id "
_ONE: Final = f"SELECT {_COLUMNS} {_FROM} WHERE c.team_id = %s AND c.id = %s"
_OF_PERSON: Final = (
    f"SELECT {_COLUMNS} {_FROM} WHERE c.team_id = %s AND NOT c.deleted"  # noqa: S608 constants of this module
    " AND c.id IN (SELECT m.cohort_id FROM core_cohortperson m WHERE m.person_id = %s)"
    " ORDER BY c.created_at DESC, c.id DESC"
)
_WANTED: Final = " WHERE c.team_id = %(team_id)s AND NOT c.deleted"
_FILTERS: Final[dict[str, LiteralString]] = {
    "search": " AND c.name ILIKE '%%' || %(search)s || '%%'",
    "is_static": " AND c.is_static = %(is_static)s",
    "created_by": " AND c.created_by_id = %(created_by)s",
}
_ORDER: Final = " ORDER BY c.created_at DESC, c.id DESC LIMIT %(limit)s OFFSET %(offset)s"


@dataclass(frozen=True, slots=True)
class CohortPageQuery:
    """What a caller asked of the list; None restricts nothing."""

    limit: int
    offset: int
    search: str | None = None
    is_static: bool | None = None
    created_by: int | None = None


def cohort_object(row: Sequence[Any]) -> dict[str, Any]:
    """Return PostHog's cohort object."""
    filters = orjson.loads(row[5])
    user = row[15:22]
    names = ("user_id", "user_uuid", "distinct_id", "first_name", "last_name", "email", "is_email_verified")
    return {
        "id": row[0],
        "name": row[1],
        "description": row[2],
        "groups": orjson.Fragment(row[3]),
        "deleted": row[4],
        "filters": filters or _NO_CONDITIONS,
        "query": None,
        "version": row[6],
        "pending_version": row[7],
        "is_calculating": row[8],
        "created_by": user_basic(dict(zip(names, user, strict=True))) if user[0] is not None else None,
        "created_at": row[9],
        "last_calculation": row[10],
        "errors_calculating": row[11],
        "last_error_message": row[12] or None,
        "count": row[13],
        "is_static": row[14],
        "cohort_type": "static" if row[14] else "person_property",
        "experiment_set": [],
    }


def cohort_row(*, team_id: int, cohort_id: int) -> tuple[Any, ...] | None:
    """Return a cohort of the team, deleted or not, or None."""
    return fetch_row(_ONE, [team_id, cohort_id])


def cohort_is_alive(*, team_id: int, cohort_id: int) -> bool:
    """Whether the team has this cohort and has not deleted it."""
    sql: LiteralString = "SELECT 1 FROM core_cohort WHERE team_id = %s AND id = %s AND NOT deleted"
    return fetch_row(sql, [team_id, cohort_id]) is not None


def cohort_page(*, team_id: int, wanted: CohortPageQuery) -> tuple[list[tuple[Any, ...]], int]:
    """Return the rows of a page, newest first, and how many cohorts there are on all pages."""
    given = {name: getattr(wanted, name) for name in _FILTERS if getattr(wanted, name) is not None}
    where: LiteralString = _WANTED + "".join([_FILTERS[name] for name in given])
    if wanted.search is not None:
        given["search"] = wanted.search.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    parameters = {"team_id": team_id, "limit": wanted.limit, "offset": min(wanted.offset, MAX_INTEGER_ID), **given}
    rows = fetch_rows("SELECT" + _COLUMNS + _FROM + where + _ORDER, parameters)
    count_sql: LiteralString = "SELECT count(*) FROM core_cohort c" + where  # noqa: S608 constants of this module
    ((count,),) = fetch_rows(count_sql, {"team_id": team_id, **given})
    return rows, int(count)


def cohorts_of_person(*, team_id: int, person_id: int) -> list[tuple[Any, ...]]:
    """Return the living cohorts that a person is in, newest first, dynamic ones as last calculated."""
    return fetch_rows(_OF_PERSON, [team_id, person_id])
