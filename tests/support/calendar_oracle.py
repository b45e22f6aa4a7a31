"""Intervals of a time zone as values to compare, for oracles: written from section 4.2 of insight_actors.md."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

type Start = date | datetime
"""A day, the first day of a week or month, or an hour: naive local time less its offset from UTC."""


def start_of(moment: datetime, interval: str, zone: str, week_start: int) -> Start:
    """Return the interval that a moment lies in; weeks start on Sunday (0) or Monday (1)."""
    local = moment.astimezone(ZoneInfo(zone))
    day = local.date()
    if interval == "hour":
        offset = local.utcoffset() or timedelta(0)
        # Two hours of one name on a day when clocks are set back are two hours.
        return local.replace(minute=0, second=0, microsecond=0, tzinfo=None, fold=0) - offset
    if interval == "week":
        while day.isoweekday() != (1 if week_start else 7):
            day -= timedelta(days=1)
    if interval == "month":
        day = day.replace(day=1)
    return day


def moved(start: Start, interval: str, count: int) -> Start:
    """Return the interval so many intervals later."""
    if isinstance(start, datetime):
        return start + timedelta(hours=count)
    if interval == "month":
        months = start.year * 12 + start.month - 1 + count
        return date(months // 12, months % 12 + 1, 1)
    return start + timedelta(days=count * (7 if interval == "week" else 1))


def day_ends(first: date, last: date, zone: str) -> tuple[datetime, datetime]:
    """Return the first moment of one day and the last microsecond of another, as seen in a time zone."""
    here = ZoneInfo(zone)
    # Where the clocks change at midnight, a day may begin at 1:00, or have its last hour twice.
    since = datetime(first.year, first.month, first.day, tzinfo=here).astimezone(UTC)
    after = last + timedelta(days=1)
    until = datetime(after.year, after.month, after.day, tzinfo=here).astimezone(UTC)
    return since, until - timedelta(microseconds=1)
