"""Deleted projects of an organization over HTTP: what became of their data."""

from typing import Any, Final

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request

from core.api.errors import NotFound
from core.api.views import Answer, ApiViewSet
from core.deletions.queries import MAX_PROJECT_ID, deleted_project, deleted_projects
from core.deletions.serializers import DeletedProject, PaginatedDeletedProjectList

_LONGEST: Final = 20


class DeletedProjectViewSet(ApiViewSet):
    """Projects that were deleted, until 90 days after their data was erased."""

    serializer_class = DeletedProject

    @extend_schema(
        parameters=[
            OpenApiParameter("limit", int, description="Projects per page: 100 unless told, 1000 at most."),
            OpenApiParameter("offset", int, description="Projects to skip."),
        ],
        responses=PaginatedDeletedProjectList,
    )
    def list(self, request: Request, **_: Any) -> Answer:  # noqa: ANN401 URL arguments
        """List the deleted projects of the organization, newest first."""
        del request
        window = self.window()
        rows, count = deleted_projects(organization_id=self.organization.id, limit=window.limit, offset=window.offset)
        return self.page_response(window, rows, count=count)

    @extend_schema(responses=DeletedProject)
    def retrieve(self, request: Request, id: str, **_: Any) -> Answer:  # noqa: A002, ANN401 the route's name, URL arguments
        """Return a deleted project by the id it had, with the receipt once its data is erased."""
        del request
        found = None
        if id.isascii() and id.isdecimal() and (number := int(id[:_LONGEST])) <= MAX_PROJECT_ID:
            found = deleted_project(organization_id=self.organization.id, project_id=number)
        if found is None:
            raise NotFound
        return Answer(found)
