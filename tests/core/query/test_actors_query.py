"""ActorsQuery and PersonsNode over HTTP."""

from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.core.insights.asking import Capture, configure
from tests.core.persons.conftest import Api
from tests.core.query.asking import DAY, MINUTE, NOON, answer, column, refusal

pytestmark = pytest.mark.usefixtures("clickhouse")
KIND = "ActorsQuery"


@pytest.fixture
def shop(capture: Capture) -> dict[str, str]:
    """Ann buys twice, Ben looks once; the persons' UUIDs by name."""
    ann = capture("ann", "buy", timestamp=NOON, set={"email": "ann@example.org", "age": 30, "name": "Ann_1"})
    capture("ann", "buy", timestamp=NOON + MINUTE)
    ben = capture("ben", "view", timestamp=NOON + DAY, set={"email": "ben@example.com", "age": 20})
    return {"ann": str(ann.uuid), "ben": str(ben.uuid)}


def by_hand(text: str, **more: Any) -> dict[str, Any]:
    return {"kind": "HogQLQuery", "query": text, **more}


COUNTS = by_hand("select person_id, count() as n, 'x' as valid from events group by person_id")


def test_the_answer_by_default(api: Api, shop: dict[str, str]) -> None:
    found = answer(api, KIND)
    assert {
        "results", "columns", "types", "hogql", "clickhouse", "missing_actors_count", "hasMore", "limit", "offset",
    } <= set(found)  # fmt: skip
    assert found["columns"] == ["person", "id", "created_at", "person.$delete"]
    assert column(found, 1) == [shop["ben"], shop["ann"]]
    assert column(found, 3) == [1, 1]
    assert (found["missing_actors_count"], found["hasMore"], found["limit"], found["offset"]) == (0, False, 100, 0)
    person = column(found)[1]
    assert (person["id"], person["name"], person["distinct_ids"]) == (shop["ann"], "ann@example.org", ["ann"])
    assert person["properties"]["age"] == 30


def test_columns_are_expressions(api: Api, shop: dict[str, str]) -> None:
    found = answer(
        api, KIND, select=["properties.email -- Mail", "upper(properties.email)"], orderBy=["properties.email"]
    )
    assert found["columns"] == ["properties.email -- Mail", "upper(properties.email)"]
    assert found["results"][0] == ["ann@example.org", "ANN@EXAMPLE.ORG"]
    assert found["missing_actors_count"] is None


def test_aggregations_group_by_the_others(api: Api, shop: dict[str, str], capture: Capture) -> None:
    capture("cid", "view", timestamp=NOON, set={"age": 20})
    found = answer(api, KIND, select=["properties.age", "count()"])
    assert found["results"] == [[20, 2], [30, 1]]


@pytest.mark.parametrize(
    ("search", "expected"),
    [("EXAMPLE.org", "ann"), ("n_1", "ann"), ("n%1", ""), ("ben@", "ben"), ("nobody", ""), ("", "ann ben")],
)
def test_search_looks_at_names_and_ids(api: Api, shop: dict[str, str], search: str, expected: str) -> None:
    found = answer(api, KIND, select=["person"], search=search)
    assert " ".join(sorted(person["distinct_ids"][0] for person in column(found))) == expected


def test_search_finds_ids(api: Api, shop: dict[str, str]) -> None:
    assert column(answer(api, KIND, select=["id"], search=shop["ann"][3:12])) == [shop["ann"]]


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ([{"key": "age", "value": 25, "operator": "gt", "type": "person"}], "ann"),
        ([{"key": "age", "value": 25, "operator": "gt"}], "ann"),
        ([{"key": "properties.age < 25", "type": "hogql"}], "ben"),
        (
            {"type": "OR", "values": [{"key": "age", "value": 20}, {"key": "properties.age = '30'", "type": "hogql"}]},
            "ann ben",
        ),
    ],
)
def test_properties_filter(api: Api, shop: dict[str, str], properties: Any, expected: str) -> None:
    for name in ("properties", "fixedProperties"):
        found = answer(api, KIND, select=["person"], **{name: properties})
        assert " ".join(sorted(person["distinct_ids"][0] for person in column(found))) == expected


def test_order_and_pages(api: Api, shop: dict[str, str]) -> None:
    first = answer(api, KIND, select=["properties.age"], orderBy=["properties.age DESC"], limit=1)
    assert (column(first), first["hasMore"]) == ([30], True)
    second = answer(api, KIND, select=["properties.age"], orderBy=["properties.age DESC"], limit=1, offset=1)
    assert (column(second), second["hasMore"]) == ([20], False)
    assert column(answer(api, KIND, select=["id"], orderBy=["person DESC"]))[0] == shop["ben"]
    assert sorted(column(answer(api, KIND, select=["id"]))) == sorted(shop.values())
    assert column(answer(api, KIND, select=["properties.email"])) == ["ann@example.org", "ben@example.com"]


def test_the_actors_of_hogql(api: Api, shop: dict[str, str]) -> None:
    found = answer(api, KIND, source=COUNTS, select=["person", "id", "n", "properties.age"], orderBy=["n DESC"])
    assert [(row[1], row[2], row[3]) for row in found["results"]] == [(shop["ann"], 2, 30), (shop["ben"], 1, 20)]
    assert column(found)[0]["distinct_ids"] == ["ann"]
    assert found["missing_actors_count"] == 0
    assert answer(api, KIND, source=COUNTS)["columns"] == ["person", "id", "created_at", "person.$delete"]
    assert column(answer(api, KIND, source=COUNTS), 1) == [shop["ben"], shop["ann"]]


def test_the_source_has_values_and_filters_of_its_own(api: Api, shop: dict[str, str]) -> None:
    text = "select person_id as actor_id from events where event = {name} and {filters} group by person_id"
    filters = {"dateRange": {"date_from": "2024-05-01", "date_to": "2024-05-03"}}
    source = by_hand(text, values={"name": "buy"}, filters=filters)
    assert column(answer(api, KIND, source=source, select=["id"])) == [shop["ann"]]


def test_an_actor_that_is_nobody(api: Api, shop: dict[str, str]) -> None:
    text = f"select arrayJoin([null, '{shop['ann']}']) as actor_id"
    found = answer(api, KIND, source=by_hand(text), select=["actor", "created_at"])
    ids = {row[0]["id"] for row in found["results"]}
    assert ids == {None, shop["ann"]}


def test_actors_that_are_not_stored_are_their_ids(api: Api, shop: dict[str, str]) -> None:
    unknown = str(uuid4())
    text = f"select arrayJoin(['{unknown}', '{shop['ann']}', 'no uuid']) as actor_id"
    found = answer(api, KIND, source=by_hand(text), select=["actor", "created_at"])
    actors = {row[0]["id"]: row for row in found["results"]}
    assert actors[unknown] == [{"id": unknown}, None]
    assert actors["no uuid"][0] == {"id": "no uuid"}
    assert actors[shop["ann"]][0]["distinct_ids"] == ["ann"]
    assert found["missing_actors_count"] == 2
    searched = answer(api, KIND, source=by_hand(text), select=["actor"], search="ann")
    assert (len(searched["results"]), searched["missing_actors_count"]) == (1, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select event, person_id as actor_id from events where event = 'view'", "ben"),
        ("select person.id as someId from events where event = 'view'", "ben"),
        ("select id from persons where properties.age = '30'", "ann"),
        ("select person_id from events where event = 'view' union all select person_id from events where 1 = 2", "ben"),
    ],
)
def test_the_column_of_ids_is_found(api: Api, shop: dict[str, str], text: str, expected: str) -> None:
    found = answer(api, KIND, source=by_hand(text), select=["person"])
    assert [person["distinct_ids"] for person in column(found)] == [[expected]]


def test_a_source_without_ids_is_refused(api: Api) -> None:
    assert refusal(api, KIND, source=by_hand("select event from events")) == (
        400, "invalid_input", "Source query must have an id column", None,
    )  # fmt: skip


def test_persons_are_fetched_by_one_statement(api: Api, capture: Capture) -> None:
    for number in range(12):
        capture(f"p{number}", "view", timestamp=NOON + number * MINUTE)

    def statements(limit: int) -> int:
        with CaptureQueriesContext(connection) as counted:
            assert len(answer(api, KIND, limit=limit)["results"]) == limit
        return len([one for one in counted.captured_queries if "FROM core_person p" in one["sql"]])

    assert (statements(2), statements(12)) == (1, 1)


def test_strangers_see_nothing(api: Api, stranger: Api, shop: dict[str, str]) -> None:
    assert answer(stranger, KIND)["results"] == []
    found = answer(stranger, KIND, source=by_hand(f"select '{shop['ann']}' as actor_id"), select=["person"])
    assert column(found) == [{"id": shop["ann"]}]


@pytest.mark.parametrize(
    ("node", "attr", "message"),
    [
        ({"select": "person"}, "query__select", "Input should be a valid list"),
        ({"search": 1}, "query__search", "Input should be a valid string"),
        ({"search": "x" * 401}, "query__search", "at most 400 characters"),
        ({"limit": 1.5}, "query__limit", "Input should be a valid integer"),
        ({"source": []}, "query__source", "Input should be an object"),
        ({"source": {"kind": "EventsQuery"}}, "query__source", "does not match any of the expected tags"),
        ({"source": {"kind": ["x"]}}, "query__source", "does not match any of the expected tags"),
        ({"source": {"kind": "HogQLQuery"}}, "query__source__query", "Field required"),
        ({"source": by_hand("select 1 as id", more=1)}, "query__source__more", "Extra inputs are not permitted"),
        ({"select": ["person"], "x": 1}, "query__x", "Extra inputs are not permitted"),
    ],
)
def test_what_does_not_fit_the_schema_is_refused(api: Api, node: dict[str, Any], attr: str, message: str) -> None:
    status, code, detail, where = refusal(api, KIND, **node)
    assert (status, code, where) == (400, "parse_error", attr)
    assert message in detail


@pytest.mark.parametrize(
    "node",
    [
        {"select": ["nope"]},
        {"select": ["person."]},
        {"orderBy": ["nope"]},
        {"properties": [{"key": "x", "type": "event", "value": 1}]},
        {"properties": [{"key": "id", "type": "cohort", "value": 999_999}]},
        {"source": by_hand("select nope as id from events")},
    ],
)
def test_wrong_hogql_and_filters_are_refused(api: Api, node: dict[str, Any]) -> None:
    assert refusal(api, KIND, **node)[:2] == (400, "invalid_input")


def test_a_persons_node_is_a_page_of_persons(api: Api, shop: dict[str, str]) -> None:
    found = answer(api, "PersonsNode", limit=1)
    assert {"results", "next", "previous", "hasMore", "limit", "offset"} <= set(found)
    assert ([person["id"] for person in found["results"]], found["hasMore"]) == ([shop["ben"]], True)
    found = answer(api, "PersonsNode", limit=1, offset=1)
    assert ([person["id"] for person in found["results"]], found["hasMore"]) == ([shop["ann"]], False)


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ({"search": "example.org"}, ["ann"]),
        ({"distinctId": "ben"}, ["ben"]),
        ({"properties": [{"key": "age", "value": 25, "operator": "lt", "type": "person"}]}, ["ben"]),
        ({"fixedProperties": [{"key": "age", "value": 25, "operator": "gt", "type": "person"}]}, ["ann"]),
    ],
)
def test_a_persons_node_filters(api: Api, shop: dict[str, str], node: dict[str, Any], expected: list[str]) -> None:
    assert [person["distinct_ids"][0] for person in answer(api, "PersonsNode", **node)["results"]] == expected


def test_a_persons_node_is_checked(api: Api) -> None:
    assert refusal(api, "PersonsNode", cohort="x")[3] == "query__cohort"
    assert refusal(api, "PersonsNode", cohort=999_999)[3] == "query__cohort"
    assert refusal(api, "PersonsNode", distinctId=1)[1:] == refusal(api, "PersonsNode", distinctId=2)[1:]
    assert refusal(api, "PersonsNode", path="/x")[3] == "query__path"


def test_the_display_name_is_an_object(api: Api, shop: dict[str, str], capture: Capture) -> None:
    cid = str(capture("cid", "view", timestamp=NOON, set={"email": "", "username": 7}).uuid)
    dan = str(capture("dan", "view", timestamp=NOON).uuid)
    select = ["person_display_name -- Person", "id", "created_at", "person.$delete"]
    table = {"kind": "DataTableNode", "full": True, "source": {"kind": KIND, "select": select}}
    found = answer(api, **table)
    assert found["columns"] == select
    assert {row[1]: row[0] for row in found["results"]} == {
        uuid: {"id": uuid, "display_name": name}
        for uuid, name in ((shop["ann"], "ann@example.org"), (shop["ben"], "ben@example.com"), (cid, "7"), (dan, dan))
    }
    alone = answer(api, KIND, select=["person_display_name", "count()"], search="example.org")
    assert alone["results"] == [[{"id": shop["ann"], "display_name": "ann@example.org"}, 1]]


@pytest.mark.parametrize(
    ("column_name", "shown"), [("id", None), ("person_display_name", {"id": None, "display_name": None})]
)
def test_a_source_may_give_no_id(api: Api, shop: dict[str, str], column_name: str, shown: Any) -> None:
    source = {"kind": "HogQLQuery", "query": "select toUUIDOrNull('none') as person_id"}
    assert column(answer(api, KIND, select=[column_name], source=source)) == [shown]


def test_the_project_says_what_names_a_person(api: Api, shop: dict[str, str]) -> None:
    configure(api, person_display_name_properties=["name"])
    names = {row[0]["display_name"] for row in answer(api, KIND, select=["person_display_name"])["results"]}
    assert names == {"Ann_1", shop["ben"]}


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("person_display_name ASC", ["ann", "ben"]),
        ("person_display_name", ["ann", "ben"]),
        ("person_display_name -- Person DESC", ["ben", "ann"]),
    ],
)
def test_actors_are_ordered_by_the_display_name(
    api: Api, shop: dict[str, str], order: str, expected: list[str]
) -> None:
    wanted = [shop[name] for name in expected]
    assert column(answer(api, KIND, select=["id"], orderBy=[order])) == wanted
    named = answer(api, KIND, select=["person_display_name", "n"], source=COUNTS, orderBy=[order])
    assert [row[0]["id"] for row in named["results"]] == wanted


def test_names_come_in_order_where_nothing_else_is_asked(api: Api, shop: dict[str, str]) -> None:
    found = answer(api, KIND, select=["person_display_name"])
    assert [name["display_name"] for name in column(found)] == ["ann@example.org", "ben@example.com"]


def test_the_name_of_an_actor_that_is_not_stored_is_its_id(api: Api, shop: dict[str, str]) -> None:
    source = by_hand("select arrayJoin(['no uuid']) as actor_id")
    found = answer(api, KIND, source=source, select=["person_display_name", "created_at"])
    assert found["results"] == [[{"id": "no uuid", "display_name": "no uuid"}, None]]
    assert found["missing_actors_count"] == 1


@pytest.mark.parametrize("kind", [KIND, "PersonsNode"])
def test_a_limit_of_nothing_is_the_default(api: Api, shop: dict[str, str], kind: str) -> None:
    for limit in (0, None):
        found = answer(api, kind, limit=limit)
        assert (len(found["results"]), found["hasMore"], found["limit"]) == (2, False, 100)
