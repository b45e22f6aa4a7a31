"""Actions over HTTP: read the request, call one function, answer."""

from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request

from core.actions import bodies, queries, services
from core.actions.serializers import Action, PaginatedActionList
from core.api.errors import NotFound
from core.api.params import query_parameter, read_id
from core.api.values import json_repaired
from core.api.views import Answer, TeamViewSet


class ActionViewSet(TeamViewSet):
    """Named sets of events, which insights count like one event."""

    serializer_class = Action

    @extend_schema(
        parameters=[
            query_parameter("limit", "Actions per page: 100 unless told, 1000 at most.", int),
            query_parameter("offset", "Actions to skip.", int),
            query_parameter("search", "Only actions whose name contains this, whatever the case."),
        ],
        responses=PaginatedActionList,
    )
    def list(self, request: Request, **_: object) -> Answer:
        """List actions that are not deleted, newest first."""
        window = self.window()
        search = request.query_params.get("search")
        wanted = queries.ActionPageQuery(
            limit=window.limit, offset=window.offset, search=str(json_repaired(search)) if search else None
        )
        rows, count = queries.action_page(team_id=self.team.id, wanted=wanted)
        return self.page_response(window, [queries.action_object(row) for row in rows], count=count)

    @extend_schema(request=Action, responses={201: Action})
    def create(self, request: Request, **_: object) -> Answer:
        """Make an action."""
        action_id = services.action_create(author=self._author(), fields=bodies.read_action(request))
        return Answer(self._object(action_id), status=201)

    @extend_schema(responses=Action)
    def retrieve(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Return one action. A deleted one says so in `deleted`."""
        del request
        return Answer(self._object(read_id(id)))

    @extend_schema(request=Action, responses=Action)
    def update(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Change the given fields, exactly as PATCH does."""
        action_id = read_id(id)
        services.action_update(author=self._author(), action_id=action_id, fields=bodies.read_action(request))
        return Answer(self._object(action_id))

    @extend_schema(request=Action, responses=Action)
    def partial_update(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Change the given fields; `steps` replaces all steps, `deleted` deletes and restores."""
        return self.update(request, id)

    @extend_schema(request=None, responses={204: OpenApiResponse(description="Deleted.")})
    def destroy(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Delete an action; PATCH `{"deleted": false}` restores it."""
        del request
        services.action_delete(author=self._author(), action_id=read_id(id))
        return Answer(None, status=204)

    def _object(self, action_id: int) -> dict[str, Any]:
        row = queries.action_row(team_id=self.team.id, action_id=action_id)
        if row is None:
            raise NotFound
        return queries.action_object(row)

    def _author(self) -> services.Author:
        team = self.team
        return services.Author(team_id=team.id, organization_id=team.organization_id, user_id=self.caller.user_id)
