"""Starts of hours, days, weeks and months in a project's time zone, as ClickHouse expressions."""

from typing import Final, Literal

from events.insights.statement import Statement

type Interval = Literal["hour", "day", "week", "month"]
INTERVALS: Final = ("hour", "day", "week", "month")
SUNDAY: Final = 0
MONDAY: Final = 1


def start_of(moment: str, interval: str, timezone: str, statement: Statement, *, week_start: int = SUNDAY) -> str:
    """Return the start of the interval that a moment lies in, a DateTime of the project's time zone."""
    zone = statement.bind(timezone)
    match interval:
        case "hour":
            return f"toStartOfHour(toTimeZone({moment}, {zone}))"
        case "day":
            return f"toStartOfDay({moment}, {zone})"
        case "week":
            mode = 0 if week_start == SUNDAY else 1
            return f"toDateTime(toStartOfWeek({moment}, {mode}, {zone}), {zone})"
        case "month":
            return f"toDateTime(toStartOfMonth({moment}, {zone}), {zone})"
        case _:
            raise ValueError(interval)


def step(moment: str, interval: str, count: str) -> str:
    """Return a start of an interval moved by so many intervals, by the calendar and not by seconds."""
    unit = {"hour": "Hours", "day": "Days", "week": "Weeks", "month": "Months"}[interval]
    return f"add{unit}({moment}, {count})"
