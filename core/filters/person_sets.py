"""Which persons HogQL filters mean: ClickHouse is asked, and Postgres goes on with their UUIDs."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final
from uuid import UUID, uuid4

from django.conf import settings

from core.api.leaving import place_left
from events import client
from events.filters.errors import FilterError
from events.filters.row_expressions import RowExpression
from events.filters.tree import Filter, FilterGroup, HogQLFilter, PersonsFilter
from events.hogql.compile import compile_query
from events.hogql.errors import HogQLError

MAX_PERSONS: Final = 100_000
_TOO_MANY: Final = (
    f"The HogQL filter is true of more than {MAX_PERSONS:,} persons, which lists of persons cannot have."
    " Ask for fewer, or use an ActorsQuery."
)
_BYTES: Final = 1024**2


def with_persons_found(wanted: Filter, *, after: UUID | None = None, until: UUID | None = None) -> Filter:
    """Return the filter with the persons, among those of a range of UUIDs, in place of each HogQL filter.

    Raises FilterError for more than MAX_PERSONS, QueryMistake and the other errors of `events.errors`.
    """
    return _replaced(wanted, lambda expression: _persons(expression, after=after, until=until))


def with_nobody_found(wanted: Filter) -> Filter:
    """Return the filter as if no HogQL filter were true of anybody: what Postgres would have to read."""
    return _replaced(wanted, lambda _: frozenset())


def _replaced(wanted: Filter, found: Callable[[RowExpression], frozenset[UUID]]) -> Filter:
    match wanted:
        case FilterGroup():
            return replace(wanted, values=tuple(_replaced(value, found) for value in wanted.values))
        case HogQLFilter(expression):
            return PersonsFilter(found(expression))
        case _:
            return wanted


def _persons(expression: RowExpression, *, after: UUID | None, until: UUID | None) -> frozenset[UUID]:
    query = expression.persons(
        most=MAX_PERSONS + 1, after="" if after is None else str(after), until="" if until is None else str(until)
    )
    try:
        compiled = compile_query(query, expression.context)
    except HogQLError as error:
        raise FilterError(error.message) from error
    with place_left():
        found = client.ask(
            compiled.sql,
            compiled.parameters,
            team_id=expression.context.team_id,
            query_id=f"persons-{uuid4()}",
            seconds=settings.LIST_QUERY_TIMEOUT_SECONDS,
            memory_mb=settings.QUERY_MEMORY_MB,
            max_rows=MAX_PERSONS + 1,
            max_bytes=settings.QUERY_MAX_RESULT_MB * _BYTES,
        )
    if len(found.rows) > MAX_PERSONS:
        raise FilterError(_TOO_MANY)
    return frozenset(UUID(uuid) for (uuid,) in found.rows)
