"""One statement answers everything that a request needs to know about its caller and its tenant."""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, LiteralString
from uuid import UUID

from core.access.context import Access, Caller
from core.access.routing import CURRENT, About, Route
from core.tenancy.context import ORGANIZATION_COLUMNS, TEAM_COLUMNS, organization_from_row, team_from_row
from core.tenancy.statements import fetch_row

MAX_ID_DIGITS = 18


class Pick(enum.Enum):
    """How the URL names a project or an organization."""

    NONE = enum.auto()
    ID = enum.auto()
    CURRENT = enum.auto()
    TOKEN = enum.auto()
    OF_TEAM = enum.auto()


@dataclass(frozen=True, slots=True)
class Target:
    """The project and organization named by a URL."""

    team: Pick = Pick.NONE
    team_id: int | str = 0
    organization: Pick = Pick.NONE
    organization_id: UUID | None = None


_USER_COLUMNS: LiteralString = "u.id, u.email, u.first_name"
_KEY_COLUMNS: LiteralString = (
    "k.id, k.secure_value, k.scopes, k.scoped_teams, k.scoped_organizations, "
    "k.last_used_at IS NULL OR k.last_used_at < statement_timestamp() - interval '1 hour'"
)
_ORGANIZATION = TEAM_COLUMNS.count(",") + 1
_LEVEL = _ORGANIZATION + ORGANIZATION_COLUMNS.count(",") + 1
_KEY = _LEVEL + 1 + _USER_COLUMNS.count(",") + 1
# What the user made current is only a wish: it may be gone, or the user may have left.
_CURRENT_ORGANIZATION: LiteralString = """(
    SELECT m2.organization_id FROM core_organizationmembership m2 WHERE m2.user_id = u.id
    ORDER BY (m2.organization_id = u.current_organization_id) DESC NULLS LAST, m2.joined_at, m2.id LIMIT 1)"""
_CURRENT_TEAM: LiteralString = """(
    SELECT t2.id FROM core_team t2
    JOIN core_organizationmembership m2 ON m2.organization_id = t2.organization_id AND m2.user_id = u.id
    WHERE t2.deleted_at IS NULL
    ORDER BY (t2.id = u.current_team_id) DESC NULLS LAST,
             (t2.organization_id = u.current_organization_id) DESC NULLS LAST, t2.id LIMIT 1)"""
_TEAM_CONDITIONS: dict[Pick, LiteralString] = {
    Pick.NONE: "false",
    Pick.ID: "t.id = %(team_id)s::bigint",
    Pick.CURRENT: "t.id = " + _CURRENT_TEAM,
    Pick.TOKEN: "t.api_token = %(team_id)s",
}
_ORGANIZATION_CONDITIONS: dict[Pick, LiteralString] = {
    Pick.NONE: "false",
    Pick.ID: "o.id = %(organization_id)s::uuid",
    Pick.CURRENT: "o.id = " + _CURRENT_ORGANIZATION,
    Pick.OF_TEAM: "o.id = t.organization_id",
}


@cache
def _statement(team: Pick, organization: Pick, *, by_key: bool) -> LiteralString:
    team_join: LiteralString = " LEFT JOIN core_team t ON t.deleted_at IS NULL AND " + _TEAM_CONDITIONS[team]
    organization_join: LiteralString = (
        " LEFT JOIN core_organization o ON o.deleted_at IS NULL AND " + _ORGANIZATION_CONDITIONS[organization]
    )
    joins: LiteralString = (
        team_join + organization_join
        if organization is Pick.OF_TEAM
        else organization_join + team_join + " AND t.organization_id = o.id"
    )
    source: LiteralString = "core_personalapikey k JOIN core_user u ON u.id = k.user_id" if by_key else "core_user u"
    condition: LiteralString = "k.secure_value = %(secure_value)s" if by_key else "u.id = %(user_id)s::bigint"
    tenant: LiteralString = TEAM_COLUMNS + ", " + ORGANIZATION_COLUMNS + ", m.level"
    columns: LiteralString = tenant + ", " + _USER_COLUMNS + (", " + _KEY_COLUMNS if by_key else "")
    return (
        "SELECT "  # noqa: S608 only constants of this module are joined
        + columns + " FROM " + source + joins
        + " LEFT JOIN core_organizationmembership m ON m.organization_id = o.id AND m.user_id = u.id"
        + " WHERE " + condition + " AND u.is_active"
    )  # fmt: skip


def read_target(route: Route | None, arguments: Mapping[str, Any], token: str | None = None) -> Target:
    """Say which project and organization the URL names; what cannot be an id names nothing.

    A project token chooses what `@current` means.
    """
    if route is None or route.about is About.NOTHING:
        return Target()
    if route.about is About.TEAMS_OF_CURRENT_ORGANIZATION:
        return Target(organization=Pick.CURRENT)
    if token and route.about in {About.TEAM, About.TEAM_ITSELF} and arguments[route.team_argument] == CURRENT:
        return Target(Pick.TOKEN, token, Pick.OF_TEAM)
    if route.about in {About.TEAM, About.TEAM_ITSELF}:
        team, team_id = _read_team(arguments[route.team_argument])
        return Target(team, team_id, Pick.OF_TEAM)
    organization, organization_id = _read_organization(arguments[route.organization_argument])
    if route.about is About.TEAM_OF_ORGANIZATION:
        team, team_id = _read_team(arguments[route.team_argument])
        return Target(team, team_id, organization, organization_id)
    return Target(organization=organization, organization_id=organization_id)


def _read_team(text: str) -> tuple[Pick, int]:
    if text.isdecimal() and text.isascii() and len(text) <= MAX_ID_DIGITS:
        return Pick.ID, int(text)
    return (Pick.CURRENT, 0) if text == CURRENT else (Pick.NONE, 0)


def _read_organization(text: str) -> tuple[Pick, UUID | None]:
    if text == CURRENT:
        return Pick.CURRENT, None
    try:
        return Pick.ID, UUID(text)
    except ValueError:
        return Pick.NONE, None


@dataclass(frozen=True, slots=True)
class KeyAccess:
    """What a key gives, with the two things that only authentication needs."""

    access: Access
    secure_value: str
    is_stale: bool


def key_access(*, secure_value: str, target: Target) -> KeyAccess | None:
    """Look a key up by its hash, together with everything about the tenant; None if no active user holds it."""
    parameters: dict[str, Any] = {"secure_value": secure_value}
    row = _fetch(target, parameters, by_key=True)
    if row is None:
        return None
    key_id, found_value, scopes, teams, organizations, is_stale = row[_KEY:]
    access = _access(
        row,
        key_id,
        scopes=None if scopes is None else tuple(scopes),
        scoped_teams=tuple(teams or ()),
        scoped_organizations=tuple(text.lower() for text in organizations or ()),
    )
    return KeyAccess(access=access, secure_value=found_value, is_stale=is_stale)


def session_access(*, user_id: int, target: Target) -> Access | None:
    """Return the rights of a logged-in user about the tenant of the URL."""
    row = _fetch(target, {"user_id": user_id}, by_key=False)
    return None if row is None else _access(row, None)


def _fetch(target: Target, parameters: dict[str, Any], *, by_key: bool) -> tuple[Any, ...] | None:
    if target.team in {Pick.ID, Pick.TOKEN}:
        parameters["team_id"] = target.team_id
    if target.organization is Pick.ID:
        parameters["organization_id"] = target.organization_id
    return fetch_row(_statement(target.team, target.organization, by_key=by_key), parameters)


def _access(row: Sequence[Any], key_id: str | None, **restrictions: Any) -> Access:  # noqa: ANN401 fields of Access
    return Access(
        caller=Caller(*row[_LEVEL + 1 : _KEY], key_id),  # type: ignore[call-arg]  # the slice is as long as _USER_COLUMNS
        team=team_from_row(row[:_ORGANIZATION]),
        organization=organization_from_row(row[_ORGANIZATION:_LEVEL]),
        level=row[_LEVEL],
        **restrictions,
    )
