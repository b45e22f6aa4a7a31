"""Whoever reads a long export slowly, or not at all, holds up nobody else: over HTTP against a whole server."""

import socket
import time
from pathlib import Path

import orjson
import psycopg
import pytest
import urllib3

from tests.support.processes import RunningServer

PERSONS = """
INSERT INTO core_person (team_id, uuid, properties, created_at, is_identified, version)
SELECT %s, gen_random_uuid(), jsonb_build_object('text', repeat(md5(n::text), 60)), now(), false, 0
FROM generate_series(1, 30000) n
"""


def begin(server: RunningServer, form: str) -> socket.socket:
    """Ask for an export and read only its first bytes."""
    connection = socket.create_connection(("127.0.0.1", server.port))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    lines = [f"GET /api/projects/{server.project_id}/persons?format={form} HTTP/1.1", "Host: localhost",
             f"Authorization: Bearer {server.personal_api_key}", "", ""]  # fmt: skip
    connection.sendall("\r\n".join(lines).encode())
    assert b"200 OK" in connection.recv(1000)
    return connection


def status(server: RunningServer, query: str) -> int:
    answer = urllib3.request(
        "GET",
        f"{server.base_url}/api/projects/{server.project_id}/persons?{query}",
        headers={"Authorization": f"Bearer {server.personal_api_key}"},
        timeout=30,
        retries=False,
    )
    return answer.status


@pytest.mark.faults
@pytest.mark.xdist_group("servers")
@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_readers_who_stall_hold_nobody_up_and_lose_their_slots(tmp_path: Path, form: str) -> None:
    # Long enough for what is asked while they stall, on a slow machine too.
    environment = {"EXPORT_STALL_SECONDS": "10", "EXPORTS_AT_ONCE": "2", "WEB_REQUESTS_AT_ONCE": "2"}
    with RunningServer(tmp_path, demo=True, environment=environment) as server:
        stores = (tmp_path / "run" / "stores.json").read_bytes()
        with psycopg.connect(orjson.loads(stores)["DATABASE_URL"]) as connection:
            connection.execute(PERSONS, [server.project_id])
        stalled = [begin(server, form) for _ in range(2)]
        try:
            for _ in range(10):
                assert status(server, "limit=1") == 200
            assert status(server, "format=ndjson&limit=1") == 503
            deadline = time.monotonic() + 90
            while status(server, "format=ndjson&search=nobody-has-this") == 503:
                assert time.monotonic() < deadline
                time.sleep(0.5)
        finally:
            for connection in stalled:
                connection.close()
