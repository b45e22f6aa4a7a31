"""`CAST(x AS type)`, `x::type` and `TRY_CAST`, to a few types by their names."""

import re
from typing import Final

from events.hogql import ast
from events.hogql.compiler.mistakes import mistake
from events.hogql.compiler.scope import Scope
from events.hogql.compiler.value import Value
from events.hogql.types import Kind, Type

_TIME: Final = "DateTime64(6, <timezone>)"
_NAMES: Final[dict[str, tuple[str, Kind]]] = {
    **dict.fromkeys(("int", "integer", "bigint", "smallint", "tinyint", "int64", "long"), ("Int64", "Integer")),
    **{f"int{bits}": (f"Int{bits}", "Integer") for bits in (8, 16, 32, 128)},
    **{f"uint{bits}": (f"UInt{bits}", "Integer") for bits in (8, 16, 32, 64, 128)},
    **dict.fromkeys(("float", "double", "double precision", "real", "float64"), ("Float64", "Float")),
    "float32": ("Float32", "Float"),
    **dict.fromkeys(("string", "text", "varchar", "char", "character varying"), ("String", "String")),
    **dict.fromkeys(("bool", "boolean"), ("Bool", "Boolean")),
    **dict.fromkeys(("date", "date32"), ("Date32", "Date")),
    **dict.fromkeys(
        (
            "datetime",
            "datetime64",
            "timestamp",
            "timestamptz",
            "timestamp with time zone",
            "timestamp without time zone",
        ),
        (_TIME, "DateTime"),
    ),
    "uuid": ("UUID", "UUID"),
}
_DECIMAL = re.compile(r"(?:decimal|numeric)(?: ?\( ?(\d{1,2})(?: ?, ?(\d{1,2}))? ?\))?")
_LENGTH = re.compile(r"(varchar|char|character varying|datetime64|timestamp) ?\( ?\d{1,4} ?\)")
_COMPOSED = re.compile(r"(array|nullable|tuple|map) ?\((.*)\)", re.DOTALL)
_MOST_DIGITS: Final = 76
_DEFAULT_DIGITS: Final = (38, 10)
_MEMBERS: Final = {"array": 1, "nullable": 1, "map": 2}
_DEEPEST: Final = 5
_LONGEST: Final = 200


def cast(node: ast.TypeCast, scope: Scope) -> Value:
    """Compile a cast. What does not fit is an error of the query, or NULL with TRY_CAST."""
    value = scope.value(node.expr)
    name = node.type_name.strip().lower()
    found = _named(name, 0) if len(name) <= _LONGEST else None
    if found is None:
        raise mistake(None, f"Unknown type '{node.type_name[:_LONGEST]}' in a cast")
    sql, kind = found
    zone = scope.statement.context.timezone.replace("\\", "\\\\").replace("'", "\\'")
    sql = sql.replace("<timezone>", f"'{zone}'")
    nullable = value.type.nullable and kind.kind not in ("Array", "Tuple", "Map")
    target = f"Nullable({sql})" if (nullable or node.nullish) and not sql.startswith("Nullable(") else sql
    if node.nullish:
        if kind.kind in ("Array", "Tuple", "Map"):
            raise mistake(None, f"TRY_CAST cannot make a value of type {kind.kind}")
        if kind.kind == "DateTime" and value.type.kind in ("String", "Unknown"):
            return Value(f"parseDateTime64BestEffortOrNull({value.sql}, 6, {scope.statement.timezone})", kind.or_null())
        plain = sql.removeprefix("Nullable(").removesuffix(")") if sql.startswith("Nullable(") else sql
        return Value(f"accurateCastOrNull({value.sql}, {_quoted(plain)})", kind.or_null())
    if kind.kind == "DateTime" and value.type.kind == "String":
        function = "parseDateTime64BestEffort"
        return Value(f"{function}({value.sql}, 6, {scope.statement.timezone})", kind.or_null() if nullable else kind)
    return Value(f"CAST({value.sql}, {_quoted(target)})", kind.or_null() if nullable else kind)


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _named(name: str, depth: int) -> tuple[str, Type] | None:
    name = name.strip()
    if name in _NAMES:
        sql, kind = _NAMES[name]
        return sql, Type(kind)
    if length := _LENGTH.fullmatch(name):
        return _named(length[1], depth)
    if decimal := _DECIMAL.fullmatch(name):
        digits = int(decimal[1]) if decimal[1] else _DEFAULT_DIGITS[0]
        scale = int(decimal[2] or 0) if decimal[1] else _DEFAULT_DIGITS[1]
        if not 1 <= digits <= _MOST_DIGITS or scale > digits:
            return None
        return f"Decimal({digits}, {scale})", Type("Decimal")
    composed = _COMPOSED.fullmatch(name)
    if composed is None or depth >= _DEEPEST:
        return None
    return _composed(composed[1], composed[2], depth)


def _composed(outer: str, inside: str, depth: int) -> tuple[str, Type] | None:
    members = [_named(part, depth + 1) for part in _parts(inside)]
    known = [member for member in members if member is not None]
    if len(known) < len(members) or len(known) != _MEMBERS.get(outer, len(known)):
        return None
    sql = ", ".join(member[0] for member in known)
    if outer == "nullable":
        kind = known[0][1]
        return None if kind.items or kind.nullable else (f"Nullable({sql})", kind.or_null())
    names: dict[str, Kind] = {"array": "Array", "tuple": "Tuple", "map": "Map"}
    return f"{names[outer]}({sql})", Type(names[outer], items=tuple(member[1] for member in known))


def _parts(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for place, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            parts.append(text[start:place])
            start = place + 1
    return [*parts, text[start:]]
