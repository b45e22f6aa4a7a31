"""Who is in a row of a retention table and when each of them came back, as ActorsQuery tells it over HTTP."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.persons.ingest import IngestTeam, NewEvent, events_ingest
from tests.core.insights.asking import Capture
from tests.core.persons.conftest import Api
from tests.core.query.asking import DAY, NOON, answer, column, refusal
from tests.core.query.insights.support import served
from tests.support.calendar_streams import places
from tests.support.event_streams import Stream
from tests.support.retention_oracle import Table, before, table_row, whole_range_of

pytestmark = pytest.mark.usefixtures("db", "clickhouse")
KIND = "ActorsQuery"
NATIVE = ["length(appearances) DESC", "actor_id"]
WEEK = {
    "kind": "RetentionQuery",
    "retentionFilter": {"targetEntity": {"id": "a"}, "returningEntity": {"id": "a"}, "totalIntervals": 4},
    "dateRange": {"date_to": "2024-05-05"},
}

type World = tuple[str, str, datetime, Stream]


def row(number: int = 0, **source: Any) -> dict[str, Any]:
    return {"kind": "InsightActorsQuery", "interval": number, "source": {**WEEK, **source}}


@pytest.fixture
def shop(capture: Capture, stranger: Api) -> dict[str, str]:
    """All come on 2 May; Ann on each day after, Ben on the 4th, Cem never again. A neighbour's Cem does."""
    found = {}
    for who, days in (("cem", (0,)), ("ben", (0, 2)), ("ann", (0, 1, 2, 3))):
        for day in days:
            found[who] = str(capture(who, "a", timestamp=NOON + DAY * day, set={"name": who.title()}).uuid)
    events = [
        NewEvent(event="a", distinct_id="cem", uuid=uuid4(), timestamp=NOON + DAY * day, properties={})
        for day in range(4)
    ]
    events_ingest(team=IngestTeam(stranger.team.id), events=events)
    return found


def test_the_columns_of_the_table_of_actors(api: Api, shop: dict[str, str]) -> None:
    days = [f"day_{number}" for number in range(4)]
    found = answer(api, KIND, source=row(), select=["person", "appearances", *days], orderBy=NATIVE)
    assert [(one[0]["name"], *one[1:]) for one in found["results"]] == [
        ("Ann", [0, 1, 2, 3], 1, 1, 1, 1),
        ("Ben", [0, 2], 1, 0, 1, 0),
        ("Cem", [0], 1, 0, 0, 0),
    ]
    assert found["columns"] == ["person", "appearances", *days]
    assert found["types"] == ["String", "Array(UInt8)", *["Int64"] * 4]
    assert (found["missing_actors_count"], found["hasMore"]) == (0, False)
    assert column(answer(api, KIND, source=row(2), select=["appearances", "day_1"])) == [[0, 1], [0]]
    assert answer(api, KIND, source=row(), select=["id", "appearances"], orderBy=NATIVE, limit=1, offset=1)[
        "results"
    ] == [[shop["ben"], [0, 2]]]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"orderBy": ["length(appearances)", "properties.name"]}, ["Cem", "Ben", "Ann"]),
        ({"orderBy": ["day_3 DESC", "properties.name DESC"]}, ["Ann", "Cem", "Ben"]),
        ({"search": "ben", "orderBy": NATIVE}, ["Ben"]),
        ({"properties": [{"key": "name", "value": ["Cem"], "type": "person"}], "orderBy": NATIVE}, ["Cem"]),
    ],
)  # fmt: skip
def test_they_are_ordered_searched_and_filtered(
    api: Api, shop: dict[str, str], more: dict[str, Any], expected: list[str]
) -> None:
    columns = ["properties.name", "appearances", "appearance_intervals", "day_0", "day_2", "length(appearances)"]
    found = answer(api, KIND, source=row(), select=columns, **more)
    assert found["types"][1:5] == ["Array(UInt8)"] * 2 + ["Int64"] * 2
    listed = {"Ann": [0, 1, 2, 3], "Ben": [0, 2], "Cem": [0]}
    assert found["results"] == [
        [name, listed[name], listed[name], 1, int(2 in listed[name]), len(listed[name])] for name in expected
    ]


def test_their_own_order_has_no_bound(api: Api, shop: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.query.actor_sources.MAX_ACTORS", 2)
    asked: dict[str, Any] = {"source": row(), "select": ["person", "day_1 -- the next day"]}
    assert column(answer(api, KIND, **asked, orderBy=NATIVE), 1) == [1, 0, 0]
    assert "more than 2 actors" in refusal(api, KIND, **asked, orderBy=["actor_id"])[2]


@pytest.mark.parametrize("order", [NATIVE, ["day_1", "actor_id"]])
def test_a_row_without_anybody(api: Api, shop: dict[str, str], order: list[str]) -> None:
    found = answer(
        api, KIND, source=row(dateRange={"date_to": "2024-04-05"}), select=["id", "appearances", "day_1"], orderBy=order
    )
    assert found["results"] == []


def test_the_row_alone(api: Api, shop: dict[str, str]) -> None:
    found = answer(api, "InsightActorsQuery", **{key: value for key, value in row(2).items() if key != "kind"})
    assert found["columns"] == ["actor_id", "appearances", "day_0", "day_1", "day_2", "day_3"]
    assert found["results"] == [[shop["ann"], [0, 1], 1, 1, 0, 0], [shop["ben"], [0], 1, 0, 0, 0]]


def test_groups_appear(api: Api, capture: Capture) -> None:
    about = {"$group_type": "company", "$group_key": "acme", "$group_set": {"name": "Acme"}}
    capture("ann", "$groupidentify", timestamp=NOON, properties=about)
    for day in (0, 3):
        capture("ann", "a", timestamp=NOON + DAY * day, properties={"$groups": {"company": "acme"}})
    source = row(aggregation_group_type_index=0)
    found = answer(api, KIND, source=source, select=["group", "appearances", "day_3"], orderBy=NATIVE)
    assert [(one[0]["id"], *one[1:]) for one in found["results"]] == [("acme", [0, 3], 1)]


@pytest.mark.parametrize(
    ("source", "select"),
    [
        (row(), "day_4"),
        (row(), "week_0"),
        ({**row(), "source": {"kind": "TrendsQuery", "series": [{"kind": "EventsNode", "event": "a"}]},
          "day": "2024-05-02", "interval": None}, "appearances"),
    ],
)  # fmt: skip
def test_columns_that_are_none(api: Api, source: dict[str, Any], select: str) -> None:
    node = source if source["source"]["kind"] == "RetentionQuery" else {
        **source, "source": {**source["source"], "dateRange": {"date_from": "2024-05-01", "date_to": "2024-05-05"}}
    }  # fmt: skip
    status, _, detail, _ = refusal(api, KIND, source=node, select=["actor", select])
    assert (status, f"Unable to resolve field: {select}" in detail) == (400, True), detail


def test_strangers_see_their_own(stranger: Api, shop: dict[str, str]) -> None:
    found = answer(stranger, KIND, source=row(), select=["person", "appearances"], orderBy=NATIVE)
    assert [(one[0]["distinct_ids"], one[1]) for one in found["results"]] == [(["cem"], [0, 1, 2, 3])]
    assert one_of(shop, found) == []


def one_of(shop: dict[str, str], found: dict[str, Any]) -> list[str]:
    return [one[0]["uuid"] for one in found["results"] if one[0]["uuid"] in shop.values()]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    world=places(names=("a", "a", "b"), max_events=40),
    total=st.sampled_from([1, 3, 9, 70]),
    back=st.integers(0, 12),
    row_back=st.integers(0, 8),
    steps=st.sampled_from([None, None, -2, 0, 3, 9, 80]),
    first_time=st.booleans(),
)
def test_a_row_is_that_of_the_twin(
    world: World, total: int, back: int, row_back: int, steps: int | None, *, first_time: bool
) -> None:
    zone, period, begun, stream = world
    until = (begun + timedelta(days=back, minutes=17)).astimezone(ZoneInfo(zone))
    date_from = before(until, period, steps)
    since, end, rows = whole_range_of(until, period, total, date_from)
    table = Table(
        ZoneInfo(zone), period, since, end, lambda one: one.event == "a", lambda one: one.event == "b",
        first_time=first_time,
    )  # fmt: skip
    number = max(rows - 1 - row_back, 0)
    expected = table_row(table, stream.by_actor(), number, total)
    node = {
        "kind": "RetentionQuery",
        "retentionFilter": {
            "period": period.title(), "totalIntervals": total, "targetEntity": {"id": "a", "type": "events"},
            "returningEntity": {"id": "b", "type": "events"},
            "retentionType": "retention_first_time" if first_time else "retention_recurring",
        },
        "dateRange": {
            "date_from": date_from.isoformat() if date_from else None, "date_to": until.isoformat(),
            "explicitDate": True,
        },
    }  # fmt: skip
    api = served(stream, zone=zone)
    columns = ["id", "appearances", *(f"{period}_{place}" for place in range(total))]
    listed = [[actor, [place for place, there in enumerate(ones) if there], *ones] for actor, ones in expected]
    source = {"kind": "InsightActorsQuery", "interval": number, "source": node}
    assert answer(api, KIND, source=source, select=columns, orderBy=NATIVE)["results"] == listed
    # Put in order by ClickHouse, from the whole list.
    reordered = answer(api, KIND, source=source, select=columns, orderBy=["length(appearances)", "actor_id"])
    assert reordered["results"] == sorted(listed, key=lambda one: (len(one[1]), one[0]))
