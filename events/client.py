"""The only door to ClickHouse: one driver client per thread, bound parameters, errors mapped in one place.

Statements of callers (HogQL) go in by `ask` alone, which is the query user's and may only read (events/query_user.py).
"""

import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import orjson
import urllib3
from clickhouse_connect.driver import exceptions as driver_errors
from clickhouse_connect.driver.binding import format_bind_value
from clickhouse_connect.driver.httpclient import HttpClient
from clickhouse_connect.driver.httputil import get_pool_manager
from django.conf import settings as django_settings

from events import query_user
from events.asking import Abandoned, Asked, statement_post
from events.errors import (
    EventStoreError,
    QueryFailed,
    QueryMistake,
    QueryTimeout,
    QueryUnsupported,
    StoreUnavailable,
    error_for_code,
)

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_SECONDS: Final = 2
# The server gives up first (max_execution_time), so that its own error arrives instead of a broken connection.
RECEIVE_MARGIN_SECONDS: Final = 5
# Longer values travel in a form in the body: proxies and servers cut URLs from about 8 kB on.
LONGEST_URL_VALUE: Final = 1000
MOST_URL_ITEMS: Final = 20
# A server reads at most 128 KiB per form field (http_max_field_value_size): long lists must be cut into several.
LONGEST_PARAMETER_BYTES: Final = 96 * 1024
HTTP_OK: Final = 200
# What runs is looked at, and stopped, at once or not: a server that hangs holds nobody up for long.
LOOKING_SECONDS: Final = 2
# ClickHouse counts neither constant columns nor what JSON adds, so what it sends is counted too.
JSON_MARGIN_BYTES: Final = 256 * 1024
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

type Parameters = Mapping[str, Any]
type Settings = Mapping[str, str | int]

INSERT_SETTINGS: Final[Settings] = {
    "input_format_skip_unknown_fields": 0,
    "input_format_null_as_default": 0,
    "input_format_defaults_for_omitted_fields": 1,
    "date_time_input_format": "basic",
    # The outbox row is deleted once this insert is acknowledged, so it must be on disk by then.
    "async_insert": 0,
    # An import may span more months than the default of 100 partitions in one insert.
    "max_partitions_per_insert_block": 0,
}

COUNTING_SETTINGS: Final[Settings] = {
    "exact_rows_before_limit": 1,
    # Rows that are read in order are read up to the LIMIT only, and then that is what is counted.
    "optimize_read_in_order": 0,
    "output_format_json_quote_64bit_integers": 0,
}


_PROCESSES: Final = "system.processes"
_PROGRESS: Final = """
SELECT count(), sum(read_rows), sum(read_bytes), sum(total_rows_approx), max(elapsed),
       sum(ProfileEvents['UserTimeMicroseconds'] + ProfileEvents['SystemTimeMicroseconds']) / 1e6
FROM <processes> WHERE Settings['log_comment'] = {comment:String}
"""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the running statements of a query are; times in seconds."""

    rows_read: int
    bytes_read: int
    estimated_rows_total: int
    time_elapsed: float
    active_cpu_time: float


@dataclass(frozen=True, slots=True)
class Result:
    """All rows of a SELECT; timestamps are naive UTC."""

    rows: list[tuple[Any, ...]]
    columns: tuple[str, ...]


class _PerThread(threading.local):
    client: HttpClient | None = None
    url: str = ""


_per_thread = _PerThread()


def _forget() -> None:
    # A forked child must not talk on its parent's sockets.
    _per_thread.client = None


os.register_at_fork(after_in_child=_forget)


def database_name() -> str:
    """Return the database that CLICKHOUSE_URL names."""
    return unquote(urlsplit(django_settings.CLICKHOUSE_URL).path.strip("/")) or "default"


def query(
    sql: str, parameters: Parameters | None = None, *, settings: Settings | None = None, seconds: int | None = None
) -> Result:
    """Run one SELECT, for so many seconds at most; values are bound by the server as `{name:Type}`.

    A server looks at the time between blocks of rows only, so one that is busy with a block is left, and told to stop
    when it has finished that: QueryTimeout is raised then too.
    """
    given = dict(settings) if settings else {}
    if seconds is not None:
        given |= {"max_execution_time": seconds, "cancel_http_readonly_queries_on_client_close": 1}
    with _mapped_errors():
        connected = _client()
    with _mapped_errors(limited=seconds is not None), _patience(connected, seconds) as client:
        client.form_encode_query_params = _needs_form(parameters)
        result = client.query(sql, parameters=_plain(parameters), settings=given or None)
        return Result(rows=[tuple(row) for row in result.result_rows], columns=tuple(result.column_names))


def query_counted(sql: str, parameters: Parameters | None = None) -> tuple[list[list[Any]], int]:
    """Run one SELECT that has a LIMIT; return its rows as JSON has them, and how many there were before the LIMIT.

    Reading once for both is quicker than asking twice; the whole is read and sorted, whatever the LIMIT.
    """
    with _mapped_errors():
        client = _client()
        client.form_encode_query_params = _needs_form(parameters)
        body = client.raw_query(sql, parameters=_plain(parameters), settings=dict(COUNTING_SETTINGS), fmt="JSONCompact")
    found = orjson.loads(body)
    return found["data"], int(found["rows_before_limit_at_least"])


def command(
    sql: str, parameters: Parameters | None = None, *, settings: Settings | None = None, seconds: int | None = None
) -> None:
    """Run one statement that returns nothing (DDL, ALTER, SYSTEM, INSERT SELECT), for so many seconds at most."""
    given = dict(settings) if settings else {}
    if seconds is not None:
        given["max_execution_time"] = seconds
    with _mapped_errors(), _patience(_client(), seconds) as client:
        client.command(sql, parameters=_plain(parameters), settings=given or None)


def insert_json_rows(table: str, payload: bytes, *, token: str) -> None:
    """Insert JSONEachRow lines; the same token again is acknowledged and stored once."""
    with _mapped_errors():
        _client().raw_insert(
            table,
            insert_block=payload,
            fmt="JSONEachRow",
            settings={**INSERT_SETTINGS, "insert_deduplication_token": token},
        )


def ask(  # noqa: PLR0913 the limits of a caller's statement are all its caller's to choose
    sql: str,
    parameters: Parameters | None = None,
    *,
    team_id: int,
    query_id: str,
    seconds: int,
    memory_mb: int,
    max_rows: int,
    max_bytes: int,
    threads: int | None = None,
) -> Asked:
    """Run a caller's SELECT as the query user, who sees rows of one team, within limits.

    More rows or bytes than the limits are a QueryMistake, as is all that is the statement's fault; time is
    QueryTimeout, memory QueryTooBig, what ClickHouse's planner cannot do QueryUnsupported. When this thread dies or
    gives up, the statement stops in ClickHouse too.
    """
    settings: dict[str, str | int] = {
        "log_comment": query_user.comment(team_id, query_id),
        "max_execution_time": seconds,
        "max_memory_usage": memory_mb * 1024 * 1024,
        "max_result_rows": max_rows,
        "max_result_bytes": max_bytes,
    }
    if threads is not None:
        settings["max_threads"] = threads
    patience, longest = seconds + RECEIVE_MARGIN_SECONDS, max_bytes + JSON_MARGIN_BYTES
    try:
        return statement_post(sql, _bound(parameters), settings, seconds=patience, longest=longest)
    except Abandoned as left:
        # The closed connection stops it; where a proxy keeps that from the server, this does.
        with suppress(EventStoreError):
            stop(team_id, query_id)
        raise left.error from left
    except QueryUnsupported as error:
        logger.error("ClickHouse cannot run query %s of project %s: code %s", query_id, team_id, error.code)  # noqa: TRY400 its text may hold values
        raise


def progress_of(team_id: int, query_id: str) -> Progress | None:
    """Return how far a query is, or None when nothing of it runs."""
    sql = _PROGRESS.replace("<processes>", _processes())
    ((count, *figures),) = query(sql, {"comment": query_user.comment(team_id, query_id)}, seconds=LOOKING_SECONDS).rows
    return Progress(*figures) if count else None


def stop(team_id: int, query_id: str) -> int:
    """Stop the running statements of a query; return how many there were."""
    which = "WHERE Settings['log_comment'] = {comment:String}"
    parameters = {"comment": query_user.comment(team_id, query_id)}
    looking = f"SELECT count() FROM {_processes()} {which}"  # noqa: S608 constants
    ((count,),) = query(looking, parameters, seconds=LOOKING_SECONDS).rows
    if count:
        cluster = django_settings.CLICKHOUSE_CLUSTER
        everywhere = f"ON CLUSTER {_text(cluster)} " if cluster else ""
        command(f"KILL QUERY {everywhere}{which} ASYNC", parameters, seconds=LOOKING_SECONDS)
    return int(count)


def ping(timeout: float = CONNECT_TIMEOUT_SECONDS) -> bool:
    """Return whether ClickHouse answers `/ping` within the time; never raises."""
    parts = urlsplit(django_settings.CLICKHOUSE_URL)
    pool = urllib3.PoolManager(timeout=timeout, retries=False)
    try:
        return pool.request("GET", f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/ping").status == HTTP_OK
    except urllib3.exceptions.HTTPError:
        return False
    finally:
        pool.clear()


def create_database(*, on_cluster: str = "") -> None:
    """Create the database that CLICKHOUSE_URL names when it is missing; `on_cluster` is the clause, if any."""
    name = database_name().replace("\\", "\\\\").replace("`", "\\`")
    with _mapped_errors():
        client = _connect(database="default")
        try:
            client.command(f"CREATE DATABASE IF NOT EXISTS `{name}` {on_cluster}")
        finally:
            client.close()


def _client() -> HttpClient:
    url = django_settings.CLICKHOUSE_URL
    client = _per_thread.client
    if client is None or _per_thread.url != url:
        client = _connect(database=database_name())
        _per_thread.client, _per_thread.url = client, url
    return client


def _connect(*, database: str) -> HttpClient:
    parts = urlsplit(django_settings.CLICKHOUSE_URL)
    host = parts.hostname or "localhost"
    limit = django_settings.CLICKHOUSE_QUERY_TIMEOUT_SECONDS
    client = HttpClient(
        interface=parts.scheme,
        host=host,
        port=parts.port or (8443 if parts.scheme == "https" else 8123),
        username=unquote(parts.username or "default"),
        password=unquote(parts.password or ""),
        database=database,
        compress=False if host in LOOPBACK else "lz4",
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        send_receive_timeout=limit + RECEIVE_MARGIN_SECONDS,
        autogenerate_session_id=False,
        client_name="persons-api",
        pool_mgr=get_pool_manager(maxsize=1, num_pools=2),
        # The cache loses rows of parts that a join narrowed in an earlier statement.
        settings={"max_execution_time": limit, "use_query_condition_cache": 0},
        show_clickhouse_errors="scrub",
    )
    client.http_retries = 0
    return client


def _bound(parameters: Parameters | None) -> dict[str, str]:
    try:
        bound = {f"param_{name}": str(format_bind_value(value)) for name, value in (parameters or {}).items()}
        "".join(bound.values()).encode()
    except UnicodeEncodeError as error:
        raise QueryMistake("bad_query_parameter", "A value of the query is not Unicode text.") from error
    return bound


def _processes() -> str:
    cluster = django_settings.CLICKHOUSE_CLUSTER
    return f"clusterAllReplicas({_text(cluster)}, {_PROCESSES})" if cluster else _PROCESSES


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


@contextmanager
def _patience(client: HttpClient, seconds: int | None) -> Iterator[HttpClient]:
    """Hand out the client, for the block with another time to wait for an answer."""
    if seconds is None:
        yield client
        return
    usual = client.timeout
    client.timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT_SECONDS, read=seconds + RECEIVE_MARGIN_SECONDS)
    try:
        yield client
    finally:
        client.timeout = usual


def _needs_form(parameters: Parameters | None) -> bool:
    return parameters is not None and any(
        len(value) > (LONGEST_URL_VALUE if isinstance(value, str) else MOST_URL_ITEMS)
        for value in parameters.values()
        if isinstance(value, str | list | tuple)
    )


def _plain(parameters: Parameters | None) -> dict[str, Any] | None:
    return dict(parameters) if parameters else None


@contextmanager
def _mapped_errors(*, limited: bool = False) -> Iterator[None]:
    try:
        yield
    except driver_errors.Error as error:
        if error.code is not None:
            raise error_for_code(error.code) from error
        if isinstance(
            error, driver_errors.ProgrammingError | driver_errors.InternalError | driver_errors.DataError
        ) and not isinstance(error, driver_errors.StreamClosedError):
            raise QueryFailed from error
        if limited and _ran_out_of_time(error):
            raise QueryTimeout from error
        # No ClickHouse code: nothing that speaks ClickHouse answered, or not in time, or not to the end.
        raise StoreUnavailable from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise StoreUnavailable from error


def _ran_out_of_time(error: BaseException | None) -> bool:
    """Tell whether a server that had taken the statement gave no answer in time."""
    while error is not None:
        if isinstance(error, urllib3.exceptions.ReadTimeoutError):
            return True
        error = error.__cause__ or error.__context__
    return False


def parameter_chunks(values: Sequence[str]) -> Iterator[list[str]]:
    """Cut a long list of texts into lists that each fit one form field."""
    chunk: list[str] = []
    size = 0
    for value in values:
        # Quotes, comma and space; escaping at most doubles ASCII, and UTF-8 needs up to four bytes a character.
        needed = (len(value) * 2 if value.isascii() else len(value) * 4) + 4
        if chunk and size + needed > LONGEST_PARAMETER_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(value)
        size += needed
    if chunk:
        yield chunk
