"""What persons were like at a past moment, and how they came to be what they are."""

from datetime import UTC, datetime
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from core.api.errors import ApiError, Invalid, NotFound
from core.api.pagination import Turn, turned_page
from core.api.params import flag, query_parameter, required
from core.api.views import Answer, action
from core.persons import point_in_time, property_history, timeline
from core.persons.date_range import INTERVALS, DateError
from core.persons.serializers import PersonPropertiesAtTime
from core.persons.shapes.looking_back import (
    PersonPropertiesTimeline,
    PersonsAtTimesRequest,
    PersonsAtTimesResponse,
    PropertyHistory,
    read_questions,
    read_timeline_query,
)
from core.persons.views.base import PersonView, text_parameter
from events.timeline import TooManyPointsError


class PointInTimeError(ApiError):
    """An error of properties_at_time, which older clients read from the extra key `error`."""


class LookingBackView(PersonView):
    """Read the past of persons."""

    @extend_schema(
        methods=["GET"],
        parameters=[
            query_parameter("distinct_id", "A distinct id of the person; give this or person_id."),
            query_parameter("person_id", "The person's UUID; give this or distinct_id."),
            query_parameter("timestamp", "The moment, ISO 8601; without an offset it is UTC.", required=True),
            query_parameter("include_set_once", "Also replay `$set_once` operations. Default false.", bool),
            query_parameter("debug", "Add the query and the stored updates used, the newest 1000 at most.", bool),
        ],
        responses=PersonPropertiesAtTime,
        description="Return a person with the exact properties it had at a past moment.",
    )
    @extend_schema(
        methods=["POST"],
        request=PersonsAtTimesRequest,
        responses=PersonsAtTimesResponse,
        description="Return up to 1000 persons, each with the exact properties it had at a moment of its own.",
    )
    @action(detail=False, methods=["get", "post"], scope="person:read")
    def properties_at_time(self, request: Request, **_: object) -> Answer:
        """Return one person at a past moment, or (POST) many, each at its own."""
        if request.method == "POST":
            return self._properties_at_times(request)
        asked = _read_question(request)
        names = self.team.person_display_name_properties
        try:
            answer = point_in_time.answer(team_id=self.team.id, asked=asked, display_properties=names)
        except point_in_time.PersonNotFoundError as error:
            raise _point_in_time_error(str(error), status=404) from None
        return Answer(answer)

    def _properties_at_times(self, request: Request) -> Answer:
        names = self.team.person_display_name_properties
        asked = read_questions(request)
        results = point_in_time.answers(team_id=self.team.id, asked=asked, display_properties=names)
        return Answer({"results": results})

    @extend_schema(
        parameters=[
            query_parameter("key", "The property.", required=True),
            query_parameter("order", "`newest` (the default) or `oldest` change first."),
            query_parameter("limit", "Changes per page: 100 unless told, 1000 at most.", int),
            query_parameter("cursor", "Where a page begins: taken from `next`, never made."),
        ],
        responses=PropertyHistory,
    )
    @action(detail=True, methods=["get"])
    def property_history(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Return every change of one property of a person, with the event that made it."""
        row = self._row(id)
        key = text_parameter(request, "key")
        if key is None:
            raise required("key")
        order = request.query_params.get("order") or "newest"
        if order not in {"newest", "oldest"}:
            message = f'"{order[:100]}" is not a valid choice.'
            raise Invalid(message, code="invalid_choice", attr="order")
        window, cursor = self.window(), request.query_params.get("cursor") or None
        try:
            changes, following = property_history.page(
                team_id=self.team.id,
                person_id=row[0],
                key=key,
                newest_first=order == "newest",
                limit=window.limit,
                cursor=cursor,
            )
        except property_history.CursorError:
            raise Invalid("Invalid cursor.", attr="cursor") from None
        turn = None if following is None else Turn(cursor=following)
        return Answer(turned_page(request, window, changes, following=turn, previous=None))

    @extend_schema(
        parameters=[
            query_parameter("events", 'The events that count, as JSON: `[{"id": "name"}]`; without any, all do.'),
            query_parameter("actions", 'Saved actions that count too, as JSON: `[{"id": 5}]`.'),
            query_parameter("properties", "Property filters as JSON; they do not filter, they name crucial keys."),
            query_parameter("breakdown", "One more crucial key, or a JSON list of keys."),
            query_parameter("breakdown_type", "`person` for the breakdown to count."),
            query_parameter("date_from", "ISO 8601, relative such as `-7d`, or `all`. Default: 7 days ago."),
            query_parameter("date_to", "ISO 8601 or relative. Default: today."),
            query_parameter("interval", f"One of {', '.join(INTERVALS)}; with `hour`, bounds keep their hours."),
            query_parameter("explicit_date", "Keep the times of day of both dates as given.", bool),
        ],
        responses=PersonPropertiesTimeline,
    )
    @action(detail=True, methods=["get"])
    def properties_timeline(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Return how the person properties stored on a person's events changed over time."""
        row = self._row(id)
        asked = read_timeline_query(request)
        try:
            dates = timeline.range_of(
                asked.dates, team_id=self.team.id, timezone=self.team.timezone, now=datetime.now(UTC)
            )
            answer = timeline.answer(
                team_id=self.team.id, person_id=row[0], person_uuid=UUID(row[1]), asked=asked, dates=dates
            )
        except DateError as error:
            raise Invalid("This is neither an ISO 8601 date nor a relative one such as -7d.", attr=error.name) from None
        except TooManyPointsError:
            message = f"The properties changed more than {timeline.MAX_POINTS} times. Choose a shorter range."
            raise Invalid(message, attr="date_from") from None
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
