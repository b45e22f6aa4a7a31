"""What lies below a column: properties of JSON texts with the types that the project gave them, members of arrays."""

from typing import Final

from events.hogql.ast import Value as Constant
from events.hogql.compiler.mistakes import mistake
from events.hogql.compiler.statement import Statement
from events.hogql.compiler.value import PROPERTY_TYPE, Value
from events.hogql.context import PropertyType
from events.hogql.types import BOOLEAN, DATETIME, FLOAT, UNKNOWN, Type

type Key = str | int

_LARGEST_INDEX: Final = 2**31


def below(statement: Statement, value: Value, keys: tuple[Key, ...], *, typed: bool = True) -> Value:
    """Return what the names and 1-based indexes after a column or expression stand for.

    `typed` is off where the text of a property is wanted, whatever its type.
    """
    while keys:
        if value.type.kind == "JSON":
            return _property(statement, value, keys, typed=typed)
        value = _member(statement, value, keys[0])
        keys = keys[1:]
    return value


def _member(statement: Statement, value: Value, key: Key) -> Value:
    kind, items = value.type.kind, value.type.items
    if kind == "Map":
        found = items[1] if len(items) > 1 else UNKNOWN
        return Value(f"arrayElement({value.sql}, {key_sql(statement, key)})", found)
    if kind == "Array" and isinstance(key, int):
        return Value(f"arrayElement({value.sql}, {key_sql(statement, key)})", items[0] if items else UNKNOWN)
    if kind == "Tuple" and isinstance(key, int):
        if not 1 <= key <= len(items) and items:
            raise mistake(None, f"A tuple of {len(items)} has no member {key}")
        return Value(f"tupleElement({value.sql}, {key_sql(statement, key)})", items[key - 1] if items else UNKNOWN)
    if kind in ("Tuple", "Unknown"):
        function = "tupleElement" if kind == "Tuple" or isinstance(key, str) else "arrayElement"
        return Value(f"{function}({value.sql}, {key_sql(statement, key)})")
    raise mistake(None, f'Can not access property "{key}" of a value of type {kind}')


def key_sql(statement: Statement, key: Key) -> str:
    """Return the SQL of a key or an index."""
    if isinstance(key, str):
        return statement.text(key)
    if abs(key) >= _LARGEST_INDEX:
        raise mistake(None, f"The index {key} is too large")
    return str(key)


def _property(statement: Statement, value: Value, keys: tuple[Key, ...], *, typed: bool) -> Value:
    listed = ", ".join(key_sql(statement, key) for key in keys)
    # Texts come decoded, other values as they are written; what is not there is NULL, as JSON's null is.
    text = f"JSONExtract({value.sql}, {listed}, 'Nullable(String)')"
    kind: PropertyType | None = None
    if typed and len(keys) == 1 and isinstance(keys[0], str) and value.property_of is not None:
        kind = statement.context.property_types.get((value.property_of, keys[0]))
    match kind:
        case "Numeric":
            return Value(f"toFloat64OrNull({text})", FLOAT.or_null())
        case "Boolean":
            return Value(f"toBool(transform({text}, ['true', 'false'], [1, 0], NULL))", BOOLEAN.or_null())
        case "DateTime":
            return Value(f"parseDateTime64BestEffortOrNull({text}, 6, {statement.timezone})", DATETIME.or_null())
        case _:
            return Value(text, PROPERTY_TYPE, is_property=True)


def constant_type(value: Constant) -> Type:
    """Return the type of a constant."""
    match value:
        case bool():
            return Type("Boolean", constant=True)
        case int():
            return Type("Integer", constant=True)
        case float():
            return Type("Float", constant=True)
        case str():
            return Type("String", constant=True)
        case _:
            return Type("Unknown", nullable=True, constant=True)
