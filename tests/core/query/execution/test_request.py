"""What a request may be, and in which order it is refused (query.md B2)."""

from typing import Any

import pytest

from tests.core.http import Caller, parsed, problem
from tests.core.query.execution.conftest import Asking

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clickhouse", "valkey")]

ONE = {"kind": "HogQLQuery", "query": "select 1"}


def refused(asking: Asking, body: Any, path: str = "") -> tuple[str, str]:
    status, kind, code, detail, _ = problem(asking.post(body, path))
    assert (status, kind) == (400, "invalid_request" if code == "parse_error" else "validation_error")
    return code, detail


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        [],
        '"text"',
        1,
        {"query": {}},
        {"query": None},
        {"query": []},
        {"query": "select 1"},
        {"refresh": True},
    ],
)
def test_what_is_no_request(asking: Asking, body: Any) -> None:
    code, detail = refused(asking, body)
    assert code == "parse_error"
    assert detail.startswith("1 validation error for QueryRequest")


@pytest.mark.parametrize("kind", ["Tomato Soup", "", 7, ["HogQLQuery"], "hogqlquery"])
def test_kinds_that_there_are_not(asking: Asking, kind: Any) -> None:
    code, detail = refused(asking, {"query": {"kind": kind}})
    assert code == "parse_error"
    assert f"Input tag '{kind}' found using 'kind' does not match any of the expected tags" in detail


def test_kinds_that_only_posthog_runs(asking: Asking) -> None:
    assert refused(asking, {"query": {"kind": "WebOverviewQuery"}}) == (
        "invalid_input",
        "Unsupported query kind: WebOverviewQuery",
    )
    wrapped = {"kind": "DataTableNode", "source": {"kind": "SessionsTimelineQuery"}}
    assert refused(asking, {"query": wrapped})[1] == "Unsupported query kind: SessionsTimelineQuery"


@pytest.mark.parametrize(
    "body",
    [
        {"query": ONE, "refresh": 1},
        {"query": ONE, "refresh": {}},
        {"query": ONE, "async": "yes"},
        {"query": ONE, "client_query_id": 5},
        {"query": ONE, "client_query_id": "a b"},
        {"query": ONE, "client_query_id": "a:b"},
        {"query": ONE, "client_query_id": "a'b"},
        {"query": ONE, "client_query_id": "a\u0000b"},
        {"query": ONE, "client_query_id": "é"},
        {"query": ONE, "client_query_id": "x" * 129},
        {"query": ONE, "name": "x" * 129},
        {"query": ONE, "name": []},
        {"query": ONE, "limit_context": "query"},
        {"query": ONE, "filters_override": []},
        {"query": ONE, "filters_override": {"dates": 1}},
        {"query": ONE, "variables_override": []},
        {"query": ONE, "variables_override": {"a": 1}},
        {"query": ONE, "surprise": 1},
        {"query": {**ONE, "surprise": 1}},
        {"query": {**ONE, "tags": 1}},
        {"query": {**ONE, "modifiers": 1}},
        {"query": {"kind": "HogQLQuery"}},
        {"query": {"kind": "HogQLQuery", "query": 1}},
        {"query": {**ONE, "variables": {"a": 1}}},
        {"query": {**ONE, "values": []}},
        {"query": {**ONE, "connectionId": "warehouse"}},
        {"query": {"kind": "DataTableNode"}},
    ],
)
def test_members_that_are_wrong(asking: Asking, body: Any) -> None:
    code, detail = refused(asking, body)
    assert code == "parse_error"
    assert detail.startswith("1 validation error for QueryRequest\n")


def test_the_path_may_name_the_kind(asking: Asking) -> None:
    assert parsed(asking.post({"query": ONE}, "HogQLQuery/"))["results"] == [[1]]
    message = 'Query kind mismatch: path kind "EventsQuery" does not match body kind "HogQLQuery".'
    assert refused(asking, {"query": ONE}, "EventsQuery/") == ("invalid_input", message)
    assert refused(asking, [1], "HogQLQuery/") == ("invalid_input", "Query body must be a JSON object.")
    assert refused(asking, {"query": 1}, "HogQLQuery/") == ("invalid_input", "Query must be a JSON object.")
    # The path is judged before the rest of the body.
    assert refused(asking, {"query": ONE, "surprise": 1}, "EventsQuery/")[0] == "invalid_input"


def test_broken_json_is_told_as_everywhere(asking: Asking) -> None:
    status, _, code, detail, _ = problem(Caller(asking.key)("POST", asking.url(), b'{"query": '))
    assert (status, code) == (400, "parse_error")
    assert detail.startswith("JSON parse error - ")


def test_wrapped_queries_are_answered_as_what_they_wrap(asking: Asking) -> None:
    wrapped = {"kind": "DataVisualizationNode", "source": ONE, "display": "ActionsTable"}
    assert parsed(asking.post({"query": wrapped}))["results"] == [[1]]


def test_a_key_in_the_body_is_no_surprise(asking: Asking) -> None:
    body = {"query": ONE, "personal_api_key": asking.key}
    assert Caller()("POST", asking.url(), body).status_code == 200


def test_form_bodies_carry_no_query(asking: Asking) -> None:
    response = Caller(asking.key).client.post(
        asking.url(), {"query": "select 1"}, headers={"Authorization": f"Bearer {asking.key}"}
    )
    assert problem(response)[:3] == (400, "invalid_request", "parse_error")


@pytest.mark.parametrize("tree", ["projects", "environments"])
def test_companions(asking: Asking, tree: str) -> None:
    there = Asking(asking.team, asking.key, tree)
    assert parsed(there.post({"query": ONE}, "upgrade/")) == {"query": ONE}
    assert parsed(there.post(None, "check_auth_for_async/")) == {"user": "ok"}
    assert problem(there.post({"query": 1}, "upgrade/"))[:3] == (400, "validation_error", "invalid_input")


def test_deep_bodies_are_refused(asking: Asking) -> None:
    nested = b'{"a":' * 900 + b"1" + b"}" * 900
    for member in (b"tags", b"values", b"filters", b"variables", b"modifiers"):
        text = b'{"query": {"kind": "HogQLQuery", "query": "select 1", "' + member + b'": ' + nested + b"}}"
        assert Caller(asking.key)("POST", asking.url(), text).status_code == 400, member


@pytest.mark.parametrize("member", ["query", "name", "client_query_id"])
def test_odd_characters_are_no_error_of_the_server(asking: Asking, member: str) -> None:
    odd = "\u0000\U0001f600é\ufffd'\"\\"
    body = {"query": {**ONE, "query": odd}} if member == "query" else {"query": ONE, member: odd}
    assert asking.post(body).status_code in {200, 400}
