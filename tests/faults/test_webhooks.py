"""Webhooks end to end: 10,000 events to a receiver that fails a third of the time and is restarted, by a deliverer that
is killed with -9. Every event arrives at least once, in order, and what the API says of it is what the receiver counts.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import orjson
import pytest
import urllib3

from persons_api.embedded.process import free_port
from tests.support.processes import REPOSITORY, RunningServer
from tests.support.webhook_receiver import signing_secret

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.xdist_group("servers")]

EVENTS: Final = 10_000
REQUEST: Final = 250
UNWANTED: Final = frozenset({777, 778, *range(50, EVENTS, 400)})
WANTED: Final = [number for number in range(EVENTS) if number not in UNWANTED]
BATCH_SIZES: Final = {"one-by-one": 1, "in-batches": 40}
PATIENCE_SECONDS: Final = 420
ENVIRONMENT: Final = {
    "OUTBOUND_ALLOWED_NETWORKS": "127.0.0.0/8",
    "PLUGIN_RETRY_SECONDS": "0.002",
    "PLUGIN_RETRY_LONGEST_SECONDS": "2",
}


class Receiver:
    """The process that webhooks go to, and what it noted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir()
        self.port = free_port()
        self._starts = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._starts += 1
        words = ["tests/support/webhook_receiver.py", str(self.port), str(self.folder), str(self._starts)]
        self._process = subprocess.Popen([sys.executable, *words], cwd=REPOSITORY)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def be_patient(self) -> None:
        (self.folder / "patient").touch()

    def noted(self, name: str) -> "Noted":
        file = self.folder / f"{name}.jsonl"
        text = file.read_bytes() if file.exists() else b""
        found = Noted()
        # The last line may be written right now.
        for line in text[: text.rfind(b"\n") + 1].splitlines():
            found.add(orjson.loads(line))
        return found


@dataclass
class Noted:
    """The receiver's own account: numbers of events in the order of the requests."""

    accepted: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    unsigned: int = 0
    uuids: dict[int, set[str]] = field(default_factory=dict)

    def add(self, line: dict[str, Any]) -> None:
        numbers = [number for number, _ in line["events"]]
        self.statuses.append(line["status"])
        self.unsigned += not line["signed"]
        if line["status"] == 200:
            self.accepted += numbers
        elif line["status"] == 400 and len(numbers) == 1:
            self.refused += numbers
        for number, uuid in line["events"]:
            self.uuids.setdefault(number, set()).add(uuid)

    @property
    def failures(self) -> int:
        return sum(status not in {200, 400} for status in self.statuses)

    @property
    def rate(self) -> float:
        accepted, refused = set(self.accepted), set(self.refused)
        return len(accepted) / (len(accepted) + len(refused))


def once_each(numbers: Sequence[int]) -> list[int]:
    return list(dict.fromkeys(numbers))


def steps_back(numbers: Sequence[int]) -> int:
    return sum(after <= before for before, after in pairwise(numbers))


@contextmanager
def receiving(folder: Path) -> Iterator[Receiver]:
    receiver = Receiver(folder)
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.kill()


def call(server: RunningServer, method: str, path: str, body: Any = None) -> Any:
    answer = urllib3.request(
        method,
        f"{server.base_url}/api/{path}",
        body=orjson.dumps(body) if body is not None else None,
        headers={"Authorization": f"Bearer {server.personal_api_key}", "Content-Type": "application/json"},
        timeout=30,
        retries=False,
    )
    assert answer.status < 300, answer.data
    return orjson.loads(answer.data) if answer.data else None


def uuid_of(number: int) -> str:
    return str(UUID(int=0x0190_C6A0_0000_7000_8000_0000_0000_0000 + number))


def capture(server: RunningServer, numbers: range) -> None:
    """Send events by HTTP, in order."""
    began = datetime.now(UTC) - timedelta(hours=1)
    pool = urllib3.PoolManager(retries=False)
    for first in range(numbers.start, numbers.stop, REQUEST):
        batch = [
            {
                "event": "unwanted" if number in UNWANTED else "bought",
                "uuid": uuid_of(number),
                "distinct_id": f"person-{number % 37}",
                "timestamp": (began + timedelta(milliseconds=number)).isoformat(),
                "properties": {"n": number, "$set": {"last": number}},
            }
            for number in range(first, min(first + REQUEST, numbers.stop))
        ]
        body = orjson.dumps({"api_key": server.api_token, "batch": batch})
        answer = pool.request("POST", f"{server.base_url}/batch/", body=body, timeout=30)
        assert answer.status == 200, answer.data


def wait_until(holds: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def make_destinations(server: RunningServer, receiver: Receiver) -> dict[str, str]:
    """Make one webhook for each size of batches, by API; return their ids by the receiver's names for them."""
    plugins = call(server, "GET", "organizations/@current/plugins/?limit=100")["results"]
    plugin = next(found["id"] for found in plugins if found["url"] == "inline://webhook")
    made = {}
    for order, (name, size) in enumerate(BATCH_SIZES.items()):
        config = {
            "url": f"http://127.0.0.1:{receiver.port}/{name}",
            "signing_secret": signing_secret(),
            "batch_size": size,
        }
        body = {"plugin": plugin, "enabled": True, "order": order, "config": config}
        found = call(server, "POST", f"projects/{server.project_id}/pipeline_destination_configs/", body)
        assert found["delivery_rate_24h"] is None
        made[name] = str(found["id"])
    return made


def rates(server: RunningServer) -> dict[str, float | None]:
    listed = call(server, "GET", f"projects/{server.project_id}/pipeline_destination_configs/")["results"]
    return {str(found["id"]): found["delivery_rate_24h"] for found in listed}


WAITING = """
from core.tenancy.statements import fetch_rows
sql = "SELECT plugin_config_id, dead_at IS NULL, count(*) FROM core_plugindelivery GROUP BY 1, 2"
print(*(f"{config}:{'waiting' if waits else 'dead'}:{count}" for config, waits, count in fetch_rows(sql, [])))
"""


def queues(server: RunningServer) -> dict[tuple[str, str], int]:
    """Return how many events wait, and how many are dead letters, by config."""
    words = server.manage("shell", "-v", "0", "-c", WAITING).stdout.split()
    return {(config, state): int(count) for config, state, count in (word.split(":") for word in words)}


def logged(server: RunningServer, config: str, kind: str) -> Any:
    path = f"projects/{server.project_id}/plugin_configs/{config}/logs/?type_filter={kind}&limit=1000"
    return call(server, "GET", path)


def test_nothing_is_lost_and_the_order_is_kept(tmp_path: Path) -> None:
    with (
        receiving(tmp_path / "received") as receiver,
        RunningServer(tmp_path / "data", environment=ENVIRONMENT) as server,
    ):
        configs = make_destinations(server, receiver)

        capture(server, range(EVENTS // 2))
        wait_until(lambda: len(receiver.noted("one-by-one").accepted) > EVENTS // 20)
        receiver.kill()
        time.sleep(1)
        capture(server, range(EVENTS // 2, EVENTS))
        receiver.start()

        wait_until(lambda: len(receiver.noted("one-by-one").accepted) > EVENTS // 4)
        server.kill("deliverer")
        assert server.wait() == 1
        assert not set(WANTED) <= set(receiver.noted("one-by-one").accepted), (
            "the deliverer was killed too late to show anything"
        )
        server.restart()

        wait_until(lambda: all(set(receiver.noted(name).accepted) >= set(WANTED) for name in configs))
        wait_until(lambda: all(set(receiver.noted(name).refused) >= UNWANTED for name in configs))
        wait_until(lambda: rates(server) == {config: receiver.noted(name).rate for name, config in configs.items()}, 60)
        for name, config in configs.items():
            assert_delivered(receiver.noted(name))
            assert_told(server, config, receiver.noted(name))
        assert queues(server) == {(config, "dead"): len(UNWANTED) for config in configs.values()}

        redeliver(server, receiver, configs)


def assert_delivered(noted: Noted) -> None:
    assert once_each(noted.accepted) == WANTED
    assert once_each(noted.refused) == sorted(UNWANTED)
    assert all(uuids == {uuid_of(number)} for number, uuids in noted.uuids.items())
    assert noted.unsigned == 0
    # Whatever is repeated is what was on its way at one of the two kills.
    assert steps_back(noted.accepted) <= 2
    assert 0.25 < noted.failures / len(noted.statuses) < 0.42
    assert noted.rate == len(WANTED) / EVENTS


def assert_told(server: RunningServer, config: str, noted: Noted) -> None:
    """The API tells what the receiver saw."""
    path = f"projects/{server.project_id}/pipeline_destination_configs/{config}/"
    assert call(server, "GET", path)["delivery_rate_24h"] == noted.rate
    wait_until(lambda: logged(server, config, "ERROR")["count"] >= len(UNWANTED), 60)
    dead, failed = logged(server, config, "ERROR"), logged(server, config, "WARN")
    assert dead["count"] == len(UNWANTED)
    assert {line["plugin_config_id"] for line in dead["results"]} == {int(config)}
    assert any("503" in line["message"] for line in failed["results"])
    assert "unwanted" not in orjson.dumps(failed).decode()


def redeliver(server: RunningServer, receiver: Receiver, configs: dict[str, str]) -> None:
    """What was given up is sent once more when somebody asks for it, and is no dead letter any more."""
    receiver.be_patient()
    before = {name: len(receiver.noted(name).accepted) for name in configs}
    for config in configs.values():
        path = f"projects/{server.project_id}/pipeline_destination_configs/{config}/job/"
        call(server, "POST", path, {"job": {"type": "redeliver_dead_letters", "payload": {}}})
    wait_until(lambda: all(set(receiver.noted(name).accepted) >= UNWANTED for name in configs), 60)
    wait_until(lambda: queues(server) == {}, 60)
    for name in configs:
        assert receiver.noted(name).accepted[before[name] :] == sorted(UNWANTED)
