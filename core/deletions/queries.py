"""What became of deletion requests."""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import orjson

from core.tenancy.statements import fetch_rows

_STATUS: Final = """
FROM core_deletionrequest request
WHERE team_id = %(team_id)s
  AND (%(kind)s::text IS NULL OR kind = %(kind)s)
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
    """Which requests are asked for; None is any. `repeated` also shows those that a later one has followed."""

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
