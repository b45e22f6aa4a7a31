"""Deletion of persons, their events and their recordings."""

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request

from core.api.errors import NotFound
from core.api.params import flag
from core.api.views import Answer
from core.persons import services
from core.persons.views.base import PersonView, query_parameter


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
        wanted = {name: flag(request, name) for name in ("keep_person", "delete_events", "delete_recordings")}
        try:
            services.person_delete(person=self._ref(self._row(id)), **wanted)
        except services.PersonGoneError:
            raise NotFound from None
        return Answer(None, status=204)
