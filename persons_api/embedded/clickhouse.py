"""The ClickHouse front as a child process on a free loopback port."""

import http.client
import secrets
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from events import query_user
from persons_api.embedded.process import (
    StartError,
    child_environment,
    end_leftover,
    loopback_socket,
    spawn,
    stop,
    tail,
)

START_SECONDS = 60
USER = "persons_api"


class ClickHouse:
    """One ClickHouse engine on `data_dir`/clickhouse behind its HTTP front."""

    name = "clickhouse"

    def __init__(self, data_dir: Path, *, throwaway: bool = False, query_databases: Sequence[str] = ()) -> None:
        """Say where, and which databases the query user may read; nothing starts yet."""
        if find_spec("chdb") is None:
            message = "chdb is not installed: run `make install`, or set CLICKHOUSE_URL"
            raise StartError(message)
        self.folder = data_dir / "clickhouse"
        self._pid_file = data_dir / "run" / "clickhouse.pid"
        self.log = data_dir / "run" / "logs" / "clickhouse.log"
        self._password = secrets.token_urlsafe(24)
        self._query_password = secrets.token_urlsafe(24)
        self._words = ["--throwaway"] if throwaway else []
        self._words += [word for name in query_databases for word in ("--query-database", name)]
        self._port = 0
        self.process: subprocess.Popen[bytes] | None = None

    def url(self, database: str) -> str:
        """Return the URL of one database."""
        return f"http://{USER}:{self._password}@127.0.0.1:{self._port}/{database}"

    def query_url(self, database: str) -> str:
        """Return the URL of one database for the user of HogQL statements."""
        return f"http://{query_user.USER}:{self._query_password}@127.0.0.1:{self._port}/{database}"

    def start(self) -> None:
        """Start the front; `wait` tells when it answers."""
        end_leftover(self._pid_file, str(self.folder), seconds=12)
        repository = Path(__file__).resolve().parents[2]
        # The socket listens before the child exists: no port is guessed and no early request is refused.
        with loopback_socket("127.0.0.1", 0) as listening:
            self._port = listening.getsockname()[1]
            number = listening.fileno()
            module = "persons_api.embedded.clickhouse_front"
            self.process = spawn(
                [sys.executable, "-m", module, "--data-dir", str(self.folder), "--fd", str(number), *self._words],
                log=self.log,
                env=child_environment(
                    CLICKHOUSE_FRONT_PASSWORD=self._password,
                    CLICKHOUSE_FRONT_QUERY_PASSWORD=self._query_password,
                    PYTHONUNBUFFERED="1",
                ),
                cwd=repository,
                pass_fds=[number],
            )
        self._pid_file.write_text(str(self.process.pid), encoding="ascii")

    def _ask(self, sql: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            login = b64encode(f"{USER}:{self._password}".encode()).decode()
            connection.request("POST", "/", body=sql.encode(), headers={"Authorization": f"Basic {login}"})
            return connection.getresponse().status
        finally:
            connection.close()

    def wait(self, seconds: float = START_SECONDS) -> None:
        """Return when the engine answers a statement."""
        deadline = time.monotonic() + seconds
        while True:
            if self.process is None or self.process.poll() is not None:
                message = f"ClickHouse ended at its start:\n{tail(self.log)}"
                raise StartError(message)
            try:
                if self._ask("SELECT 1") == http.client.OK:
                    return
            except (OSError, http.client.HTTPException) as error:
                if time.monotonic() > deadline:
                    message = f"ClickHouse does not answer: {error}\n{tail(self.log)}"
                    raise StartError(message) from error
            time.sleep(0.03)

    def create_database(self, name: str) -> None:
        """Create a database unless it exists; names are ours and plain."""
        if not name.isidentifier() or self._ask(f"CREATE DATABASE IF NOT EXISTS {name}") != http.client.OK:
            message = f"ClickHouse cannot create the database {name}:\n{tail(self.log)}"
            raise StartError(message)

    def stop(self) -> None:
        """Stop the front after its running statements."""
        if self.process is not None:
            stop(self.process, signals=[(signal.SIGTERM, 12)])
        self._pid_file.unlink(missing_ok=True)
