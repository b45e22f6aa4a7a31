"""persons/trends: who is behind a data point, with which value, from ingestion to the answer."""

import csv
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from core.outbox.services import outbox_drain
from core.persons.models import Person
from tests.core.capture.helpers import assert_accepted, post
from tests.core.capture.test_recordings import SESSION, START, WINDOW, snapshot
from tests.core.cohorts.conftest import calculate
from tests.core.insights.asking import DAY, HOUR, NOON, Capture, asked, configure, people, refusal
from tests.core.persons.conftest import Api, make_api

pytestmark = pytest.mark.usefixtures("clickhouse")
ORDERS = {"entity_type": "events", "entity_id": "order_placed"}
NO_ENTITY = "An entity must be provided for target entity to be determined"
NO_ID = "An entity id and the entity type must be provided to determine an entity"


def trends(api: Api, **params: Any) -> Any:
    return asked(api, "/trends/", **{**ORDERS, **params})


def values(answer: Any) -> list[tuple[str, float | None]]:
    return [(person["name"], person["value_at_data_point"]) for person in people(answer)]


def series(**entity: Any) -> dict[str, Any]:
    return {"events": [{"id": "order_placed", **entity}], "entity_order": 0}


@pytest.fixture
def orders(capture: Capture) -> None:
    """Ann has three orders on 1 May, Ben two, Cem one on 2 May."""
    for who, moments, amounts in (
        ("ann", [NOON - DAY, NOON - DAY + HOUR, NOON - DAY + HOUR * 2], [10, "2.5", "much"]),
        ("ben", [NOON - DAY, NOON - DAY], [-4, 3]),
        ("cem", [NOON], [None]),
    ):
        for moment, amount in zip(moments, amounts, strict=True):
            capture(who, "order_placed", timestamp=moment, properties={"amount": amount, "plan": f"of {who}"})
    capture("dia", "view", timestamp=NOON)


@pytest.mark.usefixtures("orders")
def test_the_example_of_the_specification(api: Api) -> None:
    """One bar of a daily chart."""
    answer = trends(api, interval="day", date_from="2024-05-01", date_to="2024-05-01")
    assert values(answer) == [("ann", 3), ("ben", 2)]
    body = answer.json()
    assert set(body) == {"results", "next", "initial", "missing_persons", "is_cached", "last_refresh"}
    assert (body["next"], body["missing_persons"], body["is_cached"]) == (None, 0, False)


@pytest.mark.usefixtures("orders")
@pytest.mark.parametrize("tree", ["projects", "environments"])
def test_both_trees_and_both_forms_of_the_path(api: Api, tree: str) -> None:
    outbox_drain()
    params = {**ORDERS, "date_from": "2024-05-01", "date_to": "2024-05-31"}
    for slash in ("", "/"):
        address = f"/api/{tree}/{api.team.id}/persons/trends{slash}"
        assert values(api.client.get(address, params)) == [("ann", 3), ("ben", 2), ("cem", 1)]


@pytest.mark.usefixtures("orders")
@pytest.mark.parametrize(
    ("math", "expected"),
    [
        ("total", [("ann", 3), ("ben", 2), ("cem", 1)]),
        ("dau", [("ann", 3), ("ben", 2), ("cem", 1)]),
        ("avg_count_per_actor", [("ann", 3), ("ben", 2), ("cem", 1)]),
        ("sum", [("ann", 12.5), ("ben", -1), ("cem", None)]),
        ("avg", [("ann", 6.25), ("ben", -0.5), ("cem", None)]),
        ("min", [("ann", 2.5), ("ben", -4), ("cem", None)]),
        ("max", [("ann", 10), ("ben", 3), ("cem", None)]),
        ("median", [("ann", 6.25), ("ben", -0.5), ("cem", None)]),
        ("p75", [("ann", 8.125), ("ben", 1.25), ("cem", None)]),
    ],
)
def test_values_by_math(api: Api, math: str, expected: list[tuple[str, float | None]]) -> None:
    """Values that are no numbers are left out; who has none is among the actors all the same."""
    found = dict(values(trends(api, **series(math=math, math_property="amount"))))
    assert found == dict(expected)
    listed = values(
        trends(api, entity_math=math, events=[{"id": "order_placed", "math": math, "math_property": "amount"}])
    )
    assert dict(listed) == dict(expected)


def test_what_json_has_no_number_for_is_null(api: Api, capture: Capture) -> None:
    for _ in range(2):
        capture("ann", "order_placed", timestamp=NOON, properties={"amount": 1.7e308})
    capture("ben", "order_placed", timestamp=NOON, properties={"amount": "nan"})
    assert sorted(values(trends(api, **series(math="sum", math_property="amount")))) == [("ann", None), ("ben", None)]


def test_pages_go_by_value_then_by_actor_downwards(api: Api, capture: Capture) -> None:
    for number, who in enumerate(("a", "b", "c", "d", "e")):
        for _ in range(2 if number == 3 else 1):
            capture(who, "order_placed", timestamp=NOON)
    others = sorted((str(one.uuid) for one in Person.objects.for_team(api.team.id)), reverse=True)
    first = str(Person.objects.for_team(api.team.id).get(distinct_id_rows__distinct_id="d").uuid)
    others.remove(first)
    answer = trends(api, limit=2)
    found: list[set[str]] = []
    while True:
        found.append({person["id"] for person in people(answer)})
        following = answer.json()["next"]
        if following is None:
            break
        answer = api.client.get(following.removeprefix("http://testserver"))
    assert found == [{first, others[0]}, set(others[1:3]), set(others[3:])]
    assert "offset" not in answer.json()["initial"]


class TestDates:
    def test_weeks_and_months_begin_at_their_start(self, api: Api, capture: Capture) -> None:
        capture("ann", "order_placed", timestamp=datetime(2024, 4, 28, 0, tzinfo=UTC))
        capture("ben", "order_placed", timestamp=datetime(2024, 4, 27, 23, 59, 59, tzinfo=UTC))
        capture("cem", "order_placed", timestamp=datetime(2024, 4, 1, tzinfo=UTC))
        dates = {"date_from": "2024-04-30", "date_to": "2024-05-02"}
        assert {name for name, _ in values(trends(api, **dates, interval="week"))} == {"ann"}
        configure(api, week_start_day=1)
        capture("dia", "order_placed", timestamp=datetime(2024, 4, 29, tzinfo=UTC))
        assert {name for name, _ in values(trends(api, **dates, interval="week"))} == {"dia"}
        assert len(values(trends(api, **dates, interval="month"))) == 4
        assert values(trends(api, **dates, interval="day")) == []

    def test_an_hour_of_an_hourly_chart(self, api: Api, capture: Capture) -> None:
        for who, moment in {"ann": NOON, "ben": NOON + HOUR - timedelta(seconds=1), "cem": NOON + HOUR}.items():
            capture(who, "order_placed", timestamp=moment)
        answer = trends(api, interval="hour", date_from="2024-05-02T12:00:00", date_to="2024-05-02T12:59:59.999999")
        assert {name for name, _ in values(answer)} == {"ann", "ben"}

    @pytest.mark.parametrize(("math", "days"), [("weekly_active", 6), ("monthly_active", 29)])
    def test_active_actors_reach_back(self, api: Api, capture: Capture, math: str, days: int) -> None:
        midnight = datetime(2024, 5, 31, tzinfo=UTC)
        capture("ann", "order_placed", timestamp=midnight - DAY * days)
        capture("ben", "order_placed", timestamp=midnight - DAY * days - timedelta(seconds=1))
        answer = trends(api, entity_math=math, date_from="2024-05-31", date_to="2024-05-31")
        assert values(answer) == [("ann", 1)]

    def test_days_are_those_of_the_project(self, api: Api, capture: Capture) -> None:
        configure(api, timezone="America/Sao_Paulo")
        # Midnight of this day did not exist there: the clocks went from 0:00 to 1:00.
        capture("ann", "order_placed", timestamp=datetime(2018, 11, 4, 3, tzinfo=UTC))
        capture("ben", "order_placed", timestamp=datetime(2018, 11, 4, 2, 59, 59, tzinfo=UTC))
        capture("cem", "order_placed", timestamp=datetime(2018, 11, 5, 1, 59, 59, tzinfo=UTC))
        answer = trends(api, date_from="2018-11-04", date_to="2018-11-04")
        assert {name for name, _ in values(answer)} == {"ann", "cem"}


class TestBreakdowns:
    @pytest.fixture(autouse=True)
    def buyers(self, capture: Capture) -> None:
        capture("ann", "order_placed", timestamp=NOON, properties={"plan": "pro", "amount": 5}, set={"city": "Rome"})
        capture("ben", "order_placed", timestamp=NOON, properties={"plan": "free", "amount": 10}, set={"city": ""})
        capture("cem", "order_placed", timestamp=NOON, properties={"amount": "7.5"}, set={"city": "Oslo"})

    @pytest.mark.parametrize(
        ("params", "expected"),
        [
            ({"breakdown": "plan", "breakdown_value": "pro"}, "ann"),
            ({"breakdown": "plan", "breakdown_type": "event", "breakdown_value": ""}, "cem"),
            ({"breakdown": "plan", "breakdown_value": "$$_posthog_breakdown_null_$$"}, "cem"),
            ({"breakdown": "plan", "breakdown_value": "$$_posthog_breakdown_other_$$"}, "ann ben cem"),
            ({"breakdown": "plan"}, "ann ben cem"),
            ({"breakdown": '["plan"]', "breakdown_value": "pro"}, "ann ben cem"),
            ({"breakdown_value": "pro"}, "ann ben cem"),
            ({"breakdown": "city", "breakdown_type": "person", "breakdown_value": "Oslo"}, "cem"),
            ({"breakdown": "city", "breakdown_type": "person", "breakdown_value": ""}, "ben"),
            ({"breakdown": "amount", "breakdown_value": "[5,10]", "breakdown_histogram_bin_count": 3}, "ann cem"),
            ({"breakdown": "amount", "breakdown_value": "[5.5,10.01]", "breakdown_histogram_bin_count": 3}, "ben cem"),
            ({"breakdown": "plan", "breakdown_value": '["",""]', "breakdown_histogram_bin_count": 3}, "cem"),
            ({"breakdown": "[1,2]", "breakdown_type": "cohort"}, "ann ben cem"),
            ({"breakdown": "[1,2]", "breakdown_type": "cohort", "breakdown_value": "all"}, "ann ben cem"),
            ({"breakdown": "[1]", "breakdown_type": "cohort", "breakdown_value": "987654"}, ""),
        ],
    )
    def test_who_has_the_value(self, api: Api, params: dict[str, Any], expected: str) -> None:
        assert " ".join(sorted(name for name, _ in values(trends(api, **params)))) == expected

    def test_members_of_a_cohort(self, api: Api) -> None:
        made = api.client.post(
            f"/api/projects/{api.team.id}/cohorts/",
            {"name": "Rome", "groups": [{"properties": [{"key": "city", "value": "Rome", "type": "person"}]}]},
            content_type="application/json",
        ).json()
        calculate()
        found = trends(api, breakdown=f"[{made['id']}]", breakdown_type="cohort", breakdown_value=made["id"])
        assert values(found) == [("ann", 1)]

    def test_groups_of_a_property(self, api: Api, capture: Capture) -> None:
        for key, size in (("acme", "big"), ("b", "small")):
            described = {"$group_type": "company", "$group_key": key, "$group_set": {"size": size}}
            capture("ann", "$groupidentify", timestamp=NOON, properties=described)
        capture("ann", "order_placed", timestamp=NOON, properties={"$groups": {"company": "acme"}})
        capture("ben", "order_placed", timestamp=NOON, properties={"$groups": {"company": "b"}})
        params = {"breakdown": "size", "breakdown_type": "group", "breakdown_group_type_index": 0}
        assert values(trends(api, **params, breakdown_value="big")) == [("ann", 1)]

    @pytest.mark.parametrize(
        ("params", "detail", "attr"),
        [
            (
                {"breakdown_value": "[1]"},
                "The value of a histogram's bin is a JSON list of two numbers.",
                "breakdown_value",
            ),
            ({"breakdown_value": '["a","b"]'}, None, "breakdown_value"),
            ({"breakdown_value": "[true,1]"}, None, "breakdown_value"),
            ({"breakdown_value": "{"}, None, "breakdown_value"),
            ({"breakdown_value": "[1,1e999]"}, None, "breakdown_value"),
            ({"breakdown_value": "1", "breakdown_type": "planet"}, '"planet" is not a valid choice.', "breakdown_type"),
            ({"breakdown_value": "[1,2]", "breakdown_type": "hogql"}, "Unable to resolve field: amount", "breakdown"),
            ({"breakdown_value": "x", "breakdown_type": "cohort"}, "A valid integer is required.", "breakdown_value"),
            ({"breakdown_value": "-1", "breakdown_type": "cohort"}, None, "breakdown_value"),
            ({"breakdown_value": "[1,2]", "breakdown_type": "group"}, None, "breakdown_group_type_index"),
            ({"breakdown_value": "[1,2]", "breakdown_type": "session"}, None, "breakdown"),
            ({"breakdown_value": "[1,2]", "breakdown": "k" * 500}, None, "breakdown"),
            ({"breakdown_value": "[1980,0]"}, None, "breakdown_value"),
        ],
    )
    def test_bad_breakdowns(self, api: Api, params: dict[str, Any], detail: str | None, attr: str) -> None:
        found = refusal(trends(api, **{"breakdown": "amount", "breakdown_histogram_bin_count": 3, **params}))
        assert (found[0], found[2]) == (400, attr), found
        assert detail is None or found[1] == detail


def test_groups_are_actors(api: Api, capture: Capture) -> None:
    for key in ("acme", "b"):
        described = {"$group_type": "company", "$group_key": key, "$group_set": {"size": 1}}
        capture("ann", "$groupidentify", timestamp=NOON, properties=described)
    for who, key in (("ann", "acme"), ("ben", "acme"), ("ben", "b"), ("cem", "unknown")):
        capture(who, "order_placed", timestamp=NOON, properties={"$groups": {"company": key}})
    capture("dia", "order_placed", timestamp=NOON)
    for math in ("unique_group", "max_count_per_actor"):
        answer = trends(api, **series(math=math, math_group_type_index=0))
        found = [(group["id"], group["type"], group["value_at_data_point"]) for group in people(answer)]
        assert found == [("acme", "group", 2), ("b", "group", 1)]
        assert answer.json()["missing_persons"] == 1
    assert len(people(trends(api, **series(math="total", math_group_type_index=0)))) == 4


@pytest.mark.usefixtures("orders")
class TestWhoOwnsEvents:
    def test_a_merge_and_a_split_are_seen_at_once(self, api: Api, capture: Capture) -> None:
        capture("ann", "$identify", timestamp=NOON, merge_with="ben")
        merged = trends(api)
        assert [value for _, value in values(merged)] == [5, 1]
        key = people(merged)[0]["id"]
        assert api.send("POST", f"/{key}/split/", {"distinct_ids_to_split": ["ben"]}).status_code == 200
        assert sorted(value or 0 for _, value in values(trends(api))) == [1, 2, 3]

    def test_the_project_of_the_url_decides(self, stranger: Api, api: Api) -> None:
        assert values(trends(stranger)) == []
        other = make_api(stranger.team)
        assert other.client.get(api.url("/trends/"), ORDERS).status_code in {403, 404}

    def test_deleted_persons_are_missing(self, api: Api) -> None:
        trends(api)
        Person.objects.for_team(api.team.id).filter(distinct_id_rows__distinct_id="ben").delete()
        answer = trends(api)
        assert ([name for name, _ in values(answer)], answer.json()["missing_persons"]) == (["ann", "cem"], 1)


@pytest.mark.usefixtures("orders")
def test_filters_actions_and_search(api: Api) -> None:
    action = api.client.post(
        f"/api/projects/{api.team.id}/actions/",
        {"name": "Bought", "steps": [{"event": "order_placed"}, {"event": "view"}]},
        content_type="application/json",
    ).json()
    by_action = {"entity_type": "actions", "entity_id": action["id"]}
    assert [name for name, _ in values(trends(api, **by_action))][:2] == ["ann", "ben"]
    assert len(values(trends(api, **by_action))) == 4
    wanted = [{"key": "plan", "value": "of ben", "type": "event"}]
    assert values(trends(api, properties=wanted)) == [("ben", 2)]
    assert values(trends(api, search="BE")) == [("ben", 2)]
    assert len(values(trends(api, entity_id=""))) == 4


@pytest.mark.usefixtures("orders")
def test_as_a_table(api: Api) -> None:
    answer = trends(api, format="csv")
    rows = list(csv.DictReader(b"".join(answer).decode().splitlines()))
    assert [(row["name"], row["value_at_data_point"]) for row in rows] == [("ann", "3"), ("ben", "2"), ("cem", "1")]


def test_recordings_of_the_events(api: Api, capture: Capture) -> None:
    begun = datetime.fromtimestamp(START / 1000, UTC)
    assert_accepted(post("/s/", [snapshot(api.team)]))
    seen = {"$session_id": SESSION, "$window_id": WINDOW}
    for number in range(12):
        capture("ann", "order_placed", timestamp=begun - HOUR + timedelta(minutes=number))
        capture("ann", "order_placed", timestamp=begun + timedelta(minutes=number), properties=seen)
    capture("ann", "view", timestamp=begun, properties=seen)
    dates = {"date_from": "2025-10-01", "date_to": "2025-10-31"}
    (person,) = people(trends(api, **dates, include_recordings="true"))
    (recording,) = person["matched_recordings"]
    assert recording["session_id"] == SESSION
    moments = [datetime.fromisoformat(event["timestamp"]) for event in recording["events"]]
    assert moments == [begun + timedelta(minutes=number) for number in range(10)]
    assert {event["window_id"] for event in recording["events"]} == {WINDOW}
    assert people(trends(api, **dates))[0]["matched_recordings"] == []


@pytest.mark.parametrize(
    ("params", "detail", "attr"),
    [
        ({"entity_type": "", "entity_id": "a"}, NO_ENTITY, None),
        ({"entity_type": "", "entity_id": ""}, NO_ID, None),
        ({"entity_type": "actions", "entity_id": ""}, NO_ID, None),
        ({"entity_order": 1}, None, "entity_order"),
        ({"entity_math": "maths"}, '"maths" is not a valid choice.', "math"),
        ({"entity_math": "hogql"}, '"hogql" is not a valid choice.', "math"),
        ({"entity_math": "sum"}, "This field is required.", "math_property"),
        (series(math="p90", math_property="x" * 401), None, "events"),
        ({"entity_math": "unique_group"}, "This field is required.", "math_group_type_index"),
        (series(math="unique_group", math_group_type_index=5), None, "events"),
        ({"interval": "year"}, None, "interval"),
        ({"offset": -1}, None, "offset"),
        ({"limit": "many"}, "A valid integer is required.", "limit"),
        ({"sampling_factor": 2}, None, "sampling_factor"),
    ],
)
def test_bad_questions(api: Api, params: dict[str, Any], detail: str | None, attr: str | None) -> None:
    status, found, where = refusal(trends(api, **params))
    assert (status, where) == (400, attr), found
    assert detail is None or found == detail


def test_properties_with_strange_names(api: Api, capture: Capture) -> None:
    key = "a'b\"c\\d.e😀 {p0:String}"
    capture("ann", "order_placed", timestamp=NOON, properties={key: 4})
    assert values(trends(api, **series(math="sum", math_property=key))) == [("ann", 4)]
    text = orjson.dumps([{"id": "order_placed", "math": "sum", "math_property": "\x00"}]).decode()
    assert trends(api, events=text, entity_order=0).status_code in {200, 400}
