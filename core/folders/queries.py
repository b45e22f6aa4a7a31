"""Reads of persisted folders: PostHog's object straight from rows."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from core.api.params import MAX_INTEGER_ID
from core.tenancy.statements import fetch_row, fetch_rows

COLUMNS: Final = "id, type, protocol, path, created_at, updated_at"
WEB: Final = "web"
"""The surface of the folders that this resource is about."""
_MINE: Final = " FROM core_persistedfolder WHERE team_id = %(team_id)s AND user_id = %(user_id)s AND surface = 'web'"
_ONE: Final = "SELECT " + COLUMNS + _MINE + " AND id = %(folder_id)s"
_PAGE: Final = "SELECT " + COLUMNS + _MINE + " ORDER BY lower(type), id LIMIT %(limit)s OFFSET %(offset)s"
_COUNT: Final = "SELECT count(*)" + _MINE


def folder_object(row: Sequence[Any]) -> dict[str, Any]:
    """Return the object of a row of COLUMNS."""
    return dict(zip(COLUMNS.split(", "), row, strict=True))


def folder_one(*, team_id: int, user_id: int, folder_id: UUID) -> dict[str, Any] | None:
    """Return a folder of the user in the team, or None."""
    row = fetch_row(_ONE, {"team_id": team_id, "user_id": user_id, "folder_id": folder_id})
    return None if row is None else folder_object(row)


def folder_page(*, team_id: int, user_id: int, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
    """Return a page of the user's folders in the team, by type, and how many there are on all pages."""
    mine = {"team_id": team_id, "user_id": user_id}
    rows = fetch_rows(_PAGE, {**mine, "limit": limit, "offset": min(offset, MAX_INTEGER_ID)})
    ((count,),) = fetch_rows(_COUNT, mine)
    return [folder_object(row) for row in rows], int(count)
