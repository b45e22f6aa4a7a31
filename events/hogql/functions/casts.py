"""Functions that make one type of another, and depend on which it is."""

from typing import Final

from events.hogql.functions.definition import Call, Special, called
from events.hogql.types import Type

_MOST_PLACES: Final = 18
_NUMBERS: Final = frozenset({"Integer", "Float", "Decimal", "Boolean", "Date", "DateTime"})


def _written(plain: str, of_text: str, type_name: str) -> Special:
    """A number of anything: `plain` for numbers and times, `of_text` for text, else a cast."""

    def write(call: Call) -> str:
        argument = call.arguments[0]
        if argument.type.kind in _NUMBERS:
            return f"{plain}({argument.sql})"
        if argument.type.kind == "String":
            return f"{of_text}({argument.sql})"
        return f"accurateCastOrNull({argument.sql}, '{type_name}')"

    return Special(write, lambda call: _number(call, type_name))


def _number(call: Call, type_name: str) -> Type:
    given = call.arguments[0].type
    return Type("Integer" if type_name == "Int64" else "Float", nullable=given.nullable or given.kind not in _NUMBERS)


def _or_default(clickhouse: str, type_name: str) -> Special:
    """The default may be any number, where ClickHouse wants one of the very type."""

    def write(call: Call) -> str:
        value, *default = call.sqls()
        return called(clickhouse, [value, *(f"accurateCast({sql}, '{type_name}')" for sql in default)], call)

    return Special(write)


def _bool(call: Call) -> str:
    argument = call.arguments[0]
    if argument.type.kind == "String":
        return f"accurateCastOrNull({argument.sql}, 'Bool')"
    return f"toBool({argument.sql})"


def _bool_type(call: Call) -> Type:
    given = call.arguments[0].type
    return Type("Boolean", nullable=given.nullable or given.kind == "String")


def _uuid(call: Call) -> str:
    argument = call.arguments[0]
    return argument.sql if argument.type.kind == "UUID" else f"toUUIDOrNull({_text(call)})"


def _text(call: Call) -> str:
    argument = call.arguments[0]
    return argument.sql if argument.type.kind == "String" else f"toString({argument.sql})"


def _decimal(call: Call) -> str:
    places = call.arguments[1]
    if not isinstance(places.value, int) or isinstance(places.value, bool) or not 0 <= places.value <= _MOST_PLACES:
        raise call.mistake("The second argument of function 'toDecimal' must be a number from 0 to 18")
    return f"toDecimal64OrNull({_text(call)}, {places.value})"


def _uuid_type(call: Call) -> Type:
    given = call.arguments[0].type
    return Type("UUID", nullable=given.nullable or given.kind != "UUID")


SPECIAL: Final = {
    "toInt": _written("toInt64", "toInt64OrNull", "Int64"),
    "toFloat": _written("toFloat64", "toFloat64OrNull", "Float64"),
    "toIntOrZero": Special(lambda call: f"toInt64OrZero({_text(call)})"),
    "toFloatOrZero": Special(lambda call: f"toFloat64OrZero({_text(call)})"),
    "toIntOrDefault": _or_default("toInt64OrDefault", "Int64"),
    "toFloatOrDefault": _or_default("toFloat64OrDefault", "Float64"),
    "toBool": Special(_bool, _bool_type),
    "toDecimal": Special(_decimal),
    "toUUID": Special(_uuid, _uuid_type),
}
