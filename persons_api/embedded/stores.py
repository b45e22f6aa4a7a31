"""The embedded stores of one data folder, started and stopped together."""

import fcntl
import os
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson

from persons_api.embedded.clickhouse import ClickHouse
from persons_api.embedded.postgres import Postgres
from persons_api.embedded.process import StartError
from persons_api.embedded.valkey import Valkey

DATABASE = "persons_api"
URL_NAMES = ("DATABASE_URL", "CLICKHOUSE_URL", "REDIS_URL")

type Store = Postgres | ClickHouse | Valkey


class FolderBusyError(StartError):
    """Another process has the data folder."""


class EmbeddedStores:
    """PostgreSQL, ClickHouse and Valkey in one folder; `urls` says how to reach those that run."""

    def __init__(
        self, data_dir: Path, *, throwaway: bool = False, query_databases: Sequence[str] = (DATABASE,)
    ) -> None:
        """Say where; `throwaway` trades durability for speed and is for tests.

        HogQL statements can be asked in the ClickHouse databases `query_databases`, which need not exist yet.
        """
        self.data_dir = data_dir.absolute()
        self.urls: dict[str, str] = {}
        self.running: list[Store] = []
        self._throwaway = throwaway
        self._query_databases = query_databases
        self._run = self.data_dir / "run"
        self._lock: int | None = None

    def __enter__(self) -> Self:
        """Start all three."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop what was started."""
        self.stop()

    def lock(self) -> None:
        """Take the folder for this process, or say who has it; the system lets go of it even after kill -9."""
        if self._lock is not None:
            return
        self._run.mkdir(parents=True, exist_ok=True, mode=0o711)
        handle = os.open(self._run / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(handle, 32).decode(errors="replace").strip()
            os.close(handle)
            message = f"{self.data_dir} is in use by process {holder}: stop that one first or choose another --data-dir"
            raise FolderBusyError(message) from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        self._lock = handle

    def start(self, needed: Collection[str] = URL_NAMES) -> None:
        """Start the stores behind the named URLs, wait until each answers, and write `run/stores.json`."""
        self.lock()
        try:
            self._start(needed)
        except BaseException:
            self.stop()
            raise

    def _start(self, needed: Collection[str]) -> None:
        clickhouse = self._clickhouse() if "CLICKHOUSE_URL" in needed else None
        valkey = Valkey(self.data_dir) if "REDIS_URL" in needed else None
        postgres = Postgres(self.data_dir, throwaway=self._throwaway) if "DATABASE_URL" in needed else None
        # PostgreSQL last: it may have to make its cluster, and the others come up meanwhile.
        for store in (clickhouse, valkey, postgres):
            if store is not None:
                self.running.append(store)
                store.start()
        if postgres is not None:
            postgres.wait()
            postgres.create_database(DATABASE)
            self.urls["DATABASE_URL"] = postgres.url(DATABASE)
        if valkey is not None:
            valkey.wait()
            self.urls["REDIS_URL"] = valkey.url
        if clickhouse is not None:
            clickhouse.wait()
            clickhouse.create_database(DATABASE)
            self.urls["CLICKHOUSE_URL"] = clickhouse.url(DATABASE)
            self.urls["CLICKHOUSE_QUERY_URL"] = clickhouse.query_url(DATABASE)
        self._write_urls()

    def _clickhouse(self) -> ClickHouse:
        return ClickHouse(self.data_dir, throwaway=self._throwaway, query_databases=self._query_databases)

    def _write_urls(self) -> None:
        target = self._run / "stores.json"
        fresh = self._run / "stores.json.new"
        with suppress(FileNotFoundError):
            fresh.unlink()
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(orjson.dumps(self.urls))
        fresh.replace(target)

    def ended(self) -> Store | None:
        """Return a store whose process has ended by itself, if there is one."""
        return next((store for store in self.running if store.process and store.process.poll() is not None), None)

    def stop(self) -> None:
        """Stop every store and let go of the folder."""
        if self._lock is None:
            return  # whatever lies in the folder belongs to the process that holds it
        (self._run / "stores.json").unlink(missing_ok=True)
        self.urls.clear()
        while self.running:
            self.running.pop().stop()
        os.close(self._lock)
        self._lock = None
