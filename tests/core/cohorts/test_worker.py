"""A cohort made over HTTP is calculated by the running worker, or by the next one when that is killed."""

import time
from pathlib import Path
from typing import Any

import orjson
import pytest
import urllib3

from tests.core.cohorts.conftest import all_of, where
from tests.support.processes import RunningServer

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group("servers")]


def call(server: RunningServer, method: str, path: str, body: Any = None) -> Any:
    answer = urllib3.request(
        method,
        f"{server.base_url}/api/projects/{server.project_id}{path}",
        body=orjson.dumps(body) if body is not None else None,
        headers={"Authorization": f"Bearer {server.personal_api_key}", "Content-Type": "application/json"},
        timeout=30,
    )
    assert answer.status < 300, answer.data
    return orjson.loads(answer.data)


def calculated(server: RunningServer, cohort_id: int, version: int) -> Any:
    deadline = time.monotonic() + 60
    while True:
        found = call(server, "GET", f"/cohorts/{cohort_id}/")
        if found["version"] == version and not found["is_calculating"]:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def test_the_running_worker_calculates_a_cohort_and_the_next_one_does_after_a_kill(tmp_path: Path) -> None:
    # Not by the clock: whatever is calculated before the kill was asked for by a nudge.
    environment = {"COHORTS_CALCULATE_EVERY_SECONDS": "3600"}
    with RunningServer(tmp_path / "data", environment=environment) as server:
        batch = [
            {"event": "$set", "distinct_id": f"p{number}", "properties": {"$set": {"even": number % 2 == 0}}}
            for number in range(50)
        ]
        body = orjson.dumps({"api_key": server.api_token, "batch": batch})
        assert urllib3.request("POST", f"{server.base_url}/batch/", body=body, timeout=30).status == 200
        made = call(server, "POST", "/cohorts/", {"name": "even", "filters": all_of(where("even", "true"))})
        assert made["is_calculating"] is True
        assert calculated(server, made["id"], 1)["count"] == 25
        call(server, "PATCH", f"/cohorts/{made['id']}/", {"filters": all_of(where("even", ["true", "false"]))})
        server.kill("worker")
        assert server.wait() == 1
        environment.clear()
        server.restart()
        assert calculated(server, made["id"], 2)["count"] == 50
