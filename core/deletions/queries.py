"""What became of deletion requests."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from core.tenancy.statements import fetch_rows

_STATUS: Final = """
FROM core_deletionrequest request
WHERE team_id = %(team_id)s
  AND kind <> 'project' AND (%(kind)s::text IS NULL OR kind = %(kind)s)
  AND (%(person_uuid)s::uuid IS NULL OR person_uuid = %(person_uuid)s)
  AND (%(verified)s::bool IS NULL OR (verified_at IS NOT NULL) = %(verified)s)
  AND (%(repeated)s OR NOT EXISTS (
      SELECT FROM core_deletionrequest later
      WHERE later.team_id = request.team_id AND later.person_uuid = request.person_uuid
        AND later.kind = request.kind AND later.id > request.id))
"""
_COUNT: Final = "SELECT count(*) " + _STATUS
_PAGE: Final = (
    "SELECT person_uuid, requested_at, kind, verified_at, CASE WHEN verified_at IS NOT NULL THEN receipt::text END "
    + _STATUS
    + " ORDER BY requested_at DESC, id DESC LIMIT %(limit)s OFFSET %(offset)s"
)


@dataclass(frozen=True, slots=True)
class StatusQuery:
    """Which requests of persons are wanted; None is any. `repeated` also shows those that a later one has followed."""

    kind: str | None
    verified: bool | None
    person_uuid: UUID | None
    repeated: bool
    limit: int
    offset: int


def deletion_status(*, team_id: int, wanted: StatusQuery) -> tuple[int, list[dict[str, Any]]]:
    """Return how many requests there are, and one page of them, newest first."""
    parameters: dict[str, Any] = {
        "team_id": team_id,
        "kind": wanted.kind,
        "person_uuid": wanted.person_uuid,
        "verified": wanted.verified,
        "repeated": wanted.repeated,
    }
    ((count,),) = fetch_rows(_COUNT, parameters)
    rows = fetch_rows(_PAGE, {**parameters, "limit": wanted.limit, "offset": wanted.offset})
    return count, [
        {
            "person_uuid": str(person_uuid),
            "created_at": requested_at,
            "status": "pending" if verified_at is None else "completed",
            "delete_verified_at": verified_at,
            "kind": kind,
            "receipt": None if receipt is None else orjson.Fragment(receipt),
        }
        for person_uuid, requested_at, kind, verified_at, receipt in rows
    ]


MAX_PROJECT_ID: Final = 2**63 - 1
_DELETED: Final = """
SELECT team_id, project_name, requested_at, requested_by_id, requested_by_email, verified_at,
       CASE WHEN verified_at IS NOT NULL THEN receipt::text END, attempts, last_error
FROM core_deletionrequest
WHERE kind = 'project' AND organization_id = %(organization_id)s
"""
_DELETED_PAGE: Final = _DELETED + " ORDER BY requested_at DESC, id DESC LIMIT %(limit)s OFFSET %(offset)s"
_DELETED_ONE: Final = _DELETED + " AND team_id = %(project_id)s ORDER BY id DESC LIMIT 1"
_COUNT_DELETED: Final = (
    "SELECT count(*) FROM core_deletionrequest WHERE kind = 'project' AND organization_id = %(organization_id)s"
)


def deleted_projects(*, organization_id: UUID, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
    """Return a page of deleted projects as they are answered, newest first, and how many there are in all."""
    parameters = {"organization_id": organization_id, "limit": limit, "offset": offset}
    ((count,),) = fetch_rows(_COUNT_DELETED, parameters)
    return [_deleted_object(*row) for row in fetch_rows(_DELETED_PAGE, parameters)], count


def deleted_project(*, organization_id: UUID, project_id: int) -> dict[str, Any] | None:
    """Return one deleted project of an organization as it is answered; None when there is none with this id."""
    rows = fetch_rows(_DELETED_ONE, {"organization_id": organization_id, "project_id": project_id})
    return _deleted_object(*rows[0]) if rows else None


def _deleted_object(  # noqa: PLR0913, PLR0917 one argument per column
    team_id: int,
    name: str,
    deleted_at: datetime,
    user_id: int | None,
    email: str,
    verified_at: datetime | None,
    receipt: str | None,
    attempts: int,
    last_error: str,
) -> dict[str, Any]:
    return {
        "id": team_id,
        "name": name,
        "deleted_at": deleted_at,
        "deleted_by": {"id": user_id, "email": email} if user_id is not None or email else None,
        "status": "pending" if verified_at is None else "completed",
        "verified_at": verified_at,
        "receipt": None if receipt is None else orjson.Fragment(receipt),
        "attempts": attempts,
        "last_error": last_error,
    }
