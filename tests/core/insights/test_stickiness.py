"""persons/stickiness: who was active in exactly so many intervals, from ingestion to the answer."""

import csv
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.persons.models import Person
from tests.core.insights.asking import DAY, HOUR, NOON, Capture, asked, configure, people, refusal, who
from tests.core.persons.conftest import Api

pytestmark = pytest.mark.usefixtures("clickhouse")
ORDERS = {"entity_type": "events", "entity_id": "order_placed"}


def sticky(api: Api, days: int, **params: Any) -> Any:
    return asked(api, "/stickiness/", **{**ORDERS, "stickiness_days": days, **params})


@pytest.fixture
def orders(capture: Capture) -> None:
    """Ann on three days, on one of them twice; Ben on two; Cem on one."""
    for name, days in {"ann": [0, 0, 1, 5], "ben": [2, 3], "cem": [4]}.items():
        for day in days:
            capture(name, "order_placed", timestamp=NOON + DAY * day)
    capture("dia", "view", timestamp=NOON)


@pytest.mark.usefixtures("orders")
def test_the_example_of_the_specification(api: Api) -> None:
    answer = sticky(api, 3)
    assert who(answer) == "ann"
    body = answer.json()
    assert set(body) == {"results", "next", "initial", "missing_persons"}
    assert {person["value_at_data_point"] for person in people(answer)} == {None}


@pytest.mark.usefixtures("orders")
@pytest.mark.parametrize(("days", "expected"), [(0, ""), (1, "cem"), (2, "ben"), (3, "ann"), (4, ""), (-1, "")])
def test_the_number_is_exact(api: Api, days: int, expected: str) -> None:
    assert who(sticky(api, days)) == expected
    assert who(asked(api, "/stickiness/", **ORDERS)) == ""


@pytest.mark.usefixtures("orders")
def test_other_intervals(api: Api) -> None:
    """2 May 2024 was a Thursday: Sunday weeks part Ann's and Ben's days, Monday weeks Ann's only."""
    assert who(sticky(api, 2, interval="week")) == "ann ben"
    assert who(sticky(api, 1, interval="week")) == "cem"
    configure(api, week_start_day=1)
    assert who(sticky(api, 2, interval="week")) == "ann"
    assert who(sticky(api, 1, interval="month")) == "ann ben cem"
    assert who(sticky(api, 3, interval="hour")) == "ann"


def test_weeks_begin_when_the_project_says(api: Api, capture: Capture) -> None:
    saturday = datetime(2024, 5, 4, 12, tzinfo=UTC)
    for day in (0, 1):
        capture("ann", "order_placed", timestamp=saturday + DAY * day)
        capture("ben", "order_placed", timestamp=saturday + DAY * (day + 1))
    assert who(sticky(api, 2, interval="week")) == "ann"
    configure(api, week_start_day=1)
    assert who(sticky(api, 2, interval="week")) == "ben"


def test_date_from_is_rounded_to_its_interval(api: Api, capture: Capture) -> None:
    capture("ann", "order_placed", timestamp=datetime(2024, 5, 1, tzinfo=UTC))
    capture("ben", "order_placed", timestamp=datetime(2024, 4, 30, 23, 59, 59, tzinfo=UTC))
    dates = {"date_from": "2024-05-20", "date_to": "2024-05-31"}
    assert who(sticky(api, 1, interval="month", **dates)) == "ann"
    assert who(sticky(api, 1, interval="day", **dates)) == ""


def test_days_are_those_of_the_project(api: Api, capture: Capture) -> None:
    """23:30 and 0:30 in Kolkata are two days, though in UTC both are one."""
    configure(api, timezone="Asia/Kolkata")
    for hour in (18, 19):
        capture("ann", "order_placed", timestamp=datetime(2024, 5, 2, hour, tzinfo=UTC))
    assert who(sticky(api, 2)) == "ann"
    configure(api, timezone="UTC")
    assert who(sticky(api, 1)) == "ann"


def test_long_ranges_and_years_of_hours(api: Api, capture: Capture) -> None:
    for year in (2016, 2020, 2024):
        for hour in (0, 1):
            capture("ann", "order_placed", timestamp=datetime(year, 2, 29, hour, tzinfo=UTC))
    years = {"date_from": "2015-01-01", "date_to": "2024-12-31"}
    assert [who(sticky(api, days, **years)) for days in (2, 3)] == ["", "ann"]
    assert who(sticky(api, 3, interval="month", **years)) == "ann"
    assert who(sticky(api, 6, interval="hour", **years)) == "ann"


@pytest.mark.usefixtures("orders")
def test_a_merge_and_a_split_are_seen_at_once(api: Api, capture: Capture) -> None:
    capture("ann", "$identify", timestamp=NOON, merge_with="ben")
    (person,) = people(sticky(api, 5))
    assert api.send("POST", f"/{person['id']}/split/", {"distinct_ids_to_split": ["ben"]}).status_code == 200
    assert (who(sticky(api, 5)), len(people(sticky(api, 3))), len(people(sticky(api, 2)))) == ("", 1, 1)


def test_pages_go_by_actor(api: Api, capture: Capture) -> None:
    for name in "abcde":
        capture(name, "order_placed", timestamp=NOON)
    expected = sorted(str(one.uuid) for one in Person.objects.for_team(api.team.id))
    answer, found = sticky(api, 1, limit=2), []
    while True:
        found.append({person["id"] for person in people(answer)})
        following = answer.json()["next"]
        if following is None:
            break
        answer = api.client.get(following.removeprefix("http://testserver"))
    assert found == [set(expected[:2]), set(expected[2:4]), set(expected[4:])]


def test_groups_are_actors(api: Api, capture: Capture) -> None:
    for key in ("acme", "b"):
        described = {"$group_type": "company", "$group_key": key, "$group_set": {}}
        capture("ann", "$groupidentify", timestamp=NOON, properties=described)
    for day, key in ((0, "acme"), (1, "acme"), (1, "b")):
        capture("ann", "order_placed", timestamp=NOON + DAY * day, properties={"$groups": {"company": key}})
    events = [{"id": "order_placed", "math_group_type_index": 0}]
    assert [group["id"] for group in people(sticky(api, 2, events=events, entity_order=0))] == ["acme"]


@pytest.mark.usefixtures("orders")
def test_other_projects_see_nothing(stranger: Api) -> None:
    assert who(sticky(stranger, 3)) == ""


@pytest.mark.usefixtures("orders")
def test_as_a_table_and_never_from_the_cache(api: Api, capture: Capture) -> None:
    rows = list(csv.DictReader(b"".join(sticky(api, 3, format="csv")).decode().splitlines()))
    assert [row["name"] for row in rows] == ["ann"]
    params = {"refresh": "false"}
    assert who(sticky(api, 2, **params)) == "ben"
    capture("cem", "order_placed", timestamp=NOON + HOUR)
    assert who(sticky(api, 2, **params)) == "ben cem"


@pytest.mark.usefixtures("orders")
def test_a_filter(api: Api, capture: Capture) -> None:
    capture("eve", "order_placed", timestamp=NOON + timedelta(days=2), properties={"plan": "pro"})
    assert who(sticky(api, 1, properties=[{"key": "plan", "value": "pro"}])) == "eve"


@pytest.mark.parametrize(
    ("params", "detail", "attr"),
    [
        ({"entity_type": ""}, "An entity must be provided for target entity to be determined", None),
        ({"stickiness_days": "x"}, "A valid integer is required.", "stickiness_days"),
        ({"stickiness_days": "1.5"}, "A valid integer is required.", "stickiness_days"),
        ({"stickiness_days": "9" * 30}, None, "stickiness_days"),
        ({"interval": "fortnight"}, None, "interval"),
        ({"offset": "-1"}, None, "offset"),
    ],
)
def test_bad_questions(api: Api, params: dict[str, Any], detail: str | None, attr: str | None) -> None:
    status, found, where = refusal(sticky(api, 1, **params))
    assert (status, where) == (400, attr), found
    assert detail is None or found == detail
