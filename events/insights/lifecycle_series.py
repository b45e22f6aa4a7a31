"""How many persons were new, returning, resurrecting and dormant in each interval (insight_actors.md section 9)."""
# ruff: noqa: S608 values are bound

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from events.insights.entities import Entity
from events.insights.intervals import Interval, start_of
from events.insights.lifecycle import STATUSES, Status
from events.insights.source import EventScope, Source
from events.insights.statement import Statement

_NONE: Final = -2


@dataclass(frozen=True, slots=True)
class LifecycleSeries:
    """The intervals that begin at `starts`, the first of which is the one before the graph; all follow each other.

    The scope's dates are the whole window: all of these intervals. Actors are persons.
    """

    scope: EventScope
    entity: Entity
    interval: Interval
    starts: Sequence[datetime]
    week_start: int


def lifecycle_counts(query: LifecycleSeries) -> dict[tuple[Status, int], int]:
    """Return how many persons have a status in the interval with a number (its place in `starts`), those above 0."""
    statement = Statement()
    source = Source(query.scope, statement)
    bind = statement.bind
    starts = bind([int(one.timestamp()) for one in query.starts], "Array(Int64)")
    numbers = bind(list(range(len(query.starts))), "Array(Int64)")

    def number(moment: str) -> str:
        begun = start_of(moment, query.interval, query.scope.timezone, statement, week_start=query.week_start)
        return f"transform(toInt64(toUnixTimestamp({begun})), {starts}, {numbers}, toInt64({_NONE}))"

    events = source.select(
        {"place": number("e.timestamp")}, entities=[query.entity], where=source.condition(query.entity)
    )
    active = f"SELECT actor, groupUniqArray(place) AS active FROM ({events}) GROUP BY actor"
    born = f"SELECT id, {number('created_at')} AS born FROM persons FINAL WHERE team_id = {{team_id:Int64}}"
    joined = (
        "SELECT active, if(b.id = toUUID('00000000-0000-0000-0000-000000000000'),"
        f" toInt64({_NONE}), b.born) AS born FROM ({active}) AS a LEFT ANY JOIN ({born}) AS b ON b.id = a.actor"
    )
    here = "multiIf(n = born, 0, has(active, n - 1), 1, 2)"
    last = len(query.starts) - 1
    pairs = (
        f"arrayConcat(arrayMap(n -> (toInt64({here}), n), arrayFilter(n -> n >= 1, active)),"
        f" arrayMap(n -> (toInt64(3), n + 1),"
        f" arrayFilter(n -> n >= 0 AND n < {last} AND NOT has(active, n + 1), active)))"
    )
    rows = statement.rows(
        f"SELECT pair.1 AS status, pair.2 AS place, count() FROM (SELECT arrayJoin({pairs}) AS pair FROM ({joined}))"
        " GROUP BY status, place"
    )
    return {(STATUSES[status], place): count for status, place, count in rows}
