"""Plugin configs over HTTP, under each family's own name: read the request, call one function, answer."""

from typing import Any, ClassVar, Final

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from core.activity.pages import PARAMETERS, ActivityLogPage, activity_answer
from core.api.errors import Invalid, NotFound
from core.api.params import body_of, query_parameter, read_id
from core.api.views import Answer, TeamViewSet, action
from core.plugins.configs import bodies, queries, services
from core.plugins.configs.families import Family
from core.plugins.configs.frontend import CONTENT_TYPE, frontend_script
from core.plugins.configs.serializers import (
    PaginatedPluginConfigList,
    PluginConfig,
    PluginConfigJobBody,
    PluginConfigJobStarted,
    PluginConfigOrders,
)
from core.plugins.levels import PluginsAccessLevel

NOT_AVAILABLE: Final = "Plugin configuration is not available for the current organization!"


class _ScriptRenderer(BaseRenderer):
    """Stands for JavaScript in negotiation and in the documents; the view itself writes the answer."""

    media_type = "application/javascript"
    format = "js"
    charset = None


class PluginConfigViewSet(TeamViewSet):
    """How the project uses plugins: all configs."""

    serializer_class = PluginConfig
    family: ClassVar[Family] = Family.ALL

    def get_renderers(self) -> list[BaseRenderer]:
        """Offer scripts where there are some."""
        return [*super().get_renderers(), *([_SCRIPT] if self.action == "frontend" else [])]

    @extend_schema(
        parameters=[
            query_parameter("limit", "Configs per page: 100 unless told, 1000 at most.", int),
            query_parameter("offset", "Configs to skip.", int),
        ],
        responses=PaginatedPluginConfigList,
    )
    def list(self, request: Request, **_: object) -> Answer:
        """List configs that are not deleted, by their order. `plugin_info` is null here."""
        del request
        window = self.window()
        if not self._may_configure():
            return self.page_response(window, [], count=0)
        configs, count = queries.config_page(
            team_id=self.team.id, family=self.family, limit=window.limit, offset=window.offset
        )
        return self.page_response(window, configs, count=count)

    @extend_schema(request=PluginConfig, responses={201: PluginConfig})
    def create(self, request: Request, **_: object) -> Answer:
        """Make a config of a plugin. Files come as `add_attachment[KEY]` in a multipart body."""
        self._refuse_unless_available()
        plugin_id, body = bodies.read_new_config(request)
        made = services.config_create(author=self._author(), family=self.family, plugin_id=plugin_id, body=body)
        return Answer(self._object(made), status=201)

    @extend_schema(responses=PluginConfig)
    def retrieve(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Return one config. A deleted one says so in `deleted`."""
        del request
        config_id = self._id(id)
        rate = queries.delivery_rate(team_id=self.team.id, config_id=config_id)
        return Answer(self._object(config_id, rate))

    @extend_schema(request=PluginConfig, responses=PluginConfig)
    def update(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Change the given fields, of which `order` must be one; without `deleted` the config is not deleted."""
        return self._change(request, id, partial=False)

    @extend_schema(request=PluginConfig, responses=PluginConfig)
    def partial_update(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Change the given fields; `config` replaces all values but secrets, `add_attachment[KEY]` one file."""
        return self._change(request, id, partial=True)

    @extend_schema(request=None, responses={204: OpenApiResponse(description="Switched off.")})
    def destroy(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Switch a config off; it is kept, and stays in lists. PATCH `{"deleted": true}` takes it out of them."""
        del request
        services.config_disable(author=self._author(), family=self.family, config_id=self._id(id))
        return Answer(None, status=204)

    @extend_schema(request=PluginConfigOrders, responses=PluginConfig(many=True))
    @action(detail=False, methods=["patch"], pagination_class=None)
    def rearrange(self, request: Request, **_: object) -> Answer:
        """Give configs that are switched on another `order`; return all that are, of every family, as a plain list."""
        self._refuse_unless_available()
        services.configs_rearrange(author=self._author(), orders=bodies.read_orders(request))
        return Answer(queries.enabled_configs(team_id=self.team.id))

    @extend_schema(responses={(200, _ScriptRenderer.media_type): OpenApiTypes.STR})
    @action(detail=True, methods=["get"])
    def frontend(self, request: Request, id: str, **_: object) -> HttpResponse:  # noqa: A002 the route's name
        """Return the plugin's compiled browser code, or code that says why there is none."""
        del request
        found = queries.frontend_file(team_id=self.team.id, family=self.family, config_id=self._id(id))
        if found is None:
            raise NotFound
        return HttpResponse(frontend_script(found[0]), content_type=CONTENT_TYPE)

    @extend_schema(request=PluginConfigJobBody, responses=PluginConfigJobStarted)
    @action(detail=True, methods=["post"])
    def job(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Start a job of the plugin, or stop it. What becomes of it is told in the config's log."""
        self._refuse_unless_available()
        job_id = services.config_job_start(
            author=self._author(), family=self.family, config_id=read_id(id), job=body_of(request).get("job")
        )
        return Answer({"success": True, "job_id": job_id})

    @extend_schema(parameters=PARAMETERS, responses=ActivityLogPage)
    @action(detail=True, methods=["get"])
    def activity(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Return what was done to the config, newest first."""
        config_id = self._id(id)
        if not queries.config_exists(team_id=self.team.id, family=self.family, config_id=config_id):
            raise NotFound
        page = activity_answer(request, team_id=self.team.id, scopes=["PluginConfig"], item_id=str(config_id))
        return Answer(page)

    def _change(self, request: Request, text: str, *, partial: bool) -> Answer:
        config_id = self._id(text)
        body = bodies.read_config(request, partial=partial)
        services.config_update(author=self._author(), family=self.family, config_id=config_id, body=body)
        return Answer(self._object(config_id))

    def _object(self, config_id: int, delivery_rate: float | None = None) -> dict[str, Any]:
        row = queries.config_row(team_id=self.team.id, family=self.family, config_id=config_id)
        if row is None:
            raise NotFound
        return queries.config_object(row, plugin_info=queries.plugin_info(row[1]), delivery_rate=delivery_rate)

    def _may_configure(self) -> bool:
        return self.organization.plugins_access_level >= PluginsAccessLevel.CONFIG

    def _refuse_unless_available(self) -> None:
        if not self._may_configure():
            raise Invalid(NOT_AVAILABLE)

    def _id(self, text: str) -> int:
        """Read the id in the path; to an organization that may not configure plugins no config is there."""
        if not self._may_configure():
            raise NotFound
        return read_id(text)

    def _author(self) -> services.Author:
        team = self.team
        return services.Author(team_id=team.id, organization_id=team.organization_id, user_id=self.caller.user_id)


_SCRIPT: Final = _ScriptRenderer()


class DestinationConfigViewSet(PluginConfigViewSet):
    """Configs of plugins that get captured events."""

    family = Family.DESTINATION


class FrontendAppConfigViewSet(PluginConfigViewSet):
    """Configs of plugins that run in browsers."""

    family = Family.FRONTEND_APP


class TransformationConfigViewSet(PluginConfigViewSet):
    """Configs of plugins that change events while they are captured."""

    family = Family.TRANSFORMATION


class ImportAppConfigViewSet(PluginConfigViewSet):
    """Configs of plugins that fetch data by themselves."""

    family = Family.IMPORT_APP
