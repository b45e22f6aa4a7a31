"""Builds the nodes of expressions."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final, get_args

import hogql_parser_rs
import orjson

from events.hogql import ast
from events.hogql.errors import HogQLSyntaxError
from events.hogql.parser.builder import Builder, Json, Known, known

# UInt256, the widest integer of ClickHouse, has 78 digits.
_MAX_DIGITS: Final = 80
# Such parts of a text are parsed once more, in this process: names, numbers and texts, of which no two are adjacent.
_TYPE_ARGUMENTS: Final = re.compile(r"\s*\(\s*(?:(?:\w+|'[^'\\]*')?\s*[(),]\s*)*")
_LONGEST_TYPE: Final = 200
_FOLDED_KEYS: Final = (str, int)
_COMPARISONS: Final = frozenset(get_args(ast.CompareOp.__value__))
_ARITHMETIC: Final = frozenset("+-*/%")
_INFINITE: Final = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}
_STAR: Final = re.compile(
    r"""(?:columns\s*\(|[\s(])*(?P<table>(?:(?:[\w$]+|`(?:[^`\\]|\\.|``)*`|"(?:[^"\\]|\\.|"")*")\s*\.\s*)*)\*""",
    re.DOTALL | re.IGNORECASE,
)


def _constant(_: Builder, json: Json, start: int | None, end: int | None) -> ast.Expr:
    value = json.get("value")
    if json.get("value_type") == "number" and isinstance(value, str):
        value = _number(value, start, end)
    return ast.Constant(value, start=start, end=end)


def _number(text: str, start: int | None, end: int | None) -> float:
    if text in _INFINITE:
        return _INFINITE[text]
    if len(text) > _MAX_DIGITS:
        raise HogQLSyntaxError("The number is too long.", start=start, end=end)
    return int(text, 0) if "x" in text.lower() else int(text)


def _field(_: Builder, json: Json, start: int | None, end: int | None) -> ast.Expr:
    return ast.Field(tuple(json["chain"]), start=start, end=end)


def _placeholder(b: Builder, json: Json, start: int | None, end: int | None) -> ast.Expr:
    return ast.Placeholder(b.expr(json["expr"]), start=start, end=end)


def _alias(b: Builder, json: Json, start: int | None, end: int | None) -> ast.Expr:
    return ast.Alias(json["alias"], b.expr(json["expr"]), start=start, end=end)


def _call(b: Builder, json: Json, start: int | None, end: int | None) -> ast.Expr:
    params, args = json.get("params"), b.exprs(json.get("args"))
    if json["name"].lower() == "not" and len(args) == 1:
        # `NOT (a AND b)` is a call for the parser.
        return ast.Not(args[0], start=start, end=end)
    return ast.Call(
        json["name"],
        args,
        None if params is None else b.exprs(params),
        distinct=bool(json.get("distinct")),
        filter_expr=b.counted("filter", b.maybe(json.get("filter_expr"))),
        order_by=b.orders(json.get("order_by")),
        within_group=b.orders(json.get("within_group")),
        start=start,
        end=end,
    )


def _list_of(
    kind: Callable[..., ast.Expr],
) -> Callable[[Builder, Json, int | None, int | None], ast.Expr]:
    def build_list(b: Builder, json: Json, start: int | None, end: int | None) -> ast.Expr:
        return kind(b.exprs(json.get("exprs")), start=start, end=end)

    return build_list


def _not(b: Builder, json: Json, start: int | None, end: int | None) -> ast.Expr:
    return ast.Not(b.expr(json["expr"]), start=start, end=end)


def _compare(b: Builder, json: Json, start: int | None, end: int | None) -> ast.Expr:
    _check_operator(json["op"], _COMPARISONS, start, end)
    return ast.CompareOperation(json["op"], b.expr(json["left"]), b.expr(json["right"]), start=start, end=end)


def _check_operator(operator: str, known_ones: frozenset[str], start: int | None, end: int | None) -> None:
    if operator not in known_ones:
        message = f"The operator {operator} is not supported in HogQL."
        raise HogQLSyntaxError(message, start=start, end=end)


def _between(b: Builder, json: Json, start: int | None, end: int | None) -> ast.Expr:
    expr, low, high = b.expr(json["expr"]), b.expr(json["low"]), b.expr(json["high"])
    return ast.BetweenExpr(expr, low, high, negated=bool(json.get("negated")), start=start, end=end)


def _distinct_from(b: Builder, json: Json, start: int | None, end: int | None) -> ast.Expr:
    left, right = b.expr(json["left"]), b.expr(json["right"])
    return ast.IsDistinctFrom(left, right, negated=bool(json.get("negated")), start=start, end=end)


def _arithmetic(b: Builder, json: Json, start: int | None, end: int | None) -> ast.Expr:
    _check_operator(json["op"], _ARITHMETIC, start, end)
    return ast.ArithmeticOperation(json["op"], b.expr(json["left"]), b.expr(json["right"]), start=start, end=end)


def _tuple_access(b: Builder, json: Json, start: int | None, end: int | None) -> ast.Expr:
    base, index = b.expr(json["tuple"]), json["index"]
    if folded := _folded(base, index, end):
        return folded
    return ast.TupleAccess(base, index, nullish=bool(json.get("nullish")), start=start, end=end)


def _array_access(b: Builder, json: Json, start: int | None, end: int | None) -> ast.Expr:
    base, key = b.expr(json["array"]), b.expr(json["property"])
    if isinstance(key, ast.Constant) and (folded := _folded(base, key.value, end)):
        return folded
    return ast.ArrayAccess(base, key, nullish=bool(json.get("nullish")), start=start, end=end)


def _folded(base: ast.Expr, key: object, end: int | None) -> ast.Field | None:
    """Return the field one key longer, None where the base is no field.

    `x[1]` and `x.1` on a plain name other than `properties` stay what they are: what `x` holds is known to the
    compiler only, and an array's item and a tuple's member are written differently.
    """
    if not isinstance(base, ast.Field) or isinstance(key, bool) or not isinstance(key, _FOLDED_KEYS):
        return None
    if isinstance(key, int) and (key < 0 or (len(base.chain) == 1 and base.chain[0] != "properties")):
        return None
    return ast.Field((*base.chain, key), start=base.start, end=end)


def _slice(b: Builder, json: Json, start: int | None, end: int | None) -> ast.Expr:
    array, first, last = b.expr(json["array"]), b.maybe(json.get("start_expr")), b.maybe(json.get("end_expr"))
    return ast.ArraySlice(array, first, last, start=start, end=end)


def _dict(b: Builder, json: Json, start: int | None, end: int | None) -> ast.Expr:
    return ast.Dict(tuple((b.expr(key), b.expr(value)) for key, value in json["items"]), start=start, end=end)


def _lambda(b: Builder, json: Json, start: int | None, end: int | None) -> ast.Expr:
    return ast.Lambda(tuple(json["args"]), b.expr(json["expr"]), start=start, end=end)


def _cast(b: Builder, json: Json, start: int | None, end: int | None) -> ast.Expr:
    nullish = json["node"] == "TryCast"
    return ast.TypeCast(b.expr(json["expr"]), json["type_name"], nullish=nullish, start=start, end=end)


def _called(b: Builder, json: Json, start: int | None, end: int | None) -> ast.Expr:
    """Return `x::Decimal(10, 2)`, which the parser takes for a call of `x::Decimal`; nothing else can be called."""
    cast_json = json["expr"]
    node = b.expr(cast_json) if cast_json.get("node") == "TypeCast" else None
    if isinstance(node, ast.TypeCast) and node.end is not None:
        arguments = b.text[node.end : end]
        if len(arguments) > _LONGEST_TYPE or not _TYPE_ARGUMENTS.fullmatch(arguments):
            raise HogQLSyntaxError("The type cannot be read: use CAST(.. AS ..).", start=node.end, end=end)
        other = orjson.loads(hogql_parser_rs.parse_expr_json(f"CAST(x AS {node.type_name}{arguments})"))
        if other.get("node") == "TypeCast" and other["expr"].get("chain") == ["x"]:
            return replace(node, type_name=other["type_name"], end=end)
    raise HogQLSyntaxError("Only functions can be called, by their plain names.", start=start, end=end)


def _columns(b: Builder, json: Json, start: int | None, end: int | None) -> ast.Expr:
    return ast.ColumnsExpr(
        table=_table_of_columns(b, start, end) if json.get("all_columns") else (),
        regex=json.get("regex"),
        columns=b.exprs(json.get("columns")),
        exclude=tuple(json.get("exclude") or ()),
        replace=tuple((name, b.expr(expr)) for name, expr in (json.get("replace") or {}).items()),
        start=start,
        end=end,
    )


def _table_of_columns(b: Builder, start: int | None, end: int | None) -> tuple[str, ...]:
    """Return the table before `.*`, which the parser leaves out of its tree."""
    found = None if start is None or end is None else _STAR.match(b.text, start, end)
    if found is None or len(found["table"]) > _LONGEST_TYPE:
        raise HogQLSyntaxError("The columns cannot be told here.", start=start, end=end)
    table = found["table"].strip().removesuffix(".")
    return tuple(orjson.loads(hogql_parser_rs.parse_expr_json(table))["chain"]) if table else ()


EXPRESSIONS: Final[Known] = {
    "Constant": known(_constant, "value", "value_type"),
    "Field": known(_field, "chain"),
    "Placeholder": known(_placeholder, "expr"),
    "Alias": known(_alias, "alias", "expr"),
    "Call": known(_call, "name", "args", "params", "distinct", "filter_expr", "order_by", "within_group"),
    "And": known(_list_of(ast.And), "exprs"),
    "Or": known(_list_of(ast.Or), "exprs"),
    "Not": known(_not, "expr"),
    "CompareOperation": known(_compare, "op", "left", "right"),
    "BetweenExpr": known(_between, "expr", "low", "high", "negated"),
    "IsDistinctFrom": known(_distinct_from, "left", "right", "negated"),
    "ArithmeticOperation": known(_arithmetic, "op", "left", "right"),
    "Tuple": known(_list_of(ast.Tuple), "exprs"),
    "TupleAccess": known(_tuple_access, "tuple", "index", "nullish"),
    "Array": known(_list_of(ast.Array), "exprs"),
    "ArrayAccess": known(_array_access, "array", "property", "nullish"),
    "ArraySlice": known(_slice, "array", "start_expr", "end_expr"),
    "Dict": known(_dict, "items"),
    "Lambda": known(_lambda, "args", "expr"),
    "TypeCast": known(_cast, "expr", "type_name"),
    "TryCast": known(_cast, "expr", "type_name"),
    "ExprCall": known(_called, "expr", "args"),
    "GroupingSet": known(_list_of(ast.GroupingSet), "exprs"),
    "ColumnsExpr": known(_columns, "regex", "columns", "all_columns", "exclude", "replace"),
}
