"""The `date_from` and `date_to` of insights: ISO or relative, in the project's time zone.

A bound is hourly when its text contains `h` or the interval is an hour. Any other `date_from` begins at its midnight,
any other `date_to` ends with its day.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta

INTERVALS: Final = ("hour", "day", "week", "month")
EVERYTHING: Final = "all"
DEFAULT_DAYS: Final = 7
_RELATIVE: Final = re.compile(r"-?(?P<number>[0-9]{0,9})(?P<unit>[hdwmqy])(?P<position>Start|End)?", re.ASCII)
_LOOSE_DAY: Final = re.compile(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})(?![0-9])", re.ASCII)
_UNITS: Final = {
    "h": ("hours", 1),
    "d": ("days", 1),
    "w": ("weeks", 1),
    "m": ("months", 1),
    "q": ("weeks", 13),
    "y": ("years", 1),
}
# Where the clocks are set back at midnight, a day begins with the first of two equal times, and ends with the second.
_DAY_START: Final = {"hour": 0, "minute": 0, "second": 0, "microsecond": 0, "fold": 0}
_DAY_END: Final = {"hour": 23, "minute": 59, "second": 59, "microsecond": 999_999, "fold": 1}
_HOUR_START: Final = {"minute": 0, "second": 0, "microsecond": 0}
_HOUR_END: Final = {"minute": 59, "second": 59, "microsecond": 999_999}


class DateError(ValueError):
    """The text is no date; `name` says which bound it is."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass(frozen=True, slots=True)
class DateRange:
    """Both ends are included, both are in the project's time zone."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Given:
    """The texts of a request; None where absent.

    `explicit` keeps times of day as they were given. `lenient` takes text that is no date for now, as insights do.
    `widened` makes a range of one moment as long as an interval.
    """

    date_from: str | None
    date_to: str | None
    interval: str = "day"
    explicit: bool = False
    lenient: bool = False
    widened: bool = True


def read_range(given: Given, *, timezone: str, now: datetime, earliest: Callable[[], datetime | None]) -> DateRange:
    """Return the range; `earliest` is asked where `date_from` is `all`. Raises DateError."""
    zone = ZoneInfo(timezone)
    here = now.astimezone(zone)
    try:
        since = _since(given, here, earliest)
    except (ValueError, OverflowError):
        raise DateError("date_from") from None
    try:
        until = _until(given, here)
        if since == until and given.widened:
            until += relativedelta(**{f"{given.interval}s": 1})  # type: ignore[arg-type]
    except (ValueError, OverflowError):
        raise DateError("date_to") from None
    return DateRange(since, until)


def _since(given: Given, here: datetime, earliest: Callable[[], datetime | None]) -> datetime:
    text = given.date_from
    week_ago = (here - timedelta(days=DEFAULT_DAYS)).replace(**_DAY_START)  # type: ignore[arg-type]
    if text is None:
        return week_ago
    if text == EVERYTHING:
        found = earliest()
        return found.astimezone(here.tzinfo).replace(**_DAY_START) if found else week_ago  # type: ignore[arg-type]
    moment = _moment(text, here, lenient=given.lenient)
    if given.explicit or (_is_hourly(given, text) and not (given.interval == "hour" and "d" in text)):
        return moment
    return moment.replace(**_DAY_START)  # type: ignore[arg-type]


def _until(given: Given, here: datetime) -> datetime:
    text = given.date_to
    moment = here if text is None else _moment(text, here, lenient=given.lenient)
    if given.explicit:
        return moment
    if not _is_hourly(given, text or ""):
        return moment.replace(**_DAY_END)  # type: ignore[arg-type]
    relative = None if text is None else _RELATIVE.fullmatch(text)
    if text is None or (relative is not None and relative["position"] is None):
        return moment.replace(**_HOUR_END)  # type: ignore[arg-type]
    return moment


def _is_hourly(given: Given, text: str) -> bool:
    return given.interval == "hour" or "h" in text


def _moment(text: str, here: datetime, *, lenient: bool) -> datetime:
    relative = _RELATIVE.fullmatch(text)
    if relative is not None:
        return _relative(relative, here)
    iso = _LOOSE_DAY.sub(lambda day: f"{day[1]}-{day[2]:0>2}-{day[3]:0>2}", text.upper(), count=1)
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError:
        if lenient:
            return here
        raise
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=here.tzinfo)
    moment.astimezone(UTC)
    return moment.astimezone(here.tzinfo)


def _relative(relative: re.Match[str], here: datetime) -> datetime:
    name, factor = _UNITS[relative["unit"]]
    number = int(relative["number"] or 0)
    moment = here - relativedelta(**{name: number * factor})  # type: ignore[arg-type]
    if relative["unit"] == "h":
        # An hour is an hour, also where the clocks change.
        moment = (here.astimezone(UTC) - timedelta(hours=number)).astimezone(here.tzinfo)
    position = relative["position"]
    if position is None:
        return moment
    start = position == "Start"
    match relative["unit"]:
        case "h":
            return moment.replace(**(_HOUR_START if start else _HOUR_END))  # type: ignore[arg-type]
        case "d":
            return moment.replace(**(_DAY_START if start else _DAY_END))  # type: ignore[arg-type]
        case "m":
            return moment + relativedelta(day=1 if start else 31)
        case "y":
            return moment + relativedelta(month=1 if start else 12, day=1 if start else 31)
        case _:
            return moment
