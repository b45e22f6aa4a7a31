"""The parameters of a trend's data point: its series, dates, math and breakdown (insight_actors.md section 7)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from core.api.errors import Invalid
from core.api.params import required
from core.insights.dates import read_dates
from core.insights.entities import target_entity
from core.insights.filters import all_of, read_filter
from core.insights.parameters import Parameters, structured_value, whole_number
from core.insights.project import InsightProject
from core.insights.schema import COMMON, Described
from core.insights.scope import read_scope
from core.persons.date_range import DateRange
from events.filters.grammar import HOGQL, HOGQL_VALUE, Filter
from events.filters.members import MAX_COHORT_ID, MAX_KEY_LENGTH
from events.insights.entities import Entity
from events.insights.trends import PROPERTY_MATHS, TrendsQuery

UNIQUE_GROUP: Final = "unique_group"
PER_ACTOR_MATHS: Final = frozenset(
    f"{name}_count_per_actor" for name in ("avg", "min", "max", "median", "p75", "p90", "p95", "p99")
)
DAYS_EARLIER: Final = {"weekly_active": 6, "monthly_active": 29}
COUNTING_MATHS: Final = frozenset({"total", "dau", "unique", "unique_session", *DAYS_EARLIER})
MATHS: Final = (*sorted(COUNTING_MATHS | PER_ACTOR_MATHS), UNIQUE_GROUP, *PROPERTY_MATHS)
TYPES: Final = ("event", "person", "group", "session", "cohort", "hogql")
WITHOUT_VALUE: Final = frozenset({"", "$$_posthog_breakdown_null_$$"})
OTHER: Final = "$$_posthog_breakdown_other_$$"
EVERYBODY: Final = "all"
MAX_GROUP_TYPE_INDEX: Final = 4

SERIES: Final[Described] = {
    "entity_id": (str, "The event's name, or the action's id, of the series."),
    "entity_type": (
        str,
        "`events` or `actions`; needed when the entity is not listed. With `events` and no `entity_id`, any event.",
    ),
    "entity_math": (str, "The math of the series. Default: total."),
    "entity_order": (int, "The series' position among `actions` and `events`, from 0; it wins over the others."),
}
TRENDS: Final[Described] = {
    **COMMON,
    **SERIES,
    "breakdown": (str, "The property, or the cohorts, that the chart is broken down by."),
    "breakdown_type": (str, "What `breakdown` is of: event (the default), person, group, session, cohort or hogql."),
    "breakdown_value": (str, "The value of the data point; `[low, high]` with `breakdown_histogram_bin_count`."),
    "breakdown_histogram_bin_count": (int, "Says that `breakdown_value` is a range of numbers."),
    "breakdown_group_type_index": (int, "The type of the groups whose property `breakdown` is, 0 to 4."),
}


def read_trends(params: Parameters, project: InsightProject, *, now: datetime) -> TrendsQuery:
    """Return the question. Dates are rounded (4.2.5), and reach back further for weekly and monthly active actors.

    Raises Invalid.
    """
    entity = target_entity(params, project)
    _check_math(entity)
    dates = read_dates(params, project, now=now, rounded=True)
    # A range that ends before it begins has no events, however far back it would reach.
    if entity.math in DAYS_EARLIER and dates.since <= dates.until:
        dates = DateRange(_earlier(dates.since, DAYS_EARLIER[entity.math]), dates.until)
    groups = entity.math_group_type_index if entity.math in {UNIQUE_GROUP, *PER_ACTOR_MATHS} else None
    scope = read_scope(params, project, now=now, dates=dates, group_type_index=groups)
    return TrendsQuery(
        scope=replace(scope, filter=all_of(scope.filter, _breakdown(params, project, now))),
        entity=entity,
        math_property=entity.math_property if entity.math in PROPERTY_MATHS else None,
    )


def _check_math(entity: Entity) -> None:
    if entity.math not in MATHS:
        message = f'"{entity.math[:100]}" is not a valid choice.'
        raise Invalid(message, code="invalid_choice", attr="math")
    if entity.math in PROPERTY_MATHS:
        if entity.math_property is None:
            raise required("math_property")
        if len(entity.math_property) > MAX_KEY_LENGTH:
            message = f"Ensure this field has no more than {MAX_KEY_LENGTH} characters."
            raise Invalid(message, code="max_length", attr="math_property")
    if entity.math == UNIQUE_GROUP and entity.math_group_type_index is None:
        raise required("math_group_type_index")


def _earlier(moment: datetime, days: int) -> datetime:
    """Return the same time of day so many days before, by the calendar of the moment's time zone."""
    return (moment - timedelta(days=days)).astimezone(UTC).astimezone(moment.tzinfo)


def _breakdown(params: Parameters, project: InsightProject, now: datetime) -> Filter | None:
    """Return what the events of the breakdown's value must be; None when nothing is asked of them (7.2)."""
    # Not as text: an empty value is one, unlike a missing one.
    value = params.values.get("breakdown_value")
    kind = params.choice("breakdown_type", TYPES, "event")
    if value is None:
        return None
    if kind == "cohort":
        if value in {"", EVERYBODY}:
            return None
        number = whole_number(value, attr="breakdown_value")
        if not 0 <= number <= MAX_COHORT_ID:
            raise Invalid("This must be the id of a cohort.", attr="breakdown_value")
        return read_filter({"type": "cohort", "key": "id", "value": number}, attr="breakdown_value", project=project)
    key = params.text("breakdown")
    # An array of HogQL begins like a list of properties.
    if key is None or (kind != HOGQL and key.lstrip().startswith("[")) or value == OTHER:
        return None
    of_property: dict[str, Any] = {"key": key, "type": HOGQL_VALUE if kind == HOGQL else kind}
    if kind == "group":
        of_property["group_type_index"] = _group_type_index(params)
    conditions = _conditions(params, params.text("breakdown_value") or "")
    wanted = {"type": conditions[0], "values": [{**of_property, **one} for one in conditions[1]]}
    return read_filter(wanted, attr="breakdown", project=project, now=now, values=kind == HOGQL)


def _conditions(params: Parameters, value: str) -> tuple[str, list[dict[str, Any]]]:
    """Return how the conditions on the property are joined, and each without the property."""
    nothing = ("OR", [{"operator": "is_not_set"}, {"operator": "exact", "value": ""}])
    if value in WITHOUT_VALUE:
        return nothing
    if not params.integer("breakdown_histogram_bin_count", 0):
        return "AND", [{"operator": "exact", "value": value}]
    ends = structured_value(value, attr="breakdown_value")
    if ends == ["", ""]:
        return nothing
    if not isinstance(ends, list) or [type(end) in {int, float} for end in ends] != [True, True]:
        raise Invalid("The value of a histogram's bin is a JSON list of two numbers.", attr="breakdown_value")
    low, high = ends
    if low > high:
        raise Invalid("The low end of a histogram's bin may not be above its high end.", attr="breakdown_value")
    return "AND", [{"operator": "gte", "value": low}, {"operator": "lt", "value": high}]


def _group_type_index(params: Parameters) -> int:
    index = params.optional_integer("breakdown_group_type_index")
    if index is None or not 0 <= index <= MAX_GROUP_TYPE_INDEX:
        message = f"A breakdown by a group's property needs its type, 0 to {MAX_GROUP_TYPE_INDEX}."
        raise Invalid(message, attr="breakdown_group_type_index")
    return index
