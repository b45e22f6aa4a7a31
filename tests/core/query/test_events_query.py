"""EventsQuery over HTTP: from captured events to rows."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.outbox.services import outbox_drain
from tests.core.cohorts.conftest import calculate
from tests.core.insights.asking import Capture, configure
from tests.core.persons.conftest import Api
from tests.core.query.asking import ALL, HOUR, MINUTE, NOON, answer, column, refusal

pytestmark = pytest.mark.usefixtures("clickhouse")
KIND = "EventsQuery"


@pytest.fixture
def shop(capture: Capture) -> None:
    """Ann looks at two pages and buys, Ben looks at one."""
    capture("ann", "view", timestamp=NOON, properties={"path": "/a", "price": 1}, set={"email": "ann@example.org"})
    capture("ann", "view", timestamp=NOON + MINUTE, properties={"path": "/b", "price": 20})
    capture("ann", "buy", timestamp=NOON + HOUR, properties={"path": "/b"})
    capture("ben", "view", timestamp=NOON + 2 * HOUR, properties={"path": "/a"}, set={"email": "ben@example.com"})


def test_the_answer_has_exactly_these_keys(api: Api, shop: None) -> None:
    found = answer(api, KIND, select=["event", "properties.path"], **ALL)
    expected = {"results", "columns", "types", "hogql", "clickhouse", "hasMore", "limit", "offset", "timings"}
    assert expected <= set(found)
    assert found["columns"] == ["event", "properties.path"]
    assert found["types"] == ["String", "Nullable(String)"]
    assert (found["hasMore"], found["limit"], found["offset"]) == (False, 100, 0)
    assert sorted(found["results"]) == [["buy", "/b"], ["view", "/a"], ["view", "/a"], ["view", "/b"]]


def test_a_star_is_an_object_with_the_person(api: Api, capture: Capture) -> None:
    uuid = uuid4()
    person = capture("ann", "view", uuid=uuid, timestamp=NOON, properties={"a": {"b": [1]}}, set={"plan": "pro"})
    found = answer(api, KIND, select=["*"], **ALL)
    ((event,),) = found["results"]
    assert list(event) == [
        "uuid", "event", "properties", "timestamp", "team_id", "distinct_id", "elements_chain", "created_at",
        "person_mode", "person",
    ]  # fmt: skip
    assert (event["uuid"], event["event"], event["distinct_id"]) == (str(uuid), "view", "ann")
    assert (event["team_id"], event["person_mode"], event["elements_chain"]) == (api.team.id, "full", "")
    assert event["properties"]["a"] == {"b": [1]}
    assert datetime.fromisoformat(event["timestamp"]) == NOON
    assert set(event["person"]) == {"uuid", "created_at", "properties", "distinct_id"}
    assert (event["person"]["uuid"], event["person"]["properties"]["plan"]) == (str(person.uuid), "pro")


def test_a_star_of_events_that_nobody_owns(api: Api, capture: Capture) -> None:
    person = capture("ann", "old", timestamp=NOON)
    assert api.send("DELETE", f"/{person.uuid}/").status_code == 204
    capture("ben", "new", timestamp=NOON + HOUR)
    disabled = {"modifiers": {"personsOnEventsMode": "disabled"}}
    found = answer(api, KIND, select=["*", "person"], **ALL, **disabled)
    assert [(row[0]["event"], set(row[1])) for row in found["results"]] == [
        ("new", {"uuid", "created_at", "properties", "distinct_id"}),
        ("old", {"distinct_id"}),
    ]


def test_no_select_is_a_star(api: Api, shop: None) -> None:
    found = answer(api, KIND, select=[], **ALL)
    assert found["columns"] == ["*"]
    assert [row[0]["event"] for row in found["results"]] == ["view", "buy", "view", "view"]


def test_persons_are_fetched_by_one_statement(api: Api, capture: Capture) -> None:
    for number in range(12):
        capture(f"p{number}", "view", timestamp=NOON + number * MINUTE)
    outbox_drain()

    def statements(limit: int) -> int:
        with CaptureQueriesContext(connection) as counted:
            found = answer(api, KIND, select=["person", "*"], limit=limit, **ALL)
        assert len(found["results"]) == limit
        return len([one for one in counted.captured_queries if "FROM core_person WHERE" in one["sql"]])

    assert (statements(2), statements(12)) == (1, 1)


def test_a_person_that_is_not_stored_is_its_distinct_id(api: Api, capture: Capture) -> None:
    capture("ann", "view", timestamp=NOON)
    capture("ben", "view", timestamp=NOON + MINUTE).delete()
    found = answer(api, KIND, select=["person"], orderBy=["timestamp"], **ALL)
    assert column(found)[0]["distinct_id"] == "ann"
    assert "uuid" in column(found)[0]
    assert column(found)[1] == {"distinct_id": "ben"}
    assert found["types"] == ["String"]


def test_the_display_name_is_a_tuple(api: Api, shop: None, capture: Capture) -> None:
    person = capture("cid", "view", timestamp=NOON - HOUR)
    found = answer(api, KIND, select=["person_display_name -- Person", "event"], orderBy=["timestamp"], limit=2, **ALL)
    assert found["columns"] == ["person_display_name -- Person", "event"]
    assert column(found)[0] == ["cid", str(person.uuid), "cid"]
    assert column(found)[1][0] == "ann@example.org"


def test_rows_can_be_ordered_by_the_display_name(api: Api, shop: None) -> None:
    found = answer(api, KIND, select=["distinct_id"], orderBy=["person_display_name -- Person DESC"], **ALL)
    assert column(found)[0] == "ben"


def test_text_behind_dashes_is_a_label(api: Api, shop: None) -> None:
    select = ["event -- What", "concat(event, '--', properties.path) -- Both"]
    found = answer(api, KIND, select=select, orderBy=["timestamp"], **ALL)
    assert found["columns"] == select
    assert found["results"][0] == ["view", "view--/a"]


def test_an_aggregation_groups_by_the_other_columns_and_comes_first(api: Api, shop: None) -> None:
    found = answer(api, KIND, select=["event", "count()", "max(properties.price)"], **ALL)
    assert found["results"] == [["view", 3, 20], ["buy", 1, None]]
    assert found["types"][1] == "UInt64"


def test_conditions_with_aggregations_are_asked_of_groups(api: Api, shop: None) -> None:
    where = ["count() > 1", "properties.path != '/c'"]
    assert answer(api, KIND, select=["event", "count()"], where=where, **ALL)["results"] == [["view", 3]]
    assert "HAVING" in answer(api, KIND, select=["event", "count()"], where=where, **ALL)["hogql"]


def test_the_newest_come_first_where_the_time_is_selected(api: Api, shop: None) -> None:
    found = answer(api, KIND, select=["timestamp", "event"], **ALL)
    assert [row[0] for row in found["results"]] == sorted(column(found), reverse=True)
    assert column(answer(api, KIND, select=["event"], **ALL)) == ["buy", "view", "view", "view"]


def test_only_the_last_day_counts_unless_told(api: Api, capture: Capture) -> None:
    now = datetime.now(UTC)
    for name, back in (("old", timedelta(hours=25)), ("new", timedelta(hours=23)), ("soon", timedelta(minutes=-3))):
        capture("ann", name, timestamp=now - back)
    assert column(answer(api, KIND, select=["event"])) == ["new"]
    assert column(answer(api, KIND, select=["event"], after="-26h")) == ["new", "old"]
    assert column(answer(api, KIND, select=["event"], after="all", before="-24h")) == ["old"]


def test_dates_are_in_the_zone_of_the_project_and_both_ends_excluded(api: Api, capture: Capture) -> None:
    configure(api, timezone="America/New_York")
    for hour in (12, 13, 14):
        capture("ann", f"at {hour}", timestamp=datetime(2024, 5, 2, hour, tzinfo=UTC))
    found = answer(api, KIND, select=["event"], after="2024-05-02T08:00:00", before="2024-05-02T10:00:00")
    assert column(found) == ["at 13"]
    found = answer(api, KIND, select=["event"], after="2024-05-02T12:00:00Z", before="2024-05-02T14:00:01Z")
    assert column(found) == ["at 13", "at 14"]


def test_names_of_events_are_joined(api: Api, shop: None, capture: Capture) -> None:
    capture("ann", "other", timestamp=NOON)
    assert column(answer(api, KIND, select=["event"], event="buy", **ALL)) == ["buy"]
    found = answer(api, KIND, select=["event", "count()"], event="buy", events=["view"], **ALL)
    assert found["results"] == [["view", 3], ["buy", 1]]


@pytest.mark.parametrize("by", ["id", "uuid"])
def test_a_person_has_the_events_of_all_its_ids(api: Api, capture: Capture, shop: None, by: str) -> None:
    person = capture("ann", "$identify", timestamp=NOON + HOUR, merge_with="anon")
    capture("anon", "later", timestamp=NOON + 2 * HOUR)
    key = str(person.uuid) if by == "uuid" else str(person.id)
    found = answer(api, KIND, select=["event"], personId=key, **ALL)
    assert column(found) == ["$identify", "buy", "later", "view", "view"]
    assert answer(api, KIND, select=["event"], personId=str(uuid4()), **ALL)["results"] == []


def test_an_earlier_life_of_a_distinct_id_is_not_the_persons(api: Api, capture: Capture) -> None:
    old = capture("ann", "old", timestamp=NOON)
    assert column(answer(api, KIND, select=["event"], personId=str(old.uuid), **ALL)) == ["old"]
    assert api.send("DELETE", f"/{old.uuid}/").status_code == 204
    new = capture("ann", "new", timestamp=NOON + HOUR)
    assert column(answer(api, KIND, select=["event"], personId=str(new.uuid), **ALL)) == ["new"]


def test_an_action_selects_its_events(api: Api, shop: None) -> None:
    steps = [{"event": "buy"}, {"event": "view", "properties": [{"key": "price", "value": 5, "operator": "gt"}]}]
    body = {"name": "Interest", "steps": steps}
    made = api.client.post(f"/api/projects/{api.team.id}/actions/", body, content_type="application/json")
    action = made.json()["id"]
    found = answer(api, KIND, select=["event", "properties.price"], actionId=action, **ALL)
    assert sorted(found["results"], key=str) == [["buy", None], ["view", 20]]
    assert refusal(api, KIND, select=["*"], actionId=action + 1) == (
        400, "invalid_input", "Action does not exist", "query__actionId",
    )  # fmt: skip


def test_actions_of_others_do_not_exist(api: Api, stranger: Api) -> None:
    body = {"name": "Theirs", "steps": [{"event": "buy"}]}
    made = stranger.client.post(f"/api/projects/{stranger.team.id}/actions/", body, content_type="application/json")
    assert refusal(api, KIND, select=["*"], actionId=made.json()["id"])[2] == "Action does not exist"


PRICE = {"key": "price", "value": 5, "operator": "gt", "type": "event"}
EMAIL = {"key": "email", "value": ".org", "operator": "icontains", "type": "person"}
HOGQL = {"key": "properties.path = '/b'", "type": "hogql"}


@pytest.mark.parametrize(
    ("properties", "events"),
    [
        ([PRICE], ["view"]),
        ([EMAIL], ["buy", "view", "view"]),
        ([HOGQL], ["buy", "view"]),
        ([HOGQL, PRICE], ["view"]),
        ({"type": "OR", "values": [HOGQL, {**PRICE, "value": 0}]}, ["buy", "view", "view"]),
        (
            {"type": "AND", "values": [{"type": "OR", "values": [HOGQL, EMAIL]}, {"type": "AND", "values": [PRICE]}]},
            ["view"],
        ),
        ([{"key": "$session_duration", "value": 10, "operator": "gt", "type": "session"}], []),
        ([{"key": "text", "value": "Buy", "operator": "exact", "type": "element"}], []),
        (
            {"type": "OR", "values": [HOGQL, {"type": "AND", "values": []}, {"type": "AND", "values": [{}]}]},
            ["buy", "view"],
        ),
        ({"type": "OR", "values": [HOGQL, {"key": "price", "value": []}]}, ["buy", "view", "view", "view"]),
        ([HOGQL, {}], ["buy", "view"]),
        ([{}], ["buy", "view", "view", "view"]),
        ([], ["buy", "view", "view", "view"]),
    ],
)
def test_properties_filter(api: Api, shop: None, properties: Any, events: list[str]) -> None:
    found = answer(api, KIND, select=["event"], properties=properties, **ALL)
    assert column(found) == events
    found = answer(api, KIND, select=["event"], fixedProperties=properties, **ALL)
    assert column(found) == events


def test_cohorts_filter(api: Api, shop: None) -> None:
    filters = {"properties": {"type": "OR", "values": [{"type": "AND", "values": [EMAIL]}]}}
    body = {"name": "Org", "filters": filters}
    made = api.client.post(f"/api/projects/{api.team.id}/cohorts/", body, content_type="application/json")
    calculate()
    wanted = [{"key": "id", "type": "cohort", "value": made.json()["id"], "operator": "not_in"}]
    assert column(answer(api, KIND, select=["distinct_id"], properties=wanted, **ALL)) == ["ben"]


def test_test_accounts_are_left_out_when_asked(api: Api, shop: None) -> None:
    configure(api, test_account_filters=[{**EMAIL, "operator": "not_icontains"}])
    assert column(answer(api, KIND, select=["distinct_id"], filterTestAccounts=True, **ALL)) == ["ben"]
    assert len(answer(api, KIND, select=["distinct_id"], filterTestAccounts=False, **ALL)["results"]) == 4


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [("event", "e1", ["e1"]), ("distinct_id", ["ann"], ["e0", "e1"]), ("timestamp", "2024-05-02T12:00:00Z", ["e0"])],
)
def test_filters_on_columns_of_events(api: Api, capture: Capture, key: str, value: Any, expected: list[str]) -> None:
    ann = capture("ann", "e0", timestamp=NOON)
    capture("ann", "e1", timestamp=NOON + HOUR)
    capture("ben", "e2", timestamp=NOON + 2 * HOUR)
    select, of_column = ["event"], {"type": "event_metadata", "key": key, "value": value}
    for name in ("properties", "fixedProperties"):
        found = answer(api, KIND, select=select, orderBy=["timestamp"], **{name: [of_column]}, **ALL)
        assert column(found) == expected
    of_person = {"type": "event_metadata", "key": "person_id", "value": str(ann.uuid)}
    assert column(answer(api, KIND, select=select, properties=[of_person], **ALL)) == ["e0", "e1"]
    series = [{"kind": "EventsNode", "event": None, "properties": [of_column]}]
    trend = answer(api, "TrendsQuery", series=series, dateRange={"date_from": "2024-05-01", "date_to": "2024-05-03"})
    assert trend["results"][0]["count"] == len(expected)


def test_pages_follow_each_other(api: Api, capture: Capture) -> None:
    for number in range(5):
        capture("ann", f"e{number}", timestamp=NOON)
    pages = [answer(api, KIND, select=["event"], limit=2, offset=offset, **ALL) for offset in (0, 2, 4)]
    assert [name for page in pages for name in column(page)] == [f"e{number}" for number in range(5)]
    assert [page["hasMore"] for page in pages] == [True, True, False]
    assert [(page["limit"], page["offset"]) for page in pages] == [(2, 0), (2, 2), (2, 4)]
    assert answer(api, KIND, select=["event"], limit=60_000, **ALL)["limit"] == 50_000
    for limit in (0, None):
        whole = answer(api, KIND, select=["event"], limit=limit, **ALL)
        assert (len(whole["results"]), whole["hasMore"], whole["limit"]) == (5, False, 100)


def test_a_dashboard_sets_dates_and_adds_properties(api: Api, shop: None) -> None:
    override = {"date_from": "2024-05-02T12:30:00Z", "date_to": "2024-05-02T13:30:00Z"}
    assert column(answer(api, KIND, select=["event"], override=override, **ALL)) == ["buy"]
    found = answer(api, KIND, select=["event"], properties=[EMAIL], override={"properties": [PRICE]}, **ALL)
    assert column(found) == ["view"]


def test_a_data_table_answers_as_its_source(api: Api, shop: None) -> None:
    source = {"kind": KIND, "select": ["event"], **ALL}
    found = answer(api, "DataTableNode", source=source, full=True, showExport=True, columns=["event"])
    assert column(found) == ["buy", "view", "view", "view"]


def test_strangers_see_nothing(api: Api, stranger: Api, shop: None) -> None:
    assert answer(stranger, KIND, select=["*"], **ALL)["results"] == []


@pytest.mark.parametrize(
    ("node", "attr", "message"),
    [
        ({}, "query__select", "Field required"),
        ({"select": "event"}, "query__select", "Input should be a valid list"),
        ({"select": [1]}, "query__select__0", "Input should be a valid string"),
        ({"select": ["*"], "limit": "5"}, "query__limit", "Input should be a valid integer"),
        ({"select": ["*"], "limit": -1}, "query__limit", "Input should be between"),
        ({"select": ["*"], "limit": True}, "query__limit", "Input should be a valid integer"),
        ({"select": ["*"], "offset": 1e300}, "query__offset", "Input should be between"),
        ({"select": ["*"], "actionId": "x"}, "query__actionId", "Input should be a valid integer"),
        ({"select": ["*"], "actionId": 2**70}, "query__actionId", "Input should be between"),
        ({"select": ["*"], "personId": "x"}, "query__personId", "UUID"),
        ({"select": ["*"], "personId": []}, "query__personId", "Input should be a valid string"),
        ({"select": ["*"], "properties": {"a": 1}}, "query__properties", "Input should be a valid list"),
        ({"select": ["*"], "properties": "x"}, "query__properties", "Input should be a valid list"),
        ({"select": ["*"], "filterTestAccounts": 1}, "query__filterTestAccounts", "Input should be a valid boolean"),
        ({"select": ["*"], "unknown": 1}, "query__unknown", "Extra inputs are not permitted"),
        ({"select": ["*"], "modifiers": 1}, "query__modifiers", "Input should be an object"),
        ({"select": ["*"], "source": {"kind": "HogQLQuery"}}, "query__source", "Events of other queries"),
        ({"select": ["*"] * 201}, "query__select", "at most 200 items"),
        ({"select": ["*"], "events": {}}, "query__events", "Input should be a valid list"),
    ],
)
def test_what_does_not_fit_the_schema_is_refused(api: Api, node: dict[str, Any], attr: str, message: str) -> None:
    status, code, detail, where = refusal(api, KIND, **node)
    assert (status, code, where) == (400, "parse_error", attr)
    assert detail.startswith("1 validation error for QueryRequest")
    assert message in detail


@pytest.mark.parametrize(
    ("node", "attr"),
    [
        ({"after": "yesterday-ish"}, "query__after"),
        ({"before": "2024-13-45"}, "query__before"),
        ({"properties": [{"key": "a", "operator": "nope", "value": 1}]}, "query__properties__0"),
        ({"properties": [{"key": "", "type": "hogql"}]}, "query__properties__0"),
        ({"properties": [{"type": "hogql", "key": "1"}, *[{"key": "a", "value": "b"}] * 50]}, "query__properties"),
        ({"fixedProperties": [1]}, "query__fixedProperties__0"),
    ],
)
def test_values_that_mean_nothing_are_refused(api: Api, node: dict[str, Any], attr: str) -> None:
    status, code, _, where = refusal(api, KIND, select=["event"], **node)
    assert (status, code, where) == (400, "invalid_input", attr)


@pytest.mark.parametrize(
    "node",
    [
        {"select": ["event,"]},
        {"select": ["nope"]},
        {"select": ["event) from persons --"]},
        {"select": ["event"], "where": ["1 = "]},
        {"select": ["event"], "where": ["nope = 1"]},
        {"select": ["event"], "orderBy": ["nope"]},
        {"select": ["event"], "properties": [{"type": "hogql", "key": "nope = 1"}]},
        {"select": ["\x00"]},
        {"select": ["'" + "a" * 9_990 + "'"] * 3},
    ],
)
def test_wrong_hogql_is_refused(api: Api, node: dict[str, Any]) -> None:
    assert refusal(api, KIND, **ALL, **node)[:2] == (400, "invalid_input")
