"""The numbers of a whole funnel: how many reached each step, how long that took, and conversion over time."""
# ruff: noqa: S608 values are bound

import math
from dataclasses import dataclass
from typing import Final

from events.insights.funnel import funnel_sql
from events.insights.funnel_breakdown import division
from events.insights.funnel_chains import asked_entities
from events.insights.funnel_codes import Codes, moment
from events.insights.funnel_ordered import ordered
from events.insights.funnel_query import FunnelQuery
from events.insights.funnel_strict import strict
from events.insights.funnel_unordered import unordered
from events.insights.intervals import Interval, start_of
from events.insights.source import Source
from events.insights.statement import Statement

MOST_BINS: Final = 60
_SECOND: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class FunnelRow:
    """What became of those with one value of the breakdown.

    `reached[i]` did step i+1. `averages` and `medians` are seconds from the step before, None where nobody came, and
    None for the first step.
    """

    value: tuple[str, ...]
    reached: tuple[int, ...]
    averages: tuple[float | None, ...]
    medians: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class TimeToConvert:
    """How long those who converted took: seconds, and bins of (least seconds, how many actors)."""

    average: float | None
    median: float | None
    bins: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Conversion:
    """Of the actors with a start in the interval that begins at `start` (Unix seconds), how many came how far."""

    value: tuple[str, ...]
    start: int
    came: int
    converted: int


def funnel_rows(query: FunnelQuery) -> list[FunnelRow]:
    """Return a row for each value of the breakdown, the largest first; one row, or none, without a breakdown."""
    statement = Statement()
    count = len(query.steps)
    took = [f"{_micros('times', step)}" for step in range(1, count)]
    columns = [
        f"[{', '.join(f'countIf(steps > {step})' for step in range(count))}] AS reached",
        _listed([_mean(one, f"steps > {step}") for step, one in enumerate(took, 1)], "averages"),
        _listed([_middle(one, f"steps > {step}") for step, one in enumerate(took, 1)], "medians"),
    ]
    value = "value" if query.breakdown is not None else "CAST([], 'Array(String)')"
    rows = statement.rows(
        f"SELECT {value} AS of, {', '.join(columns)} FROM ({funnel_sql(query, Source(query.scope, statement))})"
        " GROUP BY of ORDER BY reached[1] DESC, of"
    )
    return [
        FunnelRow(tuple(of), tuple(reached), (None, *averages), (None, *medians))
        for of, reached, averages, medians in rows
    ]


def time_to_convert(query: FunnelQuery, *, from_step: int, to_step: int, bins: int | None) -> TimeToConvert:
    """Return how long actors took from one step to another (from 0), in bins of equal width.

    Without a number of bins there are as many as the cube root of how many actors converted, MOST_BINS at most.
    """
    statement = Statement()
    took = f"{_micros('times', to_step, from_step)}"
    converted = (
        f"SELECT {took} AS took FROM ({funnel_sql(query, Source(query.scope, statement))}) WHERE steps > {to_step}"
    )
    ((low, high, number, average, median),) = statement.rows(
        f"SELECT intDiv(min(took), {_SECOND}), intDiv(max(took) + {_SECOND - 1}, {_SECOND}), count(),"
        f" {_mean('took', '1')}, {_middle('took', '1')} FROM ({converted})"
    )
    if not number:
        return TimeToConvert(None, None, ())
    count = bins or min(MOST_BINS, max(1, _cube_root(number)))
    width = -(-(high - low) // count) or 60
    rows = statement.rows(
        f"SELECT intDiv(intDiv(took, {_SECOND}) - {low}, {width}) AS bin, count() FROM ({converted}) GROUP BY bin"
    )
    found = dict(rows)
    return TimeToConvert(
        average, median, tuple((low + width * place, found.get(place, 0)) for place in range(count + 1))
    )


def funnel_conversions(
    query: FunnelQuery, *, from_step: int, to_step: int, interval: Interval, week_start: int
) -> list[Conversion]:
    """Return how many actors with a start in an interval came to a step and to a later one (both from 0; 6.6)."""
    statement = Statement()
    source = Source(query.scope, statement)
    codes = Codes(asked_entities(query), tuple(range(len(asked_entities(query)))))
    match query.order:
        case "ordered":
            chains = ordered(query, source)
            times = chains.at[0]
        case "strict":
            chains = strict(query, source)
            times = chains.at[0]
        case "unordered":
            chains = unordered(query, source)
            times = f"arrayMap(c -> {codes.time('c')}, k)"
    parts = division(query.breakdown)
    value = parts.value if parts.value is not None else "CAST([], 'Array(String)')"
    start = start_of(moment("t"), interval, query.scope.timezone, statement, week_start=week_start)
    starts = f"arrayMap((r, t) -> (r, t), reach, {times})"
    begun = f"SELECT actor, {value} AS value, arrayFilter(b -> b.1 > 0, {starts}) AS begun FROM ({chains.sql})"
    each = (
        f"SELECT actor, value, arrayJoin(arrayMap(b -> (b.1, arrayMap(t -> toInt64(toUnixTimestamp({start})),"
        f" [b.2])[1]), begun)) AS one FROM ({begun})"
    )
    best = f"SELECT actor, value, one.2 AS start, max(one.1) AS steps FROM ({each}) GROUP BY actor, value, start"
    rows = statement.rows(
        f"SELECT value, start, countIf(steps > {from_step}), countIf(steps > {to_step}) FROM ({best})"
        " GROUP BY value, start ORDER BY value, start"
    )
    return [Conversion(tuple(of), start, came, converted) for of, start, came, converted in rows]


def _micros(times: str, step: int, since: int | None = None) -> str:
    """Return the microseconds between the times of two steps (from 0), by default of a step and the one before."""
    before = step - 1 if since is None else since
    ends = (f"toUnixTimestamp64Micro({times}[{place + 1}])" for place in (step, before))
    # Of a chain that is shorter the time is the epoch; its condition leaves it out.
    return f"({' - '.join(ends)})"


def _mean(took: str, condition: str) -> str:
    return f"if(countIf({condition}) = 0, NULL, sumIf({took}, {condition}) / countIf({condition}) / {_SECOND})"


def _middle(took: str, condition: str) -> str:
    median = f"quantileExactInclusiveIf(0.5)({took}, {condition})"
    return f"if(countIf({condition}) = 0, NULL, {median} / {_SECOND})"


def _listed(expressions: list[str], name: str) -> str:
    return f"CAST([{', '.join(expressions)}], 'Array(Nullable(Float64))') AS {name}"


def _cube_root(number: int) -> int:
    """Return the least whole number whose cube is at least a number."""
    root = round(math.cbrt(number))
    while root**3 < number:
        root += 1
    while root and (root - 1) ** 3 >= number:
        root -= 1
    return root
