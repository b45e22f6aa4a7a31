"""Errors of queries as they are answered (query.md B10, D45)."""

from typing import Any

import pytest

from core.query.errors import answered_errors
from events.errors import (
    Code,
    QueryFailed,
    QueryMistake,
    QueryRefused,
    QueryStopped,
    QueryTimeout,
    QueryTooBig,
    QueryUnsupported,
    StoreUnavailable,
)
from events.hogql.errors import HogQLBusyError, HogQLError
from tests.core.http import parsed, problem
from tests.core.query.execution.conftest import Asking


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("select foo from events", "foo"),
        ("select 'ünïcödé', foo from events", "foo"),
        ("select nosuch(1)", "nosuch"),
        ("select count() from nowhere", "nowhere"),
    ],
)
def test_mistakes_in_hogql_are_told_with_their_place(asking: Asking, text: str, place: str) -> None:
    response = asking.ask(text)
    assert problem(response)[:3] == (400, "validation_error", "invalid_input")
    metadata = parsed(response)["extra"]["hogql_metadata"]
    assert (metadata["query"], metadata["isValid"]) == (text, False)
    (error,) = metadata["errors"]
    assert error["message"] == parsed(response)["detail"]
    assert text[error["start"] : error["end"]].startswith(place)


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["", " ", "select", "select from where", "drop table events", "select 1; select 2"])
def test_what_is_no_hogql(asking: Asking, text: str) -> None:
    assert problem(asking.ask(text))[:3] == (400, "validation_error", "invalid_input")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "text",
    [
        "select intDiv(1, number) from numbers(3)",
        "select match('a', '(')",
        "select range(1000000000000)",
        "select toUUID('x') from numbers(1)",
        "select arrayJoin(range(200000)) limit 50000 offset 18446744073709551616",
    ],
)
def test_what_clickhouse_refuses_is_the_callers_mistake(asking: Asking, text: str) -> None:
    response = asking.ask(text)
    assert response.status_code in {200, 400}, response.content
    assert b"DB::" not in response.content


@pytest.mark.django_db
def test_time_runs_out(asking: Asking, settings: Any) -> None:
    settings.QUERY_TIMEOUT_SECONDS = 1
    response = asking.ask("select count() from numbers(1000000000000) where cityHash64(number) = 1")
    status, kind, code, detail, _ = problem(response)
    assert (status, kind, code) == (504, "server_error", "error")
    assert detail.startswith("Query has hit the max execution time before completing.")
    assert "Retry-After" not in response


@pytest.mark.django_db
def test_memory_runs_out(asking: Asking, settings: Any) -> None:
    settings.QUERY_MEMORY_MB = 64
    response = asking.ask("select uniqExact(number) from numbers(100000000)")
    assert problem(response)[:3] == (513, "server_error", "clickhouse_memory_limit_exceeded")


@pytest.mark.django_db
def test_an_answer_may_be_too_large(asking: Asking, settings: Any) -> None:
    settings.QUERY_MAX_RESULT_MB = 1
    response = asking.ask("select repeat('x', 10000) from numbers(5000) limit 5000")
    assert response.status_code == 400
    assert problem(response)[1] == "validation_error"


MISTAKE = QueryMistake("type_mismatch", "A value does not fit.")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (MISTAKE, 400, "type_mismatch"),
        (QueryTimeout(159), 504, "error"),
        (QueryStopped(394), 400, "query_was_cancelled"),
        (QueryTooBig(241), 513, "clickhouse_memory_limit_exceeded"),
        (QueryUnsupported(49), 400, "query_not_supported_by_engine"),
        (QueryFailed(452), 500, "error"),
        (StoreUnavailable(Code.TOO_MANY_SIMULTANEOUS_QUERIES), 503, "error"),
        (HogQLError("no", start=1, end=2), 400, "invalid_input"),
        (HogQLBusyError("busy"), 503, "error"),
    ],
)
def test_errors_by_cause(error: Exception, status: int, code: str) -> None:
    with pytest.raises(Exception) as raised, answered_errors("text"):  # noqa: PT011 several kinds
        raise error
    found: Any = raised.value
    assert (found.status, found.code) == (status, code)


def test_what_the_common_handler_knows_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (StoreUnavailable(210), QueryRefused(53)):
        with pytest.raises(type(error)), answered_errors():
            raise error
