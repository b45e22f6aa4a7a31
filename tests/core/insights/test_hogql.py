"""HogQL in the filters, breakdowns and paths of insights, over HTTP."""

from typing import Any
from uuid import uuid4

import pytest

from core.outbox.services import outbox_drain
from core.persons.ingest import IngestTeam, NewEvent, events_ingest
from tests.core.insights.asking import (
    MAY,
    MINUTE,
    NOON,
    Capture,
    asked,
    configure,
    people,
    posted,
    refusal,
    steps,
    texts,
    who,
)
from tests.core.persons.conftest import Api, make_api

pytestmark = pytest.mark.usefixtures("clickhouse")
BUY = {"entity_id": "buy", "entity_type": "events"}
EXPENSIVE = {"type": "hogql", "key": "toFloat(properties.price) > 5"}
GOLD = {"type": "hogql", "key": "person.properties.tier = 'gold'"}
NEITHER = "The expression must be true or false, and is of the type String."
TOO_LONG = "The HogQL expressions of a filter may have at most 20000 characters together."
WRONG = [
    ("properties.price >", None),
    ("1) or (1 = 1", None),
    ("nope = 1", "Unable to resolve field: nope"),
    ("properties.plan", NEITHER),
    ("count() > 1", "Aggregations and window functions cannot be used in an expression on one row"),
    ("row_number() over () = 1", None),
    ("exists (select 1 from system.tables)", None),
    ("event in (select name from system.tables)", None),
    ("event in (select event from nowhere)", None),
    ("session.duration > 1", "This expression cannot use fields of other tables."),
    ("pdi.person_id = person_id", None),
    ("person_id in cohort 123456789", None),
    ("sleep(1)", None),
    ("{variables.x}", None),
    ("*", "* cannot be used here"),
    ("   ", "The `key` of a filter of type hogql must be a HogQL expression."),
    ("\x00", None),
    (f"'{'a' * 100_000}' = event", TOO_LONG),
    ("(" * 5000 + "1" + ")" * 5000, None),
    (1, "The `key` of a filter of type hogql must be a HogQL expression."),
]


@pytest.fixture
def shop(capture: Capture, stranger: Api) -> None:
    """Two buyers and a visitor, and a neighbour whose buyer has the same id and the same properties."""
    capture("ann", "buy", timestamp=NOON, properties={"price": 9, "plan": "pro"}, set={"tier": "gold"})
    capture("ben", "buy", timestamp=NOON, properties={"price": 3, "plan": "free"})
    capture("ben", "pay", timestamp=NOON + MINUTE)
    capture("ann", "pay", timestamp=NOON + MINUTE)
    capture("eve", "view", timestamp=NOON, properties={"price": 9})
    theirs = {"price": 9, "plan": "pro", "theirs": "secret"}
    events = [
        NewEvent(event="buy", distinct_id=name, uuid=uuid4(), timestamp=NOON, properties=theirs, set={"tier": "gold"})
        for name in ("ann", "ben", "zoe")
    ]
    events_ingest(team=IngestTeam(stranger.team.id), events=events)


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ([EXPENSIVE], "ann"),
        ([{**EXPENSIVE, "value": None, "operator": "exact"}], "ann"),
        ([{"type": "hogql", "key": "properties.plan = 'free' -- a comment"}], "ben"),
        ({"type": "OR", "values": [EXPENSIVE, {"key": "plan", "value": "free"}]}, "ann ben"),
        ([GOLD], "ann"),
        ([{"type": "hogql", "key": "NULL"}], ""),
        ([{"type": "hogql", "key": "properties.nothing > 1"}], ""),
        ([{"type": "hogql", "key": "1"}], "ann ben"),
        ([{"type": "hogql", "key": "distinct_id = 'ann' or properties.theirs = 'secret'"}], "ann"),
        ([{"type": "hogql", "key": "person_id in (select id from persons where properties.tier = 'gold')"}], "ann"),
        (
            [
                {
                    "type": "hogql",
                    "key": "person_id in (select person_id from events where properties.theirs = 'secret')",
                }
            ],
            "",
        ),
    ],
)
def test_a_filter_is_true_of_events(api: Api, shop: None, properties: Any, expected: str) -> None:
    assert who(asked(api, "/trends/", **BUY, properties=properties)) == expected
    assert who(posted(api, events=steps("buy", properties=properties), funnel_step=1)) == expected


def test_the_persons_are_those_that_own_the_events_now(api: Api, capture: Capture) -> None:
    capture("ann", "buy", timestamp=NOON)
    old = capture("ben", "buy", timestamp=NOON)
    outbox_drain()
    now = capture("ann", "$identify", timestamp=NOON, merge_with="ben")

    def bought(text: str) -> list[tuple[str, float]]:
        # Not by `asked`: the merge counts before the worker has carried it to ClickHouse.
        asks = {**MAY, **BUY, "refresh": "true", "properties": [{"type": "hogql", "key": text}]}
        found = people(api.get("/trends/", **texts(asks)))
        return [(one["id"], one["value_at_data_point"]) for one in found]

    for text in (f"person_id = '{now.uuid}'", f"person.id = '{now.uuid}'"):
        assert bought(text) == [(str(now.uuid), 2)]
        assert bought(text.replace(str(now.uuid), str(old.uuid))) == []


def test_every_insight_and_the_test_accounts(api: Api, shop: None) -> None:
    configure(api, test_account_filters=[{"type": "hogql", "key": "properties.plan != 'free'"}])
    assert who(asked(api, "/trends/", **BUY, filter_test_accounts=True)) == "ann"
    for path, question in (
        ("/stickiness/", {**BUY, "stickiness_days": 1}),
        ("/lifecycle/", {"events": steps("buy"), "target_date": "2024-05-02", "lifecycle_type": "new"}),
        ("/path/", {"path_dropoff_key": "1_buy"}),
    ):
        assert who(asked(api, path, **{"properties": [EXPENSIVE], **question})) == "ann", path
    target = {"id": "buy", "type": "events"}
    days = {"period": "Day", "total_intervals": 4, "date_to": "2024-05-05"}
    answer = asked(api, "/retention/", target_entity=target, properties=[EXPENSIVE], **days)
    assert [row["person"]["name"] for row in answer.json()["result"]] == ["ann"]


def test_actions_ask_hogql_of_events(api: Api, shop: None) -> None:
    url = f"/api/projects/{api.team.id}/actions/"
    made = api.client.post(
        url, {"name": "a", "steps": [{"event": "buy", "properties": [EXPENSIVE]}]}, content_type="application/json"
    )
    assert made.status_code == 201, made.content
    assert who(posted(api, actions=[{"id": made.json()["id"], "order": 0}], funnel_step=1)) == "ann"
    wrong = [{"event": "buy", "properties": [{"type": "hogql", "key": "nope = 1"}]}]
    answer = api.client.post(url, {"name": "a", "steps": wrong}, content_type="application/json")
    assert refusal(answer) == (400, "Unable to resolve field: nope", "steps__0__properties__0__key")


@pytest.mark.parametrize(("key", "message"), WRONG)
def test_a_wrong_filter_is_refused_by_name(api: Api, key: Any, message: str | None) -> None:
    status, detail, attr = refusal(
        posted(api, events=steps("buy"), funnel_step=1, properties=[{"type": "hogql", "key": key}])
    )
    is_text = isinstance(key, str) and key.strip()
    assert (status, attr) == (400, "properties__0__key" if is_text else "properties")
    assert message is None or detail == message
    assert "DB::" not in detail


@pytest.mark.parametrize(
    "key",
    ["throwIf(1)", "toDate(1, 2, 3, 4)", "arrayElement([1], 'a') = 1", "intDiv(1, 0) = 1", "match(event, '(') = 1"],
)
def test_what_only_clickhouse_finds_is_refused_too(api: Api, shop: None, key: str) -> None:
    answer = posted(api, events=steps("buy"), funnel_step=1, properties=[{"type": "hogql", "key": key}])
    assert answer.status_code == 400, answer.content
    assert "DB::" not in answer.json()["detail"]


def test_no_caller_filters_by_the_value_of_an_expression(api: Api) -> None:
    wrong = [{"type": "hogql_value", "key": "event", "value": "buy"}]
    assert refusal(asked(api, "/trends/", **BUY, properties=wrong))[2] == "properties"


@pytest.mark.parametrize(
    ("breakdown", "value", "expected"),
    [
        ("properties.plan", "pro", "ann"),
        ("concat(properties.plan, '!')", "free!", "ben"),
        ("toFloat(properties.price) > 5", "0", "ben"),
        ("person.properties.tier", "gold", "ann"),
        ("person.properties.tier", "", "ben"),
        ("person.properties.tier", "$$_posthog_breakdown_null_$$", "ben"),
        ("[properties.plan]", "['pro']", "ann"),
        ("properties.plan", "unknown", ""),
        ("'it''s'", "it's", "ann ben"),
    ],
)
def test_the_actors_of_a_broken_down_trend(api: Api, shop: None, breakdown: str, value: str, expected: str) -> None:
    asks = {"breakdown": breakdown, "breakdown_type": "hogql", "breakdown_value": value}
    assert who(asked(api, "/trends/", **BUY, **asks)) == expected


def test_the_bins_of_a_broken_down_trend(api: Api, shop: None) -> None:
    asks = {"breakdown": "toFloat(properties.price) * 2", "breakdown_type": "hogql", "breakdown_value": "[10,20]"}
    assert who(asked(api, "/trends/", **BUY, **asks, breakdown_histogram_bin_count=2)) == "ann"


@pytest.mark.parametrize("attribution", ["first_touch", "last_touch", "all_events"])
def test_the_actors_of_a_broken_down_funnel(api: Api, shop: None, attribution: str) -> None:
    asks = {
        "events": steps("buy", "pay") if attribution != "all_events" else steps("buy"), "funnel_step": 1,
        "breakdown": "upper(properties.plan)", "breakdown_type": "hogql", "breakdown_attribution_type": attribution,
    }  # fmt: skip
    assert who(posted(api, **asks, funnel_step_breakdown="PRO")) == "ann"
    several = {**asks, "breakdown": ["upper(properties.plan)", "event"]}
    last = ["", "pay"] if attribution == "last_touch" else ["FREE", "buy"]
    assert "ben" in who(posted(api, **several, funnel_step_breakdown=last))


@pytest.mark.parametrize("path", ["/trends/", "/funnel/"])
@pytest.mark.parametrize("breakdown", ["nope", "count()", "a b", "select 1 from system.tables", "'" + "a" * 100_000])
def test_a_wrong_breakdown_is_refused_by_name(api: Api, path: str, breakdown: str) -> None:
    asks = {"breakdown": breakdown, "breakdown_type": "hogql", "breakdown_value": "x"}
    send = posted if path == "/funnel/" else asked
    answer = send(api, path, **BUY, events=steps("buy"), funnel_step=1, **asks)
    assert refusal(answer)[::2] == (400, "breakdown")


@pytest.mark.parametrize(
    ("path", "key", "expected"),
    [
        ({"include_event_types": ["hogql"], "paths_hogql_expression": "properties.plan"}, "pro", "ann"),
        ({"paths_hogql_expression": "concat(event, ':', properties.plan)"}, "buy:free", "ben"),
        ({"paths_hogql_expression": "properties.plan", "exclude_events": ["hogql"]}, "buy", "ann ben"),
        ({"paths_hogql_expression": "person.properties.tier"}, "gold", "ann"),
        ({"include_event_types": ["custom_event"], "paths_hogql_expression": "properties.plan"}, "buy", "ann ben"),
        ({"include_event_types": ["hogql"]}, "buy", "ann ben"),
        (
            {
                "include_event_types": ["hogql"], "paths_hogql_expression": "properties.plan",
                "local_path_cleaning_filters": [{"regex": "^p.*", "alias": "paid"}],
            },
            "paid", "ann",
        ),
    ],
)  # fmt: skip
def test_paths_of_expressions(api: Api, shop: None, path: dict[str, Any], key: str, expected: str) -> None:
    found = posted(api, "/path/", **path, path_dropoff_key=f"1_{key}")
    more = posted(api, "/path/", **path, path_start_key=f"1_{key}")
    assert sorted({*who(found).split(), *who(more).split()}) == expected.split()


def test_a_wrong_path_expression_is_refused_by_name(api: Api) -> None:
    answer = posted(api, "/path/", include_event_types=["hogql"], paths_hogql_expression="nope")
    assert refusal(answer) == (400, "Unable to resolve field: nope", "paths_hogql_expression")


def test_recordings_and_matched_events_come_with_hogql_too(api: Api, capture: Capture) -> None:
    properties = {"$session_id": "s", "$window_id": "w", "price": 9}
    capture("ann", "buy", timestamp=NOON, properties=properties)
    (person,) = people(asked(api, "/trends/", **BUY, properties=[EXPENSIVE], include_recordings=True))
    assert person["matched_recordings"] is not None
    funnel = posted(api, events=steps("buy", properties=[EXPENSIVE]), funnel_step=1, include_recordings=True)
    assert [one["name"] for one in people(funnel)] == ["ann"]


def test_a_neighbour_sees_nothing(shop: None, stranger: Api) -> None:
    other = make_api(stranger.team)
    secret = {"type": "hogql", "key": "properties.theirs = 'secret'"}
    assert who(asked(other, "/trends/", **BUY, properties=[secret])) == "ann ben zoe"
    everybody = {"type": "hogql", "key": "team_id > 0 or 1"}
    assert asked(other, "/trends/", **BUY, properties=[everybody]).status_code in {200, 400}
