from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import orjson
import pytest
import time_machine
from django.test import override_settings

from core.outbox.services import outbox_drain
from core.persons import timeline as timelines
from core.persons.models import Person
from tests.core.persons.conftest import Api, make_api

pytestmark = pytest.mark.usefixtures("clickhouse")
DAY = datetime(2024, 5, 2, 8, tzinfo=UTC)
MAY = {"date_from": "2024-05-01", "date_to": "2024-05-31"}
TIER = {"key": "tier", "value": "any", "type": "person"}


def timeline(api: Api, person: Person | str, **params: Any) -> Any:
    outbox_drain()
    texts = {name: value if isinstance(value, str) else orjson.dumps(value).decode() for name, value in params.items()}
    return api.get(f"/{getattr(person, 'uuid', person)}/properties_timeline/", **texts)


def points(answer: Any) -> list[tuple[str, Any, int]]:
    assert answer.status_code == 200, answer.content
    return [
        (point["timestamp"][8:10], point["properties"].get("tier"), point["relevant_event_count"])
        for point in answer.json()["points"]
    ]


@pytest.fixture
def person(capture: Callable[..., Person]) -> Person:
    capture("ann", "view", timestamp=DAY, set={"tier": "free", "city": "Bern"})
    capture("ann", "buy", timestamp=DAY + timedelta(days=1), set={"city": "Basel"})
    capture("ann", "view", timestamp=DAY + timedelta(days=7, milliseconds=250), set={"tier": "paid"})
    capture("ann", "view", timestamp=DAY + timedelta(days=8))
    return capture("ann", "buy", timestamp=DAY + timedelta(days=9), set={"tier": "free"})


def test_a_point_opens_where_crucial_values_change(api: Api, person: Person) -> None:
    answer = timeline(api, person, properties=[TIER], **MAY)
    assert points(answer) == [("02", "free", 2), ("09", "paid", 2), ("11", "free", 1)]
    body = answer.json()
    assert [point["timestamp"] for point in body["points"]] == [
        "2024-05-02T08:00:00Z",
        "2024-05-09T08:00:00.250000Z",
        "2024-05-11T08:00:00Z",
    ]
    assert body["points"][1]["properties"]["city"] == "Basel"
    assert body["crucial_property_keys"] == ["tier"]
    assert body["effective_date_from"] == "2024-05-01T00:00:00+00:00"
    assert body["effective_date_to"] == "2024-05-31T23:59:59.999999+00:00"


def test_without_crucial_keys_one_point_counts_all(api: Api, person: Person) -> None:
    assert points(timeline(api, str(person.id), **MAY)) == [("02", "free", 5)]
    assert points(timeline(api, person, properties=[{"key": "tier", "type": "event"}], **MAY)) == [("02", "free", 5)]


def test_only_the_named_events_count(api: Api, person: Person) -> None:
    assert points(timeline(api, person, events=[{"id": "buy"}], properties=[TIER], **MAY)) == [("03", "free", 2)]
    both = [{"id": "buy"}, {"id": "view", "properties": [TIER]}]
    assert points(timeline(api, person, events=both, **MAY)) == [
        ("02", "free", 2),
        ("09", "paid", 2),
        ("11", "free", 1),
    ]
    assert points(timeline(api, person, events=[{"id": "buy"}, {"id": None}], **MAY)) == [("02", "free", 5)]
    assert points(timeline(api, person, events=[{"id": "nothing"}], **MAY)) == []


@pytest.mark.parametrize(
    ("params", "keys"),
    [
        ({"breakdown": "tier", "breakdown_type": "person"}, ["tier"]),
        ({"breakdown": ["tier", "a"], "breakdown_type": "person"}, ["a", "tier"]),
        ({"breakdown": "tier", "breakdown_type": "event"}, []),
        ({"properties": {"type": "AND", "values": [{"type": "OR", "values": [TIER]}, {"key": "x"}]}}, ["tier"]),
        ({"properties": [TIER, {"key": "b", "type": "person"}], "events": [{"id": "v", "properties": [TIER]}]},
         ["b", "tier"]),
    ],
)  # fmt: skip
def test_crucial_keys_come_from_everywhere(api: Api, person: Person, params: dict[str, Any], keys: list[str]) -> None:
    assert timeline(api, person, **params).json()["crucial_property_keys"] == keys


def test_the_window_is_inclusive_to_the_microsecond(api: Api, capture: Callable[..., Person]) -> None:
    moment = datetime(2024, 5, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    capture("ann", timestamp=datetime(2024, 5, 1, tzinfo=UTC))
    capture("ann", timestamp=datetime(2024, 5, 1, tzinfo=UTC) - timedelta(microseconds=1))
    capture("ann", timestamp=moment)
    person = capture("ann", timestamp=moment + timedelta(microseconds=1))
    assert [count for _, _, count in points(timeline(api, person, **MAY))] == [2]


@pytest.fixture
def noon() -> Iterator[datetime]:
    """That of today, from which on the clock goes: midnight, after which it would be another day, is far."""
    at = datetime.now(UTC).replace(hour=12)
    with time_machine.travel(at, tick=True):
        yield at


def test_the_last_seven_days_unless_told(noon: datetime, api: Api, capture: Callable[..., Person]) -> None:
    now = noon
    capture("ann", timestamp=now - timedelta(days=9))
    person = capture("ann", timestamp=now - timedelta(days=5))
    body = timeline(api, person).json()
    assert [point["relevant_event_count"] for point in body["points"]] == [1]
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    assert body["effective_date_from"] == (midnight - timedelta(days=7)).isoformat()
    assert body["effective_date_to"] == (midnight + timedelta(days=1, microseconds=-1)).isoformat()
    assert points(timeline(api, person, date_from="all"))[0][2] == 2
    assert points(timeline(api, person, date_from="-9d", date_to="-6d"))[0][2] == 1
    assert points(timeline(api, person, date_from="-1d")) == []


def test_dates_are_those_of_the_projects_time_zone(api: Api, person: Person) -> None:
    type(api.team).objects.filter(id=api.team.id).update(timezone="America/New_York")
    body = timeline(api, person, **MAY).json()
    assert body["effective_date_from"] == "2024-05-01T00:00:00-04:00"
    assert body["effective_date_to"] == "2024-05-31T23:59:59.999999-04:00"


def test_merged_ids_count_moved_and_earlier_lives_do_not(
    api: Api, person: Person, capture: Callable[..., Person]
) -> None:
    capture("anon", timestamp=DAY - timedelta(hours=1), set={"tier": "none"})
    capture("ann", "$identify", timestamp=DAY + timedelta(days=10), merge_with="anon")
    assert points(timeline(api, person, properties=[TIER], **MAY))[0] == ("02", "none", 1)
    api.send("POST", f"/{person.id}/split/", {"distinct_ids_to_split": ["anon"]})
    assert points(timeline(api, person, properties=[TIER], **MAY))[0] == ("02", "free", 2)
    api.send("DELETE", f"/{person.id}/")
    assert timeline(api, str(person.id), **MAY).status_code == 404
    reborn = capture("ann", timestamp=DAY, set={"tier": "new"})
    assert points(timeline(api, reborn, properties=[TIER], **MAY)) == [("02", "new", 1)]


def saved(api: Api, *steps: dict[str, Any]) -> int:
    made = api.client.post(f"/api/projects/{api.team.id}/actions/", {"steps": list(steps)}, "application/json")
    assert made.status_code == 201
    return int(made.json()["id"])


def test_events_of_actions_count(api: Api, stranger: Api, person: Person, capture: Callable[..., Person]) -> None:
    capture("ann", "view", timestamp=DAY + timedelta(days=10), properties={"$current_url": "/shop", "n": 1})
    capture("ann", "other", timestamp=DAY + timedelta(days=11), properties={"$current_url": "/shop"})
    buys, shop = saved(api, {"event": "buy"}), saved(api, {"event": "view", "url": "/shop"}, {"event": "none"})
    assert points(timeline(api, person, actions=[{"id": buys}], **MAY)) == [("03", "free", 2)]
    assert points(timeline(api, person, actions=[buys, str(shop)], **MAY)) == [("03", "free", 3)]
    assert points(timeline(api, person, actions=[{"id": shop}], events=[{"id": "other"}], **MAY)) == [("12", "free", 2)]
    assert points(timeline(api, person, actions=[{"id": shop}], events=[{"id": None}], **MAY)) == [("02", "free", 7)]
    assert points(timeline(api, person, actions=[saved(api)], **MAY)) == []
    paid = {"properties": [{"key": "tier", "type": "person", "value": "paid"}]}
    free = {"properties": [{"key": "tier", "type": "person", "value": "free"}]}
    assert points(timeline(api, person, actions=[saved(api, paid)], **MAY)) == []
    assert points(timeline(api, person, actions=[saved(api, free)], **MAY)) == [("02", "free", 7)]
    crucial = timeline(api, person, actions=[{"id": buys, "properties": [TIER]}], **MAY).json()
    assert crucial["crucial_property_keys"] == ["tier"]
    large = [saved(api, {"selector": "a", "properties": [{**TIER, "operator": "regex", "value": ["x"] * 25}]}), buys]
    assert timeline(api, person, actions=large, **MAY).status_code == 200
    large.append(saved(api, {"properties": [{**TIER, "operator": "regex", "value": ["x"] * 25}]}))
    for numbers in ([saved(stranger, {"event": "buy"})], [2**40], large):
        answer = timeline(api, person, actions=[{"id": number} for number in numbers], **MAY)
        assert (answer.status_code, answer.json()["attr"]) == (400, "actions")


def test_too_many_points_are_refused_not_cut(api: Api, person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timelines, "MAX_POINTS", 2)
    answer = timeline(api, person, properties=[TIER], **MAY)
    assert (answer.status_code, answer.json()["attr"]) == (400, "date_from")


@pytest.mark.parametrize(
    ("params", "attr"),
    [
        ({"date_from": "soon"}, "date_from"),
        ({"date_to": "2024-02-30"}, "date_to"),
        ({"date_from": "-9999y"}, "date_from"),
        ({"date_to": "9999-12-31T23:59:59-14:00"}, "date_to"),
        ({"date_to": "all"}, "date_to"),
        ({"events": "{"}, "events"),
        ({"events": {"id": "x"}}, "events"),
        ({"events": [{"id": 5}]}, "events"),
        ({"events": [{"id": "x"}] * 101}, "events"),
        ({"actions": [{"id": 5}]}, "actions"),
        ({"actions": '[{"id": 1180591620717411303424}]'}, "actions"),
        ({"actions": [{"id": "9" * 30}]}, "actions"),
        ({"actions": [{"id": "x"}]}, "actions"),
        ({"actions": [{"id": True}]}, "actions"),
        ({"actions": [{}]}, "actions"),
        ({"actions": ["x", None]}, "actions"),
        ({"actions": {"id": 5}}, "actions"),
        ({"actions": [{"id": 5}] * 11}, "actions"),
        ({"properties": "["}, "properties"),
        ({"properties": "5"}, "properties"),
        ({"breakdown": [5], "breakdown_type": "person"}, "breakdown"),
        ({"interval": "minute"}, "interval"),
    ],
)
def test_bad_input_is_named(api: Api, person: Person, params: dict[str, Any], attr: str) -> None:
    answer = timeline(api, person, **params)
    assert (answer.status_code, answer.json()["attr"]) == (400, attr)


def test_unknown_persons_and_those_of_others_are_404(api: Api, stranger: Api, person: Person) -> None:
    assert timeline(stranger, person).status_code == 404
    assert timeline(api, str(uuid4())).status_code == 404
    assert timeline(api, "ann").status_code == 400


def test_reading_is_enough(api: Api, person: Person) -> None:
    assert timeline(make_api(api.team, scopes=("person:read",)), person).status_code == 200
    assert timeline(make_api(api.team, scopes=("cohort:read",)), person).status_code == 403


def test_without_clickhouse_the_answer_is_503(api: Api, person: Person) -> None:
    outbox_drain()
    with override_settings(CLICKHOUSE_URL="http://127.0.0.1:1/none"):
        assert api.get(f"/{person.id}/properties_timeline").status_code == 503
