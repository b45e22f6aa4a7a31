"""The parameters that divide a funnel's actors by a value (insight_actors.md 6.5)."""

from collections.abc import Mapping
from typing import Any, Final, cast

from core.actions.hogql import actions_named
from core.api.errors import Invalid
from core.filters.hogql import read_expression
from core.insights.parameters import Parameters, whole_number
from core.insights.project import InsightProject
from events.filters.errors import FilterError
from events.filters.members import MAX_COHORT_ID, MAX_KEY_LENGTH
from events.filters.row_expressions import RowExpression
from events.filters.sessions import check_property
from events.filters.values import value_text
from events.insights.funnel_query import EVERYBODY, Attribution, Breakdown, BreakdownType

TYPES: Final = ("event", "person", "cohort", "group", "session", "hogql")
ATTRIBUTIONS: Final = ("first_touch", "last_touch", "all_events", "step")
MAX_KEYS: Final = 10
MAX_COHORTS: Final = 100
MAX_LIMIT: Final = 1000
GROUP_TYPES: Final = 5
ALL_USERS: Final = 0
"""What a breakdown by cohorts calls everybody in answers, and clients that send them back."""
_ITEMS: Final = "breakdowns must be a list of items, each with property and type"


def read_breakdown(params: Parameters, project: InsightProject, *, steps: int) -> Breakdown | None:
    """Return the breakdown of a funnel with so many steps; None when there is none. Raises Invalid."""
    items, type_of_items = _items(params)
    chosen = items or _listed(params)
    kind = params.choice("breakdown_type", TYPES, type_of_items or "event")
    if not chosen:
        return None
    attribution = params.choice("breakdown_attribution_type", ATTRIBUTIONS, ATTRIBUTIONS[0])
    cohorts = [_cohort(one) for one in chosen if one != EVERYBODY] if kind == "cohort" else []
    return Breakdown(
        type=cast("BreakdownType", kind),
        keys=() if kind in {"cohort", "hogql"} else _keys(chosen, kind),
        expressions=_expressions(chosen, project) if kind == "hogql" else (),
        cohort_ids=tuple(dict.fromkeys(cohorts)),
        everybody=kind == "cohort" and EVERYBODY in chosen,
        group_type_index=_group_type(params) if kind == "group" else None,
        attribution=cast("Attribution", attribution),
        step=_step(params, steps) if attribution == "step" else 0,
        limit=_limit(params),
        normalize_url=params.flag("breakdown_normalize_url"),
        only=_only(params, everybody=kind == "cohort" and EVERYBODY in chosen),
    )


def _items(params: Parameters) -> tuple[list[Any], str | None]:
    """Return the properties of `breakdowns`, and the type that all of them have."""
    try:
        items = params.structured_list("breakdowns")
    except Invalid:
        raise Invalid(_ITEMS) from None
    if not all(isinstance(item, Mapping) and isinstance(item.get("property"), str | int) for item in items):
        raise Invalid(_ITEMS)
    types = {item.get("type") for item in items} - {None}
    if len(types) > 1 or not all(isinstance(one, str) and one in TYPES for one in types):
        raise Invalid("The items must be of one and the same type.", attr="breakdowns")
    return [item["property"] for item in items], next(iter(types), None)


def _listed(params: Parameters) -> list[Any]:
    """Return the members of `breakdown`, which is one value or a list of them, as JSON or as text."""
    value = params.values.get("breakdown")
    if isinstance(value, list) or (isinstance(value, str) and value.lstrip().startswith("[")):
        return params.structured_list("breakdown")
    text = params.text("breakdown")
    return [] if text is None else [text]


def _keys(chosen: list[Any], kind: str) -> tuple[str, ...]:
    keys = [value_text(one) if isinstance(one, str | int) else None for one in chosen]
    if None in keys or any(len(str(key)) > MAX_KEY_LENGTH for key in keys):
        message = f"Each breakdown is the name of a property, of at most {MAX_KEY_LENGTH} characters."
        raise Invalid(message, attr="breakdown")
    if len(keys) > (1 if kind == "group" else MAX_KEYS):
        message = f"At most {MAX_KEYS} properties can be broken down by, and of groups one."
        raise Invalid(message, attr="breakdown")
    return tuple(_of_session(str(key)) if kind == "session" else str(key) for key in keys)


def _of_session(key: str) -> str:
    try:
        return check_property(key)
    except FilterError as error:
        raise Invalid(error.message, attr="breakdown") from error


def _expressions(chosen: list[Any], project: InsightProject) -> tuple[RowExpression, ...]:
    if len(chosen) > MAX_KEYS:
        message = f"At most {MAX_KEYS} expressions can be broken down by."
        raise Invalid(message, attr="breakdown")
    return tuple(
        read_expression(str(one), team_id=project.team_id, attr="breakdown", actions=actions_named) for one in chosen
    )


def _cohort(value: Any) -> int:  # noqa: ANN401 parsed JSON
    number = whole_number(value, attr="breakdown")
    if not 0 <= number <= MAX_COHORT_ID:
        raise Invalid("This must be the id of a cohort.", attr="breakdown")
    return number


def _group_type(params: Parameters) -> int:
    index = params.optional_integer("breakdown_group_type_index")
    if index is None or not 0 <= index < GROUP_TYPES:
        message = f"A breakdown by a group's property needs its type, 0 to {GROUP_TYPES - 1}."
        raise Invalid(message, attr="breakdown_group_type_index")
    return index


def _step(params: Parameters, steps: int) -> int:
    step = params.optional_integer("breakdown_attribution_value")
    if step is None or not 0 <= step < steps:
        message = f"Attribution to a step needs its number, 0 to {steps - 1}."
        raise Invalid(message, attr="breakdown_attribution_value")
    return step


def _limit(params: Parameters) -> int:
    limit = params.integer("breakdown_limit", 0)
    if not 0 <= limit <= MAX_LIMIT:
        message = f"Ensure this value is between 0 and {MAX_LIMIT}."
        raise Invalid(message, attr="breakdown_limit")
    return limit or Breakdown("event").limit


def _only(params: Parameters, *, everybody: bool) -> tuple[str, ...] | None:
    """Return the value whose actors are kept: JSON where the text is that, else the text itself.

    Where there is a value of everybody, ALL_USERS is another name of it.
    """
    value = params.values.get("funnel_step_breakdown")
    if isinstance(value, str) and value.strip():
        try:
            value = params.structured("funnel_step_breakdown")
        except Invalid:
            value = params.text("funnel_step_breakdown")
    if value is None:
        return None
    listed = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str | int | float) for one in listed):
        raise Invalid("This must be a value or a list of values.", attr="funnel_step_breakdown")
    texts = tuple(value_text(one) or "" for one in listed)
    return (EVERYBODY,) if everybody and texts == (str(ALL_USERS),) else texts
