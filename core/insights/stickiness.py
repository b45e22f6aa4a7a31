"""The parameters of stickiness (insight_actors.md section 8)."""

from datetime import datetime
from typing import Final

from core.insights.dates import read_dates, read_interval
from core.insights.entities import target_entity
from core.insights.parameters import Parameters
from core.insights.project import InsightProject
from core.insights.schema import UNCACHED, Described
from core.insights.scope import read_scope
from core.insights.trends import SERIES
from events.insights.stickiness import StickinessQuery

STICKINESS: Final[Described] = {
    **UNCACHED,
    **SERIES,
    "stickiness_days": (int, "In how many different intervals, exactly. Default: 0, which is nobody."),
}


def read_stickiness(params: Parameters, project: InsightProject, *, now: datetime) -> StickinessQuery:
    """Return the question; `date_from` is moved down to the start of its interval. Raises Invalid."""
    entity = target_entity(params, project)
    dates = read_dates(params, project, now=now, rounded=True, always=True)
    return StickinessQuery(
        scope=read_scope(params, project, now=now, dates=dates, group_type_index=entity.math_group_type_index),
        entity=entity,
        interval=read_interval(params),
        intervals=params.integer("stickiness_days", 0),
        week_start=project.week_start_day,
    )
