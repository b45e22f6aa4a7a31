"""Retention tables broken down by a value of each actor, and who is in their rows."""
# ruff: noqa: S608 values are bound

from dataclasses import dataclass, replace

from events.filters.forms import literal
from events.insights.breakdowns import OTHER, Values
from events.insights.retention import RetainedActor, RetentionQuery, retention_page
from events.insights.retention_table import cells_of, places_of, table_actors
from events.insights.statement import Statement

type Cells = dict[tuple[int, int], int]


@dataclass(frozen=True, slots=True)
class RowQuery:
    """One row of a table, which `query` has all rows of: of the actors of one value where `values` are set."""

    query: RetentionQuery
    row: int
    values: Values | None = None
    value: str = ""


def value_tables(query: RetentionQuery, values: Values) -> dict[str, Cells]:
    """Return a table, as `retention_table` does, for each value, those with most actors in their rows first.

    Values beyond `values.limit` are together OTHER, which is last. Raises what `Statement.rows` raises.
    """
    statement = Statement()
    cells = cells_of(query, table_actors(query, statement, values), statement, "value")
    counted = f"SELECT value, row, distance, count() AS n FROM ({cells}) GROUP BY value, row, distance"
    sized = f"SELECT *, sum(if(distance = 0, n, 0)) OVER (PARTITION BY value) AS size FROM ({counted})"
    placed = f"SELECT *, toInt64(dense_rank() OVER (ORDER BY size DESC, value)) AS place FROM ({sized})"
    limit = statement.bind(values.limit)
    rows = statement.rows(
        f"SELECT least(place, {limit} + 1) AS at, if(at > {limit}, {literal(OTHER)}, value) AS name, row, distance,"
        f" sum(n) FROM ({placed}) GROUP BY at, name, row, distance ORDER BY at"
    )
    found: dict[str, Cells] = {}
    for _, name, row, distance, count in rows:
        found.setdefault(name, {})[row, distance] = count
    return found


def row_page(asked: RowQuery, *, limit: int, offset: int) -> list[RetainedActor]:
    """Return the actors of a row as `retention_page` does; with brackets, appearances are by column.

    `query.cumulative` says nothing here. Raises what `Statement.rows` raises.
    """
    query, row = asked.query, asked.row
    left = query.length - row
    length = left if query.columns is None else min(left, query.columns)
    if asked.values is None and query.minimum_occurrences == 1 and not query.brackets:
        return retention_page(replace(query, row=row, length=length), limit=limit, offset=offset)
    statement = Statement()
    actors = table_actors(query, statement, asked.values)
    conditions = [f"has(began, {row})"]
    if asked.values is not None and asked.value == OTHER:
        most = statement.bind(asked.values.limit)
        sizes = f"SELECT value FROM ({actors}) GROUP BY value ORDER BY sum(length(began)) DESC, value LIMIT {most}"
        conditions.append(f"value NOT IN ({sizes})")
    elif asked.values is not None:
        conditions.append(f"value = {statement.bind(asked.value)}")
    places = places_of(query, str(row), statement)
    rows = statement.rows(
        f"SELECT toString(actor) AS key, {places} AS places FROM ({actors}) WHERE {' AND '.join(conditions)}"
        f" ORDER BY length(places) DESC, key LIMIT {statement.bind(limit)} OFFSET {statement.bind(offset)}"
    )
    columns = range(len(query.brackets) + 1 if query.brackets else length)
    return [RetainedActor(key, [int(place in found) for place in columns]) for key, found in rows]
