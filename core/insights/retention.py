"""The parameters of retention (insight_actors.md 10)."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from dateutil.relativedelta import relativedelta

from core.api.errors import Invalid
from core.insights.dates import read_dates
from core.insights.entities import read_entity
from core.insights.filters import all_of, read_filter
from core.insights.parameters import Parameters
from core.insights.project import InsightProject
from core.insights.schema import COMMON, Described
from core.insights.scope import read_group_type_index, read_scope
from core.persons.date_range import DateRange
from events.filters.grammar import Filter
from events.filters.values import value_text
from events.insights.entities import Entity
from events.insights.intervals import Interval
from events.insights.retention import RetentionQuery

PERIODS: Final[dict[str, Interval]] = {"Hour": "hour", "Day": "day", "Week": "week", "Month": "month"}
RECURRING, FIRST_TIME = "retention_recurring", "retention_first_time"
DEFAULT_INTERVALS: Final = 11
MAX_INTERVALS: Final = 400
MAX_BREAKDOWNS: Final = 10
DEFAULT_TARGET: Final = {"id": "$pageview", "type": "events"}
_BREAKDOWNS: Final = "breakdowns must be a list of items, each with property and type"
_BREAKDOWN_TYPES: Final = ("event", "person")
# What the event store can hold, with room for what is added to dates.
FIRST_YEAR, _LAST_YEAR = 1901, 2298

_NOT_HERE: Final = frozenset({"events", "actions", "date_from", "explicit_date", "interval", "include_recordings"})
_NOT_KEPT: Final = frozenset({"refresh", "cache_invalidation_key"})
_ENTITY: Final = '`{"id", "type": "events" or "actions", "properties"}`; an `id` of null is any event.'
RETENTION: Final[Described] = {
    **{name: told for name, told in COMMON.items() if name not in _NOT_HERE | _NOT_KEPT},
    "period": (str, f"One of {', '.join(PERIODS)}. Default: Day. Weeks begin on Sundays."),
    "total_intervals": (int, f"Periods of the table, 1 to {MAX_INTERVALS}; the last one is that of `date_to`."),
    "selected_interval": (int, "The period in which the target event happened, from 0, the earliest. Default: 0."),
    "retention_type": (str, f"`{RECURRING}` (the default), or `{FIRST_TIME}`: only the first target event ever."),
    "target_entity": (list, f"What makes an actor one of the row: {_ENTITY} Default: `$pageview`."),
    "returning_entity": (list, f"What counts as coming back: {_ENTITY} Default: the target."),
    "breakdowns": (
        list,
        'Properties of the target event, `[{"property", "type"}]`: rows are their values, not periods.',
    ),
    "breakdown_type": (str, f"The type of all breakdowns: {' or '.join(_BREAKDOWN_TYPES)}."),
    "breakdown_values": (list, "The values of the row, one for each breakdown. Default: `[selected_interval]`."),
    "aggregation_group_type_index": (int, "Actors are groups of this type."),
}


def read_retention(params: Parameters, project: InsightProject, *, now: datetime) -> RetentionQuery:
    """Return the row of the table that is asked for; Invalid for a table that cannot be."""
    period = _period(params)
    total = _within(params, "total_intervals", DEFAULT_INTERVALS, 1, MAX_INTERVALS)
    selected = _within(params, "selected_interval", 0, 0, total - 1)
    dates = _range(params, project, now=now, period=period, total=total)
    target = _entity(params, "target_entity", DEFAULT_TARGET, project)
    query = RetentionQuery(
        scope=read_scope(params, project, now=now, dates=dates, group_type_index=read_group_type_index(params)),
        period=period,
        row=selected,
        length=total - selected,
        target=target,
        returning=_entity(params, "returning_entity", None, project) if _given(params, "returning_entity") else target,
        first_time=params.choice("retention_type", (RECURRING, FIRST_TIME), RECURRING) == FIRST_TIME,
    )
    return _with_values(query, params, project)


def _period(params: Parameters) -> Interval:
    name = params.text("period") or "Day"
    if name not in PERIODS:
        message = f"Period {name[:100]} is unsupported."
        raise Invalid(message, attr="period")
    return PERIODS[name]


def _within(params: Parameters, name: str, default: int, least: int, most: int) -> int:
    number = params.integer(name, default)
    if not least <= number <= most:
        message = f"Ensure this value is between {least} and {most}."
        raise Invalid(message, code="min_value" if number < least else "max_value", attr=name)
    return number


def _range(params: Parameters, project: InsightProject, *, now: datetime, period: Interval, total: int) -> DateRange:
    """Return S and E: E is a period after `date_to`, S is all periods before E (10.1)."""
    asked = params.replaced(date_from=None, explicit_date=True, interval=None)
    date_to = read_dates(asked, project, now=now).until
    try:
        until = _moved(date_to, period, 1)
        if period != "hour":
            until = until.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        since = _moved(until, period, -total)
        if period == "week":
            since -= timedelta(days=since.isoweekday() % 7)
    except (OverflowError, ValueError):
        raise Invalid("The date is out of range.", attr="date_to") from None
    if since.year < FIRST_YEAR or until.year > _LAST_YEAR:
        raise Invalid("The date is out of range.", attr="date_to")
    return DateRange(since, until)


def _moved(moment: datetime, period: Interval, count: int) -> datetime:
    if period == "hour":
        return (moment.astimezone(UTC) + timedelta(hours=count)).astimezone(moment.tzinfo)
    return moment + relativedelta(**{f"{period}s": count})  # type: ignore[arg-type]


def _given(params: Parameters, name: str) -> bool:
    return params.structured(name) is not None


def _entity(params: Parameters, name: str, default: Any, project: InsightProject) -> Entity:  # noqa: ANN401 any JSON value
    value = params.structured(name)
    return read_entity(default if value is None else value, attr=name, project=project)


def _with_values(query: RetentionQuery, params: Parameters, project: InsightProject) -> RetentionQuery:
    """Let `breakdowns` and `breakdown_values` select the row (10.4)."""
    breakdowns = _breakdowns(params)
    values = params.structured_list("breakdown_values") or [query.row]
    if not all(value is None or isinstance(value, str | int | float) for value in values):
        raise Invalid("This must be a list of values.", attr="breakdown_values")
    nobody = replace(query.target, matches=())
    if not breakdowns:
        row = values[0] if len(values) == 1 else None
        if isinstance(row, bool) or not isinstance(row, int) or not 0 <= row < query.row + query.length:
            return replace(query, target=nobody)
        return replace(query, row=row)
    if len(values) != len(breakdowns):
        return replace(query, target=nobody)
    return replace(query, breakdown=all_of(*(
        _valued(key, kind, value, project) for (key, kind), value in zip(breakdowns, values, strict=True)
    )))  # fmt: skip


def _breakdowns(params: Parameters) -> list[tuple[str, str]]:
    """Return key and type of each property."""
    try:
        items = params.structured_list("breakdowns")
    except Invalid:
        raise Invalid(_BREAKDOWNS) from None
    if not all(isinstance(item, Mapping) and isinstance(item.get("property"), str) for item in items):
        raise Invalid(_BREAKDOWNS)
    if len(items) > MAX_BREAKDOWNS:
        message = f"At most {MAX_BREAKDOWNS} properties can be broken down by."
        raise Invalid(message, code="max_length", attr="breakdowns")
    shared = params.choice("breakdown_type", _BREAKDOWN_TYPES, "")
    kinds = [shared or item.get("type") or _BREAKDOWN_TYPES[0] for item in items]
    if not all(kind in _BREAKDOWN_TYPES for kind in kinds):
        raise Invalid("Retention can be broken down by properties of events and of persons.", attr="breakdowns")
    return [(item["property"], kind) for item, kind in zip(items, kinds, strict=True)]


def _valued(key: str, kind: str, value: Any, project: InsightProject) -> Filter | None:  # noqa: ANN401 any JSON value
    """Return the filter on one value; the empty text stands for a missing property too."""
    place = {"key": key, "type": kind}
    exact = {**place, "operator": "exact", "value": [value_text(value) or ""]}
    missing = [] if value_text(value) else [{**place, "operator": "is_not_set"}]
    return read_filter({"type": "OR", "values": [exact, *missing]}, attr="breakdowns", project=project)
