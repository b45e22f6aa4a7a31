"""Which events of the project a request is about."""

from datetime import datetime

from core.api.errors import Invalid
from core.insights.entities import group_type_index
from core.insights.filters import global_filter
from core.insights.parameters import Parameters
from core.insights.project import InsightProject
from core.persons.date_range import DateRange
from events.insights.source import EventScope


def read_scope(
    params: Parameters,
    project: InsightProject,
    *,
    now: datetime,
    dates: DateRange,
    group_type_index: int | None = None,
) -> EventScope:
    """Return the considered events: dates, global filter, test accounts, search and `sampling_factor`.

    `group_type_index` makes groups the actors; see `read_group_type_index`. Raises Invalid.
    """
    return EventScope(
        team_id=project.team_id,
        since=dates.since,
        until=dates.until,
        timezone=project.timezone,
        filter=global_filter(params, project, group_type_index=group_type_index, now=now),
        group_type_index=group_type_index,
        sampling=_sampling(params),
        waiting=project.waiting_owners,
    )


def read_group_type_index(params: Parameters, name: str = "aggregation_group_type_index") -> int | None:
    """Return the group type whose groups are the actors, None for persons. Raises Invalid."""
    return group_type_index(params.optional_integer(name), attr=name)


def _sampling(params: Parameters) -> float | None:
    """Return a share of the events; 0 is none of a choice, as with PostHog."""
    share = params.number("sampling_factor")
    if share is None or share == 0:
        return None
    if not 0 < share <= 1:
        raise Invalid(
            "Sampling factor must be greater than or equal to 0 and less than or equal to 1.", attr="sampling_factor"
        )
    return share
