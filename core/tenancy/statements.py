"""Hot statements: bound by the server, rows as plain tuples, no ORM in between."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString, cast

import psycopg
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from events.errors import QueryTimeout

type Parameters = Mapping[str, Any] | Sequence[Any]


def fetch_rows(sql: LiteralString, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
    """Run one reading statement and return its rows; parameters are bound by the server.

    A connection that died in the pool is replaced once, so a restart of Postgres is not noticed.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    if connection.queries_logged or connection.execute_wrappers:
        # Whoever counts or blocks statements must see this one too.
        with connection.cursor() as cursor:
            cursor.execute(sql, cast("Any", parameters))
            return cast("list[tuple[Any, ...]]", cursor.fetchall())
    try:
        return _fetch(connection, sql, parameters)
    except OperationalError:
        if connection.in_atomic_block or (connection.connection is not None and not connection.connection.closed):
            raise
        connection.close()
        pool = getattr(connection, "pool", None)
        if pool is not None:
            pool.check()
        return _fetch(connection, sql, parameters)


def execute(sql: LiteralString, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
    """Run one statement that may write, planned for these values; return its rows, if it has any.

    Not prepared: a plan made while tables were small would be kept while they grow.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    if connection.queries_logged or connection.execute_wrappers:
        with connection.cursor() as wrapped:
            wrapped.execute(sql, cast("Any", parameters))
            return cast("list[tuple[Any, ...]]", wrapped.fetchall()) if wrapped.description else []
    connection.validate_no_broken_transaction()
    connection.ensure_connection()
    with connection.wrap_database_errors:
        cursor = psycopg.Cursor(connection.connection).execute(sql, parameters, prepare=False)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Run the block in a transaction whose statements may each take so long; a QueryTimeout says that one did not."""
    try:
        with transaction.atomic():
            execute("SELECT set_config('statement_timeout', %s, true)", [str(int(seconds * 1000))])
            yield
    except OperationalError as error:
        if isinstance(error.__cause__, psycopg.errors.QueryCanceled):
            raise QueryTimeout from error
        raise


def fetch_row(sql: LiteralString, parameters: Parameters = ()) -> tuple[Any, ...] | None:
    """Run one reading statement and return its first row, if any."""
    rows = fetch_rows(sql, parameters)
    return rows[0] if rows else None


def _fetch(connection: BaseDatabaseWrapper, sql: LiteralString, parameters: Parameters) -> list[tuple[Any, ...]]:
    connection.validate_no_broken_transaction()
    connection.ensure_connection()
    with connection.wrap_database_errors:
        # Django's own cursor binds on the client, so Postgres would plan the joins anew each time (0.5 ms).
        return psycopg.Cursor(connection.connection).execute(sql, parameters, prepare=True).fetchall()
