"""Mistakes in filters of type hogql say in which filter they are, and where in its text."""

from typing import Any

import orjson
import pytest

from tests.core.http import parsed, problem
from tests.core.insights.asking import posted, steps
from tests.core.persons.conftest import Api
from tests.core.query.asking import sent

pytestmark = pytest.mark.usefixtures("clickhouse")

RIGHT = {"key": "a", "value": "b", "type": "person"}
TEXT = "'ünïcödé' != 'x' and nosuch = 1"
WRONG = {"key": TEXT, "type": "hogql"}
NESTED = {
    "type": "AND",
    "values": [
        {"type": "OR", "values": [RIGHT]},
        {"type": "OR", "values": [{"type": "AND", "values": [RIGHT, WRONG]}]},
    ],
}


def check(response: Any, attr: str, text: str = TEXT, place: str = "nosuch") -> None:
    status, kind, code, detail, found = problem(response)
    assert (status, kind, code, found) == (400, "validation_error", "invalid_input", attr)
    metadata = parsed(response)["extra"]["hogql_metadata"]
    (error,) = metadata["errors"]
    assert (metadata["query"], metadata["isValid"], error["message"]) == (text, False, detail)
    assert text[error["start"] : error["end"]] == place


@pytest.mark.parametrize(
    ("filters", "path"),
    [
        ([WRONG], "0"),
        ([RIGHT, WRONG], "1"),
        (WRONG, ""),
        (NESTED, "values__1__values__0__values__1"),
    ],
)
def test_in_lists_of_persons_insights_and_queries(api: Api, filters: Any, path: str) -> None:
    below = f"{path}__key" if path else "key"
    text = orjson.dumps(filters).decode()
    check(api.get("/", properties=text), f"properties__{below}")
    check(posted(api, events=steps("buy"), funnel_step=1, properties=filters), f"properties__{below}")
    for kind in ("EventsQuery", "ActorsQuery", "PersonsNode"):
        listed = filters if isinstance(filters, list) else [filters]
        below_list = below if isinstance(filters, list) else f"0__{below}"
        node = {"kind": kind, "properties": listed, **({"select": ["*"]} if kind == "EventsQuery" else {})}
        check(sent(api, node), f"query__properties__{below_list}")


def test_in_the_filters_of_a_statement(api: Api) -> None:
    node = {
        "kind": "HogQLQuery",
        "query": "select count() from events where {filters}",
        "filters": {"properties": [RIGHT, WRONG]},
    }
    check(sent(api, node), "query__filters__properties__1__key")
    metadata = {**node, "kind": "HogQLMetadata", "language": "hogQL"}
    (error,) = sent(api, metadata).json()["errors"]
    assert (error["message"], error["start"], error["end"]) == ("Unable to resolve field: nosuch", None, None)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("1 = nosuch(1)", "nosuch(1)"),
        ("properties.a >", ""),
        ("1) or (1 = 1", ")"),
        ("event in (select x from y)", "y"),
    ],
)
def test_of_every_sort_of_mistake(api: Api, text: str, place: str) -> None:
    wrong = [{"type": "hogql", "key": text}]
    node = {"kind": "EventsQuery", "select": ["*"], "properties": wrong}
    check(sent(api, node), "query__properties__0__key", text, place)
    series = [{"kind": "EventsNode", "event": "a", "properties": wrong}]
    response = sent(api, {"kind": "TrendsQuery", "series": series})
    assert response.json()["extra"]["hogql_metadata"]["query"] == text


def test_in_cohorts_and_actions(api: Api) -> None:
    def post(path: str, body: Any) -> Any:
        return api.client.post(f"/api/projects/{api.team.id}/{path}/", body, content_type="application/json")

    check(
        post("cohorts", {"name": "c", "filters": {"properties": NESTED}}),
        "filters__properties__values__1__values__0__values__1__key",
    )
    check(post("cohorts", {"name": "c", "groups": [{"properties": [WRONG]}]}), "groups")
    steps = [{"event": "a"}, {"event": "b", "properties": [RIGHT, WRONG]}]
    check(post("actions", {"name": "a", "steps": steps}), "steps__1__properties__1__key")


@pytest.mark.parametrize(
    "wrong", [{"key": "a", "type": "recording", "value": 1}, {"key": "a", "type": "person", "operator": "nope"}]
)
@pytest.mark.parametrize(
    ("beside", "path"), [([RIGHT], "1"), ([{"key": "1 = 1", "type": "hogql"}, RIGHT], "2"), ([], "0")]
)
def test_mistakes_in_other_filters_are_in_their_filter(
    api: Api, beside: list[dict[str, Any]], path: str, wrong: dict[str, Any]
) -> None:
    filters = [*beside, wrong]
    for kind in ("EventsQuery", "ActorsQuery", "PersonsNode"):
        node = {"kind": kind, "properties": filters, **({"select": ["*"]} if kind == "EventsQuery" else {})}
        found = problem(sent(api, node))
        assert (found[0], found[4]) == (400, f"query__properties__{path}")
    group = {"type": "AND", "values": [{"type": "OR", "values": filters}]}
    found = problem(sent(api, {"kind": "EventsQuery", "select": ["*"], "properties": group}))
    assert found[4] == f"query__properties__values__0__values__{path}"
