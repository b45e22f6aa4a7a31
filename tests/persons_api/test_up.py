import errno
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import orjson
import psycopg
import pytest
import urllib3

from persons_api.embedded.process import RunAs, child_environment, command_line, spawn
from tests.support.processes import REPOSITORY, RunningServer, alive

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("servers")]


def _strangers(folder: Path) -> list[str]:
    """Command lines of processes that still belong to a data folder."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return [line for pid in pids if str(folder) in (line := command_line(pid)) and alive(pid)]


def _gone(folder: Path, seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while found := _strangers(folder):
        if time.monotonic() > deadline:
            raise AssertionError(found)
        time.sleep(0.1)
    return True


def _status(server: RunningServer, path: str, **headers: str) -> int:
    return urllib3.request("GET", server.base_url + path, headers=headers, timeout=30, retries=False).status


def test_server_lives_a_whole_life(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    server = RunningServer(folder)
    with server:
        assert server.personal_api_key.startswith("phx_")
        assert server.api_token.startswith("phc_")
        bearer = {"Authorization": f"Bearer {server.personal_api_key}"}
        assert _status(server, f"/api/projects/{server.project_id}/persons/", **bearer) == 200
        assert _status(server, "/_livez") == 200
        assert (folder / "run" / "stores.json").stat().st_mode & 0o777 == 0o600

        second = RunningServer(folder)
        second.launch()
        assert second.wait() == 1
        assert "is in use by process" in second.output
        assert (folder / "run" / "stores.json").exists()

        elsewhere = RunningServer(tmp_path / "other")
        elsewhere.port = server.port
        elsewhere.launch()
        assert elsewhere.wait() == 1
        assert "choose another --port" in elsewhere.output

        assert orjson.loads(server.manage("provision", "--json").stdout)["personal_api_key"].startswith("phx_")
    assert server.process is not None
    assert server.process.returncode == 0
    assert not (folder / "run" / "stores.json").exists()
    assert _gone(folder)

    with server:
        assert server.output.count("personal API key") == 1
        assert _status(server, f"/api/projects/{server.project_id}/persons/", **bearer) == 200
        killed = server.kill("valkey")
        assert server.wait() == 1
        assert "valkey ended by itself" in server.output
        assert not alive(killed)
    assert _gone(folder)


def test_killed_server_leaves_nothing_and_starts_again(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    server = RunningServer(folder)
    with server:
        web = server.kill("web")
        _wait_for(lambda: server.pids["web"] != web and _status(server, "/_livez") == 200)
        pids = server.pids
        server.kill("up")
        server.wait()
        _wait_for(lambda: not any(alive(pid) for pid in pids.values()))
        server.start()
        assert _status(server, "/_readyz") == 200
        bearer = {"Authorization": f"Bearer {server.personal_api_key}"}
        assert _status(server, f"/api/projects/{server.project_id}/persons/", **bearer) == 200
    assert _gone(folder)


def _wait_for(holds: object, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if holds():  # type: ignore[operator]
                return
        except (StopIteration, urllib3.exceptions.HTTPError):
            pass
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _stores(folder: Path, *words: str, **popen: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "persons_api.embedded", "--data-dir", str(folder), "--throwaway", *words]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **popen)  # type: ignore[call-overload,no-any-return]


def _urls(process: "subprocess.Popen[str]") -> dict[str, str]:
    assert process.stdout is not None
    lines = [process.stdout.readline().strip() for _ in range(3)]
    return dict(line.removeprefix("export ").replace("'", "").split("=", 1) for line in lines)


def _end(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)


def test_postgres_never_runs_as_root_and_walks_through_closed_folders(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    process = _stores(closed / "data")
    try:
        url = _urls(process)["DATABASE_URL"]
        with psycopg.connect(url) as connection:
            assert connection.execute("select count(*) from pg_extension").fetchone()
        leader = int((closed / "data" / "postgres" / "postmaster.pid").read_text().split()[0])
        assert Path(f"/proc/{leader}").stat().st_uid != 0
    finally:
        _end(process)
    assert _gone(closed)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_somebody_else_than_root_can_run_the_stores(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    output = tmp_path / "output.log"
    process = spawn(
        [sys.executable, "-m", "persons_api.embedded", "--data-dir", str(folder)],
        log=output,
        env=child_environment(HOME="/", PYTHONDONTWRITEBYTECODE="1"),
        cwd=REPOSITORY,
        run_as=RunAs(65534, 65534),
        # The interpreter of this machine may lie in /root.
        through_folders=True,
    )
    try:
        _wait_for(lambda: "CLICKHOUSE_URL" in output.read_text())
        url = output.read_text().partition("DATABASE_URL='")[2].partition("'")[0]
        with psycopg.connect(url) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
        assert (folder / "postgres").stat().st_uid == 65534
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(120)
    assert _gone(folder)


def test_long_folder_names_get_a_short_socket(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 20) / ("name" * 20)
    process = _stores(folder)
    try:
        with psycopg.connect(_urls(process)["DATABASE_URL"]) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
    finally:
        _end(process)


def test_stores_listen_on_loopback_only(tmp_path: Path) -> None:
    process = _stores(tmp_path / "data")
    try:
        urls = _urls(process)
        for name in ("CLICKHOUSE_URL", "REDIS_URL"):
            port = int(urls[name].rpartition(":")[2].split("/")[0])
            with socket.socket() as other:
                assert other.connect_ex(("127.0.0.2", port)) == errno.ECONNREFUSED
        assert "host=/" in urls["DATABASE_URL"]
    finally:
        _end(process)
