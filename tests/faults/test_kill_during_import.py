"""Each process killed with -9 while events stream in: what was acknowledged is there exactly once."""

import gzip
import subprocess
import sys
import threading
import time
import urllib.parse
from collections import Counter
from pathlib import Path
from uuid import uuid4

import orjson
import psycopg
import pytest
import urllib3

from tests.support.processes import REPOSITORY, RunningServer

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(1200), pytest.mark.xdist_group("servers")]

EVENTS_PER_FILE = 6_000
ROLES = ["web", "worker", "valkey", "clickhouse"]


class Sender(threading.Thread):
    """An SDK that sends small batches and repeats each until it is acknowledged."""

    def __init__(self, server: RunningServer) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._done = threading.Event()
        self.acknowledged: list[str] = []
        self.refusals: list[int] = []

    def run(self) -> None:
        pool = urllib3.PoolManager(retries=False)
        while not self._done.is_set():
            uuids = [str(uuid4()) for _ in range(20)]
            batch = [
                {"event": "live", "uuid": uuid, "distinct_id": f"live-{uuid[:2]}", "properties": {"$set": {"n": 1}}}
                for uuid in uuids
            ]
            body = gzip.compress(orjson.dumps({"api_key": self._server.api_token, "batch": batch}))
            while not self._send(pool, body):
                time.sleep(0.1)
            self.acknowledged += uuids
            time.sleep(0.02)

    def _send(self, pool: urllib3.PoolManager, body: bytes) -> bool:
        try:
            answer = pool.request("POST", f"{self._server.base_url}/batch/", body=body, timeout=10)
        except urllib3.exceptions.HTTPError:
            return False
        if answer.status not in {200, 503}:
            self.refusals.append(answer.status)
        return answer.status == 200

    def finish(self) -> None:
        self._done.set()
        self.join(60)


def write_file(folder: Path, role: str) -> tuple[Path, list[str]]:
    uuids = [str(uuid4()) for _ in range(EVENTS_PER_FILE)]
    lines = [
        orjson.dumps(
            {
                "event": "imported",
                "uuid": uuid,
                "distinct_id": f"{role}-{number % 97}",
                "timestamp": f"2024-01-{1 + number % 28:02d}T00:00:00Z",
                "properties": {"role": role, "$set": {f"k{number % 7}": number}},
            }
        )
        for number, uuid in enumerate(uuids)
    ]
    path = folder / f"{role}.jsonl"
    path.write_bytes(b"\n".join(lines))
    return path, uuids


def begin_import(server: RunningServer, path: Path) -> "subprocess.Popen[bytes]":
    # So many batches that it is still at work when it is seen to be.
    return subprocess.Popen(
        [sys.executable, "manage.py", "import_events", str(path), "--batch-size", "20"],
        cwd=REPOSITORY,
        env=server.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def url_of(server: RunningServer, name: str) -> str:
    return str(orjson.loads((server.data_dir / "run" / "stores.json").read_bytes())[name])


def ask(server: RunningServer, sql: str) -> list[list[str]]:
    url = urllib.parse.urlsplit(url_of(server, "CLICKHOUSE_URL"))
    answer = urllib3.request(
        "POST",
        f"http://{url.hostname}:{url.port}/?database={url.path.strip('/')}&default_format=TabSeparated",
        body=sql,
        headers={
            "X-ClickHouse-User": urllib.parse.unquote(url.username or ""),
            "X-ClickHouse-Key": urllib.parse.unquote(url.password or ""),
        },
        timeout=30,
    )
    assert answer.status == 200, answer.data
    return [line.split("\t") for line in answer.data.decode().splitlines()]


def stored_counts(server: RunningServer, wanted: set[str]) -> Counter[str]:
    """Return how often each event is stored, once everything that was acknowledged has arrived."""
    deadline = time.monotonic() + 120
    while True:
        counts = Counter({row[0]: int(row[1]) for row in ask(server, "SELECT uuid, count() FROM events GROUP BY uuid")})
        if wanted <= set(counts) or time.monotonic() > deadline:
            return counts
        time.sleep(0.5)


def test_kill_9_of_each_part_during_an_import_loses_and_doubles_nothing(tmp_path: Path) -> None:
    wanted: set[str] = set()
    with RunningServer(tmp_path / "data") as server:
        sender = Sender(server)
        sender.start()
        for role in ROLES:
            path, uuids = write_file(tmp_path, role)
            wanted |= set(uuids)
            begun_with = rows_done(server)
            running = begin_import(server, path)
            wait_until(lambda before=begun_with: rows_done(server) >= before + 400)
            assert running.poll() is None, "the import was over before anything was killed"
            server.kill(role)
            if role == "web":
                assert running.wait(300) == 0
            else:
                assert server.wait() == 1
                server.restart()
                running.wait(300)
                assert server.manage("import_events", str(path), "--batch-size", "200", check=False).returncode == 0
        sender.finish()
        acknowledged = set(sender.acknowledged)
        counts = stored_counts(server, wanted | acknowledged)
        updates = ask(server, "SELECT uuid, count() FROM person_property_updates GROUP BY uuid HAVING count() > 1")

    assert sender.refusals == []
    assert len(acknowledged) > 100
    assert (wanted | acknowledged) - set(counts) == set()
    assert {uuid: count for uuid, count in counts.items() if count != 1} == {}
    assert updates == []


def rows_done(server: RunningServer) -> int:
    """Return how many rows all imports have brought in; ClickHouse hears of them later, perhaps after the last."""
    with psycopg.connect(url_of(server, "DATABASE_URL")) as connection:
        return int(connection.execute("SELECT coalesce(sum(rows_done), 0) FROM core_importprogress").fetchall()[0][0])


def wait_until(holds: object) -> None:
    deadline = time.monotonic() + 120
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)
