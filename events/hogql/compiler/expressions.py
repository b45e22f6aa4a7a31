"""Expressions: one function for each kind of node."""

from collections.abc import Mapping, Sequence
from typing import Final

from events.hogql import ast
from events.hogql.compiler import calls, casts, comparisons, constants, selects
from events.hogql.compiler.mistakes import mistake
from events.hogql.compiler.properties import below
from events.hogql.compiler.relations import RowRelation, TableRelation
from events.hogql.compiler.scope import Alias, Scope, check_alias
from events.hogql.compiler.statement import Handler
from events.hogql.compiler.value import FALSE, TRUE, Value, condition
from events.hogql.errors import HogQLResolutionError
from events.hogql.types import STRING, UNKNOWN, Type

_ARITHMETIC: Final = {"+": "plus", "-": "minus", "*": "multiply", "/": "divide", "%": "modulo"}
_NUMBERS: Final = ("Boolean", "Integer", "Decimal", "Float")
_TIMES: Final = ("Date", "DateTime")


def _field(node: ast.Field, scope: Scope) -> Value:
    if node.chain[-1] == "*":
        raise mistake(None, "* can only be used in the columns of a SELECT and in count(*)")
    return scope.statement.refers(node, scope.resolve(node))


def _alias(node: ast.Alias, scope: Scope) -> Value:
    """Name an expression inside of another one."""
    check_alias(node.alias)
    if scope.refuse_aliases:
        raise mistake(None, "An alias cannot be given here")
    if scope.arguments:
        raise mistake(None, "An alias cannot be given inside of a lambda")
    known = scope.aliases.get(node.alias)
    if known is not None:
        if known.node != node.expr:
            raise mistake(None, f"Cannot redefine an alias with the name: {node.alias}")
        scope.define(known)
        return scope.of_alias(known)
    alias = scope.aliases[node.alias] = Alias(node.expr, scope.statement.name("c"))
    scope.define(alias)
    value = scope.of_alias(alias)
    return value if value.bare else Value(f"({alias.sql} AS {alias.name})", value.type)


def _all_of(node: ast.And, scope: Scope) -> Value:
    return _joined(node.exprs, scope, neutral=TRUE, decisive=FALSE, function="and")


def _any_of(node: ast.Or, scope: Scope) -> Value:
    return _joined(node.exprs, scope, neutral=FALSE, decisive=TRUE, function="or")


def _joined(exprs: Sequence[ast.Expr], scope: Scope, *, neutral: Value, decisive: Value, function: str) -> Value:
    values = [scope.value(one) for one in exprs]
    if any(_same_truth(value, decisive) for value in values):
        return decisive
    left = [value for value in values if not _same_truth(value, neutral)]
    if not left:
        return neutral
    if len(left) == 1:
        return left[0]
    sql = f"{function}({', '.join(value.sql for value in left)})"
    return condition(sql, nullable=any(value.type.nullable for value in left))


def _same_truth(value: Value, truth: Value) -> bool:
    return isinstance(value.constant, bool | int) and value.type.constant and value.constant == truth.constant


def _not(node: ast.Not, scope: Scope) -> Value:
    value = scope.value(node.expr)
    return condition(f"not({value.sql})", nullable=value.type.nullable)


def _arithmetic(node: ast.ArithmeticOperation, scope: Scope) -> Value:
    # Chains such as a + b + c + .. lean to the left, as deep as they are long.
    chain = [node]
    while isinstance(chain[-1].left, ast.ArithmeticOperation):
        chain.append(chain[-1].left)
    value = scope.value(chain[-1].left)
    for operation in reversed(chain):
        right = scope.value(operation.right)
        sql = f"{_ARITHMETIC[operation.op]}({value.sql}, {right.sql})"
        value = Value(sql, _of_arithmetic(operation.op, value.type, right.type))
    return value


def _of_arithmetic(op: str, left: Type, right: Type) -> Type:
    nullable = left.nullable or right.nullable
    if left.kind in _NUMBERS and right.kind in _NUMBERS:
        if op == "/":
            return Type("Float", nullable=nullable)
        kind = max(left.kind, right.kind, key=_NUMBERS.index)
        return Type("Integer" if kind == "Boolean" else kind, nullable=nullable)
    times = [side for side in (left, right) if side.kind in _TIMES]
    if len(times) == 1 and op in "+-":
        other = right if left is times[0] else left
        if other.kind in ("Interval", "Integer"):
            exact = times[0].kind == "DateTime"
            # A date and hours make a time: which interval it is, is not known here.
            return Type("DateTime", nullable=nullable) if exact else Type("Unknown", nullable=nullable)
    if len(times) == 2 and op == "-":  # noqa: PLR2004 both sides
        return Type("Unknown", nullable=nullable)
    return UNKNOWN


def _tuple(node: ast.Tuple, scope: Scope) -> Value:
    values = [scope.value(one) for one in node.exprs]
    return Value(
        f"tuple({', '.join(value.sql for value in values)})", Type("Tuple", items=tuple(value.type for value in values))
    )


def _array(node: ast.Array, scope: Scope) -> Value:
    texts = [one.value for one in node.exprs if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    if texts and len(texts) == len(node.exprs):
        return Value(scope.statement.array(texts, "String"), Type("Array", items=(STRING,)))
    return constants.array_value([scope.value(one) for one in node.exprs])


def _dict(node: ast.Dict, scope: Scope) -> Value:
    values = [(scope.value(key), scope.value(value)) for key, value in node.items]
    items = (values[0][0].type, values[0][1].type) if values else ()
    kinds = tuple(Type(item.kind, nullable=item.nullable, items=item.items) for item in items)
    return Value(f"map({', '.join(one.sql for pair in values for one in pair)})", Type("Map", items=kinds))


def _tuple_access(node: ast.TupleAccess, scope: Scope) -> Value:
    value = scope.value(node.tuple)
    if value.type.kind == "Unknown":
        return Value(f"tupleElement({value.sql}, {int(node.index)})")
    return below(scope.statement, value, (node.index,), typed=not scope.plain)


def _array_access(node: ast.ArrayAccess, scope: Scope) -> Value:
    value = scope.value(node.array)
    key = node.property
    if isinstance(key, ast.Constant) and isinstance(key.value, str | int) and not isinstance(key.value, bool):
        if value.type.kind != "Unknown":
            return below(scope.statement, value, (key.value,), typed=not scope.plain)
        return Value(f"arrayElement({value.sql}, {scope.sql(key)})")
    index = scope.value(key)
    if value.type.kind == "JSON":
        found = f"JSONExtract({value.sql}, {index.sql}, 'Nullable(String)')"
        return Value(found, Type("String", nullable=True), is_property=True)
    items = value.type.items
    found_type = UNKNOWN if value.type.kind not in ("Array", "Map") or not items else items[-1]
    return Value(f"arrayElement({value.sql}, {index.sql})", found_type)


def _slice(node: ast.ArraySlice, scope: Scope) -> Value:
    value = scope.value(node.array)
    start = "1" if node.slice_start is None else scope.sql(node.slice_start)
    if node.slice_end is None:
        return Value(f"arraySlice({value.sql}, {start})", value.type)
    # Both ends belong to it; a negative end counts from the array's own.
    end = scope.sql(node.slice_end)
    length = f"plus(minus(if(less({end}, 0), plus(length({value.sql}), plus({end}, 1)), {end}), {start}), 1)"
    if node.slice_start is not None and not _positive(node.slice_start):
        length = (
            f"plus(minus(if(less({end}, 0), plus(length({value.sql}), plus({end}, 1)), {end}),"
            f" if(less({start}, 0), plus(length({value.sql}), plus({start}, 1)), {start})), 1)"
        )
    return Value(f"arraySlice({value.sql}, {start}, greatest({length}, 0))", value.type)


def _positive(node: ast.Expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int) and node.value > 0


def _sourced(node: ast.Sourced, scope: Scope) -> Value:
    try:
        return scope.value(node.expr)
    except HogQLResolutionError as error:
        error.source = error.source or node.source
        raise


def _row_condition(node: ast.RowCondition, scope: Scope) -> Value:
    scope.statement.count(node, node.weight - 1)
    for table in scope.tables.values():
        if isinstance(table, TableRelation) and table.table == node.table:
            return condition(table.condition(node))
        if isinstance(table, RowRelation) and table.table == node.table:
            return condition(f"({table.condition(node)})")
    raise mistake(None, f"These filters can only be used in a SELECT from the table `{node.table}`")


def _placeholder(node: ast.Placeholder, scope: Scope) -> Value:
    del node, scope
    raise mistake(None, "You can not use placeholders here")


def _columns(node: ast.ColumnsExpr, scope: Scope) -> Value:
    del node, scope
    raise mistake(None, "* and COLUMNS can only be used in the columns of a SELECT")


HANDLERS: Final[Mapping[type[ast.Expr], Handler]] = {
    ast.Constant: constants.constant,
    ast.Field: _field,
    ast.Alias: _alias,
    ast.And: _all_of,
    ast.Or: _any_of,
    ast.Not: _not,
    ast.CompareOperation: comparisons.compare,
    ast.BetweenExpr: comparisons.between,
    ast.IsDistinctFrom: comparisons.is_distinct,
    ast.ArithmeticOperation: _arithmetic,
    ast.Call: calls.call,
    ast.WindowFunction: calls.window_function,
    ast.Lambda: calls.loose_lambda,
    ast.TypeCast: casts.cast,
    ast.Tuple: _tuple,
    ast.TupleAccess: _tuple_access,
    ast.Array: _array,
    ast.ArrayAccess: _array_access,
    ast.ArraySlice: _slice,
    ast.Dict: _dict,
    ast.Sourced: _sourced,
    ast.RowCondition: _row_condition,
    ast.Placeholder: _placeholder,
    ast.ColumnsExpr: _columns,
    ast.SelectQuery: selects.subquery,
    ast.SelectSetQuery: selects.subquery,
}
