"""One HogQL statement of a query: looked up, compiled, asked, and accounted for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast, get_args

import structlog
from django.conf import settings

from core.api.json import dumps
from core.api.leaving import place_left
from core.query.context import hogql_context
from core.query.local_times import local_rows
from core.query.reading import BadNode
from core.query.runners.base import QueryContext
from events import client
from events.asking import Asked
from events.errors import EventStoreError, QueryMistake, QueryUnsupported
from events.hogql import ast
from events.hogql.compile import Compiled, compile_query, not_grouped
from events.hogql.context import DEFAULT_PERSON_MODE, PersonMode
from events.hogql.errors import HogQLError
from events.hogql.printer import print_hogql

log = structlog.get_logger()

PERSON_MODES: Final[tuple[str, ...]] = get_args(PersonMode.__value__)
_BYTES: Final = 1024**2

type Json = Any


@dataclass(frozen=True, slots=True)
class Answered:
    """Rows as JSON has them, with the names and ClickHouse's types of their columns, and the texts of the statement.

    Times have the offset of their column's zone.

    `clickhouse` is for those who may see it; its parameters are listed below it.
    """

    rows: Sequence[Sequence[Json]]
    columns: Sequence[str]
    types: Sequence[str]
    hogql: str
    clickhouse: str
    tables: frozenset[str]


def person_mode(node: Mapping[str, Json]) -> PersonMode:
    """Return the node's modifier `personsOnEventsMode`. Raises BadNode."""
    modifiers = node.get("modifiers")
    mode = modifiers.get("personsOnEventsMode") if isinstance(modifiers, Mapping) else None
    if mode is None:
        return DEFAULT_PERSON_MODE
    if mode not in PERSON_MODES:
        message = f"Input should be one of {', '.join(map(repr, PERSON_MODES))}"
        raise BadNode(message, ("query", "modifiers", "personsOnEventsMode"))
    return cast("PersonMode", mode)


def answered(
    query: ast.Query,
    node: Mapping[str, Json],
    context: QueryContext,
    *,
    shown: ast.Query | None = None,
    more_rows: int = 1,
) -> Answered:
    """Run a statement, which may give `more_rows` than an answer has; `shown` is what `hogql` tells where that differs.

    Raises HogQLError and EventStoreError.
    """
    compiled = compiled_for(query, node, context)
    with context.record.timed("print"):
        hogql = print_hogql(shown or query)
    try:
        found = ask(compiled, context, more_rows=more_rows)
    except QueryMistake as error:
        raise _in_the_text(error, query, node, context) from error
    types = [kind for _, kind in found.columns]
    return Answered(
        rows=local_rows(found.rows, types),
        columns=compiled.columns,
        types=types,
        hogql=hogql,
        clickhouse=clickhouse_text(compiled),
        tables=compiled.tables,
    )


def _in_the_text(
    error: QueryMistake, query: ast.Query, node: Mapping[str, Json], context: QueryContext
) -> HogQLError | EventStoreError:
    """Return a mistake that ClickHouse found as one at a place of the caller's text, where the place can be known."""
    if error.column is None:
        return error
    about = hogql_context(context.project, query, person_mode=person_mode(node))
    found = not_grouped(query, about, error.column)
    if found is not None:
        return found
    log.error("query_not_supported_by_engine", query_id=context.query_id, code=error.code)
    return QueryUnsupported(error.code)


def compiled_for(query: ast.Query, node: Mapping[str, Json], context: QueryContext) -> Compiled:
    """Look up what a statement names, and compile it."""
    with context.record.timed("context"):
        about = hogql_context(context.project, query, person_mode=person_mode(node))
    with context.record.timed("compile"):
        return compile_query(query, about)


def ask(compiled: Compiled, context: QueryContext, *, explain: bool = False, more_rows: int = 1) -> Asked:
    """Run a compiled statement as the query user, while other requests use this one's place."""
    record = context.record
    with record.timed("clickhouse"), place_left():
        found = client.ask(
            f"EXPLAIN {compiled.sql}" if explain else compiled.sql,
            compiled.parameters,
            team_id=context.team.id,
            query_id=context.query_id,
            seconds=context.seconds,
            memory_mb=settings.QUERY_MEMORY_MB,
            max_rows=context.max_rows + more_rows,
            max_bytes=settings.QUERY_MAX_RESULT_MB * _BYTES,
        )
    record.rows_read += found.rows_read
    record.bytes_read += found.bytes_read
    record.memory = max(record.memory, found.memory)
    return found


def clickhouse_text(compiled: Compiled) -> str:
    """Return ClickHouse's SQL with its parameters below."""
    return f"{compiled.sql}\n-- parameters: {dumps(compiled.parameters).decode()}"
