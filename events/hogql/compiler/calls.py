"""Calls of functions and aggregations, with lambdas, FILTER, DISTINCT and windows. All names are of the allow-list."""

from collections.abc import Sequence
from typing import Final

from events.hogql import ast
from events.hogql.compiler.expansions import expanded
from events.hogql.compiler.mistakes import mistake
from events.hogql.compiler.scope import Scope
from events.hogql.compiler.value import Value
from events.hogql.functions.registry import Argument, Call, Function, find, suggestions
from events.hogql.types import UNKNOWN, Type

# What reads the text itself, and has an answer of its own for texts that do not fit.
_WANT_TEXT: Final = frozenset({"toFloatOrZero", "toIntOrZero", "toFloatOrDefault"})
_LONGEST_NAME: Final = 60
# It makes several rows of one, also of one that is aggregated already.
_MANY_ROWS: Final = "arrayJoin"
# What the parser calls `CASE x WHEN a THEN b .. ELSE c END`, with x, a, b, .., c for arguments.
_CASE: Final = "_caseWithExpression"
_FEWEST_OF_CASE: Final = 3
# What is a comparison whether it is written with an operator or called: NULL is treated alike.
_COMPARISONS: Final[dict[str, ast.CompareOp]] = {
    "equals": "==",
    "notEquals": "!=",
    "less": "<",
    "lessOrEquals": "<=",
    "greater": ">",
    "greaterOrEquals": ">=",
    "like": "like",
    "ilike": "ilike",
    "notLike": "not like",
    "notILike": "not ilike",
    "in": "in",
    "notIn": "not in",
}
# They look at all rows of a partition, where ClickHouse's functions behind them look at those up to the row.
_SHIFTS: Final = frozenset({"lag", "lead"})
_ALL_ROWS: Final = "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING"


def call(node: ast.Call, scope: Scope) -> Value:
    """Compile a call."""
    if node.name.lower() == "cohort":
        raise mistake(None, "A cohort can be asked for with IN COHORT only")
    if node.name == _CASE:
        return scope.value(_cases(node))
    function = _found(node.name)
    if function.window:
        raise mistake(None, f"Function '{node.name}' needs OVER (...)")
    function.check(len(node.args), None if node.params is None else len(node.params))
    _check_clauses(node, function)
    if function.name in _COMPARISONS:
        left, right = node.args
        op = _COMPARISONS[function.name]
        return scope.value(ast.CompareOperation(op=op, left=left, right=right, start=node.start, end=node.end))
    other = expanded(function.name, node, scope)
    if other is not None:
        return scope.value(other)
    if function.name == _MANY_ROWS:
        scope.check_loose()
    if not function.aggregate:
        return _written(function, node, scope)
    _enter(function, scope)
    with scope.within(aggregate=function.name, rows=True):
        return _written(function, node, scope)


def _cases(node: ast.Call) -> ast.Expr:
    """Return CASE with an expression as CASE with conditions, so that NULL and times are compared as everywhere."""
    if len(node.args) < _FEWEST_OF_CASE:
        raise mistake(node, "CASE needs WHEN and THEN")
    case, *rest = node.args
    otherwise = rest.pop() if len(rest) % 2 else ast.Constant(value=None)
    args: list[ast.Expr] = []
    for when, then in zip(rest[::2], rest[1::2], strict=True):
        same = ast.CompareOperation(op="==", left=case, right=when, start=when.start, end=when.end)
        args += [same, then]
    return ast.Call(name="multiIf", args=(*args, otherwise), start=node.start, end=node.end)


def _enter(function: Function, scope: Scope) -> None:
    if scope.refuse_aggregations is not None:
        raise mistake(None, scope.refuse_aggregations)
    if scope.aggregate is not None:
        raise mistake(
            None, f"Aggregation '{function.name}' cannot be nested inside another aggregation '{scope.aggregate}'."
        )
    scope.aggregations += 1


def _found(name: str) -> Function:
    function = find(name)
    if function is None:
        shown = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"
        close = suggestions(name) if len(name) <= _LONGEST_NAME else []
        meant = f". Perhaps you meant '{close[0]}(...)'?" if close else ""
        raise mistake(None, f"Unsupported function call '{shown}(...)'{meant}")
    return function


def _check_clauses(node: ast.Call, function: Function) -> None:
    clauses = (
        (node.order_by, "ORDER BY inside the arguments is not supported"),
        (node.within_group, "WITHIN GROUP is not supported"),
    )
    for given, message in clauses:
        if given:
            raise mistake(None, message)
    if function.aggregate:
        return
    if node.distinct:
        raise mistake(None, f"Function '{node.name}' is no aggregation and cannot have DISTINCT")
    if node.filter_expr is not None:
        raise mistake(None, f"Function '{node.name}' is no aggregation and cannot have FILTER")


def _parameter(node: ast.Expr, scope: Scope) -> str:
    value = scope.value(node)
    if not value.type.constant:
        raise mistake(node, "What stands in the first parentheses must be constant")
    return value.sql


def _arguments(function: Function, nodes: Sequence[ast.Expr], scope: Scope) -> list[Argument]:
    values: list[Value | None] = [
        None if isinstance(node, ast.Lambda) else _argument(function, node, scope) for node in nodes
    ]
    arrays = [value.type for value in values if value is not None]
    written = [
        _lambda(node, function, place, arrays, scope) if isinstance(node, ast.Lambda) else value
        for place, (node, value) in enumerate(zip(nodes, values, strict=True))
    ]
    return [Argument(value.sql, value.type, value.constant) for value in written if value is not None]


def _argument(function: Function, node: ast.Expr, scope: Scope) -> Value:
    if not isinstance(node, ast.Field):
        return scope.value(node)
    if node.chain == ("*",):
        if function.name == "count":
            return Value("*")
        raise mistake(node, f"Function '{function.name}' cannot take *")
    with scope.within(plain=function.name in _WANT_TEXT or function.name.startswith("JSON")):
        return scope.value(node)


def _lambda(node: ast.Lambda, function: Function, place: int, arrays: Sequence[Type], scope: Scope) -> Value:
    if place not in function.higher_order:
        raise mistake(node, f"Function '{function.name}' does not take a lambda here")
    if len(set(node.args)) < len(node.args):
        raise mistake(node, "Two arguments of a lambda have the same name")
    items = _items(arrays, len(node.args))
    named = {name: Value(scope.statement.name("x"), kind) for name, kind in zip(node.args, items, strict=True)}
    with scope.with_arguments(named):
        body = scope.value(node.expr)
    listed = ", ".join(value.sql for value in named.values())
    return Value(f"({listed}) -> {body.sql}", Type("Lambda", items=(body.type,)))


def _items(arrays: Sequence[Type], count: int) -> list[Type]:
    """Return the types of a lambda's arguments: the members of the arrays that it goes over."""
    if len(arrays) == 1 and arrays[0].kind == "Map" and len(arrays[0].items) == count:
        return list(arrays[0].items)
    items = [one.items[0] if one.kind == "Array" and one.items else UNKNOWN for one in arrays[:count]]
    known = [Type(item.kind, nullable=item.nullable, items=item.items) for item in items]
    return known + [UNKNOWN] * (count - len(known))


def loose_lambda(node: ast.Lambda, scope: Scope) -> Value:
    """Refuse a lambda that is no argument."""
    del node, scope
    raise mistake(None, "A lambda can only be an argument of a function that takes one")


def _written(function: Function, node: ast.Call | ast.WindowFunction, scope: Scope) -> Value:
    filtered = node.filter_expr if isinstance(node, ast.Call) else None
    written = Call(
        name=node.name,
        arguments=tuple(_arguments(function, node.args, scope)),
        parameters=tuple(_parameter(one, scope) for one in node.params or ()),
        distinct=isinstance(node, ast.Call) and node.distinct,
        filter=None if filtered is None else scope.sql(filtered),
        context=scope.statement.context,
        bind=scope.statement.bind,
    )
    sql = function.sql(written)
    return Value(sql, _plain(function.result(written)))


def _plain(kind: Type) -> Type:
    return Type(kind.kind, nullable=kind.nullable, items=kind.items) if kind.constant or kind.timestamp else kind


def window_function(node: ast.WindowFunction, scope: Scope) -> Value:
    """Compile a call with OVER."""
    function = _found(node.name)
    if not function.windowed:
        raise mistake(None, f"Function '{node.name}' cannot be used with OVER")
    function.check(len(node.args), None if node.params is None else len(node.params))
    refused = scope.refuse_windows or scope.refuse_aggregations
    if refused is not None:
        raise mistake(None, refused)
    if scope.aggregate is not None:
        raise mistake(
            None, f"Window function '{node.name}' cannot be nested inside the aggregation '{scope.aggregate}'."
        )
    written = _written(function, node, scope)
    frame = _ALL_ROWS if function.name in _SHIFTS else None
    return Value(f"{written.sql} OVER {_over(node, scope, frame=frame)}", written.type)


def _over(node: ast.WindowFunction, scope: Scope, *, frame: str | None) -> str:
    """Return the window, with a frame where it has none itself."""
    if node.over_identifier is not None:
        known = scope.windows.get(node.over_identifier)
        if known is None:
            raise mistake(None, f"Unknown window `{node.over_identifier}`")
        name, given = known
        return name if frame is None or given.frame_method is not None else f"({name} {frame})"
    given = node.over_expr or ast.WindowExpr()
    parts = [window(given, scope), frame if given.frame_method is None else None]
    return f"({' '.join(part for part in parts if part)})"


def window(node: ast.WindowExpr, scope: Scope) -> str:
    """Return what stands between the parentheses of a window."""
    parts = []
    if node.partition_by:
        parts.append(f"PARTITION BY {', '.join(scope.value(one).stored for one in node.partition_by)}")
    if node.order_by:
        parts.append(f"ORDER BY {', '.join(_ordered(one, scope) for one in node.order_by)}")
    if node.frame_method is not None:
        start = _frame(node.frame_start or ast.WindowFrame(kind="PRECEDING"))
        end = None if node.frame_end is None else _frame(node.frame_end)
        parts.append(f"{_FRAMES[node.frame_method]} {start if end is None else f'BETWEEN {start} AND {end}'}")
    return " ".join(parts)


def _ordered(node: ast.OrderExpr, scope: Scope) -> str:
    nulls = "" if node.nulls is None else f" NULLS {node.nulls}"
    return f"{scope.value(node.expr).stored} {node.order}{nulls}"


_FRAMES: Final = {"ROWS": "ROWS", "RANGE": "RANGE"}
_ENDS: Final = {"CURRENT ROW": "CURRENT ROW", "PRECEDING": "PRECEDING", "FOLLOWING": "FOLLOWING"}


def _frame(frame: ast.WindowFrame) -> str:
    if frame.kind == "CURRENT ROW":
        return _ENDS[frame.kind]
    return f"{'UNBOUNDED' if frame.value is None else int(frame.value)} {_ENDS[frame.kind]}"
