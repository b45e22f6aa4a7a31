"""Cohorts over HTTP: read the request, call one function, answer."""

from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request

from core.api.errors import Invalid, NotFound
from core.api.params import MAX_INTEGER_ID, query_parameter, read_id
from core.api.values import json_repaired
from core.api.views import Answer, TeamViewSet, action
from core.cohorts import bodies, queries, services
from core.cohorts.serializers import Cohort, CohortAddPersons, CohortChanged, CohortRemovePerson, PaginatedCohortList

_TYPES = {"static": True, "dynamic": False}


class CohortViewSet(TeamViewSet):
    """Named sets of persons. Dynamic ones are calculated by the worker, soon after a change and then regularly."""

    serializer_class = Cohort

    @extend_schema(
        parameters=[
            query_parameter("limit", "Cohorts per page: 100 unless told, 1000 at most.", int),
            query_parameter("offset", "Cohorts to skip.", int),
            query_parameter("search", "Only cohorts whose name contains this, whatever the case."),
            query_parameter("type", "`static` or `dynamic`."),
            query_parameter("created_by_id", "Only cohorts that this user made.", int),
        ],
        responses=PaginatedCohortList,
    )
    def list(self, request: Request, **_: object) -> Answer:
        """List cohorts that are not deleted, newest first."""
        window = self.window()
        params = request.query_params
        creator = params.get("created_by_id")
        if creator and not (creator.isascii() and creator.isdigit() and int(creator[:20]) <= MAX_INTEGER_ID):
            raise Invalid("A valid integer is required.", attr="created_by_id")
        wanted = queries.CohortPageQuery(
            limit=window.limit,
            offset=window.offset,
            search=str(json_repaired(params["search"])) if params.get("search") else None,
            is_static=_TYPES.get(params.get("type", "")),
            created_by=int(creator) if creator else None,
        )
        rows, count = queries.cohort_page(team_id=self.team.id, wanted=wanted)
        return self.page_response(window, [queries.cohort_object(row) for row in rows], count=count)

    @extend_schema(request=Cohort, responses={201: Cohort})
    def create(self, request: Request, **_: object) -> Answer:
        """Make a cohort: `filters` for a dynamic one; a `csv` file or `_create_static_person_ids` for a static one."""
        cohort_id = services.cohort_create(author=self._author(), body=bodies.read_cohort(request))
        return Answer(self._object(cohort_id), status=201)

    @extend_schema(responses=Cohort)
    def retrieve(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Return one cohort. A deleted one says so in `deleted`."""
        del request
        return Answer(self._object(read_id(id)))

    @extend_schema(request=Cohort, responses=Cohort)
    def update(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Change the given fields, exactly as PATCH does."""
        cohort_id = read_id(id)
        services.cohort_update(author=self._author(), cohort_id=cohort_id, body=bodies.read_cohort(request))
        return Answer(self._object(cohort_id))

    @extend_schema(request=Cohort, responses=Cohort)
    def partial_update(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Change the given fields; `deleted` deletes and restores."""
        return self.update(request, id)

    @extend_schema(request=None, responses={204: OpenApiResponse(description="Deleted.")})
    def destroy(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Delete a cohort that no other cohort names; PATCH `{"deleted": false}` restores it."""
        del request
        services.cohort_delete(author=self._author(), cohort_id=read_id(id))
        return Answer(None, status=204)

    @extend_schema(request=CohortAddPersons, responses=CohortChanged)
    @action(detail=True, methods=["patch", "post"])
    def add_persons_to_static_cohort(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Add persons to a static cohort by UUID; unknown ones are left out."""
        uuids = bodies.read_persons_to_add(request)
        services.persons_add(author=self._author(), cohort_id=read_id(id), uuids=uuids)
        return Answer({"success": True})

    @extend_schema(request=CohortRemovePerson, responses=CohortChanged)
    @action(detail=True, methods=["patch", "post"])
    def remove_person_from_static_cohort(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Remove one person from a static cohort by UUID."""
        uuid = bodies.read_person_to_remove(request)
        services.person_remove(author=self._author(), cohort_id=read_id(id), uuid=uuid)
        return Answer({"success": True})

    def _object(self, cohort_id: int) -> dict[str, Any]:
        row = queries.cohort_row(team_id=self.team.id, cohort_id=cohort_id)
        if row is None:
            raise NotFound
        return queries.cohort_object(row)

    def _author(self) -> services.Author:
        team = self.team
        return services.Author(team_id=team.id, organization_id=team.organization_id, user_id=self.caller.user_id)
