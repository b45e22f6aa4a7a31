from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.persons.models import Person
from tests.core.persons.conftest import Api

NOW = datetime(2024, 5, 1, tzinfo=UTC)
LIST_KEYS = {
    "type",
    "id",
    "uuid",
    "created_at",
    "properties",
    "is_identified",
    "name",
    "distinct_ids",
    "matched_recordings",
    "value_at_data_point",
    "last_seen_at",
}


def test_list_items_have_the_uuid_as_id(api: Api, capture: Callable[..., Person]) -> None:
    person = capture("ann", set={"email": "a@x.y"})

    body = api.get().json()

    (item,) = body["results"]
    assert set(body) == {"next", "previous", "results"}
    assert set(item) == LIST_KEYS
    assert (item["type"], item["id"], item["uuid"]) == ("person", str(person.uuid), str(person.uuid))


def test_pages_follow_each_other_without_loss_when_all_were_created_at_once(
    api: Api, capture: Callable[..., Person]
) -> None:
    for number in range(7):
        capture(f"p{number}", timestamp=NOW)

    seen: list[str] = []
    url: str | None = api.url("?limit=3&search=")
    pages = 0
    while url:
        body = api.client.get(url).json()
        seen += [item["id"] for item in body["results"]]
        url, pages = body["next"], pages + 1

    assert (pages, len(seen), len(set(seen))) == (3, 7, 7)
    assert seen == sorted(seen)


def test_the_newest_come_first(api: Api, capture: Callable[..., Person]) -> None:
    for number in range(3):
        capture(f"p{number}", timestamp=NOW + timedelta(days=number))
    assert [item["distinct_ids"] for item in api.get().json()["results"]] == [["p2"], ["p1"], ["p0"]]


def test_links_are_absolute_and_keep_other_parameters(api: Api, capture: Callable[..., Person]) -> None:
    for number in range(5):
        capture(f"p{number}")

    first = api.get(limit=2, format="json").json()
    second = api.client.get(first["next"]).json()

    assert first["previous"] is None
    assert first["next"].startswith("http://testserver/api/projects/")
    assert "format=json" in first["next"]
    assert "cursor=" in first["next"]
    assert "limit=2" in first["next"]
    assert "offset" not in first["next"]
    assert api.client.get(second["previous"]).json() == first


def test_a_full_last_page_has_no_next(api: Api, capture: Callable[..., Person]) -> None:
    capture("a")
    capture("b")
    assert api.get(limit=2).json()["next"] is None


@pytest.mark.parametrize("params", [{"limit": "x"}, {"limit": -1}, {"limit": 0}, {"offset": -3}, {"offset": "y"}])
def test_unusable_numbers_count_as_absent(api: Api, capture: Callable[..., Person], params: dict[str, Any]) -> None:
    capture()
    answer = api.get(**params)
    assert answer.status_code == 200
    assert len(answer.json()["results"]) == 1


def test_a_limit_above_a_thousand_is_a_thousand(api: Api, capture: Callable[..., Person]) -> None:
    capture("a")
    capture("b")
    for limit in ("1001", "9" * 30):
        assert len(api.get(limit=limit).json()["results"]) == 2


@pytest.mark.parametrize("params", [{"limit": "9" * 30}, {"offset": "9" * 30}])
def test_huge_numbers_are_clamped(api: Api, capture: Callable[..., Person], params: dict[str, Any]) -> None:
    capture()
    assert api.get(**params).status_code == 200


def test_by_distinct_id_and_by_email(api: Api, capture: Callable[..., Person]) -> None:
    ann = capture("ann", set={"email": "Ann@x.y"})
    capture("bob", set={"email": "bob@x.y"})

    def found(**params: Any) -> list[str]:
        return [item["id"] for item in api.get(**params).json()["results"]]

    assert found(distinct_id="ann") == found(email="Ann@x.y") == [str(ann.uuid)]
    assert found(email="ann@x.y") == found(distinct_id="nobody") == found(distinct_id="ann", email="bob@x.y") == []
    assert found(distinct_id="nul\x00") == []


def test_the_stranger_sees_only_their_own(api: Api, stranger: Api, capture: Callable[..., Person]) -> None:
    capture("ann", set={"email": "a@x.y"})
    for params in ({}, {"distinct_id": "ann"}, {"email": "a@x.y"}):
        assert stranger.get(**params).json()["results"] == []


def test_another_projects_list_is_forbidden(api: Api, stranger: Api) -> None:
    answer = stranger.client.get(api.url())
    assert (answer.status_code, answer.json()["detail"]) == (403, "You don't have access to the project.")


@pytest.mark.parametrize("count", [1, 20])
def test_a_page_takes_two_statements_however_long(api: Api, capture: Callable[..., Person], count: int) -> None:
    for number in range(count):
        capture(f"p{number}", "$identify", merge_with=f"q{number}")
    api.get()
    with CaptureQueriesContext(connection) as statements:
        assert len(api.get().json()["results"]) == count
    assert len(statements) == 2


def test_path_filters_use_the_cleaning_rules_of_the_project(api: Api, capture: Callable[..., Person]) -> None:
    capture("ann", set={"landing": "/users/42/settings"})
    capture("bob", set={"landing": "/about"})
    wanted = '[{"key": "landing", "operator": "is_cleaned_path_exact", "value": "/users/7/settings"}]'
    assert api.get("/", properties=wanted).json()["results"] == []
    api.team.settings = {"path_cleaning_filters": [{"regex": r"\d+", "alias": "<id>"}]}
    api.team.save()
    assert [found["name"] for found in api.get("/", properties=wanted).json()["results"]] == ["ann"]
