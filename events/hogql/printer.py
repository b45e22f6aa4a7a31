"""A tree as HogQL: what it prints is parsed again to the same tree."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from events.hogql import ast

_PLAIN: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*", re.ASCII)
# What the parser does not read as a name, and what would be hard to read as one.
_RESERVED: Final = re.compile(
    r"all|and|any|array|as|asc|asof|between|by|case|catch|columns|cross|desc|distinct|else|end|except|exclude|"
    r"false|final|finally|fn|from|full|fun|group|having|ilike|in|inf|infinity|inner|intersect|interval|into|is|"
    r"join|lambda|let|like|limit|materialized|nan|natural|not|null|nulls|offset|on|or|order|outer|over|"
    r"partition|prewhere|qualify|recursive|replace|sample|select|settings|semi|team_id|then|throw|true|try|"
    r"union|using|values|when|where|while|window|with|within",
    re.IGNORECASE,
)
_NO_FUNCTION: Final = re.compile(
    r"catch|columns|distinct|except|finally|fn|fun|inf|infinity|intersect|let|materialized|nan|not|null|throw|"
    r"try|while|within",
    re.IGNORECASE,
)
_ESCAPES: Final = str.maketrans(
    {"\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\a": "\\a", "\v": "\\v"}
)
# How tightly an expression holds together: an operand that holds less tightly than wanted is put in parentheses.
_ANY, _OR, _AND, _NOT, _COMPARISON, _SUM, _PRODUCT, _NUMBER, _ACCESS, _ATOM = range(10)
_LEVELS: Final[Mapping[type[ast.Node], int]] = {
    ast.Alias: _ANY,
    ast.Lambda: _ANY,
    ast.Or: _OR,
    ast.And: _AND,
    ast.Not: _NOT,
    ast.CompareOperation: _COMPARISON,
    ast.BetweenExpr: _COMPARISON,
    ast.IsDistinctFrom: _COMPARISON,
    ast.RowCondition: _ANY,
}
_COMPARE: Final[Mapping[str, str]] = {"==": "="}


def print_hogql(node: ast.Node) -> str:
    """Return the text of a statement, an expression or an item of ORDER BY."""
    if isinstance(node, ast.SelectQuery | ast.SelectSetQuery):
        return _query(node)
    return _text(node)


def print_name(name: str) -> str:
    """Return a name as it is written, in backticks where it must be."""
    if _PLAIN.fullmatch(name) and not _RESERVED.fullmatch(name):
        return name
    return f"`{name.translate(_ESCAPES).replace('`', '``')}`"


def print_string(text: str) -> str:
    """Return a text in quotes."""
    return "'" + text.translate(_ESCAPES).replace("'", "\\'") + "'"


def _level(node: ast.Node) -> int:
    if isinstance(node, ast.Sourced):
        return _level(node.expr)
    if isinstance(node, ast.ArithmeticOperation):
        return _SUM if node.op in {"+", "-"} else _PRODUCT
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return _NUMBER
    return _LEVELS.get(type(node), _ATOM)


def _operand(node: ast.Node, wanted: int) -> str:
    return f"({_text(node)})" if _level(node) < wanted else _text(node)


def _text(node: ast.Node) -> str:
    return _PRINTERS[type(node)](node)


def _list(nodes: Iterable[ast.Node]) -> str:
    return ", ".join([_text(node) for node in nodes])


def _distinct(nodes: tuple[ast.Expr, ...], *, distinct: bool) -> str:
    text = _list(nodes)
    if not distinct:
        return text
    # `DISTINCT (a) -> a` would be read as a call of `distinct`.
    first = _text(nodes[0]) if nodes else ""
    return f"DISTINCT ({first}){text[len(first) :]}" if first.startswith("(") else f"DISTINCT {text}"


def _constant(node: ast.Constant) -> str:
    return _value(node.value)


def _value(value: Any) -> str:  # noqa: ANN401 - whatever a caller may send as a value
    match value:
        case None | bool():
            return "NULL" if value is None else str(value).lower()
        case str():
            return print_string(value)
        case float() if not math.isfinite(value):
            return str(value)
        case int() | float():
            return repr(value)
        case list() | tuple() | dict():
            return _values(value)
    for kind, function in ((datetime, "toDateTime"), (date, "toDate"), (UUID, "toUUID")):
        if isinstance(value, kind):
            return f"{function}({print_string(str(value))})"
    message = f"no HogQL for {type(value).__name__}"
    raise TypeError(message)


def _values(value: list[Any] | tuple[Any, ...] | dict[str, Any]) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join([f"{_value(key)}: {_value(item)}" for key, item in value.items()]) + "}"
    return f"[{', '.join([_value(item) for item in value])}]"


def _field(node: ast.Field) -> str:
    *before, last = node.chain
    names = [_key(name) for name in before]
    return ".".join([*names, "*" if last == "*" else _key(last)])


def _key(name: str | int) -> str:
    return str(name) if isinstance(name, int) else print_name(name)


def _call(node: ast.Call) -> str:
    order_by = f" ORDER BY {_list(node.order_by)}" if node.order_by else ""
    text = f"{_function(node)}({_distinct(node.args, distinct=node.distinct)}{order_by})"
    if node.within_group:
        text += f" WITHIN GROUP (ORDER BY {_list(node.within_group)})"
    return f"{text} FILTER (WHERE {_text(node.filter_expr)})" if node.filter_expr else text


def _function(node: ast.Call | ast.WindowFunction) -> str:
    plain = _PLAIN.fullmatch(node.name) and not _NO_FUNCTION.fullmatch(node.name)
    name = node.name if plain else print_name(node.name)
    return name if node.params is None else f"{name}({_list(node.params)})"


def _window_function(node: ast.WindowFunction) -> str:
    over = f"({_window(node.over_expr)})" if node.over_expr else print_name(node.over_identifier or "")
    return f"{_function(node)}({_list(node.args)}) OVER {over}"


def _window(node: ast.WindowExpr) -> str:
    parts = []
    if node.partition_by:
        parts.append(f"PARTITION BY {_list(node.partition_by)}")
    if node.order_by:
        parts.append(f"ORDER BY {_list(node.order_by)}")
    if node.frame_method and node.frame_start:
        frame = _frame(node.frame_start)
        frame = f"BETWEEN {frame} AND {_frame(node.frame_end)}" if node.frame_end else frame
        parts.append(f"{node.frame_method} {frame}")
    return " ".join(parts)


def _frame(node: ast.WindowFrame) -> str:
    if node.kind == "CURRENT ROW":
        return node.kind
    return f"{'UNBOUNDED' if node.value is None else node.value} {node.kind}"


def _not(node: ast.Not) -> str:
    operand = _operand(node.expr, _NOT)
    # `NOT (a) * b` would be a call of `not`, `NOT * b` a product, and `NOT and(a)` a condition with a field `NOT`.
    if _level(node.expr) >= _NOT and operand.startswith(("(", "*", "and(", "or(")):
        operand = f"({operand})"
    return f"NOT {operand}"


def _compare(node: ast.CompareOperation) -> str:
    left = _operand(node.left, _SUM)
    if node.op in {"==", "!="} and isinstance(node.right, ast.Constant) and node.right.value is None:
        return f"{left} IS {'NOT ' if node.op == '!=' else ''}NULL"
    return f"{left} {_COMPARE.get(node.op, node.op.upper())} {_operand(node.right, _SUM)}"


def _between(node: ast.BetweenExpr) -> str:
    negated = "NOT " if node.negated else ""
    return f"{_operand(node.expr, _SUM)} {negated}BETWEEN {_operand(node.low, _SUM)} AND {_operand(node.high, _SUM)}"


def _distinct_from(node: ast.IsDistinctFrom) -> str:
    negated = "NOT " if node.negated else ""
    return f"{_operand(node.left, _SUM)} IS {negated}DISTINCT FROM {_operand(node.right, _SUM)}"


def _arithmetic(node: ast.ArithmeticOperation) -> str:
    level = _level(node)
    return f"{_operand(node.left, level)} {node.op} {_operand(node.right, level + 1)}"


def _array_access(node: ast.ArrayAccess) -> str:
    return f"{_operand(node.array, _ACCESS)}{'?.' if node.nullish else ''}[{_text(node.property)}]"


def _tuple_access(node: ast.TupleAccess) -> str:
    return f"{_operand(node.tuple, _ACCESS)}{'?.' if node.nullish else '.'}{node.index}"


def _slice(node: ast.ArraySlice) -> str:
    first, last = ("" if end is None else _text(end) for end in (node.slice_start, node.slice_end))
    return f"{_operand(node.array, _ACCESS)}[{first}:{last}]"


def _dict(node: ast.Dict) -> str:
    return "{" + ", ".join([f"{_text(key)}: {_text(value)}" for key, value in node.items]) + "}"


def _lambda(node: ast.Lambda) -> str:
    return f"({', '.join(map(print_name, node.args))}) -> {_operand(node.expr, _OR)}"


def _columns(node: ast.ColumnsExpr) -> str:
    if node.regex is not None:
        return f"COLUMNS({print_string(node.regex)})"
    if node.columns:
        return f"COLUMNS({_list(node.columns)})"
    text = ".".join([*map(print_name, node.table), "*"])
    if node.exclude:
        text += f" EXCLUDE ({', '.join(map(print_name, node.exclude))})"
    if not node.replace:
        return text
    replaced = ", ".join([f"{_text(expr)} AS {print_name(name)}" for name, expr in node.replace])
    return f"COLUMNS({text} REPLACE ({replaced}))"


def _order(node: ast.OrderExpr) -> str:
    nulls = f" NULLS {node.nulls}" if node.nulls else ""
    return f"{_operand(node.expr, _OR)}{' DESC' if node.order == 'DESC' else ''}{nulls}"


def _tuple(node: ast.Tuple) -> str:
    return f"({_list(node.exprs)},)" if len(node.exprs) == 1 else f"({_list(node.exprs)})"


def _cast(node: ast.TypeCast) -> str:
    return f"{'TRY_' if node.nullish else ''}CAST({_text(node.expr)} AS {node.type_name})"


def _query(node: ast.Query) -> str:
    text = _ctes(node.ctes) + (_select(node) if isinstance(node, ast.SelectQuery) else _set(node))
    if isinstance(node, ast.SelectQuery) and node.window_exprs:
        windows = [f"{print_name(name)} AS ({_window(window)})" for name, window in node.window_exprs]
        text += f" WINDOW {', '.join(windows)}"
    if node.order_by:
        text += f" ORDER BY {_list(node.order_by)}"
    if isinstance(node, ast.SelectQuery) and node.limit_by:
        by = node.limit_by
        offset = f" OFFSET {_operand(by.offset, _SUM)}" if by.offset else ""
        text += f" LIMIT {_operand(by.n, _SUM)}{offset} BY {_list(by.exprs)}"
    if node.limit:
        text += f" LIMIT {_operand(node.limit, _SUM)}{' WITH TIES' if node.limit_with_ties else ''}"
    return f"{text} OFFSET {_operand(node.offset, _SUM)}" if node.offset else text


def _ctes(ctes: tuple[ast.CTE, ...]) -> str:
    if not ctes:
        return ""
    recursive = "RECURSIVE " if any(cte.recursive for cte in ctes) else ""
    return f"WITH {recursive}{', '.join([_cte(cte) for cte in ctes])} "


def _cte(node: ast.CTE) -> str:
    if node.cte_type == "column":
        return f"{_operand(node.expr, _OR)} AS {print_name(node.name)}"
    columns = f"({', '.join(map(print_name, node.columns))})" if node.columns else ""
    return f"{print_name(node.name)}{columns} AS {_text(node.expr)}"


def _select(node: ast.SelectQuery) -> str:
    parts = [f"SELECT {_distinct(node.select, distinct=node.distinct)}"]
    if node.select_from:
        parts.append(f"FROM {_join(node.select_from)}")
    if node.array_join_op:
        parts.append(f"{node.array_join_op} {_list(node.array_join_list)}")
    for word, condition in (("PREWHERE", node.prewhere), ("WHERE", node.where)):
        if condition:
            parts.append(f"{word} {_text(condition)}")
    if node.group_by or node.group_by_mode:
        parts.append(f"GROUP BY {_groups(node)}")
    for word, condition in (("HAVING", node.having), ("QUALIFY", node.qualify)):
        if condition:
            parts.append(f"{word} {_text(condition)}")
    return " ".join(parts)


def _groups(node: ast.SelectQuery) -> str:
    totals = " WITH TOTALS" if node.with_totals else ""
    match node.group_by_mode:
        case "all":
            return "ALL"
        case "rollup" | "cube" as mode:
            return f"{mode.upper()}({_list(node.group_by)}){totals}"
        case "grouping_sets":
            return f"GROUPING SETS ({_list(node.group_by)}){totals}"
    return f"{_list(node.group_by)}{totals}"


def _set(node: ast.SelectSetQuery) -> str:
    ends = bool(node.order_by or node.limit or node.offset)
    arms = [_arm(query, nested=ends) for query in node.queries]
    return arms[0] + "".join(f" {operator} {arm}" for operator, arm in zip(node.operators, arms[1:], strict=True))


def _arm(query: ast.Query, *, nested: bool) -> str:
    own = isinstance(query, ast.SelectSetQuery) or query.limit_by or query.ctes
    nested = bool(nested or own or query.order_by or query.limit or query.offset)
    return f"({_query(query)})" if nested else _query(query)


def _join(node: ast.JoinExpr) -> str:
    parts = [_text(node.table)] if node.table else []
    if node.table_args is not None:
        parts[-1] += f"({_list(node.table_args)})"
    if node.alias is not None:
        columns = f" ({', '.join(map(print_name, node.column_aliases))})" if node.column_aliases else ""
        parts.append(f"AS {print_name(node.alias)}{columns}")
    if node.table_final:
        parts.append("FINAL")
    if node.sample:
        offset = "" if node.sample.offset is None else f" OFFSET {node.sample.offset!r}"
        parts.append(f"SAMPLE {node.sample.share!r}{offset}")
    if node.constraint:
        expr = node.constraint.expr
        using = f"USING ({_list(expr.exprs)})" if isinstance(expr, ast.Tuple) else f"USING {_text(expr)}"
        parts.append(using if node.constraint.constraint_type == "USING" else f"ON {_text(expr)}")
    if node.next_join:
        parts.append(f"{node.next_join.join_type or 'JOIN'} {_join(node.next_join)}")
    return " ".join(parts)


def _subquery(node: ast.Query) -> str:
    return f"({_query(node)})"


_PRINTERS: Final[Mapping[type[ast.Node], Callable[[Any], str]]] = {
    ast.Constant: _constant,
    ast.Field: _field,
    ast.Placeholder: lambda node: "{" + _text(node.expr) + "}",
    ast.RowCondition: lambda node: node.text,
    ast.Sourced: lambda node: _text(node.expr),
    ast.Alias: lambda node: f"{_operand(node.expr, _OR)} AS {print_name(node.alias)}",
    ast.OrderExpr: _order,
    ast.Call: _call,
    ast.And: lambda node: " AND ".join([_operand(expr, _NOT) for expr in node.exprs]),
    ast.Or: lambda node: " OR ".join([_operand(expr, _AND) for expr in node.exprs]),
    ast.Not: _not,
    ast.CompareOperation: _compare,
    ast.BetweenExpr: _between,
    ast.IsDistinctFrom: _distinct_from,
    ast.ArithmeticOperation: _arithmetic,
    ast.Tuple: _tuple,
    ast.TupleAccess: _tuple_access,
    ast.Array: lambda node: f"[{_list(node.exprs)}]",
    ast.ArrayAccess: _array_access,
    ast.ArraySlice: _slice,
    ast.Dict: _dict,
    ast.Lambda: _lambda,
    ast.TypeCast: _cast,
    ast.WindowExpr: _window,
    ast.WindowFunction: _window_function,
    ast.GroupingSet: lambda node: f"({_list(node.exprs)})",
    ast.ColumnsExpr: _columns,
    ast.SelectQuery: _subquery,
    ast.SelectSetQuery: _subquery,
}
