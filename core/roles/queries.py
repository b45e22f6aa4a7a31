"""Reads of roles and their members: PostHog's objects straight from rows."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from core.tenancy.answers import member, user_basic
from core.tenancy.queries import MEMBER_COLUMNS, MEMBER_FIELDS
from core.tenancy.statements import fetch_row, fetch_rows

MAX_MEMBERS_OF_PAGE: Final = 10_000
_USER_FIELDS: Final = ("user_id", "user_uuid", "distinct_id", "first_name", "last_name", "email", "is_email_verified")

_ROLE: Final = """
SELECT r.id, r.name, r.feature_flags_access_level, r.created_at, (o.default_role_id = r.id) IS TRUE,
       u.id, u.uuid, u.distinct_id, u.first_name, u.last_name, u.email, u.is_email_verified
"""
_ROLE_FROM: Final = """
FROM core_role r JOIN core_organization o ON o.id = r.organization_id LEFT JOIN core_user u ON u.id = r.created_by_id
WHERE r.organization_id = %(organization_id)s
"""
_ONE: Final = _ROLE + _ROLE_FROM + " AND r.id = %(role_id)s"
_PAGE: Final = (
    _ROLE  # noqa: S608 constants of this module
    + ", (SELECT count(*) FROM core_rolemembership s WHERE s.role_id = r.id)"
    + _ROLE_FROM
    + " ORDER BY r.created_at, r.id LIMIT %(limit)s OFFSET %(offset)s"
)
_COUNT: Final = "SELECT count(*) FROM core_role WHERE organization_id = %(organization_id)s"

_MEMBERSHIP: Final = f"SELECT s.role_id, s.id, s.joined_at, s.updated_at, {MEMBER_COLUMNS}"
_MEMBERSHIP_FROM: Final = """
FROM core_rolemembership s
JOIN core_organizationmembership m ON m.id = s.organization_member_id
JOIN core_user u ON u.id = s.user_id
"""
_IN_ORDER: Final = " ORDER BY s.joined_at, s.id"
_MEMBERS: Final = _MEMBERSHIP + _MEMBERSHIP_FROM + " WHERE s.role_id = ANY(%(role_ids)s)" + _IN_ORDER
_OF_ROLE: Final = """
WHERE s.role_id = %(role_id)s
  AND EXISTS (SELECT 1 FROM core_role r WHERE r.id = s.role_id AND r.organization_id = %(organization_id)s)
"""
_MEMBERSHIP_PAGE: Final = _MEMBERSHIP + _MEMBERSHIP_FROM + _OF_ROLE + _IN_ORDER + " LIMIT %(limit)s OFFSET %(offset)s"
_MEMBERSHIP_ONE: Final = _MEMBERSHIP + _MEMBERSHIP_FROM + _OF_ROLE + " AND s.id = %(membership_id)s"
_MEMBERSHIP_COUNT: Final = "SELECT count(*) FROM core_rolemembership s" + _OF_ROLE  # noqa: S608 constants of this module


def role_object(*, organization_id: UUID, role_id: UUID) -> dict[str, Any] | None:
    """Return one role of the organization with all its members, or None."""
    row = fetch_row(_ONE, {"organization_id": organization_id, "role_id": role_id})
    return None if row is None else _role(row, _members([role_id]).get(role_id, []))


def role_page(*, organization_id: UUID, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
    """Return roles with all their members, oldest first, and how many roles there are on all pages.

    There are fewer than `limit` where these have more than MAX_MEMBERS_OF_PAGE members together, but always one.
    """
    rows = fetch_rows(_PAGE, {"organization_id": organization_id, "limit": limit, "offset": offset})
    ((count,),) = fetch_rows(_COUNT, {"organization_id": organization_id})
    rows = _bounded(rows)
    members = _members([row[0] for row in rows])
    return [_role(row, members.get(row[0], [])) for row in rows], int(count)


def membership_object(*, organization_id: UUID, role_id: UUID, membership_id: UUID) -> dict[str, Any] | None:
    """Return one membership of a role of the organization, or None."""
    parameters = {"organization_id": organization_id, "role_id": role_id, "membership_id": membership_id}
    row = fetch_row(_MEMBERSHIP_ONE, parameters)
    return None if row is None else _membership(row)


def membership_page(
    *, organization_id: UUID, role_id: UUID, limit: int, offset: int
) -> tuple[list[dict[str, Any]], int]:
    """Return memberships of a role in the order of joining, and how many there are on all pages.

    A role of another organization has none.
    """
    parameters = {"organization_id": organization_id, "role_id": role_id}
    rows = fetch_rows(_MEMBERSHIP_PAGE, {**parameters, "limit": limit, "offset": offset})
    ((count,),) = fetch_rows(_MEMBERSHIP_COUNT, parameters)
    return [_membership(row) for row in rows], int(count)


def _bounded(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    members = 0
    for shown, row in enumerate(rows):
        members += row[-1]
        if shown and members > MAX_MEMBERS_OF_PAGE:
            return rows[:shown]
    return rows


def _members(role_ids: Sequence[UUID]) -> dict[UUID, list[dict[str, Any]]]:
    members: dict[UUID, list[dict[str, Any]]] = {}
    for row in fetch_rows(_MEMBERS, {"role_ids": list(role_ids)}):
        members.setdefault(row[0], []).append(_membership(row))
    return members


def _role(row: Sequence[Any], members: list[dict[str, Any]]) -> dict[str, Any]:
    creator = row[5:12]
    return {
        "id": row[0],
        "name": row[1],
        "feature_flags_access_level": row[2],
        "created_at": row[3],
        # The Terraform provider decodes this into a text and fails on an object.
        "created_by": None,
        "created_by_user": None if creator[0] is None else user_basic(dict(zip(_USER_FIELDS, creator, strict=True))),
        "members": members,
        "associated_flags": [],
        "is_default": row[4],
    }


def _membership(row: Sequence[Any]) -> dict[str, Any]:
    organization_member = member(dict(zip(MEMBER_FIELDS, row[4:], strict=True)))
    return {
        "id": row[1],
        "role_id": row[0],
        "organization_member": organization_member,
        "user": organization_member["user"],
        "joined_at": row[2],
        "updated_at": row[3],
    }
