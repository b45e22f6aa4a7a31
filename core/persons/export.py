"""All persons of a list at once: a table (CSV) that Postgres itself writes, or one JSON document per line."""

import io
from collections.abc import Iterator
from typing import Any, Final, LiteralString

import orjson

from core.api.json import dumps
from core.api.streaming import Connection
from core.persons.csv_columns import Columns, find_columns, table_sql
from core.persons.flattening import flattened, table_line
from core.persons.listing import PersonFilter, condition_of
from core.persons.paging import ordered_rows
from core.persons.queries import LIST_COLUMNS, Naming, list_item

MAX_TABLE_ROWS: Final = 300_000
"""As PostHog's."""
CHUNK_BYTES: Final = 64 * 1024
_ROWS_AT_ONCE: Final = 500

type Row = tuple[Any, ...]


def table_chunks(connection: Connection, *, team_id: int, wanted: PersonFilter, names: Naming) -> Iterator[bytes]:
    """Yield the CSV of the first MAX_TABLE_ROWS persons; the first pass over them is made before the first chunk.

    Raises TooManyColumnsError then.
    """
    condition = condition_of(team_id, wanted)
    parameters = condition.parameters | {"limit": MAX_TABLE_ROWS}
    rows = ordered_rows(None, limit="%(limit)s", where=condition.whole)
    columns = find_columns(connection, rows, parameters, names)
    if not columns.kinds and not connection.execute(_any(rows), parameters).fetchone():
        return
    if columns.fit_sql:
        sql = table_sql(columns, rows, parameters, names)
        yield from _in_chunks(_copied(connection, columns, sql, parameters))
    else:
        yield from _in_chunks(_tabulated(connection, rows, parameters, names))


def line_chunks(connection: Connection, *, team_id: int, wanted: PersonFilter, names: Naming) -> Iterator[bytes]:
    """Yield every person of the list as a line of JSON, in the list's order."""
    condition = condition_of(team_id, wanted)
    rows = ordered_rows(None, limit="ALL", where=condition.whole)
    items = _items(connection, rows, condition.parameters, names)
    yield from _in_chunks(dumps(item) + b"\n" for item in items)


def _any(rows: LiteralString) -> LiteralString:
    return "SELECT true FROM (" + rows + ") p LIMIT 1"  # noqa: S608 own constants, values are bound


def _items(
    connection: Connection, rows: LiteralString, parameters: dict[str, Any], names: Naming
) -> Iterator[dict[str, Any]]:
    sql = f"SELECT {LIST_COLUMNS} FROM ({rows}) p"  # noqa: S608 own constants, values are bound
    with connection.cursor(name="persons") as cursor:
        cursor.execute(sql, parameters)
        while found := cursor.fetchmany(_ROWS_AT_ONCE):
            for row in found:
                yield list_item(row, names)


def _copied(
    connection: Connection, columns: Columns, sql: LiteralString, parameters: dict[str, Any]
) -> Iterator[bytes]:
    yield table_line(columns.header)
    with connection.cursor() as cursor, cursor.copy("COPY (" + sql + ") TO STDOUT (FORMAT csv)", parameters) as copy:
        for line in copy:
            # Postgres ends lines as its host does; only the last byte can be that end.
            yield bytes(line[:-1]) + b"\r\n"


def _tabulated(
    connection: Connection, rows: LiteralString, parameters: dict[str, Any], names: Naming
) -> Iterator[bytes]:
    """Make the table in Python, for the shapes that one statement cannot: slower, in two passes as well."""
    header: set[str] = set()
    for item in _items(connection, rows, parameters, names):
        header.update(_cells(item))
    found = sorted(header)
    yield table_line(found)
    for item in _items(connection, rows, parameters, names):
        cells = _cells(item)
        yield table_line(cells.get(name) for name in found)


def _cells(item: dict[str, Any]) -> dict[str, Any]:
    return dict(flattened(orjson.loads(dumps(item))))


def one_row_table(item: dict[str, Any]) -> bytes:
    """Return a table with one person."""
    cells = _cells(item)
    return table_line(sorted(cells)) + table_line(cells[name] for name in sorted(cells))


def _in_chunks(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Gather lines into pieces worth sending."""
    gathered = io.BytesIO()
    for line in lines:
        gathered.write(line)
        if gathered.tell() >= CHUNK_BYTES:
            yield gathered.getvalue()
            gathered = io.BytesIO()
    if gathered.tell():
        yield gathered.getvalue()
