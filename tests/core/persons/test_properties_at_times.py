from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from core.outbox.services import outbox_drain
from core.persons.models import Person
from events import client
from tests.core.persons.conftest import Api, make_api

pytestmark = pytest.mark.usefixtures("clickhouse")
DAY = datetime(2024, 3, 1, 10, tzinfo=UTC)


def ask(api: Api, *persons: Any, **fields: Any) -> Any:
    outbox_drain()
    return api.send("POST", "/properties_at_time/", {"persons": list(persons), **fields})


def entry(at: datetime = DAY, **fields: Any) -> dict[str, Any]:
    return {"timestamp": at.isoformat(), **fields}


@pytest.fixture
def history(capture: Callable[..., Person]) -> Person:
    capture("ann", timestamp=DAY, set={"plan": "free"}, set_once={"first": "ad"})
    capture("ben", timestamp=DAY, set={"plan": "other"})
    return capture("ann", timestamp=DAY + timedelta(days=10), set={"plan": "team"}, unset=["first"])


def test_each_question_has_its_own_person_moment_and_way(api: Api, history: Person) -> None:
    later = DAY + timedelta(days=10)
    body = ask(
        api,
        entry(distinct_id="ann", include_set_once=False),
        entry(later, person_id=str(history.uuid)),
        entry(DAY, person_id=history.id),
        entry(DAY - timedelta(days=1), distinct_id="ben"),
        include_set_once=True,
    ).json()
    properties = [{key: one["properties"].get(key) for key in ("plan", "first")} for one in body["results"]]
    assert properties == [
        {"plan": "free", "first": None},
        {"plan": "team", "first": None},
        {"plan": "free", "first": "ad"},
        {"plan": None, "first": None},
    ]
    assert [one["error"] for one in body["results"]] == [None] * 4
    assert [one["point_in_time_metadata"]["include_set_once"] for one in body["results"]] == [False, True, True, True]


@pytest.mark.parametrize("include_set_once", [False, True])
def test_every_entry_equals_the_answer_to_the_single_question(
    api: Api, history: Person, capture: Callable[..., Person], *, include_set_once: bool
) -> None:
    capture("anon", timestamp=DAY, set={"from": "ad", "n": 1.0, "list": [1, {"a": None}]})
    capture("ann", "$identify", timestamp=DAY + timedelta(days=1), merge_with="anon")
    asked = [
        entry(DAY + timedelta(days=days), include_set_once=include_set_once, **who)
        for days in (-1, 0, 1, 20)
        for who in ({"distinct_id": "ann"}, {"distinct_id": "anon"}, {"person_id": str(history.uuid)})
    ]
    for one, question in zip(ask(api, *asked).json()["results"], asked, strict=True):
        assert one.pop("error") is None
        assert one == api.get("/properties_at_time/", **question).json()


def test_one_unknown_person_does_not_fail_the_others(api: Api, history: Person) -> None:
    unknown = str(uuid4())
    results = ask(
        api, entry(distinct_id="x"), entry(person_id=unknown), entry(person_id="no id"), entry(distinct_id="ann")
    ).json()["results"]
    assert [one["error"] for one in results] == [
        "Person with distinct_id 'x' not found",
        f"Person with person_id '{unknown}' not found",
        "Person with person_id 'no id' not found",
        None,
    ]
    assert set(results[0]) == set(results[3])
    assert {results[0][key] for key in results[0].keys() - {"error", "point_in_time_metadata"}} == {None}
    assert results[0]["point_in_time_metadata"]["distinct_id_used"] == "x"


def test_an_earlier_life_counts_nowhere(api: Api, history: Person, capture: Callable[..., Person]) -> None:
    api.send("DELETE", f"/{history.id}")
    capture("ann", timestamp=DAY + timedelta(days=5), set={"new": 1})
    (one,) = ask(api, entry(datetime(2030, 1, 1, tzinfo=UTC), distinct_id="ann")).json()["results"]
    assert one["properties"] == {"new": 1}


def test_the_number_of_statements_does_not_grow_with_the_questions(
    api: Api, history: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [entry(DAY, distinct_id="ann"), entry(DAY, distinct_id="ben")]
    counted = []
    queries = []
    query = client.query
    monkeypatch.setattr(client, "query", lambda *given, **options: queries.append(1) or query(*given, **options))
    ask(api, *asked)
    for persons in (asked, asked * 400):
        queries.clear()
        with CaptureQueriesContext(connection) as statements:
            assert len(api.send("POST", "/properties_at_time", {"persons": persons}).json()["results"]) == len(persons)
        counted.append((len(statements), len(queries)))
    assert counted[0] == counted[1]
    assert counted[0][1] == 1


@pytest.mark.parametrize(
    ("body", "attr"),
    [
        ({}, "persons"),
        ({"persons": None}, "persons"),
        ({"persons": "ann"}, "persons"),
        ({"persons": [entry(distinct_id="a")] * 1001}, "persons"),
        ({"persons": [], "include_set_once": "maybe"}, "include_set_once"),
        ({"persons": [entry(distinct_id="a"), "b"]}, "persons.1"),
        ({"persons": [entry()]}, "persons.0"),
        ({"persons": [entry(distinct_id="a", person_id="b")]}, "persons.0"),
        ({"persons": [entry(distinct_id=5)]}, "persons.0.distinct_id"),
        ({"persons": [entry(person_id=True)]}, "persons.0.person_id"),
        ({"persons": [{"distinct_id": "a"}]}, "persons.0.timestamp"),
        ({"persons": [{"distinct_id": "a", "timestamp": "yesterday"}]}, "persons.0.timestamp"),
        ({"persons": [{"distinct_id": "a", "timestamp": 5}]}, "persons.0.timestamp"),
        ({"persons": [{"distinct_id": "a", "timestamp": ""}]}, "persons.0.timestamp"),
        ({"persons": [entry(distinct_id="a", include_set_once="x")]}, "persons.0.include_set_once"),
    ],
)
def test_bad_input_is_named(api: Api, body: dict[str, Any], attr: str) -> None:
    answer = api.send("POST", "/properties_at_time/", body)
    assert (answer.status_code, answer.json()["type"], answer.json()["attr"]) == (400, "validation_error", attr)


def test_odd_but_valid_input_is_answered(api: Api) -> None:
    odd = ["\x00", "größe 😀", "'; DROP TABLE events", "x" * 5000]
    results = ask(api, *[entry(distinct_id=text) for text in odd], entry(person_id="9" * 30)).json()["results"]
    assert all(one["error"] for one in results)
    assert ask(api).json() == {"results": []}


def test_reading_is_enough_and_strangers_find_nobody(api: Api, stranger: Api, history: Person) -> None:
    reader = make_api(api.team, scopes=("person:read",))
    assert ask(reader, entry(distinct_id="ann")).json()["results"][0]["error"] is None
    assert ask(make_api(api.team, scopes=("cohort:read",)), entry(distinct_id="ann")).status_code == 403
    for who in ({"distinct_id": "ann"}, {"person_id": history.id}, {"person_id": str(history.uuid)}):
        assert ask(stranger, entry(**who)).json()["results"][0]["error"]


def test_without_clickhouse_the_answer_is_503(api: Api, history: Person) -> None:
    outbox_drain()
    with override_settings(CLICKHOUSE_URL="http://127.0.0.1:1/none"):
        answer = api.send("POST", "/properties_at_time/", {"persons": [entry(distinct_id="ann")]})
    assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
