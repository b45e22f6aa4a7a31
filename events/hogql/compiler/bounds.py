"""Which stretch of time a WHERE leaves: sessions are made of many events, most of which need not be read then."""

from collections.abc import Iterator
from typing import Final

from events.hogql import ast
from events.hogql.compiler.constants import time_sql
from events.hogql.compiler.relations import Relation, TableRelation
from events.hogql.compiler.scope import Scope
from events.hogql.compiler.value import Value
from events.hogql.walk import descendants

_TIMES: Final = {"events": "timestamp", "sessions": "$start_timestamp", "raw_sessions": "$start_timestamp"}
_OPPOSITE: Final[dict[str, ast.CompareOp]] = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "=="}
_UNKNOWN: Final = (ast.Field, ast.SelectQuery, ast.SelectSetQuery, ast.Lambda, ast.WindowFunction, ast.Alias)
# A join of these kinds may fill the first table up with empty rows, of which a WHERE holds all the same.
_FILLING: Final = ("RIGHT", "FULL")


def bound_sources(where: ast.Expr, scope: Scope, kinds: list[str]) -> None:
    """Tell the first table of a SELECT from when to when its rows can count; `kinds` are the words of the joins."""
    first = next(iter(scope.tables.values()), None)
    if not isinstance(first, TableRelation) or any(kind.startswith(_FILLING) for kind in kinds):
        return
    name = _TIMES.get(first.source.table.name)
    if name is None:
        return
    for op, field, other in _comparisons(where):
        if field.chain[-1] != name or any(isinstance(node, _UNKNOWN) for node in descendants(other)):
            continue
        if scope.value(field).bare != _column(first, name):
            continue
        sql = _instant(scope.value(other), scope)
        if sql is None:
            continue
        if op in (">", ">=", "=="):
            first.source.bounded(since=sql)
        if op in ("<", "<=", "=="):
            first.source.bounded(until=sql)


def _column(relation: Relation, name: str) -> str | None:
    value = relation.column((name,), typed=True)
    return None if value is None else value.bare


def _comparisons(node: ast.Expr) -> Iterator[tuple[str, ast.Field, ast.Expr]]:
    """Yield the comparisons of fields that hold whenever the whole condition does."""
    match node:
        case ast.Sourced(expr=expr):
            yield from _comparisons(expr)
        case ast.And(exprs=exprs) | ast.Call(name="and", args=exprs):
            for one in exprs:
                yield from _comparisons(one)
        case ast.CompareOperation(op=op, left=ast.Field() as field, right=other) if op in _OPPOSITE:
            yield op, field, other
        case ast.CompareOperation(op=op, left=other, right=ast.Field() as field) if op in _OPPOSITE:
            yield _OPPOSITE[op], field, other
        case ast.BetweenExpr(expr=ast.Field() as field, low=low, high=high, negated=False):
            yield ">=", field, low
            yield "<=", field, high


def _instant(value: Value, scope: Scope) -> str | None:
    if isinstance(value.constant, str):
        return time_sql(scope.statement, value.constant)
    if value.type.kind == "Date":
        return f"toDateTime64({value.sql}, 6, {scope.statement.timezone})"
    return value.sql if value.type.kind == "DateTime" and not value.type.nullable else None
