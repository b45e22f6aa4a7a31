"""Persisted folders over HTTP: read the request, call one function, answer."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request

from core.api.errors import NotFound
from core.api.params import body_of, query_parameter
from core.api.views import Answer, TeamViewSet
from core.folders import queries, services
from core.folders.serializers import FolderBody, PaginatedPersistedFolderList, PersistedFolderSerializer


def read_id(text: str) -> UUID:
    """Read the UUID of a path; raises NotFound for what is none."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound from None


def _read(request: Request, *, partial: bool = False) -> dict[str, Any]:
    body = FolderBody(data=body_of(request), partial=partial)
    body.is_valid(raise_exception=True)
    fields: dict[str, Any] = body.validated_data
    return fields


class PersistedFolderViewSet(TeamViewSet):
    """Where the calling user keeps things in this project; nobody else sees or changes it."""

    serializer_class = PersistedFolderSerializer

    @extend_schema(
        parameters=[
            query_parameter("limit", "Folders per page: 100 unless told, 1000 at most.", int),
            query_parameter("offset", "Folders to skip.", int),
        ],
        responses=PaginatedPersistedFolderList,
    )
    def list(self, request: Request, **_: object) -> Answer:
        """List the calling user's folders in this project, by type."""
        del request
        window, owner = self.window(), self._owner()
        folders, count = queries.folder_page(
            team_id=owner.team_id, user_id=owner.user_id, limit=window.limit, offset=window.offset
        )
        return self.page_response(window, folders, count=count)

    @extend_schema(request=PersistedFolderSerializer, responses={201: PersistedFolderSerializer})
    def create(self, request: Request, **_: object) -> Answer:
        """Make the folder of a type. Where there is one it is kept, with the protocol and path of this request."""
        return Answer(services.folder_put(owner=self._owner(), fields=_read(request)), status=201)

    @extend_schema(responses=PersistedFolderSerializer)
    def retrieve(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Return one of the calling user's folders."""
        del request
        return Answer(self._object(read_id(id)))

    @extend_schema(request=PersistedFolderSerializer, responses=PersistedFolderSerializer)
    def update(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Replace type, protocol and path; those left out have their defaults."""
        return self._change(request, read_id(id), partial=False)

    @extend_schema(request=PersistedFolderSerializer, responses=PersistedFolderSerializer)
    def partial_update(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Change the given fields."""
        return self._change(request, read_id(id), partial=True)

    @extend_schema(request=None, responses={204: OpenApiResponse(description="Deleted.")})
    def destroy(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Delete a folder for good; what is in it is not touched."""
        del request
        services.folder_delete(owner=self._owner(), folder_id=read_id(id))
        return Answer(None, status=204)

    def _change(self, request: Request, folder_id: UUID, *, partial: bool) -> Answer:
        self._object(folder_id)
        services.folder_update(owner=self._owner(), folder_id=folder_id, fields=_read(request, partial=partial))
        return Answer(self._object(folder_id))

    def _object(self, folder_id: UUID) -> dict[str, Any]:
        owner = self._owner()
        folder = queries.folder_one(team_id=owner.team_id, user_id=owner.user_id, folder_id=folder_id)
        if folder is None:
            raise NotFound
        return folder

    def _owner(self) -> services.Owner:
        return services.Owner(team_id=self.team.id, user_id=self.caller.user_id)
