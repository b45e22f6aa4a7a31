"""The actors that were active in so many intervals (insight_actors.md section 8)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from events.insights.entities import Entity
from events.insights.intervals import SUNDAY, Interval, start_of
from events.insights.rows import ActorRow
from events.insights.source import EventScope, Source
from events.insights.statement import Statement
from events.rows import clickhouse_time

# Per actor a number of that many bits is much less work than a set of intervals.
_BITS: Final = (64, 128, 256)
_SHORTEST: Final = {"day": timedelta(days=1), "week": timedelta(days=7), "month": timedelta(days=28)}


type Operator = Literal["exact", "gte", "lte"]
OPERATORS: Final[tuple[Operator, ...]] = ("exact", "gte", "lte")
_SIGNS: Final[dict[Operator, str]] = {"exact": "=", "gte": ">=", "lte": "<="}


@dataclass(frozen=True, slots=True)
class Criteria:
    """How many events an actor must have in an interval, at least one, for it to count."""

    operator: Operator
    value: int


@dataclass(frozen=True, slots=True)
class StickinessQuery:
    """One series over the events of a scope, whose dates are both set.

    Wanted is who has events in `intervals` different intervals of the project's time zone, by `operator`; weeks start
    on `week_start` (0 Sunday, 1 Monday). With `starts` the intervals are those that begin there, which are aware, in
    order, and the first no later than the first event. With `criteria` those intervals alone count that meet them.
    """

    scope: EventScope
    entity: Entity
    interval: Interval
    intervals: int
    week_start: int = SUNDAY
    operator: Operator = "exact"
    criteria: Criteria | None = None
    starts: tuple[datetime, ...] = ()


def stickiness_page(query: StickinessQuery, *, limit: int, offset: int) -> list[ActorRow]:
    """Return these actors, all active at least once, in the order of their keys. Raises what `Statement.rows` does."""
    if query.intervals < 1 and query.operator != "gte":
        return []
    statement = Statement()
    rows = statement.rows(
        f"SELECT toString(actor) AS key FROM ({active_actors(query, statement)})"  # noqa: S608 values are bound
        f" WHERE active {_SIGNS[query.operator]} {statement.bind(query.intervals)}"
        f" ORDER BY key LIMIT {statement.bind(limit)} OFFSET {statement.bind(offset)}"
    )
    return [ActorRow(actor) for (actor,) in rows]


def active_actors(query: StickinessQuery, statement: Statement) -> str:
    """Return a SELECT of each actor and in how many intervals it was `active`, if in any."""
    source = Source(query.scope, statement)
    events = source.select({}, entities=[query.entity], where=source.condition(query.entity))
    if query.criteria is None and not query.starts:
        active = active_intervals(query, statement)
        return f"SELECT actor, toInt64({active}) AS active FROM ({events}) GROUP BY actor"  # noqa: S608 values are bound
    if query.starts:
        starts = statement.bind([int(start.timestamp()) for start in query.starts], "Array(Int64)")
        start = f"roundDown(toUnixTimestamp64Second(ts), {starts})"
    else:
        start = start_of("ts", query.interval, query.scope.timezone, statement, week_start=query.week_start)
    wanted = Criteria("gte", 1) if query.criteria is None else query.criteria
    met = f"count() {_SIGNS[wanted.operator]} {statement.bind(wanted.value)}"
    intervals = f"SELECT actor, {start} AS start FROM ({events}) GROUP BY actor, start HAVING {met}"  # noqa: S608 values are bound
    return f"SELECT actor, toInt64(count()) AS active FROM ({intervals}) GROUP BY actor"  # noqa: S608 values are bound


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
