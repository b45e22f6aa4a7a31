import gzip
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import clickhouse_connect
import lz4.frame
import pytest
import urllib3

from persons_api.embedded.clickhouse import ClickHouse
from persons_api.embedded.clickhouse_engine import THREADS
from persons_api.embedded.process import loopback_socket

pytestmark = pytest.mark.xdist_group("front")


class Caller:
    """Speaks plain HTTP to one front."""

    def __init__(self, store: ClickHouse) -> None:
        url = urlsplit(store.url("default"))
        self.host, self.port, self.password = str(url.hostname), int(url.port or 0), str(url.password)
        self.pool = urllib3.PoolManager(retries=False, timeout=120)

    def __call__(
        self, sql: str | bytes = b"", *, method: str = "POST", headers: dict[str, str] | None = None, **query: Any
    ) -> urllib3.BaseHTTPResponse:
        body = sql.encode() if isinstance(sql, str) else sql
        given = {"X-ClickHouse-Key": self.password, **(headers or {})}
        url = f"http://{self.host}:{self.port}/?{urlencode(query)}"
        return self.pool.request(method, url, body=body, headers=given)

    def text(self, sql: str, **query: Any) -> str:
        answer = self(sql, **query)
        assert answer.status == 200, answer.data
        return answer.data.decode()

    def client(self, **words: Any) -> Any:
        return clickhouse_connect.get_client(
            host=self.host, port=self.port, username="u", password=self.password, autogenerate_session_id=False, **words
        )


def _started(folder: Path) -> ClickHouse:
    (folder / "run" / "logs").mkdir(parents=True, exist_ok=True)
    store = ClickHouse(folder)
    store.start()
    store.wait()
    return store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    started = _started(tmp_path_factory.mktemp("front and space"))
    yield started
    started.stop()


@pytest.fixture
def call(store: ClickHouse) -> Caller:
    caller = Caller(store)
    caller.text("DROP TABLE IF EXISTS t")
    caller.text(
        "CREATE TABLE t (a UInt64, b String) ENGINE = MergeTree ORDER BY a"
        " SETTINGS non_replicated_deduplication_window = 100"
    )
    return caller


def test_ping_needs_no_password(call: Caller) -> None:
    answer = call.pool.request("GET", f"http://{call.host}:{call.port}/ping")
    assert (answer.status, answer.data) == (200, b"Ok.\n")


def test_wrong_password_is_refused(call: Caller) -> None:
    answer = call("SELECT 1", headers={"X-ClickHouse-Key": "guess"})
    assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (403, "516")


def test_answer_carries_the_servers_headers(call: Caller) -> None:
    answer = call("SELECT 1 AS x", default_format="JSONCompact", query_id="mine")
    assert answer.headers["X-ClickHouse-Query-Id"] == "mine"
    assert answer.headers["X-ClickHouse-Format"] == "JSONCompact"
    assert answer.headers["X-ClickHouse-Timezone"] == "UTC"
    assert b'"result_rows":"1"' in answer.headers["X-ClickHouse-Summary"].encode()
    assert answer.json()["data"] == [[1]]


def test_statement_may_begin_in_the_url_and_end_in_the_body(call: Caller) -> None:
    assert call.text("+ 2 FORMAT TSV", query="SELECT 1") == "3\n"
    assert call(method="GET", query="SELECT 7").data == b"7\n"


@pytest.mark.parametrize(
    ("sql", "status", "code"),
    [
        ("SELECT * FROM nope", 404, "60"),
        ("SELECT nope", 404, "47"),
        ("SELECT nope(1)", 404, "46"),
        ("SELEC 1", 400, "62"),
        ("", 400, "62"),
        ("SELECT 1; SELECT 2", 400, "62"),
        ("SELECT throwIf(1)", 500, "395"),
        ("SELECT 1 SETTINGS nonsense = 1", 404, "115"),
        ('INSERT INTO t FORMAT JSONEachRow {"a": "x"}', 400, "27"),
        ("INSERT INTO nope FORMAT JSONEachRow {}", 404, "60"),
        ("INSERT INTO t FORMAT Nope\n1", 404, "73"),
        (b"SELECT '\xff'", 400, "62"),
    ],
)
def test_errors_have_the_servers_code_and_status(call: Caller, sql: str | bytes, status: int, code: str) -> None:
    answer = call(sql)
    assert (answer.status, answer.headers.get("X-ClickHouse-Exception-Code")) == (status, code)
    assert answer.data.startswith(f"Code: {code}. DB::Exception: ".encode())
    assert call.text("SELECT 1") == "1\n"


def test_unknown_database_and_setting_are_errors_that_leave_nothing_behind(call: Caller) -> None:
    assert call("SELECT 1", database="nope").headers["X-ClickHouse-Exception-Code"] == "81"
    assert call("SELECT 1", nonsense="1").headers["X-ClickHouse-Exception-Code"] == "115"
    assert call.text("SELECT currentDatabase()") == "default\n"


def test_settings_of_one_request_do_not_reach_the_next(call: Caller) -> None:
    ask = "SELECT value FROM system.settings WHERE name = 'max_block_size'"
    usual = call.text(ask)
    assert call.text(ask, max_block_size="77") == "77\n"
    for _ in range(40):
        assert call.text(ask) == usual


@pytest.mark.parametrize(
    "failing",
    [
        "SELECT number, throwIf(number = 3000000) FROM numbers(5000000)",
        "SELECT sleepEachRow(0.001) FROM numbers(5000) SETTINGS max_execution_time = 1, max_block_size = 100",
    ],
)
def test_half_an_answer_that_failed_is_not_put_before_the_next(call: Caller, failing: str) -> None:
    assert call(failing).status != 200
    assert {call("SELECT 1").data for _ in range(3 * THREADS)} == {b"1\n"}


def test_memory_of_one_query_is_limited(call: Caller) -> None:
    assert call.text("SELECT value FROM system.settings WHERE name = 'max_memory_usage'") == "4000000000\n"
    refused = call("SELECT length(groupArray(number)) FROM numbers(10000000)", max_memory_usage="1000000")
    assert refused.headers["X-ClickHouse-Exception-Code"] == "241"


def test_get_cannot_write(call: Caller) -> None:
    answer = call(method="GET", query="DROP TABLE t")
    assert answer.headers["X-ClickHouse-Exception-Code"] == "164"
    assert call.text("EXISTS t") == "1\n"


def test_parameters_are_bound_not_spliced(call: Caller) -> None:
    client = call.client()
    nasty = "x') OR 1=1; DROP TABLE t -- \\ \n \t \0 é 😀 {b:String}"
    rows = client.query("SELECT {a:String}, {b:Array(String)}", parameters={"a": nasty, "b": [nasty, ""]}).result_rows
    assert rows == [(nasty, [nasty, ""])]


def test_large_parameters_travel_in_a_form(call: Caller) -> None:
    client = call.client(form_encode_query_params=True)
    large = "é'" * 100_000
    assert client.query("SELECT {a:String} AS a", parameters={"a": large}).result_rows == [(large,)]


def test_missing_parameter_is_the_callers_error(call: Caller) -> None:
    assert call("SELECT {a:String}").headers["X-ClickHouse-Exception-Code"] == "456"


@pytest.mark.parametrize("compress", [False, "lz4", "zstd", "gzip"])
def test_client_inserts_native_blocks_and_reads_them(call: Caller, compress: bool | str) -> None:  # noqa: FBT001
    client = call.client(compress=compress)
    rows = [(number, f"ü{number}") for number in range(5000)]
    assert client.insert("t", rows, column_names=["a", "b"]).written_rows == 5000
    assert client.query("SELECT a, b FROM t ORDER BY a").result_rows == rows


@pytest.mark.parametrize(
    ("sql", "query"),
    [
        ('INSERT INTO t FORMAT JSONEachRow\n{"a":1,"b":"x"}', {}),
        ('INSERT INTO t FORMAT JSONEachRow {"a":1,"b":"x"}', {}),
        ('{"a":1,"b":"x"}', {"query": "INSERT INTO t FORMAT JSONEachRow"}),
        ("(1, 'x')", {"query": "INSERT INTO t VALUES"}),
        ("INSERT INTO t VALUES (1, {b:String})", {"param_b": "x"}),
        ("INSERT INTO t SELECT 1, 'x'", {}),
        ("INSERT INTO t (b, a) FORMAT TSV\nx\t1\n", {}),
    ],
)
def test_every_form_of_insert_is_understood(call: Caller, sql: str, query: dict[str, str]) -> None:
    assert call.text(sql, **query) == ""
    assert call.text("SELECT * FROM t") == "1\tx\n"


def test_compressed_body_with_query_in_the_url(call: Caller) -> None:
    packed = {"gzip": gzip.compress(b'{"a":1}\n' * 3), "lz4": lz4.frame.compress(b'{"a":2}\n' * 3)}
    for encoding, body in packed.items():
        answer = call(body, headers={"Content-Encoding": encoding}, query="INSERT INTO t FORMAT JSONEachRow")
        assert answer.status == 200
    assert call.text("SELECT count() FROM t") == "6\n"


def test_broken_compression_stores_nothing(call: Caller) -> None:
    whole = gzip.compress(b'{"a":1,"b":"x"}\n' * 300_000)
    for body in (b"junk", whole[: len(whole) // 2]):
        answer = call(body, headers={"Content-Encoding": "gzip"}, query="INSERT INTO t FORMAT JSONEachRow")
        assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (400, "117")
    assert call.text("SELECT count() FROM t") == "0\n"


def test_large_insert_arrives_whole(call: Caller) -> None:
    lines = b"".join(b'{"a":%d,"b":"%s"}\n' % (number, b"y" * 300) for number in range(60_000))
    assert call(b"INSERT INTO t FORMAT JSONEachRow\n" + lines).status == 200
    assert call.text("SELECT count(), sum(a), sum(length(b)) FROM t") == f"60000\t{sum(range(60_000))}\t18000000\n"


def test_repeated_insert_is_dropped_even_after_kill_9(tmp_path: Path) -> None:
    first = _started(tmp_path)
    call = Caller(first)
    call.text(
        "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 100"
    )
    insert = {"query": "INSERT INTO t FORMAT JSONEachRow", "insert_deduplication_token": "one"}
    call.text('{"a":1}', **insert)
    call.text('{"a":2}', **insert)
    assert first.process is not None
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    second = _started(tmp_path)
    try:
        call = Caller(second)
        call.text('{"a":3}', **insert)
        assert call.text("SELECT a FROM t") == "1\n"
        call.text('{"a":4}', **insert | {"insert_deduplication_token": "two"})
        assert call.text("SELECT a FROM t ORDER BY a") == "1\n4\n"
    finally:
        second.stop()


def test_many_clients_are_served_at_once(call: Caller) -> None:
    answers: list[str] = []

    def ask() -> None:
        answers.append(Caller.text(call, "SELECT sleep(3)"))

    threads = [threading.Thread(target=ask) for _ in range(12)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["0\n"] * 12
    assert time.monotonic() - began < 12 * 3 / 2


@pytest.mark.parametrize(
    "junk",
    [
        b"\x00\xff\x16\x03\x01 garbage\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nSELECT",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data\r\nContent-Length: 3\r\n\r\nabc",
        b"GET /" + b"a" * 2_000_000 + b" HTTP/1.1\r\n\r\n",
    ],
)
def test_garbage_and_hang_ups_hurt_nobody(call: Caller, junk: bytes) -> None:
    with socket.create_connection((call.host, call.port), timeout=5) as connection:
        try:
            connection.sendall(junk)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(100)
        except OSError:
            pass
    assert call.text("SELECT 1") == "1\n"


def _head(call: Caller, length: int) -> bytes:
    lines = ["POST / HTTP/1.1", "Host: 127.0.0.1", f"X-ClickHouse-Key: {call.password}", f"Content-Length: {length}"]
    return "\r\n".join([*lines, "", ""]).encode()


def test_query_of_a_client_that_hangs_up_is_cancelled(call: Caller) -> None:
    sql = b"SELECT count() FROM numbers(1000000000000) WHERE cityHash64(number) = 1"
    ask = "SELECT count() FROM system.processes WHERE query LIKE '%cityHash64(number)%' AND query NOT LIKE '%system%'"
    with socket.create_connection((call.host, call.port), timeout=5) as connection:
        connection.sendall(_head(call, len(sql)) + sql)
        _until(lambda: call.text(ask) == "1\n")
    _until(lambda: call.text(ask) == "0\n")


def _until(holds: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_too_large_a_body_is_refused_before_it_is_read(call: Caller) -> None:
    with socket.create_connection((call.host, call.port), timeout=60) as connection:
        connection.sendall(_head(call, 999_999_999))
        assert b" 413 " in connection.recv(200)


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Host": "evil.example:8123"}, {"Origin": "http://127.0.0.1"}]
)
def test_web_pages_are_kept_out(call: Caller, headers: dict[str, str]) -> None:
    assert call("SELECT 1", headers=headers).status == 403


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "[::1]:5", "127.0.0.1"])
def test_loopback_names_are_let_in(call: Caller, host: str) -> None:
    assert call("SELECT 1", headers={"Host": host}).status == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1"])  # noqa: S104 must be refused
def test_only_loopback_is_bound(host: str) -> None:
    with pytest.raises(ValueError, match="loopback only"):
        loopback_socket(host, 0)


def test_second_front_on_one_folder_ends_with_a_clear_message(store: ClickHouse) -> None:
    command = [sys.executable, "-m", "persons_api.embedded.clickhouse_front", "--data-dir", str(store.folder)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 1
    assert "cannot open" in ended.stderr


def test_native_block_compression_is_refused_clearly(call: Caller) -> None:
    assert call("SELECT 1", compress="1").headers["X-ClickHouse-Exception-Code"] == "48"


def test_an_insert_is_on_disk_before_it_is_acknowledged(call: Caller) -> None:
    ask = "SELECT value FROM system.merge_tree_settings WHERE name IN ('fsync_after_insert', 'fsync_part_directory')"
    assert call.text(ask) == "1\n1\n"


def test_mutations_and_system_tables_work(call: Caller) -> None:
    call.text("INSERT INTO t VALUES (1, 'x'), (2, 'y')")
    call.text("ALTER TABLE t DELETE WHERE a = 1", mutations_sync="1")
    assert call.text("SELECT b FROM t") == "y\n"
    assert call.text("SELECT count() > 0 FROM system.parts WHERE table = 't' AND active") == "1\n"
    assert call.text("SELECT is_done FROM system.mutations WHERE table = 't'") == "1\n"
