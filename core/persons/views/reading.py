"""Lists and look-ups of persons."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from core.api.errors import Invalid
from core.api.views import Answer
from core.persons import queries
from core.persons.serializers import PaginatedPersonList, Person
from core.persons.views.base import PersonView, query_parameter, text_parameter


class ReadingView(PersonView):
    """List and retrieve."""

    @extend_schema(
        parameters=[
            query_parameter("limit", "Persons per page: 100 unless told, 1000 at most.", int),
            query_parameter("offset", "Persons to skip.", int),
            query_parameter("distinct_id", "Only the person with this distinct id."),
            query_parameter("email", "Only persons whose property `email` equals this, case-sensitively."),
        ],
        responses=PaginatedPersonList,
    )
    def list(self, request: Request, **_: object) -> Answer:
        """List persons, newest first."""
        _refuse_csv(request)
        window = self.window()
        wanted = queries.PersonPageQuery(
            limit=window.limit,
            offset=min(window.offset, 2**62),
            distinct_id=text_parameter(request, "distinct_id"),
            email=text_parameter(request, "email"),
        )
        rows, more = queries.person_page(team_id=self.team.id, wanted=wanted)
        names = queries.naming(self.team.person_display_name_properties)
        return self.page_response(window, [queries.list_item(row, names) for row in rows], more=more)

    @extend_schema(responses=Person)
    def retrieve(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Return one person by integer id or UUID."""
        _refuse_csv(request)
        return Answer(self._detail(self._row(id)))


def _refuse_csv(request: Request) -> None:
    """Say that there is no table yet, rather than answer JSON to someone who asked for one."""
    if "format=" in request.META.get("QUERY_STRING", "") and request.query_params.get("format") == "csv":
        raise Invalid("CSV is not available here.", code="invalid_choice", attr="format")
