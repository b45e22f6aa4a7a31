"""Projects and environments: one thing under two names, so that clients of every era find their way."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from core.api.errors import NotFound
from core.api.views import Answer, ApiViewSet, TeamViewSet
from core.projects.fields import team_object
from core.projects.serializers import ProjectListItemSerializer, ProjectSerializer
from core.tenancy.answers import team_short
from core.tenancy.queries import team_full, visible_teams


@extend_schema_view(
    list=extend_schema(summary="List projects", responses=ProjectListItemSerializer(many=True)),
    retrieve=extend_schema(summary="Retrieve a project", responses=ProjectSerializer),
)
class ProjectViewSet(ApiViewSet):
    """Projects of an organization; `@current` is the one the caller works with."""

    identity = "project"

    def list(self, request: Request, **_: Any) -> Answer:  # noqa: ANN401 URL arguments
        """Projects of the organization. A key restricted to projects or organizations sees only those."""
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

    def retrieve(self, request: Request, **_: Any) -> Response:  # noqa: ANN401 URL arguments
        """Everything about one project."""
        del request
        team = self.access.team
        row = team_full(team_id=team.id) if team else None
        if row is None:
            raise NotFound
        return Response(team_object(row, level=self.access.level))


@extend_schema_view(
    list=extend_schema(summary="List environments", responses=ProjectListItemSerializer(many=True)),
    retrieve=extend_schema(summary="Retrieve an environment", responses=ProjectSerializer),
)
class EnvironmentViewSet(ProjectViewSet):
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
