"""The persons that were new, returning, resurrecting or dormant in one interval (insight_actors.md section 9).

What a person is in an interval depends on that interval and the one before alone, so no other events are read.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from events.insights.entities import Entity
from events.insights.rows import ActorRow
from events.insights.source import EventScope, Source
from events.insights.statement import Statement
from events.rows import clickhouse_time

type Status = Literal["new", "returning", "resurrecting", "dormant"]
STATUSES: Final[tuple[Status, ...]] = ("new", "returning", "resurrecting", "dormant")

_TICK: Final = timedelta(microseconds=1)
_BORN_HERE: Final = (
    "actor IN (SELECT id FROM persons FINAL"
    " WHERE team_id = {{team_id:Int64}} AND created_at >= {start} AND created_at < {end})"
)
# Of an actor with events in the interval (`here`) or in the one before.
_CONDITIONS: Final[dict[Status, str]] = {
    "new": "max(here) AND {born}",
    "returning": "max(here) AND NOT min(here) AND NOT {born}",
    "resurrecting": "min(here) AND NOT {born}",
    "dormant": "NOT max(here)",
}


@dataclass(frozen=True, slots=True)
class LifecycleQuery:
    """Who has a status in the interval from `start` up to but without `end`; the interval before it is from `before`.

    The scope's dates are the whole window of the lifecycle, events outside of which are not seen. Actors are persons.
    """

    scope: EventScope
    entity: Entity
    status: Status
    before: datetime
    start: datetime
    end: datetime


def lifecycle_page(query: LifecycleQuery, *, limit: int, offset: int) -> list[ActorRow]:
    """Return these persons in the order of their UUIDs. Raises what `Statement.rows` raises."""
    since, until = query.before, query.end - _TICK
    since = since if query.scope.since is None else max(since, query.scope.since.astimezone(UTC))
    until = until if query.scope.until is None else min(until, query.scope.until.astimezone(UTC))
    if since > until:
        return []
    statement = Statement()
    source = Source(replace(query.scope, since=since, until=until), statement)
    start, end = (
        statement.bind(clickhouse_time(moment), "DateTime64(6, 'UTC')") for moment in (query.start, query.end)
    )
    events = source.select({"here": f"e.timestamp >= {start}"}, entities=[query.entity],
                           where=source.condition(query.entity))  # fmt: skip
    condition = _CONDITIONS[query.status].format(born=_BORN_HERE.format(start=start, end=end))
    rows = statement.rows(
        f"SELECT toString(actor) AS key FROM ({events}) GROUP BY actor HAVING {condition}"  # noqa: S608 values are bound
        f" ORDER BY key LIMIT {statement.bind(limit)} OFFSET {statement.bind(offset)}"
    )
    return [ActorRow(actor) for (actor,) in rows]
