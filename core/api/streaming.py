"""Long answers in constant memory: a database connection of their own, a time limit for readers who stall."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, Self

import psycopg
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.http import StreamingHttpResponse
from rest_framework.request import Request

from core.api.errors import ServiceUnavailable
from core.api.leaving import LEAVE_PLACE
from events.errors import QueryTimeout

_LOOKS_PER_LIMIT: Final = 4

type Connection = psycopg.Connection[tuple[Any, ...]]
type Start = Callable[[Connection], Iterator[bytes]]

_slots = threading.BoundedSemaphore(settings.EXPORTS_AT_ONCE)


class Export:
    """The chunks of one streamed answer, and the connection that they are read from.

    It ends with its last chunk, when the server closes it because the client went away, and by itself when
    nobody has taken a chunk for EXPORT_STALL_SECONDS.
    """

    def __init__(self, start: Start) -> None:
        """Connect and read the first chunk, so that what goes wrong until then can still be answered."""
        if not _slots.acquire(blocking=False):
            message = "Too many exports are running. Try again shortly."
            raise ServiceUnavailable(message)
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._connection: Connection | None = None
        self._waiting_since: float | None = None
        self._deadline = time.monotonic() + settings.EXPORT_MAX_SECONDS
        try:
            self._connection = _connect()
            self._chunks = start(self._connection)
            self._first: bytes | None = next(self._chunks, b"")
        except BaseException as error:
            self.close()
            if isinstance(error, psycopg.errors.QueryCanceled):
                raise QueryTimeout from error
            if isinstance(error, psycopg.OperationalError):
                raise ServiceUnavailable from error
            raise
        self._waiting_since = time.monotonic()
        threading.Thread(target=self._watch, name="export-watch", daemon=True).start()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        with self._lock:
            if self._ended.is_set() or time.monotonic() > self._deadline:
                self._end()
                # An error, not an end: the client must see that the answer is cut off.
                message = "this export took too long"
                raise TimeoutError(message)
            self._waiting_since = None
        first, self._first = self._first, None
        try:
            chunk = next(self._chunks) if first is None else first
        except BaseException:
            self.close()
            raise
        self._waiting_since = time.monotonic()
        return chunk

    def close(self) -> None:
        """Give the connection and the slot back, once."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._ended.is_set():
            return
        self._ended.set()
        if self._connection is not None:
            self._connection.close()
        _slots.release()

    def _watch(self) -> None:
        limit = settings.EXPORT_STALL_SECONDS
        while not self._ended.wait(limit / _LOOKS_PER_LIMIT):
            with self._lock:
                since = self._waiting_since
                if since is not None and time.monotonic() - since > limit:
                    self._end()


def streamed(request: Request, start: Start, *, content_type: str) -> StreamingHttpResponse:
    """Answer with the chunks that `start` reads from a fresh connection, in one state of the database."""
    chunks: Export | list[bytes] = []
    if request.method != "HEAD":
        leave: Callable[[], None] | None = request.META.get(LEAVE_PLACE)
        if leave is not None:
            leave()
        chunks = Export(start)
    return StreamingHttpResponse(chunks, content_type=content_type)


def _connect() -> Connection:
    parameters = connections[DEFAULT_DB_ALIAS].get_connection_params()
    for name in ("cursor_factory", "context", "prepare_threshold"):
        parameters.pop(name, None)
    connection: Connection = psycopg.connect(**parameters)
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    limit = str(settings.EXPORT_MAX_SECONDS * 1000)
    connection.execute(
        "SELECT set_config('statement_timeout', %s, false), set_config('TimeZone', 'UTC', false)", [limit]
    )
    return connection
