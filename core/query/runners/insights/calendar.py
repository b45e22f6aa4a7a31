"""The intervals of a range in the project's time zone, and how answers name them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from core.api.errors import Invalid
from core.insights.dates import start_of
from core.insights.project import InsightProject
from core.persons.date_range import DateRange
from events.insights.intervals import Interval

MAX_INTERVALS: Final = 3_000
"""Of one series."""
_TICK: Final = timedelta(microseconds=1)
# No interval is shorter, also where the clocks are set: an hour may have 30 minutes left, as on Lord Howe Island.
_SHORTEST: Final = {
    "hour": timedelta(minutes=30),
    "day": timedelta(hours=12),
    "week": timedelta(days=6),
    "month": timedelta(days=27),
}


@dataclass(frozen=True, slots=True)
class Span:
    """One interval: where it begins, and the part of it that lies in the range, both ends included; all in UTC."""

    start: datetime
    since: datetime
    until: datetime


def spans(dates: DateRange, interval: Interval, project: InsightProject) -> list[Span]:
    """Return the intervals that a range touches, in order. Raises Invalid for more than MAX_INTERVALS."""
    first_day = project.week_start_day
    since, until = dates.since.astimezone(UTC), dates.until.astimezone(UTC)
    found: list[Span] = []
    start = begin(since, interval, project, week_start=first_day)
    while start <= until:
        if len(found) == MAX_INTERVALS:
            message = f"The range has more than {MAX_INTERVALS} intervals. Ask for longer intervals or fewer of them."
            raise Invalid(message, attr="interval")
        following = after(start, interval, project, week_start=first_day)
        found.append(Span(start, max(start, since), min(following - _TICK, until)))
        start = following
    return found


def begin(moment: datetime, interval: Interval, project: InsightProject, *, week_start: int) -> datetime:
    """Return the start of the interval that a moment lies in, in UTC."""
    # Times of one zone are compared by their clocks, which may show the same time twice.
    return start_of(moment, interval, project.timezone, week_start=week_start).astimezone(UTC)


def after(start: datetime, interval: Interval, project: InsightProject, *, week_start: int) -> datetime:
    """Return the start of the interval after the one that begins at `start`, in UTC."""
    moment = start
    while (following := begin(moment, interval, project, week_start=week_start)) <= start:
        moment += _SHORTEST[interval]
    return following


def day(span: Span, interval: Interval, zone: str) -> str:
    """Return the name of an interval in `days`, such as `2024-03-05` or `2024-03-05 10:00:00`."""
    return here(span.start, zone).strftime("%Y-%m-%d %H:%M:%S" if interval == "hour" else "%Y-%m-%d")


def label(span: Span, interval: Interval, zone: str) -> str:
    """Return the name of an interval in `labels`, such as `5-Mar-2024` or `5-Mar-2024 10:00`."""
    start = here(span.start, zone)
    return f"{start.day}-{start.strftime('%b-%Y %H:%M' if interval == 'hour' else '%b-%Y')}"


def iso(moment: datetime, zone: str) -> str:
    """Return a moment as answers show it, in the project's time zone."""
    return here(moment, zone).isoformat().replace("+00:00", "Z")


def here(moment: datetime, zone: str) -> datetime:
    """Return a moment in a time zone."""
    return moment.astimezone(ZoneInfo(zone))
