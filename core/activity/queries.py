"""Reads of the activity log: one page, newest first, in the shape of access_and_organizations.md f2."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

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
FROM (SELECT id, created_at FROM core_activitylog
      WHERE team_id = %(team_id)s AND scope = %(scope)s {of_item}
      ORDER BY created_at DESC, id DESC LIMIT %(limit)s OFFSET %(offset)s) AS page
JOIN core_activitylog a ON a.id = page.id
LEFT JOIN core_user u ON u.id = a.user_id
ORDER BY page.created_at DESC, page.id DESC
"""
_COUNT: Final = """
SELECT count(*) FROM (
    SELECT 1 FROM core_activitylog
    WHERE team_id = %(team_id)s AND scope = %(scope)s {of_item} LIMIT %(most)s) AS counted
"""
_PAGE_OF_SCOPE: Final = _PAGE.format(of_item="")
_PAGE_OF_ITEM: Final = _PAGE.format(of_item=_OF_ITEM)
_COUNT_OF_SCOPE: Final = _COUNT.format(of_item="")
_COUNT_OF_ITEM: Final = _COUNT.format(of_item=_OF_ITEM)


@dataclass(frozen=True, slots=True)
class ActivityPage:
    """Entries as they are answered, how many there are in all (at most MAX_COUNTED), and whether more follow."""

    entries: list[dict[str, Any]]
    total_count: int
    more: bool


def activity_page(*, team_id: int, scope: str, item_id: str | None = None, limit: int, offset: int) -> ActivityPage:
    """Return `limit` entries of a project from `offset`, of one scope, of one item or of all; two statements at most.

    Entries of one moment are ordered by their id.
    """
    parameters = {
        "team_id": team_id,
        "scope": scope,
        "item_id": item_id,
        "limit": limit + 1,
        "offset": offset,
        "most": MAX_COUNTED,
    }
    rows = fetch_rows(_PAGE_OF_SCOPE if item_id is None else _PAGE_OF_ITEM, parameters)
    more = len(rows) > limit
    total = offset + len(rows)
    if more or (offset and not rows):
        ((total,),) = fetch_rows(_COUNT_OF_SCOPE if item_id is None else _COUNT_OF_ITEM, parameters)
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
