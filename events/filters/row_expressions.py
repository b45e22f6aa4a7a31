"""HogQL expressions of a project's callers on a row of `events` or `persons`, ready to be written into statements."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from events.hogql import ast
from events.hogql.compile import Aggregated, compile_aggregate_expr, compile_query, compile_row_expr
from events.hogql.context import Context
from events.hogql.errors import HogQLResolutionError
from events.hogql.functions.registry import find
from events.hogql.types import Type
from events.hogql.walk import children

_TRUTHS: Final = frozenset({"Boolean", "Integer", "Float", "Decimal", "Unknown"})
_AGGREGATION: Final = "Aggregations and window functions cannot be used in an expression on one row"
_TOO_DEEP: Final = "The expression is nested too deeply"
_STAR: Final = "* cannot be used here"
_NUMBERS: Final = _TRUTHS
_NO_NUMBER: Final = "The aggregation must be a number, and is of the type {kind}."
_NO_TRUTH: Final = "The expression must be true or false, and is of the type {kind}."


@dataclass(frozen=True, slots=True)
class RowExpression:
    """An expression in the project where it was read: equal to another of the same text and table.

    `context` is the project as it was then. Statements that an expression is written into are the query user's.
    """

    text: str
    table: Literal["events", "persons"]
    node: ast.Expr = field(compare=False, repr=False)
    context: Context = field(compare=False, repr=False)

    def check(self, *, condition: bool) -> None:
        """Raise HogQLError for names, functions and types that are wrong, `condition` also for what is no truth."""
        try:
            kind = self._kind()
        except RecursionError:
            raise HogQLResolutionError(_TOO_DEEP) from None
        if condition:
            _check_truth(kind, self.node)

    def condition(self, parameters: dict[str, Any], *, alias: str, person_id: str) -> str:
        """Return SQL that is 1 where the expression on the event `alias` is true, else 0. Raises HogQLError."""
        sql, kind = self._compiled(parameters, alias, person_id)
        _check_truth(kind, self.node)
        return f"(ifNull({sql}, 0) != 0)"

    def word(self, parameters: dict[str, Any], *, alias: str, person_id: str) -> str:
        """Return SQL for the value, on the event `alias`, as text: empty for NULL. Raises HogQLError."""
        sql, _ = self._compiled(parameters, alias, person_id)
        return f"ifNull(toString({sql}), '')"

    def persons(self, *, most: int, after: str = "", until: str = "") -> ast.SelectQuery:
        """Return the SELECT of the ids of at most so many persons of whom it is true, whose UUIDs lie in a range.

        UUIDs are compared as texts, which is the order that Postgres has for them; an empty bound is none.
        """
        key = ast.Call(name="toString", args=(ast.Field(chain=("id",)),))
        bounds: list[ast.Expr] = []
        if after:
            bounds.append(ast.CompareOperation(op=">", left=key, right=ast.Constant(value=after)))
        if until:
            bounds.append(ast.CompareOperation(op="<=", left=key, right=ast.Constant(value=until)))
        return ast.SelectQuery(
            select=(ast.Field(chain=("id",)),),
            select_from=_PERSONS,
            where=ast.And(exprs=(*bounds, self.node)) if bounds else self.node,
            limit=ast.Constant(value=most),
        )

    def _kind(self) -> Type:
        if self.table == "persons":
            query = ast.SelectQuery(select=(self.node,), select_from=_PERSONS)
            _refuse_aggregations(self.node)
            compile_query(self.persons(most=1), self.context)
            kind, *more = compile_query(query, self.context).types
            if more:
                raise HogQLResolutionError(_STAR, start=self.node.start, end=self.node.end)
            return kind
        return self._compiled({}, "e", "e.person_id")[1]

    def _compiled(self, parameters: dict[str, Any], alias: str, person_id: str) -> tuple[str, Type]:
        return compile_row_expr(self.node, self.context, parameters, alias=alias, person_id=person_id)


@dataclass(frozen=True, slots=True)
class EventsAggregate:
    """An aggregation of events in the project where it was read: equal to another of the same text.

    Statements that it is written into are the query user's.
    """

    text: str
    node: ast.Expr = field(compare=False, repr=False)
    context: Context = field(compare=False, repr=False)

    def check(self) -> None:
        """Raise HogQLError for what is wrong, also for what is no number."""
        self.written({}, alias="e", person_id="e.person_id")

    def written(self, parameters: dict[str, Any], *, alias: str, person_id: str) -> Aggregated:
        """Return the aggregation of the events `alias`, whose SQL is a Float64 that may be NULL. Raises HogQLError."""
        found = compile_aggregate_expr(self.node, self.context, parameters, alias=alias, person_id=person_id)
        if found.type.kind not in _NUMBERS:
            raise self.no_number(found.type.kind)
        return replace(found, sql=f"toFloat64({found.sql})")

    def type_name(self, parameters: dict[str, Any], *, alias: str, person_id: str) -> Aggregated:
        """Return an aggregation whose SQL is ClickHouse's name of the type; for types that HogQL does not know."""
        found = compile_aggregate_expr(self.node, self.context, parameters, alias=alias, person_id=person_id)
        return replace(found, sql=f"toTypeName({found.sql})")

    def no_number(self, kind: str) -> HogQLResolutionError:
        """Return the error of an aggregation of a type that is no number."""
        return HogQLResolutionError(_NO_NUMBER.format(kind=kind), start=self.node.start, end=self.node.end)


_PERSONS: Final = ast.JoinExpr(table=ast.Field(chain=("persons",)))


def types_statement(expressions: Sequence[RowExpression]) -> tuple[str, dict[str, Any]]:
    """Return an EXPLAIN, with its parameters, that ClickHouse refuses where types in these conditions do not fit.

    They are on rows of one table and project, none of which it reads. Raises HogQLError.
    """
    context = expressions[0].context
    if expressions[0].table == "events":
        parameters: dict[str, Any] = {"team_id": context.team_id}
        conditions = [one.condition(parameters, alias="e", person_id="e.person_id") for one in expressions]
        rows, where = "events AS e", "e.team_id = {team_id:Int64}, 0"
    else:
        nodes = tuple(one.node for one in expressions)
        query = ast.SelectQuery(select=nodes, select_from=_PERSONS, where=ast.Constant(value=False))
        compiled = compile_query(query, context)
        # Not in HogQL's WHERE, which leaves out what stands beside a constant.
        conditions, rows, where = ["*"], f"({compiled.sql})", "0"
        parameters = compiled.parameters
    return f"EXPLAIN SELECT count() FROM {rows} WHERE and({', '.join([where, *conditions])})", parameters  # noqa: S608 values are bound


def _refuse_aggregations(node: ast.Node) -> None:
    # Subqueries have rows of their own.
    if isinstance(node, ast.SelectQuery | ast.SelectSetQuery):
        return
    function = find(node.name) if isinstance(node, ast.Call) else None
    if isinstance(node, ast.WindowFunction) or (function is not None and function.aggregate):
        raise HogQLResolutionError(_AGGREGATION, start=node.start, end=node.end)
    for child in children(node):
        _refuse_aggregations(child)


def _check_truth(kind: Type, node: ast.Expr) -> None:
    if kind.kind not in _TRUTHS:
        raise HogQLResolutionError(_NO_TRUTH.format(kind=kind.kind), start=node.start, end=node.end)
