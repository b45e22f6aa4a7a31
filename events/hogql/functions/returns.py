"""The small language in which the tables of functions say what a function returns.

`String`, `Array(Integer)`, `Tuple(Float, Float)` are types; `$1` is the type of the first argument, `@1` the type of
its items, `number` the widest of all arguments' number types, `common` and `common 2` the one that all arguments (from
the second on) have; the names of `NAMED` are rules of their own. A value is nullable when an argument is; `?` makes it
always so, `!` never. Arrays and maps are never nullable, members only when marked or taken so.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, cast, get_args

from events.hogql.functions.definition import Returns
from events.hogql.types import UNKNOWN, Kind, Type

_NEVER_NULL: Final = frozenset({"Array", "Map"})
_KINDS: Final = frozenset(get_args(Kind.__value__))
_NUMBERS: Final = ("Boolean", "Integer", "Decimal", "Float")
_TOKEN = re.compile(r"\s*([$@]?\w+(?: \d+)?|[(),?!])")


def parse(text: str) -> Returns:
    """Return the function that a description of a type stands for; ValueError when it is none."""
    tokens = _TOKEN.findall(text)
    if "".join(tokens).replace(" ", "") != text.replace(" ", ""):
        msg = f"cannot read type {text!r}"
        raise ValueError(msg)
    described, rest = _described(tokens, top=True)
    if rest:
        msg = f"cannot read type {text!r}"
        raise ValueError(msg)
    return lambda types: _plain(described(types))


def _described(tokens: list[str], *, top: bool) -> tuple[Returns, list[str]]:
    head, rest = tokens[0], tokens[1:]
    members: list[Returns] = []
    if rest[:1] == ["("]:
        while rest[0] != ")":
            member, rest = _described(rest[1:], top=False)
            members.append(member)
        rest = rest[1:]
    mark = ""
    if rest[:1] in (["?"], ["!"]):
        mark, rest = rest[0], rest[1:]
    return _marked(_base(head, members), mark, spreads=top and head not in _OWN_NULLS), rest


def _base(head: str, members: list[Returns]) -> Returns:
    if head.startswith("$"):
        place = int(head[1:]) - 1
        return lambda types: _at(types, place)
    if head.startswith("@"):
        place = int(head[1:]) - 1
        return lambda types: _item(_at(types, place))
    if head == "number":
        return _number
    if head.startswith("common"):
        first = int(head.partition(" ")[2] or 1) - 1
        return lambda types: common(types[first:])
    if head in NAMED:
        return NAMED[head]
    if head not in _KINDS:
        msg = f"no type {head!r}"
        raise ValueError(msg)
    kind = cast("Kind", head)
    return lambda types: Type(kind, items=tuple(_plain(member(types)) for member in members))


def _marked(base: Returns, mark: str, *, spreads: bool) -> Returns:
    def returns(types: Sequence[Type]) -> Type:
        found = base(types)
        if found.kind in _NEVER_NULL:
            return replace(found, nullable=False)
        nullable = mark == "?" or (
            mark != "!" and (found.nullable or (spreads and any(each.nullable for each in types)))
        )
        return replace(found, nullable=nullable)

    return returns


def _plain(found: Type) -> Type:
    return replace(found, constant=False, timestamp=False)


def _at(types: Sequence[Type], place: int) -> Type:
    return types[place] if place < len(types) else UNKNOWN


def _item(array: Type) -> Type:
    return array.items[0] if array.kind in ("Array", "Lambda") and array.items else UNKNOWN


def _number(types: Sequence[Type]) -> Type:
    if any(each.kind not in _NUMBERS for each in types):
        return UNKNOWN
    return Type(max((each.kind for each in types), key=_NUMBERS.index))


def common(types: Sequence[Type]) -> Type:
    """Return the type that holds values of all the types; a NULL constant (kind Unknown) only makes it nullable."""
    known = [each for each in types if each.kind != "Unknown"]
    nullable = any(each.nullable for each in types)
    if not known or any(each.kind == "Unknown" and not each.constant for each in types):
        return UNKNOWN
    kinds = {each.kind for each in known}
    if len(kinds) == 1:
        return replace(known[0], nullable=nullable, constant=False, timestamp=False)
    if kinds <= set(_NUMBERS):
        return replace(_number(known), nullable=nullable)
    if kinds == {"Date", "DateTime"}:
        return Type("DateTime", nullable=nullable)
    return UNKNOWN


def _sum(types: Sequence[Type]) -> Type:
    """Numbers stay numbers, times move by intervals and by numbers of days or seconds."""
    times = [each for each in types if each.kind in ("Date", "DateTime")]
    if len(times) != 1:
        return _number(types)
    # A date stays one by days and becomes a time by hours: the unit is not part of the type.
    if times[0].kind == "Date" and any(each.kind == "Interval" for each in types):
        return UNKNOWN
    return Type(times[0].kind)


def _difference(types: Sequence[Type]) -> Type:
    kinds = [each.kind for each in types]
    if kinds == ["Date", "Date"]:
        return Type("Integer")
    # Seconds as a whole number, or as a decimal where a time has parts of seconds.
    return UNKNOWN if kinds == ["DateTime", "DateTime"] else _sum(types)


def _product(types: Sequence[Type]) -> Type:
    found = _number(types)
    return Type("Integer") if found.kind == "Boolean" else found


def _quotient(types: Sequence[Type]) -> Type:
    found = _number(types)
    return found if found.kind in ("Decimal", "Unknown") else Type("Float")


def _if(types: Sequence[Type]) -> Type:
    return common(types[1:])


def _multi_if(types: Sequence[Type]) -> Type:
    return common([*types[1:-1:2], *types[-1:]])


def _coalesce(types: Sequence[Type]) -> Type:
    found = common(types)
    return replace(found, nullable=all(each.nullable for each in types))


def _transform(types: Sequence[Type]) -> Type:
    values = _item(_at(types, 2))
    return common([values, types[3]]) if len(types) > _TRANSFORM_LEAST else common([values, types[0]])


def _down(types: Sequence[Type]) -> Type:
    return _number([types[0], _item(_at(types, 1))])


def _array(types: Sequence[Type]) -> Type:
    return Type("Array", items=(common(types),))


def _pushed(types: Sequence[Type]) -> Type:
    return Type("Array", items=(common([_item(types[0]), types[1]]),))


def _resized(types: Sequence[Type]) -> Type:
    return Type("Array", items=(common([_item(types[0]), *types[2:]]),))


def _sorted(types: Sequence[Type]) -> Type:
    return types[1] if types[0].kind == "Lambda" and len(types) > 1 else types[0]


def _last(types: Sequence[Type]) -> Type:
    return types[-1]


def _least(types: Sequence[Type]) -> Type:
    return _item(types[0])


def _total(types: Sequence[Type]) -> Type:
    item = _item(types[0])
    if item.kind in ("Integer", "Boolean"):
        return replace(item, kind="Integer")
    return item if item.kind in ("Float", "Decimal") else UNKNOWN


def _average(types: Sequence[Type]) -> Type:
    item = _item(types[0])
    return item if item.kind == "Unknown" else Type("Float", nullable=item.nullable)


def _zipped(types: Sequence[Type]) -> Type:
    return Type("Array", items=(Type("Tuple", items=tuple(_item(each) for each in types)),))


def _tuple(types: Sequence[Type]) -> Type:
    return Type("Tuple", items=tuple(_plain(each) for each in types))


def _map(types: Sequence[Type]) -> Type:
    return Type("Map", items=(common(types[::2]), common(types[1::2])))


def _mapped(types: Sequence[Type]) -> Type:
    return Type("Map", items=(_item(types[0]), _item(_at(types, 1))))


def _keys(types: Sequence[Type]) -> Type:
    return Type("Array", items=types[0].items[:1] or (UNKNOWN,))


def _values(types: Sequence[Type]) -> Type:
    return Type("Array", items=types[0].items[1:] or (UNKNOWN,))


def _split(types: Sequence[Type]) -> Type:
    return Type("String", nullable=types[2].nullable)


def _shifted(types: Sequence[Type]) -> Type:
    return common([types[0], types[2]]) if len(types) > len(("value", "rows")) else types[0]


def _added(types: Sequence[Type]) -> Type:
    return _sum(types) if len(types) == len(("time", "interval")) else UNKNOWN


_TRANSFORM_LEAST: Final = 3

NAMED: Final[dict[str, Returns]] = {
    "sum": _sum,
    "difference": _difference,
    "product": _product,
    "quotient": _quotient,
    "negative": _product,
    "if": _if,
    "multi_if": _multi_if,
    "coalesce": _coalesce,
    "transform": _transform,
    "down": _down,
    "array": _array,
    "pushed": _pushed,
    "resized": _resized,
    "sorted": _sorted,
    "last": _last,
    "least": _least,
    "total": _total,
    "average": _average,
    "zipped": _zipped,
    "tuple": _tuple,
    "map": _map,
    "mapped": _mapped,
    "keys": _keys,
    "values": _values,
    "split": _split,
    "shifted": _shifted,
    "added": _added,
    "element": lambda _: UNKNOWN,
}
# Rules that decide on NULL themselves.
_OWN_NULLS: Final = frozenset({"coalesce", "if", "multi_if", "transform", "tuple", "pushed", "resized", "split"})
