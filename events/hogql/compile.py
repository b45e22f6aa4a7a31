"""HogQL's tree to ClickHouse's SQL with bound parameters: the door to the compiler."""

from dataclasses import dataclass, replace
from typing import Any

from events.hogql import ast
from events.hogql.compiler import selects
from events.hogql.compiler.expressions import HANDLERS
from events.hogql.compiler.rows import row_value
from events.hogql.compiler.scope import Scope
from events.hogql.compiler.statement import Statement
from events.hogql.context import Context
from events.hogql.errors import HogQLResolutionError
from events.hogql.types import Type

_TOO_DEEP = "The query is nested too deeply"


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
