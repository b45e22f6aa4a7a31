"""The web process killed with -9 while clients repeat requests under keys: each has its effect exactly once."""

import threading
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
import urllib3

from tests.support.processes import RunningServer

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("servers")]

KILLS = 3
# granian takes two deaths in quick succession for a program that cannot start, and gives up.
SECONDS_BETWEEN = 8


class Client(threading.Thread):
    """Makes one change after the other, each repeated under its key until it is answered, then once more."""

    def __init__(self, server: RunningServer, url: str) -> None:
        super().__init__(daemon=True)
        self._headers = {"Authorization": f"Bearer {server.personal_api_key}", "Content-Type": "application/json"}
        self._url = url
        self._pool = urllib3.PoolManager(retries=False)
        self._done = threading.Event()
        self.keys: list[str] = []
        self.lost = 0
        self.odd: list[Any] = []

    def run(self) -> None:
        while not self._done.is_set():
            key = str(uuid4())
            body = orjson.dumps({"key": key[:2], "value": key})
            while (first := self._send(key, body)) is None:
                self.lost += 1
                time.sleep(0.05)
            self.keys.append(key)
            again = None
            while again is None:
                again = self._send(key, body)
            if again.data != first.data or again.headers.get("Idempotent-Replayed") != "true":
                self.odd.append((key, first.data, again.data))

    def _send(self, key: str, body: bytes) -> urllib3.BaseHTTPResponse | None:
        """Return the answer, or None when it was lost on the way or is to be asked for again."""
        headers = {**self._headers, "Idempotency-Key": key}
        try:
            answer = self._pool.request("POST", self._url, body=body, headers=headers, timeout=10)
        except urllib3.exceptions.HTTPError:
            return None
        if answer.status in {409, 503}:
            return None
        if answer.status != 200:
            self.odd.append((key, answer.status, answer.data))
        return answer

    def finish(self) -> None:
        self._done.set()
        self.join(120)


def test_each_keyed_request_has_its_effect_once(tmp_path: Path) -> None:
    with RunningServer(tmp_path / "data") as server:
        bearer = {"Authorization": f"Bearer {server.personal_api_key}"}
        persons = f"{server.base_url}/api/projects/{server.project_id}/persons"
        event = {"api_key": server.api_token, "event": "seen", "distinct_id": "ann"}
        assert urllib3.request("POST", f"{server.base_url}/e/", json=event).status == 200
        person = urllib3.request("GET", f"{persons}/?distinct_id=ann", headers=bearer).json()["results"][0]["id"]

        clients = [Client(server, f"{persons}/{person}/update_property/") for _ in range(3)]
        for client in clients:
            client.start()
        time.sleep(SECONDS_BETWEEN)
        for _ in range(KILLS):
            server.kill("web")
            time.sleep(SECONDS_BETWEEN)
        for client in clients:
            client.finish()

        assert [client.odd for client in clients] == [[], [], []]
        assert sum(client.lost for client in clients) > 0
        asked = sum(len(client.keys) for client in clients)
        log = urllib3.request("GET", f"{persons}/{person}/activity/", headers=bearer).json()
        assert log["total_count"] == asked

        whole = urllib3.request("GET", f"{persons}/{person}/", headers=bearer)
        known = {**bearer, "If-None-Match": whole.headers["ETag"]}
        unchanged = urllib3.request("GET", f"{persons}/{person}/", headers=known)
        assert (unchanged.status, unchanged.data) == (304, b"")
