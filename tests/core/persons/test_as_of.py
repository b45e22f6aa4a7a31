from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import orjson
import pytest
from django.test import override_settings

from core.outbox.services import outbox_drain
from core.persons import as_of
from core.persons.models import Person
from tests.core.persons.conftest import Api

pytestmark = pytest.mark.usefixtures("clickhouse")
DAY = datetime(2024, 3, 1, 10, tzinfo=UTC)


def listed(api: Api, at: datetime | str, *filters: dict[str, Any], **params: Any) -> Any:
    outbox_drain()
    if filters:
        params["properties"] = orjson.dumps(filters).decode()
    return api.get("/", as_of=at if isinstance(at, str) else at.isoformat(), **params)


def names(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [one["name"] for one in answer.json()["results"]]


def on(day: int) -> datetime:
    return DAY + timedelta(days=day)


@pytest.fixture
def people(capture: Callable[..., Person]) -> None:
    capture("ann", timestamp=on(0), set={"plan": "free"}, set_once={"first": "ad"})
    capture("ben", timestamp=on(1), set={"plan": "team", "email": "ben@old.example"})
    capture("cem", timestamp=on(2))
    capture("ann", timestamp=on(3), set={"plan": "team"})
    capture("ben", timestamp=on(4), set={"plan": "free", "email": "ben@new.example"}, unset=["first"])


TEAM_PLAN = {"key": "plan", "value": "team", "operator": "exact"}


@pytest.mark.parametrize(
    ("day", "expected"),
    [(0, []), (1, ["ben@old.example"]), (3, ["ben@old.example", "ann"]), (4, ["ann"]), (9, ["ann"])],
)
def test_the_filter_is_asked_of_the_moment(api: Api, people: None, day: int, expected: list[str]) -> None:
    assert names(listed(api, on(day), TEAM_PLAN)) == expected


def test_persons_have_the_properties_and_the_name_of_then(api: Api, people: None) -> None:
    (ben, ann) = listed(api, on(1)).json()["results"]
    assert ben["name"] == "ben@old.example"
    assert {key: ben["properties"][key] for key in ("plan", "email")} == {"plan": "team", "email": "ben@old.example"}
    assert {key: ann["properties"][key] for key in ("plan", "first")} == {"plan": "free", "first": "ad"}
    (now,) = api.get("/", distinct_id="ann").json()["results"]
    assert {**ann, "properties": None} == {**now, "properties": None}


def test_who_came_later_was_not_there(api: Api, people: None) -> None:
    assert names(listed(api, on(0))) == ["ann"]
    assert names(listed(api, on(0) - timedelta(microseconds=1))) == []
    assert names(listed(api, "2024-03-03T12:00:00+02:00")) == ["cem", "ben@old.example", "ann"]


def test_set_once_counts_unless_told_otherwise(api: Api, people: None) -> None:
    first = {"key": "first", "value": "ad"}
    assert names(listed(api, on(1), first)) == ["ann"]
    assert names(listed(api, on(1), first, include_set_once="false")) == []
    assert names(listed(api, on(1), {"key": "first", "operator": "is_not_set"})) == ["ben@old.example"]
    assert len(names(listed(api, on(1), {"key": "first", "operator": "is_not_set"}, include_set_once="0"))) == 2
    properties = listed(api, on(0), include_set_once="false").json()["results"][0]["properties"]
    assert properties == {"plan": "free"}


def test_set_once_after_unset_is_seen(api: Api, capture: Callable[..., Person]) -> None:
    capture("ann", timestamp=on(0), set={"plan": "free"})
    capture("ann", timestamp=on(1), set_once={"plan": "ignored"}, unset=["plan"])
    capture("ann", timestamp=on(2), set_once={"plan": "again"})
    capture("ann", timestamp=on(3), set_once={"plan": "too late"})
    for day, value in ((0, "free"), (2, "again"), (3, "again")):
        for other in ("free", "again", "ignored", "too late"):
            assert names(listed(api, on(day), {"key": "plan", "value": other})) == (["ann"] if other == value else [])
    assert names(listed(api, on(1), {"key": "plan", "operator": "is_not_set"})) == ["ann"]


def test_other_filters_choose_among_todays_identities(api: Api, people: None) -> None:
    ben = api.get("/", distinct_id="ben").json()["results"][0]
    assert names(listed(api, on(4), distinct_id="ann")) == ["ann"]
    assert names(listed(api, on(3), TEAM_PLAN, distinct_id="cem")) == []
    assert names(listed(api, on(3), TEAM_PLAN, uuid=ben["uuid"])) == ["ben@old.example"]
    assert names(listed(api, on(3), uuid=f"{ben['uuid']},{uuid4()}")) == ["ben@old.example"]
    assert names(listed(api, on(3), email="ben@old.example")) == ["ben@old.example"]
    assert names(listed(api, on(4), email="ben@old.example")) == []
    assert names(listed(api, on(4), TEAM_PLAN, email="ben@new.example")) == []


def test_merged_ids_count_and_deleted_persons_and_earlier_lives_do_not(
    api: Api, people: None, capture: Callable[..., Person]
) -> None:
    capture("anon", timestamp=on(1), set={"plan": "team"})
    capture("ann", "$identify", timestamp=on(5), merge_with="anon")
    assert names(listed(api, on(2), TEAM_PLAN)) == ["ben@old.example", "ann"]
    person = capture("ben", timestamp=on(6))
    api.send("DELETE", f"/{person.id}/")
    assert names(listed(api, on(2), TEAM_PLAN)) == ["ann"]
    capture("ben", timestamp=on(0), set={"plan": "free"})
    assert names(listed(api, on(2), TEAM_PLAN)) == ["ann"]


@pytest.mark.parametrize("first_chunk", [1, 4, 500])
@pytest.mark.parametrize("kind", ["none", "some", "absent"])
def test_pages_follow_each_other_without_gaps(
    api: Api, capture: Callable[..., Person], monkeypatch: pytest.MonkeyPatch, first_chunk: int, kind: str
) -> None:
    monkeypatch.setattr(as_of, "FIRST_CHUNK", first_chunk)
    monkeypatch.setattr(as_of, "SPARE", 1)
    for number in range(14):
        capture(f"p{number:02}", timestamp=on(number // 3), set={"even": number % 2 == 0} if number % 5 else {})
    filters: dict[str, list[dict[str, Any]]] = {
        "none": [],
        "some": [{"key": "even", "value": "true"}],
        "absent": [{"key": "even", "operator": "is_not_set"}],
    }
    wanted = {"none": range(14), "some": [n for n in range(0, 14, 2) if n % 5], "absent": range(0, 14, 5)}[kind]
    found, answer = [], listed(api, on(99), *filters[kind], limit=2)
    while True:
        found += names(answer)
        link = answer.json()["next"]
        assert len(names(answer)) == 2 or link is None
        if link is None:
            break
        answer = api.client.get(link)
    order = {one["name"]: place for place, one in enumerate(api.get("/", limit=100).json()["results"])}
    assert found == sorted((f"p{number:02}" for number in wanted), key=order.__getitem__)


@pytest.mark.parametrize(
    ("params", "attr"),
    [
        ({"as_of": ""}, "as_of"),
        ({"as_of": "yesterday"}, "as_of"),
        ({"search": "x"}, "search"),
        ({"key_identifier": "x"}, "key_identifier"),
        ({"include_total": ""}, "include_total"),
        ({"offset": "5"}, "offset"),
        ({"cursor": "x"}, "cursor"),
        ({"properties": "{"}, "properties"),
        ({"include_set_once": "maybe"}, "include_set_once"),
        ({"format": "csv"}, "format"),
        ({"format": "ndjson"}, "format"),
    ],
)
def test_what_cannot_be_asked_of_the_past_is_refused(api: Api, params: dict[str, str], attr: str) -> None:
    answer = api.get("/", **{"as_of": "2024-03-01", **params})
    assert (answer.status_code, answer.json()["attr"]) == (400, attr)


def test_membership_in_cohorts_is_refused(api: Api) -> None:
    from core.cohorts.models import Cohort

    cohort = Cohort.objects.for_team(api.team.id).create(team=api.team, name="Some", is_static=True)
    for params in (
        {"cohort": cohort.id},
        {"properties": orjson.dumps([{"type": "cohort", "key": "id", "value": cohort.id}]).decode()},
    ):
        answer = api.get("/", as_of="2024-03-01", **params)
        assert (answer.status_code, answer.json()["attr"]) == (400, "as_of")


def test_strangers_see_nobody(stranger: Api, people: None) -> None:
    assert names(listed(stranger, on(9))) == []
    assert names(listed(stranger, on(9), TEAM_PLAN)) == []


def test_without_clickhouse_the_answer_is_503(api: Api, people: None) -> None:
    outbox_drain()
    with override_settings(CLICKHOUSE_URL="http://127.0.0.1:1/none"):
        answer = api.get("/", as_of="2024-03-02")
    assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")


def test_a_query_out_of_time_is_504(api: Api, people: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from events import history_filter

    slow = history_filter._AMONG.replace("SELECT person", "SELECT sleepEachRow(0.9), person")  # noqa: SLF001
    monkeypatch.setattr(history_filter, "_AMONG", slow.replace("SETTINGS", "SETTINGS max_execution_time = 1,"))
    assert listed(api, on(9), TEAM_PLAN).status_code == 504
