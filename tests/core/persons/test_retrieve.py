from collections.abc import Callable
from typing import Any

import pytest

from core.persons.models import Person
from core.tenancy.models import Team
from tests.core.persons.conftest import Api, make_api

BAD_ID = (
    "The ID provided does not look like a personID. "
    "If you are using a distinctId, please use /persons?distinct_id=ann instead."
)


@pytest.mark.parametrize("tree", ["projects", "environments"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_a_person_by_both_ids_under_both_prefixes(
    team: Team, capture: Callable[..., Person], tree: str, slash: str
) -> None:
    person = capture("ann", set={"email": "ann@example.org", "seats": 7, "beta": True})
    api = make_api(team, scopes=("person:read",), tree=tree)

    by_id, by_uuid = api.get(f"/{person.id}{slash}"), api.get(f"/{person.uuid}{slash}")

    assert (by_id.status_code, by_id["Content-Type"]) == (200, "application/json")
    assert (
        by_id.json()
        == by_uuid.json()
        == {
            "id": person.id,
            "name": "ann@example.org",
            "distinct_ids": ["ann"],
            "properties": person.properties,
            "created_at": person.created_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "uuid": str(person.uuid),
            "is_identified": False,
            "last_seen_at": None,
        }
    )


def test_the_stranger_gets_404_as_for_a_missing_person(api: Api, stranger: Api, capture: Callable[..., Person]) -> None:
    person = capture()
    answers = [stranger.get(f"/{person.id}"), stranger.get(f"/{person.uuid}"), api.get("/999999999")]
    assert {answer.status_code for answer in answers} == {404}
    assert {answer.content for answer in answers} == {
        b'{"type":"invalid_request","code":"not_found","detail":"Not found.","attr":null}'
    }


@pytest.mark.parametrize("text", ["ann", "9" * 25, "-1", "1.5", "%00", "'; DROP TABLE core_person; --"])
def test_what_is_no_person_id_is_refused(api: Api, text: str) -> None:
    answer = api.get(f"/{text}")
    assert answer.status_code == 400
    assert answer.json()["type"] == "validation_error"
    if text == "ann":
        assert answer.json()["detail"] == BAD_ID


def test_anonymous_ids_come_last_and_name_nobody_who_has_another(api: Api, capture: Callable[..., Person]) -> None:
    anonymous = "0191f3c2-77aa-7c11-8d10-6a2b9f00aa01"
    capture(anonymous)
    person = capture("mia", "$identify", merge_with=anonymous)
    body = api.get(f"/{person.id}").json()
    assert (body["distinct_ids"], body["name"]) == (["mia", anonymous], "mia")


@pytest.mark.parametrize(
    ("properties", "name"),
    [
        ({"name": "Ann", "email": "a@x.y"}, "a@x.y"),
        ({"name": "Ann", "email": ""}, "Ann"),
        ({"UserName": "ann-u"}, "ann-u"),
        ({"name": 7}, 7),
        ({"title": "Dr"}, "ann"),
    ],
)
def test_the_name_is_the_first_display_property_with_a_value(
    api: Api, capture: Callable[..., Person], properties: dict[str, Any], name: object
) -> None:
    person = capture("ann", set=properties)
    assert api.get(f"/{person.id}").json()["name"] == name


def test_a_projects_own_display_properties_replace_the_default(
    api: Api, team: Team, capture: Callable[..., Person]
) -> None:
    team.person_display_name_properties = ["títle"]
    team.save()
    named, unnamed = capture("ann", set={"títle": "Dr", "email": "a@x.y"}), capture("bob", set={"email": "b@x.y"})
    assert api.get(f"/{named.id}").json()["name"] == "Dr"
    assert api.get(f"/{unnamed.id}").json()["name"] == "bob"


def test_big_and_odd_values_come_back_as_they_were(api: Api, capture: Callable[..., Person]) -> None:
    values = {"n": 9007199254740993, "f": 0.1, "deep": [[[{"a": None}]]], 'q"\\': "\U0001f600", "$x": False}
    person = capture("ann", set=values)
    body = api.get(f"/{person.id}").json()["properties"]
    assert {key: body[key] for key in values} == values
