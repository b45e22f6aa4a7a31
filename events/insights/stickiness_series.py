"""How many actors were active in how many intervals (insight_actors.md section 8)."""
# ruff: noqa: S608 values are bound

from events.insights.statement import Statement
from events.insights.stickiness import StickinessQuery, active_actors


def stickiness_counts(query: StickinessQuery) -> dict[int, int]:
    """Return how many actors were active in exactly so many intervals, those above 0.

    `query.intervals` says nothing here. Raises what `Statement.rows` raises.
    """
    statement = Statement()
    return dict(statement.rows(f"SELECT active, count() FROM ({active_actors(query, statement)}) GROUP BY active"))
