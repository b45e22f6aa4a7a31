"""Filters around queries: `{filters}` of HogQLQuery, dashboards' overrides, and filters as HogQL text."""

from datetime import UTC, datetime
from typing import Any

import pytest

from core.query.filter_text import filter_text
from core.query.override import Override, overridden, read_override
from core.query.reading import BadNode
from events.filters.grammar import read_filters
from events.hogql.parser import parse_expr
from tests.core.insights.asking import Capture, configure
from tests.core.persons.conftest import Api
from tests.core.query.asking import DAY, HOUR, NOON, answer, column, refusal

EVENTS = "select event from events where {filters} order by timestamp"
PRICE = {"key": "price", "value": 5, "operator": "gt", "type": "event"}
EMAIL = {"key": "email", "value": "ann", "operator": "icontains", "type": "person"}
LENGTH = {"key": "$session_duration", "value": 60, "operator": "gt", "type": "session"}


@pytest.fixture
def shop(clickhouse: None, capture: Capture) -> None:
    capture("ann", "view", timestamp=NOON, properties={"price": 1, "$session_id": "s1"}, set={"email": "ann@x.org"})
    capture("ann", "buy", timestamp=NOON + HOUR, properties={"price": 9, "$session_id": "s1"})
    capture("ben", "view", timestamp=NOON + DAY, properties={"price": 7, "$session_id": "s2"})


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ["view", "buy", "view"]),
        ({"properties": [PRICE]}, ["buy", "view"]),
        ({"properties": [PRICE, EMAIL]}, ["buy"]),
        ({"properties": [{"type": "hogql", "key": "properties.price < 5"}]}, ["view"]),
        ({"properties": [LENGTH]}, ["view", "buy"]),
        ({"properties": [{"key": "event", "type": "event_metadata", "value": ["buy"]}]}, ["buy"]),
        ({"properties": [{"key": "$session_id", "type": "event_metadata", "value": "s2"}]}, ["view"]),
        ({"properties": [{**PRICE, "type": "feature"}]}, ["buy", "view"]),
        ({"dateRange": {"date_from": "2024-05-02T13:00:00Z", "date_to": "2024-05-03T12:00:00Z"}}, ["buy"]),
        ({"dateRange": {"date_from": "2024-05-02T13:00:00Z", "date_to": "2024-05-03T12:00:01Z"}}, ["buy", "view"]),
        ({"dateRange": {"date_from": "all", "date_to": None}}, ["view", "buy", "view"]),
        ({"dateRange": {"date_from": "-1d"}}, []),
        ({"filterTestAccounts": True}, ["view"]),
        ({"filterTestAccounts": True, "properties": [EMAIL]}, []),
    ],
)
def test_filters_of_events(api: Api, shop: None, filters: dict[str, Any], expected: list[str]) -> None:
    configure(api, test_account_filters=[{**EMAIL, "operator": "not_icontains"}])
    assert column(answer(api, "HogQLQuery", query=EVENTS, filters=filters)) == expected


def test_filters_of_sessions_are_about_sessions(api: Api, shop: None) -> None:
    text = "select session_id from sessions where {filters} order by session_id"
    assert column(answer(api, "HogQLQuery", query=text, filters={})) == ["s1", "s2"]
    for wanted in ([LENGTH], {"type": "OR", "values": [LENGTH, {**LENGTH, "value": 1e6}]}):
        assert column(answer(api, "HogQLQuery", query=text, filters={"properties": wanted})) == ["s1"]
    for operator, value, expected in (("exact", 3600, ["s1"]), ("is_not", 3600, ["s2"]), ("between", [0, 10], ["s2"])):
        wanted = [{**LENGTH, "operator": operator, "value": value}]
        assert column(answer(api, "HogQLQuery", query=text, filters={"properties": wanted})) == expected
    dates = {"dateRange": {"date_from": "2024-05-03"}}
    assert column(answer(api, "HogQLQuery", query=text, filters=dates)) == ["s2"]
    refused = refusal(api, "HogQLQuery", query=text, filters={"properties": [PRICE]})
    assert (refused[0], refused[3]) == (400, "query__filters__properties")
    assert refused[2].startswith("Can only use session properties")
    configure(api, test_account_filters=[EMAIL])
    assert refusal(api, "HogQLQuery", query=text, filters={"filterTestAccounts": True})[0] == 400


def test_filters_of_groups_are_about_groups(api: Api, clickhouse: None, capture: Capture) -> None:
    for key, size in (("a", 1), ("b", 9)):
        about = {"$group_type": "company", "$group_key": key, "$group_set": {"size": size}}
        capture("ann", "$groupidentify", timestamp=NOON, properties=about)
    text = "select key from groups where {filters} order by key"
    wanted = {"properties": [{"type": "group", "group_type_index": 0, "key": "size", "value": 5, "operator": "gt"}]}
    assert column(answer(api, "HogQLQuery", query=text, filters=wanted)) == ["b"]
    assert column(answer(api, "HogQLQuery", query=text, filters={})) == ["a", "b"]
    assert refusal(api, "HogQLQuery", query=text, filters={"properties": [PRICE]})[3] == "query__filters__properties"


@pytest.mark.parametrize(
    ("filters", "code", "attr"),
    [
        ([], "parse_error", "query__filters"),
        ({"x": 1}, "parse_error", "query__filters__x"),
        ({"properties": 1}, "parse_error", "query__filters__properties"),
        ({"dateRange": {"from": 1}}, "parse_error", "query__filters__dateRange__from"),
        ({"dateRange": {"date_from": 1}}, "parse_error", "query__filters__dateRange__date_from"),
        ({"dateRange": {"date_from": "soon"}}, "invalid_input", "query__filters__dateRange__date_from"),
        ({"filterTestAccounts": "yes"}, "parse_error", "query__filters__filterTestAccounts"),
        ({"properties": [{**PRICE, "operator": "nope"}]}, "invalid_input", "query__filters__properties__0"),
    ],
)
def test_filters_are_checked(api: Api, clickhouse: None, filters: Any, code: str, attr: str) -> None:
    assert refusal(api, "HogQLQuery", query=EVENTS, filters=filters)[1::2] == (code, attr)


def test_a_dashboard_filters_hogql(api: Api, shop: None) -> None:
    override = {"date_from": "2024-05-02", "date_to": "2024-05-03", "properties": [PRICE]}
    assert column(answer(api, "HogQLQuery", query=EVENTS, override=override)) == ["buy"]


OVERRIDE = Override(date_from="-7d", date_to=None, properties=[PRICE], breakdown_filter={"breakdown": "a"})


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (
            {"kind": "EventsQuery", "after": "all", "before": "x", "properties": [EMAIL]},
            {"kind": "EventsQuery", "after": "-7d", "before": None, "properties": [EMAIL, PRICE]},
        ),
        (
            {"kind": "HogQLQuery", "filters": None},
            {"kind": "HogQLQuery", "filters": {
                "dateRange": {"date_from": "-7d", "date_to": None}, "properties": [PRICE],
            }},
        ),
        (
            {"kind": "TrendsQuery", "dateRange": {"explicitDate": True}, "properties": {"type": "OR", "values": []}},
            {
                "kind": "TrendsQuery",
                "dateRange": {"explicitDate": True, "date_from": "-7d", "date_to": None},
                "properties": {
                    "type": "AND", "values": [{"type": "OR", "values": []}, {"type": "AND", "values": [PRICE]}],
                },
                "breakdownFilter": {"breakdown": "a"},
            },
        ),
        ({"kind": "DatabaseSchemaQuery"}, {"kind": "DatabaseSchemaQuery"}),
        ({"kind": "EventsQuery", "properties": "x"}, {
            "kind": "EventsQuery", "properties": "x", "after": "-7d", "before": None,
        }),
        ({"kind": ["x"]}, {"kind": ["x"]}),
        ({"kind": "ActorsQuery", "source": 5}, {"kind": "ActorsQuery", "source": 5}),
        ({"kind": "HogQLQuery", "filters": 5}, {"kind": "HogQLQuery", "filters": 5}),
    ],
)  # fmt: skip
def test_overrides(node: dict[str, Any], expected: dict[str, Any]) -> None:
    assert overridden(node, OVERRIDE) == expected
    wrapped = {"kind": "DataTableNode", "source": node}
    assert overridden(wrapped, OVERRIDE) == {**wrapped, "source": expected}


def test_an_empty_override_changes_nothing() -> None:
    node = {"kind": "EventsQuery", "after": "-3d"}
    assert overridden(node, Override()) == node
    assert read_override(None) is None


@pytest.mark.parametrize("value", [[], {"x": 1}, {"date_from": 1}, {"properties": "x"}, {"breakdown_filter": []}])
def test_overrides_are_checked(value: Any) -> None:
    with pytest.raises(BadNode, match="filters_override"):
        read_override(value)


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        ("exact", "it's", "equals(properties.`a b`, 'it\\'s')"),
        ("exact", ["x", "y"], "in(properties.`a b`, tuple('x', 'y'))"),
        ("is_not", "x", "not(equals(properties.`a b`, 'x'))"),
        ("icontains", "%", "ilike(properties.`a b`, '%%%')"),
        ("regex", "^a$", "match(properties.`a b`, '^a$')"),
        ("gt", 5, "toFloat(properties.`a b`) > 5"),
        ("between", [1, 2], "toFloat(properties.`a b`) between 1 and 2"),
        ("is_set", None, "isNotNull(properties.`a b`)"),
        ("is_date_before", "2024-01-01", "toDateTime(properties.`a b`) < toDateTime('2024-01-01 00:00:00', 'UTC')"),
        ("semver_gt", "1.2.3", "sortableSemver"),
    ],
)
def test_filters_as_text_are_hogql(operator: str, value: Any, expected: str) -> None:
    item = {"key": "a b", "operator": operator, "value": value, "type": "event"}
    wanted = read_filters([item], scope="event", now=datetime(2024, 5, 1, tzinfo=UTC))
    assert wanted is not None
    text = filter_text(wanted)
    assert expected in text
    parse_expr(text)


def test_groups_of_filters_as_text() -> None:
    others = [
        {"key": "k", "value": "v", "type": "person"},
        {"key": "k", "value": "v", "type": "group", "group_type_index": 2},
        {"key": "id", "value": 5, "type": "cohort", "operator": "not_in"},
        {"key": "selector", "value": "a.b > #c", "type": "element"},
        {"key": "text", "value": "Buy", "type": "element"},
        {"key": "$session_id", "value": "s", "type": "event_metadata"},
        LENGTH,
    ]
    wanted = read_filters({"type": "OR", "values": others}, scope="event")
    assert wanted is not None
    text = filter_text(wanted)
    for part in (
        "person.properties.`k`",
        "group_2.properties.`k`",
        "not in cohort 5",
        "session.`$session_duration`",
        "(`$session_id`, ",
    ):
        assert part in text
    parse_expr(text)
