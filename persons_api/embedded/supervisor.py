"""`manage.py up`: starts what has no URL, migrates, makes the first project, runs web, worker and beat, stops all."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

import orjson

from persons_api.embedded.prepare import MADE
from persons_api.embedded.process import StartError, end_group, spawn, stop, tail
from persons_api.embedded.stores import URL_NAMES, EmbeddedStores

REPOSITORY = Path(__file__).resolve().parents[2]
READY_SECONDS = 60
DEMO = ("--persons", "1000", "--days", "30")


class StopAskedError(BaseException):
    """SIGINT or SIGTERM: not an error, and nothing on the way may swallow it."""


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What the person at the terminal chose."""

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 2
    demo: bool = True


@dataclass(slots=True)
class _Part:
    name: str
    log: Path
    process: "subprocess.Popen[bytes]"
    signals: Sequence[tuple[int, float]]


def _say(text: str = "") -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _stop_asked(_number: int, _frame: FrameType | None) -> NoReturn:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    raise StopAskedError


GRANIAN: Final = ("--interface", "wsgi", "--blocking-threads", "64", "--no-ws")
"""Threads enough for senders who stall: `persons_api.wsgi` works on few requests at a time."""


class Supervisor:
    """Everything that one `manage.py up` runs."""

    def __init__(self, options: UpOptions) -> None:
        """Say what to run; nothing starts yet."""
        self._options = options
        self._run = options.data_dir / "run"
        self._stores = EmbeddedStores(options.data_dir)
        self._parts: list[_Part] = []
        shown = "127.0.0.1" if options.host in {"0.0.0.0", "::"} else options.host  # noqa: S104 compared, not bound
        self.base_url = f"http://{f'[{shown}]' if ':' in shown else shown}:{options.port}"
        self._env = dict(os.environ)
        self._worker_ready = self._run / "worker.ready"

    def run(self) -> int:
        """Run until a signal (0) or until a part fails (1)."""
        began = time.monotonic()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _stop_asked)
        try:
            self._start(began)
            self._watch()
        except StopAskedError:
            _say("\nstopping ...")
            code = 0
        except StartError as error:
            _say(f"\n{error}")
            code = 1
        else:
            code = 1
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        self._stop()
        _say("stopped")
        return code

    def _start(self, began: float) -> None:
        self._stores.lock()
        for name in ("web", "worker", "deliverer", "querier", "beat"):
            end_group(self._run / f"{name}.pid", "granian" if name == "web" else "celery")
        self._check_port()
        missing = [name for name in URL_NAMES if not (os.environ.get(name) or os.environ.get(f"{name}_FILE"))]
        if missing:
            _say(f"starting the stores in {self._options.data_dir} ...")
        self._stores.start(missing)
        self._env.update(self._stores.urls)
        self._env["PERSONS_API_DATA_DIR"] = str(self._options.data_dir)
        self._prepare_logs_and_metrics()
        if self._prepare() and self._options.demo:
            self._load_demo()
        self._start_parts()
        self._await_ready()
        self._start_querier()
        self._start_beat()
        self._write_state()
        seconds = time.monotonic() - began
        _say(f"ready: {self.base_url}  (after {seconds:.1f} s; logs in {self._run / 'logs'}; Ctrl-C stops everything)")

    def _prepare_logs_and_metrics(self) -> None:
        """Let the web processes add up their metrics; what an earlier run counted is gone."""
        folder = self._run / "prometheus"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._env.setdefault("PROMETHEUS_MULTIPROC_DIR", str(folder))
        # The parts log into files, where JSON lines are quicker to write and easier to search.
        self._env.setdefault("LOG_JSON", "true")

    def _check_port(self) -> None:
        family = socket.AF_INET6 if ":" in self._options.host else socket.AF_INET
        with closing(socket.socket(family)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self._options.host, self._options.port))
            except OSError as error:
                where = f"{self._options.host}:{self._options.port}"
                message = f"cannot listen on {where} ({error.strerror}): choose another --port, or set PORT"
                raise StartError(message) from error

    def _child(self, *words: str, capture: bool) -> "subprocess.Popen[bytes]":
        output = subprocess.PIPE if capture else None
        together = subprocess.STDOUT if capture else None
        command = [sys.executable, *words]
        return subprocess.Popen(command, cwd=REPOSITORY, env=self._env, stdout=output, stderr=together)  # noqa: S603

    def _prepare(self) -> bool:
        """Migrate; on the first start print the key of the new project and return true."""
        child = self._child("-m", "persons_api.embedded.prepare", capture=True)
        try:
            output, _ = child.communicate()
        finally:
            stop(child, signals=[(signal.SIGTERM, 5)])
        if child.returncode != 0:
            message = f"the stores cannot be prepared:\n{output.decode(errors='replace')}"
            raise StartError(message)
        text, found, line = output.rpartition(MADE)
        if text.strip():
            _say(text.decode(errors="replace").rstrip())
        if not found:
            return False
        made = orjson.loads(line)
        _say()
        _say(f"  base URL          {self.base_url}")
        _say(f"  project id        {made['project_id']}")
        _say(f"  project token     {made['api_token']}")
        _say(f"  personal API key  {made['personal_api_key']}   (shown only now: keep it)")
        _say()
        return True

    def _load_demo(self) -> None:
        _say("loading demo data (skip it with --no-demo) ...")
        child = self._child("manage.py", "load_demo", *DEMO, capture=False)
        try:
            if child.wait() != 0:
                _say("the demo data is not complete; `manage.py load_demo` loads it again")
        finally:
            stop(child, signals=[(signal.SIGTERM, 5)])

    def _start_parts(self) -> None:
        options = self._options
        python = [sys.executable, "-m"]
        celery = [*python, "celery", "-A", "persons_api"]
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        web = [
            *python, "granian", *GRANIAN, "persons_api.wsgi:application", "--host", options.host,
            "--port", str(options.port), "--workers", str(options.workers),
            "--respawn-failed-workers", "--respawn-interval", "0.5", "--workers-kill-timeout", "15",
            "--log-level", "warning",
        ]  # fmt: skip
        warm = [(signal.SIGTERM, 25.0), (signal.SIGQUIT, 5.0)]
        self._launch("web", web, [(signal.SIGTERM, 20.0)])
        # Threads, because deliveries wait for receivers most of the time. Launched before the worker's file is named:
        # it must not say that the worker is ready.
        deliverer = ["worker", "-n", "deliverer@%h", "-Q", "plugins", "-P", "threads", "-c", "6", "-l", "warning"]
        self._launch("deliverer", [*celery, *deliverer, *quiet], warm)
        self._worker_ready.unlink(missing_ok=True)
        self._env["PERSONS_API_WORKER_READY_FILE"] = str(self._worker_ready)
        self._launch("worker", [*celery, "worker", "-c", "2", "-l", "warning", *quiet], warm)

    def _start_querier(self) -> None:
        """Start what runs queries in the background, for which nobody waits yet. Threads wait for ClickHouse."""
        words = ["worker", "-n", "querier@%h", "-Q", "queries", "-P", "threads", "-c", "4", "-l", "warning"]
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        celery = [sys.executable, "-m", "celery", "-A", "persons_api"]
        env = {name: text for name, text in self._env.items() if name != "PERSONS_API_WORKER_READY_FILE"}
        self._launch("querier", [*celery, *words, *quiet], [(signal.SIGTERM, 25.0), (signal.SIGQUIT, 5.0)], env=env)

    def _start_beat(self) -> None:
        """Start the clock last: nobody waits for it, and it would take its share of the cores from the others."""
        for stale in self._run.glob("beat-schedule*"):
            stale.unlink()
        celery = [sys.executable, "-m", "celery", "-A", "persons_api"]
        words = ["beat", "-s", str(self._run / "beat-schedule"), "-l", "warning", "--pidfile="]
        self._launch("beat", [*celery, *words], [(signal.SIGTERM, 5.0)])

    def _launch(
        self,
        name: str,
        command: Sequence[str],
        signals: Sequence[tuple[int, float]],
        env: dict[str, str] | None = None,
    ) -> None:
        log = self._run / "logs" / f"{name}.log"
        process = spawn(command, log=log, env=env or self._env, cwd=REPOSITORY)
        (self._run / f"{name}.pid").write_text(str(process.pid), encoding="ascii")
        self._parts.append(_Part(name, log, process, signals))

    def _failed(self) -> str | None:
        """Describe a part that ended by itself."""
        watched: list[tuple[str, Path, subprocess.Popen[bytes] | None]] = [
            (part.name, part.log, part.process) for part in self._parts
        ]
        watched += [(store.name, store.log, store.process) for store in self._stores.running]
        for name, log, process in watched:
            if process is not None and process.poll() is not None:
                return f"{name} ended by itself (exit code {process.returncode}); its last lines:\n{tail(log)}"
        return None

    def _watch(self) -> None:
        while (failed := self._failed()) is None:
            time.sleep(0.2)
        _say(f"\n{failed}\nstopping the rest ...")

    def _answers(self, path: str) -> int:
        try:
            with urllib.request.urlopen(f"{self.base_url}{path}", timeout=5) as answer:  # noqa: S310 our own server
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return 0

    def _await_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        status = 0
        while time.monotonic() < deadline:
            failed = self._failed()
            if failed is not None:
                raise StartError(failed)
            status = self._answers("/_readyz")
            if status == HTTPStatus.NOT_FOUND:
                status = self._answers("/_livez")
            if status == HTTPStatus.OK and self._worker_ready.exists():
                return
            time.sleep(0.1)
        last = tail(self._run / "logs" / "web.log")
        message = f"the server does not become ready (last answer {status}):\n{last}"
        raise StartError(message)

    def _write_state(self) -> None:
        pids = {part.name: part.process.pid for part in self._parts}
        pids |= {store.name: store.process.pid for store in self._stores.running if store.process}
        state = {"base_url": self.base_url, "pids": {"up": os.getpid(), **pids}}
        (self._run / "server.json").write_bytes(orjson.dumps(state))

    def _stop(self) -> None:
        """Web first so that nothing new comes in, beat and worker next, the stores last."""
        if self._parts:
            (self._run / "server.json").unlink(missing_ok=True)
        order: Callable[[_Part], int] = lambda part: ("web", "beat", "worker", "querier", "deliverer").index(part.name)  # noqa: E731
        for part in sorted(self._parts, key=order):
            stop(part.process, signals=part.signals)
            end_group(self._run / f"{part.name}.pid", "", seconds=0)
        self._stores.stop()
