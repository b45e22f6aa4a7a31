"""The parameters of funnels: steps, order, window and exclusions, and which of the actors are asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, cast, get_args

from core.api.errors import Invalid
from core.insights.dates import read_dates, read_interval, read_moment
from core.insights.entities import read_entities, read_entity_list
from core.insights.funnel_breakdown import read_breakdown
from core.insights.parameters import Parameters, whole_number
from core.insights.project import InsightProject
from core.insights.scope import read_group_type_index, read_scope
from core.persons.date_range import EVERYTHING
from events.insights.entities import Entity
from events.insights.funnel import Entrance, Exclusion, FunnelQuery, Reached, Window
from events.insights.funnel_query import FunnelOrder, WindowUnit

MAX_STEPS: Final = 20
MAX_EXCLUSIONS: Final = 20
ORDERS: Final[tuple[str, ...]] = get_args(FunnelOrder.__value__)
VISUALIZATIONS: Final = ("steps", "time_to_convert", "trends")
LINE_GRAPH: Final = "ActionsLineGraph"
# Ten years, in each unit.
LONGEST_WINDOWS: Final = {
    "second": 315_600_000, "minute": 5_260_000, "hour": 87_700, "day": 3_660, "week": 523, "month": 120
}  # fmt: skip

_NO_STEP: Final = "Missing both funnel_step and funnel_custom_steps"
_FIRST_STEP: Final = "To request dropoff of initial step use -2"
_NO_DROP_OFF: Final = "Filter parameter drop_off must be provided and a bool for funnel trends persons!"
_NO_PERIOD: Final = "Filter parameter entrance_period_start must be provided and a datetime for funnel trends persons!"
_EXCLUSION: Final = "Exclusion event range is invalid."


@dataclass(frozen=True, slots=True)
class FunnelRequest:
    """A funnel, and which of its actors are wanted."""

    query: FunnelQuery
    which: Reached


def read_funnel(
    params: Parameters, project: InsightProject, *, now: datetime, default_step: int | None = None
) -> FunnelRequest:
    """Read a funnel and the wanted step (insight_actors.md 2.3, 3.5, 6.4 to 6.6).

    `default_step` stands in for a missing `funnel_step`, which otherwise is an error; with it the funnel is never read
    as a trend, however it is shown. Raises Invalid.
    """
    if params.text("funnel_aggregate_by_hogql") not in {None, "person_id"}:
        raise Invalid("The actors of a funnel are persons or groups.", attr="funnel_aggregate_by_hogql")
    trend = default_step is None and _is_trend(params)
    number = None if trend else _step_number(params, default_step)
    steps = tuple(read_entities(params, project))
    if not 1 <= len(steps) <= MAX_STEPS:
        message = f"A funnel has 1 to {MAX_STEPS} steps, given as events or actions."
        raise Invalid(message, attr="events")
    order = cast("FunnelOrder", params.choice("funnel_order_type", ORDERS, "ordered"))
    dates = read_dates(params, project, now=now)
    scope = read_scope(params, project, now=now, dates=dates, group_type_index=read_group_type_index(params))
    which = _trend_steps(params, len(steps)) if trend else _wanted(params, number, len(steps))
    query = FunnelQuery(
        scope=scope,
        steps=steps,
        order=order,
        window=_window(params),
        exclusions=_exclusions(params, project, steps, order),
        breakdown=read_breakdown(params, project, steps=len(steps)),
        entrance=_entrance(params, project, now) if trend else None,
    )
    if params.flag("include_final_matching_events"):
        which = replace(which, matched=None)
    return FunnelRequest(query, which)


def _is_trend(params: Parameters) -> bool:
    shown = params.choice("funnel_viz_type", VISUALIZATIONS, "")
    return shown == "trends" or (not shown and params.text("display") == LINE_GRAPH)


def _step_number(params: Parameters, default: int | None) -> int | None:
    """Return `funnel_step`; None where custom steps take its place."""
    if _custom_steps(params):
        return None
    number = params.optional_integer("funnel_step")
    number = default if number is None else number
    if number is None:
        raise Invalid(_NO_STEP, attr="funnel_step")
    if number == -1:
        raise Invalid(_FIRST_STEP, attr="funnel_step")
    return number


def _custom_steps(params: Parameters) -> frozenset[int]:
    return frozenset(
        whole_number(one, attr="funnel_custom_steps") for one in params.structured_list("funnel_custom_steps")
    )


def _wanted(params: Parameters, number: int | None, steps: int) -> Reached:
    if number is None:
        custom = _custom_steps(params)
        if not all(1 <= one <= steps for one in custom):
            message = f"The steps of this funnel are 1 to {steps}."
            raise Invalid(message, attr="funnel_custom_steps")
        return Reached.steps(custom)
    if not -steps <= number <= steps:
        drop_offs = f", and their drop-offs -2 to -{steps}" if steps > 1 else ""
        message = f"The steps of this funnel are 1 to {steps}{drop_offs}."
        raise Invalid(message, attr="funnel_step")
    return Reached.step(number)


def _window(params: Parameters) -> Window:
    days = _length(params, "funnel_window_days", "day")
    if days:
        return Window(days, "day")
    unit = (params.text("funnel_window_interval_unit") or "day").lower()
    if unit not in LONGEST_WINDOWS:
        message = f"This must be one of {', '.join(LONGEST_WINDOWS)}."
        raise Invalid(message, code="invalid_choice", attr="funnel_window_interval_unit")
    # As with every number of the original's funnels, 0 is the same as nothing.
    return Window(_length(params, "funnel_window_interval", unit) or Window().count, cast("WindowUnit", unit))


def _length(params: Parameters, name: str, unit: str) -> int:
    count = params.integer(name, 0)
    if not 0 <= count <= LONGEST_WINDOWS[unit]:
        message = f"A funnel's window has 1 to {LONGEST_WINDOWS[unit]} {unit}s."
        raise Invalid(message, attr=name)
    return count


def _exclusions(
    params: Parameters, project: InsightProject, steps: tuple[Entity, ...], order: FunnelOrder
) -> tuple[Exclusion, ...]:
    listed = read_entity_list(params.values.get("exclusions"), attr="exclusions", project=project)
    if len(listed) > MAX_EXCLUSIONS:
        message = f"A funnel has at most {MAX_EXCLUSIONS} exclusions."
        raise Invalid(message, attr="exclusions")
    found = []
    for entity, given in listed:
        first, last = _range(given, len(steps), order)
        everything = entity.id is None and entity.filter is None
        if everything or any(entity.repeats(step) for step in steps[first : last + 1]):
            raise Invalid("Exclusion steps cannot contain an event that's part of funnel steps.")
        found.append(Exclusion(entity, first, last))
    return tuple(found)


def _range(exclusion: Mapping[str, Any], steps: int, order: FunnelOrder) -> tuple[int, int]:
    ends = [exclusion.get(name) for name in ("funnel_from_step", "funnel_to_step")]
    if None in ends or "" in ends:
        raise Invalid("Exclusion event needs to define funnel steps")
    first, last = (whole_number(end, attr="exclusions") for end in ends)
    if first < 0:
        raise Invalid("The first step has the number 0.", attr="exclusions")
    if first >= last:
        message = f"{_EXCLUSION} End of range should be greater than start."
        raise Invalid(message)
    if first >= steps - 1:
        message = f"{_EXCLUSION} Start of range is greater than number of steps."
        raise Invalid(message)
    if last > steps - 1:
        message = f"{_EXCLUSION} End of range is greater than number of steps."
        raise Invalid(message)
    if order == "unordered" and (first, last) != (0, steps - 1):
        raise Invalid("Partial Exclusions not allowed in unordered funnels")
    return first, last


def _trend_steps(params: Parameters, steps: int) -> Reached:
    ends = {name: params.integer(name, 0) for name in ("funnel_from_step", "funnel_to_step")}
    for name, number in ends.items():
        if not 0 <= number < steps:
            message = f"The steps of this funnel are 0 to {steps - 1}."
            raise Invalid(message, attr=name)
    return Reached.between(ends["funnel_from_step"], ends["funnel_to_step"] or steps - 1, drop_off=_is_drop_off(params))


def _is_drop_off(params: Parameters) -> bool:
    if params.values.get("drop_off") in (None, ""):
        raise Invalid(_NO_DROP_OFF)
    try:
        return params.flag("drop_off")
    except Invalid:
        raise Invalid(_NO_DROP_OFF) from None


def _entrance(params: Parameters, project: InsightProject, now: datetime) -> Entrance:
    text = params.values.get("entrance_period_start")
    if not isinstance(text, str) or text == EVERYTHING:
        raise Invalid(_NO_PERIOD)
    try:
        start = read_moment(text, project, now=now, attr="entrance_period_start")
    except Invalid:
        raise Invalid(_NO_PERIOD) from None
    return Entrance(start, read_interval(params), project.week_start_day)
