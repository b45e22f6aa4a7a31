"""`compareFilter`: the same query over an earlier range."""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from dateutil.relativedelta import relativedelta

from core.api.errors import Invalid
from core.insights.dates import start_of
from core.persons.date_range import DateRange
from core.query.reading import Fields
from core.query.runners.insights.common import InsightRunner
from events.insights.intervals import Interval
from events.rows import EARLIEST

_WHOLE_WEEKS: Final = re.compile(r"-([0-9]{1,6})d", re.ASCII)
_BACK: Final = re.compile(r"-([0-9]{1,6})([hdwmqy])", re.ASCII)
_UNITS: Final = {"d": "days", "w": "weeks", "m": "months", "y": "years"}
_MIDNIGHT: Final = {"hour": 0, "minute": 0, "second": 0, "microsecond": 0, "fold": 0}
_DAY_END: Final = {"hour": 23, "minute": 59, "second": 59, "microsecond": 999_999, "fold": 1}
_WEEK: Final = 7


@dataclass(frozen=True, slots=True)
class Compare:
    """What is compared with: the range right before, or one `back` by so much (such as `-1y`)."""

    back: str | None = None


def read_compare(fields: Fields) -> Compare | None:
    """Return `compareFilter`, None where nothing is compared. Raises BadNode and Invalid."""
    given = fields.below("compareFilter")
    if given is None:
        return None
    given.only("compare", "compare_to")
    back = given.text("compare_to", longest=20) or None
    if back is not None and _BACK.fullmatch(back) is None:
        raise Invalid("This must be a relative date such as -1y.", attr=given.attr("compare_to"))
    return Compare(back) if given.flag("compare") else None


def earlier(runner: InsightRunner, dates: DateRange, compare: Compare, *, interval: Interval) -> DateRange:
    """Return the range that is compared with; `dates` are the runner's, from the start of an interval. Raises Invalid.

    Weeks and months are moved as they were asked for, and only then begin with an interval.
    """
    texts = {name: runner.parameters.text(name) for name in ("date_from", "date_to")}
    if interval not in {"week", "month"} or runner.parameters.flag("explicit_date"):
        return _earlier(dates, compare, interval=interval, **texts)
    found = _earlier(runner.read_dates(interval), compare, interval=interval, **texts)
    project = runner.project
    return replace(found, since=start_of(found.since, interval, project.timezone, week_start=project.week_start_day))


def _earlier(
    dates: DateRange, compare: Compare, *, interval: Interval, date_from: str | None, date_to: str | None
) -> DateRange:
    """Return a range moved back.

    Without `back` it ends where the range begins and is as long: in whole days, of hours at the same times of day.
    By day, one of whole weeks up to now (`-7d`, `-14d`) lies on the same days of the week. Raises Invalid.
    """
    try:
        found = _moved(dates, compare.back) if compare.back else _before(dates, interval, date_from, date_to)
    except (OverflowError, ValueError):
        raise Invalid("The date is out of range.", attr="compare_to") from None
    if found.since < EARLIEST:
        raise Invalid("The date is out of range.", attr="compare_to")
    return found


def _before(dates: DateRange, interval: Interval, date_from: str | None, date_to: str | None) -> DateRange:
    since, until = dates.since, dates.until
    # By the clocks of the zone, so that days stay days where these are set.
    length = until.replace(tzinfo=None) - since.replace(tzinfo=None)
    if interval == "hour":
        # Numbers differ by the time of day most of all.
        first = datetime.combine(since - length, since.time(), since.tzinfo)
        if first == since:
            # Less than a day, that would be compared with itself.
            first -= timedelta(days=1)
        last = (first + length).replace(minute=until.minute, second=until.second, microsecond=until.microsecond)
        return DateRange(_real(first), _real(last))
    first = (since - length).replace(**_MIDNIGHT)  # type: ignore[arg-type]
    weeks = _WHOLE_WEEKS.fullmatch(date_from or "-7d")
    if interval == "day" and date_to is None and weeks is not None and int(weeks[1]) % _WEEK == 0 and int(weeks[1]):
        first += timedelta(days=1)
    last = (first + length).replace(**_DAY_END)  # type: ignore[arg-type]
    return DateRange(_real(first), _real(last))


def _moved(dates: DateRange, back: str) -> DateRange:
    found = _BACK.fullmatch(back)
    if found is None:
        raise ValueError(back)
    number, unit = int(found[1]), found[2]
    if unit == "h":
        return DateRange(*(
            (moment.astimezone(UTC) - timedelta(hours=number)).astimezone(moment.tzinfo)
            for moment in (dates.since, dates.until)
        ))  # fmt: skip
    step = relativedelta(weeks=13 * number) if unit == "q" else relativedelta(**{_UNITS[unit]: number})  # type: ignore[arg-type]
    return DateRange(_real(dates.since - step), _real(dates.until - step))


def _real(moment: datetime) -> datetime:
    """Return a time that the clocks show, where they skip the one that was reckoned."""
    return moment.astimezone(UTC).astimezone(moment.tzinfo)
