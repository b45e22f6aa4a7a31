"""Members as lists of persons show them, and the cohorts of a person."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import orjson
import pytest

from core.persons.models import Person
from tests.core.cohorts.conftest import Api, all_of, calculate, make_api, where

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("clickhouse")]

type Maker = Callable[..., Person]


def test_the_list_of_persons_sees_members_as_of_the_last_calculation(api: Api, person: Maker) -> None:
    ann, _ = person("ann", plan="paid"), person("bob", plan="free")
    made = api.make(filters=all_of(where("plan", "paid")))["id"]

    def listed(**params: Any) -> set[str]:
        answer = api.get("/persons/", **params)
        assert answer.status_code == 200, answer.content
        return {one["uuid"] for one in answer.json()["results"]}

    assert listed(cohort=made) == set()
    calculate()
    person("bob", plan="paid")
    assert listed(cohort=made) == {str(ann.uuid)}


def test_the_cohorts_of_a_person(api: Api, stranger: Api, person: Maker) -> None:
    ann, bob = person("ann", plan="paid"), person("bob")
    payers = api.make(filters=all_of(where("plan", "paid")))["id"]
    listed = api.make(is_static=True, _create_static_person_ids=[str(ann.uuid)])["id"]
    deleted = api.make(is_static=True, _create_static_person_ids=[str(ann.uuid)])["id"]
    api.send("DELETE", f"/cohorts/{deleted}/")
    calculate()
    for key in (ann.uuid, ann.id):
        answer = api.get("/persons/cohorts/", person_id=key)
        assert answer.json() == {"results": [api.read(listed), api.read(payers)]}
    assert api.get("/persons/cohorts/", person_id=bob.uuid).json() == {"results": []}
    problems = [
        (answer.status_code, answer.json()["detail"], answer.json()["attr"])
        for answer in (
            api.get("/persons/cohorts/"),
            api.get("/persons/cohorts/", person_id=""),
            api.get("/persons/cohorts/", person_id="ann"),
            api.get("/persons/cohorts/", person_id=uuid4()),
            stranger.get("/persons/cohorts/", person_id=ann.uuid),
        )
    ]
    missing = (400, "This field is required.", "person_id")
    assert problems[:2] == [missing, missing]
    assert problems[2][0::2] == (400, "person_id")
    assert problems[3:] == [(404, "Not found.", None)] * 2
    for scopes in (("person:read",), ("cohort:read",)):
        assert make_api(api.team, scopes=scopes).get("/persons/cohorts/", person_id=ann.id).status_code == 403


def test_the_members_of_a_cohort_are_listed_and_paged_like_persons(api: Api, stranger: Api, person: Maker) -> None:
    persons = [person(f"p{number}", plan="paid" if number % 2 else "free", size=number) for number in range(9)]
    made = api.make(filters=all_of(where("plan", "paid")))["id"]
    path = f"/cohorts/{made}/persons/"
    calculate()
    wanted = {str(one.uuid) for one in persons[1::2]}
    whole = api.get("/persons/", cohort=made).json()["results"]
    assert {one["uuid"] for one in whole} == wanted
    assert api.get(path).json() == {"next": None, "previous": None, "results": whole}
    seen, link = [], api.url(path) + "?limit=3&include_total=1"
    while link:
        page = api.client.get(link).json()
        assert page["count"] == 4
        seen += page["results"]
        link = page["next"]
    assert seen == whole
    properties = orjson.dumps([where("size", 4, "gt")]).decode()
    assert {one["uuid"] for one in api.get(path, properties=properties).json()["results"]} == {
        str(persons[5].uuid),
        str(persons[7].uuid),
    }
    table = api.get(f"/cohorts/{made}/persons.csv", limit=1)
    lines = b"".join(table.streaming_content if table.streaming else [table.content]).decode().splitlines()
    assert (table.headers["Content-Type"], len(lines)) == ("text/csv; charset=utf-8", 1 + len(wanted))
    environment = make_api(api.team, tree="environments")
    assert environment.get(path.rstrip("/")).json()["results"] == whole
    assert stranger.get(path).status_code == 404
    assert [api.get(f"/cohorts/{bad}/persons/").status_code for bad in ("x", 2**63, made + 99)] == [404] * 3
    assert api.get(f"{path}{persons[1].uuid}/").status_code == 404
    for scopes, status in ((("cohort:read", "person:read"), 200), (("cohort:read",), 403), (("person:read",), 403)):
        assert make_api(api.team, scopes=scopes).get(path).status_code == status
    api.send("DELETE", f"/cohorts/{made}/")
    assert api.get(path).status_code == 404
