"""May this caller do this? Scope, restriction and membership, in this order, with the exact texts clients match on."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn, cast

from rest_framework import exceptions, permissions
from rest_framework.request import Request

from core.access.auth import query_token
from core.access.context import Access
from core.access.routing import CURRENT, About, Route
from core.access.scopes import missing_scope
from core.access.sessions import SIGN_IN_AGAIN_CODE, signed_in_lately
from core.tenancy.models import Level, Team

if TYPE_CHECKING:  # DRF's views read this module's class from the settings while they are imported
    from rest_framework.views import APIView

UNSUPPORTED = "This action does not support Personal API Key access"
PROJECTS_ONLY = "API keys with scoped projects are only supported on project-based endpoints."
ORGANIZATIONS_ONLY = "API keys with scoped organizations are only supported on endpoints of these organizations."
NO_PROJECT_ACCESS = "You don't have access to the project."
ORGANIZATION_LEVEL = "Your organization access level is insufficient."
PROJECT_LEVEL = "You don't have sufficient permissions in the project."
SIGN_IN_AGAIN = "This action requires you to be recently authenticated."

_TEAM_ROUTES = frozenset({About.TEAM, About.TEAM_ITSELF})
_PROJECT_LEVELS = frozenset({*_TEAM_ROUTES, About.TEAM_OF_ORGANIZATION})
_ORGANIZATION_ROUTES = frozenset({About.ORGANIZATION, About.TEAM_OF_ORGANIZATION})


class RoutePermission(permissions.BasePermission):
    """Judges the access found by authentication against the route."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        """Pass or raise the refusal of the table in the access specification (a4)."""
        access = cast("Access | None", request.auth)
        if access is None:
            raise exceptions.NotAuthenticated
        route: Route = view.route  # type: ignore[attr-defined]  # every routed view has one
        if access.caller.key_id is not None:
            _check_scopes(access, route, request.method or "")
        if route.about in _PROJECT_LEVELS:
            _check_project_token(request, access)
        if access.caller.key_id is not None and not route.ignores_restrictions:
            _check_restrictions(access, route, request.method or "", view.kwargs)
            _check_keys_allowed(access)
        _check_membership(access, route, view.kwargs)
        _check_level(access, route, request.method or "")
        if access.caller.key_id is None and route.sensitive:
            _check_session_age(request)
        return True


def _check_scopes(access: Access, route: Route, method: str) -> None:
    required = route.scopes.get(method)
    if required is None:
        raise exceptions.PermissionDenied(UNSUPPORTED)
    missing = missing_scope(access.scopes, required)
    if missing is not None:
        message = f"API key missing required scope '{missing}'"
        raise exceptions.PermissionDenied(message)


def _check_restrictions(access: Access, route: Route, method: str, arguments: Mapping[str, Any]) -> None:
    if access.scoped_organizations:
        _check_scoped_organizations(access, route, method, arguments)
    if not access.scoped_teams or route.about is About.TEAM_OF_ORGANIZATION:
        return
    # A restricted key may read which projects it has, and make none.
    if route.about is About.TEAMS_OF_CURRENT_ORGANIZATION and method in permissions.SAFE_METHODS:
        return
    if route.about not in _TEAM_ROUTES:
        raise exceptions.PermissionDenied(PROJECTS_ONLY)
    if access.team is None:
        _team_missing(route, arguments)
    if not access.allows_team(access.team.id):
        message = f"API key does not have access to the requested project: ID {access.team.id}."
        raise exceptions.PermissionDenied(message)


def _check_scoped_organizations(access: Access, route: Route, method: str, arguments: Mapping[str, Any]) -> None:
    if access.organization is None:
        if route.about in _TEAM_ROUTES:
            _team_missing(route, arguments)
        if route.about in _ORGANIZATION_ROUTES:
            _organization_missing(route, arguments)
        # A restricted key may read which organizations it has, and make none.
        if route.about is About.NOTHING and method not in permissions.SAFE_METHODS:
            raise exceptions.PermissionDenied(ORGANIZATIONS_ONLY)
        return
    if access.allows_organization(access.organization.id):
        return
    if route.about is About.ORGANIZATION_ITSELF:
        raise exceptions.NotFound
    if route.about is not About.TEAMS_OF_CURRENT_ORGANIZATION or method not in permissions.SAFE_METHODS:
        message = f"API key does not have access to the requested organization: ID {access.organization.id}."
        raise exceptions.PermissionDenied(message)


def _check_keys_allowed(access: Access) -> None:
    organization = access.organization
    if organization is None or organization.members_can_use_personal_api_keys or access.level is None:
        return
    if access.level < Level.ADMIN:
        message = (
            f"Organization '{organization.name}' does not allow using personal API keys. "
            "Contact an admin to enable personal API keys for this organization."
        )
        raise exceptions.PermissionDenied(message)


def _check_membership(access: Access, route: Route, arguments: Mapping[str, Any]) -> None:
    about = route.about
    if about is About.TEAM:
        if access.team is None:
            _team_missing(route, arguments)
        if access.level is None:
            raise exceptions.PermissionDenied(NO_PROJECT_ACCESS)
    elif about is About.TEAM_ITSELF:
        if access.team is None or access.level is None:
            _team_missing(route, arguments)
    elif about is About.ORGANIZATION_ITSELF:
        if access.organization is None or access.level is None:
            _organization_missing(route, arguments)
    elif about in _ORGANIZATION_ROUTES:
        _check_organization_membership(access, route, arguments)
    elif about is About.TEAMS_OF_CURRENT_ORGANIZATION and access.organization is None:
        _without_organization()


def _check_level(access: Access, route: Route, method: str) -> None:
    required = route.levels.get(method)
    if required is not None and (access.level or 0) < required:
        raise exceptions.PermissionDenied(PROJECT_LEVEL if route.about in _PROJECT_LEVELS else ORGANIZATION_LEVEL)


def _check_session_age(request: Request) -> None:
    if request.method not in permissions.SAFE_METHODS and not signed_in_lately(request.session):
        raise exceptions.PermissionDenied(SIGN_IN_AGAIN, code=SIGN_IN_AGAIN_CODE)


def _check_organization_membership(access: Access, route: Route, arguments: Mapping[str, Any]) -> None:
    if access.organization is None:
        _organization_missing(route, arguments)
    if access.level is None:
        raise exceptions.PermissionDenied
    if route.about is About.TEAM_OF_ORGANIZATION and (access.team is None or not access.allows_team(access.team.id)):
        raise exceptions.NotFound


def _team_missing(route: Route, arguments: Mapping[str, Any]) -> NoReturn:
    if route.about is About.TEAM:
        message = "Project not found."
        raise exceptions.NotFound(message)
    text = arguments[route.team_argument]
    try:
        if text != CURRENT:
            int(text)
    except ValueError:
        # The published servers answer with the text of Django's conversion error.
        message = f"Field 'id' expected a number but got {text!r}."
        raise exceptions.ValidationError(message) from None
    raise exceptions.NotFound


def _organization_missing(route: Route, arguments: Mapping[str, Any]) -> NoReturn:
    if arguments[route.organization_argument] == CURRENT:
        _without_organization()
    if route.about is About.ORGANIZATION_ITSELF:
        raise exceptions.NotFound
    message = "Organization not found."
    raise exceptions.NotFound(message)


def _without_organization() -> NoReturn:
    message = "You need to belong to an organization."
    raise exceptions.NotFound(message)


def _check_project_token(request: Request, access: Access) -> None:
    """`?token=` may repeat which project is meant, but never contradict the URL."""
    token = query_token(request)
    if not token or (access.team is not None and access.team.api_token == token):
        return
    if not Team.objects.filter(api_token=token).exists():
        raise exceptions.AuthenticationFailed
    message = "The project token in the query string belongs to another project than the URL."
    raise exceptions.PermissionDenied(message)
