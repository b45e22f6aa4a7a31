"""Expressions on a row of someone else's SELECT: property filters, breakdowns and path items in HogQL."""

from events.hogql import ast
from events.hogql.compiler.mistakes import mistake
from events.hogql.compiler.relations import RowRelation
from events.hogql.compiler.scope import Scope
from events.hogql.compiler.statement import Statement
from events.hogql.compiler.value import Value
from events.hogql.context import Context
from events.hogql.tables.registry import TABLES
from events.hogql.tables.source import GatheredFields, RowFields

_EVENTS = "events"
_EVENT = "e"
_REFUSED = "Aggregations and window functions cannot be used in an expression on one row"
_NO_WINDOWS = "Window functions cannot be used in an aggregation of rows"
_LOOSE = "This must stand inside of an aggregation, such as sum(...) or count()"
_NOTHING = "The expression must be an aggregation, such as sum(...) or count()"


def row_value(  # noqa: PLR0913 what the other statement knows of its row
    statement: Statement, node: ast.Expr, context: Context, *, table: str, alias: str, person_id: str | None
) -> Value:
    """Return the value of an expression that sees the columns of one table."""
    fields = RowFields(TABLES[table], context, alias=alias, person_id=person_id)
    scope = Scope(statement, refuse_aggregations=_REFUSED, refuse_aliases=True)
    return _value(scope, node, RowRelation(statement, fields, person_id))


def aggregate_value(statement: Statement, node: ast.Expr, fields: GatheredFields, person_id: str | None) -> Value:
    """Return the value of an expression that aggregates rows of one table, and says nothing else of them."""
    scope = Scope(statement, refuse_windows=_NO_WINDOWS, refuse_loose=_LOOSE, refuse_aliases=True)
    value = _value(scope, node, RowRelation(statement, fields, person_id))
    if not scope.aggregations:
        raise mistake(node, _NOTHING)
    return value


def _value(scope: Scope, node: ast.Expr, row: RowRelation) -> Value:
    name = row.fields.table.name
    scope.tables[name] = row
    if name == _EVENTS:
        # What insights of the original call an event in their own statements.
        scope.tables[_EVENT] = row
    if isinstance(node, ast.Alias):
        node = node.expr
    if isinstance(node, ast.Field) and node.chain[-1] == "*":
        raise mistake(node, "* cannot be used here")
    return scope.value(node)
