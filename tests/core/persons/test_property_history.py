from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from django.test import override_settings

from core.outbox.services import outbox_drain
from core.persons.models import Person
from events import client
from events.rows import Table, property_update_row
from tests.core.persons.conftest import Api

pytestmark = pytest.mark.usefixtures("clickhouse")
DAY = datetime(2024, 3, 1, 10, tzinfo=UTC)


def changes(api: Api, person: Person | str, **params: Any) -> Any:
    outbox_drain()
    return api.get(f"/{getattr(person, 'uuid', person)}/property_history/", **params)


@pytest.fixture
def history(capture: Callable[..., Person]) -> Person:
    capture("ann", "signup", uuid=UUID(int=1), timestamp=DAY, set_once={"plan": "free"})
    capture("ann", timestamp=DAY + timedelta(days=1), set_once={"plan": "ignored"}, set={"other": 1})
    capture("ann", "paid", uuid=UUID(int=2), timestamp=DAY + timedelta(days=2), set={"plan": {"name": "team"}})
    capture("ann", timestamp=DAY + timedelta(days=3), set={"plan": {"name": "team"}})
    return capture("ann", "left", uuid=UUID(int=3), timestamp=DAY + timedelta(days=4), unset=["plan"])


def test_every_effective_change_comes_with_its_event_newest_first(api: Api, history: Person) -> None:
    body = changes(api, history, key="plan").json()
    assert (body["next"], body["previous"]) == (None, None)
    assert body["results"] == [
        {
            "timestamp": "2024-03-05T10:00:00.000000Z",
            "operation": "$unset",
            "is_set": False,
            "value": None,
            "was_set": True,
            "previous_value": {"name": "team"},
            "event": {
                "uuid": str(UUID(int=3)),
                "event": "left",
                "distinct_id": "ann",
                "timestamp": "2024-03-05T10:00:00.000000Z",
            },
        },
        {
            "timestamp": "2024-03-03T10:00:00.000000Z",
            "operation": "$set",
            "is_set": True,
            "value": {"name": "team"},
            "was_set": True,
            "previous_value": "free",
            "event": {
                "uuid": str(UUID(int=2)),
                "event": "paid",
                "distinct_id": "ann",
                "timestamp": "2024-03-03T10:00:00.000000Z",
            },
        },
        {
            "timestamp": "2024-03-01T10:00:00.000000Z",
            "operation": "$set_once",
            "is_set": True,
            "value": "free",
            "was_set": False,
            "previous_value": None,
            "event": {
                "uuid": str(UUID(int=1)),
                "event": "signup",
                "distinct_id": "ann",
                "timestamp": "2024-03-01T10:00:00.000000Z",
            },
        },
    ]
    oldest = changes(api, str(history.id), key="plan", order="oldest").json()["results"]
    assert oldest == body["results"][::-1]


def test_the_newest_value_is_the_current_one_also_after_changes_through_the_api(api: Api, history: Person) -> None:
    for value in (1.0, None, [True], "x"):
        api.send("POST", f"/{history.id}/update_property/", {"key": "plan", "value": value})
        newest = changes(api, history, key="plan").json()["results"][0]
        assert newest["value"] == api.get(f"/{history.id}/").json()["properties"]["plan"] == value
        assert newest["is_set"]


def test_next_leads_through_every_change_once(api: Api, history: Person, capture: Callable[..., Person]) -> None:
    for number in range(7):
        capture("ann", timestamp=DAY + timedelta(days=9), set={"plan": number})
    for order in ("newest", "oldest"):
        whole = changes(api, history, key="plan", order=order).json()["results"]
        found, link = [], f"/{history.id}/property_history/?key=plan&limit=3&order={order}"
        url = api.url(link)
        while url:
            body = api.client.get(url).json()
            found += body["results"]
            assert len(body["results"]) == 3 or not body["next"]
            url = body["next"]
        assert found == whole
        assert len(found) == 10


def test_a_key_without_changes_and_odd_keys_have_no_history(api: Api, history: Person) -> None:
    for key in ("nothing", "plan'", "\x00", "{key:String}", "x" * 3000, "0", "größe 😀"):
        assert changes(api, history, key=key).json()["results"] == []


def test_an_earlier_life_counts_nowhere(api: Api, history: Person, capture: Callable[..., Person]) -> None:
    api.send("DELETE", f"/{history.id}")
    reborn = capture("ann", timestamp=DAY + timedelta(days=9), set={"plan": "new"})
    assert changes(api, str(history.id), key="plan").status_code == 404
    (only,) = changes(api, reborn, key="plan").json()["results"]
    assert (only["value"], only["was_set"]) == ("new", False)


def test_merged_ids_are_one_history(api: Api, capture: Callable[..., Person]) -> None:
    capture("anon", timestamp=DAY, set={"plan": "free"})
    person = capture("ann", "$identify", timestamp=DAY + timedelta(days=1), set={"plan": "team"}, merge_with="anon")
    found = changes(api, person, key="plan").json()["results"]
    assert [(one["value"], one["event"]["distinct_id"]) for one in found] == [("team", "ann"), ("free", "anon")]


def test_a_hundred_thousand_changes_are_paged(api: Api, history: Person) -> None:
    outbox_drain()
    client.command(
        "INSERT INTO person_property_updates (team_id, distinct_id, timestamp, ingested_at, uuid, event, `set`)"
        " SELECT {team:Int64}, 'ann', toDateTime64('2025-01-01', 6, 'UTC') + number AS at, at, generateUUIDv4(number),"
        """ 'tick', concat('{"plan":', toString(number), '}') FROM numbers(100000)""",
        {"team": api.team.id},
    )
    body = changes(api, history, key="plan", limit=1000).json()
    assert [one["value"] for one in body["results"]] == list(range(99_999, 98_999, -1))
    body = api.client.get(body["next"]).json()
    assert (body["results"][0]["value"], body["results"][-1]["previous_value"]) == (98_999, 97_999)


def test_large_rows_do_not_end_the_answer(api: Api, history: Person) -> None:
    ballast = "x" * 400_000
    lines = [
        orjson.dumps(
            property_update_row(
                team_id=api.team.id,
                distinct_id="ann",
                timestamp=DAY + timedelta(days=30, seconds=number),
                ingested_at=DAY,
                uuid=uuid4(),
                event="big",
                set=orjson.dumps({"plan": number, "ballast": ballast}).decode(),
            )
        )
        for number in range(120)
    ]
    outbox_drain()
    client.insert_json_rows(Table.PERSON_PROPERTY_UPDATES, b"\n".join(lines), token=str(uuid4()))
    found = changes(api, history, key="plan", limit=110).json()["results"]
    assert [one["value"] for one in found] == list(range(119, 9, -1))


@pytest.mark.parametrize(
    ("params", "attr"),
    [
        ({}, "key"),
        ({"key": ""}, "key"),
        ({"key": "plan", "order": "random"}, "order"),
        ({"key": "plan", "cursor": "x"}, "cursor"),
        ({"key": "plan", "cursor": "-" + "1" * 63}, "cursor"),
        ({"key": "plan", "cursor": "z" * 64}, "cursor"),
    ],
)
def test_bad_input_is_named(api: Api, history: Person, params: dict[str, str], attr: str) -> None:
    answer = changes(api, history, **params)
    assert (answer.status_code, answer.json()["attr"]) == (400, attr)


def test_unknown_persons_and_those_of_others_are_404(api: Api, stranger: Api, history: Person) -> None:
    assert changes(stranger, history, key="plan").status_code == 404
    assert changes(api, str(uuid4()), key="plan").status_code == 404
    assert changes(api, "ann", key="plan").status_code == 400


def test_without_clickhouse_the_answer_is_503(api: Api, history: Person) -> None:
    outbox_drain()
    with override_settings(CLICKHOUSE_URL="http://127.0.0.1:1/none"):
        answer = api.get(f"/{history.id}/property_history", key="plan")
    assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
