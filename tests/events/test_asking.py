"""Statements of the query user: values both ways, limits, progress, stopping, and what their mistakes are called."""

import socket
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import UUID, uuid4

import orjson
import pytest
from pytest_django import Settings

from events import client, mistakes, query_user
from events.client import Asked
from events.errors import (
    EventStoreError,
    QueryFailed,
    QueryMistake,
    QueryStopped,
    QueryTimeout,
    QueryTooBig,
    QueryUnsupported,
    StoreUnavailable,
)
from events.rows import Table, event_row
from tests.events.test_client import WEIRD

pytestmark = pytest.mark.usefixtures("clickhouse")

ENDLESS = "SELECT count() FROM numbers(1000000000000) WHERE cityHash64(number) = 1"


@pytest.fixture(autouse=True)
def a_machine_may_be_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the endless statements of these tests, above all."""
    monkeypatch.setattr(client, "LOOKING_SECONDS", 30)


def ask(sql: str, parameters: dict[str, Any] | None = None, **words: Any) -> Asked:
    given = {
        "team_id": 5, "query_id": "q", "seconds": 10, "memory_mb": 500, "max_rows": 10_000, "max_bytes": 10**8, **words,
    }  # fmt: skip
    return client.ask(sql, parameters, **given)


def processes(query_id: str, team_id: int = 5) -> int:
    comment = query_user.comment(team_id, query_id)
    sql = "SELECT count() FROM system.processes WHERE Settings['log_comment'] = {comment:String}"
    return int(client.query(sql, {"comment": comment}).rows[0][0])


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    pytest.fail("it did not come")


@contextmanager
def running(query_id: str, **words: Any) -> Iterator[list[EventStoreError]]:
    """Have an endless statement run in another thread; what it met is in the list after the block."""
    met: list[EventStoreError] = []

    def run() -> None:
        try:
            ask(ENDLESS, query_id=query_id, seconds=600, threads=1, **words)
        except EventStoreError as error:
            met.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        wait_for(lambda: processes(query_id, words.get("team_id", 5)))
        yield met
    finally:
        client.stop(words.get("team_id", 5), query_id)
        thread.join(60)


@pytest.mark.parametrize("text", WEIRD)
@pytest.mark.parametrize("repeated", [1, 3_000], ids=["in the URL", "in a form"])
def test_any_text_comes_back_as_it_was_bound(text: str, repeated: int) -> None:
    long_text = text * repeated if repeated < 2 or text else "x" * 9000
    answer = ask("SELECT {text:String} AS a, {texts:Array(String)} AS b", {"text": long_text, "texts": [text, "b"]})
    assert answer.rows == [[long_text, [text, "b"]]]
    assert answer.columns == (("a", "String"), ("b", "Array(String)"))


def test_values_have_the_forms_of_json() -> None:
    answer = ask(
        "SELECT toDateTime64('2020-01-01 00:00:00.5', 6, 'UTC'), toDateTime('2020-01-01 12:00:00', 'America/New_York'),"
        " toDate('2020-01-02'), toUInt64(18446744073709551615), toInt64(-9007199254740993), nan, -inf, NULL, true,"
        " tuple(1, 'a'), map('k', 1.5), [toNullable(1), NULL], toUUID('00000000-0000-0000-0000-00000000000a'),"
        " toDecimal64(1.25, 2), {u:UUID}, {d:DateTime64(6, 'UTC')}, {n:Nullable(String)}, {f:Float64}, {b:Bool}",
        {"u": UUID(int=1), "d": "2020-01-01 00:00:00.123456", "n": None, "f": 1.5e300, "b": True},
    )
    assert answer.rows == [
        [
            "2020-01-01T00:00:00.500000Z", "2020-01-01T17:00:00Z", "2020-01-02", 18446744073709551615,
            -9007199254740993, None, None, None, True, [1, "a"], {"k": 1.5}, [1, None],
            "00000000-0000-0000-0000-00000000000a", 1.25, str(UUID(int=1)), "2020-01-01T00:00:00.123456Z", None,
            1.5e300, True,
        ]
    ]  # fmt: skip
    assert [name for _, name in answer.columns[:3]] == ["DateTime64(6, 'UTC')", "DateTime('America/New_York')", "Date"]


def test_the_answer_says_what_was_read() -> None:
    answer = ask("SELECT sum(number) FROM numbers(1000)")
    assert (answer.rows, answer.rows_read, answer.bytes_read) == ([[499500]], 1000, 8000)
    assert 0 < answer.elapsed < 10
    assert ask("SELECT 1 WHERE 0").rows == []


def test_null_is_found_in_a_list_with_null() -> None:
    assert ask("SELECT NULL IN (1, NULL), 2 NOT IN (1, NULL)").rows == [[1, 1]]


@pytest.mark.parametrize(
    ("words", "sql", "code_name"),
    [
        ({"max_rows": 10}, "SELECT number FROM numbers(11)", "too_many_rows_or_bytes"),
        ({"max_bytes": 1000}, "SELECT number FROM numbers(1000)", "too_many_rows_or_bytes"),
    ],
)
def test_more_rows_or_bytes_than_the_limit_are_refused(words: dict[str, Any], sql: str, code_name: str) -> None:
    with pytest.raises(QueryMistake) as caught:
        ask(sql, **words)
    assert caught.value.code_name == code_name
    assert len(ask("SELECT number FROM numbers(10)", max_rows=10).rows) == 10


def test_constants_that_fill_the_answer_are_refused_and_the_next_statement_runs() -> None:
    """ClickHouse counts a constant column once, whatever the number of rows."""
    with pytest.raises(QueryMistake) as caught:
        ask("SELECT repeat('x', 10000) FROM numbers(5000)", max_bytes=10**6, query_id="wide")
    assert caught.value.code_name == "too_many_bytes"
    assert ask("SELECT 1").rows == [[1]]
    wait_for(lambda: not processes("wide"))


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        ("\r\n__exception__\r\nCode: 241. DB::Exception: Memory limit (MEMORY_LIMIT_EXCEEDED)", QueryTooBig),
        ("Code: 159. DB::Exception: Timeout (TIMEOUT_EXCEEDED)", QueryTimeout),
        ("", StoreUnavailable),
    ],
)
@pytest.mark.parametrize("missing", [100, 0], ids=["the connection breaks", "the body ends"])
def test_an_error_in_the_middle_of_an_answer_is_no_answer(
    settings: Settings, end: str, kind: type[EventStoreError], missing: int
) -> None:
    """A server that has begun to send says 200, and puts its error at the end."""
    body = f'{{"meta": [], "data": [[1], [2{end}'.encode()

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            size = len(body) + missing
            connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode() + body)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        settings.CLICKHOUSE_QUERY_URL = f"http://u:p@127.0.0.1:{server.getsockname()[1]}/any"
        with pytest.raises(EventStoreError) as caught:
            ask("SELECT 1")
        thread.join(10)
    assert type(caught.value) is kind


def test_memory_and_time_have_errors_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(QueryTooBig):
        ask("SELECT groupArray(number) FROM numbers(100000000)", memory_mb=20)
    monkeypatch.setattr(client, "RECEIVE_MARGIN_SECONDS", 60)
    with pytest.raises(QueryTimeout) as caught:
        ask(ENDLESS, seconds=1, query_id="slow")
    assert not isinstance(caught.value, QueryStopped)
    # The server has stopped it by itself: whoever gives up waiting has no code.
    assert caught.value.code == 159
    wait_for(lambda: not processes("slow"))


@pytest.mark.parametrize("words", [{"seconds": 0}, {"seconds": 10**6}, {"memory_mb": 0}, {"max_rows": 10**9}])
def test_a_statement_without_limits_does_not_run(words: dict[str, Any]) -> None:
    with pytest.raises(QueryMistake):
        ask("SELECT 1", **words)


def test_progress_is_that_of_the_query_alone() -> None:
    assert client.progress_of(5, "none") is None
    with running("seen"):
        progress = wait_for(lambda: (found := client.progress_of(5, "seen")) and found.rows_read and found)
        assert progress.estimated_rows_total >= progress.rows_read > 0
        assert progress.bytes_read >= progress.rows_read
        assert progress.time_elapsed > 0
        assert progress.active_cpu_time >= 0
        assert client.progress_of(6, "seen") is None
        assert client.progress_of(5, "see") is None


def test_stopping_takes_the_query_of_that_project_and_no_other() -> None:
    with running("a") as mine, running("a", team_id=55) as theirs, running("b") as other:
        assert client.stop(5, "a") == 1
        wait_for(lambda: mine)
        assert isinstance(mine[0], QueryStopped)
        # The server sends the error first and then forgets the statement.
        wait_for(lambda: not processes("a"))
        assert (processes("a", 55), processes("b")) == (1, 1)
        assert (theirs, other) == ([], [])
        assert client.stop(5, "a") == 0
        assert client.stop(5, "x' OR 1 --") == 0
        assert (processes("a", 55), processes("b")) == (1, 1)


def test_a_statement_stops_when_its_client_goes_away(settings: Settings) -> None:
    """What happens when the process that asked is killed: its socket is closed."""
    url = urlsplit(settings.CLICKHOUSE_QUERY_URL)
    words = {"log_comment": query_user.comment(5, "gone"), "max_execution_time": 600, "max_threads": 1,
             "database": url.path.strip("/"), "cancel_http_readonly_queries_on_client_close": 1}  # fmt: skip
    login = b64encode(f"{url.username}:{url.password}".encode()).decode()
    with socket.create_connection((str(url.hostname), int(url.port or 0))) as connection:
        head = f"POST /?{urlencode(words)} HTTP/1.1\r\nHost: {url.hostname}\r\nAuthorization: Basic {login}\r\n"
        connection.sendall(f"{head}Content-Length: {len(ENDLESS)}\r\n\r\n{ENDLESS}".encode())
        wait_for(lambda: processes("gone"))
    wait_for(lambda: not processes("gone"))


def test_a_server_that_gives_no_answer_is_told_to_stop(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that keeps connections open can hide that nobody waits any more."""
    monkeypatch.setattr(client, "RECEIVE_MARGIN_SECONDS", -0.5)
    with running("hung") as met, socket.create_server(("127.0.0.1", 0)) as silent:
        settings.CLICKHOUSE_QUERY_URL = f"http://u:p@127.0.0.1:{silent.getsockname()[1]}/any"
        with pytest.raises(QueryTimeout):
            ask("SELECT 1", query_id="hung", seconds=1)
        wait_for(lambda: met)
        assert isinstance(met[0], QueryStopped)


@pytest.mark.parametrize("url", ["http://u:p@127.0.0.1:1/any", ""])
def test_a_store_that_is_away_is_unavailable(settings: Settings, url: str) -> None:
    settings.CLICKHOUSE_QUERY_URL = url
    with pytest.raises(StoreUnavailable):
        ask("SELECT 1")


def test_a_wrong_password_is_a_store_that_is_not_ready(settings: Settings) -> None:
    url = urlsplit(settings.CLICKHOUSE_QUERY_URL)
    settings.CLICKHOUSE_QUERY_URL = f"http://{url.username}:wrong@{url.hostname}:{url.port}{url.path}"
    with pytest.raises(StoreUnavailable):
        ask("SELECT 1")


def test_a_value_that_is_no_text_and_a_query_that_is_too_long_are_mistakes() -> None:
    with pytest.raises(QueryMistake) as caught:
        ask("SELECT {a:String}", {"a": "\ud800"})
    assert caught.value.code_name == "bad_query_parameter"
    with pytest.raises(QueryMistake) as caught:
        ask("SELECT {a:String}", {"a": "x" * 200_000})
    assert caught.value.code_name == "query_is_too_large"


def test_many_threads_ask_at_once() -> None:
    found: list[Any] = []

    def run(number: int) -> None:
        for _ in range(10):
            found.append((number, ask("SELECT {n:Int64}", {"n": number}, query_id=f"q{number}").rows[0][0]))  # noqa: PERF401

    threads = [threading.Thread(target=run, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(found) == [(number, number) for number in range(20) for _ in range(10)]


VALUE = "qqsecret"
MISTAKES = [
    ("SELECT 1 + 'a'", "illegal_type_of_argument", "(function plus; UInt8 and String)"),
    ("SELECT toStartOfDay(event) FROM events", "illegal_type_of_argument", "toStartOfDay"),
    ("SELECT sum(event) FROM events", "illegal_type_of_argument", "sum"),
    ("SELECT length(1)", "illegal_type_of_argument", "length"),
    ("SELECT arrayMap(x -> x, event) FROM events", "illegal_type_of_argument", ""),
    ("SELECT toInt64(event) FROM events", "cannot_parse_text", "could not be read"),
    ("SELECT toDate(event) FROM events", "cannot_parse_date", "as a date"),
    ("SELECT toDateTime(event) FROM events", "cannot_parse_datetime", "as a time"),
    ("SELECT toUUID(event) FROM events", "cannot_parse_uuid", "as a UUID"),
    ("SELECT CAST(event, 'Enum8(\\'a\\' = 1)') FROM events", "unknown_element_of_enum", ""),
    ("SELECT toIPv4(event) FROM events", "cannot_parse_ipv4", ""),
    ("SELECT toIPv6(event) FROM events", "cannot_parse_ipv6", ""),
    ("SELECT [1, 'a']", "no_common_type", "(UInt8, String)"),
    ("SELECT has([1], event) FROM events", "no_common_type", ""),
    ("SELECT event = 1 FROM events", "no_common_type", ""),
    ("SELECT substr('abc')", "number_of_arguments_doesnt_match", "given 1, needed 2"),
    ("SELECT lower('a', 'b')", "number_of_arguments_doesnt_match", "given 2, needed 1"),
    ("SELECT quantile(2)(number) FROM numbers(3)", "parameter_out_of_bound", ""),
    ("SELECT event, count() FROM events", "not_an_aggregate", "GROUP BY"),
    ("SELECT sum(count()) FROM events", "illegal_aggregation", "inside another"),
    ("SELECT 1 FROM events WHERE count() > 1", "illegal_aggregation", ""),
    ("SELECT match(event, '(') FROM events", "cannot_compile_regexp", "regular expression"),
    ("SELECT extractAll('a', '[')", "cannot_compile_regexp", ""),
    ("SELECT intDiv(1, 0)", "illegal_division", "zero"),
    ("SELECT number % 0 FROM numbers(2)", "illegal_division", ""),
    ("SELECT range(100000000000)", "argument_out_of_bound", "range"),
    ("SELECT repeat(event, 100000000) FROM events", "too_large_string_size", ""),
    ("SELECT arrayWithConstant(100000000000, 'a')", "too_large_array_size", ""),
    ("SELECT tuple(1).3", "argument_out_of_bound", "out of bounds"),
    ("SELECT arrayMap((a, b) -> a, [1], [1, 2])", "sizes_of_arrays_dont_match", ""),
    ("SELECT (SELECT number FROM numbers(2))", "incorrect_result_of_scalar_subquery", "one row"),
    ("SELECT 1 AS a UNION ALL SELECT 1, 2", "union_all_result_structures_mismatch", "UNION"),
    ("SELECT nosuch(1)", "unknown_function", ""),
    ("SELECT nosuchcolumn FROM events", "unknown_identifier", ""),
    (
        "SELECT a.event FROM events AS a LEFT JOIN events AS b ON a.timestamp > b.timestamp",
        "invalid_join_on_expression",
        "",
    ),
    ("SELECT number FROM numbers(3) LIMIT 1.5", "invalid_limit_expression", "LIMIT"),
    ("SELECT {nowhere:String}", "unknown_query_parameter", ""),
    ("SELECT CAST(1, 'NoSuchType')", "unknown_type", ""),
    ("SELECT toDecimal32(1e9, 8)", "decimal_overflow", ""),
    ("SELECT throwIf(event != '') FROM events", "query_is_prohibited", ""),
    ("SELECT (", "syntax_error", "cannot be read"),
    ("SELECT 1 AS a, 2 AS a, a", "multiple_expressions_for_alias", ""),
    ("SELECT 1 ORDER BY 5", "bad_arguments", ""),
    ("SELECT toDateTime('2020-01-01', event) FROM events", "illegal_column", "constant"),
    ("SELECT toTypeName(toDateTime('2020-01-01 00:00:00', 'No/Where'))", "bad_arguments", ""),
    ("SELECT dateDiff('qqsecret', now(), now())", "bad_arguments", "dateDiff"),
    ("SELECT 1 IN ('qqsecret')", "type_mismatch", ""),
    ("SELECT (1, 2) IN (1, 2, 3)", "incorrect_element_of_set", ""),
    ("SELECT 1 WHERE 'qqsecret'", "illegal_type_of_column_for_filter", "true or false"),
    ("SELECT CAST(NULL, 'Int64')", "cannot_convert_type", ""),
    ("SELECT base64Decode(concat(event, '!')) FROM events", "incorrect_data", ""),
    ("SELECT parseDateTime(event, '%Q') FROM events", "not_implemented", ""),
    ("SELECT toFixedString(event, 2) FROM events", "too_large_string_size", ""),
    ("SELECT " + "(" * 3000 + "1" + ")" * 3000, "too_deep_recursion", ""),
    ("SELECT 1" + " + 1" * 3000, "too_deep_ast", "too deeply nested"),
]


@pytest.mark.parametrize(("sql", "code_name", "part"), MISTAKES, ids=[code for _, code, _ in MISTAKES])
def test_a_mistake_has_a_code_and_a_sentence_without_anything_stored(sql: str, code_name: str, part: str) -> None:
    row = event_row(
        team_id=5, uuid=uuid4(), event=VALUE, distinct_id=VALUE, timestamp=datetime.now(UTC),
        created_at=datetime.now(UTC), properties="{}", person_id=uuid4(), person_created_at=datetime.now(UTC),
    )  # fmt: skip
    client.insert_json_rows(Table.EVENTS, orjson.dumps(row), token=str(uuid4()))
    with pytest.raises(EventStoreError) as caught:
        ask(sql)
    error = caught.value
    assert isinstance(error, QueryMistake), (repr(error), error.code)
    assert error.code_name == code_name
    assert part in error.message
    assert str(error) == error.message
    told = error.message.lower()
    for word in (VALUE, "select", "persons_api", "team_id", "exception", "events", "default.", "hogql"):
        assert word not in told


def test_every_code_has_the_name_that_clickhouse_gives_it() -> None:
    renamed = {164, 392, 497, 636}  # all that rights and readonly refuse is one thing for a caller
    names = {code: name for code, (name, _) in mistakes.MISTAKES.items() if code not in renamed}
    sql = "SELECT number, lower(errorCodeToName(number)) FROM numbers(1100)"
    real = dict(client.query(sql).rows)
    assert names == {code: real[code] for code in names}
    for code in renamed:
        assert mistakes.MISTAKES[code][0] == "query_is_prohibited"


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (49, "Code: 49. DB::Exception: secret (LOGICAL_ERROR)", QueryUnsupported),
        (10, "Code: 10. DB::Exception: secret (NOT_FOUND_COLUMN_IN_BLOCK)", QueryUnsupported),
        (452, "Code: 452. DB::Exception: secret (SETTING_CONSTRAINT_VIOLATION)", QueryFailed),
        (60, "Code: 60. DB::Exception: Table persons_api.x (UNKNOWN_TABLE)", StoreUnavailable),
        (160, "Code: 160. DB::Exception: too slow (TOO_SLOW)", QueryTimeout),
        (202, "Code: 202. DB::Exception: Too many (TOO_MANY_SIMULTANEOUS_QUERIES)", StoreUnavailable),
    ],
)
def test_what_is_not_the_statements_fault_is_told_without_its_text(
    code: int, text: str, kind: type[EventStoreError]
) -> None:
    error = mistakes.error_of(code, text)
    assert type(error) is kind
    assert str(error) == kind.text


@pytest.mark.parametrize(
    ("code", "text", "told"),
    [
        (43, "Illegal type Enum8('qq' = 1) of argument of function lower", "(function lower)"),
        (43, "Illegal type String of argument of function lower", "(function lower; String)"),
        (43, "Illegal types DateTime64(6, 'UTC') and 'qqvalue' of arguments of function lower", "(function lower)"),
        (43, "Illegal types String and Enum8('qq' = 1) of arguments of function plus", "(function plus)"),
        (43, "Illegal types String and UInt8 of arguments of function plus", "(function plus; String and UInt8)"),
        (
            43,
            "A value of illegal type was provided as 2nd argument 'qq' to function 'f'. Expected: Date, got: String",
            "(function f; argument 2: String)",
        ),
        (
            43,
            "A value of illegal type was provided as 2nd argument 'a' to function 'dateDiff'. Expected: Date, got: qq",
            "(function dateDiff)",
        ),
        (43, "In scope SELECT function qqx", ""),
        (386, "There is no supertype for types String, UInt8 because x: In scope SELECT qq", "(String, UInt8)"),
        (386, "There is no supertype for types Tuple(qq String), UInt8 because x", ""),
        (42, "Function lower doesn't match: passed 3, should be 1: In scope qq", "(function lower; given 3, needed 1)"),
        (6, "Cannot parse string 'function qq' as Int64", ""),
    ],
)
def test_only_names_of_functions_types_and_numbers_are_taken_out_of_the_text(code: int, text: str, told: str) -> None:
    error = mistakes.error_of(code, f"Code: {code}. DB::Exception: {text}")
    assert isinstance(error, QueryMistake)
    assert error.message == f"{mistakes.MISTAKES[code][1]}{told and ' '}{told}"
