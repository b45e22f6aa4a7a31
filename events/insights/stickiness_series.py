"""How many actors were active in how many intervals (insight_actors.md section 8)."""
# ruff: noqa: S608 values are bound

from events.insights.source import Source
from events.insights.statement import Statement
from events.insights.stickiness import StickinessQuery, active_intervals


def stickiness_counts(query: StickinessQuery) -> dict[int, int]:
    """Return how many actors were active in exactly so many intervals, those above 0.

    `query.intervals` says nothing here. Raises what `Statement.rows` raises.
    """
    statement = Statement()
    source = Source(query.scope, statement)
    events = source.select({}, entities=[query.entity], where=source.condition(query.entity))
    active = f"SELECT actor, toInt64({active_intervals(query, statement)}) AS active FROM ({events}) GROUP BY actor"
    return dict(statement.rows(f"SELECT active, count() FROM ({active}) GROUP BY active"))
