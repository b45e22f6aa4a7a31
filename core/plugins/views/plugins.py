"""Plugins of an organization over HTTP: read the request, call one function, answer."""

from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request

from core.activity.pages import PARAMETERS, ActivityLogPage, organization_scopes_answer
from core.api.errors import Forbidden, NotFound
from core.api.params import query_parameter, read_id
from core.api.views import Answer, ApiViewSet, action
from core.plugins.installing import bodies, queries, services
from core.plugins.levels import PluginsAccessLevel
from core.plugins.serializers import (
    PLUGIN_SOURCE_CHANGES,
    PLUGIN_SOURCES,
    PaginatedPluginList,
    PluginChange,
    PluginInstall,
    PluginSerializer,
)

INSUFFICIENT = "Your organization's plugin access level is insufficient."
SCOPES = ("Plugin", "PluginConfig")


class PluginViewSet(ApiViewSet):
    """Plugins that the organization can configure: its own, those of the server, and global ones."""

    serializer_class = PluginSerializer
    pagination_class = None

    @extend_schema(
        parameters=[
            query_parameter("limit", "Plugins per page: 100 unless told, 1000 at most.", int),
            query_parameter("offset", "Plugins to skip.", int),
        ],
        responses=PaginatedPluginList,
    )
    def list(self, request: Request, **_: object) -> Answer:
        """List plugins, oldest first. Those of other organizations are among them while a project has a config."""
        del request
        self._need(PluginsAccessLevel.CONFIG)
        window = self.window()
        rows, count = queries.plugin_page(
            organization_id=self.organization.id, limit=window.limit, offset=window.offset
        )
        return self.page_response(window, rows, count=count)

    @extend_schema(request=PluginInstall, responses={201: PluginSerializer})
    def create(self, request: Request, **_: object) -> Answer:
        """Install a plugin: from `source`, an uploaded `archive`, or what lies at `url`, if this server allows that.

        Its code is stored, and for browsers compiled, but never run on the server.
        """
        author = self._author()
        return Answer(self._object(services.plugin_install(author=author, body=bodies.read_install(request))), 201)

    @extend_schema(responses=PluginSerializer)
    def retrieve(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Return one plugin."""
        del request
        self._need(PluginsAccessLevel.CONFIG)
        return Answer(self._object(read_id(id)))

    @extend_schema(request=PluginChange, responses=PluginSerializer)
    def update(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Change the name, and the other fields that are given."""
        return self._change(request, id, whole=True)

    @extend_schema(request=PluginChange, responses=PluginSerializer)
    def partial_update(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Change the given fields; an `archive` replaces the code."""
        return self._change(request, id, whole=False)

    @extend_schema(request=None, responses={204: OpenApiResponse(description="Uninstalled.")})
    def destroy(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Uninstall a plugin that is not global, with its configs; other organizations keep what they configured."""
        del request
        services.plugin_uninstall(author=self._author(), plugin_id=read_id(id))
        return Answer(None, status=204)

    @extend_schema(request=None, responses=PluginSerializer)
    @action(detail=True, methods=["post"])
    def upgrade(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Fetch the plugin anew from its `url`; one that was uploaded, or written here, stays as it is."""
        del request
        plugin_id = read_id(id)
        services.plugin_upgrade(author=self._author(), plugin_id=plugin_id)
        return Answer(self._object(plugin_id))

    @extend_schema(responses={200: PLUGIN_SOURCES})
    @action(detail=True, methods=["get"])
    def source(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Return the texts of the plugin's files by name, of a plugin of the organization itself."""
        del request
        self._need(PluginsAccessLevel.INSTALL)
        return Answer(services.plugin_sources(organization_id=self.organization.id, plugin_id=read_id(id)))

    @extend_schema(request=PLUGIN_SOURCE_CHANGES, responses={200: PLUGIN_SOURCES})
    @action(detail=True, methods=["patch"])
    def update_source(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Change files by name, null removes one; a `plugin.json` changes the plugin too. Returns all files."""
        author = self._author()
        changes = bodies.read_sources(request)
        return Answer(services.sources_update(author=author, plugin_id=read_id(id), changes=changes))

    @extend_schema(parameters=PARAMETERS, responses=ActivityLogPage)
    @action(detail=False, methods=["get"])
    def activity(self, request: Request, **_: object) -> Answer:
        """List what was done with plugins, and with their configs in all projects, newest first."""
        self._need(PluginsAccessLevel.CONFIG)
        answer = organization_scopes_answer(request, organization_id=self.organization.id, scopes=SCOPES)
        return Answer(answer)

    def _change(self, request: Request, id_text: str, *, whole: bool) -> Answer:
        author = self._author()
        plugin_id = read_id(id_text)
        body = bodies.read_change(request, whole=whole)
        services.plugin_update(author=author, plugin_id=plugin_id, body=body)
        return Answer(self._object(plugin_id))

    def _object(self, plugin_id: int) -> dict[str, Any]:
        found = queries.plugin_found(organization_id=self.organization.id, plugin_id=plugin_id)
        if found is None:
            raise NotFound
        return found

    def _author(self) -> services.Author:
        """Return who changes plugins; raises Forbidden where the organization may not."""
        self._need(PluginsAccessLevel.INSTALL)
        organization = self.organization
        return services.Author(organization.id, organization.plugins_access_level, self.caller.user_id)

    def _need(self, level: PluginsAccessLevel) -> None:
        if self.organization.plugins_access_level < level:
            raise Forbidden(INSUFFICIENT)
