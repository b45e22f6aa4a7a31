"""The parameters of lifecycle (insight_actors.md section 9), and the calendar around the interval asked about."""

from datetime import UTC, datetime, timedelta
from typing import Final

from core.api.errors import ApiError, Invalid
from core.insights.dates import read_dates, read_interval, read_moment, start_of
from core.insights.entities import read_entities, target_entity
from core.insights.parameters import Parameters
from core.insights.project import InsightProject
from core.insights.schema import UNCACHED, Described
from core.insights.scope import read_scope
from core.persons.date_range import DateRange
from events.insights.intervals import MONDAY, Interval
from events.insights.lifecycle import STATUSES, LifecycleQuery

MISSING: Final = "Missing parameter"
NO_DATE: Final = "Must include specified date"
NO_TYPE: Final = "Must include lifecycle type"
LIFECYCLE: Final[Described] = {
    **UNCACHED,
    "target_date": (str, "Any moment of the interval asked about: ISO 8601 or relative. Required."),
    "lifecycle_type": (str, f"One of {', '.join(STATUSES)}. Required."),
}
_TICK: Final = timedelta(microseconds=1)
# No interval is shorter, also where the clocks are set: an hour may have 30 minutes left, as on Lord Howe Island.
_SHORTEST: Final = {
    "hour": timedelta(minutes=30),
    "day": timedelta(hours=12),
    "week": timedelta(days=6),
    "month": timedelta(days=27),
}


class MissingParameterError(ApiError):
    """A parameter that must stand in the query string does not; older clients read the extra key `message`."""


def read_lifecycle(params: Parameters, project: InsightProject, *, now: datetime) -> LifecycleQuery | None:
    """Return the question; None for a status that there is not, which nobody has. Raises ApiError.

    Only the first entity counts. Weeks begin on Monday whatever the project says.
    """
    target, status = _required(params, "target_date", NO_DATE), _required(params, "lifecycle_type", NO_TYPE)
    entities = read_entities(params, project)
    entity = entities[0] if entities else target_entity(params, project)
    interval = read_interval(params)
    dates = read_dates(params, project, now=now)
    moment = read_moment(target, project, now=now, attr="target_date")
    try:
        start = _start(moment, interval, project)
        before = _start(start - _TICK, interval, project)
        end = _next(start, interval, project)
    except OverflowError:
        raise Invalid("The date is out of range.", attr="target_date") from None
    scope = read_scope(params, project, now=now, dates=_window(dates, interval, project))
    for known in STATUSES:
        if known == status:
            return LifecycleQuery(scope=scope, entity=entity, status=known, before=before, start=start, end=end)
    return None


def _required(params: Parameters, name: str, detail: str) -> str:
    text = params.in_query(name)
    if not text:
        error = MissingParameterError(detail, code=Invalid.code, attr=name)
        error.type, error.also = Invalid.type, {"message": MISSING}
        raise error
    return params.text(name) or ""


def _window(dates: DateRange, interval: Interval, project: InsightProject) -> DateRange:
    """Return all intervals that the dates touch, and the one before them."""
    since = _start(_start(dates.since, interval, project) - _TICK, interval, project)
    until = _next(_start(dates.until, interval, project), interval, project) - _TICK
    return DateRange(since, until)


def _start(moment: datetime, interval: Interval, project: InsightProject) -> datetime:
    # In UTC, for times of one zone are compared by their clocks, which may show the same time twice.
    return start_of(moment, interval, project.timezone, week_start=MONDAY).astimezone(UTC)


def _next(start: datetime, interval: Interval, project: InsightProject) -> datetime:
    """Return the start of the interval after the one that begins at `start`."""
    moment = start
    while (following := _start(moment, interval, project)) <= start:
        moment += _SHORTEST[interval]
    return following
