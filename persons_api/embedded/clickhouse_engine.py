"""The chDB engine behind the HTTP front: one connection per thread, settings kept in step with each request."""

import itertools
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chdb.state.sqlitelike import Connection

from persons_api.embedded import clickhouse_protocol as protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

THREADS = 16
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
</clickhouse>
"""


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
    slot: "_Slot | None" = None


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


class _Slot:
    """One thread's connection and the settings that are in force on it."""

    def __init__(self, path: str, name: str) -> None:
        self._path = path
        self.name = name
        self.lock = threading.Lock()
        self.job: Job | None = None
        self._base = {**BASE_SETTINGS, "log_comment": name}
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
        wanted = dict(options.settings)
        if wanted == self._settings and (options.database or DEFAULT_DATABASE) == self._database:
            return
        changes: dict[str, str | None] = {name: self._base.get(name) for name in self._settings.keys() - wanted.keys()}
        changes.update((name, value) for name, value in wanted.items() if self._settings.get(name) != value)
        self._set(changes)
        self._settings = wanted
        database = options.database or DEFAULT_DATABASE
        if database != self._database:
            name = database.replace("\\", "\\\\").replace("`", "\\`")
            self.connection.query(f"USE `{name}`", "Null")
            self._database = database

    def run(self, job: Job) -> Answer:
        """Run one job; every engine failure comes out as a FrontError."""
        with self.lock:
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


class Engine:
    """Owns the data folder; runs up to THREADS statements at the same time."""

    def __init__(self, path: "Path", *, durable: bool, threads: int = THREADS) -> None:
        """Open the folder; raises RuntimeError with code 76 when another process has it."""
        config = path.with_name(f"{path.name}.xml")
        config.write_text(_CONFIG.format(fsync=int(durable)), encoding="utf-8")
        self._path = f"{path}?config-file={config}"
        self._control = _Slot(self._path, "front-control")
        self._numbers = itertools.count(1)
        self._local = threading.local()
        self._slots: list[_Slot] = []
        self._pool = ThreadPoolExecutor(threads, "engine", self._open_slot)
        self._killer = ThreadPoolExecutor(1, "engine-kill")
        self.version = self._read("SELECT version()")
        self.timezone = self._read("SELECT timezone()")

    def _read(self, sql: str) -> str:
        text = bytes(self._control.connection.query(sql, "TabSeparatedRaw").bytes())
        return text.decode().strip()

    def _open_slot(self) -> None:
        slot = _Slot(self._path, f"front-{next(self._numbers)}")
        self._local.slot = slot
        self._slots.append(slot)

    def submit(self, job: Job) -> "Future[Answer]":
        """Queue a job for the next free connection."""
        return self._pool.submit(lambda: self._local.slot.run(job))

    def cancel(self, job: Job) -> None:
        """Stop a running job whose client went away; never touches the job that follows it on its connection."""
        self._killer.submit(self._kill, job)

    def _kill(self, job: Job) -> None:
        slot = job.slot
        if slot is None:
            return
        with slot.lock:
            if slot.job is job:
                where = f"Settings['log_comment'] = {_quoted(slot.name)}"
                self._control.connection.query(f"KILL QUERY WHERE {where} ASYNC", "Null")

    def close(self) -> None:
        """Wait for what runs, then close the folder in order."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._killer.shutdown(wait=True)
        for slot in self._slots:
            slot.connection.close()
        self._control.connection.close()
