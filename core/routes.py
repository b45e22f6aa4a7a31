"""THE route table: which resources exist, under which prefixes, with which scopes."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, cast

from django.urls import URLPattern, URLResolver, include, re_path
from rest_framework.permissions import SAFE_METHODS
from rest_framework.routers import DynamicRoute, SimpleRouter
from rest_framework.routers import Route as RestRoute

from core.access.rates import EVERY_REQUEST
from core.access.routing import About, Route, Tree
from core.actions.views import ActionViewSet
from core.api.views import ApiViewSet
from core.cohorts.views import CohortViewSet
from core.deletions.views import DeletedProjectViewSet
from core.folders.views import PersistedFolderViewSet
from core.insights.views import PersonInsightsViewSet
from core.organizations.views import MemberViewSet, OrganizationActivityViewSet, OrganizationViewSet
from core.persons.views import PersonViewSet
from core.persons.views.cohort_persons import CohortPersonsViewSet
from core.plugins.views.configs import (
    DestinationConfigViewSet,
    FrontendAppConfigViewSet,
    ImportAppConfigViewSet,
    PluginConfigViewSet,
    TransformationConfigViewSet,
)
from core.plugins.views.logs import PluginLogViewSet
from core.plugins.views.plugins import PluginViewSet
from core.projects.views import EnvironmentViewSet, ProjectEnvironmentViewSet, ProjectViewSet
from core.query.views import QueryViewSet
from core.roles.views import RoleMembershipViewSet, RoleViewSet
from core.users.views import PersonalAPIKeyViewSet, UserViewSet

PROJECT, ENVIRONMENT, ORGANIZATION, TOP = Tree.PROJECT, Tree.ENVIRONMENT, Tree.ORGANIZATION, Tree.TOP


@dataclass(frozen=True, slots=True)
class Resource:
    """One viewset under one name; children hang below one object of it, whose id they get as `parent`."""

    prefix: str
    viewset: type[ApiViewSet]
    scope: str
    trees: tuple[Tree, ...]
    children: tuple["Resource", ...] = ()
    parent: str = ""
    suffixes: tuple[str, ...] = ()


RESOURCES: tuple[Resource, ...] = (
    # Before the persons themselves, for `funnel` would be taken for the id of one.
    Resource("persons", PersonInsightsViewSet, scope="person", trees=(PROJECT, ENVIRONMENT)),
    Resource("persons", PersonViewSet, scope="person", trees=(PROJECT, ENVIRONMENT), suffixes=("json", "csv")),
    Resource(
        "cohorts",
        CohortViewSet,
        scope="cohort",
        trees=(PROJECT, ENVIRONMENT),
        children=(
            Resource("persons", CohortPersonsViewSet, "cohort", trees=(), parent="cohort_id", suffixes=("json", "csv")),
        ),
    ),
    Resource("actions", ActionViewSet, scope="action", trees=(PROJECT, ENVIRONMENT)),
    Resource(
        "plugin_configs",
        PluginConfigViewSet,
        scope="plugin",
        trees=(PROJECT, ENVIRONMENT),
        children=(Resource("logs", PluginLogViewSet, "plugin", trees=(), parent="plugin_config_id"),),
    ),
    Resource("pipeline_destination_configs", DestinationConfigViewSet, scope="plugin", trees=(PROJECT, ENVIRONMENT)),
    Resource("pipeline_frontend_apps_configs", FrontendAppConfigViewSet, scope="plugin", trees=(PROJECT, ENVIRONMENT)),
    Resource(
        "pipeline_transformation_configs", TransformationConfigViewSet, scope="plugin", trees=(PROJECT, ENVIRONMENT)
    ),
    Resource("pipeline_import_apps_configs", ImportAppConfigViewSet, scope="plugin", trees=(PROJECT, ENVIRONMENT)),
    Resource("query", QueryViewSet, scope="query", trees=(PROJECT, ENVIRONMENT)),
    Resource("plugins", PluginViewSet, scope="plugin", trees=(ORGANIZATION,)),
    Resource("persisted_folder", PersistedFolderViewSet, scope="persisted_folder", trees=(PROJECT, ENVIRONMENT)),
    Resource("projects", ProjectViewSet, scope="project", trees=(TOP, ORGANIZATION)),
    Resource("environments", EnvironmentViewSet, scope="project", trees=(TOP,)),
    Resource("environments", ProjectEnvironmentViewSet, scope="project", trees=(PROJECT,)),
    Resource("organizations", OrganizationViewSet, scope="organization", trees=(TOP,)),
    Resource("deleted_projects", DeletedProjectViewSet, scope="project", trees=(ORGANIZATION,)),
    Resource("members", MemberViewSet, scope="organization_member", trees=(ORGANIZATION,)),
    Resource("activity", OrganizationActivityViewSet, scope="activity_log", trees=(ORGANIZATION,)),
    Resource(
        "roles",
        RoleViewSet,
        scope="organization",
        trees=(ORGANIZATION,),
        children=(Resource("role_memberships", RoleMembershipViewSet, "organization", trees=(), parent="role_id"),),
    ),
    Resource("users", UserViewSet, scope="user", trees=(TOP,)),
    Resource("personal_api_keys", PersonalAPIKeyViewSet, scope="user", trees=(TOP,)),
)


def urlpatterns_of(resources: Sequence[Resource] = RESOURCES) -> list[URLPattern | URLResolver]:
    """Return the patterns of all resources: one level for tree and resource, so that a request tries few of them."""
    return [_resolver(resource, tree) for tree in (PROJECT, ENVIRONMENT, ORGANIZATION, TOP) for resource in resources
            if tree in resource.trees]  # fmt: skip


def routes(resources: Sequence[Resource] = RESOURCES) -> Iterator[tuple[Route, type[ApiViewSet], dict[str, str]]]:
    """Yield every route with its viewset and its methods; tests and documents read the table with this."""
    for resource in resources:
        for tree in resource.trees:
            yield from _walk(resource, tree)


def _walk(resource: Resource, tree: Tree) -> Iterator[tuple[Route, type[ApiViewSet], dict[str, str]]]:
    for _, route, actions, _ in _plans(resource, tree, ""):
        yield route, resource.viewset, actions
    for child in resource.children:
        for _, route, actions, _ in _plans(child, tree, _parent_prefix(resource, child)):
            yield route, child.viewset, actions


def _resolver(resource: Resource, tree: Tree) -> URLResolver:
    # Children first: their first literal decides, while `[^/]+` of a detail route would have to fail on the slash.
    patterns = [
        pattern
        for child in resource.children
        for pattern in _patterns(child, tree, below=_parent_prefix(resource, child), strip=resource.prefix)
    ]
    patterns += _patterns(resource, tree, below="", strip=resource.prefix)
    prefix = f"{_regex(tree.value)}/" if tree.value else ""
    return re_path(f"^api/{prefix}{resource.prefix}", include(patterns))


def _parent_prefix(resource: Resource, child: Resource) -> str:
    return f"{resource.prefix}/{{{child.parent}}}/"


def _patterns(resource: Resource, tree: Tree, *, below: str, strip: str) -> list[URLPattern]:
    patterns = []
    for path, route, actions, options in _plans(resource, tree, below):
        tail = _regex(path.removeprefix(strip))
        view = resource.viewset.as_view(cast("Any", actions), route=route, **options)
        name = f"{tree.name.lower()}-{route.template}"
        if not options.get("detail") and path == below + resource.prefix:
            patterns += [
                re_path(rf"^{tail}\.(?P<format>{suffix})/?$", view, name=f"{name}.{suffix}")
                for suffix in resource.suffixes
            ]
        patterns.append(re_path(f"^{tail}/?$", view, name=name))
    return patterns


def _regex(template: str) -> str:
    return re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template)


def _plans(resource: Resource, tree: Tree, below: str) -> Iterator[tuple[str, Route, dict[str, str], dict[str, Any]]]:
    """Yield path below the tree, route, method map and view options of each URL of a resource."""
    router = _router()
    viewset = resource.viewset
    for rest_route in router.get_routes(viewset):
        actions = router.get_method_map(viewset, rest_route.mapping)
        if not actions:
            continue
        path = below + rest_route.url.format(prefix=resource.prefix, lookup="{id}")
        options = dict(rest_route.initkwargs)
        if isinstance(rest_route, RestRoute) and "suffix" in options:
            options["detail"] = rest_route.detail
        prefix = f"/api/{tree.value}/" if tree.value else "/api/"
        scopes = _scopes(resource, actions)
        route = Route(
            template=f"{prefix}{path}/",
            tree=tree,
            about=_about(viewset, tree, detail=rest_route.detail),
            resource=resource.prefix,
            scopes=scopes,
            levels=_levels(viewset, actions),
            limits=_limits(viewset, scopes),
            ignores_restrictions=viewset.ignores_restrictions,
            sensitive=any(
                getattr(getattr(viewset, name), "sensitive", viewset.sensitive)
                for method, name in actions.items()
                if method.upper() not in SAFE_METHODS
            ),
        )
        yield path, _with_arguments(route), actions, options


@lru_cache(maxsize=1)
def _router() -> SimpleRouter:
    router = SimpleRouter(trailing_slash=False)
    router.routes = [
        RestRoute("{prefix}", {"get": "list", "post": "create"}, name="", detail=False, initkwargs={"suffix": "List"}),
        DynamicRoute("{prefix}/{url_path}", name="", detail=False, initkwargs={}),
        RestRoute(
            "{prefix}/{lookup}",
            {
                "get": "retrieve",
                "post": "create_of_kind",
                "put": "update",
                "patch": "partial_update",
                "delete": "destroy",
            },
            name="",
            detail=True,
            initkwargs={"suffix": "Instance"},
        ),
        DynamicRoute("{prefix}/{lookup}/{url_path}", name="", detail=True, initkwargs={}),
    ]
    return router


def _about(viewset: type[ApiViewSet], tree: Tree, *, detail: bool) -> About:
    if tree in {PROJECT, ENVIRONMENT}:
        return About.TEAM
    if tree is ORGANIZATION:
        return About.TEAM_OF_ORGANIZATION if detail and viewset.identity == "project" else About.ORGANIZATION
    if viewset.identity == "project":
        return About.TEAM_ITSELF if detail else About.TEAMS_OF_CURRENT_ORGANIZATION
    if viewset.identity == "organization" and detail:
        return About.ORGANIZATION_ITSELF
    return About.NOTHING


def _with_arguments(route: Route) -> Route:
    if route.about in {About.TEAM_ITSELF, About.TEAM_OF_ORGANIZATION}:
        return replace(route, team_argument="id")
    if route.about is About.ORGANIZATION_ITSELF:
        return replace(route, organization_argument="id")
    return route


def _scopes(resource: Resource, actions: dict[str, str]) -> dict[str, tuple[str, ...]]:
    scopes: dict[str, tuple[str, ...]] = {"OPTIONS": (f"{resource.scope}:read",)}
    for method, name in actions.items():
        verb = "read" if method.upper() in SAFE_METHODS else "write"
        required = _required(getattr(resource.viewset, name), (f"{resource.scope}:{verb}",))
        if required is not None:
            scopes[method.upper()] = required
    if "GET" in scopes:
        scopes["HEAD"] = scopes["GET"]
    return scopes


def _levels(viewset: type[ApiViewSet], actions: dict[str, str]) -> dict[str, int]:
    levels = {
        method.upper(): getattr(getattr(viewset, name), "required_level", None) for method, name in actions.items()
    }
    return {method: int(level) for method, level in levels.items() if level is not None}


def _limits(viewset: type[ApiViewSet], scopes: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Give a viewset's own limits to what only reads, whatever its method: some questions are POSTs."""
    if viewset.read_limits == EVERY_REQUEST:
        return {}
    return {
        method: viewset.read_limits
        for method, required in scopes.items()
        if method != "OPTIONS" and all(scope.endswith(":read") for scope in required)
    }


def _required(method: Callable[..., Any], default: tuple[str, ...]) -> tuple[str, ...] | None:
    required: tuple[str, ...] | None = getattr(method, "required_scopes", default)
    return required
