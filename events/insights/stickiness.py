"""The actors that were active in exactly so many intervals (insight_actors.md section 8)."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from events.insights.entities import Entity
from events.insights.intervals import SUNDAY, Interval, start_of
from events.insights.rows import ActorRow
from events.insights.source import EventScope, Source
from events.insights.statement import Statement
from events.rows import clickhouse_time

# Per actor a number of that many bits is much less work than a set of intervals.
_BITS: Final = (64, 128, 256)
_SHORTEST: Final = {"day": timedelta(days=1), "week": timedelta(days=7), "month": timedelta(days=28)}


@dataclass(frozen=True, slots=True)
class StickinessQuery:
    """One series over the events of a scope, whose dates are both set.

    Wanted is who has events in exactly `intervals` different intervals of the project's time zone; weeks start on
    `week_start` (0 Sunday, 1 Monday).
    """

    scope: EventScope
    entity: Entity
    interval: Interval
    intervals: int
    week_start: int = SUNDAY


def stickiness_page(query: StickinessQuery, *, limit: int, offset: int) -> list[ActorRow]:
    """Return these actors in the order of their keys; nobody for 0 intervals. Raises what `Statement.rows` raises."""
    if query.intervals < 1:
        return []
    statement = Statement()
    source = Source(query.scope, statement)
    events = source.select({}, entities=[query.entity], where=source.condition(query.entity))
    rows = statement.rows(
        f"SELECT toString(actor) AS key FROM ({events}) GROUP BY actor"  # noqa: S608 values are bound
        f" HAVING {active_intervals(query, statement)} = {statement.bind(query.intervals)}"
        f" ORDER BY key LIMIT {statement.bind(limit)} OFFSET {statement.bind(offset)}"
    )
    return [ActorRow(actor) for (actor,) in rows]


def active_intervals(query: StickinessQuery, statement: Statement) -> str:
    """Return an expression that counts the different intervals of an actor's events (`ts`)."""
    since, until = query.scope.since, query.scope.until
    if since is None or until is None:
        raise ValueError("stickiness needs both dates")
    # One more for the interval at each end that is there in part.
    most = None if query.interval == "hour" else (until - since) // _SHORTEST[query.interval] + 2
    bits = next((bits for bits in _BITS if most is not None and most <= bits), None)
    if bits is None:
        start = start_of("ts", query.interval, query.scope.timezone, statement, week_start=query.week_start)
        return f"uniqExact({start})"
    first = statement.bind(clickhouse_time(since), "DateTime64(6, 'UTC')")
    number = f"{_number_of('ts', query, statement)} - {_number_of(first, query, statement)}"
    return f"bitCount(groupBitOr(bitShiftLeft(toUInt{bits}(1), {number})))"


def _number_of(moment: str, query: StickinessQuery, statement: Statement) -> str:
    """Return the number of the day, week or month of a moment; the next one has the next number."""
    zone = statement.bind(query.scope.timezone)
    if query.interval == "month":
        return f"toRelativeMonthNum({moment}, {zone})"
    day = f"toRelativeDayNum({moment}, {zone})"
    # The epoch was a Thursday.
    return day if query.interval == "day" else f"intDiv({day} + {4 if query.week_start == SUNDAY else 3}, 7)"
