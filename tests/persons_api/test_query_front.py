"""The embedded ClickHouse and its query user: who gets in at the front, and what the engine holds without it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson
import pytest
import urllib3

from events import query_user
from persons_api.embedded.clickhouse import ClickHouse

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.xdist_group("front")


class Caller:
    """Speaks plain HTTP to one front, as the application or as the query user."""

    def __init__(self, store: ClickHouse) -> None:
        self.app, self.query = urlsplit(store.url("ours")), urlsplit(store.query_url("ours"))
        self.pool = urllib3.PoolManager(retries=False, timeout=120)

    def __call__(self, sql: str, *, as_app: bool = False, key: str | None = None, **words: Any) -> tuple[int, str]:
        url = self.app if as_app else self.query
        headers = {
            "X-ClickHouse-User": str(url.username),
            "X-ClickHouse-Key": str(url.password if key is None else key),
        }
        words = {"database": "ours", **words}
        answer = self.pool.request(
            "POST", f"http://{url.hostname}:{url.port}/?{urlencode(words)}", body=sql.encode(), headers=headers
        )
        return answer.status, answer.data.decode()

    def made(self, sql: str, **words: Any) -> str:
        status, text = self(sql, as_app=True, **words)
        assert status == 200, text
        return text


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    folder = tmp_path_factory.mktemp("query front")
    (folder / "run" / "logs").mkdir(parents=True)
    store = ClickHouse(folder, query_databases=["ours"])
    store.start()
    store.wait()
    caller = Caller(store)
    for database in ("ours", "theirs"):
        caller.made(f"CREATE DATABASE {database}", database="default")
        caller.made(f"CREATE TABLE {database}.events (team_id Int64, x String) ENGINE = MergeTree ORDER BY team_id")
        caller.made(f"INSERT INTO {database}.events VALUES (1, 'one'), (2, 'two')")  # noqa: S608
    yield caller
    store.stop()


def test_the_query_user_sees_the_team_of_its_comment(call: Caller) -> None:
    assert call("SELECT x FROM events", log_comment="hogql:2:q") == (200, "two\n")
    assert call("SELECT x FROM events") == (200, "")
    assert call("SELECT x FROM events ORDER BY 1", as_app=True, log_comment="hogql:2:q") == (200, "one\ntwo\n")


def test_one_request_leaves_nothing_to_the_next(call: Caller) -> None:
    for _ in range(30):
        assert call("SELECT x FROM events", log_comment="hogql:1:q") == (200, "one\n")
        assert call("SELECT x FROM events") == (200, "")
        assert call("SELECT count() FROM numbers(10)", max_rows_to_read=5)[0] != 200
        assert call("SELECT count() FROM numbers(10)") == (200, "10\n")


@pytest.mark.parametrize("key", ["", "wrong", "the application's"])
def test_the_query_user_has_a_password_of_its_own(call: Caller, key: str) -> None:
    status, text = call("SELECT 1", key=str(call.app.password) if key == "the application's" else key)
    assert status == 403
    assert "Code: 516" in text


def test_the_password_of_the_query_user_does_not_open_the_application(call: Caller) -> None:
    assert call("SELECT 1", as_app=True, key=str(call.query.password))[0] == 403


def test_without_a_password_there_is_no_query_user(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "persons_api.embedded.clickhouse_front", "--data-dir", str(tmp_path / "x")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline().split()[-1])
            pool = urllib3.PoolManager(retries=False, timeout=120)
            url = f"http://127.0.0.1:{port}/"
            assert pool.request("POST", url, body=b"SELECT 1").status == 200
            for key in ("", "x"):
                headers = {"X-ClickHouse-User": query_user.USER, "X-ClickHouse-Key": key}
                assert pool.request("POST", url, body=b"SELECT 1", headers=headers).status == 403
        finally:
            process.terminate()


@pytest.mark.parametrize(
    "words",
    [
        {"readonly": 0}, {"max_execution_time": 0}, {"max_execution_time": 10**9}, {"max_memory_usage": 0},
        {"max_result_rows": "x"}, {"max_result_rows": -1}, {"max_threads": 10**6}, {"allow_ddl": 1},
        {"query_cache_tag": "front-1"}, {"transform_null_in": 0}, {"role": "persons_api", "allow_ddl": 1},
        {"profile": "default"}, {"additional_table_filters": "{'events': '1'}"}, {"log_queries": 1},
    ],
)  # fmt: skip
def test_settings_beyond_the_few_and_their_bounds_are_refused(call: Caller, words: dict[str, Any]) -> None:
    status, text = call("SELECT 1", **words)
    assert status != 200
    assert "Code: 164" in text


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO events VALUES (1, 'x')", "INSERT INTO events FORMAT CSV\n1,x", "SET a = 1", "DROP TABLE events",
        "SYSTEM FLUSH LOGS", "KILL QUERY WHERE 1", "SHOW TABLES", "SELECT file('/etc/passwd')",
        "SELECT 1 SETTINGS max_threads = 1",
    ],
)  # fmt: skip
def test_only_reading_statements_get_in(call: Caller, sql: str) -> None:
    status, text = call(sql)
    assert status != 200
    assert "Code: 392" in text
    assert call.made("SELECT count() FROM events") == "2\n"


@pytest.mark.parametrize("database", ["theirs", "default", "system", "nosuch", "a`b"])
def test_other_databases_are_closed(call: Caller, database: str) -> None:
    assert call("SELECT 1", database=database, log_comment="hogql:1:q")[0] != 200
    status, text = call(f"SELECT * FROM `{database.replace('`', '')}`.events", log_comment="hogql:1:q")  # noqa: S608
    assert status != 200 or not text, "system.events is the engine's own, and empty"


@pytest.mark.parametrize("as_app", [True, False])
def test_a_request_with_a_comment_of_its_own_stops_with_its_client(call: Caller, as_app: bool) -> None:  # noqa: FBT001
    comment = f"hogql:1:{as_app}"
    count = f"SELECT count() FROM system.processes WHERE Settings['log_comment'] = '{comment}'"  # noqa: S608

    url = call.app if as_app else call.query
    words = {"database": "ours", "log_comment": comment, "max_threads": 1, "max_execution_time": 600}
    headers = {"X-ClickHouse-User": str(url.username), "X-ClickHouse-Key": str(url.password)}
    connection = HTTPConnection(str(url.hostname), int(url.port or 0), timeout=60)
    endless = "SELECT count() FROM numbers(100000000000000) WHERE cityHash64(number) = 1"
    connection.request("POST", f"/?{urlencode(words)}", endless.encode(), headers)
    _until(lambda: call.made(count) == "1\n")
    connection.close()
    _until(lambda: call.made(count) == "0\n")


def _until(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


ENGINE = """
import sys
from pathlib import Path
import orjson
from persons_api.embedded.clickhouse_engine import Engine, Job
from persons_api.embedded.clickhouse_protocol import FrontError, Options, Statement
engine = Engine(Path(sys.argv[1]) / "clickhouse", durable=False, query_databases=["ours"])
def run(sql, comment="", as_query_user=True):
    options = Options(database="ours", settings={"log_comment": comment})
    job = Job(Statement(sql, "SELECT"), options, as_query_user=as_query_user)
    try:
        return engine.submit(job).result().body.decode(errors="replace")
    except FrontError as error:
        return error.code
for sql in ("CREATE DATABASE ours", "CREATE DATABASE theirs"):
    engine._control.connection.query(sql, "Null")
for sql in (
    "CREATE TABLE {}.events (team_id Int64, x String) ENGINE = MergeTree ORDER BY team_id",
    "CREATE TABLE {}.secrets (team_id Int64, x String) ENGINE = MergeTree ORDER BY team_id",
    "INSERT INTO {}.events VALUES (1, 'one'), (2, 'canary')", "INSERT INTO {}.secrets VALUES (1, 'canary')",
):
    for database in ("ours", "theirs"):
        run(sql.format(database), as_query_user=False)
answers = {sql: run(sql, "hogql:1:q") for sql in orjson.loads(sys.stdin.read())}
answers["the application"] = run("SELECT count() FROM events", as_query_user=False)
engine.close()
sys.stdout.write(orjson.dumps(answers).decode())
sys.stdout.flush()
import os
os._exit(0)
"""
HELD = [
    "SELECT * FROM secrets", "SELECT * FROM theirs.events", "SELECT x FROM events SETTINGS log_comment = 'hogql:2:q'",
    "SELECT x FROM events SETTINGS readonly = 0", "SET log_comment = 'hogql:2:q'", "SET readonly = 0",
    "INSERT INTO events VALUES (1, 'x')", "DROP TABLE events", "CREATE TABLE t (a Int8) ENGINE = Memory",
    "ALTER TABLE events DELETE WHERE 1", "TRUNCATE TABLE events", "OPTIMIZE TABLE events",
    "CREATE FUNCTION f AS x -> x", "CREATE USER u", "USE theirs", "USE system", "CHECK TABLE events",
    "SELECT * FROM file('/etc/passwd', 'LineAsString')", "SELECT * FROM url('http://127.0.0.1/', 'CSV', 'a String')",
    "SELECT * FROM remote('127.0.0.1', ours.secrets)", "SELECT * FROM merge('theirs', '.*')",
    "SELECT * FROM cluster('x', ours.secrets)", "SELECT * FROM executable('x', 'CSV', 'a Int8')",
    "SELECT * FROM mergeTreeIndex('ours', 'events')", "SELECT * FROM loop(ours.secrets)",
    "SELECT * FROM viewExplain('EXPLAIN', '', (SELECT 1))", "SELECT * FROM dictionary('x')",
    "SELECT * FROM s3('http://127.0.0.1/a/b', 'CSV', 'a Int8')", "SELECT * FROM python(x)",
    "SELECT * FROM sqlite('/tmp/x', 'y')", "SELECT * FROM zeros(1)",
    "SELECT dictGet('a', 'b', 1)", "BACKUP TABLE events TO File('x')",
    "GRANT ALL ON *.* TO default", "SYSTEM RELOAD USERS", "EXECUTE AS default SELECT 1",
]  # fmt: skip
EMPTY = [
    "SELECT * FROM system.tables", "SELECT * FROM system.processes", "SELECT * FROM system.settings",
    "SELECT * FROM information_schema.tables", "SHOW TABLES", "SHOW PROCESSLIST", "KILL QUERY WHERE 1",
]  # fmt: skip
HELD_BY_THE_GUARD_ALONE = [
    "SELECT file('/etc/passwd')", "SELECT hostName()", "SELECT version()", "SELECT currentUser()", "SELECT sleep(0.01)",
    "SELECT getSetting('log_comment')", "SELECT * FROM generateRandom('a Int8') LIMIT 1",
    "SHOW CREATE TABLE events", "SET ROLE persons_api", "DESCRIBE TABLE events", "SELECT 1 INTO OUTFILE 'written'",
]  # fmt: skip


def test_the_engine_holds_without_the_guard(tmp_path: Path) -> None:
    """The roles, grants, policies and readonly of the engine itself; what they do not hold is listed."""
    asked = [*HELD, *EMPTY, *HELD_BY_THE_GUARD_ALONE, "SELECT * FROM events"]
    done = subprocess.run(
        [sys.executable, "-c", ENGINE, str(tmp_path)], input=orjson.dumps(asked), capture_output=True, check=False,
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    answers = orjson.loads(done.stdout)
    assert answers.pop("the application") == "2\n"
    assert answers["SELECT * FROM events"] == "1\tone\n"
    assert {sql: answers[sql] for sql in HELD if not isinstance(answers[sql], int)} == {}
    assert {sql: answers[sql] for sql in EMPTY if answers[sql]} == {}
    open_ = [sql for sql in HELD_BY_THE_GUARD_ALONE if isinstance(answers[sql], str)]
    assert open_ == HELD_BY_THE_GUARD_ALONE, "the engine has become stricter: move these up"
    assert "canary" not in repr(answers)
