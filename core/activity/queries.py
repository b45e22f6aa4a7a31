"""Reads of the activity log: one page, newest first, in the shape of access_and_organizations.md f2."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString
from uuid import UUID

import orjson

from core.tenancy.statements import fetch_rows

MAX_COUNTED: Final = 100_000
"""`total_count` stops here: counting on costs as much as reading all entries."""

_SYSTEM: Final = {"first_name": "System", "email": None, "is_system": True}
_OF_ITEM: Final = "AND item_id = %(item_id)s"

# Ids first, from the index alone: pages far back must not read the details of those before them.
_PAGE: Final = """
SELECT a.id::text, a.activity, a.scope, a.item_id, a.detail::text,
       to_char(a.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), a.is_system, u.first_name, u.email
FROM (SELECT id, created_at FROM {source}
      ORDER BY created_at DESC, id DESC LIMIT %(limit)s OFFSET %(offset)s) AS page
JOIN core_activitylog a ON a.id = page.id
LEFT JOIN core_user u ON u.id = a.user_id
ORDER BY page.created_at DESC, page.id DESC
"""
_ONE_SCOPE: Final = "core_activitylog WHERE team_id = %(team_id)s AND scope = %(scope)s {of_item}"
# The newest of each scope come in order from the index; read as one list they would all have to be sorted.
_SEVERAL_SCOPES: Final = """unnest(%(scopes)s::text[]) AS wanted(scope) CROSS JOIN LATERAL (
    SELECT id, created_at FROM core_activitylog
    WHERE team_id = %(team_id)s AND scope = wanted.scope {of_item}
    ORDER BY created_at DESC, id DESC LIMIT %(reach)s) AS newest"""
_COUNT: Final = """
SELECT count(*) FROM (
    SELECT 1 FROM core_activitylog
    WHERE team_id = %(team_id)s AND scope = ANY(%(scopes)s) {of_item} LIMIT %(most)s) AS counted
"""
_OF_ORGANIZATION: Final = "core_activitylog WHERE organization_id = %(organization_id)s {of_scope} {of_item}"
_COUNT_SOURCE: Final = "SELECT count(*) FROM (SELECT 1 FROM {source} LIMIT %(most)s) AS counted"
_PAGES: Final[dict[tuple[bool, bool], LiteralString]] = {
    (several, of_item): _PAGE.replace("{source}", _SEVERAL_SCOPES if several else _ONE_SCOPE).replace(
        "{of_item}", _OF_ITEM if of_item else ""
    )
    for several in (False, True)
    for of_item in (False, True)
}
_COUNTS: Final[dict[bool, LiteralString]] = {
    of_item: _COUNT.replace("{of_item}", _OF_ITEM if of_item else "") for of_item in (False, True)
}


def _of_organization(statement: LiteralString, *, of_scope: bool, of_item: bool) -> LiteralString:
    return (
        statement.replace("{source}", _OF_ORGANIZATION)
        .replace("{of_scope}", "AND scope = %(scope)s" if of_scope else "")
        .replace("{of_item}", _OF_ITEM if of_item else "")
    )


_ORGANIZATION_PAGES: Final[dict[tuple[bool, bool], tuple[LiteralString, LiteralString]]] = {
    (of_scope, of_item): (
        _of_organization(_PAGE, of_scope=of_scope, of_item=of_item),
        _of_organization(_COUNT_SOURCE, of_scope=of_scope, of_item=of_item),
    )
    for of_scope, of_item in ((False, False), (True, False), (True, True))
}
_SCOPES_OF_ORGANIZATION: Final = """unnest(%(scopes)s::text[]) AS wanted(scope) CROSS JOIN LATERAL (
    SELECT id, created_at FROM core_activitylog
    WHERE organization_id = %(organization_id)s AND scope = wanted.scope
    ORDER BY created_at DESC, id DESC LIMIT %(reach)s) AS newest"""
_SCOPES_PAGE: Final[LiteralString] = _PAGE.replace("{source}", _SCOPES_OF_ORGANIZATION)
_SCOPES_COUNT: Final[LiteralString] = _COUNT_SOURCE.replace(
    "{source}", "core_activitylog WHERE organization_id = %(organization_id)s AND scope = ANY(%(scopes)s)"
)


@dataclass(frozen=True, slots=True)
class ActivityPage:
    """Entries as they are answered, how many there are in all (at most MAX_COUNTED), and whether more follow."""

    entries: list[dict[str, Any]]
    total_count: int
    more: bool


def activity_page(
    *, team_id: int, scopes: Sequence[str], item_id: str | None = None, limit: int, offset: int
) -> ActivityPage:
    """Return `limit` entries of a project from `offset`: of these scopes, of one item or all; two statements at most.

    Entries of one moment are ordered by their id.
    """
    parameters = {
        "team_id": team_id,
        "scope": scopes[0],
        "scopes": list(scopes),
        "item_id": item_id,
        "limit": limit + 1,
        "offset": offset,
        "reach": offset + limit + 1,
        "most": MAX_COUNTED,
    }
    return _page(_PAGES[len(scopes) > 1, item_id is not None], _COUNTS[item_id is not None], parameters)


def organization_activity_page(
    *, organization_id: UUID, scope: str | None = None, item_id: str | None = None, limit: int, offset: int
) -> ActivityPage:
    """Return `limit` entries from `offset` of an organization and all its projects; two statements at most.

    Those of one scope if it is given, and of one item of it; an item without a scope is no question.
    """
    parameters = {
        "organization_id": organization_id,
        "scope": scope,
        "item_id": item_id,
        "limit": limit + 1,
        "offset": offset,
        "most": MAX_COUNTED,
    }
    return _page(*_ORGANIZATION_PAGES[scope is not None, item_id is not None], parameters)


def organization_scopes_page(*, organization_id: UUID, scopes: Sequence[str], limit: int, offset: int) -> ActivityPage:
    """Return `limit` entries of these scopes from `offset`, of an organization and all its projects."""
    parameters = {
        "organization_id": organization_id,
        "scopes": list(scopes),
        "limit": limit + 1,
        "offset": offset,
        "reach": offset + limit + 1,
        "most": MAX_COUNTED,
    }
    return _page(_SCOPES_PAGE, _SCOPES_COUNT, parameters)


def _page(statement: LiteralString, count: LiteralString, parameters: Mapping[str, Any]) -> ActivityPage:
    """Run a statement that asks for one row more than the page has, and count only where that does not tell."""
    rows = fetch_rows(statement, parameters)
    limit, offset = parameters["limit"] - 1, parameters["offset"]
    more = len(rows) > limit
    total = offset + len(rows)
    if more or (offset and not rows):
        ((total,),) = fetch_rows(count, parameters)
    return ActivityPage([_entry(row) for row in rows[:limit]], min(total, MAX_COUNTED), more)


def _entry(row: Sequence[Any]) -> dict[str, Any]:
    entry_id, activity, scope, item_id, detail, created_at, is_system, first_name, email = row
    # The user of an entry may be deleted since; then the left join found nobody.
    user = _SYSTEM if is_system else {"first_name": first_name or "", "email": email or ""}
    return {
        "id": entry_id,
        "user": user,
        "activity": activity,
        "scope": scope,
        "item_id": item_id,
        "detail": None if detail is None else orjson.Fragment(detail),
        "created_at": created_at,
    }
