"""Lists and look-ups of persons."""

from collections.abc import Iterator
from typing import Final
from uuid import UUID

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from core.api.errors import Invalid
from core.api.pagination import Turn, Window, turned_page
from core.api.params import query_parameter
from core.api.renderers import LinesRenderer, TableRenderer
from core.api.streaming import Connection, streamed
from core.api.views import Answer, conditional
from core.filters.reading import read_filter_parameter
from core.persons import export, listing, queries
from core.persons.csv_columns import MAX_COLUMNS, TooManyColumnsError
from core.persons.listing import PersonFilter, PersonKey
from core.persons.paging import Cursor, CursorError
from core.persons.serializers import MAX_INTEGER_ID, PaginatedPersonList, Person
from core.persons.views.as_of import list_as_of
from core.persons.views.base import PersonView, text_parameter
from events.filters.grammar import Filter, FilterGroup

MAX_NAMED: Final = 1000
_MAX_OFFSET: Final = 2**62
_MAX_DIGITS: Final = 19

FILTER_PARAMETERS: Final = [
    query_parameter("distinct_id", "Only the person with this distinct id."),
    query_parameter("email", "Only persons whose property `email` equals this, case-sensitively."),
    query_parameter("search", "Only persons with this text, in any case, in email, name, UUID or a distinct id."),
    query_parameter("properties", "Property filters as JSON: a list, a group, or a map of key and value."),
    query_parameter("cohort", "Only members of the cohort with this id.", int),
    query_parameter("uuid", "Only these persons: ids or UUIDs, joined by commas, 1000 at most."),
    query_parameter("id", "As `uuid`."),
    query_parameter("key_identifier", "Only persons with this distinct id or email."),
]


LIST_PARAMETERS: Final = [
    query_parameter("limit", "Persons per page: 100 unless told, 1000 at most.", int),
    query_parameter("offset", "Persons to skip.", int),
    query_parameter("cursor", "Where a page begins or ends: taken from `next` and `previous`, never made."),
    query_parameter("as_of", "A moment, ISO 8601: who was there and matched then, with the properties of then."),
    query_parameter("include_set_once", "With `as_of`: also replay `$set_once` operations. Default true.", bool),
    query_parameter("include_total", "With any value: also answer `count`, the number of matching persons."),
    *FILTER_PARAMETERS,
]


_TABLE: Final = TableRenderer()
_LINES: Final = LinesRenderer()
_TABLE_TYPE: Final = "text/csv; charset=utf-8"


class ListingView(PersonView):
    """List persons: all of a project, or fewer where a subclass demands more."""

    def get_renderers(self) -> list[BaseRenderer]:
        """Offer tables of persons, and lines of JSON for lists of them."""
        more: dict[str, list[BaseRenderer]] = {"list": [_TABLE, _LINES], "retrieve": [_TABLE]}
        return [*super().get_renderers(), *more.get(self.action or "", [])]

    def person_filter(self, request: Request) -> PersonFilter:
        """Read which persons are asked for."""
        return read_person_filter(request, team_id=self.team.id)

    @extend_schema(parameters=LIST_PARAMETERS, responses=PaginatedPersonList)
    def list(self, request: Request, **_: object) -> Answer | HttpResponseBase:
        """List persons, newest first; tables (300,000 rows at most) and lines of JSON ignore the paging parameters."""
        team_id = self.team.id
        window, cursor = self.window(), _read_cursor(request)
        wanted = self.person_filter(request)
        exported = request.accepted_renderer in {_TABLE, _LINES}
        if "as_of" in request.query_params:
            if exported:
                raise Invalid("With as_of, only JSON is answered.", attr="format")
            return list_as_of(request, team=self.team, window=window, cursor=cursor, wanted=wanted)
        if exported:
            return self._export(request, wanted)
        page = listing.person_page(
            team_id=team_id,
            wanted=wanted,
            limit=window.limit,
            offset=min(window.offset, _MAX_OFFSET),
            cursor=cursor,
        )
        count = None
        if "include_total" in request.query_params:
            count = listing.person_count(team_id=team_id, wanted=wanted)
        names = queries.naming(self.team.person_display_name_properties)
        items = [queries.list_item(row, names) for row in page.rows]
        following, previous = _turns(page, window, cursor)
        return Answer(turned_page(request, window, items, following=following, previous=previous, count=count))

    def _export(self, request: Request, wanted: PersonFilter) -> HttpResponseBase:
        team_id, names = self.team.id, queries.naming(self.team.person_display_name_properties)
        as_table = request.accepted_renderer is _TABLE
        chunks = export.table_chunks if as_table else export.line_chunks

        def start(connection: Connection) -> Iterator[bytes]:
            return chunks(connection, team_id=team_id, wanted=wanted, names=names)

        try:
            return streamed(request, start, content_type=_TABLE_TYPE if as_table else _LINES.media_type)
        except TooManyColumnsError:
            message = f"These persons would need more than {MAX_COLUMNS} columns. Use format=ndjson instead."
            raise Invalid(message, attr="format") from None


class ReadingView(ListingView):
    """List and retrieve."""

    @extend_schema(responses=Person)
    @conditional
    def retrieve(self, request: Request, id: str, **_: object) -> Answer | HttpResponseBase:  # noqa: A002 the route's name
        """Return one person by integer id or UUID."""
        person = self._detail(self._row(id))
        if request.accepted_renderer is _TABLE:
            return HttpResponse(export.one_row_table(person), content_type=_TABLE_TYPE)
        return Answer(person)


def read_person_filter(request: Request, *, team_id: int) -> PersonFilter:
    """Read the parameters that choose persons; an empty one is none."""
    search = text_parameter(request, "search")
    named = [_read_keys(request, name) for name in ("uuid", "id")]
    return PersonFilter(
        distinct_id=text_parameter(request, "distinct_id"),
        email=text_parameter(request, "email"),
        key_identifier=text_parameter(request, "key_identifier"),
        named=tuple(keys for keys in named if keys),
        search=search.strip() or None if search else None,
        properties=_read_filters(request, team_id=team_id),
    )


def _read_filters(request: Request, *, team_id: int) -> Filter | None:
    given = []
    if text := text_parameter(request, "properties"):
        given.append(read_filter_parameter(text, team_id=team_id))
    if text := text_parameter(request, "cohort"):
        if not _is_number(text):
            raise Invalid("A valid integer is required.", attr="cohort")
        cohort = [{"type": "cohort", "key": "id", "value": int(text)}]
        given.append(read_filter_parameter(cohort, attr="cohort", team_id=team_id))
    filters = tuple(one for one in given if one is not None)
    if len(filters) > 1:
        return FilterGroup("AND", filters)
    return filters[0] if filters else None


def _read_keys(request: Request, name: str) -> tuple[PersonKey, ...]:
    texts = [text for part in (text_parameter(request, name) or "").split(",") if (text := part.strip())]
    if len(texts) > MAX_NAMED:
        message = f"Ensure this field has no more than {MAX_NAMED} elements."
        raise Invalid(message, code="max_length", attr=name)
    return tuple(_read_key(text, name) for text in texts)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS and int(text) <= MAX_INTEGER_ID


def _read_key(text: str, name: str) -> PersonKey:
    if _is_number(text):
        return int(text)
    try:
        return UUID(text)
    except ValueError:
        message = f'"{text[:200]}" is neither an id nor a UUID.'
        raise Invalid(message, attr=name) from None


def _read_cursor(request: Request) -> Cursor | None:
    text = request.query_params.get("cursor")
    if not text:
        return None
    try:
        return Cursor.read(text)
    except CursorError:
        raise Invalid("Invalid cursor.", attr="cursor") from None


def _turns(page: listing.Page, window: Window, cursor: Cursor | None) -> tuple[Turn | None, Turn | None]:
    """Return where `next` and `previous` lead."""
    places = listing.places(page)
    following = Turn(cursor=Cursor(places[1]).text()) if page.after and places else None
    if not page.before:
        return following, None
    if cursor is None:
        return following, Turn(offset=window.offset - window.limit)
    first = places[0] if places else cursor.place.just_behind()
    return following, Turn(cursor=Cursor(first, backward=True).text())
