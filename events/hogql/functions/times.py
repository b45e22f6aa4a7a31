"""Functions of dates and times that depend on the project's time zone, its week, or on what their arguments are."""

import re
from datetime import datetime
from typing import Final

from events.hogql.functions.definition import Argument, Call, Special, called, week_mode
from events.hogql.types import UNKNOWN, Kind, Type

_PLAIN: Final = re.compile(r"\d{4}-\d\d-\d\d(?: \d\d:\d\d:\d\d(?:\.\d{1,6})?)?")
_FIRST_YEAR: Final = 1900
_LAST_YEAR: Final = 2299
_PRECISION: Final = 6

_UNITS: Final = {
    "microsecond": "Microseconds",
    "millisecond": "Milliseconds",
    "second": "Seconds",
    "minute": "Minutes",
    "hour": "Hours",
    "day": "Days",
    "week": "Weeks",
    "month": "Months",
    "quarter": "Quarters",
    "year": "Years",
}
_DATE_UNITS: Final = frozenset({"day", "week", "month", "quarter", "year"})
_PARTS: Final = {
    "year": "toYear",
    "quarter": "toQuarter",
    "month": "toMonth",
    "week": "toISOWeek",
    "day": "toDayOfMonth",
    "hour": "toHour",
    "minute": "toMinute",
    "second": "toSecond",
    "dow": "toDayOfWeek",
    "doy": "toDayOfYear",
    "epoch": "toUnixTimestamp",
}


def _zone(call: Call, place: int = 1) -> str:
    return call.arguments[place].sql if len(call.arguments) > place else call.timezone


def _plain(argument: Argument) -> bool:
    """Whether it is text of the text, of a time that the strict parser reads."""
    value = argument.value
    if not argument.type.constant or not isinstance(value, str) or not _PLAIN.fullmatch(value):
        return False
    try:
        return _FIRST_YEAR <= datetime.fromisoformat(value).year <= _LAST_YEAR
    except ValueError:
        return False


def _date_time(best_effort: str) -> Special:
    def write(call: Call) -> str:
        argument, zone = call.arguments[0], _zone(call)
        if argument.type.kind in ("Date", "DateTime", "Integer", "Float", "Boolean", "Decimal"):
            return f"toDateTime({argument.sql}, {zone})"
        if best_effort == _BEST_EFFORT and _plain(argument):
            return f"toDateTime64({argument.sql}, {_PRECISION}, {zone})"
        text = argument.sql if argument.type.kind == "String" else f"toString({argument.sql})"
        return f"{best_effort}({text}, {_PRECISION}, {zone})"

    def returns(call: Call) -> Type:
        argument = call.arguments[0]
        sure = argument.type.kind not in ("String", "Unknown", "JSON") or _plain(argument)
        return Type("DateTime", nullable=not sure or argument.type.nullable)

    return Special(write, returns)


_BEST_EFFORT: Final = "parseDateTime64BestEffortOrNull"


def _best_effort(call: Call) -> str:
    text = call.arguments[0]
    sql = text.sql if text.type.kind == "String" else f"toString({text.sql})"
    return f"{_BEST_EFFORT}({sql}, {_PRECISION}, {_zone(call)})"


def _date(call: Call) -> str:
    argument = call.arguments[0]
    kind = argument.type.kind
    if kind == "Date":
        return argument.sql
    if kind == "DateTime":
        moved = f"toTimeZone({argument.sql}, {call.arguments[1].sql})" if len(call.arguments) > 1 else argument.sql
        return f"toDate({moved})"
    if kind in ("Integer", "Float", "Decimal", "Boolean"):
        return f"toDate({argument.sql}, {_zone(call)})"
    if kind == "String":
        return f"toDateOrNull({argument.sql})"
    return f"toDateOrNull(toString({argument.sql}))"


def _date_type(call: Call) -> Type:
    given = call.arguments[0].type
    return Type("Date", nullable=given.nullable or given.kind in ("String", "Unknown", "JSON"))


def _date_time64(call: Call) -> str:
    precision = call.arguments[1].sql if len(call.arguments) > 1 else str(_PRECISION)
    return f"toDateTime64({call.arguments[0].sql}, {precision}, {_zone(call, 2)})"


def _to_timezone(call: Call) -> str:
    argument = call.arguments[0]
    if argument.type.kind == "Date":
        return f"toDateTime({argument.sql}, {_zone(call)})"
    return f"toTimeZone({argument.sql}, {_zone(call)})"


def _now(call: Call) -> str:
    return f"now64({_PRECISION}, {_zone(call, 0)})"


def _of_week(name: str) -> Special:
    def write(call: Call) -> str:
        arguments = call.sqls()
        if len(arguments) == 1:
            arguments.append(week_mode(call.context))
        return called(name, arguments, call)

    return Special(write)


def _unit(call: Call, allowed: dict[str, str] | None = None) -> str:
    value = call.arguments[0].value
    names = _UNITS if allowed is None else allowed
    unit = value.lower() if isinstance(value, str) else ""
    if unit not in names and unit.removesuffix("s") not in names:
        msg = f"The first argument of function '{call.name}' must be one of: {', '.join(names)}"
        raise call.mistake(msg)
    return unit if unit in names else unit.removesuffix("s")


def _with_unit(name: str) -> Special:
    """A function whose first argument names a unit, which ClickHouse takes in small letters only."""

    def write(call: Call) -> str:
        return called(name, [f"'{_unit(call)}'", *call.sqls()[1:]], call)

    return Special(write)


def _truncated() -> Special:
    def returns(call: Call) -> Type:
        given = call.arguments[1].type
        kind: Kind = "Date" if _unit(call) in ("week", "month", "quarter", "year") else "DateTime"
        return Type(kind, nullable=given.nullable)

    return Special(_with_unit("dateTrunc").write, returns)


def _moved(verb: str, operator: str) -> Special:
    """`dateAdd(time, interval)` and `dateAdd(unit, number, time)`."""

    def write(call: Call) -> str:
        if len(call.arguments) == len(("time", "interval")):
            return called(operator, call.sqls(), call)
        if not call.arguments[0].type.constant:
            msg = f"Argument 1 of function '{call.name}' must be a constant"
            raise call.mistake(msg)
        _, number, time = call.sqls()
        return f"{verb}{_UNITS[_unit(call)]}({time}, {number})"

    def returns(call: Call) -> Type:
        nullable = any(argument.type.nullable for argument in call.arguments)
        time = call.arguments[-1 if len(call.arguments) > 2 else 0].type  # noqa: PLR2004 -- see `write`
        if time.kind == "DateTime":
            return Type("DateTime", nullable=nullable)
        if time.kind == "Date" and len(call.arguments) > 2:  # noqa: PLR2004 -- see `write`
            return Type("Date" if _unit(call) in _DATE_UNITS else "DateTime", nullable=nullable)
        return UNKNOWN

    return Special(write, returns)


def _part(call: Call) -> str:
    return f"{_PARTS[_unit(call, _PARTS)]}({call.arguments[1].sql})"


SPECIAL: Final = {
    "toDate": Special(_date, _date_type),
    "toDateTime": _date_time(_BEST_EFFORT),
    "toDateTimeUS": _date_time("parseDateTime64BestEffortUSOrNull"),
    "toDateTime64": Special(_date_time64),
    "parseDateTimeBestEffort": Special(_best_effort),
    "toTimeZone": Special(_to_timezone),
    "now": Special(_now),
    "toStartOfWeek": _of_week("toStartOfWeek"),
    "toLastDayOfWeek": _of_week("toLastDayOfWeek"),
    "dateDiff": _with_unit("dateDiff"),
    "age": _with_unit("age"),
    "dateTrunc": _truncated(),
    "dateAdd": _moved("add", "plus"),
    "dateSub": _moved("subtract", "minus"),
    "date_part": Special(_part),
}
