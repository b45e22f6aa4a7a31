"""persons/retention: who came back, and how the answer looks."""

import csv
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine

from core.outbox.services import outbox_drain
from core.tenancy.models import Team
from tests.core.insights.asking import Capture, configure, refusal, texts
from tests.core.persons.conftest import Api, make_api

pytestmark = pytest.mark.usefixtures("clickhouse")

TUESDAY = datetime(2024, 4, 30, 12, tzinfo=UTC)
WEEK, DAY = timedelta(weeks=1), timedelta(days=1)
CART = {"id": "cart_opened", "type": "events"}
ORDER = {"id": "order_placed", "type": "events"}
# Eleven days: 20 April is period 0, 30 April is period 10.
DAILY = {"date_to": "2024-04-30", "target_entity": CART}


def asked(api: Api, **params: Any) -> Any:
    outbox_drain()
    return api.get("/retention/", **texts(params))


def rows(answer: Any) -> list[tuple[str, list[int]]]:
    """Return name and appearances of each actor, in order."""
    assert answer.status_code == 200, answer.content
    return [(row["person"]["name"], row["appearances"]) for row in answer.json()["result"]]


def days(capture: Capture, who: str, name: str, *back: int) -> None:
    """Capture an event so many days before 30 April, each time."""
    for one in back:
        capture(who, name, timestamp=TUESDAY - DAY * one)


def test_the_example_of_the_specification(api: Api, capture: Capture) -> None:
    """Eight weeks, of which the third (from 24 March on) is asked for; weeks begin on Sundays."""
    for who, moments in {
        "sunday": ["2024-03-24T00:00:00Z", "2024-03-31T00:00:00Z", "2024-05-04T23:59:59Z"],
        "saturday": ["2024-03-30T23:59:59.999Z", "2024-03-27T00:00:00Z", "2024-04-07T12:00:00Z"],
        "before": ["2024-03-23T23:59:59Z", "2024-04-02T00:00:00Z"],
        "once": ["2024-03-25T10:00:00Z"],
        "late": ["2024-03-25T10:00:00Z", "2024-05-05T00:00:00Z"],
    }.items():
        for moment in moments:
            capture(who, "cart_opened", timestamp=datetime.fromisoformat(moment))
    answer = asked(api, period="Week", total_intervals=8, selected_interval=2, target_entity=CART, date_to="2024-04-30")
    assert sorted(rows(answer)) == [
        ("late", [1, 0, 0, 0, 0, 0]),
        ("once", [1, 0, 0, 0, 0, 0]),
        ("saturday", [1, 0, 1, 0, 0, 0]),
        ("sunday", [1, 1, 0, 0, 0, 1]),
    ]
    assert [sum(appearances) for _, appearances in rows(answer)] == [3, 2, 1, 1]


def test_the_answer(api: Api, capture: Capture) -> None:
    person = capture("ann", "cart_opened", timestamp=TUESDAY, set={"email": "ann@example.org"})
    answer = asked(api, **DAILY, selected_interval=10)
    body = answer.json()
    assert set(body) == {"result", "next", "initial", "missing_persons"}
    assert (body["next"], body["missing_persons"]) == (None, 0)
    (row,) = body["result"]
    assert set(row) == {"person", "appearances"}
    assert (row["person"]["id"], row["person"]["uuid"]) == (str(person.uuid), str(person.uuid))
    assert (row["person"]["type"], row["person"]["name"]) == ("person", "ann@example.org")
    assert (row["person"]["matched_recordings"], row["person"]["value_at_data_point"]) == ([], None)


def test_by_default_page_views_of_the_last_eleven_days(api: Api, capture: Capture) -> None:
    # Today is another day after midnight.
    now = datetime.now(UTC).replace(hour=12)
    with time_machine.travel(now, tick=True):
        for back in (10, 9, 0):
            capture("ann", "$pageview", timestamp=now - DAY * back)
        capture("ben", "$pageview", timestamp=now - DAY * 11)
        assert rows(asked(api)) == [("ann", [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1])]


def test_one_returns_in_later_periods_only(api: Api, capture: Capture) -> None:
    days(capture, "ann", "cart_opened", 10, 8)
    days(capture, "ann", "order_placed", 10, 9, 0, 0, 11)
    assert rows(asked(api, **DAILY, returning_entity=ORDER)) == [("ann", [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1])]
    assert rows(asked(api, **DAILY, returning_entity=ORDER, selected_interval=2)) == [
        ("ann", [1, 0, 0, 0, 0, 0, 0, 0, 1])
    ]
    assert rows(asked(api, **DAILY, returning_entity=ORDER, selected_interval=1)) == []
    assert rows(asked(api, **DAILY, returning_entity={"id": None}))[0][1].count(1) == 4


def test_what_comes_after_the_last_period_does_not_change_the_order(api: Api, capture: Capture) -> None:
    """E lies a week after `date_to`, in the middle of a week that no answer tells of."""
    for number in range(8):
        for one in (2, -6)[: 1 + number % 2]:
            days(capture, f"p{number}", "cart_opened", one)
    body = asked(api, period="Week", total_intervals=1, target_entity=CART, date_to="2024-04-30").json()
    assert [row["appearances"] for row in body["result"]] == [[1]] * 8
    ids = [row["person"]["id"] for row in body["result"]]
    assert ids == sorted(ids)


def test_the_first_time_is_the_first_ever(api: Api, capture: Capture) -> None:
    days(capture, "ann", "cart_opened", 10, 3)
    days(capture, "ben", "cart_opened", 400, 10, 3)
    days(capture, "cleo", "cart_opened", 5, 10)
    first = {**DAILY, "retention_type": "retention_first_time"}
    assert rows(asked(api, **DAILY))[0][0] in {"ann", "ben", "cleo"}
    assert len(rows(asked(api, **DAILY))) == 3
    assert [name for name, _ in rows(asked(api, **first))] == sorted(
        ["ann", "cleo"], key=lambda name: str(capture(name, "other").uuid)
    )
    assert rows(asked(api, **first, selected_interval=7)) == []
    assert [name for name, _ in rows(asked(api, **{**first, "date_to": "2023-03-27"}, selected_interval=10))] == ["ben"]


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "Asia/Kolkata", "Europe/Lisbon"])
def test_hours_are_those_of_local_clocks(api: Api, capture: Capture, zone: str) -> None:
    Team.objects.filter(pk=api.team.pk).update(timezone=zone)
    begin = datetime(2024, 1, 28, 5, tzinfo=ZoneInfo(zone))
    for minute in (46, 59, 60):
        capture("ann", "cart_opened", timestamp=begin + timedelta(minutes=minute))
    hourly = {**DAILY, "period": "Hour", "total_intervals": 2, "date_to": "2024-01-28T06:14:00", "selected_interval": 0}
    assert rows(asked(api, **hourly)) == [("ann", [1, 1])]


def test_properties_of_the_entities_count(api: Api, capture: Capture) -> None:
    capture("ann", "cart_opened", timestamp=TUESDAY - DAY, properties={"size": 3})
    capture("ben", "cart_opened", timestamp=TUESDAY - DAY, properties={"size": 1})
    capture("ann", "order_placed", timestamp=TUESDAY, properties={"size": 1})
    big = [{"key": "size", "operator": "gt", "value": 2}]
    params = {**DAILY, "selected_interval": 9, "target_entity": {**CART, "properties": big}}
    assert rows(asked(api, **params, returning_entity=ORDER)) == [("ann", [1, 1])]
    assert rows(asked(api, **params, returning_entity={**ORDER, "properties": big})) == [("ann", [1, 0])]
    assert rows(asked(api, **DAILY, selected_interval=9, properties=big)) == [("ann", [1, 0])]


def test_an_action_may_be_the_target(api: Api, capture: Capture) -> None:
    days(capture, "ann", "cart_opened", 1)
    days(capture, "ben", "order_placed", 1, 0)
    days(capture, "cleo", "other", 1)
    body = {"name": "Shopping", "steps": [{"event": "cart_opened"}, {"event": "order_placed"}]}
    made = api.client.post(f"/api/projects/{api.team.id}/actions/", body, content_type="application/json").json()
    action = {"id": made["id"], "type": "actions"}
    assert rows(asked(api, date_to="2024-04-30", selected_interval=9, target_entity=action)) == [
        ("ben", [1, 1]),
        ("ann", [1, 0]),
    ]
    answer = asked(api, target_entity={"id": made["id"] + 1, "type": "actions"})
    assert refusal(answer) == (400, f"There is no action {made['id'] + 1} in this project.", "actions")


def test_a_row_of_values(api: Api, capture: Capture) -> None:
    for who, browser, back in [("ann", "Chrome", 10), ("ann", "Safari", 5), ("ben", "Chrome", 4), ("cleo", None, 3)]:
        properties = {"$browser": browser} if browser else {}
        capture(who, "cart_opened", timestamp=TUESDAY - DAY * back, properties=properties, set={"plan": who})
    days(capture, "ann", "order_placed", 4)
    params = {**DAILY, "returning_entity": ORDER, "breakdowns": [{"property": "$browser", "type": "event"}]}
    chrome = rows(asked(api, **params, breakdown_type="event", breakdown_values=["Chrome"]))
    assert chrome == [("ann", [1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]), ("ben", [1] + [0] * 10)]
    assert rows(asked(api, **params, breakdown_values=["Safari"], selected_interval=8)) == [("ann", [1, 1, 0])]
    assert [name for name, _ in rows(asked(api, **params, breakdown_values=[""]))] == ["cleo"]
    assert rows(asked(api, **params)) == rows(asked(api, **params, breakdown_values=["Chrome", "Safari"])) == []
    by_plan = {"breakdowns": [{"property": "plan"}], "breakdown_type": "person", "breakdown_values": ["ben"]}
    assert [name for name, _ in rows(asked(api, **DAILY, **by_plan))] == ["ben"]


def test_breakdown_values_alone_select_a_period(api: Api, capture: Capture) -> None:
    days(capture, "ann", "cart_opened", 9)
    assert rows(asked(api, **DAILY, breakdown_values=[1])) == [("ann", [1] + [0] * 10)]
    assert rows(asked(api, **DAILY, breakdown_values=["Chrome"])) == []


def test_the_days_are_those_of_the_project(api: Api, capture: Capture) -> None:
    capture("ann", "cart_opened", timestamp=datetime(2024, 4, 29, 23, 30, tzinfo=UTC))
    assert rows(asked(api, **DAILY, selected_interval=10)) == []
    configure(api, timezone="Europe/Berlin")
    assert rows(asked(api, **DAILY, selected_interval=10)) == [("ann", [1])]


def test_hours_are_not_floored(api: Api, capture: Capture) -> None:
    """Three hours up to 13:30 begin at 10:30, in the hour of ten."""
    for minute in (29, 31):
        capture(f"p{minute}", "cart_opened", timestamp=datetime(2024, 4, 30, 10, minute, tzinfo=UTC))
    capture("p31", "cart_opened", timestamp=datetime(2024, 4, 30, 12, 59, tzinfo=UTC))
    hourly = {"period": "Hour", "total_intervals": 3, "date_to": "2024-04-30T12:30:00Z", "target_entity": CART}
    assert rows(asked(api, **hourly)) == [("p31", [1, 0, 1])]


def test_groups_may_be_the_actors(api: Api, capture: Capture) -> None:
    acme = {"$group_type": "firm", "$group_key": "acme", "$group_set": {"name": "Acme Ltd"}}
    capture("ann", "$groupidentify", timestamp=TUESDAY, properties=acme)
    capture("ann", "cart_opened", timestamp=TUESDAY - DAY, properties={"$groups": {"firm": "acme"}})
    capture("ben", "cart_opened", timestamp=TUESDAY, properties={"$groups": {"firm": "acme"}})
    capture("cleo", "cart_opened", timestamp=TUESDAY - DAY)
    body = asked(api, **DAILY, selected_interval=9, aggregation_group_type_index=0).json()
    assert [(row["person"]["type"], row["person"]["id"], row["appearances"]) for row in body["result"]] == [
        ("group", "acme", [1, 1])
    ]


def test_a_merge_and_a_split_count_at_once(api: Api, capture: Capture) -> None:
    days(capture, "anon", "cart_opened", 1)
    days(capture, "ann", "cart_opened", 0)
    params = {**DAILY, "selected_interval": 9}
    assert rows(asked(api, **params)) == [("anon", [1, 0])]
    person = capture("ann", "$identify", timestamp=TUESDAY, merge_with="anon")
    (row,) = asked(api, **params).json()["result"]
    assert (row["person"]["id"], row["appearances"]) == (str(person.uuid), [1, 1])
    answer = api.send("POST", f"/{person.uuid}/split/", {"distinct_ids_to_split": ["anon"]})
    assert answer.status_code == 200, answer.content
    assert rows(asked(api, **params)) == [("anon", [1, 0])]


def test_events_of_other_projects_do_not_count(api: Api, stranger: Api, capture: Capture) -> None:
    days(capture, "ann", "cart_opened", 0)
    assert rows(asked(api, **DAILY, selected_interval=10)) == [("ann", [1])]
    assert rows(asked(stranger, **DAILY, selected_interval=10)) == []
    assert api.client.get(stranger.url("/retention/")).status_code == 403


def test_the_path_of_environments(api: Api, capture: Capture) -> None:
    days(capture, "ann", "cart_opened", 0)
    other = make_api(api.team, tree="environments", scopes=("person:read",))
    assert rows(asked(other, **DAILY, selected_interval=10)) == [("ann", [1])]


def test_deleted_persons_are_left_out(api: Api, capture: Capture) -> None:
    days(capture, "ann", "cart_opened", 0)
    ben = capture("ben", "cart_opened", timestamp=TUESDAY)
    outbox_drain()
    assert api.send("DELETE", f"/{ben.pk}/").status_code == 204
    body = asked(api, **DAILY, selected_interval=10).json()
    assert [row["person"]["name"] for row in body["result"]] == ["ann"]


def test_each_actor_is_on_one_page(api: Api, capture: Capture) -> None:
    for number in range(5):
        days(capture, f"p{number}", "cart_opened", *range(number % 3 + 1))
    whole = asked(api, **DAILY, selected_interval=8).json()["result"]
    body = asked(api, **DAILY, selected_interval=8, limit=2, unknown="é+&").json()
    found, first = body["result"], body["initial"]
    while body["next"]:
        body = api.client.get(body["next"]).json()
        assert body["initial"] == first
        found += body["result"]
    assert found == whole
    expected = sorted(whole, key=lambda row: (-sum(row["appearances"]), row["person"]["id"]))
    assert found == expected


def test_a_table_has_a_row_for_each_actor(api: Api, capture: Capture) -> None:
    for name in ("ann", "ben"):
        capture(name, "cart_opened", timestamp=TUESDAY - DAY, set={"plan": "pro"})
    days(capture, "ann", "cart_opened", 0)
    answer = asked(api, **DAILY, selected_interval=9, format="csv")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
    lines = b"".join(answer.streaming_content).decode().splitlines()
    table = list(csv.DictReader(lines))
    assert [(row["person.name"], row["appearances.0"], row["appearances.1"]) for row in table] == [
        ("ann", "1", "1"),
        ("ben", "1", "0"),
    ]
    assert {row["person.properties.plan"] for row in table} == {"pro"}


@pytest.mark.parametrize(
    ("params", "detail", "attr"),
    [
        ({"period": "Year"}, "Period Year is unsupported.", "period"),
        ({"period": "day"}, "Period day is unsupported.", "period"),
        ({"total_intervals": 0}, "Ensure this value is between 1 and 400.", "total_intervals"),
        ({"total_intervals": 401}, "Ensure this value is between 1 and 400.", "total_intervals"),
        ({"total_intervals": "many"}, "A valid integer is required.", "total_intervals"),
        ({"total_intervals": "9" * 41}, "A valid integer is required.", "total_intervals"),
        ({"selected_interval": 11}, "Ensure this value is between 0 and 10.", "selected_interval"),
        ({"selected_interval": -1}, "Ensure this value is between 0 and 10.", "selected_interval"),
        ({"retention_type": "forever"}, '"forever" is not a valid choice.', "retention_type"),
        ({"target_entity": "cart"}, None, "target_entity"),
        ({"target_entity": [CART]}, None, "target_entity"),
        ({"target_entity": {"type": "events"}}, None, "target_entity"),
        ({"target_entity": {"id": "cart", "type": "people"}}, None, "target_entity"),
        ({"returning_entity": {"id": 7}}, None, "returning_entity"),
        ({"date_to": "0001-01-01"}, "The date is out of range.", "date_to"),
        ({"date_to": "9999-12-31"}, "The date is out of range.", "date_to"),
        ({"breakdowns": "browser"}, "breakdowns must be a list of items, each with property and type", None),
        ({"breakdowns": ["browser"]}, "breakdowns must be a list of items, each with property and type", None),
        ({"breakdowns": [{"property": "a"}], "breakdown_type": "cohort"}, None, "breakdown_type"),
        ({"breakdowns": [{"property": "a", "type": "group"}]}, None, "breakdowns"),
        ({"breakdowns": [{"property": "a", "type": ["event"]}]}, None, "breakdowns"),
        ({"breakdown_values": {"a": 1}}, None, "breakdown_values"),
        ({"breakdown_values": [[1]]}, "This must be a list of values.", "breakdown_values"),
        ({"properties": "{"}, "Properties are unparsable!", None),
        ({"aggregation_group_type_index": 5}, None, "aggregation_group_type_index"),
        ({"sampling_factor": 2}, None, "sampling_factor"),
        ({"offset": -1}, None, "offset"),
    ],
)
def test_bad_input(api: Api, params: dict[str, Any], detail: str | None, attr: str | None) -> None:
    status, said, about = refusal(asked(api, **params))
    assert (status, about) == (400, attr), said
    assert detail in {None, said}


@pytest.mark.parametrize(
    "params",
    [
        {"target_entity": {"id": "a\0b'\\ud800"}},
        {"breakdowns": [{"property": "a\0'"}], "breakdown_values": ["\0", 1.5][:1]},
        {"breakdowns": [{"property": "a"}], "breakdown_values": [1.5]},
        {"breakdowns": [{"property": "a"}], "breakdown_values": [None]},
        {"date_to": "not a date", "interval": "eon"},
        {"search": "%_'", "filter_test_accounts": "true", "sampling_factor": 0.5},
        {"total_intervals": 400, "period": "Month", "selected_interval": 399},
        {"limit": 10**9, "offset": 10**12},
    ],
)
def test_odd_input(api: Api, capture: Capture, params: dict[str, Any]) -> None:
    days(capture, "ann", "cart_opened", 0)
    assert rows(asked(api, **params)) == []
