"""Expressions on a row of someone else's SELECT: property filters, breakdowns and path items in HogQL."""

from events.hogql import ast
from events.hogql.compiler.mistakes import mistake
from events.hogql.compiler.relations import RowRelation
from events.hogql.compiler.scope import Scope
from events.hogql.compiler.statement import Statement
from events.hogql.compiler.value import Value
from events.hogql.context import Context
from events.hogql.tables.registry import TABLES
from events.hogql.tables.source import RowFields

_REFUSED = "Aggregations and window functions cannot be used in an expression on one row"


def row_value(  # noqa: PLR0913 what the other statement knows of its row
    statement: Statement, node: ast.Expr, context: Context, *, table: str, alias: str, person_id: str | None
) -> Value:
    """Return the value of an expression that sees the columns of one table."""
    fields = RowFields(TABLES[table], context, alias=alias, person_id=person_id)
    scope = Scope(statement, refuse_aggregations=_REFUSED, refuse_aliases=True)
    scope.tables[table] = RowRelation(statement, fields, person_id)
    if isinstance(node, ast.Alias):
        node = node.expr
    if isinstance(node, ast.Field) and node.chain[-1] == "*":
        raise mistake(node, "* cannot be used here")
    return scope.value(node)
