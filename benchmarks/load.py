"""A load generator of its own process: few keep-alive connections, raw sockets, as little parsing as can be trusted.

`python -m benchmarks.load PLAN.json` sends the plan's requests in turn for some seconds and prints what came back.
"""

import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from benchmarks.report import percentiles

REPOSITORY = Path(__file__).resolve().parent.parent
MARKER = b"@@@@@@@@@@@@"
"""Twelve characters that become the number of the request, so that prepared bodies hold fresh uuids."""

CHUNKED = 1 << 60
"""Stands for an answer that does not say its length."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request; `expect` must occur `times` in the answer's body."""

    path: str
    expect: str = ""
    times: int = 1
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""

    def wire(self) -> bytes:
        """Return the bytes to send."""
        body = self.body.encode()
        headers = {"Host": "127.0.0.1", "Accept": "application/json", **self.headers}
        if body:
            headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        lines = [f"{self.method} {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What a run of the generator saw."""

    answers: int
    seconds: float
    latency_ms: dict[str, float]
    first_number: int
    acknowledged: list[int]
    generator_cpu_seconds: float
    last_answer_seconds: float

    @property
    def rate(self) -> float:
        """Return answers per second."""
        return self.answers / self.seconds


class BadAnswerError(RuntimeError):
    """The server said something else than expected: the measure would be worthless."""


def run(*, port: int, calls: Sequence[Call], connections: int, seconds: float, first_number: int = 0) -> LoadResult:
    """Run the generator in a process of its own and return what it saw."""
    plan = {
        "port": port,
        "connections": connections,
        "seconds": seconds,
        "first_number": first_number,
        "calls": [asdict(call) for call in calls],
    }
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        file.write(orjson.dumps(plan))
        file.flush()
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.load", file.name], cwd=REPOSITORY, capture_output=True, check=False
        )
    if done.returncode != 0:
        raise BadAnswerError(done.stderr.decode(errors="replace")[-2000:])
    return LoadResult(**orjson.loads(done.stdout))


class _Connection:
    __slots__ = ("body_from", "call", "chunks", "have", "need", "number", "sent_at", "sock")

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.chunks: list[bytes] = []
        self.call = self.number = self.have = self.need = self.body_from = 0
        self.sent_at = 0.0

    def send(self, payload: bytes, call: int, number: int) -> None:
        self.chunks, self.have, self.need = [], 0, 0
        self.call, self.number = call, number
        self.sent_at = time.perf_counter()
        self.sock.sendall(payload)

    def receive(self) -> bool:
        """Read what is there; True when the answer is complete."""
        chunk = self.sock.recv(262_144)
        if not chunk:
            raise BadAnswerError("the server closed the connection")
        self.chunks.append(chunk)
        self.have += len(chunk)
        if not self.need:
            head = b"".join(self.chunks) if len(self.chunks) > 1 else chunk
            end = head.find(b"\r\n\r\n")
            if end < 0:
                return False
            at = head.lower().find(b"content-length: ", 0, end)
            self.body_from = end + 4
            self.need = self.body_from + int(head[at + 16 : head.index(b"\r", at)]) if at >= 0 else CHUNKED
        if self.need == CHUNKED:
            return (self.chunks[-2][-8:] + chunk if len(self.chunks) > 1 else chunk).endswith(b"\r\n0\r\n\r\n")
        return self.have >= self.need

    def check_status(self) -> None:
        if self.chunks[0][9:12] != b"200":
            message = f"answered {b''.join(self.chunks)[:800]!r}"
            raise BadAnswerError(message)

    def body(self) -> bytes:
        return b"".join(self.chunks)[self.body_from :]


class _Generator:
    """Keeps every connection busy with one request until the time is over."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.calls = [Call(**call) for call in plan["calls"]]
        self.wires = [call.wire() for call in self.calls]
        self.marked = [MARKER in wire for wire in self.wires]
        self.unchecked = set(range(len(self.calls)))
        self.next = self.first = int(plan["first_number"])
        self.connections = [_Connection(plan["port"]) for _ in range(plan["connections"])]
        self.latencies: list[float] = []
        self.acknowledged: list[int] = []

    def send(self, connection: _Connection) -> None:
        number = self.next
        self.next += 1
        call = number % len(self.wires)
        wire = self.wires[call]
        connection.send(wire.replace(MARKER, b"%012x" % number) if self.marked[call] else wire, call, number)

    def finish(self, connection: _Connection) -> None:
        self.latencies.append((time.perf_counter() - connection.sent_at) * 1000)
        connection.check_status()
        if self.marked[connection.call]:
            self.acknowledged.append(connection.number)
        if connection.call in self.unchecked:
            self.unchecked.discard(connection.call)
            call, body = self.calls[connection.call], connection.body()
            if body.count(call.expect.encode()) < call.times:
                message = f"{call.path}: {call.expect!r} is not {call.times} times in {body[:600]!r}"
                raise BadAnswerError(message)

    def run(self, seconds: float) -> LoadResult:
        selector = selectors.DefaultSelector()
        cpu, begin = time.process_time(), time.perf_counter()
        for connection in self.connections:
            selector.register(connection.sock, selectors.EVENT_READ, connection)
            self.send(connection)
        until, waiting, in_time = begin + seconds, len(self.connections), 0
        while waiting:
            for key, _ in selector.select(60) or self._stuck():
                ready: _Connection = key.data
                if not ready.receive():
                    continue
                self.finish(ready)
                if time.perf_counter() < until:
                    in_time += 1
                    self.send(ready)
                else:
                    waiting -= 1
                    selector.unregister(ready.sock)
        return LoadResult(
            answers=in_time,
            seconds=seconds,
            latency_ms=percentiles(self.latencies),
            first_number=self.first,
            acknowledged=self.acknowledged,
            generator_cpu_seconds=time.process_time() - cpu,
            last_answer_seconds=time.perf_counter() - begin,
        )

    def _stuck(self) -> list[Any]:
        raise BadAnswerError("no answer for a minute")


def main() -> None:
    """Run one plan."""
    plan = orjson.loads(Path(sys.argv[1]).read_bytes())
    result = _Generator(plan).run(float(plan["seconds"]))
    sys.stdout.buffer.write(orjson.dumps(asdict(result)))


if __name__ == "__main__":
    main()
