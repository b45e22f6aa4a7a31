"""Reads of organizations, projects and users as plain rows; the resources turn them into answers."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, LiteralString
from uuid import UUID

import orjson

from core.tenancy.statements import fetch_row, fetch_rows

type Row = dict[str, Any]

SHORT_FIELDS: tuple[str, ...] = (
    "id", "uuid", "organization", "api_token", "name", "created_at", "ingested_event", "is_demo", "timezone",
    "settings", "level",
)  # fmt: skip
# All settings of a page of projects would be megabytes.
_SHORT_COLUMNS: LiteralString = """
    t.id, t.uuid, t.organization_id, t.api_token, t.name, t.created_at, t.ingested_event, t.is_demo, t.timezone,
    (SELECT jsonb_object_agg(s.key, s.value) FROM jsonb_each(t.settings) s
     WHERE s.key IN ('completed_snippet_onboarding', 'has_completed_onboarding_for', 'access_control')), m.level"""
_VISIBLE: LiteralString = """
    FROM core_team t
    JOIN core_organization o ON o.id = t.organization_id
    JOIN core_organizationmembership m ON m.organization_id = o.id AND m.user_id = %(user_id)s
    WHERE t.deleted_at IS NULL AND o.deleted_at IS NULL
      AND (%(organization_id)s::uuid IS NULL OR o.id = %(organization_id)s)
      AND (%(teams)s::bigint[] IS NULL OR t.id = ANY(%(teams)s))
      AND (%(organizations)s::uuid[] IS NULL OR o.id = ANY(%(organizations)s))
      AND (NOT %(by_key)s OR o.members_can_use_personal_api_keys OR m.level >= 8)"""

FULL_FIELDS: tuple[str, ...] = (
    "id", "uuid", "organization", "api_token", "name", "created_at", "updated_at", "timezone", "week_start_day",
    "anonymize_ips", "ingested_event", "is_demo", "person_processing_opt_out", "person_display_name_properties",
    "settings", "product_description", "group_types",
)  # fmt: skip
_FULL: LiteralString = """
    SELECT t.id, t.uuid, t.organization_id, t.api_token, t.name, t.created_at, t.updated_at, t.timezone,
           t.week_start_day, t.anonymize_ips, t.ingested_event, t.is_demo, t.person_processing_opt_out,
           t.person_display_name_properties, t.settings, p.product_description,
           (SELECT jsonb_agg(jsonb_build_object('group_type', g.group_type, 'group_type_index', g.group_type_index,
                                                'created_at', g.created_at) ORDER BY g.group_type_index)
            FROM core_grouptype g WHERE g.team_id = t.id)
    FROM core_team t JOIN core_project p ON p.id = t.project_id
    WHERE t.id = %(team_id)s AND t.deleted_at IS NULL"""

ORGANIZATION_FIELDS: tuple[str, ...] = (
    "id", "name", "slug", "created_at", "updated_at", "plugins_access_level", "enforce_2fa", "members_can_invite",
    "members_can_use_personal_api_keys", "allow_publicly_shared_resources", "is_member_join_email_enabled",
    "default_role_id", "membership_level", "member_count",
)  # fmt: skip
_ORGANIZATION_COLUMNS: LiteralString = """
    SELECT o.id, o.name, o.slug, o.created_at, o.updated_at, o.plugins_access_level, o.enforce_2fa,
           o.members_can_invite, o.members_can_use_personal_api_keys, o.allow_publicly_shared_resources,
           o.is_member_join_email_enabled, o.default_role_id, m.level,
           (SELECT count(*) FROM core_organizationmembership x JOIN core_user u ON u.id = x.user_id
            WHERE x.organization_id = o.id AND u.is_active)"""
_BELONGING: LiteralString = """
    FROM core_organization o
    JOIN core_organizationmembership m ON m.organization_id = o.id AND m.user_id = %(user_id)s
    WHERE o.deleted_at IS NULL AND (%(ids)s::uuid[] IS NULL OR o.id = ANY(%(ids)s))
      AND (NOT %(by_key)s OR o.members_can_use_personal_api_keys OR m.level >= 8)"""
_ORGANIZATIONS: LiteralString = (
    _ORGANIZATION_COLUMNS + _BELONGING + " ORDER BY m.joined_at, o.id LIMIT %(limit)s::bigint OFFSET %(offset)s"
)

MEMBER_FIELDS: tuple[str, ...] = (
    "id", "level", "joined_at", "updated_at", "last_login",
    "user_id", "user_uuid", "distinct_id", "first_name", "last_name", "email", "is_email_verified",
)  # fmt: skip
MEMBER_COLUMNS: LiteralString = (
    "m.id, m.level, m.joined_at, m.updated_at, u.last_login, "
    "u.id, u.uuid, u.distinct_id, u.first_name, u.last_name, u.email, u.is_email_verified"
)
_ACTIVE_MEMBERS: LiteralString = """
    FROM core_organizationmembership m JOIN core_user u ON u.id = m.user_id
    WHERE m.organization_id = %(organization_id)s AND u.is_active"""
_MEMBERS: LiteralString = "SELECT " + MEMBER_COLUMNS + _ACTIVE_MEMBERS
_MEMBER_PAGE: LiteralString = _MEMBERS + " ORDER BY m.joined_at, m.id LIMIT %(limit)s OFFSET %(offset)s"


def visible_teams(  # noqa: PLR0913 one argument per way of narrowing
    *,
    user_id: int,
    organization_id: UUID | None,
    teams: Sequence[int] = (),
    organizations: Sequence[str] = (),
    by_key: bool = False,
    limit: int | None = None,
    offset: int = 0,
) -> tuple[list[Row], int]:
    """Return short rows of the projects a user may see, in order of id, and how many there are in all."""
    parameters: dict[str, Any] = {
        "user_id": user_id,
        "organization_id": organization_id,
        "teams": list(teams) or None,
        "organizations": [UUID(text) for text in organizations] or None,
        "by_key": by_key,
        "limit": limit,
        "offset": offset,
    }
    found = fetch_rows(
        "SELECT " + _SHORT_COLUMNS + _VISIBLE + " ORDER BY t.id LIMIT %(limit)s::bigint OFFSET %(offset)s", parameters
    )
    count = fetch_row("SELECT count(*)" + _VISIBLE, parameters) or (0,)
    return [_named(SHORT_FIELDS, row, json=("settings",)) for row in found], count[0]


def team_full(*, team_id: int) -> Row | None:
    """Return everything stored about one project."""
    row = fetch_row(_FULL, {"team_id": team_id})
    json = ("settings", "person_display_name_properties", "group_types")
    return None if row is None else _named(FULL_FIELDS, row, json=json)


def is_generating_demo_data(*, team_id: int) -> bool:
    """Tell whether the worker still has to fill a project with demo data."""
    row = fetch_row("SELECT is_generating_demo_data FROM core_team WHERE id = %s", [team_id])
    return row is not None and bool(row[0])


def organizations_of(*, user_id: int, ids: Iterable[str | UUID] = ()) -> list[Row]:
    """Return the organizations a user belongs to (only those with `ids`, if any are given), oldest membership first."""
    parameters = _belonging(user_id, ids)
    return [_named(ORGANIZATION_FIELDS, row) for row in fetch_rows(_ORGANIZATIONS, parameters)]


def organization_page(
    *, user_id: int, ids: Iterable[str | UUID], by_key: bool, limit: int, offset: int
) -> tuple[list[Row], int]:
    """Return one page of the organizations a user belongs to, and how many there are in all.

    `by_key` leaves out those that do not let this user use keys.
    """
    parameters = {**_belonging(user_id, ids), "by_key": by_key, "limit": limit, "offset": offset}
    rows = fetch_rows(_ORGANIZATIONS, parameters)
    count = fetch_row("SELECT count(*)" + _BELONGING, parameters) or (0,)
    return [_named(ORGANIZATION_FIELDS, row) for row in rows], count[0]


def _belonging(user_id: int, ids: Iterable[str | UUID]) -> dict[str, Any]:
    wanted = [found if isinstance(found, UUID) else UUID(found) for found in ids]
    return {"user_id": user_id, "ids": wanted or None, "by_key": False, "limit": None, "offset": 0}


def members_of(*, organization_id: UUID, limit: int, offset: int) -> tuple[list[Row], int]:
    """Return active members in the order they joined, and how many there are in all."""
    parameters: Mapping[str, Any] = {"organization_id": organization_id, "limit": limit, "offset": offset}
    rows = fetch_rows(_MEMBER_PAGE, parameters)
    count = fetch_row("SELECT count(*)" + _ACTIVE_MEMBERS, parameters) or (0,)
    return [_named(MEMBER_FIELDS, row) for row in rows], count[0]


def member_of(*, organization_id: UUID, user_uuid: UUID) -> Row | None:
    """Return one active member by the uuid of the user."""
    parameters = {"organization_id": organization_id, "user_uuid": user_uuid}
    row = fetch_row(_MEMBERS + " AND u.uuid = %(user_uuid)s", parameters)
    return None if row is None else _named(MEMBER_FIELDS, row)


def _named(fields: Sequence[str], row: Sequence[Any], json: Iterable[str] = ()) -> Row:
    named = dict(zip(fields, row, strict=True))
    for field in json:
        if isinstance(named[field], str):
            named[field] = orjson.loads(named[field])
    return named
