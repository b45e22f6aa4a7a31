"""Worker processes that parse, so that no text can hold up the threads of this process.

The parser keeps the interpreter's lock and takes a time that grows with the square of a chain's terms, for some texts
far faster. A worker that has not answered in time is killed, and the next text starts another.
"""

import atexit
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from events.hogql.errors import HogQLBusyError, HogQLSyntaxError
from events.hogql.parser import worker

WORKERS: Final = 2
SECONDS: Final = 0.75
_START_SECONDS: Final = 10.0


class _Worker:
    """One process and the socket that it answers on."""

    def __init__(self) -> None:
        self.socket, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603 - our own script, no shell
                [sys.executable, "-I", str(Path(worker.__file__))],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={},
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        """Wait for the parser to be loaded."""
        self.socket.settimeout(_START_SECONDS)
        worker.received(self.socket, len(worker.READY))

    def ask(self, rule: int, text: bytes, until: float) -> bytes:
        """Return the answer; TimeoutError, EOFError or OSError without one, after which the worker must end."""
        self._until(until)
        self.socket.sendall(worker.HEADER.pack(rule, len(text)) + text)
        (size,) = worker.LENGTH.unpack(self._received(worker.LENGTH.size, until))
        return self._received(size, until)

    def _received(self, size: int, until: float) -> bytes:
        self._until(until)
        return worker.received(self.socket, size)

    def _until(self, until: float) -> None:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.socket.settimeout(left)

    def end(self) -> None:
        """Kill the process and leave nothing of it."""
        self.socket.close()
        self.process.kill()
        self.process.wait()


class Pool:
    """At most `workers` processes, each started when it is needed first; for use by many threads."""

    def __init__(self, workers: int = WORKERS) -> None:
        self._size = workers
        self._forget()
        os.register_at_fork(after_in_child=self._after_fork)
        atexit.register(self.close)

    def _forget(self) -> None:
        self._free = threading.BoundedSemaphore(self._size)
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()

    def _after_fork(self) -> None:
        # The workers belong to the parent: a copy of the sockets here would keep them alive after it.
        for theirs in self._all:
            theirs.socket.close()
            theirs.process.returncode = 0
        self._forget()

    def parse(self, rule: str, text: str, until: float) -> bytes:
        """Return the parser's JSON; HogQLSyntaxError for a text that takes too long, HogQLBusyError without a worker.

        `until` is when, by the monotonic clock, the caller gives up; that a worker has to be started is not counted.
        UnicodeEncodeError for what is no Unicode.
        """
        content = text.encode()
        if not self._free.acquire(timeout=max(until - time.monotonic(), 0)):
            raise HogQLBusyError("Too many long queries are being parsed at the moment. Please try again later.")
        try:
            return self._answer(worker.RULES.index(rule), content, until)
        finally:
            self._free.release()

    def _answer(self, rule: int, content: bytes, until: float) -> bytes:
        while True:
            with self._lock:
                idle = self._idle.pop() if self._idle else None
            one = idle
            if one is None:
                started = time.monotonic()
                one = self._start()
                until += time.monotonic() - started
            try:
                answer = one.ask(rule, content, until)
            except (TimeoutError, EOFError, OSError) as error:
                self._end(one)
                # One that was idle may have been ended from outside; the text is to blame only for a fresh one.
                if idle is not None and not isinstance(error, TimeoutError):
                    continue
                raise HogQLSyntaxError(
                    "The query is too complex: it cannot be parsed in time. Lists in IN (..) and calls such as "
                    "and(a, b, ..) are read quicker than long chains of operators."
                ) from None
            except BaseException:
                self._end(one)
                raise
            with self._lock:
                self._idle.append(one)
            return answer

    def _start(self) -> _Worker:
        one = _Worker()
        with self._lock:
            self._all.add(one)
        try:
            one.wait_until_ready()
        except BaseException:
            self._end(one)
            raise
        return one

    def _end(self, one: _Worker) -> None:
        with self._lock:
            self._all.discard(one)
        with suppress(OSError):
            one.end()

    def pids(self) -> set[int]:
        """Return the ids of the processes that there are now."""
        with self._lock:
            return {one.process.pid for one in self._all}

    def close(self) -> None:
        """End the workers that are idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for one in idle:
            self._end(one)
