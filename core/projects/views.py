"""Projects and environments: one thing under two names, so that clients of every era find their way."""

from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view
from rest_framework.request import Request

from core.activity.pages import PARAMETERS, ActivityLogPage, activity_answer
from core.api.errors import NotFound
from core.api.views import Answer, ApiViewSet, TeamViewSet, action, at_least
from core.projects import bodies, services
from core.projects.deleting import projects_delete
from core.projects.fields import DEFAULT_NAME, team_object
from core.projects.serializers import GeneratingDemoDataSerializer, ProjectListItemSerializer, ProjectSerializer
from core.tenancy.answers import team_short
from core.tenancy.context import TeamContext
from core.tenancy.models import Level
from core.tenancy.queries import is_generating_demo_data, team_full, visible_teams


class _ProjectView(ApiViewSet):
    """What projects and environments have in common."""

    identity = "project"
    serializer_class = ProjectSerializer

    def list(self, request: Request, **_: object) -> Answer:
        """List projects of the organization. A key restricted to projects or organizations sees only those."""
        del request
        window = self.window()
        access = self.access
        restricted = bool(access.scoped_teams or access.scoped_organizations)
        named = "organization_id" in self.kwargs
        rows, count = visible_teams(
            user_id=access.caller.user_id,
            organization_id=None if restricted and not named else self.organization.id,
            teams=access.scoped_teams,
            organizations=access.scoped_organizations,
            by_key=access.caller.is_key,
            limit=window.limit,
            offset=window.offset,
        )
        return self.page_response(window, [team_short(row) for row in rows], count=count)

    def retrieve(self, request: Request, **_: object) -> Answer:
        """Return everything about one project."""
        del request
        return self._object(self._team.id)

    @extend_schema(request=ProjectSerializer, responses=ProjectSerializer)
    def update(self, request: Request, **_: object) -> Answer:
        """Change the given fields as PATCH does, except that a missing `base_currency` becomes USD."""
        return self._change(bodies.read_changes(request, replaces=True))

    @extend_schema(request=ProjectSerializer, responses=ProjectSerializer)
    def partial_update(self, request: Request, **_: object) -> Answer:
        """Change the given fields. The replay and survey settings are merged, all others are replaced."""
        return self._change(bodies.read_changes(request, replaces=False))

    @extend_schema(request=None, responses={204: OpenApiResponse(description="Deleted.")})
    @at_least(Level.ADMIN)
    def destroy(self, request: Request, **_: object) -> Answer:
        """Delete the project for good: all its persons, events and recordings are erased and cannot be restored.

        Its token is refused at once; the deletion job erases the data and writes a receipt.
        """
        del request
        team = self._team
        projects_delete(organization_id=team.organization_id, team_ids=[team.id], user_id=self.caller.user_id)
        return Answer(None, status=204)

    @extend_schema(parameters=PARAMETERS, responses=ActivityLogPage)
    @action(detail=True, methods=["get"], scope="activity_log:read")
    def activity(self, request: Request, **_: object) -> Answer:
        """Return what was done to the project itself, newest first."""
        team = self._team
        return Answer(activity_answer(request, team_id=team.id, scopes=services.SCOPES, item_id=str(team.id)))

    @extend_schema(responses=GeneratingDemoDataSerializer)
    @action(detail=True, methods=["get"])
    def is_generating_demo_data(self, request: Request, **_: object) -> Answer:
        """Tell whether the worker still fills the project with demo data."""
        del request
        return Answer({"is_generating_demo_data": is_generating_demo_data(team_id=self._team.id)})

    @extend_schema(request=None, responses=ProjectSerializer)
    @action(detail=True, methods=["patch"])
    @at_least(Level.ADMIN)
    def reset_token(self, request: Request, **_: object) -> Answer:
        """Give the project a new token; events under the old one are refused at once. The body is ignored."""
        del request
        services.token_reset(team_id=self._team.id, user_id=self.caller.user_id)
        return self._object(self._team.id)

    @property
    def _team(self) -> TeamContext:
        team = self.access.team
        if team is None:
            raise NotFound
        return team

    def _change(self, changes: dict[str, Any]) -> Answer:
        services.project_update(team_id=self._team.id, user_id=self.caller.user_id, changes=changes)
        return self._object(self._team.id)

    def _object(self, team_id: int, status: int = 200) -> Answer:
        row = team_full(team_id=team_id)
        if row is None:
            raise NotFound
        return Answer(team_object(row, level=self.access.level), status=status)


@extend_schema_view(
    list=extend_schema(summary="List projects", responses=ProjectListItemSerializer(many=True)),
    retrieve=extend_schema(summary="Retrieve a project", responses=ProjectSerializer),
    update=extend_schema(summary="Replace a project"),
    partial_update=extend_schema(summary="Change a project"),
    destroy=extend_schema(summary="Delete a project"),
)
class ProjectViewSet(_ProjectView):
    """Projects of an organization; `@current` is the one the caller works with."""

    @extend_schema(summary="Create a project", request=ProjectSerializer, responses={201: ProjectSerializer})
    @at_least(Level.ADMIN)
    def create(self, request: Request, **_: object) -> Answer:
        """Make a project, with any of its settings; it becomes the caller's current one. Names may repeat."""
        wanted = bodies.read_new_project(request)
        team = services.project_create(
            organization_id=self.organization.id,
            user_id=self.caller.user_id,
            name=wanted.pop("name", DEFAULT_NAME),
            settings=wanted,
        )
        return self._object(team.id, status=201)


@extend_schema_view(
    list=extend_schema(summary="List environments", responses=ProjectListItemSerializer(many=True)),
    retrieve=extend_schema(summary="Retrieve an environment", responses=ProjectSerializer),
    update=extend_schema(summary="Replace an environment"),
    partial_update=extend_schema(summary="Change an environment"),
    destroy=extend_schema(summary="Delete an environment, and with it its project"),
)
class EnvironmentViewSet(_ProjectView):
    """Environments: each project has one, with the project's id."""


@extend_schema_view(
    list=extend_schema(summary="List the environments of a project", responses=ProjectListItemSerializer(many=True)),
)
class ProjectEnvironmentViewSet(TeamViewSet):
    """The environments of one project: always one."""

    def list(self, request: Request, **_: Any) -> Answer:  # noqa: ANN401 URL arguments
        """The one environment of the project."""
        del request
        window = self.window()
        rows, count = visible_teams(
            user_id=self.caller.user_id,
            organization_id=self.team.organization_id,
            teams=[self.team.id],
            limit=window.limit,
            offset=window.offset,
        )
        return self.page_response(window, [team_short(row) for row in rows], count=count)
