import os
import socket
import threading
from datetime import UTC, datetime
from urllib.parse import urlsplit
from uuid import uuid4

import orjson
import pytest
from pytest_django import Settings

from events import client
from events.errors import (
    EventStoreError,
    QueryFailed,
    QueryRefused,
    QueryTimeout,
    QueryTooBig,
    StoreUnavailable,
    error_for_code,
)
from events.rows import Table, clickhouse_time

pytestmark = pytest.mark.usefixtures("clickhouse")

WEIRD = [
    "nul\0inside",
    "'single' \"double\" `back`",
    "back\\slash\\",
    "\\N",
    "\\0",
    "tab\tline\nreturn\rbell\b",
    "größe 😀 \u2028",
    "{x:String} %s %(x)s",
    "",
]


@pytest.mark.parametrize("text", WEIRD)
def test_any_text_comes_back_as_it_was_bound(text: str) -> None:
    sql = "SELECT {text:String}, {texts:Array(String)}"
    assert client.query(sql, {"text": text, "texts": [text, "b"]}).rows == [(text, [text, "b"])]


@pytest.mark.parametrize("text", WEIRD)
def test_long_values_travel_in_the_body_unchanged(text: str) -> None:
    long_text, many = text + "x" * 20_000, [text] * 2_000
    rows = client.query("SELECT {text:String}, {texts:Array(String)}", {"text": long_text, "texts": many}).rows
    assert rows == [(long_text, many)]


def test_result_names_its_columns() -> None:
    assert client.query("SELECT 1 AS one, 'b' AS two").columns == ("one", "two")


def test_same_token_stores_once(team_id: int) -> None:
    payload = orjson.dumps({"team_id": team_id, "distinct_id": "a", "person_id": str(uuid4()), "version": 1})
    token = str(uuid4())
    for _ in range(3):
        client.insert_json_rows(Table.PERSON_DISTINCT_IDS, payload, token=token)
    sql = "SELECT count() FROM person_distinct_ids WHERE team_id = {team_id:Int64}"
    assert client.query(sql, {"team_id": team_id}).rows == [(1,)]


def test_other_token_stores_again(team_id: int) -> None:
    payload = orjson.dumps({"team_id": team_id, "type": "a", "timestamp": clickhouse_time(datetime.now(UTC))})
    for _ in range(2):
        client.insert_json_rows(Table.INGESTION_WARNINGS, payload, token=str(uuid4()))
    sql = "SELECT count() FROM ingestion_warnings WHERE team_id = {team_id:Int64}"
    assert client.query(sql, {"team_id": team_id}).rows == [(2,)]


def test_one_insert_may_span_hundreds_of_months(team_id: int) -> None:
    lines = [
        orjson.dumps({"team_id": team_id, "uuid": str(uuid4()), "timestamp": f"{1900 + number}-01-01 00:00:00.000001"})
        for number in range(399)
    ]
    client.insert_json_rows(Table.EVENTS, b"\n".join(lines), token=str(uuid4()))
    sql = "SELECT count(), min(toYear(timestamp)), max(toYear(timestamp)) FROM events WHERE team_id = {team_id:Int64}"
    assert client.query(sql, {"team_id": team_id}).rows == [(399, 1900, 2298)]


@pytest.mark.parametrize(
    "row",
    [{"unheard_of": 1}, {"team_id": "x"}, {"person_id": "not a uuid"}, {"distinct_id": None}],
    ids=["unknown column", "number", "uuid", "null"],
)
def test_row_that_does_not_fit_is_refused(row: dict[str, object]) -> None:
    with pytest.raises(QueryRefused):
        client.insert_json_rows(Table.PERSON_DISTINCT_IDS, orjson.dumps(row), token=str(uuid4()))


def test_value_of_another_type_is_refused_without_its_text() -> None:
    with pytest.raises(QueryRefused) as caught:
        client.query("SELECT {secret:UInt8}", {"secret": "hunter2"})
    assert "hunter2" not in str(caught.value)
    assert "SELECT" not in str(caught.value)


def test_own_mistake_is_not_the_callers_fault() -> None:
    with pytest.raises(QueryFailed):
        client.query("SELECT nothing FROM person_distinct_ids")


def test_missing_table_is_a_store_that_is_not_ready() -> None:
    with pytest.raises(StoreUnavailable):
        client.query("SELECT 1 FROM no_such_table")


def test_slow_query_times_out() -> None:
    with pytest.raises(QueryTimeout):
        client.query("SELECT sleepEachRow(1) FROM numbers(5)", settings={"max_execution_time": 1, "max_block_size": 1})


def test_greedy_query_is_too_big() -> None:
    with pytest.raises(QueryTooBig):
        client.query("SELECT groupArray(number) FROM numbers(10000000)", settings={"max_memory_usage": 10_000_000})


def test_stopped_store_is_unavailable(settings: Settings) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        settings.CLICKHOUSE_URL = f"http://127.0.0.1:{unused.getsockname()[1]}/any"
        for call in (
            lambda: client.query("SELECT 1"),
            lambda: client.command("SELECT 1"),
            lambda: client.insert_json_rows(Table.EVENTS, b"{}", token="t"),
        ):
            with pytest.raises(StoreUnavailable) as caught:
                call()
            assert "127.0.0.1" not in str(caught.value)
        assert client.ping(timeout=0.5) is False


def test_something_that_is_not_clickhouse_is_unavailable(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _peer = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")

        thread = threading.Thread(target=answer)
        thread.start()
        settings.CLICKHOUSE_URL = f"http://127.0.0.1:{server.getsockname()[1]}/any"
        with pytest.raises(StoreUnavailable):
            client.query("SELECT 1")
        thread.join()


def test_store_that_hangs_is_unavailable(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "RECEIVE_MARGIN_SECONDS", 0)
    settings.CLICKHOUSE_QUERY_TIMEOUT_SECONDS = 1
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings.CLICKHOUSE_URL = f"http://127.0.0.1:{server.getsockname()[1]}/any"
        with pytest.raises(StoreUnavailable):
            client.query("SELECT 1")
        assert client.ping(timeout=0.2) is False


def test_store_that_is_busy_beyond_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "RECEIVE_MARGIN_SECONDS", -0.5)
    with pytest.raises(QueryTimeout) as caught:
        client.query("SELECT sleep(3)", seconds=1)
    # The server, once it had slept, would have told its code.
    assert caught.value.code is None


def test_store_that_is_away_is_not_out_of_time(settings: Settings) -> None:
    settings.CLICKHOUSE_URL = "http://127.0.0.1:1/any"
    with pytest.raises(StoreUnavailable):
        client.query("SELECT 1", seconds=1)


def test_store_answers_ping() -> None:
    assert client.ping(timeout=60) is True


def test_each_thread_has_its_own_client() -> None:
    seen = [client._client()]  # noqa: SLF001
    thread = threading.Thread(target=lambda: seen.append(client._client()))  # noqa: SLF001
    thread.start()
    thread.join()
    assert seen[0] is not seen[1]
    assert seen[0] is client._client()  # noqa: SLF001


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_child_forgets_its_parents_connection() -> None:
    before = client._client()  # noqa: SLF001
    child = os.fork()
    if not child:
        os._exit(0 if client._per_thread.client is None else 1)  # noqa: SLF001
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert client._client() is before  # noqa: SLF001


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (27, QueryRefused),
        (427, QueryRefused),
        (159, QueryTimeout),
        (241, QueryTooBig),
        (202, StoreUnavailable),
        (47, QueryFailed),
        (123456, QueryFailed),
    ],
)
def test_code_decides_the_error(code: int, kind: type[EventStoreError]) -> None:
    error = error_for_code(code)
    assert type(error) is kind
    assert error.code == code


def test_long_lists_are_cut_into_fields_that_a_server_accepts() -> None:
    texts = [f"{number:060}é" for number in range(5_000)]
    chunks = list(client.parameter_chunks(texts))
    assert [text for chunk in chunks for text in chunk] == texts
    assert max(sum(len(text.encode()) + 4 for text in chunk) for chunk in chunks) < 128 * 1024


def test_database_name_is_the_path_of_the_url(settings: Settings) -> None:
    settings.CLICKHOUSE_URL = f"http://u:p@{urlsplit(settings.CLICKHOUSE_URL).netloc.rpartition('@')[2]}/my%20events"
    assert client.database_name() == "my events"


def test_a_counted_query_counts_what_was_there_before_the_limit() -> None:
    sql = "SELECT number, toString({text:String}) FROM numbers({rows:UInt64}) ORDER BY number DESC LIMIT 2 OFFSET 1"
    rows, count = client.query_counted(sql, {"text": "x" * 20_000, "rows": 300_000})
    assert rows == [[299_998, "x" * 20_000], [299_997, "x" * 20_000]]
    assert count == 300_000
    assert client.query_counted("SELECT 1 WHERE 0 LIMIT 5") == ([], 0)


def test_a_counted_query_fails_as_others_do() -> None:
    with pytest.raises(QueryFailed):
        client.query_counted("SELECT nonsense(1) LIMIT 1")
    # The rows before the failing one may be under way by then.
    with pytest.raises(EventStoreError):
        client.query_counted("SELECT throwIf(number = 2999999) FROM numbers(3000000) LIMIT 5000000")
