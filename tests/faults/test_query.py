"""Queries of a whole server: one in the background is seen in ClickHouse, cancelled and gone; so is one whose client
hangs up; and one whose worker is killed with -9 does not run for ever.
"""

import http.client
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import orjson
import pytest
import urllib3

from tests.support.processes import RunningServer

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("servers")]

LONG: Final = "select count() from numbers(100000000000000) where cityHash64(number) = 1"
PATIENCE_SECONDS: Final = 150


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder: Path = tmp_path_factory.mktemp("query") / "data"
    with RunningServer(folder) as running:
        yield running


def call(server: RunningServer, method: str, path: str = "", body: Any = None) -> tuple[int, Any]:
    answer = urllib3.request(
        method,
        f"{server.base_url}/api/projects/{server.project_id}/query/{path}",
        body=None if body is None else orjson.dumps(body),
        headers={"Authorization": f"Bearer {server.personal_api_key}", "Content-Type": "application/json"},
        timeout=30,
        retries=False,
    )
    return answer.status, orjson.loads(answer.data)


def asked(text: str, **body: Any) -> dict[str, Any]:
    return {"query": {"kind": "HogQLQuery", "query": text}, **body}


def running(server: RunningServer, query_id: str) -> int:
    """Return how many statements of a query ClickHouse works on, by its own account."""
    urls = orjson.loads((server.data_dir / "run" / "stores.json").read_bytes())
    comment = f"hogql:{server.project_id}:{query_id}"
    sql = "SELECT count() FROM system.processes WHERE Settings['log_comment'] = {comment:String}"
    parts = urlsplit(urls["CLICKHOUSE_URL"])
    headers = {"X-ClickHouse-User": parts.username or "default", "X-ClickHouse-Key": parts.password or ""}
    url = f"{parts.scheme}://{parts.hostname}:{parts.port}/?{urlencode({'param_comment': comment})}"
    answer = urllib3.request("POST", url, body=sql, headers=headers, timeout=30)
    assert answer.status == 200, answer.data
    return int(answer.data)


def wait_until(holds: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_query_in_the_background_is_answered(server: RunningServer) -> None:
    status, body = call(server, "POST", body=asked("select 1 + 1", refresh="force_async", client_query_id="sum"))
    assert (status, body["query_status"]["complete"]) == (202, False)
    wait_until(lambda: call(server, "GET", "sum/")[0] == 200)
    assert call(server, "GET", "sum/")[1]["query_status"]["results"]["results"] == [[2]]


def test_a_long_query_is_seen_cancelled_and_gone(server: RunningServer) -> None:
    assert call(server, "POST", body=asked(LONG, refresh="force_async", client_query_id="long"))[0] == 202
    wait_until(lambda: running(server, "long") == 1)

    def progress() -> Any:
        status, body = call(server, "GET", "long/?show_progress=true")
        assert status == 202
        return body["query_status"]["query_progress"]

    wait_until(lambda: progress() is not None and progress()["rows_read"] > 0)
    assert call(server, "DELETE", "long/") == (200, {"message": "Cancelled query on clickhouse"})
    wait_until(lambda: running(server, "long") == 0, 20)
    assert call(server, "GET", "long/")[0] == 404
    # Its place in the project is free, and what waited meanwhile is run.
    assert call(server, "POST", body=asked("select 5"))[1]["results"] == [[5]]


def test_a_query_whose_client_hangs_up_is_stopped(server: RunningServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    headers = {"Authorization": f"Bearer {server.personal_api_key}", "Content-Type": "application/json"}
    path = f"/api/projects/{server.project_id}/query/"
    connection.request("POST", path, orjson.dumps(asked(LONG, client_query_id="hung-up")), headers)
    wait_until(lambda: running(server, "hung-up") == 1)
    time.sleep(2)
    assert running(server, "hung-up") == 1
    # Others are served meanwhile.
    assert call(server, "POST", body=asked("select 6"))[1]["results"] == [[6]]
    connection.close()
    wait_until(lambda: running(server, "hung-up") == 0, 20)


def test_a_query_whose_worker_is_killed_has_failed(tmp_path: Path) -> None:
    with RunningServer(tmp_path / "data") as server:
        assert call(server, "POST", body=asked(LONG, refresh="force_async", client_query_id="orphan"))[0] == 202
        wait_until(lambda: running(server, "orphan") == 1)
        server.kill("querier")
        assert server.wait() == 1
        server.restart()
        wait_until(lambda: call(server, "GET", "orphan/")[0] in {404, 500}, 60)
        assert call(server, "POST", body=asked("select 7", refresh="force_async", client_query_id="next"))[0] == 202
        wait_until(lambda: call(server, "GET", "next/")[0] == 200)
