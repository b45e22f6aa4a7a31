"""The actors behind one data point of a trend (insight_actors.md section 7), each with its value there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from events.filters.forms import literal
from events.filters.grammar import Filter
from events.filters.values import LONGEST_NUMBER, NUMBER_PATTERN
from events.insights.entities import Entity
from events.insights.first_time import FIRST_MATHS, first_events
from events.insights.rows import ActorRow, MatchedEvent
from events.insights.source import EventScope, Source
from events.insights.statement import Statement

# Floats are added up in one order, so that a sum is the same for every page. Shares between two values are linear.
PROPERTY_MATHS: Final = {
    "sum": "arraySum(arraySort(groupArray({value})))",
    "avg": "arrayAvg(arraySort(groupArray({value})))",
    "min": "min({value})",
    "max": "max({value})",
    "median": "quantileExactInclusive(0.5)({value})",
    "p75": "quantileExactInclusive(0.75)({value})",
    "p90": "quantileExactInclusive(0.9)({value})",
    "p95": "quantileExactInclusive(0.95)({value})",
    "p99": "quantileExactInclusive(0.99)({value})",
}
MATCHED_EVENTS: Final = 10


@dataclass(frozen=True, slots=True)
class TrendsQuery:
    """One series over the events of a scope, which has the data point's dates and its breakdown's condition.

    `math_property` is the event property that is aggregated per actor by `entity.math`, one of PROPERTY_MATHS; with
    None the value of an actor is the number of its events. Of the events that count, those alone are listed that pass
    `only`: which event is an actor's first one does not depend on it.
    """

    scope: EventScope
    entity: Entity
    math_property: str | None = None
    only: Filter | None = None


def trends_page(query: TrendsQuery, *, limit: int, offset: int, recordings: bool = False) -> list[ActorRow]:
    """Return the actors with at least one event, the largest value first, then by actor from the last one down.

    Actors without any number under the property have the value None and come last; what a Float64 cannot hold is
    None too. With `recordings` each has its first MATCHED_EVENTS events of sessions. Raises what `Statement.rows` does.
    """
    statement = Statement()
    source = Source(query.scope, statement)
    rows = statement.rows(_page(query, source, limit=limit, offset=offset))
    matched = _matched_events(query, limit=limit, offset=offset) if recordings and rows else {}
    return [ActorRow(actor, value, matched.get(actor, ())) for actor, value in rows]


def _page(query: TrendsQuery, source: Source, *, limit: int, offset: int) -> str:
    """Return a SELECT of the actors of a page, as text in `name`, with the value of each."""
    bind = source.statement.bind
    columns = {} if query.math_property is None else {"number": _number(bind(query.math_property))}
    events = _events(query, source, columns)
    value = "count()" if query.math_property is None else _aggregated(query.entity.math)
    return (
        f"SELECT toString(actor) AS name, {value} AS value FROM ({events}) GROUP BY actor"  # noqa: S608 values are bound
        f" ORDER BY value DESC NULLS LAST, name DESC LIMIT {bind(limit)} OFFSET {bind(offset)}"
    )


def _events(query: TrendsQuery, source: Source, columns: Mapping[str, str]) -> str:
    """Return a SELECT of the actor of every event, and of `columns`."""
    only = source.filtered(query.only)
    if query.entity.math not in FIRST_MATHS:
        return source.select(columns, entities=[query.entity], where=f"{source.condition(query.entity)} AND {only}")
    events = first_events(source, query.entity, {**columns, "only": only})
    return f"SELECT * FROM ({events}) WHERE only"  # noqa: S608 values are bound


def _number(key: str) -> str:
    """Return a property's value as a Nullable(Float64): a number, or text of one; null for everything else."""
    text = f"JSONExtractString(e.properties, {key})"
    is_number = f"length({text}) <= {LONGEST_NUMBER} AND match({text}, {literal(NUMBER_PATTERN)})"
    return f"if({is_number} AND isFinite(toFloat64OrZero({text})), toFloat64OrNull({text}), NULL)"


def _aggregated(math: str) -> str:
    aggregate = PROPERTY_MATHS[math].format(value="number")
    return f"if(count(number) = 0 OR NOT isFinite({aggregate}), NULL, {aggregate})"


def _matched_events(query: TrendsQuery, *, limit: int, offset: int) -> dict[str, tuple[MatchedEvent, ...]]:
    statement = Statement()
    source = Source(query.scope, statement)
    page = _page(query, Source(query.scope, statement), limit=limit, offset=offset)
    events = _events(
        query,
        source,
        {"name": "toString(actor)", "uuid": "e.uuid", "session": "e.`$session_id`", "window": "e.`$window_id`"},
    )
    rows = statement.rows(
        f"SELECT name, uuid, ts, session, window FROM ({events})"  # noqa: S608 values are bound
        f" WHERE session != '' AND name IN (SELECT name FROM ({page}))"
        f" ORDER BY name, ts, toUInt128(uuid) LIMIT {MATCHED_EVENTS} BY name"
    )
    found: dict[str, list[MatchedEvent]] = {}
    for actor, uuid, timestamp, session, window in rows:
        found.setdefault(actor, []).append(MatchedEvent(UUID(str(uuid)), timestamp, session, window))
    return {actor: tuple(matched) for actor, matched in found.items()}
