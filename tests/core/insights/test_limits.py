"""Queries that take too long, need too much memory, or find no store."""

import time
from types import ModuleType
from typing import Any

import pytest

from tests.core.insights.asking import MAY, steps, texts
from tests.core.persons.conftest import Api

EVENTS = 1_500_000
PATIENCE = 200
"""Seconds, for what takes two on an idle machine."""
_FILL = """
INSERT INTO events (uuid, event, properties, timestamp, team_id, distinct_id, person_id)
SELECT generateUUIDv4(), 'view', concat('{"page": "', repeat('/products/', 20), toString(number), '"}'),
       toDateTime64('2024-05-02 00:00:00', 6, 'UTC') + number, {team_id:Int64}, toString(number % 50000),
       toUUID(concat('00000000-0000-0000-0000-', leftPad(toString(number % 50000), 12, '0')))
FROM numbers({events:UInt64})
"""
# Other workers of the tests ask the same server.
RUNNING = (
    "SELECT count() FROM system.processes WHERE current_database = currentDatabase()"
    " AND query LIKE '%FROM events%' AND query NOT LIKE '%system.processes%'"
)
HEAVY = {"events": steps("view", "view", "view"), "funnel_step": 1, "refresh": "true", **MAY}


@pytest.fixture
def many(api: Api, clickhouse: ModuleType) -> None:
    clickhouse.command(_FILL, {"team_id": api.team.id, "events": EVENTS}, seconds=PATIENCE)


def slow(count: int) -> list[dict[str, Any]]:
    """Return filters each of which looks at every letter of every page."""
    return [{"key": "page", "value": f"(a.*){{20}}b+{number}$", "operator": "not_regex"} for number in range(count)]


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("margin", [2, -0.5], ids=["the server stops it", "the server is left"])
def test_a_query_out_of_time_is_answered_and_stopped(
    api: Api, clickhouse: ModuleType, settings: Any, monkeypatch: pytest.MonkeyPatch, margin: float
) -> None:
    monkeypatch.setattr(clickhouse, "RECEIVE_MARGIN_SECONDS", margin)
    settings.INSIGHT_QUERY_TIMEOUT_SECONDS = 1
    begun = time.monotonic()
    answer = api.get("/funnel/", **texts({**HEAVY, "properties": slow(12)}))
    assert (answer.status_code, answer.json()) == (
        504,
        {
            "type": "server_error",
            "code": "error",
            "detail": "Query has hit the max execution time before completing. See our docs for how to improve your "
            "query performance. You may need to materialize.",
            "attr": None,
        },
    )
    assert "Retry-After" not in answer.headers
    assert time.monotonic() - begun > 1 + min(margin, 0)
    deadline = time.monotonic() + 60
    while clickhouse.query(RUNNING).rows != [(0,)]:
        assert time.monotonic() < deadline, "the query still runs"
        time.sleep(0.05)
    settings.INSIGHT_QUERY_TIMEOUT_SECONDS = PATIENCE
    assert api.get("/funnel/", **texts(HEAVY)).status_code == 200


@pytest.mark.usefixtures("many")
def test_a_query_out_of_memory(api: Api, settings: Any) -> None:
    settings.INSIGHT_QUERY_TIMEOUT_SECONDS = PATIENCE
    settings.INSIGHT_MEMORY_MB = 10
    answer = api.get("/funnel/", **texts(HEAVY))
    assert answer.status_code == 513
    body = answer.json()
    assert (body["type"], body["code"], body["attr"]) == ("server_error", "clickhouse_memory_limit_exceeded", None)
    settings.INSIGHT_MEMORY_MB = 2048
    assert api.get("/funnel/", **texts(HEAVY)).status_code == 200


def test_clickhouse_is_away(api: Api, settings: Any) -> None:
    settings.CLICKHOUSE_URL = "http://127.0.0.1:1/none"
    answer = api.get("/funnel/", **texts(HEAVY))
    assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
