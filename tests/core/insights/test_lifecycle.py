"""persons/lifecycle: who was new, returning, resurrecting or dormant, from ingestion to the answer."""

import csv
from datetime import UTC, datetime
from typing import Any

import pytest

from core.persons.models import Person
from tests.core.insights.asking import DAY, NOON, Capture, asked, configure, people, refusal, who
from tests.core.persons.conftest import Api

pytestmark = pytest.mark.usefixtures("clickhouse")
EVENTS = {"events": [{"id": "order_placed"}]}
STATUSES = ("new", "returning", "resurrecting", "dormant")


def lifecycle(api: Api, status: str, date: str, **params: Any) -> Any:
    return asked(api, "/lifecycle/", **{**EVENTS, "lifecycle_type": status, "target_date": date, **params})


def every(api: Api, date: str, **params: Any) -> dict[str, str]:
    """Return who has each status."""
    return {status: who(lifecycle(api, status, date, **params)) for status in STATUSES}


@pytest.fixture
def weeks(capture: Capture) -> None:
    """Of weeks from Monday 22 April on: who did it in which. Old is older than all of that."""
    monday = datetime(2024, 4, 22, 12, tzinfo=UTC)
    capture("old", "view", timestamp=monday - DAY * 100)
    for name, numbers in {"old": [1, 3], "new": [2], "stayed": [1, 2], "gone": [0, 1], "late": [3]}.items():
        for number in numbers:
            capture(name, "order_placed", timestamp=monday + DAY * 7 * number)


@pytest.mark.usefixtures("weeks")
def test_the_example_of_the_specification(api: Api) -> None:
    """The week of Monday 6 May: who did it in the week before and not then."""
    answer = lifecycle(api, "dormant", "2024-05-06", interval="week", date_from="2024-03-15", date_to="2024-05-15")
    assert who(answer) == "gone old"
    assert set(answer.json()) == {"results", "next", "initial", "missing_persons"}


@pytest.mark.usefixtures("weeks")
def test_every_status(api: Api) -> None:
    dates = {"interval": "week", "date_from": "2024-04-15", "date_to": "2024-05-31"}
    assert every(api, "2024-05-12", **dates) == {
        "new": "new", "returning": "stayed", "resurrecting": "", "dormant": "gone old",
    }  # fmt: skip
    assert every(api, "2024-05-13", **dates) == {
        "new": "late", "returning": "", "resurrecting": "old", "dormant": "new stayed",
    }  # fmt: skip


@pytest.mark.usefixtures("weeks")
def test_weeks_begin_on_monday_whatever_the_project_says(api: Api) -> None:
    dates = {"interval": "week", "date_from": "2024-04-15", "date_to": "2024-05-31"}
    before = every(api, "2024-05-06", **dates)
    configure(api, week_start_day=1)
    assert every(api, "2024-05-06", **dates) == before == every(api, "2024-05-12T23:59:59.999999", **dates)


def test_creation_and_not_the_first_event_decides(api: Api, capture: Capture) -> None:
    capture("ann", "view", timestamp=NOON - DAY * 3)
    capture("ann", "order_placed", timestamp=NOON)
    capture("ben", "order_placed", timestamp=NOON)
    assert every(api, "2024-05-02") == {"new": "ben", "returning": "", "resurrecting": "ann", "dormant": ""}
    Person.objects.for_team(api.team.id).get(distinct_id_rows__distinct_id="ben")
    capture("ben", "view", timestamp=NOON)
    assert who(lifecycle(api, "dormant", "2024-05-03")) == "ann ben"


def test_the_window_is_one_interval_longer_than_the_dates(api: Api, capture: Capture) -> None:
    capture("old", "view", timestamp=NOON - DAY * 50)
    for back in (0, 1, 2):
        capture("old", "order_placed", timestamp=NOON - DAY * back)
    one_day = {"date_from": "2024-05-02", "date_to": "2024-05-02"}
    assert every(api, "2024-05-02", **one_day)["returning"] == "old"
    # The first active day of the window is never a return; the day before it is not seen.
    assert every(api, "2024-05-01", **one_day)["resurrecting"] == "old"
    assert every(api, "2024-04-30", **one_day) == dict.fromkeys(STATUSES, "")
    assert every(api, "2024-05-03", **one_day)["dormant"] == "old"
    assert every(api, "2024-05-04", **one_day) == dict.fromkeys(STATUSES, "")


def test_months_and_days_with_the_clocks_set(api: Api, capture: Capture) -> None:
    configure(api, timezone="Europe/Berlin")
    capture("old", "view", timestamp=NOON - DAY * 200)
    # 31 March has 23 hours there, and a month of 28 or 31 days is one month.
    for moment in ("2024-02-29T22:59:59Z", "2024-03-30T23:30:00Z", "2024-03-31T21:59:59Z", "2024-03-31T22:00:00Z"):
        capture("old", "order_placed", timestamp=datetime.fromisoformat(moment))
    dates = {"date_from": "2024-01-01", "date_to": "2024-06-30"}
    found = {
        date: [status for status, names in every(api, date, interval="month", **dates).items() if names]
        for date in ("2024-02-15", "2024-03-15", "2024-04-15", "2024-05-15", "2024-06-15")
    }
    assert list(found.values()) == [["resurrecting"], ["returning"], ["returning"], ["dormant"], []]
    assert every(api, "2024-03-31", **dates)["resurrecting"] == "old"
    assert every(api, "2024-04-01", **dates)["returning"] == "old"


def test_only_the_first_entity_counts(api: Api, capture: Capture) -> None:
    capture("ann", "order_placed", timestamp=NOON)
    capture("ben", "view", timestamp=NOON)
    events = [{"id": "order_placed", "order": 2}, {"id": "view", "order": 1}]
    assert who(lifecycle(api, "new", "2024-05-02", events=events)) == "ben"
    assert who(lifecycle(api, "new", "2024-05-02", events=[{"id": None}])) == "ann ben"
    assert who(lifecycle(api, "new", "2024-05-02", events="", entity_type="events", entity_id="view")) == "ben"


def test_a_merge_and_a_split_are_seen_at_once(api: Api, capture: Capture) -> None:
    capture("ann", "order_placed", timestamp=NOON - DAY)
    capture("ben", "order_placed", timestamp=NOON)
    assert every(api, "2024-05-02") == {"new": "ben", "returning": "", "resurrecting": "", "dormant": "ann"}
    capture("ann", "$identify", timestamp=NOON, merge_with="ben")
    (person,) = people(lifecycle(api, "returning", "2024-05-02"))
    assert who(lifecycle(api, "dormant", "2024-05-02")) == ""
    assert api.send("POST", f"/{person['id']}/split/", {"distinct_ids_to_split": ["ben"]}).status_code == 200
    assert who(lifecycle(api, "returning", "2024-05-02")) == ""
    assert len(people(lifecycle(api, "dormant", "2024-05-02"))) == 1


def test_pages_go_by_actor(api: Api, capture: Capture) -> None:
    for name in "abcde":
        capture(name, "order_placed", timestamp=NOON)
    expected = sorted(str(one.uuid) for one in Person.objects.for_team(api.team.id))
    answer, found = lifecycle(api, "new", "2024-05-02", limit=2), []
    while True:
        found.append({person["id"] for person in people(answer)})
        following = answer.json()["next"]
        if following is None:
            break
        answer = api.client.get(following.removeprefix("http://testserver"))
    assert found == [set(expected[:2]), set(expected[2:4]), set(expected[4:])]


def test_filters_tables_and_other_projects(api: Api, stranger: Api, capture: Capture) -> None:
    capture("ann", "order_placed", timestamp=NOON, properties={"plan": "pro"})
    capture("ben", "order_placed", timestamp=NOON)
    assert who(lifecycle(api, "new", "2024-05-02", properties=[{"key": "plan", "value": "pro"}])) == "ann"
    assert who(lifecycle(stranger, "new", "2024-05-02")) == ""
    rows = csv.DictReader(b"".join(lifecycle(api, "new", "2024-05-02", format="csv")).decode().splitlines())
    assert sorted(row["name"] for row in rows) == ["ann", "ben"]


def test_dates_at_the_ends_of_time(api: Api, capture: Capture) -> None:
    capture("ann", "order_placed", timestamp=NOON)
    for interval in ("hour", "day", "week", "month"):
        ends = {"date_from": "0001-01-01", "date_to": "9999-12-31", "interval": interval}
        assert who(lifecycle(api, "new", "2024-05-02T12:00:00", **ends)) == "ann"


def test_an_unknown_status_is_nobodys(api: Api, capture: Capture) -> None:
    capture("ann", "order_placed", timestamp=NOON)
    answer = lifecycle(api, "New", "2024-05-02")
    assert (who(answer), answer.json()["next"], answer.json()["missing_persons"]) == ("", None, 0)


@pytest.mark.parametrize(
    ("params", "name", "detail"),
    [
        ({"lifecycle_type": "new"}, "target_date", "Must include specified date"),
        ({"lifecycle_type": "new", "target_date": ""}, "target_date", "Must include specified date"),
        ({}, "target_date", "Must include specified date"),
        ({"target_date": "2024-05-02"}, "lifecycle_type", "Must include lifecycle type"),
    ],
)
def test_missing_parameters(api: Api, params: dict[str, str], name: str, detail: str) -> None:
    answer = asked(api, "/lifecycle/", **EVENTS, **params)
    assert (answer.status_code, answer.json()) == (
        400,
        {
            "type": "validation_error",
            "code": "invalid_input",
            "detail": detail,
            "attr": name,
            "message": "Missing parameter",
        },
    )


@pytest.mark.parametrize(
    ("params", "detail", "attr"),
    [
        ({"events": ""}, "An entity id and the entity type must be provided to determine an entity", None),
        ({"target_date": "soon"}, None, "target_date"),
        ({"target_date": "2024-02-30"}, None, "target_date"),
        ({"target_date": "0001-01-01"}, "The date is out of range.", "target_date"),
        ({"target_date": "9999-12-31"}, "The date is out of range.", "target_date"),
        ({"interval": "quarter"}, None, "interval"),
        ({"offset": -1}, None, "offset"),
    ],
)
def test_bad_questions(api: Api, params: dict[str, Any], detail: str | None, attr: str | None) -> None:
    status, found, where = refusal(asked(api, "/lifecycle/", **{
        **EVENTS, "lifecycle_type": "new", "target_date": "2024-05-02", **params,
    }))  # fmt: skip
    assert status == 400
    assert attr is None or where == attr
    assert detail is None or found == detail
