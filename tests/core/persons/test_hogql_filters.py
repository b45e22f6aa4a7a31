"""HogQL filters on persons: of the list and of a cohort's persons; `as_of` refuses them."""

from typing import Any
from uuid import uuid4

import orjson
import pytest

from core.filters import person_sets
from core.outbox.services import outbox_drain
from core.persons.ingest import IngestTeam, NewEvent, events_ingest
from tests.core.insights.asking import NOON, Capture
from tests.core.persons.conftest import Api

pytestmark = pytest.mark.usefixtures("clickhouse")
YOUNG = {"type": "hogql", "key": "toFloat(properties.age) < 25"}


@pytest.fixture
def people(capture: Capture, stranger: Api) -> None:
    capture("ann", timestamp=NOON, set={"age": 20, "city": "Bern"})
    capture("ben", timestamp=NOON, set={"age": 30, "city": "Bern"})
    capture("eve", timestamp=NOON)
    theirs = NewEvent(
        event="click", distinct_id="ann", uuid=uuid4(), timestamp=NOON, properties={}, set={"age": 1, "own": "secret"}
    )
    events_ingest(team=IngestTeam(stranger.team.id), events=[theirs])
    outbox_drain()


def listed(api: Api, properties: Any, **params: Any) -> Any:
    return api.get("", properties=orjson.dumps(properties).decode(), **params)


def names(answer: Any) -> str:
    assert answer.status_code == 200, answer.content
    return " ".join(sorted(one["name"] for one in answer.json()["results"]))


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ([YOUNG], "ann"),
        ([YOUNG, {"key": "city", "value": "Basel", "type": "person"}], ""),
        ({"type": "OR", "values": [YOUNG, {"key": "city", "operator": "is_not_set", "type": "person"}]}, "ann eve"),
        ([{"type": "hogql", "key": "properties.city = 'Bern' and toFloat(properties.age) > 25"}], "ben"),
        ([{"type": "hogql", "key": "id in (select person_id from events where distinct_id = 'eve')"}], "eve"),
        ([{"type": "hogql", "key": "properties.own = 'secret'"}], ""),
        ([{"type": "hogql", "key": "1"}], "ann ben eve"),
        ([{"type": "hogql", "key": "0 or NULL"}], ""),
    ],
)
def test_a_list_has_those_of_whom_it_is_true(api: Api, people: None, properties: Any, expected: str) -> None:
    assert names(listed(api, properties)) == expected
    assert listed(api, properties, include_total="true").json()["count"] == len(expected.split())


def test_pages_go_on(api: Api, people: None) -> None:
    everybody = [{"type": "hogql", "key": "1"}]
    first = listed(api, everybody, limit=2).json()
    second = api.client.get(first["next"]).json()
    assert sorted(one["name"] for one in [*first["results"], *second["results"]]) == ["ann", "ben", "eve"]


@pytest.mark.parametrize(
    "key",
    [
        "properties.age <", "1) or (1 = 1", "nope = 1", "properties.city", "count() > 1", "sum(1) over () = 1",
        "id in (select name from system.tables)", "throwIf(1)", "intDiv(1, 0) = 1", "id in cohort 12345", "", "*",
        "'" + "a" * 100_000 + "' = ''", "a" * 3000, "\x00", 1, None, ["x"],
    ],
)  # fmt: skip
def test_a_wrong_expression_is_refused_by_name(api: Api, people: None, key: Any) -> None:
    answer = listed(api, [{"type": "hogql", "key": key}])
    body = answer.json()
    assert (answer.status_code, "DB::" in body["detail"]) == (400, False), body
    # What is no text has no place, and what only ClickHouse finds has none that is known.
    is_known = isinstance(key, str) and key not in {"", "intDiv(1, 0) = 1"}
    assert body["attr"] == ("properties__0__key" if is_known else "properties")


def test_too_many_persons_are_refused(api: Api, people: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(person_sets, "MAX_PERSONS", 2)
    assert names(listed(api, [{"type": "hogql", "key": "properties.city = 'Bern'"}])) == "ann ben"
    answer = listed(api, [{"type": "hogql", "key": "1"}])
    assert (answer.status_code, answer.json()["attr"]) == (400, "properties")
    assert "more than 100,000 persons" in answer.json()["detail"]


def test_the_past_is_not_asked(api: Api, people: None) -> None:
    answer = listed(api, [YOUNG], as_of="2024-05-03T00:00:00Z")
    assert (answer.status_code, answer.json()["attr"]) == (400, "as_of")


def test_the_timeline_of_an_action_with_hogql(api: Api, capture: Capture) -> None:
    person = capture("ann", "buy", timestamp=NOON, set={"tier": "free"}, properties={"price": 9})
    capture("ann", "buy", timestamp=NOON, set={"tier": "paid"}, properties={"price": 1})
    filters = [{"type": "hogql", "key": "toFloat(properties.price) > 5"}]
    made = api.client.post(
        f"/api/projects/{api.team.id}/actions/",
        {"name": "a", "steps": [{"event": "buy", "properties": filters}]},
        content_type="application/json",
    )
    outbox_drain()
    entity = orjson.dumps([{"id": made.json()["id"], "type": "actions"}]).decode()
    answer = api.get(
        f"/{person.uuid}/properties_timeline/", actions=entity, date_from="2024-05-01", date_to="2024-05-31",
        properties=orjson.dumps([{"key": "tier", "type": "person", "value": "x"}]).decode(),
    )  # fmt: skip
    assert answer.status_code == 200, answer.content
    assert [point["relevant_event_count"] for point in answer.json()["points"]] == [1]
