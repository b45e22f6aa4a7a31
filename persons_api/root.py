"""The list of all resources: a page for people, one JSON object of names and URLs for programs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from core.access.context import Access
from core.access.queries import Pick, Target, session_access
from core.access.routing import CURRENT, Tree
from core.api.forms import with_code
from core.api.renderers import BrowsableRenderer, ORJSONRenderer
from core.api.views import ApiMixin
from core.routes import RESOURCES

DOCUMENTS: Final[Mapping[str, str]] = {
    "schema": "The OpenAPI document, YAML unless `?format=json` is asked for.",
    "schema/swagger-ui": "The document to try out: authorize with a personal API key, then call any operation.",
    "schema/redoc": "The document to read.",
}
_NOTES: Final[Mapping[Tree, str]] = {
    Tree.PROJECT: "Below /api/projects/{id}/; `@current` is the project that you work with.",
    Tree.ENVIRONMENT: "The same objects under the other name of a project: each has one environment, with its id.",
    Tree.ORGANIZATION: "Below /api/organizations/{id}/; `@current` is the organization that you work with.",
    Tree.TOP: "What you own and belong to.",
}


@dataclass(frozen=True, slots=True)
class Link:
    """One resource: its name in the JSON answer, and how the page shows it."""

    name: str
    url: str
    title: str
    description: str


@dataclass(slots=True)
class Group:
    """Resources that lie under one prefix."""

    title: str
    note: str
    links: list[Link] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Place:
    """What `@current` means to the caller, where anything: ids and names."""

    project_id: str = CURRENT
    project_name: str = ""
    organization_id: str = CURRENT
    organization_name: str = ""


def place_of(access: Access | None) -> Place:
    """Return the caller's current project and organization, with two statements; strangers have none."""
    if access is None:
        return Place()
    user_id = access.caller.user_id
    at_team = session_access(user_id=user_id, target=Target(Pick.CURRENT, 0, Pick.OF_TEAM))
    at_organization = session_access(user_id=user_id, target=Target(organization=Pick.CURRENT))
    team = at_team.team if at_team is not None else None
    organization = at_organization.organization if at_organization is not None else None
    return Place(
        project_id=str(team.id) if team is not None else CURRENT,
        project_name=team.name if team is not None else "",
        organization_id=str(organization.id) if organization is not None else CURRENT,
        organization_name=organization.name if organization is not None else "",
    )


def groups_of(base: str, place: Place) -> list[Group]:
    """Return every resource of the route table, and the documents; `base` is the address of `/api/`."""
    titles = {
        Tree.PROJECT: _title("Project", place.project_name),
        Tree.ORGANIZATION: _title("Organization", place.organization_name),
        Tree.TOP: "Account",
        Tree.ENVIRONMENT: "Environment",
    }
    groups = [Group(title, with_code(_NOTES[tree]), list(_links(base, tree, place))) for tree, title in titles.items()]
    documents = [
        Link(name, f"{base}{name}/", name.rpartition("/")[2], with_code(text)) for name, text in DOCUMENTS.items()
    ]
    return [*groups, Group("Documents", "For everyone, without a key.", documents)]


def _title(kind: str, name: str) -> str:
    return f"{kind}: {name}" if name else kind


def _links(base: str, tree: Tree, place: Place) -> Iterator[Link]:
    for resource in RESOURCES:
        # Questions, which are POSTs or about a resource that has a link of its own, have no page.
        has_page = hasattr(resource.viewset, "list") or resource.prefix == "users"
        if tree not in resource.trees or not has_page:
            continue
        # Nobody lists users: everyone sees oneself.
        last = "users/@me" if resource.prefix == "users" else resource.prefix
        path = f"{tree.value}/{last}".lstrip("/")
        name = path.replace("{project_id}", CURRENT).replace("{organization_id}", CURRENT)
        url = path.replace("{project_id}", place.project_id).replace("{organization_id}", place.organization_id)
        description = " ".join((resource.viewset.__doc__ or "").split())
        yield Link(name, f"{base}{url}/", last, with_code(description))


class RootRenderer(BrowsableRenderer):
    """The page of the root; errors look as on every page."""

    template = "browsable/root.html"

    def get_context(
        self,
        data: Any,  # noqa: ANN401 anything that is JSON
        accepted_media_type: str | None,
        renderer_context: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Add the groups of links, where there are some."""
        context: dict[str, Any] = super().get_context(data, accepted_media_type, renderer_context)
        context["groups"] = renderer_context["view"].groups
        return context


class ApiRootView(ApiMixin):
    """Which resources there are. Most need a personal API key as `Authorization: Bearer phx_...`."""

    permission_classes = [AllowAny]
    renderer_classes = [ORJSONRenderer, RootRenderer]
    name = "persons-api"
    groups: Sequence[Group] = ()

    @extend_schema(exclude=True)
    def get(self, request: Request, **_: Any) -> Response:  # noqa: ANN401 URL arguments
        """List the URL of every resource; to a caller with a project, the URLs of that project."""
        self.groups = groups_of(request.build_absolute_uri("/api/"), place_of(cast("Access | None", request.auth)))
        return Response({link.name: link.url for group in self.groups for link in group.links})
