"""A whole retention table: how many actors of each period came back in each later one (insight_actors.md 10)."""
# ruff: noqa: S608 values are bound

from dataclasses import replace
from typing import Final

from events.filters.forms import literal
from events.insights.breakdowns import MISSING, Values, columns_of, own_values
from events.insights.retention import RetentionQuery, ends_of, first_whole_period, period_number
from events.insights.source import Source
from events.insights.statement import Statement
from events.rows import clickhouse_time

SEPARATOR: Final = "::"
"""Between the values of several properties in the text that names them."""
_PLAIN: Final = ("actor", "ts", "period", "target", "returning", "id")


def retention_table(query: RetentionQuery) -> dict[tuple[int, int], int]:
    """Return how many actors there are by row and by distance from it, those above 0; with brackets, by column.

    `query.length` is the number of rows, the first of which is `query.row`, 0; row i tells of `length - i` periods, of
    `query.columns` at most. Raises what `Statement.rows` raises.
    """
    statement = Statement()
    cells = cells_of(query, table_actors(query, statement), statement)
    rows = statement.rows(f"SELECT row, distance, count() FROM ({cells}) GROUP BY row, distance")
    return {(row, distance): count for row, distance, count in rows}


def table_actors(query: RetentionQuery, statement: Statement, values: Values | None = None) -> str:
    """Return a SELECT of each actor of a table: `began` are its rows, `came` the periods in which it returned.

    With `values` it has a `value` too, a text: that of the first target or returning event of the actor.
    """
    # A first target event is the first ever, so those before the range count too.
    scope = replace(query.scope, since=None) if query.first_time else query.scope
    source = Source(scope, statement)
    since = statement.bind(clickhouse_time(ends_of(query)[0]), "DateTime64(6, 'UTC')")
    returning = source.condition(query.returning)
    columns = {
        "period": period_number(query, statement),
        "target": source.condition(query.target),
        "returning": f"({returning} AND e.timestamp >= {since})",
    }
    where = "(target OR returning)"
    if values is not None:
        columns |= {"id": "e.uuid", **columns_of(values, source)}
        # The first event tells the value, whether or not the table would count it as a return.
        where = f"(target OR {returning})"
    events = source.select(columns, entities=[query.target, query.returning], where=where)
    value = ""
    if values is not None:
        events = own_values(values, source, events, _PLAIN)
        first = "argMin(own, (ts, toUInt128(id)))"
        shown = f"arrayMap(o -> if(o = {literal(MISSING)}, '', o), {first})"
        value = f", arrayStringConcat({shown}, {literal(SEPARATOR)}) AS value"
    length = query.length
    if query.first_time:
        lowest = first_whole_period(query)
        began = (
            f"arrayFilter(b -> b >= {lowest} AND b < {length},"
            " if(countIf(target) = 0, [], [argMinIf(period, ts, target)]))"
        )
    else:
        began = f"groupUniqArrayIf(period, target AND period < {length})"
    came = _came(query, statement)
    return (
        f"SELECT actor, {began} AS began, {came} AS came{value} FROM ({events}) GROUP BY actor HAVING notEmpty(began)"
    )


def _came(query: RetentionQuery, statement: Statement) -> str:
    counted = f"returning AND period < {query.length}"
    if query.minimum_occurrences == 1:
        return f"groupUniqArrayIf(period, {counted})"
    often = f"(p, n) -> n >= {statement.bind(query.minimum_occurrences)}"
    return f"mapKeys(mapFilter({often}, sumMapIf(map(period, toUInt64(1)), {counted})))"


def cells_of(query: RetentionQuery, actors: str, statement: Statement, *more: str) -> str:
    """Return a SELECT of `row`, `distance` and more columns for each time that an actor is in a cell of a table."""
    kept = "".join(f", {name}" for name in more)
    places = places_of(query, "row", statement)
    if query.cumulative:
        places = f"range(toUInt64(arrayMax({places})) + 1)"
    return (
        f"SELECT row, arrayJoin({places}) AS distance{kept}"
        f" FROM (SELECT came, arrayJoin(began) AS row{kept} FROM ({actors}))"
    )


def places_of(query: RetentionQuery, row: str, statement: Statement) -> str:
    """Return an expression: the columns that an actor is in who began in a row, from how it `came`; 0 comes first."""
    told = "d > 0" if query.columns is None or query.brackets else f"d > 0 AND d < {query.columns}"
    places = f"arrayFilter(d -> {told}, arrayMap(c -> toInt64(c) - {row}, came))"
    if query.brackets:
        ends = statement.bind(list(query.brackets), "Array(Int64)")
        within = f"arrayMap(d -> toInt64(arrayFirstIndex(e -> d <= e, {ends})), {places})"
        places = f"arrayDistinct(arrayFilter(b -> b > 0, {within}))"
    return f"arrayPushFront({places}, 0)"
