from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import override_settings

from core.outbox.services import outbox_drain
from core.persons.models import Person
from tests.core.persons.conftest import Api

pytestmark = pytest.mark.usefixtures("clickhouse")
DAY = datetime(2024, 3, 1, 10, tzinfo=UTC)


def at(api: Api, **params: Any) -> Any:
    outbox_drain()
    return api.get("/properties_at_time/", **params)


@pytest.fixture
def history(capture: Callable[..., Person]) -> Person:
    capture("ann", timestamp=DAY, set={"plan": "free"}, set_once={"first": "ad"})
    capture("ann", timestamp=DAY + timedelta(days=10), set={"plan": "team", "seats": 3})
    return capture("ann", timestamp=DAY + timedelta(days=20), set={"plan": "pro"}, unset=["seats"])


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2024-03-01T09:59:59.999999Z", {}),
        ("2024-03-01T10:00:00Z", {"plan": "free"}),
        ("2024-03-01T11:00:00+01:00", {"plan": "free"}),
        ("2024-03-11", {"plan": "free"}),
        ("2024-03-11T10:00:00", {"plan": "team", "seats": 3}),
        ("2030-01-01T00:00:00Z", {"plan": "pro"}),
        ("0001-01-01", {}),
        ("9999-12-31T23:59:59Z", {"plan": "pro"}),
    ],
)
def test_properties_are_those_of_the_moment(api: Api, history: Person, moment: str, expected: dict[str, Any]) -> None:
    answer = at(api, distinct_id="ann", timestamp=moment)
    assert (answer.status_code, answer.json()["properties"]) == (200, expected)


def test_the_answer_says_how_it_was_worked_out(api: Api, history: Person) -> None:
    body = at(api, person_id=str(history.uuid), timestamp="2024-03-12T00:00:00Z", include_set_once="TRUE").json()
    assert {key: body["properties"][key] for key in ("plan", "first")} == {"plan": "team", "first": "ad"}
    assert body["id"] == history.id
    assert body["name"] == "ann"
    assert body["point_in_time_metadata"] == {
        "queried_timestamp": "2024-03-12T00:00:00+00:00",
        "include_set_once": True,
        "distinct_id_used": None,
        "person_id_used": str(history.uuid),
        "query_mode": "person_id",
        "distinct_ids_queried": ["ann"],
        "distinct_ids_count": 1,
        "operations_applied": 2,
    }
    assert "debug" not in body


def test_debug_shows_the_query_and_the_updates(api: Api, history: Person) -> None:
    debug = at(api, distinct_id="ann", timestamp="2024-03-12", debug="true").json()["debug"]
    assert debug["events_found"] == 2
    assert [event["properties"]["$set"]["plan"] for event in debug["events"]] == ["free", "team"]
    assert "SELECT" in debug["query"]


def test_a_merged_persons_ids_all_count(api: Api, capture: Callable[..., Person]) -> None:
    capture("anon", timestamp=DAY, set={"from": "ad"})
    capture("ann", "$identify", timestamp=DAY + timedelta(days=1), set={"plan": "free"}, merge_with="anon")
    body = at(api, distinct_id="anon", timestamp="2024-03-03").json()
    assert body["properties"] == {"from": "ad", "plan": "free"}
    assert sorted(body["point_in_time_metadata"]["distinct_ids_queried"]) == ["ann", "anon"]


def test_changes_through_the_api_are_part_of_history(api: Api, history: Person) -> None:
    before = datetime.now(UTC).isoformat()
    api.send("POST", f"/{history.id}/update_property", {"key": "plan", "value": "gold"})
    api.send("POST", f"/{history.id}/delete_property", {"$unset": "plan"})
    assert at(api, distinct_id="ann", timestamp=before).json()["properties"] == {"plan": "pro"}
    assert at(api, distinct_id="ann", timestamp="2099-01-01").json()["properties"] == {}


def test_an_earlier_life_counts_nowhere(api: Api, history: Person, capture: Callable[..., Person]) -> None:
    api.send("DELETE", f"/{history.id}")
    assert at(api, distinct_id="ann", timestamp="2030-01-01").status_code == 404
    capture("ann", timestamp=DAY + timedelta(days=5), set={"new": 1})
    assert at(api, distinct_id="ann", timestamp="2030-01-01").json()["properties"] == {"new": 1}


@pytest.mark.parametrize(
    ("params", "status", "error"),
    [
        (
            {"distinct_id": "a", "person_id": "b", "timestamp": "2024-01-01"},
            400,
            "Cannot provide both distinct_id and person_id - choose one",
        ),
        ({"timestamp": "2024-01-01"}, 400, "Must provide either distinct_id or person_id parameter"),
        (
            {"distinct_id": "ann"},
            400,
            "timestamp parameter is required (ISO format: 2023-06-15T14:30:00Z)",
        ),
        (
            {"distinct_id": "ann", "timestamp": "yesterday"},
            400,
            "Invalid timestamp format. Use ISO format like 2023-06-15T14:30:00Z",
        ),
        (
            {"distinct_id": "ann", "timestamp": "0001-01-01T00:00:00+14:00"},
            400,
            "Invalid timestamp format. Use ISO format like 2023-06-15T14:30:00Z",
        ),
        ({"distinct_id": "x", "timestamp": "2024-01-01"}, 404, "Person with distinct_id 'x' not found"),
        ({"person_id": "x", "timestamp": "2024-01-01"}, 404, "Person with person_id 'x' not found"),
        ({"distinct_id": "\x00", "timestamp": "2024-01-01"}, 404, "Person with distinct_id '\ufffd' not found"),
    ],
)
def test_errors_have_the_old_key_beside_the_envelope(api: Api, params: dict[str, str], status: int, error: str) -> None:
    answer = at(api, **params)
    assert answer.status_code == status
    assert answer.json()["error"] == answer.json()["detail"] == error
    assert {"type", "code", "attr"} <= set(answer.json())


def test_the_stranger_finds_nobody(stranger: Api, history: Person) -> None:
    for params in ({"distinct_id": "ann"}, {"person_id": str(history.uuid)}, {"person_id": str(history.id)}):
        assert at(stranger, timestamp="2030-01-01", **params).status_code == 404


def test_an_unknown_uuid_is_404(api: Api) -> None:
    assert at(api, person_id=str(uuid4()), timestamp="2030-01-01").status_code == 404


def test_without_clickhouse_the_answer_is_503_with_retry_after(api: Api, history: Person) -> None:
    outbox_drain()
    with override_settings(CLICKHOUSE_URL="http://127.0.0.1:1/none"):
        answer = api.get("/properties_at_time", distinct_id="ann", timestamp="2024-03-12")
    assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
    assert int(answer["Retry-After"]) > 0
