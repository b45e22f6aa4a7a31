"""Functions of PostHog over HTTP: actions in statements, filters and insights; answers to surveys."""

from typing import Any

import orjson
import pytest

from core.outbox.services import outbox_drain
from tests.core.http import parsed
from tests.core.insights.asking import Capture
from tests.core.persons.conftest import Api
from tests.core.query.asking import ALL, DAY, HOUR, MINUTE, NOON, answer, column, refusal, sent
from tests.core.query.insights.support import series

pytestmark = pytest.mark.usefixtures("clickhouse")
STEPS = [{"event": "buy"}, {"event": "view", "properties": [{"key": "price", "value": 5, "operator": "gt"}]}]
RANGE = {"dateRange": {"date_from": "2024-05-01", "date_to": "2024-05-03"}}
OWN = [{"key": "email", "value": "ann", "operator": "icontains", "type": "person"}]


@pytest.fixture(autouse=True)
def shop(capture: Capture) -> None:
    """Three events of interest, two of Ann's; the last view costs too little."""
    capture("ann", "view", timestamp=NOON, properties={"price": 20}, set={"email": "ann@example.org"})
    capture("ann", "buy", timestamp=NOON + MINUTE)
    capture("ben", "buy", timestamp=NOON + HOUR)
    capture("ben", "view", timestamp=NOON + 2 * HOUR, properties={"price": 1})


def made(api: Api, steps: list[dict[str, Any]] | None = None, name: str = "Interest") -> int:
    body = {"name": name, "steps": STEPS if steps is None else steps}
    found = api.client.post(f"/api/projects/{api.team.id}/actions/", body, content_type="application/json")
    assert found.status_code == 201, found.content
    return int(found.json()["id"])


def asked(api: Api, query: str, **node: Any) -> Any:
    return answer(api, "HogQLQuery", query=query, **node)["results"]


def test_an_action_by_its_id_and_by_its_name(api: Api) -> None:
    action = made(api)
    query = "select distinct_id, event from events where matchesAction({}) order by timestamp"
    rows = [["ann", "view"], ["ann", "buy"], ["ben", "buy"]]
    assert asked(api, query.format(action)) == asked(api, query.format("'Interest'")) == rows
    assert asked(api, query.replace("{}", "{which}"), values={"which": "Interest"}) == rows
    found = answer(api, "HogQLQuery", query=query.format("'Interest'"))
    assert found["query_metadata"]["actions"] == ["Interest"]
    assert "matchesAction('Interest')" in found["hogql"]


def test_filters_of_persons_and_hogql_in_steps(api: Api) -> None:
    made(api, [{"event": "buy", "properties": OWN}, {"properties": [{"key": "properties.price = 1", "type": "hogql"}]}])
    found = asked(api, "select distinct_id, event from events where matchesAction('Interest') order by timestamp")
    assert found == [["ann", "buy"], ["ben", "view"]]


def test_in_an_events_query_and_its_filters(api: Api) -> None:
    made(api)
    listed = answer(api, "EventsQuery", select=["event"], where=["matchesAction('Interest')"], **ALL)
    filters = [{"key": "not matchesAction('Interest')", "type": "hogql"}]
    others = answer(api, "EventsQuery", select=["event", "distinct_id"], properties=filters, **ALL)
    assert (sorted(column(listed)), others["results"]) == (["buy", "buy", "view"], [["view", "ben"]])


@pytest.mark.parametrize(
    ("members", "counts"),
    [
        ({"properties": [{"key": "matchesAction('Interest')", "type": "hogql"}]}, [[0, 3, 0]]),
        (
            {"series": series(None, math="hogql", math_hogql="countIf(matchesAction('Interest')) + count()")},
            [[0, 7, 0]],
        ),
        (
            {"breakdownFilter": {"breakdown": "matchesAction('Interest')", "breakdown_type": "hogql"}},
            [[0, 3, 0], [0, 1, 0]],
        ),
    ],
)
def test_in_insights(api: Api, members: dict[str, Any], counts: list[list[int]]) -> None:
    made(api)
    found = answer(api, "TrendsQuery", **{"series": series(None), **RANGE, **members})
    assert [line["data"] for line in found["results"]] == counts


def test_an_unknown_action_in_an_insight_is_named(api: Api) -> None:
    filters = [{"key": "matchesAction('Nothing')", "type": "hogql"}]
    found = refusal(api, "TrendsQuery", series=series(None), properties=filters, **RANGE)
    assert found[:3] == (400, "invalid_input", "Could not find an action with the name 'Nothing'")


def test_actions_of_others_deleted_ones_and_those_without_steps(api: Api, stranger: Api) -> None:
    theirs = made(stranger, name="Theirs")
    gone, empty = made(api, name="Gone"), made(api, [], name="Empty")
    deleted = api.client.delete(f"/api/projects/{api.team.id}/actions/{gone}/")
    assert deleted.status_code == 204
    for which, said in (
        (theirs, f"Could not find an action with ID {theirs}"),
        ("'Theirs'", "Could not find an action with the name 'Theirs'"),
        (gone, f"Could not find an action with ID {gone}"),
        (empty, "Action does not have any match groups"),
        (2**63, f"Could not find an action with ID {2**63}"),
        (r"'a\0b'", "Could not find an action"),
    ):
        found = refusal(api, "HogQLQuery", query=f"select count() from events where matchesAction({which})")  # noqa: S608
        assert (found[0], found[1]) == (400, "invalid_input")
        assert said in found[2]


def test_what_is_stored_names_no_actions(api: Api) -> None:
    made(api)
    steps = [{"properties": [{"key": "matchesAction('Interest')", "type": "hogql"}]}]
    body = orjson.dumps({"name": "Other", "steps": steps})
    found = api.client.post(f"/api/projects/{api.team.id}/actions/", body, content_type="application/json")
    assert found.status_code == 400
    assert parsed(found)["detail"] == "matchesAction can be used in queries and insights only"


def test_many_and_large_actions_are_refused(api: Api) -> None:
    calls = ", ".join(f"matchesAction({number})" for number in range(21))
    found = refusal(api, "HogQLQuery", query=f"select count() from events where or({calls})")  # noqa: S608
    assert found[:3] == (400, "invalid_input", "A query can name at most 20 actions.")
    made(api, [STEPS[1]] * 50)
    for calls, status in ((["matchesAction('Interest')"] * 100, 200), (["matchesAction('Interest')"] * 300, 400)):
        query = f"select count() from events where or({', '.join(calls)})"  # noqa: S608
        node = {"kind": "HogQLQuery", "query": query}
        found_now = sent(api, node)
        assert found_now.status_code == status, found_now.content
    assert found_now.json()["detail"] == "The query is too large"


def test_a_mistake_has_its_place_for_an_editor(api: Api) -> None:
    text = "select 'ü', matchesAction('Nothing') from events"
    found = answer(api, "HogQLMetadata", language="hogQL", query=text)
    (error,) = found["errors"]
    assert (error["message"], text[error["start"] : error["end"]]) == (
        "Could not find an action with the name 'Nothing'", "'Nothing'",
    )  # fmt: skip


@pytest.fixture
def survey(capture: Capture) -> None:
    """Two submissions of one survey, the first sent in two parts, and events of others."""
    sent: list[dict[str, Any]] = [
        {"$survey_response": "fine", "$survey_submission_id": "one"},
        {
            "$survey_response_q1": "well", "$survey_response": "old", "$survey_response_1": "so",
            "$survey_questions": [{"id": "q1"}, {"id": "q2"}], "$survey_response_q2": ["a", "b"],
            "$survey_submission_id": "one",
        },
        {"$survey_response": "again", "$survey_response_1": ["c"]},
        {"$survey_id": "other", "$survey_response": ""},
    ]  # fmt: skip
    for number, properties in enumerate(sent):
        capture("ann", "survey sent", timestamp=NOON + number * DAY, properties={"$survey_id": "s-1", **properties})
    outbox_drain()


@pytest.mark.parametrize(
    ("arguments", "answers"),
    [
        ("0", ["fine", "well", "again", None]),
        ("'1'", [None, '["a","b"]', '["c"]', None]),
        ("0, 'q1'", ["fine", "well", "again", None]),
        ("1, 'q2', true", [[], ['"a"', '"b"'], ['"c"'], []]),
        ("1, null, true", [[], ['"a"', '"b"'], ['"c"'], []]),
    ],
)
def test_answers_to_surveys(api: Api, survey: None, arguments: str, answers: list[Any]) -> None:
    query = f"select getSurveyResponse({arguments}) from events where event = 'survey sent' order by timestamp"  # noqa: S608
    assert asked(api, query) == [[one] for one in answers]


def test_the_last_of_each_submission(api: Api, survey: None) -> None:
    query = "select getSurveyResponse(0) from events where uniqueSurveySubmissionsFilter({}) order by timestamp"
    assert asked(api, query.replace("{}", "'s-1'")) == [["well"], ["again"]]
    assert asked(api, query.replace("{}", "'s-1', '2024-05-02', '2024-05-02 13:00:00'")) == [["fine"]]
    assert asked(api, query.replace("{}", "'s-2'")) == []
