"""The persons resource over HTTP: read the request, call one function, answer."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request

from core.api.errors import ApiError, Invalid, NotFound
from core.api.params import flag
from core.api.values import json_repaired
from core.api.views import Answer, TeamViewSet, action, refused
from core.persons import point_in_time, queries, services
from core.persons.ingest import IngestTeam
from core.persons.serializers import (
    PaginatedPersonList,
    Person,
    PersonDeleteProperty,
    PersonPropertiesAtTime,
    PersonUpdateProperty,
    read_person_key,
    read_properties,
    read_unset,
    read_update_property,
)

NO_CREATE = (
    'Method "POST" not allowed. Persons are created by capturing events: '
    "send an $identify event to the capture API or use one of the SDKs."
)


class PointInTimeError(ApiError):
    """An error of properties_at_time, which older clients read from the extra key `error`."""


def _query(name: str, description: str, kind: Any = str, *, required: bool = False) -> OpenApiParameter:  # noqa: ANN401 spectacular's types
    return OpenApiParameter(name, kind, OpenApiParameter.QUERY, required=required, description=description)


_UPDATED = OpenApiResponse(Person, description="The person after the change.")


class PersonViewSet(TeamViewSet):
    """Read, change and delete the persons of one project. Persons are made by capturing events."""

    serializer_class = Person

    create = refused(NO_CREATE)

    @extend_schema(
        parameters=[
            _query("limit", "Persons per page: 100 unless told, 1000 at most.", int),
            _query("offset", "Persons to skip.", int),
            _query("distinct_id", "Only the person with this distinct id."),
            _query("email", "Only persons whose property `email` equals this, case-sensitively."),
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
            distinct_id=_text(request, "distinct_id"),
            email=_text(request, "email"),
        )
        rows, more = queries.person_page(team_id=self.team.id, wanted=wanted)
        names = queries.naming(self.team.person_display_name_properties)
        return self.page_response(window, [queries.list_item(row, names) for row in rows], more=more)

    @extend_schema(responses=Person)
    def retrieve(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Return one person by integer id or UUID."""
        _refuse_csv(request)
        return Answer(self._detail(self._row(id)))

    @extend_schema(request=Person, responses=_UPDATED)
    def update(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Set the given properties; the others stay, every other field is ignored."""
        row = self._row(id)
        if properties := read_properties(request):
            self._set(row, properties, attr="properties")
        return Answer(self._detail(self._row(id)))

    @extend_schema(request=Person, responses=_UPDATED)
    def partial_update(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Set the given properties, exactly as PUT does."""
        return self.update(request, id)

    @extend_schema(
        parameters=[
            _query("delete_events", "Also request the deletion of the person's events.", bool),
            _query("delete_recordings", "Also request the deletion of the person's recordings.", bool),
            _query("keep_person", "Do not delete the person itself.", bool),
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

    @extend_schema(request=PersonUpdateProperty, responses=_UPDATED)
    @action(detail=True, methods=["post"])
    def update_property(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Set one property. Values from a query string or a form are stored as text."""
        row = self._row(id)
        self._set(row, read_update_property(request), attr="value")
        return Answer(self._detail(self._row(id)))

    @extend_schema(request=PersonDeleteProperty, responses=_UPDATED)
    @action(detail=True, methods=["post"])
    def delete_property(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Remove one property or a list of them."""
        row = self._row(id)
        keys = read_unset(request)
        try:
            services.person_properties_unset(person=self._ref(row), keys=keys)
        except services.PersonGoneError:
            raise NotFound from None
        return Answer(self._detail(self._row(id)))

    @extend_schema(
        parameters=[
            _query("distinct_id", "A distinct id of the person; give this or person_id."),
            _query("person_id", "The person's UUID; give this or distinct_id."),
            _query("timestamp", "The moment, ISO 8601; without an offset it is UTC.", required=True),
            _query("include_set_once", "Also replay `$set_once` operations. Default false.", bool),
            _query("debug", "Add the query and the stored updates used, the newest 1000 at most.", bool),
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

    def _row(self, text: str) -> tuple[Any, ...]:
        row = queries.person_row(team_id=self.team.id, key=read_person_key(text))
        if row is None:
            raise NotFound
        return row

    def _detail(self, row: tuple[Any, ...]) -> dict[str, Any]:
        return queries.detail(row, queries.naming(self.team.person_display_name_properties))

    def _ref(self, row: tuple[Any, ...]) -> services.PersonRef:
        team = self.team
        return services.PersonRef(
            team=IngestTeam(id=team.id, ingested_event=team.ingested_event),
            organization_id=team.organization_id,
            id=row[0],
            uuid=UUID(row[1]),
            by_user_id=self.caller.user_id,
        )

    def _set(self, row: tuple[Any, ...], properties: Mapping[str, Any], *, attr: str) -> None:
        try:
            services.person_properties_set(person=self._ref(row), properties=properties)
        except services.PropertiesTooLargeError:
            message = "The properties of a person may not exceed 512 KB."
            raise Invalid(message, code="max_length", attr=attr) from None
        except services.PersonGoneError:
            raise NotFound from None


def _refuse_csv(request: Request) -> None:
    """Say that there is no table yet, rather than answer JSON to someone who asked for one."""
    if "format=" in request.META.get("QUERY_STRING", "") and request.query_params.get("format") == "csv":
        raise Invalid("CSV is not available here.", code="invalid_choice", attr="format")


def _text(request: Request, name: str) -> str | None:
    """Read a parameter as ingestion would have stored it."""
    text = request.query_params.get(name)
    return str(json_repaired(text)) if text else None


def _read_question(request: Request) -> point_in_time.Question:
    distinct_id, person_id = _text(request, "distinct_id"), _text(request, "person_id")
    if distinct_id and person_id:
        raise _point_in_time_error("Cannot provide both distinct_id and person_id - choose one")
    if not distinct_id and not person_id:
        raise _point_in_time_error("Must provide either distinct_id or person_id parameter")
    text = _text(request, "timestamp")
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
