"""Dates: what a stored value must look like to be one, and the moments that an operand means. All in UTC.

A date is ISO 8601 text that begins with YYYY-MM-DD (what follows counts when it is a time of day, else it is
ignored), or a Unix time: ten digits of seconds, or thirteen of milliseconds. Years go from 1900 to 2299.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from dateutil.relativedelta import relativedelta

DAY_PATTERN: Final = "^(19[0-9]{2}|2[0-2][0-9]{2})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
TIME_PATTERN: Final = (
    r"^[T ]([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9])(?:\.([0-9]{1,9}))?)?"
    r"(?:Z|([-+])(0[0-9]|1[0-5]):?([0-5][0-9]))?$"
)
SECONDS_PATTERN: Final = r"^[0-9]{10}(\.[0-9]{1,9})?$"
MILLISECONDS_PATTERN: Final = "^[0-9]{13}$"
DAY: Final = 86_400_000_000
SECOND: Final = 1_000_000

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RELATIVE: Final = re.compile(r"-?([0-9]{1,4})([hdwmqy])", re.ASCII)
_LOOSE_DAY: Final = re.compile(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})(?![0-9])", re.ASCII)
_LENGTHS: Final = {
    "h": ("hours", 1),
    "d": ("days", 1),
    "w": ("weeks", 1),
    "m": ("months", 1),
    "q": ("weeks", 13),
    "y": ("years", 1),
}


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time, and how far `is_date_exact` and `is_date_after` take it to reach; both in microseconds."""

    at: int
    exact: tuple[int, int]
    after: int


def read_moment(text: str, *, now: datetime) -> Moment | None:
    """Return what an operand means: ISO 8601, a Unix time or relative like `-7d`; None when it is no date."""
    if relative := _RELATIVE.fullmatch(text):
        name, factor = _LENGTHS[relative[2]]
        try:
            moment = now - relativedelta(**{name: factor * int(relative[1])})  # type: ignore[arg-type]
        except (ValueError, OverflowError):
            return None
        at = (moment - _EPOCH) // timedelta(microseconds=1)
        since = at // SECOND * SECOND if relative[2] == "h" else at // DAY * DAY
        return Moment(at, (since, since + (SECOND if relative[2] == "h" else DAY)), at + 1)
    text = _LOOSE_DAY.sub(lambda day: f"{day[1]}-{day[2]:0>2}-{day[3]:0>2}", text, count=1)
    at_ = micros(text)
    if at_ is None:
        return None
    if re.search(TIME_PATTERN[:-1] + r"\Z", text[10:], re.ASCII) is None and "-" in text[:5]:
        return Moment(at_, (at_, at_ + DAY), at_ + DAY)
    since = at_ // SECOND * SECOND
    return Moment(at_, (since, since + SECOND), at_ + 1)


def micros(text: str) -> int | None:
    """Return the moment that a stored text means, in microseconds since 1970; None when it is no date."""
    if re.search(DAY_PATTERN, text, re.ASCII):
        try:
            day = datetime.strptime(text[:10], "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            return None
        start = (day - _EPOCH).days * DAY
        time = re.search(TIME_PATTERN[:-1] + r"\Z", text[10:], re.ASCII)
        if time is None:
            return start
        hours, minutes, seconds, fraction, sign, zone_hours, zone_minutes = time.groups()
        offset = (int(zone_hours or 0) * 60 + int(zone_minutes or 0)) * (-1 if sign == "-" else 1)
        whole = (int(hours) * 60 + int(minutes) - offset) * 60 + int(seconds or 0)
        return start + whole * SECOND + int((fraction or "").ljust(6, "0")[:6])
    if re.search(SECONDS_PATTERN[:-1] + r"\Z", text, re.ASCII):
        whole_text, _, fraction = text.partition(".")
        return int(whole_text) * SECOND + int(fraction.ljust(6, "0")[:6])
    if re.search(MILLISECONDS_PATTERN[:-1] + r"\Z", text, re.ASCII):
        return int(text) * 1000
    return None
