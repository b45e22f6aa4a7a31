"""The stores of one test run: started once by the main process, shared by all workers, gone afterwards."""

import atexit
import fcntl
import os
import shutil
import tempfile
import time
import urllib.parse
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import LiteralString

import psycopg
import psycopg.sql

from persons_api.embedded.stores import URL_NAMES, EmbeddedStores

PREFIX = "persons-api-tests-"
_FOLDER = "PERSONS_API_TEST_FOLDER"
_RUN = "PERSONS_API_TEST_RUN"
SETTLED_SECONDS = 60
MOST_WORKERS = 32


def worker_id() -> str:
    """Name this process: gw0, gw1, ... under xdist, else main."""
    return os.environ.get("PYTEST_XDIST_WORKER", "main")


def _database(worker: str) -> str:
    return f"persons_api_test_{os.environ[_RUN]}_{worker}"


def _sweep() -> None:
    """Remove folders of earlier runs that were killed: nobody holds their lock any more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        # A run that ends now may take its folder away between any two of these steps.
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime < SETTLED_SECONDS:
                continue
            with (folder / "run" / "lock").open("r+b") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)


class StoresOfTheRun:
    """Points the environment at the stores before Django reads its settings."""

    def __init__(self) -> None:
        self._own: EmbeddedStores | None = None
        self._clickhouse = urllib.parse.SplitResult("", "", "", "", "")
        self._database = ""
        self._postgres = ""

    def begin(self) -> None:
        """Start what has no URL in the environment, then give this worker names of its own."""
        if worker_id() == "main":
            self._start()
        self._database = _database(worker_id())
        self._clickhouse = urllib.parse.urlsplit(os.environ["CLICKHOUSE_URL"])
        self._command(f"DROP DATABASE IF EXISTS {self._database}")
        self._command(f"CREATE DATABASE {self._database}")
        os.environ["CLICKHOUSE_URL"] = self._clickhouse._replace(path=f"/{self._database}").geturl()
        # A server of one's own has no rules for databases that come and go: there its own user asks.
        query = urllib.parse.urlsplit(os.environ.get("CLICKHOUSE_QUERY_URL") or os.environ["CLICKHOUSE_URL"])
        os.environ["CLICKHOUSE_QUERY_URL"] = query._replace(path=f"/{self._database}").geturl()
        redis = urllib.parse.urlsplit(os.environ["REDIS_URL"])
        number = 1 + int(worker_id()[2:]) if worker_id().startswith("gw") else 0
        os.environ["REDIS_URL"] = redis._replace(path=f"/{number}").geturl()
        os.environ["PERSONS_API_DATA_DIR"] = str(Path(os.environ[_FOLDER]) / f"data-{worker_id()}")

    def _start(self) -> None:
        _sweep()
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        folder.chmod(0o711)
        os.environ[_FOLDER] = str(folder)
        os.environ[_RUN] = f"{os.getpid():x}"
        databases = [_database(f"gw{number}") for number in range(MOST_WORKERS)]
        self._own = EmbeddedStores(folder, throwaway=True, query_databases=[_database("main"), *databases])
        atexit.register(self.end)
        self._own.start([name for name in URL_NAMES if not os.environ.get(name)])
        os.environ.update(self._own.urls)
        if "DATABASE_URL" not in self._own.urls:
            # pytest-django makes test_NAME_gwN from this name: two runs on one server must not meet.
            self._postgres = os.environ["DATABASE_URL"]
            name = f"persons_api_{os.environ[_RUN]}"
            self._postgres_command("CREATE DATABASE {}", name)
            os.environ["DATABASE_URL"] = urllib.parse.urlsplit(self._postgres)._replace(path=f"/{name}").geturl()

    def _postgres_command(self, text: LiteralString, name: str) -> None:
        with psycopg.connect(self._postgres, autocommit=True) as connection:
            connection.execute(psycopg.sql.SQL(text).format(psycopg.sql.Identifier(name)))

    def _command(self, sql: str) -> None:
        url = self._clickhouse
        request = urllib.request.Request(  # noqa: S310 the URL of our own store
            f"{url.scheme}://{url.hostname}:{url.port}/", data=sql.encode(), method="POST"
        )
        request.add_header("X-ClickHouse-User", urllib.parse.unquote(url.username or "default"))
        request.add_header("X-ClickHouse-Key", urllib.parse.unquote(url.password or ""))
        urllib.request.urlopen(request, timeout=120).close()  # noqa: S310

    def end(self) -> None:
        """Drop what this worker made; the main process also stops the stores and removes their folder."""
        with suppress(OSError):
            self._command(f"DROP DATABASE IF EXISTS {self._database}")
        if self._own is not None:
            atexit.unregister(self.end)
            if self._postgres:
                self._postgres_command("DROP DATABASE IF EXISTS {} WITH (FORCE)", f"persons_api_{os.environ[_RUN]}")
            self._own.stop()
            shutil.rmtree(self._own.data_dir, ignore_errors=True)
            self._own = None
