"""Which rate limits a query counts in."""

from typing import Any

import pytest

from tests.core.http import Caller, problem
from tests.core.query.execution.conftest import Asking

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]

SCHEMA = {"kind": "DatabaseSchemaQuery"}
HOGQL = {"kind": "HogQLQuery", "query": "select 1"}


@pytest.fixture(autouse=True)
def limits(settings: Any) -> None:
    settings.RATE_LIMIT_ENABLED = True


def counted(response: Any) -> set[str]:
    return {part.strip().split(";")[0].strip('"') for part in response["RateLimit"].split(",")}


@pytest.mark.parametrize(
    ("query", "names"),
    [
        (HOGQL, {"hogql"}),
        ({"kind": "DataTableNode", "source": HOGQL}, {"hogql"}),
        ({"kind": "ActorsQuery", "select": ["id"], "source": HOGQL}, {"hogql"}),
        (SCHEMA, {"clickhouse_burst", "clickhouse_sustained"}),
        ({"kind": "DataTableNode", "source": SCHEMA}, {"clickhouse_burst", "clickhouse_sustained"}),
        ({"kind": "Soup"}, {"clickhouse_burst", "clickhouse_sustained"}),
        (7, {"clickhouse_burst", "clickhouse_sustained"}),
    ],
)
def test_limits_by_kind(asking: Asking, query: Any, names: set[str]) -> None:
    assert counted(asking.post({"query": query})) == names
    assert counted(asking.post({"query": query}, "HogQLQuery/")) == names


def test_companions_count_with_reads_of_clickhouse(asking: Asking) -> None:
    reads = {"clickhouse_burst", "clickhouse_sustained"}
    assert counted(asking.get("abc/")) == reads
    assert counted(asking.delete("abc/?dequeue_only=true")) == reads
    assert counted(asking.post(None, "check_auth_for_async/")) == reads
    assert counted(asking.post({"query": HOGQL}, "upgrade/")) == reads


def test_broken_bodies_count_and_are_told(asking: Asking) -> None:
    response = Caller(asking.key)("POST", asking.url(), b"{")
    assert counted(response) == {"clickhouse_burst", "clickhouse_sustained"}
    assert problem(response)[3].startswith("JSON parse error - ")


def test_hogql_has_a_limit_of_its_own(asking: Asking, settings: Any) -> None:
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "hogql": "2/hour"}
    for _ in range(2):
        assert asking.ask("select 1").status_code == 200
    assert problem(asking.ask("select 1"))[:3] == (429, "throttled_error", "throttled")
    assert asking.post({"query": SCHEMA}).status_code == 200
