"""Batch look-ups: keys, caps, one statement, and nobody else's persons."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.persons.models import Person
from core.tenancy.models import Team
from tests.core.persons.conftest import Api, make_api

Capture = Callable[..., Person]
BY_ID, BY_UUID = "/batch_by_distinct_ids/", "/batch_by_uuids/"


def results(api: Api, path: str, body: Any) -> dict[str, Any]:
    answer = api.send("POST", path, body)
    assert answer.status_code == 200, answer.content
    assert set(answer.json()) == {"results"}
    return dict(answer.json()["results"])


def test_persons_by_distinct_id(api: Api, capture: Capture) -> None:
    ann = capture("ann", "$identify", merge_with="bob", set={"email": "a@x.y"})
    cid = capture("cid")

    found = results(api, BY_ID, {"distinct_ids": ["bob", "nobody", "ann", "cid", "ann"]})

    assert list(found) == ["bob", "ann", "cid"]
    assert found["ann"] == found["bob"] == api.get(f"/{ann.uuid}").json()
    assert found["cid"] == api.get(f"/{cid.id}").json()


def test_persons_by_uuid(api: Api, capture: Capture) -> None:
    ann, bob = capture("ann"), capture("bob")

    found = results(api, BY_UUID, {"uuids": [str(bob.uuid).upper(), str(uuid4()), str(ann.uuid)]})

    assert found == {str(person.uuid): api.get(f"/{person.id}").json() for person in (ann, bob)}


@pytest.mark.parametrize("body", [None, {}, b"null", {"distinct_ids": None}, {"distinct_ids": "ann"},
                                  {"distinct_ids": []}, {"distinct_ids": {"a": 1}}, {"distinct_ids": 7},
                                  {"distinct_ids": [None, 7, [], {}, True]}])  # fmt: skip
def test_no_list_of_texts_finds_nobody(api: Api, capture: Capture, body: Any) -> None:
    capture("ann")
    assert results(api, BY_ID, body) == {}


@pytest.mark.parametrize("body", [None, {}, b"null", {"uuids": None}, {"uuids": "x"}, {"uuids": []}, {"uuids": 7}])
def test_no_list_of_uuids_finds_nobody(api: Api, body: Any) -> None:
    assert results(api, BY_UUID, body) == {}


@pytest.mark.parametrize("bad", ["ann", "", None, 7, [], "5f0c6f0e-3c43-5b0f-9a54-0d4f8f0f7a1", 2**53])
def test_a_malformed_uuid_refuses_all(api: Api, capture: Capture, bad: Any) -> None:
    answer = api.send("POST", BY_UUID, {"uuids": [str(capture("ann").uuid), bad]})
    assert (answer.status_code, answer.json()) == (
        400,
        {
            "type": "validation_error",
            "code": "invalid_input",
            "detail": "One or more UUIDs are invalid.",
            "attr": None,
        },
    )


def test_the_first_two_hundred_count(api: Api, capture: Capture) -> None:
    ann, bob = capture("ann"), capture("bob")
    fill = [f"x{number}" for number in range(199)]
    assert list(results(api, BY_ID, {"distinct_ids": [*fill, "ann", "bob"]})) == ["ann"]
    uuids = [str(uuid4()) for _ in range(199)]
    found = results(api, BY_UUID, {"uuids": [*uuids, str(ann.uuid), str(bob.uuid), "malformed"]})
    assert list(found) == [str(ann.uuid)]


def test_each_person_carries_at_most_ten_distinct_ids(api: Api, capture: Capture) -> None:
    for number in range(12):
        person = capture("id-00", "$identify", merge_with=f"id-{number:02}")
    first_ten = [f"id-{number:02}" for number in range(10)]
    assert results(api, BY_ID, {"distinct_ids": ["id-11"]})["id-11"]["distinct_ids"] == first_ten
    assert results(api, BY_UUID, {"uuids": [str(person.uuid)]})[str(person.uuid)]["distinct_ids"] == first_ten


@pytest.mark.parametrize("count", [1, 60])
@pytest.mark.parametrize("path", [BY_ID, BY_UUID])
def test_one_statement_however_many(api: Api, capture: Capture, count: int, path: str) -> None:
    people = [capture(f"p{number}") for number in range(count)]
    keys = {"distinct_ids": [f"p{number}" for number in range(count)], "uuids": [str(one.uuid) for one in people]}
    results(api, path, keys)
    with CaptureQueriesContext(connection) as statements:
        assert len(results(api, path, keys)) == count
    assert len(statements) == 2


def test_ids_are_compared_as_ingestion_stores_them(api: Api, capture: Capture) -> None:
    capture("x�")
    assert list(results(api, BY_ID, {"distinct_ids": ["x\x00", "x�"]})) == ["x\x00", "x�"]


def test_names_follow_the_project(api: Api, team: Team, capture: Capture) -> None:
    team.person_display_name_properties = ["nick"]
    team.save()
    person = capture("ann", set={"email": "a@x.y", "nick": "Annie"})
    assert results(api, BY_ID, {"distinct_ids": ["ann"]})["ann"]["name"] == "Annie"
    assert results(api, BY_UUID, {"uuids": [str(person.uuid)]})[str(person.uuid)]["name"] == "Annie"


def test_lists_may_come_in_forms_and_queries(api: Api, capture: Capture) -> None:
    person = capture("ann")
    form = "application/x-www-form-urlencoded"
    answer = api.client.generic("POST", api.url(BY_ID), b"distinct_ids=%5B%22ann%22%5D", content_type=form)
    assert list(answer.json()["results"]) == ["ann"]
    answer = api.client.generic("POST", f"{api.url(BY_UUID)}?uuids=%5B%22{person.uuid}%22%5D")
    assert list(answer.json()["results"]) == [str(person.uuid)]


def test_other_projects_persons_are_absent(api: Api, team: Team, stranger: Api, capture: Capture) -> None:
    person = capture("ann")
    assert results(stranger, BY_ID, {"distinct_ids": ["ann"]}) == {}
    assert results(stranger, BY_UUID, {"uuids": [str(person.uuid)]}) == {}
    assert stranger.client.post(api.url(BY_ID)).status_code == 403


def test_reading_is_enough_and_needed(team: Team, capture: Capture) -> None:
    capture("ann")
    reader = make_api(team, scopes=("person:read",), tree="environments")
    assert list(results(reader, BY_ID, {"distinct_ids": ["ann"]})) == ["ann"]
    assert results(reader, BY_UUID, {"uuids": []}) == {}
    other = make_api(team, scopes=("cohort:read",))
    assert [other.send("POST", path, {}).status_code for path in (BY_ID, BY_UUID)] == [403, 403]
