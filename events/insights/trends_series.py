"""The data points of a trend: what a series comes to in every interval, for every value of its breakdown."""
# ruff: noqa: S608 values are bound

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from events.errors import QueryMistake
from events.filters.row_expressions import EventsAggregate
from events.insights.breakdowns import Dimension, Values, columns_of, frequent_values, number_ends, number_of, valued
from events.insights.entities import Entity
from events.insights.first_time import FIRST_MATHS, first_events
from events.insights.intervals import SUNDAY, Interval, start_of
from events.insights.source import EventScope, Source
from events.insights.statement import Statement
from events.insights.trends import PROPERTY_MATHS
from events.rows import clickhouse_time

PER_ACTOR: Final = "_count_per_actor"
ACTOR_MATHS: Final = frozenset({"dau", "unique", "unique_group", "weekly_active", "monthly_active"})
SESSION_MATH: Final = "unique_session"
# Every zone's hours begin on one of these.
_QUARTER: Final = 900
_WRAPPED: Final = re.compile(r"^(?:(?:LowCardinality|Nullable)\()*")
_NUMBERS: Final = re.compile(r"(?:U?Int|B?Float)\d+|Decimal|Bool|Nothing")
_MOMENT: Final = "DateTime64(6, 'UTC')"


@dataclass(frozen=True, slots=True)
class Reach:
    """From when (included) until when (not included) events count for the interval that begins at `start`."""

    start: datetime
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class SeriesQuery:
    """One series over the events of a scope.

    `interval` None gives one data point for the whole range. `reaches` are set where the intervals overlap, as those
    of weekly active actors do: an event counts in all that reach it, for maths that count actors alone.
    `first_only` counts each actor in its first interval and in no other. `math_property` is needed by PROPERTY_MATHS.
    An `aggregate` takes the place of the math.
    """

    scope: EventScope
    entity: Entity
    interval: Interval | None
    math_property: str | None = None
    week_start: int = SUNDAY
    values: Values | None = None
    reaches: tuple[Reach, ...] = ()
    first_only: bool = False
    aggregate: EventsAggregate | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """A data point: the start of its interval in Unix seconds (0 for the whole range), its value of the breakdown.

    `number` is None where no event had a number, or what came out is none that JSON has.
    """

    start: int
    value: tuple[str, ...]
    number: float | None


def trends_points(query: SeriesQuery) -> list[Point]:
    """Return the data points that have events, in no order.

    Raises what `Statement.rows` raises, and HogQLResolutionError for an `aggregate` that turns out to be no number.
    """
    statement = Statement()
    source = Source(query.scope, statement)
    if query.aggregate is None:
        events = _in_intervals(query, statement, _events(query, source, _of_math(query, source)))
        rows = statement.rows(_grouped(query, events))
    else:
        try:
            rows = statement.rows(_aggregated(query, query.aggregate, source))
        except QueryMistake:
            _check_number(query, query.aggregate)
            raise
    return [Point(int(start), tuple(value), number) for start, value, number in rows]


def trends_values(query: SeriesQuery, values: Values) -> list[tuple[str, ...]]:
    """Return the values that a series is broken down by, those with most events first, without MISSING and OTHER."""
    source = Source(query.scope, Statement())
    return frequent_values(values, source, _selected(query, source, columns_of(values, source)))


def histogram_ends(query: SeriesQuery, dimension: Dimension, count: int) -> list[float]:
    """Return the ends of at most so many bins of the numbers that a series' events have, rising and different."""
    source = Source(query.scope, Statement())
    numeric = replace(dimension, numeric=True)
    return number_ends(numeric, count, source, _selected(query, source, columns_of(Values((numeric,)), source)))


def _selected(query: SeriesQuery, source: Source, columns: dict[str, str]) -> str:
    if query.entity.math in FIRST_MATHS:
        return first_events(source, query.entity, columns)
    return source.select(columns, entities=[query.entity], where=source.condition(query.entity))


def _of_math(query: SeriesQuery, source: Source) -> dict[str, str]:
    math = query.entity.math
    if math in PROPERTY_MATHS:
        return {"number": number_of("e.properties", source.statement.bind(query.math_property or ""))}
    return {"session": "e.`$session_id`"} if math == SESSION_MATH else {}


def _events(query: SeriesQuery, source: Source, needed: Mapping[str, str]) -> str:
    """Return a SELECT of a row for each event: actor, ts, what is needed, the start of its interval, value."""
    statement = source.statement
    columns = dict(needed)
    if query.interval is None:
        columns["start"] = "toInt64(0)"
    elif not query.reaches:
        begun = start_of("e.timestamp", query.interval, query.scope.timezone, statement, week_start=query.week_start)
        columns["start"] = f"toInt64(toUnixTimestamp({begun}))"
    kept = ["actor", "ts", *columns]
    if query.values is None:
        events = _selected(query, source, columns)
        return f"SELECT {', '.join(kept)}, CAST([], 'Array(String)') AS value FROM ({events})"
    events = _selected(query, source, {**columns, **columns_of(query.values, source)})
    return valued(query.values, source, events, kept)


def _in_intervals(query: SeriesQuery, statement: Statement, events: str) -> str:
    """Let an event stand in all intervals that reach it."""
    if not query.reaches:
        return events
    bounds = [
        statement.bind([clickhouse_time(moment) for moment in moments], f"Array({_MOMENT})")
        for moments in ([one.since for one in query.reaches], [one.until for one in query.reaches])
    ]
    starts = statement.bind([int(one.start.timestamp()) for one in query.reaches], "Array(Int64)")
    moment = "ts"
    if all(_on_quarter(bound) for one in query.reaches for bound in (one.since, one.until)):
        moment = f"toDateTime64(intDiv(toUnixTimestamp(ts), {_QUARTER}) * {_QUARTER}, 6, 'UTC')"
    few = f"SELECT DISTINCT actor, value, {moment} AS at FROM ({events})"
    reached = f"arrayFilter((b, s, u) -> at >= s AND at < u, {starts}, {', '.join(bounds)})"
    return f"SELECT actor, value, arrayJoin({reached}) AS start FROM ({few})"


def _grouped(query: SeriesQuery, events: str) -> str:
    math = query.entity.math
    if query.first_only:
        events = f"SELECT actor, value, min(start) AS start FROM ({events}) GROUP BY actor, value"
        return f"SELECT start, value, toFloat64(count()) FROM ({events}) GROUP BY start, value"
    if math.endswith(PER_ACTOR):
        events = f"SELECT start, value, count() AS number FROM ({events}) GROUP BY start, value, actor"
        return f"SELECT start, value, {_of_numbers(math.removesuffix(PER_ACTOR))} FROM ({events}) GROUP BY start, value"
    if math in PROPERTY_MATHS:
        aggregate = _of_numbers(math)
    elif math in ACTOR_MATHS:
        aggregate = "toFloat64(uniqExact(actor))"
    elif math == SESSION_MATH:
        aggregate = "toFloat64(uniqExactIf(session, session != ''))"
    else:
        aggregate = "toFloat64(count())"
    return f"SELECT start, value, {aggregate} FROM ({events}) GROUP BY start, value"


def _aggregated(query: SeriesQuery, aggregate: EventsAggregate, source: Source) -> str:
    """Return the SELECT of the data points of an aggregation of the caller's own.

    Over the whole range, an aggregation of no events at all is a data point too.
    """
    written = source.aggregated(aggregate)
    events = _events(query, source, written.columns)
    keys, grouped = ("start, value", " GROUP BY start, value")
    if query.interval is None and query.values is None:
        keys, grouped = ("toInt64(0) AS start, CAST([], 'Array(String)') AS value", "")
    # The query user's answers have null for what is no number for JSON.
    return f"SELECT {keys}, {written.sql} FROM ({events}){grouped}"


def _check_number(query: SeriesQuery, aggregate: EventsAggregate) -> None:
    """Raise HogQLResolutionError if ClickHouse takes an aggregation for something else than a number."""
    source = Source(query.scope, Statement())
    written = source.type_of(aggregate)
    if written.type.kind != "Unknown":
        return
    events = _selected(query, source, dict(written.columns))
    try:
        # The count makes one row of no events, also where the name of the type needs none.
        ((name, _),) = source.statement.rows(f"SELECT {written.sql}, count() FROM (SELECT * FROM ({events}) LIMIT 0)")
    except QueryMistake:
        # Then the mistake is in the aggregation itself.
        return
    kind = _WRAPPED.sub("", name).partition("(")[0]
    if not _NUMBERS.fullmatch(kind):
        raise aggregate.no_number(kind)


def _of_numbers(math: str) -> str:
    aggregate = PROPERTY_MATHS[math].format(value="number")
    return f"if(count(number) = 0 OR NOT isFinite({aggregate}), NULL, toFloat64({aggregate}))"


def _on_quarter(moment: datetime) -> bool:
    return moment.timestamp() % _QUARTER == 0
