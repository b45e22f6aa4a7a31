"""`as_of` on the list of persons: which of the list's parameters go with it, and the answer."""

from typing import Final

from rest_framework.request import Request

from core.api.errors import Invalid
from core.api.pagination import Turn, Window, turned_page
from core.api.params import flag
from core.api.views import Answer
from core.persons import as_of, queries
from core.persons.listing import PersonFilter
from core.persons.paging import Cursor, Place
from core.persons.point_in_time import MomentError, read_moment
from core.tenancy.context import TeamContext
from events.filters.grammar import Filter, FilterGroup, PropertyFilter, cohort_ids
from events.filters.predicates import Equals
from events.filters.tree import PersonsFilter, leaves

_REFUSED: Final = {
    "search": "search is not available with as_of. Filter by properties instead.",
    "key_identifier": "key_identifier is not available with as_of. Use distinct_id or email.",
    "include_total": "include_total is not available with as_of.",
}


def list_as_of(
    request: Request, *, team: TeamContext, window: Window, cursor: Cursor | None, wanted: PersonFilter
) -> Answer:
    """Answer a page of persons as of a moment; raises Invalid for what cannot be asked of the past."""
    _refuse(request, window, cursor, wanted)
    try:
        at = read_moment(request.query_params["as_of"])
    except MomentError:
        message = "Invalid timestamp format. Use ISO format like 2023-06-15T14:30:00Z"
        raise Invalid(message, attr="as_of") from None
    asked = as_of.AsOfQuery(
        at=at,
        limit=window.limit,
        include_set_once=flag(request, "include_set_once", default=True),
        wanted=_filter(wanted),
        distinct_id=wanted.distinct_id,
        named=wanted.named,
        after=None if cursor is None else (cursor.place.created_at, cursor.place.uuid),
    )
    page = as_of.as_of_page(team_id=team.id, asked=asked)
    names = queries.naming(team.person_display_name_properties)
    items = [queries.list_item(row, names) for row in page.rows]
    following = Turn(cursor=Cursor(Place(*page.following)).text()) if page.following else None
    return Answer(turned_page(request, window, items, following=following, previous=None))


def _refuse(request: Request, window: Window, cursor: Cursor | None, wanted: PersonFilter) -> None:
    for name, message in _REFUSED.items():
        if request.query_params.get(name) or (name == "include_total" and name in request.query_params):
            raise Invalid(message, attr=name)
    if window.offset:
        raise Invalid("offset is not available with as_of. Follow `next`.", attr="offset")
    if cursor is not None and cursor.backward:
        raise Invalid("Invalid cursor.", attr="cursor")
    if wanted.properties is not None and cohort_ids(wanted.properties):
        message = "Membership in cohorts is not kept for the past, so it cannot be asked with as_of."
        raise Invalid(message, attr="as_of")
    if wanted.properties is not None and any(isinstance(leaf, PersonsFilter) for leaf in leaves(wanted.properties)):
        raise Invalid("HogQL filters see persons as they are now, so they cannot be asked with as_of.", attr="as_of")


def _filter(wanted: PersonFilter) -> Filter | None:
    """Return the filter on properties then; `email` is one of them."""
    filters: list[Filter] = [] if wanted.properties is None else [wanted.properties]
    if wanted.email is not None:
        filters.append(PropertyFilter("email", Equals((wanted.email,), plain=True)))
    if len(filters) > 1:
        return FilterGroup("AND", tuple(filters))
    return filters[0] if filters else None
