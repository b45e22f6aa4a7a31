"""A whole retention table: how many actors of each period came back in each later one (insight_actors.md 10)."""
# ruff: noqa: S608 values are bound

from dataclasses import replace

from events.insights.retention import RetentionQuery, ends_of, first_whole_period, period_number
from events.insights.source import Source
from events.insights.statement import Statement
from events.rows import clickhouse_time


def retention_table(query: RetentionQuery) -> dict[tuple[int, int], int]:
    """Return how many actors there are by row and by distance from it, those above 0.

    `query.length` is the number of rows, the first of which is `query.row`, 0; row i tells of `length - i` periods.
    Raises what `Statement.rows` raises.
    """
    statement = Statement()
    # A first target event is the first ever, so those before the range count too.
    scope = replace(query.scope, since=None) if query.first_time else query.scope
    source = Source(scope, statement)
    since = statement.bind(clickhouse_time(ends_of(query)[0]), "DateTime64(6, 'UTC')")
    inside = f"e.timestamp >= {since}"
    columns = {
        "period": period_number(query, statement),
        "target": source.condition(query.target),
        "returning": f"({source.condition(query.returning)} AND {inside})",
    }
    events = source.select(columns, entities=[query.target, query.returning], where="(target OR returning)")
    length = query.length
    if query.first_time:
        lowest = first_whole_period(query)
        began = (
            f"arrayFilter(b -> b >= {lowest} AND b < {length},"
            " if(countIf(target) = 0, [], [argMinIf(period, ts, target)]))"
        )
    else:
        began = f"groupUniqArrayIf(period, target AND period < {length})"
    came = f"groupUniqArrayIf(period, returning AND period < {length})"
    actors = f"SELECT actor, {began} AS began, {came} AS came FROM ({events}) GROUP BY actor HAVING notEmpty(began)"
    cells = (
        f"SELECT row, arrayJoin(arrayPushFront(arrayFilter(d -> d > 0, arrayMap(c -> c - row, came)), 0)) AS distance"
        f" FROM (SELECT came, arrayJoin(began) AS row FROM ({actors}))"
    )
    rows = statement.rows(f"SELECT row, distance, count() FROM ({cells}) GROUP BY row, distance")
    return {(row, distance): count for row, distance, count in rows}
