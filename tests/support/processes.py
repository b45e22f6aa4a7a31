"""A whole `manage.py up` on a folder of its own, for end-to-end and fault tests."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson

from persons_api.embedded.process import command_line, free_port
from persons_api.embedded.stores import URL_NAMES

REPOSITORY = Path(__file__).resolve().parents[2]
START_SECONDS = 240
STOP_SECONDS = 120
_KEPT_OUT = {*URL_NAMES, "PORT", "NO_DEMO", "DJANGO_SETTINGS_MODULE", "PYTEST_XDIST_WORKER"}
_PRINTED = {
    "project_id": re.compile(r"project id +(\d+)"),
    "api_token": re.compile(r"project token +(\S+)"),
    "personal_api_key": re.compile(r"personal API key +(\S+)"),
}


def children(pid: int) -> list[int]:
    """Return the direct child processes."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and waits for its parent does not."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


class RunningServer:
    """Roles of `kill` and `pids`: up, web (one granian worker), web-main, worker, beat and the three stores."""

    def __init__(
        self, data_dir: Path, *, workers: int = 1, demo: bool = False, environment: dict[str, str] | None = None
    ) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.project_id = ""
        self.api_token = ""
        self.personal_api_key = ""
        self._workers = workers
        self._demo = demo
        self._environment = environment or {}
        self._output = Path(tempfile.mkstemp(prefix="up-", suffix=".log", dir=data_dir.parent)[1])
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def output(self) -> str:
        """What all starts so far printed."""
        return self._output.read_text()

    @property
    def env(self) -> dict[str, str]:
        """The environment in which any manage.py command reaches this server's stores."""
        kept = {name: value for name, value in os.environ.items() if name not in _KEPT_OUT}
        return {**kept, "PERSONS_API_DATA_DIR": str(self.data_dir), **self._environment}

    def launch(self) -> None:
        """Begin to start, without waiting."""
        words = ["--port", str(self.port), "--workers", str(self._workers), *([] if self._demo else ["--no-demo"])]
        with self._output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "up", *words],
                cwd=REPOSITORY,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def start(self) -> None:
        """Start and wait until it says ready."""
        before = self.output.count("ready: ")
        self.launch()
        deadline = time.monotonic() + START_SECONDS
        while self.output.count("ready: ") == before:
            assert self.process is not None
            assert self.process.poll() is None, self.output
            if time.monotonic() > deadline:
                self.stop()
                raise AssertionError(self.output)
            time.sleep(0.1)
        for name, pattern in _PRINTED.items():
            found = pattern.search(self.output)
            if found:
                setattr(self, name, found[1])

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by role, as they are now."""
        found: dict[str, int] = orjson.loads((self.data_dir / "run" / "server.json").read_bytes())["pids"]
        found["web-main"] = found["web"]
        found["web"] = next(pid for pid in children(found["web"]) if "resource_tracker" not in command_line(pid))
        return found

    def kill(self, role: str) -> int:
        """Kill one part with -9 and return the process id it had."""
        pid = self.pids[role]
        os.kill(pid, signal.SIGKILL)
        return pid

    def manage(self, *words: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run a manage.py command beside the server."""
        command = [sys.executable, "manage.py", *words]
        ended = subprocess.run(
            command, cwd=REPOSITORY, env=self.env, capture_output=True, text=True, timeout=300, check=False
        )
        assert not check or ended.returncode == 0, ended.stderr
        return ended

    def wait(self) -> int:
        """Wait until it has ended by itself and return its exit code."""
        assert self.process is not None
        return self.process.wait(STOP_SECONDS)

    def stop(self) -> int:
        """Stop as Ctrl-C does and return the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def restart(self) -> None:
        """Stop if it still runs, then start again on the same folder and port."""
        self.stop()
        self.start()
