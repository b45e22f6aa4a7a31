"""What a statement leaves open is filled in: values, variables, filters, and limits where it has none."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from difflib import get_close_matches
from typing import Any, Final

from events.hogql import ast
from events.hogql.errors import HogQLResolutionError
from events.hogql.walk import descendants, placed, replaced, replaced_below

_FILTERED: Final = frozenset({"events", "sessions", "groups"})
_NO_TABLE: Final = (
    "Cannot use 'filters' placeholder in a SELECT clause that does not select from the events, sessions, logs, traces "
    "or groups table."
)
_BOUNDS: Final[Mapping[tuple[str, ...], str]] = {
    ("filters", "dateRange", "from"): "since",
    ("filters", "dateRange", "to"): "until",
}
_TRUE: Final = ast.Constant(value=True)
_MAX_DEPTH: Final = 20
_LONGEST_NAME: Final = 200


def _no_condition(_: frozenset[str]) -> None:
    return None


@dataclass(frozen=True, slots=True)
class HogQLFilters:
    """What `{filters}` stands for.

    `condition` is asked which of the tables events, sessions and groups a SELECT reads, and returns what properties and
    test accounts ask of its rows, None for nothing; it raises for filters that these tables cannot have. `since` is
    included, `until` is not; None sets no bound.
    """

    condition: Callable[[frozenset[str]], ast.Expr | None] = _no_condition
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Limited:
    """A query that returns a bounded number of rows.

    `limit` and `offset` are those of the whole, None where they are no constants or its arms have their own.
    `defaulted` says that the limit, or that of an arm, was not asked for.
    """

    query: ast.Query
    limit: int | None
    offset: int | None
    defaulted: bool


def substitute(
    query: ast.Query,
    *,
    values: Mapping[str, Any],
    variables: Mapping[str, Mapping[str, Any]],
    filters: HogQLFilters | None,
) -> ast.Query:
    """Return the query without placeholders. Raises HogQLResolutionError for what nothing is given for.

    `values` are constants by the name of their placeholder, `variables` entries {code_name, value, isNull} by id, and
    `filters` what `{filters}` stands for, None for nothing.
    """
    if filters is not None and "filters" in values and _mentions_filters(query):
        raise HogQLResolutionError("Query contains 'filters' both as placeholder and as a query parameter.")
    return _Substitution(values, variables, filters)(query)


def _mentions_filters(query: ast.Query) -> bool:
    placeholders = (node for node in descendants(query) if isinstance(node, ast.Placeholder))
    return any(_chain(placeholder) == ("filters",) for placeholder in placeholders)


def _chain(node: ast.Placeholder) -> tuple[str, ...]:
    """Return the names of a placeholder; an expression is refused."""
    if not isinstance(node.expr, ast.Field):
        raise HogQLResolutionError("Placeholder expressions are not yet supported", start=node.start, end=node.end)
    return tuple(map(str, node.expr.chain))


class _Substitution:
    """Fills in one SELECT and what is below it; `tables` are those that it reads, `hidden` the names of CTEs."""

    def __init__(
        self,
        values: Mapping[str, Any],
        variables: Mapping[str, Mapping[str, Any]],
        filters: HogQLFilters | None,
        tables: frozenset[str] = frozenset(),
        hidden: frozenset[str] = frozenset(),
    ) -> None:
        self.values = values
        self.variables = variables
        self.filters = filters
        self.tables = tables
        self.hidden = hidden

    def __call__[T: ast.Node](self, node: T) -> T:
        return replaced(node, self._change)

    def _change(self, node: ast.Node) -> ast.Node | None:
        match node:
            case ast.SelectQuery() | ast.SelectSetQuery():
                return self._query(node)
            case ast.Placeholder():
                return self._placeholder(node)
            case ast.CompareOperation() if self._unbounded(node.left, node.right):
                return replace(_TRUE, start=node.start, end=node.end)
            case ast.BetweenExpr() if self._unbounded(node.low, node.high) and not node.negated:
                return self._between(node)
            case ast.JoinExpr(table=ast.Placeholder() as table):
                raise HogQLResolutionError("You can not use placeholders here", start=table.start, end=table.end)
        return None

    def _query(self, node: ast.Query) -> ast.Query:
        every = self.hidden | {cte.name for cte in node.ctes}
        tables = _tables(node.select_from) - every if isinstance(node, ast.SelectQuery) else frozenset()
        hidden, ctes = self.hidden, {}
        for cte in node.ctes:
            # A CTE sees those before it, and itself only where it is recursive.
            seen = hidden | {cte.name} if cte.recursive else hidden
            ctes[id(cte)] = _Substitution(self.values, self.variables, self.filters, tables, seen)(cte)
            hidden |= {cte.name}
        inside = _Substitution(self.values, self.variables, self.filters, tables, every)
        return replaced_below(node, lambda below: ctes.get(id(below)) or inside._change(below))

    def _unbounded(self, *sides: ast.Expr) -> bool:
        """Tell whether a side is a date of the filters that has no bound, at whatever depth of an expression."""
        for side in sides:
            waiting: list[ast.Node] = [side]
            while waiting:
                one = waiting.pop()
                if isinstance(one, ast.Placeholder):
                    bound = _BOUNDS.get(_chain(one))
                    if bound and self._bound(bound) is None:
                        return True
                elif isinstance(one, ast.Call):
                    waiting.extend(one.args)
                elif isinstance(one, ast.ArithmeticOperation):
                    waiting += [one.left, one.right]
                elif isinstance(one, ast.TypeCast):
                    waiting.append(one.expr)
        return False

    def _between(self, node: ast.BetweenExpr) -> ast.Expr:
        if not self._unbounded(node.low):
            return self(ast.CompareOperation(">=", node.expr, node.low, start=node.start, end=node.end))
        if not self._unbounded(node.high):
            return self(ast.CompareOperation("<=", node.expr, node.high, start=node.start, end=node.end))
        return replace(_TRUE, start=node.start, end=node.end)

    def _bound(self, name: str) -> datetime | None:
        found: datetime | None = getattr(self.filters, name) if self.filters else None
        return found

    def _placeholder(self, node: ast.Placeholder) -> ast.Expr:
        chain = _chain(node)
        name = ".".join(chain)[:_LONGEST_NAME]
        if chain[0] == "variables" and len(chain) > 1:
            return self._variable(node, ".".join(chain[1:]))
        if name in self.values:
            return self._constant(node, name, self.values[name])
        if chain == ("filters",):
            return placed(self._filters(node), node.start, node.end)
        if chain in _BOUNDS:
            if (bound := self._bound(_BOUNDS[chain])) is not None:
                return ast.Constant(bound, start=node.start, end=node.end)
            message = (
                f"The placeholder {{{name}}} has to be compared with something, such as `timestamp >= {{{name}}}`, "
                "where the filters set no date for it."
            )
        elif chain[0] == "filters":
            message = (
                f"Unsupported filters placeholder {{{name}}}. There are {{filters}}, {{filters.dateRange.from}} and "
                "{filters.dateRange.to}."
            )
        else:
            message = f"Unresolved placeholder: {{{name}}}"
        raise HogQLResolutionError(message, start=node.start, end=node.end)

    def _filters(self, node: ast.Placeholder) -> ast.Expr:
        tables = self.tables & _FILTERED
        if not tables:
            raise HogQLResolutionError(_NO_TABLE, start=node.start, end=node.end)
        if self.filters is None:
            return _TRUE
        time = ast.Field((_time_column(tables),))
        conditions: list[ast.Expr] = []
        if (condition := self.filters.condition(tables)) is not None:
            conditions.append(condition)
        if self.filters.until is not None:
            conditions.append(ast.CompareOperation("<", time, ast.Constant(self.filters.until)))
        if self.filters.since is not None:
            conditions.append(ast.CompareOperation(">=", time, ast.Constant(self.filters.since)))
        if len(conditions) <= 1:
            return conditions[0] if conditions else _TRUE
        return ast.And(tuple(conditions))

    def _variable(self, node: ast.Placeholder, code: str) -> ast.Expr:
        for entry in self.variables.values():
            if entry.get("code_name") == code:
                value = None if entry.get("isNull") else entry.get("value")
                return self._constant(node, f"variables.{code}", value)
        code = code[:_LONGEST_NAME]
        known = [entry["code_name"] for entry in self.variables.values() if isinstance(entry.get("code_name"), str)]
        close = get_close_matches(code, [name[:_LONGEST_NAME] for name in known], n=3, cutoff=0.6)
        hint = f". Did you mean: {', '.join(close)}?" if close else ""
        message = f"Variable {code} is missing from query{hint}"
        raise HogQLResolutionError(message, start=node.start, end=node.end)

    def _constant(self, node: ast.Placeholder, name: str, value: Any) -> ast.Constant:  # noqa: ANN401 - JSON
        if not _is_storable(value, _MAX_DEPTH):
            message = f"The value of {{{name}}} has characters that are not valid Unicode, or is nested too deep"
            raise HogQLResolutionError(message, start=node.start, end=node.end)
        return ast.Constant(value, start=node.start, end=node.end)


def _time_column(tables: frozenset[str]) -> str:
    if "groups" in tables:
        return "created_at"
    return "timestamp" if "events" in tables else "$start_timestamp"


def _tables(join: ast.JoinExpr | None) -> frozenset[str]:
    found = set()
    while join is not None:
        if isinstance(join.table, ast.Field) and len(join.table.chain) == 1:
            found.add(str(join.table.chain[0]))
        join = join.next_join
    return frozenset(found)


def _is_storable(value: Any, depth: int) -> bool:  # noqa: ANN401 - JSON
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return False
        return True
    if isinstance(value, Mapping):
        return _is_storable([*value, *value.values()], depth)
    if isinstance(value, Sequence):
        return depth > 0 and all(_is_storable(item, depth - 1) for item in value)
    return True


def limited(query: ast.Query, *, default: int, maximum: int) -> Limited:
    """Return the query with at most `maximum` rows, `default` where it has no LIMIT; each arm of a UNION for itself.

    The arms of INTERSECT and EXCEPT are left alone, for fewer rows of an arm may be more, and other, rows of the whole.
    """
    if isinstance(query, ast.SelectSetQuery) and query.limit is None and _is_union(query):
        arms = [limited(arm, default=default, maximum=maximum) for arm in query.queries]
        bounded = replace(query, queries=tuple(arm.query for arm in arms))
        return Limited(bounded, None, _whole(query.offset), any(arm.defaulted for arm in arms))
    offset = 0 if query.offset is None else _whole(query.offset)
    if query.limit is None:
        limit = min(default, maximum)
        return Limited(replace(query, limit=ast.Constant(limit)), limit, offset, defaulted=True)
    given = _whole(query.limit)
    if given is None:
        least = ast.Call("min2", (ast.Constant(maximum), query.limit), start=query.limit.start, end=query.limit.end)
        return Limited(replace(query, limit=least), None, offset, defaulted=False)
    limit = min(given, maximum)
    constant = ast.Constant(limit, start=query.limit.start, end=query.limit.end)
    return Limited(replace(query, limit=constant), limit, offset, defaulted=False)


def _is_union(query: ast.SelectSetQuery) -> bool:
    return all(operator.startswith("UNION") for operator in query.operators)


def _whole(node: ast.Expr | None) -> int | None:
    """Return the number of a constant LIMIT or OFFSET, None for an expression; other constants are refused."""
    if not isinstance(node, ast.Constant):
        return None
    value = node.value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < len(str(2**63)):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise HogQLResolutionError("LIMIT and OFFSET take whole numbers from 0", start=node.start, end=node.end)
    return value
