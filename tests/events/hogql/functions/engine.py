"""What the engine says of a call: its type read back, and the examples of the lists taken apart."""

import ast
import re
from collections.abc import Sequence
from types import ModuleType

from events.hogql.context import Context
from events.hogql.functions.registry import Argument, Call, Function
from events.hogql.types import UNKNOWN, Kind, Type

CONTEXT = Context(team_id=1, timezone="Europe/Berlin", week_start_day=1)
KINDS: dict[str, Kind] = {
    "String": "String", "FixedString": "String", "UUID": "UUID", "Date": "Date", "Date32": "Date", "Bool": "Boolean",
    "DateTime": "DateTime", "DateTime64": "DateTime", "Float32": "Float", "Float64": "Float", "BFloat16": "Float",
    "Decimal": "Decimal", "Enum8": "String",
}  # fmt: skip
COMPOSED: dict[str, Kind] = {"Array": "Array", "Tuple": "Tuple", "Map": "Map"}


def pieces(text: str) -> list[str]:
    """Split at commas outside of quotes and brackets."""
    found, depth, quoted, current = [], 0, False, ""
    for letter in text:
        quoted ^= letter == "'"
        depth += 0 if quoted else (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0 and not quoted:
            found.append(current.strip())
            current = ""
        else:
            current += letter
    return [*found, current.strip()] if current.strip() else found


def read_type(name: str) -> Type:
    """Read ClickHouse's name of a type; what HogQL has no name for is Unknown and not nullable."""
    head, _, inner = name.partition("(")
    inner = inner.removesuffix(")")
    if head == "Nullable":
        return UNKNOWN if inner == "Nothing" else read_type(inner).or_null()
    if head == "LowCardinality":
        return read_type(inner)
    if head in COMPOSED:
        members = [re.sub(r"^`?\w+`? (?=[A-Z])", "", piece) for piece in pieces(inner)]
        return Type(COMPOSED[head], items=tuple(read_type(member) for member in members))
    if head in KINDS:
        return Type(KINDS[head])
    if re.fullmatch(r"U?Int\d+", head):
        return Type("Integer")
    return Type("Interval" if head.startswith("Interval") else "Unknown")


def agrees(said: Type, engine: Type) -> bool:
    """Whether what we say of a type is true: never less nullable than it is, and exact where we know the kind."""
    if said.kind == "Unknown":
        return said.nullable or not engine.nullable
    if said.nullable != engine.nullable:
        return False
    if said.kind == "Boolean" and engine.kind == "Integer":
        return True
    if said.kind != engine.kind or len(said.items) != len(engine.items):
        return False
    return all(agrees(ours, theirs) for ours, theirs in zip(said.items, engine.items, strict=True))


def parts(example: str) -> tuple[list[str], list[str], str]:
    """Take `name(parameters)(arguments) OVER (..)` apart."""
    rest, groups = re.sub(r"^\w+", "", example), []
    while rest.startswith("("):
        depth, quoted, end = 0, False, 0
        for end, letter in enumerate(rest):  # noqa: B007 -- the end is where the loop left off
            quoted ^= letter == "'"
            depth += 0 if quoted else (letter == "(") - (letter == ")")
            if depth == 0:
                break
        groups.append(rest[1:end])
        rest = rest[end + 1 :]
    parameters = pieces(groups[0]) if len(groups) > 1 else []
    return parameters, pieces(groups[-1]), rest


def types_of(client: ModuleType, sqls: Sequence[str], source: str = "") -> list[Type]:
    """Ask the engine for the types of expressions; for a lambda, for that of what it makes of the arrays."""
    if not sqls:
        return []
    arrays = ", ".join(sql for sql in sqls if "->" not in sql)
    # What a lambda of several arguments makes is not asked for.
    asked = [_asked(sql, arrays) for sql in sqls]
    (names,) = client.query(f"SELECT {', '.join(f'toTypeName({sql})' for sql in asked)} {source}").rows
    found = [read_type(name) for name in names]
    return [
        Type("Lambda", items=one.items[:1] or (UNKNOWN,)) if "->" in sql else one
        for sql, one in zip(sqls, found, strict=True)
    ]


def _asked(sql: str, arrays: str) -> str:
    if "->" not in sql:
        return sql
    return "1" if sql.startswith("(") else f"arrayMap({sql}, {arrays})"


def argument(sql: str, kind: Type) -> Argument:
    """Return an argument that is a constant where its SQL is a literal."""
    try:
        value = ast.literal_eval(sql)
    except (ValueError, SyntaxError):
        return Argument(sql, kind)
    return Argument(sql, Type(kind.kind, nullable=kind.nullable, items=kind.items, constant=True), value)


def call_of(function: Function, arguments: Sequence[Argument], parameters: Sequence[str]) -> Call:
    return Call(
        name=function.name,
        arguments=tuple(arguments),
        parameters=tuple(parameters),
        context=CONTEXT,
        bind=lambda value, _: f"'{value}'",
    )
