"""The chDB engine behind the HTTP front: one connection per thread, settings kept in step with each request."""

import itertools
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from chdb.state.sqlitelike import Connection

from events import query_user
from persons_api.embedded import clickhouse_protocol as protocol
from persons_api.embedded.clickhouse_users import QUERY_ROLE, users_xml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

THREADS = 16
QUERY_THREADS = 8
KILL_ATTEMPTS = 20
KILL_PAUSE_SECONDS = 0.02
# The engine holds the interpreter while it makes a connection, and so would keep back the answer on its way out.
ANSWER_SECONDS = 0.004
WAITING = 240
DEFAULT_DATABASE = "default"
BASE_SETTINGS = {
    # An insert is answered only when its part is on disk.
    "async_insert": "0",
    "max_memory_usage": "4000000000",
    "max_execution_time": "600",
}


# An acknowledged insert leaves the outbox, so it must survive a power cut as well.
_CONFIG = """<clickhouse>
  <merge_tree>
    <fsync_after_insert>{fsync}</fsync_after_insert>
    <fsync_part_directory>{fsync}</fsync_part_directory>
  </merge_tree>
  <mark_cache_size>536870912</mark_cache_size>
  <user_directories><users_xml><path>{users}</path></users_xml></user_directories>
</clickhouse>
"""
# A setting that does nothing without the query cache: it says on which connection a statement runs, and log_comment
# is left to the requests.
_MARK = "query_cache_tag"


@dataclass(frozen=True, slots=True)
class Answer:
    """The engine's answer to one statement."""

    body: bytes = b""
    result_rows: int = 0
    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    elapsed: float = 0.0


@dataclass(slots=True)
class Job:
    """One statement on its way through the engine."""

    statement: protocol.Statement
    options: protocol.Options
    data: Iterable[bytes] | None = None
    as_query_user: bool = False
    abandoned: bool = False
    slot: "_Slot | None" = None


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _use(connection: Any, database: str) -> None:  # noqa: ANN401 chDB has no types
    name = database.replace("\\", "\\\\").replace("`", "\\`")
    connection.query(f"USE `{name}`", "Null")


class _Slot:
    """One thread's connection and the settings that are in force on it."""

    def __init__(self, path: str, name: str) -> None:
        self._path = path
        self.name = name
        self.lock = threading.Lock()
        self.job: Job | None = None
        self._base = {**BASE_SETTINGS, _MARK: name}
        self._connect()

    def _connect(self) -> None:
        self.connection: Any = Connection(self._path)
        self._database = DEFAULT_DATABASE
        self._settings: dict[str, str] = {}
        self._set(self._base)

    def _set(self, changes: "Mapping[str, str | None]") -> None:
        if changes:
            parts = [f"{name} = {'DEFAULT' if value is None else _quoted(value)}" for name, value in changes.items()]
            self.connection.query(f"SET {', '.join(parts)}", "Null")

    def renew(self) -> None:
        """Open a fresh connection: after a failure nobody knows what is in force on the old one.

        chDB also keeps what a failed statement had written so far, and puts it before the next answer.
        """
        old = self.connection
        self._connect()
        old.close()

    def _prepare(self, options: protocol.Options) -> None:
        """Make database and settings what this request asks for, with nothing left of the one before."""
        wanted = {**options.settings, _MARK: self.name}
        if wanted == self._settings and (options.database or DEFAULT_DATABASE) == self._database:
            return
        changes: dict[str, str | None] = {name: self._base.get(name) for name in self._settings.keys() - wanted.keys()}
        changes.update((name, value) for name, value in wanted.items() if self._settings.get(name) != value)
        self._set(changes)
        self._settings = wanted
        database = options.database or DEFAULT_DATABASE
        if database != self._database:
            _use(self.connection, database)
            self._database = database

    def run(self, job: Job) -> Answer:
        """Run one job; every engine failure comes out as a FrontError."""
        with self.lock:
            if job.abandoned:
                raise protocol.FrontError(protocol.QUERY_WAS_CANCELLED, "Query was cancelled")
            self.job = job
            job.slot = self
        try:
            self._prepare(job.options)
            return self._query(job) if job.data is None else self._insert(job, job.data)
        except RuntimeError as error:
            self.renew()
            raise protocol.engine_error(error) from error
        except BaseException:
            self.renew()
            raise
        finally:
            with self.lock:
                self.job = job.slot = None

    def _query(self, job: Job) -> Answer:
        options = job.options
        result = self.connection.query(job.statement.sql, options.default_format, params=dict(options.parameters))
        return Answer(
            body=bytes(result.bytes()),
            result_rows=result.rows_read(),
            read_rows=result.storage_rows_read(),
            read_bytes=result.storage_bytes_read(),
            written_rows=result.rows_written(),
            written_bytes=result.bytes_written(),
            elapsed=result.elapsed(),
        )

    def _insert(self, job: Job, data: Iterable[bytes]) -> Answer:
        # The engine's own figure counts from the connection's first insert.
        began = time.perf_counter()
        inserter = self.connection.send_insert(job.statement.sql, job.statement.insert_format)
        try:
            for chunk in data:
                inserter.append(chunk)
            result = inserter.finish()
        except BaseException:
            inserter.cancel()
            raise
        return Answer(
            written_rows=result.rows_written,
            written_bytes=result.bytes_written,
            elapsed=time.perf_counter() - began,
        )


class _Narrowed:
    """Connections that gave their rights away before any statement ran on them, made in advance.

    What is given away (`readonly`, the role) cannot be taken back, so each serves one statement.
    """

    def __init__(self, path: str, databases: "Iterable[str]") -> None:
        self._path = path
        self._databases = frozenset(databases)
        self._ready: SimpleQueue[tuple[Any, str]] = SimpleQueue()
        self._used: SimpleQueue[Any] = SimpleQueue()
        self._maker = ThreadPoolExecutor(1, "engine-narrowed")

    def _make(self, database: str) -> tuple[Any, str]:
        connection = Connection(self._path)
        connection.query(f"SET ROLE {QUERY_ROLE}", "Null")
        fixed = {**BASE_SETTINGS, **query_user.FIXED}
        connection.query(f"SET {', '.join(f'{name} = {_quoted(value)}' for name, value in fixed.items())}", "Null")
        _use(connection, database)
        return connection, database

    def take(self, database: str) -> Any:  # noqa: ANN401 chDB has no types
        """Return a connection to a database that the query user may read."""
        if database not in self._databases:
            raise protocol.FrontError(protocol.ACCESS_DENIED, "Not enough privileges for this database")
        while True:
            try:
                connection, made_for = self._ready.get_nowait()
            except Empty:
                return self._make(database)[0]
            if made_for == database:
                return connection
            connection.close()

    def give_back(self, connection: Any, database: str) -> None:  # noqa: ANN401 chDB has no types
        """Close a connection and make another in its place once the answer is out; at once where none is left."""
        self._used.put(connection)
        with suppress(RuntimeError):  # at the end nothing is made any more
            self._maker.submit(self._replace, database)

    def _replace(self, database: str) -> None:
        if not self._ready.empty():
            time.sleep(ANSWER_SECONDS)
        self._used.get_nowait().close()
        if self._ready.qsize() < QUERY_THREADS:
            self._ready.put(self._make(database))

    def close(self) -> None:
        self._maker.shutdown(wait=True)
        for queue in (self._ready, self._used):
            while not queue.empty():
                found = queue.get_nowait()
                (found[0] if isinstance(found, tuple) else found).close()


class _QuerySlot(_Slot):
    """One thread that runs statements of the query user."""

    def __init__(self, narrowed: _Narrowed, name: str) -> None:
        self._narrowed = narrowed
        super().__init__("", name)

    def _connect(self) -> None:
        self.connection = None

    def renew(self) -> None:
        """Do nothing: every statement has a fresh connection."""

    def _prepare(self, options: protocol.Options) -> None:
        self._database = options.database or DEFAULT_DATABASE
        self.connection = self._narrowed.take(self._database)
        given = {name: value for name, value in options.settings.items() if name not in query_user.FIXED}
        self._set({**given, _MARK: self.name, "readonly": "1"})

    def run(self, job: Job) -> Answer:
        try:
            return super().run(job)
        finally:
            if self.connection is not None:
                self._narrowed.give_back(self.connection, self._database)
                self.connection = None


class Engine:
    """Owns the data folder; runs up to THREADS statements at the same time, and QUERY_THREADS of the query user."""

    def __init__(
        self, path: "Path", *, durable: bool, threads: int = THREADS, query_databases: "Iterable[str]" = ()
    ) -> None:
        """Open the folder; raises RuntimeError with code 76 when another process has it.

        The query user reads in `query_databases` only, which may be made later.
        """
        config, users = path.with_name(f"{path.name}.xml"), path.with_name(f"{path.name}.users.xml")
        databases = list(query_databases)
        users.write_text(users_xml(databases), encoding="utf-8")
        config.write_text(_CONFIG.format(fsync=int(durable), users=escape(str(users))), encoding="utf-8")
        self._path = f"{path}?config-file={config}"
        self._control = _Slot(self._path, "front-control")
        self._numbers = itertools.count(1)
        self._local = threading.local()
        self._slots: list[_Slot] = []
        self._pool = ThreadPoolExecutor(threads, "engine", self._open_slot)
        self._narrowed = _Narrowed(self._path, databases)
        self._query_pool = ThreadPoolExecutor(QUERY_THREADS, "engine-query", self._open_query_slot)
        self._killer = ThreadPoolExecutor(1, "engine-kill")
        self.version = self._read("SELECT version()")
        self.timezone = self._read("SELECT timezone()")

    def _read(self, sql: str) -> str:
        text = bytes(self._control.connection.query(sql, "TabSeparatedRaw").bytes())
        return text.decode().strip()

    def _open_slot(self) -> None:
        self._keep(_Slot(self._path, f"front-{next(self._numbers)}"))

    def _open_query_slot(self) -> None:
        self._keep(_QuerySlot(self._narrowed, f"front-query-{next(self._numbers)}"))

    def _keep(self, slot: _Slot) -> None:
        self._local.slot = slot
        self._slots.append(slot)

    def submit(self, job: Job) -> "Future[Answer]":
        """Queue a job for the next free connection of its user."""
        pool = self._query_pool if job.as_query_user else self._pool
        return pool.submit(lambda: self._local.slot.run(job))

    def cancel(self, job: Job) -> None:
        """Stop a job whose client went away; never touches the job that follows it on its connection."""
        job.abandoned = True
        self._killer.submit(self._kill, job)

    def _kill(self, job: Job) -> None:
        # A statement that is about to begin is not in the list yet.
        for _ in range(KILL_ATTEMPTS):
            slot = job.slot
            if slot is None:
                return
            with slot.lock:
                if slot.job is not job:
                    return
                where = f"Settings['{_MARK}'] = {_quoted(slot.name)}"
                if self._control.connection.query(f"KILL QUERY WHERE {where} ASYNC", "TabSeparated").bytes():
                    return
            time.sleep(KILL_PAUSE_SECONDS)

    def close(self) -> None:
        """Wait for what runs, then close the folder in order."""
        for pool in (self._query_pool, self._pool):
            pool.shutdown(wait=True, cancel_futures=True)
        self._killer.shutdown(wait=True)
        self._narrowed.close()
        for slot in self._slots:
            if slot.connection is not None:
                slot.connection.close()
        self._control.connection.close()
