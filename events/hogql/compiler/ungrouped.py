"""Which field of a statement ClickHouse means when it says that a column is neither grouped nor aggregated.

Only ClickHouse knows what it accepts: it drops constants, branches that are never taken and CTEs that nobody reads
before it looks at what is grouped. So nothing is refused here; its own complaint is brought back to the text.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from events.hogql import ast
from events.hogql.compiler import selects
from events.hogql.compiler.expressions import HANDLERS
from events.hogql.compiler.scope import Scope
from events.hogql.compiler.statement import Statement
from events.hogql.context import Context
from events.hogql.functions.registry import find
from events.hogql.printer import print_hogql
from events.hogql.walk import children, descendants

_LONGEST: Final = 200
_COLUMN: Final = re.compile(r"\b[at]\d+(?:\.[\w$]+)?")


@dataclass(frozen=True, slots=True)
class Ungrouped:
    """A field as the caller wrote it, or the column of a `*`; `node` has its place."""

    name: str
    node: ast.Expr


def ungrouped(query: ast.Query, context: Context, column: str) -> Ungrouped | None:
    """Return the field that stands for a column of the compiled query, where it must be grouped.

    None where all such fields are within expressions that are grouped, and where the caller wrote no such field.
    """
    statement = Statement(context, HANDLERS, references=[])
    selects.query(query, Scope(statement))
    known = [one for one in statement.references or () if column in _COLUMN.findall(one.sql.replace("`", ""))]
    for field in _loose(query):
        for one in known:
            if one.node is field:
                return Ungrouped((one.name or print_hogql(field))[:_LONGEST], field)
    return None


def in_grouped_subquery(query: ast.Query) -> bool:
    """Tell whether something is grouped by an expression with a subquery.

    ClickHouse compares what is selected with what is grouped by names that it makes itself, and a subquery with ARRAY
    JOIN or recursion gets another one each time.
    """
    return any(
        isinstance(below, ast.SelectQuery | ast.SelectSetQuery)
        for node in descendants(query)
        if isinstance(node, ast.SelectQuery)
        for key in _keys(node)
        for below in descendants(key)
    )


def _loose(query: ast.Query) -> Iterator[ast.Expr]:
    """Yield the fields that must be grouped, in the order of the text."""
    for node in descendants(query):
        if isinstance(node, ast.SelectQuery):
            keys = _keys(node)
            for part in _after_grouping(node):
                yield from _fields(part, keys)


def _after_grouping(node: ast.SelectQuery) -> Iterator[ast.Node]:
    yield from node.select
    yield from (part for part in (node.having, node.qualify) if part is not None)
    yield from (window for _, window in node.window_exprs)
    yield from node.order_by
    if node.limit_by is not None:
        yield from node.limit_by.exprs


def _fields(node: ast.Node, keys: Sequence[ast.Expr]) -> Iterator[ast.Expr]:
    if isinstance(node, ast.SelectQuery | ast.SelectSetQuery) or node in keys:
        return
    function = find(node.name) if isinstance(node, ast.Call) else None
    if function is not None and function.aggregate:
        return
    if isinstance(node, ast.Field | ast.ColumnsExpr):
        yield node
    for child in children(node):
        yield from _fields(child, keys)


def _keys(node: ast.SelectQuery) -> list[ast.Expr]:
    """Return what is grouped by, also as aliases and places of columns define it."""
    found: list[ast.Expr] = []
    aliases = {item.alias: item.expr for item in node.select if isinstance(item, ast.Alias)}
    for key in node.group_by:
        for one in key.exprs if isinstance(key, ast.GroupingSet | ast.Tuple) else (key,):
            found.append(one)
            if isinstance(one, ast.Field) and len(one.chain) == 1 and one.chain[0] in aliases:
                found.append(aliases[str(one.chain[0])])
            if isinstance(one, ast.Constant) and isinstance(one.value, int) and 1 <= one.value <= len(node.select):
                item = node.select[one.value - 1]
                found.append(item.expr if isinstance(item, ast.Alias) else item)
    return found
