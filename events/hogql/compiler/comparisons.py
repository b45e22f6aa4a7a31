"""Comparisons, and what they say of NULL: a condition is 0 or 1 wherever that can be, never NULL."""

from dataclasses import replace
from typing import Any, Final

from events.hogql import ast
from events.hogql.compiler.cohorts import in_cohort
from events.hogql.compiler.constants import constant_value, list_sql, time_sql
from events.hogql.compiler.mistakes import mistake
from events.hogql.compiler.scope import Scope
from events.hogql.compiler.statement import Statement
from events.hogql.compiler.value import FALSE, TRUE, Value, condition
from events.hogql.types import BOOLEAN, FLOAT, Type

_FUNCTIONS: Final = {
    "==": "equals",
    "!=": "notEquals",
    "<": "less",
    "<=": "lessOrEquals",
    ">": "greater",
    ">=": "greaterOrEquals",
    "like": "like",
    "ilike": "ilike",
    "not like": "notLike",
    "not ilike": "notILike",
    "=~": "match",
    "!~": "match",
    "=~*": "match",
    "!~*": "match",
}
_ORDERED: Final = frozenset({"<", "<=", ">", ">="})
_PATTERNS: Final = frozenset({"like", "ilike", "not like", "not ilike", "=~", "!~", "=~*", "!~*"})
_NEGATED: Final = frozenset({"!=", "not like", "not ilike", "!~", "!~*"})
_INSENSITIVE: Final = frozenset({"=~*", "!~*"})
_NUMBERS: Final = frozenset({"Integer", "Float", "Decimal"})
_WORDS: Final = {"true": True, "false": False}


def compare(node: ast.CompareOperation, scope: Scope) -> Value:
    """Compile a comparison."""
    if node.op in ("in cohort", "not in cohort"):
        return in_cohort(node, scope)
    if node.op in ("in", "not in", "global in", "global not in"):
        return _in(node, scope)
    return compared(node.op, scope.value(node.left), scope.value(node.right), scope)


def compared(op: str, left: Value, right: Value, scope: Scope) -> Value:
    """Return `left op right`."""
    if op in ("==", "!=") and (left.is_null or right.is_null):
        return _null(op, right if left.is_null else left)
    folded = _folded(op, left, right)
    if folded is not None:
        return folded
    if op in _PATTERNS:
        left, right = _text(left), _text(right)
        pattern = f"concat('(?i)', {right.sql})" if op in _INSENSITIVE else right.sql
        sql = f"{_FUNCTIONS[op]}({left.sql}, {pattern})"
        sql = f"not({sql})" if op in ("!~", "!~*") else sql
    else:
        left, right = alike(scope.statement, left, right)
        sql = f"{_FUNCTIONS[op]}({left.sql}, {right.sql})"
    return _decided(op, sql, left, right, scope)


def _decided(op: str, sql: str, left: Value, right: Value, scope: Scope) -> Value:
    """Say what holds where a side is NULL."""
    nullable = left.type.nullable or right.type.nullable
    if not nullable:
        return condition(sql)
    if scope.on or ((left.type.timestamp or right.type.timestamp) and not (left.is_null or right.is_null)):
        return condition(sql, nullable=True)
    if op in _ORDERED:
        return condition(f"ifNull({sql}, 0)")
    negated = op in _NEGATED
    # With a side that is never NULL the other one decides: NULL is unequal to every value.
    if not (left.type.nullable and right.type.nullable):
        return condition(f"ifNull({sql}, {int(negated)})")
    if negated:
        return condition(f"ifNull({sql}, or(isNotNull({left.sql}), isNotNull({right.sql})))")
    return condition(f"ifNull({sql}, and(isNull({left.sql}), isNull({right.sql})))")


def _null(op: str, value: Value) -> Value:
    if value.is_null:
        return TRUE if op == "==" else FALSE
    return condition(f"{'isNull' if op == '==' else 'isNotNull'}({value.stored})")


def _folded(op: str, left: Value, right: Value) -> Value | None:
    """Compare two constants of one kind here."""
    if not (left.type.constant and right.type.constant) or op in _PATTERNS:
        return None
    a: Any = left.constant
    b: Any = right.constant
    numbers = isinstance(a, int | float) and isinstance(b, int | float)
    if not numbers and not (isinstance(a, str) and isinstance(b, str)):
        return None
    # ClickHouse compares texts by their bytes; so does Python for their code points.
    outcome = {"==": a == b, "!=": a != b, "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[op]
    return TRUE if outcome else FALSE


def _text(value: Value) -> Value:
    if value.type.kind in ("String", "JSON", "Unknown"):
        return value
    return Value(f"toString({value.sql})", Type("String", nullable=value.type.nullable))


def alike(statement: Statement, left: Value, right: Value) -> tuple[Value, Value]:
    """Return both sides in forms that can be compared with each other, and that an index serves."""
    if left.type.constant and not right.type.constant:
        other, changed = _adapted(statement, right, left)
        return changed, other
    if right.type.constant and not left.type.constant:
        return _adapted(statement, left, right)
    return _stored(statement, left, right), _stored(statement, right, left)


def _stored(statement: Statement, value: Value, other: Value) -> Value:
    """Take a time as it is stored if the other side is an instant; a date is the project's midnight."""
    if value.bare is not None and other.type.kind in ("DateTime", "Date"):
        return Value(value.bare, value.type)
    if value.type.kind == "Date" and other.bare is not None:
        return Value(f"toDateTime64({value.sql}, 6, {statement.timezone})", value.type)
    return value


def _adapted(statement: Statement, value: Value, given: Value) -> tuple[Value, Value]:
    """Return an expression and a constant as they can be compared."""
    constant = given.constant
    if isinstance(constant, str):
        return _with_text(statement, value, given, constant)
    if value.is_property and isinstance(constant, bool):
        return value, constant_value(statement, "true" if constant else "false")
    if value.is_property and isinstance(constant, int | float):
        return Value(f"toFloat64OrNull({value.sql})", FLOAT.or_null()), given
    return _stored(statement, value, given), _stored(statement, given, value)


def _with_text(statement: Statement, value: Value, given: Value, text: str) -> tuple[Value, Value]:
    match value.type.kind:
        case "DateTime":
            return _stored(statement, value, value), Value(time_sql(statement, text), Type("DateTime", constant=True))
        case "Date":
            return value, Value(f"toDate({given.sql})", Type("Date", constant=True))
        case "UUID":
            # A text that is no UUID is nobody's.
            return value, Value(f"toUUIDOrZero({given.sql})", Type("UUID", constant=True))
        case "Integer" | "Float" | "Decimal" | "Boolean" as kind:
            read = _WORDS.get(text.lower()) if kind == "Boolean" else _number(text)
            return (_text(value), given) if read is None else (value, constant_value(statement, read))
        case _:
            return value, given


def _number(text: str) -> float | None:
    if not text.isascii() or "_" in text:
        return None
    try:
        return int(text) if len(text) < 18 else float(text)  # noqa: PLR2004 longer ones do not fit
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return None


def between(node: ast.BetweenExpr, scope: Scope) -> Value:
    """Compile `x BETWEEN low AND high`; where anything is NULL it does not hold, nor does its opposite."""
    value = scope.value(node.expr)
    low_value, low = alike(scope.statement, value, scope.value(node.low))
    high_value, high = alike(scope.statement, value, scope.value(node.high))
    inside = f"and(greaterOrEquals({low_value.sql}, {low.sql}), lessOrEquals({high_value.sql}, {high.sql}))"
    sql = f"not({inside})" if node.negated else inside
    nullable = any(side.type.nullable for side in (low_value, low, high_value, high))
    if not nullable or scope.on or value.type.timestamp:
        return condition(sql, nullable=nullable)
    return condition(f"ifNull({sql}, 0)")


def is_distinct(node: ast.IsDistinctFrom, scope: Scope) -> Value:
    """Compile `IS [NOT] DISTINCT FROM`: a comparison for which NULL is a value."""
    left, right = _untimed(scope.value(node.left)), _untimed(scope.value(node.right))
    on, scope.on = scope.on, False
    same = compared("==", left, right, scope)
    scope.on = on
    return same if node.negated else condition(f"not({same.sql})")


def _in(node: ast.CompareOperation, scope: Scope) -> Value:
    negated = "not" in node.op
    left = scope.value(node.left)
    right = node.right
    if isinstance(right, ast.SelectQuery | ast.SelectSetQuery):
        return _is_in(left, scope.sql(right), negated=negated)
    if isinstance(right, ast.Field) and len(right.chain) == 1:
        cte = scope.cte(str(right.chain[0]))
        if cte is not None and cte.columns is not None:
            return _is_in(left, f"(SELECT {cte.columns[0].sql} FROM {cte.name})", negated=negated)  # noqa: S608
    if left.type.kind == "Tuple" and isinstance(right, ast.Tuple) and not _of_tuples(right):
        right = ast.Tuple(exprs=(right,))
    literals = _literals(right)
    if literals is not None:
        return _in_literals(left, literals, scope, negated=negated)
    if isinstance(right, ast.Tuple | ast.Array) or (isinstance(right, ast.Call) and right.name in ("tuple", "array")):
        items = right.args if isinstance(right, ast.Call) else right.exprs
        return _in_values(left, [scope.value(one) for one in items], scope, negated=negated)
    array = scope.value(right)
    if array.type.kind in ("Array", "Unknown"):
        sql = f"has({array.sql}, {left.sql})"
        return condition(f"ifNull({f'not({sql})' if negated else sql}, {int(negated)})")
    if not array.type.constant:
        raise mistake(None, "The right side of IN must be a list, an array or a query")
    return _in_values(left, [array], scope, negated=negated)


def _of_tuples(node: ast.Tuple) -> bool:
    """Tell a list of tuples from one tuple in parentheses of its own, which the parser drops."""
    return all(isinstance(one, ast.Tuple) or (isinstance(one, ast.Call) and one.name == "tuple") for one in node.exprs)


def _is_in(left: Value, right: str, *, negated: bool, in_utc: bool = False) -> Value:
    # With transform_null_in a NULL is found among NULLs, so that the outcome is never NULL. Times are looked for as
    # they are shown, unless the set is in UTC as well: the primary key has their days in UTC, and ClickHouse would look
    # there for the days of the set in the set's zone.
    sql = left.sql if left.type.kind == "DateTime" and not in_utc else left.stored
    return condition(f"{'notIn' if negated else 'in'}({sql}, {right})")


def _literals(right: ast.Expr) -> list[Any] | None:
    """Return the constants of a list, none of which is bound yet; None for anything else."""
    match right:
        case ast.Tuple(exprs=exprs) | ast.Array(exprs=exprs):
            values = [one.value for one in exprs if isinstance(one, ast.Constant)]
            if len(values) < len(exprs):
                return None
        case ast.Constant(value=list() | tuple() as listed):
            values = list(listed)
        case ast.Constant(value=value):
            values = [value]
        case _:
            return None
    plain = all(value is None or isinstance(value, str | int | float) for value in values)
    return values if plain else None


def _in_literals(left: Value, values: list[Any], scope: Scope, *, negated: bool) -> Value:
    if not values:
        return TRUE if negated else FALSE
    statement = scope.statement
    left, values, reader = _as_left(statement, left, values)
    bound = list_sql(statement, values)
    if bound is not None:
        listed = bound if reader is None else f"arrayMap(x -> {reader}, {bound})"
        return _is_in(left, listed, negated=negated, in_utc=reader is not None)
    if len({_sort(value) for value in values if value is not None}) > 1:
        return _in_values(left, [constant_value(statement, value) for value in values], scope, negated=negated)
    return _is_in(left, f"({', '.join(constant_value(statement, one).sql for one in values)},)", negated=negated)


def _sort(value: object) -> str:
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def _as_left(statement: Statement, left: Value, values: list[Any]) -> tuple[Value, list[Any], str | None]:
    """Return both sides as they can be compared, and what ClickHouse makes of each text `x` of the list."""
    present = [value for value in values if value is not None]
    sorts = {_sort(value) for value in present}
    if left.is_property and sorts == {"bool"}:
        return left, [value if value is None else str(value).lower() for value in values], None
    if left.is_property and sorts == {"number"}:
        return Value(f"toFloat64OrNull({left.sql})", FLOAT.or_null()), values, None
    if sorts != {"str"}:
        return left, values, None
    kind = left.type.kind
    if kind in _NUMBERS or kind == "Boolean":
        read = [_WORDS.get(text.lower()) if kind == "Boolean" else _number(text) for text in present]
        if None in read:
            return _text(left), values, None
        return left, [*read, *([None] if len(present) < len(values) else [])], None
    readers = {
        "DateTime": f"toTimeZone(parseDateTime64BestEffort(x, 6, {statement.timezone}), 'UTC')",
        "Date": "toDate(x)",
        "UUID": "toUUIDOrZero(x)",
    }
    return left, values, readers.get(kind)


def _untimed(value: Value) -> Value:
    """Return the value of `timestamp` as one like others: compared with NULL it is decided, whatever that costs."""
    return replace(value, type=replace(value.type, timestamp=False))


def _in_values(left: Value, members: list[Value], scope: Scope, *, negated: bool) -> Value:
    if not members:
        return TRUE if negated else FALSE
    if all(member.type.kind == "Tuple" and all(item.constant for item in member.type.items) for member in members):
        return _is_in(left, f"({', '.join(member.sql for member in members)},)", negated=negated)
    found = [compared("==", _untimed(left), _untimed(member), scope).sql for member in members]
    sql = f"or({', '.join(found)})" if len(found) > 1 else found[0]
    return Value(f"not({sql})" if negated else sql, BOOLEAN)
