"""HogQL's tree to ClickHouse's SQL with bound parameters: the door to the compiler."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from events.hogql import ast
from events.hogql.compiler import selects
from events.hogql.compiler.expressions import HANDLERS
from events.hogql.compiler.rows import aggregate_value, row_value
from events.hogql.compiler.scope import Scope
from events.hogql.compiler.statement import Statement
from events.hogql.compiler.ungrouped import in_grouped_subquery, ungrouped
from events.hogql.context import Context
from events.hogql.errors import HogQLResolutionError, Source
from events.hogql.tables.registry import TABLES
from events.hogql.tables.source import GatheredFields
from events.hogql.types import Type
from events.hogql.walk import descendants

_TOO_DEEP = "The query is nested too deeply"
_NOT_GROUPED = "not_an_aggregate"
_NOT_GROUPED_SAID = "A column is neither in GROUP BY nor inside an aggregation."


@dataclass(frozen=True, slots=True)
class Compiled:
    """A statement for ClickHouse. `columns` are what the caller calls the columns; in the SQL they are `c1`, `c2`, ..

    `parameters` belong to the placeholders `{p1:String}` of the SQL. `tables` are HogQL's names of what is read.
    """

    sql: str
    parameters: dict[str, Any]
    columns: tuple[str, ...]
    types: tuple[Type, ...]
    tables: frozenset[str]


def compile_query(query: ast.Query, context: Context) -> Compiled:
    """Compile a query. What the caller got wrong is a HogQLResolutionError with its place in the text."""
    statement = Statement(context, HANDLERS)
    try:
        sql, columns = selects.query(query, Scope(statement))
    except RecursionError:
        raise HogQLResolutionError(_TOO_DEEP) from None
    return Compiled(
        sql=sql,
        parameters=statement.parameters,
        columns=tuple(column.name for column in columns),
        types=tuple(replace(column.type, constant=False, timestamp=False) for column in columns),
        tables=frozenset(statement.tables),
    )


def not_grouped(query: ast.Query, context: Context, column: str) -> HogQLResolutionError | None:
    """Return the error, with its place, for a column of the compiled query that ClickHouse says is not grouped.

    None where all that the column stands for is grouped by an expression with a subquery, as ClickHouse has failed to
    see; an error without a place where the column is nothing that the caller wrote.
    """
    found = ungrouped(query, context, column)
    if found is None:
        return None if in_grouped_subquery(query) else HogQLResolutionError(_NOT_GROUPED_SAID, code=_NOT_GROUPED)
    message = f"Column '{found.name}' is neither in GROUP BY nor inside an aggregation."
    error = HogQLResolutionError(message, start=found.node.start, end=found.node.end, code=_NOT_GROUPED)
    error.source = _source_of(query, found.node)
    return error


def _source_of(query: ast.Query, node: ast.Node) -> Source | None:
    """Return the text that a node of the query stands in, None for the query's own."""
    for outer in descendants(query):
        if isinstance(outer, ast.Sourced) and any(below is node for below in descendants(outer)):
            return outer.source
    return None


def compile_row_expr(  # noqa: PLR0913 what the other statement knows of its row
    expr: ast.Expr,
    context: Context,
    parameters: dict[str, Any],
    *,
    table: str = "events",
    alias: str = "e",
    person_id: str | None = None,
) -> tuple[str, Type]:
    """Compile an expression on a row of `table`, which someone else's SELECT has under `alias`.

    Values are bound in `parameters`, under names that are not in use there. `person_id` is the SQL of the person's UUID
    where that SELECT knows better than the row. Aggregations, and fields that need another table, are a
    HogQLResolutionError; subqueries in the expression are guarded like any query.
    """
    statement = Statement(context, HANDLERS, parameters)
    try:
        value = row_value(statement, expr, context, table=table, alias=alias, person_id=person_id)
    except RecursionError:
        raise HogQLResolutionError(_TOO_DEEP) from None
    return value.sql, value.type


@dataclass(frozen=True, slots=True)
class Aggregated:
    """An aggregation over rows that someone else's SELECT gives with `columns`, name to expression on the row."""

    sql: str
    type: Type
    columns: Mapping[str, str]


def compile_aggregate_expr(
    expr: ast.Expr,
    context: Context,
    parameters: dict[str, Any],
    *,
    alias: str = "e",
    person_id: str | None = None,
) -> Aggregated:
    """Compile an aggregation of events, which someone else's SELECT has under `alias`, for a SELECT around that one.

    Values are bound as `compile_row_expr` does. What is no aggregation, fields outside of aggregations, and fields that
    need another table, are a HogQLResolutionError; subqueries are guarded like any query.
    """
    statement = Statement(context, HANDLERS, parameters)
    fields = GatheredFields(TABLES["events"], context, alias=alias, person_id=person_id)
    try:
        value = aggregate_value(statement, expr, fields, person_id)
    except RecursionError:
        raise HogQLResolutionError(_TOO_DEEP) from None
    return Aggregated(value.sql, value.type, fields.columns)
