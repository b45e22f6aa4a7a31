"""Which expressions aggregate: their own aggregations, not those of queries inside them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from events.hogql import ast
from events.hogql.functions.registry import find
from events.hogql.walk import children


@dataclass(frozen=True, slots=True)
class Conditions:
    """Conditions on rows before they are grouped, and on groups."""

    where: tuple[ast.Expr, ...]
    having: tuple[ast.Expr, ...]


def aggregates(expr: ast.Node) -> bool:
    """Tell whether an expression is or has an aggregation. One OVER a window is none: it groups no rows."""
    waiting: list[ast.Node] = [expr]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.SelectQuery | ast.SelectSetQuery):
            continue
        if isinstance(node, ast.Call) and (found := find(node.name)) is not None and found.aggregate:
            return True
        waiting.extend(children(node))
    return False


def conditions_split(conditions: Iterable[ast.Expr]) -> Conditions:
    """Return conditions by whether they aggregate, in their order."""
    listed = [(one, aggregates(one)) for one in conditions]
    return Conditions(
        where=tuple(one for one, grouped in listed if not grouped),
        having=tuple(one for one, grouped in listed if grouped),
    )


def conjunction(conditions: Sequence[ast.Expr]) -> ast.Expr | None:
    """Return the condition that all of these hold, None for none."""
    if len(conditions) > 1:
        return ast.And(exprs=tuple(conditions))
    return conditions[0] if conditions else None


def bare(expr: ast.Expr) -> ast.Expr:
    """Return an expression without its alias."""
    while isinstance(expr, ast.Alias):
        expr = expr.expr
    return expr
