"""What persons were like at a past moment."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from core.api.errors import ApiError, Invalid, NotFound
from core.api.params import flag
from core.api.views import Answer, action
from core.persons import point_in_time
from core.persons.serializers import PersonPropertiesAtTime
from core.persons.views.base import PersonView, query_parameter, text_parameter


class PointInTimeError(ApiError):
    """An error of properties_at_time, which older clients read from the extra key `error`."""


class LookingBackView(PersonView):
    """Read the past of persons."""

    @extend_schema(
        parameters=[
            query_parameter("distinct_id", "A distinct id of the person; give this or person_id."),
            query_parameter("person_id", "The person's UUID; give this or distinct_id."),
            query_parameter("timestamp", "The moment, ISO 8601; without an offset it is UTC.", required=True),
            query_parameter("include_set_once", "Also replay `$set_once` operations. Default false.", bool),
            query_parameter("debug", "Add the query and the stored updates used, the newest 1000 at most.", bool),
        ],
        responses=PersonPropertiesAtTime,
    )
    @action(detail=False, methods=["get"])
    def properties_at_time(self, request: Request, **_: object) -> Answer:
        """Return a person with the exact properties it had at a past moment."""
        asked = _read_question(request)
        names = self.team.person_display_name_properties
        try:
            answer = point_in_time.answer(team_id=self.team.id, asked=asked, display_properties=names)
        except point_in_time.PersonNotFoundError as error:
            raise _point_in_time_error(str(error), status=404) from None
        return Answer(answer)


def _read_question(request: Request) -> point_in_time.Question:
    distinct_id, person_id = text_parameter(request, "distinct_id"), text_parameter(request, "person_id")
    if distinct_id and person_id:
        raise _point_in_time_error("Cannot provide both distinct_id and person_id - choose one")
    if not distinct_id and not person_id:
        raise _point_in_time_error("Must provide either distinct_id or person_id parameter")
    text = text_parameter(request, "timestamp")
    if not text:
        raise _point_in_time_error(
            "timestamp parameter is required (ISO format: 2023-06-15T14:30:00Z)", attr="timestamp"
        )
    try:
        at = point_in_time.read_moment(text)
    except point_in_time.MomentError:
        raise _point_in_time_error(
            "Invalid timestamp format. Use ISO format like 2023-06-15T14:30:00Z", attr="timestamp"
        ) from None
    return point_in_time.Question(
        distinct_id=distinct_id,
        person_id=person_id,
        at=at,
        include_set_once=flag(request, "include_set_once"),
        debug=flag(request, "debug"),
    )


def _point_in_time_error(text: str, *, status: int = 400, attr: str | None = None) -> PointInTimeError:
    error = PointInTimeError(text, code="not_found" if status == NotFound.status else Invalid.code, attr=attr)
    error.status = status
    error.type = NotFound.type if status == NotFound.status else Invalid.type
    error.also = {"error": text}
    return error
