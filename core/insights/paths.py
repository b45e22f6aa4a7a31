"""The parameters of paths: which events are items and under which name, points, keys, funnel paths.

insight_actors.md 2.3 and 11. `edge_limit`, `min_edge_weight` and `max_edge_weight` are of the graph, and tell nothing
about persons.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from core.api.errors import Invalid
from core.insights.dates import read_dates
from core.insights.funnel import read_funnel
from core.insights.parameters import Parameters
from core.insights.path_items import MAX_NAME, read_items
from core.insights.project import InsightProject
from core.insights.scope import read_scope
from events.insights.paths import FunnelPart, FunnelPaths, PathKey, PathQuery

DEFAULT_STEPS: Final = 5
MAX_STEPS: Final = 100
FUNNEL_PARTS: Final[Mapping[str, FunnelPart]] = {
    "funnel_path_before_step": "before",
    "funnel_path_between_steps": "between",
    "funnel_path_after_step": "after",
}
_KEY: Final = re.compile(r"([1-9][0-9]{0,8})_(.*)", re.ASCII | re.DOTALL)
# A key that is none of these is no path's: nobody is there, which is no error.
_NOWHERE: Final = PathKey(0, "")
_NO_PRECEDING: Final = "Cannot request preceding step timestamp if target funnel step is the first step"
_OF_FUNNEL: Final = "funnel_filter"


def read_path(params: Parameters, project: InsightProject, *, now: datetime) -> PathQuery:
    """Read paths and the keys of the wanted ones. Raises Invalid."""
    items = read_items(params, project)
    dates = read_dates(params, project, now=now)
    dropoff = _key(params, "path_dropoff_key")
    return PathQuery(
        scope=read_scope(params, project, now=now, dates=dates),
        items=items,
        start_point=_point(params, "start_point"),
        end_point=_point(params, "end_point"),
        step_limit=_step_limit(params),
        start=None if dropoff else _key(params, "path_start_key"),
        end=None if dropoff else _key(params, "path_end_key"),
        dropoff=dropoff,
        funnel=_funnel(params, project, now=now),
    )


def _step_limit(params: Parameters) -> int:
    # As with the original, 0 is the same as nothing.
    number = params.integer("step_limit", DEFAULT_STEPS) or DEFAULT_STEPS
    if number < 1:
        raise Invalid("Ensure this value is greater than or equal to 1.", code="min_value", attr="step_limit")
    if number > MAX_STEPS:
        message = f"Ensure this value is less than or equal to {MAX_STEPS}."
        raise Invalid(message, code="max_value", attr="step_limit")
    return number


def _point(params: Parameters, name: str) -> str | None:
    text = _text(params, name)
    return text[:-1] if text is not None and len(text) > 1 and text.endswith("/") else text


def _key(params: Parameters, name: str) -> PathKey | None:
    text = _text(params, name)
    if text is None:
        return None
    found = _KEY.fullmatch(text)
    return _NOWHERE if found is None else PathKey(int(found[1]), found[2])


def _text(params: Parameters, name: str) -> str | None:
    text = params.text(name)
    if text is not None and len(text) > MAX_NAME:
        message = f"Ensure this field has no more than {MAX_NAME} characters."
        raise Invalid(message, code="max_length", attr=name)
    return text


def _funnel(params: Parameters, project: InsightProject, *, now: datetime) -> FunnelPaths | None:
    word = params.choice("funnel_paths", (*FUNNEL_PARTS,), "")
    if not word:
        return None
    given = params.structured(_OF_FUNNEL)
    if given is None:
        raise Invalid("This field is required.", code="required", attr=_OF_FUNNEL)
    if not isinstance(given, Mapping):
        raise Invalid("This must be an object.", attr=_OF_FUNNEL)
    try:
        return _funnel_paths(FUNNEL_PARTS[word], params, Parameters(given), project, now=now)
    except Invalid as error:
        attr = _OF_FUNNEL if error.attr is None else f"{_OF_FUNNEL}__{error.attr}"
        raise Invalid(error.detail, code=error.code, attr=attr) from error


def _funnel_paths(
    part: FunnelPart, params: Parameters, funnel: Parameters, project: InsightProject, *, now: datetime
) -> FunnelPaths:
    # How a funnel is shown does not matter here, only how far its persons went.
    found = read_funnel(funnel.replaced(funnel_viz_type="steps"), project, now=now)
    if found.query.scope.group_type_index is not None:
        raise Invalid("Paths are of persons, not of groups.", attr="aggregation_group_type_index")
    number = funnel.integer("funnel_step", 0)
    if number == 0:
        raise Invalid("Funnel paths need a funnel_step other than 0.", attr="funnel_step")
    if not -len(found.query.steps) <= number <= len(found.query.steps) or number == -1:
        message = f"The steps of this funnel are 1 to {len(found.query.steps)}."
        raise Invalid(message, attr="funnel_step")
    step = number if number > 0 else -number - 1
    if part == "between" and step == 1:
        raise Invalid(_NO_PRECEDING, attr="funnel_step")
    open_end = part == "before" and params.integer("funnel_step", 0) < 0
    return FunnelPaths(found.query, found.which, part, step, open_end=open_end)
