"""The first event that each actor ever had, for the maths that count new actors (query.md B6)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from events.insights.entities import Entity
from events.insights.source import Source
from events.rows import clickhouse_time

FIRST_EVER: Final = "first_time_for_user"
"""Counts actors whose very first event of the series passes the filters."""
FIRST_MATCHING: Final = "first_matching_event_for_user"
"""Counts actors at the first of their events that pass the filters."""
FIRST_MATHS: Final = frozenset({FIRST_EVER, FIRST_MATCHING})


def first_events(source: Source, entity: Entity, columns: Mapping[str, str]) -> str:
    """Return a SELECT of `actor`, `ts` and `columns`, as `Source.select` does, of one event of each actor at most.

    That is the first one ever, whatever the dates are, where it lies within them. Of events at the same moment one
    that passes the filters counts, the first by uuid.
    """
    scope, statement = source.scope, source.statement
    ever = source.over(replace(scope, since=None, filter=None, measured=scope.sessions))
    passes = f"({source.filtered(scope.filter)} AND {source.filtered(entity.filter)})"
    bare = replace(entity, filter=None)
    where = ever.condition(bare)
    if entity.math == FIRST_MATCHING:
        where, passes = f"{where} AND {passes}", "1"
    events = ever.select({**columns, "passes": passes, "tie": "toUInt128(e.uuid)"}, entities=[bare], where=where)
    kept = ", ".join(["ts", *columns])
    grouped = (
        f"SELECT actor, min(ts) AS first, argMinIf(tuple({kept}), (ts, tie), passes) AS found"  # noqa: S608 values are bound
        f" FROM ({events}) GROUP BY actor HAVING countIf(passes) > 0 AND first = found.1"
    )
    since = "" if scope.since is None else (
        f" WHERE first >= {statement.bind(clickhouse_time(scope.since), "DateTime64(6, 'UTC')")}"
    )  # fmt: skip
    listed = ", ".join(f"found.{place} AS {name}" for place, name in enumerate(["ts", *columns], start=1))
    return f"SELECT actor, {listed} FROM ({grouped}){since}"  # noqa: S608 values are bound
