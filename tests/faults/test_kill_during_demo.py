"""A worker killed with -9 while it fills a demo project: the next one goes on, and no event is there twice."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
import urllib3

from core.capture.demo_projects import PERSONS
from tests.support.processes import RunningServer, children

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.xdist_group("servers")]

SECONDS = 240


def call(server: RunningServer, method: str, path: str, body: Any = None) -> Any:
    answer = urllib3.request(
        method,
        f"{server.base_url}/api/projects/{path}",
        body=orjson.dumps(body) if body is not None else None,
        headers={"Authorization": f"Bearer {server.personal_api_key}", "Content-Type": "application/json"},
        timeout=30,
    )
    assert answer.status < 300, answer.data
    return orjson.loads(answer.data)


def is_generating(server: RunningServer, project: int) -> bool:
    return bool(call(server, "GET", f"{project}/is_generating_demo_data/")["is_generating_demo_data"])


def number_of_persons(server: RunningServer, project: int) -> int:
    return int(call(server, "GET", f"{project}/persons/?include_total=true&limit=1")["count"])


def send(what: signal.Signals, pids: list[int]) -> None:
    for pid in pids:
        os.kill(pid, what)


def wait_until_filled(server: RunningServer, project: int) -> None:
    deadline = time.monotonic() + SECONDS
    while is_generating(server, project):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_killed_worker_leaves_the_project_to_the_next_one(tmp_path: Path) -> None:
    with RunningServer(tmp_path / "data") as server:
        whole = call(server, "POST", "", {"name": "Whole", "is_demo": True})["id"]
        assert is_generating(server, whole)
        wait_until_filled(server, whole)
        assert number_of_persons(server, whole) == PERSONS
        project = call(server, "POST", "", {"name": "Interrupted", "is_demo": True})["id"]
        deadline = time.monotonic() + SECONDS
        while number_of_persons(server, project) == 0:
            assert is_generating(server, project)
            assert time.monotonic() < deadline
            time.sleep(0.05)
        main = server.pids["worker"]
        worker = [main, *children(main)]
        # It stands still while it is looked at: after the restart the next one may be done before anybody asks.
        send(signal.SIGSTOP, worker)
        assert is_generating(server, project), "the worker was stopped too late to show anything"
        send(signal.SIGKILL, worker)
        server.wait()
        server.restart()
        wait_until_filled(server, project)
        assert number_of_persons(server, project) == PERSONS
        for found in (whole, project):
            assert server.manage("shell", "-c", COUNT.format(team_id=found)).stdout.split()[-2:] == ["True", "True"]


COUNT = """
from core.outbox.services import outbox_drain
from events import client
outbox_drain()
((stored, different),) = client.query(
    "SELECT count(), uniqExact(uuid) FROM events WHERE team_id = {{id:Int64}}", {{"id": {team_id}}}
).rows
print(stored == different, stored > 5000)
"""
