"""Who owns events is right in the very next answer, whether or not the worker has carried the change to ClickHouse."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from core.insights import owners
from core.outbox.services import outbox_drain
from core.persons.models import Person
from tests.core.persons.conftest import Api

pytestmark = pytest.mark.usefixtures("clickhouse", "valkey")
DAY = datetime(2024, 5, 6, 10, tzinfo=UTC)


def viewers(api: Api) -> tuple[dict[str, float], int]:
    answer = api.get("/trends/", entity_type="events", entity_id="view", date_from="2024-05-01", date_to="2024-05-10")
    body = answer.json()
    people = body["results"][0]["people"]
    return {person["distinct_ids"][0]: person["value_at_data_point"] for person in people}, body["missing_persons"]


@pytest.fixture
def stored(capture: Callable[..., Person]) -> dict[str, Person]:
    persons = {who: capture(who, "view", timestamp=DAY) for who in ("ann", "ben")}
    outbox_drain()
    return persons


def test_a_merge_counts_in_the_next_answer(api: Api, capture: Callable[..., Person], stored: dict[str, Any]) -> None:
    assert viewers(api) == ({"ann": 1, "ben": 1}, 0)
    capture("ann", "$identify", timestamp=DAY, merge_with="ben")
    assert viewers(api) == ({"ann": 2}, 0)
    outbox_drain()
    assert viewers(api) == ({"ann": 2}, 0)


def test_a_split_counts_in_the_next_answer(api: Api, capture: Callable[..., Person], stored: dict[str, Any]) -> None:
    merged = capture("ann", "$identify", timestamp=DAY, merge_with="ben")
    outbox_drain()
    assert viewers(api) == ({"ann": 2}, 0)
    assert api.send("POST", f"/{merged.uuid}/split/", {"main_distinct_id": "ann"}).status_code == 200
    assert viewers(api) == ({"ann": 1, "ben": 1}, 0)
    outbox_drain()
    assert viewers(api) == ({"ann": 1, "ben": 1}, 0)


def test_an_earlier_life_is_gone_with_the_re_use(
    api: Api, capture: Callable[..., Person], stored: dict[str, Person]
) -> None:
    api.send("DELETE", f"/{stored['ann'].uuid}/")
    assert viewers(api) == ({"ben": 1}, 1)
    capture("ann", "click", timestamp=DAY)
    assert viewers(api) == ({"ben": 1}, 0)


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("funnel", {"events": '[{"id":"view"}]', "funnel_step": 1}),
        ("path", {"path_end_key": "1_view"}),
        ("trends", {"entity_type": "events", "entity_id": "view"}),
        ("stickiness", {"entity_type": "events", "entity_id": "view", "stickiness_days": 1}),
        ("lifecycle", {"events": '[{"id":"view"}]', "target_date": "2024-05-06", "lifecycle_type": "new"}),
        ("retention", {"target_entity": '{"id":"view"}', "date_to": "2024-05-06", "total_intervals": 1}),
    ],
)
def test_a_merge_counts_in_the_next_answer_of_each(
    api: Api, capture: Callable[..., Person], stored: dict[str, Any], path: str, params: dict[str, Any]
) -> None:
    capture("ann", "$identify", timestamp=DAY, merge_with="ben")
    answer = api.get(f"/{path}/", **{"date_from": "2024-05-01", "date_to": "2024-05-10", **params}).json()
    people = [one["person"] for one in answer["result"]] if "result" in answer else answer["results"][0]["people"]
    assert ([one["distinct_ids"] for one in people], answer["missing_persons"]) == ([["ann", "ben"]], 0)


def test_waiting_owners_of_other_teams_are_not_read(
    api: Api, stranger: Api, capture: Callable[..., Person], stored: dict[str, Any]
) -> None:
    capture("ann", "$identify", timestamp=DAY, merge_with="ben")
    assert owners.owners_waiting(stranger.team.id) == ()
    (only,) = owners.owners_waiting(api.team.id)
    assert (only.distinct_id, UUID(only.person_id), only.generation) == ("ben", stored["ann"].uuid, 0)


def test_no_more_are_read_than_one_parameter_holds(
    api: Api, capture: Callable[..., Person], stored: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        capture(f"guest {number}", "view", timestamp=DAY)
        capture("ann", "$identify", timestamp=DAY, merge_with=f"guest {number}")
    assert len(owners.owners_waiting(api.team.id)) == 5
    monkeypatch.setattr(owners, "MOST_OWNERS", 2)
    assert [one.distinct_id for one in owners.owners_waiting(api.team.id)] == ["guest 4", "guest 3"]
    monkeypatch.setattr(owners, "MOST_BYTES", 20)
    assert [one.distinct_id for one in owners.owners_waiting(api.team.id)] == ["guest 4"]
