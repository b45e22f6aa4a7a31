"""Constants: texts, dates and UUIDs are bound; numbers, truth and NULL are written by us."""

import math
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from events.hogql import ast, types
from events.hogql.compiler.mistakes import mistake
from events.hogql.compiler.properties import constant_type
from events.hogql.compiler.scope import Scope
from events.hogql.compiler.statement import Statement
from events.hogql.compiler.value import NULL_TYPE, Value
from events.hogql.types import Type

_LARGEST: Final = 2**64
_LEAST: Final = -(2**63)
_LARGEST_SIGNED: Final = 2**63
# What ClickHouse's own reader of times understands; anything else is left to the one that guesses.
_PLAIN_TIME = re.compile(r"\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)?", re.ASCII)


def constant(node: ast.Constant, scope: Scope) -> Value:
    """Compile a constant."""
    return constant_value(scope.statement, node.value)


def constant_value(statement: Statement, value: object) -> Value:  # noqa: PLR0911 one for each kind of constant
    """Return a constant's value."""
    match value:
        case None:
            return Value("NULL", NULL_TYPE)
        case bool() | int() | float():
            return Value(number_sql(value), constant_type(value), constant=value)
        case str():
            return Value(statement.text(value), constant_type(value), constant=value)
        case list() | tuple() if value and all(isinstance(one, str) for one in value):
            return Value(statement.array(list(value), "String"), Type("Array", items=(types.STRING,)))
        case list() | tuple():
            return array_value([constant_value(statement, one) for one in value])
        case datetime():
            stamp = value.astimezone(UTC) if value.tzinfo is not None else value
            zone = "'UTC'" if value.tzinfo is not None else statement.timezone
            bound = statement.bind(stamp.strftime("%Y-%m-%d %H:%M:%S.%f"), "String")
            return Value(f"toDateTime64({bound}, 6, {zone})", Type("DateTime", constant=True), constant=value)
        case date():
            bound = statement.bind(value.isoformat(), "String")
            return Value(f"toDate({bound})", Type("Date", constant=True), constant=value)
        case UUID():
            bound = statement.bind(str(value), "String")
            return Value(f"toUUID({bound})", Type("UUID", constant=True), constant=value)
        case Decimal():
            return constant_value(statement, float(value))
        case _:
            raise mistake(None, "A value of this type cannot be used in a query")


def number_sql(value: float) -> str:
    """Return a number, or truth, as ClickHouse writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        if _LEAST <= value < _LARGEST:
            return str(value) if value >= 0 else f"({value})"
        try:
            value = float(value)
        except OverflowError:
            raise mistake(None, "A number is too large") from None
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "(-inf)"
    return repr(value) if value >= 0 else f"({value!r})"


def list_sql(statement: Statement, values: Sequence[Any]) -> str | None:
    """Return one parameter for a list of constants of one kind, NULL among them or not; None for a mixed list."""
    present = [value for value in values if value is not None]
    null = len(present) < len(values)
    if not present:
        return None
    if all(isinstance(value, str) for value in present):
        kind = "String"
    elif all(isinstance(value, int) and not isinstance(value, bool) for value in present):
        if not all(_LEAST <= value < _LARGEST_SIGNED for value in present):
            return None
        kind = "Int64"
    elif all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
        if not all(math.isfinite(value) for value in present) or any(abs(value) >= _LARGEST for value in present):
            return None
        kind = "Float64"
        values = [value if value is None else float(value) for value in values]
    else:
        return None
    return statement.array(values, f"Nullable({kind})" if null else kind)


def array_value(members: Sequence[Value]) -> Value:
    """Return an array of values."""
    item = members[0].type if members else types.UNKNOWN
    same = all(member.type.kind == item.kind for member in members)
    nullable = any(member.type.nullable for member in members)
    listed = Type(item.kind, nullable=nullable, items=item.items) if same else types.UNKNOWN
    return Value(f"[{', '.join(member.sql for member in members)}]", Type("Array", items=(listed,)))


def time_sql(statement: Statement, text: str) -> str:
    """Return a constant text as a time of the project's zone."""
    bound = statement.text(text)
    if _PLAIN_TIME.fullmatch(text):
        return f"toDateTime64({bound}, 6, {statement.timezone})"
    return f"parseDateTime64BestEffort({bound}, 6, {statement.timezone})"
