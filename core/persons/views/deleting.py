"""Deletion of persons, their events and their recordings, and what became of it."""

from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request

from core.api.errors import NotFound
from core.api.params import flag, query_parameter
from core.api.views import Answer, action
from core.deletions.queries import deletion_status
from core.persons import deleting
from core.persons.shapes.deleting import (
    KINDS,
    STATUSES,
    PaginatedAsyncDeletionStatusList,
    PersonBulkDeleteRequest,
    PersonBulkDeleteResponse,
    bulk_delete_answer,
    read_choice,
    read_status_query,
)
from core.persons.shapes.identity import Success
from core.persons.views.base import PersonView

_FLAGS = ("keep_person", "delete_events", "delete_recordings")


class DeletingView(PersonView):
    """Delete persons and ask for the deletion of what they left."""

    @extend_schema(
        parameters=[
            query_parameter("delete_events", "Also request the deletion of the person's events.", bool),
            query_parameter("delete_recordings", "Also request the deletion of the person's recordings.", bool),
            query_parameter("keep_person", "Do not delete the person itself.", bool),
        ],
        request=None,
        responses={204: OpenApiResponse(description="Deleted.")},
    )
    def destroy(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Delete one person. Its distinct ids may be used again; their earlier life counts nowhere."""
        wanted = {name: flag(request, name) for name in _FLAGS}
        self._delete_one(id, **wanted)
        return Answer(None, status=204)

    @extend_schema(request=None, responses=Success)
    @action(detail=True, methods=["post"])
    def delete_events(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Request the deletion of a person's events; the person stays. `bulk_delete` does the same for many."""
        del request
        self._delete_one(id, keep_person=True, delete_events=True)
        return Answer({"success": True})

    @extend_schema(request=None, responses=Success)
    @action(detail=True, methods=["post"])
    def delete_recordings(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Request the deletion of a person's recordings; the person stays. `bulk_delete` does the same for many."""
        del request
        self._delete_one(id, keep_person=True, delete_recordings=True)
        return Answer({"success": True})

    @extend_schema(request=PersonBulkDeleteRequest, responses={202: PersonBulkDeleteResponse})
    @action(detail=False, methods=["post"])
    def bulk_delete(self, request: Request, **_: object) -> Answer:
        """Delete up to 1000 persons, and request the deletion of their events and recordings, all or nothing."""
        choice = read_choice(request)
        wanted = {name: flag(request, name) for name in _FLAGS}
        deleted = deleting.persons_delete(deletion=self._deletion(**wanted), choice=choice)
        answer = bulk_delete_answer(
            deleted, delete_events=wanted["delete_events"], delete_recordings=wanted["delete_recordings"]
        )
        return Answer(answer, status=202)

    @extend_schema(
        parameters=[
            query_parameter("status", f"One of {', '.join(STATUSES)}. Default all."),
            query_parameter("person_uuid", "Only the requests of this person."),
            query_parameter("kind", f"One of {', '.join(KINDS)}. Default events."),
            query_parameter("include_repeated", "Also those that a later request of the person has followed.", bool),
            query_parameter("limit", "Requests per page: 100 unless told, 1000 at most.", int),
            query_parameter("offset", "Requests to skip.", int),
        ],
        responses=PaginatedAsyncDeletionStatusList,
    )
    @action(detail=False, methods=["get"])
    def deletion_status(self, request: Request, **_: object) -> Answer:
        """List requests to erase events, newest first; those carried out have a receipt, kept for 90 days."""
        wanted, window = read_status_query(request)
        count, results = deletion_status(team_id=self.team.id, wanted=wanted)
        return self.page_response(window, results, count=count)

    def _deletion(self, **wanted: bool) -> deleting.Deletion:
        return deleting.Deletion(
            team_id=self.team.id,
            organization_id=self.team.organization_id,
            by_user_id=self.caller.user_id,
            **wanted,
        )

    def _delete_one(self, text: str, **wanted: bool) -> None:
        person: Any = self._ref(self._row(text))
        try:
            deleting.person_delete(person=person, **wanted)
        except deleting.PersonGoneError:
            raise NotFound from None
