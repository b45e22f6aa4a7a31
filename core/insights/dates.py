"""The dates of a request, in the project's time zone (insight_actors.md 4.2)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from core.api.errors import Invalid
from core.insights.parameters import Parameters
from core.insights.project import InsightProject
from core.persons.date_range import EVERYTHING, DateError, DateRange, Given
from core.persons.timeline import range_of
from events.insights.intervals import INTERVALS, MONDAY, Interval
from events.rows import EARLIEST, LATEST

_MINUTE: Final = "minute"
_SPANS: Final = {"hour": timedelta(hours=1), "day": timedelta(days=1)}
_BEFORE_MINUTES: Final[dict[str, Any]] = {"minute": 0, "second": 0, "microsecond": 0}
_MIDNIGHT: Final[dict[str, Any]] = {**_BEFORE_MINUTES, "hour": 0, "fold": 0}


def read_interval(params: Parameters, default: Interval = "day") -> Interval:
    """Return `interval`: one of INTERVALS, `minute` read as hour; Invalid for any other."""
    name = params.choice("interval", (*INTERVALS, _MINUTE), default)
    return "hour" if name == _MINUTE else _interval(name)


def read_dates(
    params: Parameters, project: InsightProject, *, now: datetime, rounded: bool = False, always: bool = False
) -> DateRange:
    """Return the range of `date_from`, `date_to`, `interval` and `explicit_date`; both ends are included.

    `rounded` moves the beginning down to the start of its interval (4.2.5): a day or hour only when the range spans
    two of them, unless `always`. Dates of `explicit_date` are never rounded. Text that is no date stands for now;
    Invalid is raised for dates that no calendar has.
    """
    interval = read_interval(params)
    explicit = params.flag("explicit_date")
    given = Given(
        params.text("date_from"), params.text("date_to"), interval, explicit=explicit, lenient=True, widened=False
    )
    try:
        found = _storable(range_of(given, team_id=project.team_id, timezone=project.timezone, now=now))
        return _rounded(found, interval, project, always=always) if rounded and not explicit else found
    except (DateError, OverflowError) as error:
        name = error.name if isinstance(error, DateError) else "date_from"
        raise Invalid("The date is out of range.", attr=name) from None


def read_moment(text: str, project: InsightProject, *, now: datetime, attr: str) -> datetime:
    """Return the moment of an ISO or relative date, in the project's time zone; Invalid for anything else."""
    try:
        if text == EVERYTHING:
            raise DateError(attr)  # noqa: TRY301 answered as any other text that is no date
        return range_of(
            Given(text, None, explicit=True, widened=False),
            team_id=project.team_id,
            timezone=project.timezone,
            now=now,
        ).since
    except DateError:
        raise Invalid("This is neither an ISO 8601 date nor a relative one such as -7d.", attr=attr) from None


def start_of(moment: datetime, interval: str, timezone: str, *, week_start: int) -> datetime:
    """Return the start of the interval that a moment lies in, in a time zone; the twin of `events.insights.intervals`.

    Where the clocks go over midnight, a day begins with its first moment that there is.
    """
    here = moment.astimezone(ZoneInfo(timezone))
    if interval == "hour":
        return here.replace(**_BEFORE_MINUTES)
    if interval == "week":
        weekday = here.weekday() if week_start == MONDAY else here.isoweekday() % 7
        here -= timedelta(days=weekday)
    elif interval == "month":
        here = here.replace(day=1)
    return _existing(here.replace(**_MIDNIGHT))


def _existing(moment: datetime) -> datetime:
    return moment.astimezone(UTC).astimezone(moment.tzinfo)


def _rounded(found: DateRange, interval: Interval, project: InsightProject, *, always: bool) -> DateRange:
    span = _SPANS.get(interval)
    if span is not None and not always and found.until.astimezone(UTC) - found.since.astimezone(UTC) < 2 * span:
        return found
    return replace(found, since=start_of(found.since, interval, project.timezone, week_start=project.week_start_day))


def _storable(found: DateRange) -> DateRange:
    """Return the part of a range in which events can be: no later step of counting leaves the calendar then."""
    return DateRange(_within(found.since), _within(found.until))


def _within(moment: datetime) -> datetime:
    return min(max(moment, EARLIEST), LATEST).astimezone(moment.tzinfo)


def _interval(name: str) -> Interval:
    match name:
        case "hour" | "day" | "week" | "month":
            return name
        case _:
            raise ValueError(name)
