"""`trendsFilter.hideWeekends`: days over time without Saturdays and Sundays."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from tests.core.insights.asking import Capture, configure
from tests.core.persons.conftest import Api
from tests.core.query.asking import DAY, answer, refusal
from tests.core.query.insights.support import series

pytestmark = pytest.mark.usefixtures("clickhouse")
# 2 May 2024 is a Thursday.
THURSDAY = datetime(2024, 5, 2, 12, tzinfo=UTC)
DATES = {"dateRange": {"date_from": "2024-05-02", "date_to": "2024-05-07"}}
KEPT = ["2024-05-02", "2024-05-03", "2024-05-06", "2024-05-07"]


@pytest.fixture(autouse=True)
def orders(capture: Capture) -> None:
    """One order on Thursday 2 May, two on Friday, and so on up to six on Tuesday; as many by as many persons."""
    for days in range(6):
        for number in range(days + 1):
            capture(f"p{number}", "order", timestamp=THURSDAY + DAY * days, properties={"odd": days % 2})


def asked(api: Api, *, shown: dict[str, Any] | None = None, **node: Any) -> list[dict[str, Any]]:
    given = {"series": series("order"), **DATES, **node}
    found: list[dict[str, Any]] = answer(
        api, "TrendsQuery", **given, trendsFilter={"hideWeekends": True, **(shown or {})}
    )["results"]
    return found


def test_days(api: Api) -> None:
    (item,) = asked(api)
    assert (item["days"], item["data"], item["count"]) == (KEPT, [1, 2, 5, 6], 14)
    assert item["labels"] == ["2-May-2024", "3-May-2024", "6-May-2024", "7-May-2024"]
    assert item["action"]["days"] == [f"{day}T00:00:00Z" for day in KEPT]
    (item,) = asked(api, shown={"hideWeekends": False})
    assert (len(item["days"]), item["data"], item["count"]) == (6, [1, 2, 3, 4, 5, 6], 21)


def test_weekends_are_those_of_the_projects_zone(api: Api) -> None:
    # Noon is 2 o'clock of the next day there.
    configure(api, timezone="Pacific/Kiritimati")
    (item,) = asked(api)
    assert (item["days"], item["data"]) == (KEPT, [0, 1, 4, 5])


@pytest.mark.parametrize(
    ("shown", "data", "count"),
    [
        # What happens on weekends stays in what looks back.
        ({"display": "ActionsLineGraphCumulative"}, [1, 3, 15, 21], 21),
        ({"smoothingIntervals": 3}, [1, 1, 4, 5], 11),
        ({"formula": "A * 2"}, [2, 4, 10, 12], 28),
    ],
)
def test_what_is_reckoned_over_days(api: Api, shown: dict[str, Any], data: list[int], count: int) -> None:
    (item,) = asked(api, shown=shown)
    assert (item["days"], item["data"], item["count"]) == (KEPT, data, count)


def test_actors_of_a_week_before(api: Api) -> None:
    (item,) = asked(api, series=series("order", math="weekly_active"))
    assert item["data"] == [1, 2, 5, 6]


def test_values_and_the_range_before(api: Api) -> None:
    found = asked(api, breakdownFilter={"breakdown": "odd"})
    assert {one["breakdown_value"]: (one["data"], one["count"]) for one in found} == {
        "1": ([0, 2, 0, 6], 8), "0": ([1, 0, 5, 0], 6)
    }  # fmt: skip
    now, before = asked(api, compareFilter={"compare": True})
    assert (now["compare_label"], now["days"]) == ("current", KEPT)
    days = [date.fromisoformat(day) for day in before["days"]]
    assert len(days) == len(before["data"]) == len(before["labels"]) == 4
    assert all(day.isoweekday() <= 5 and day < date(2024, 5, 2) for day in days)


def test_a_weekend_alone(api: Api) -> None:
    (item,) = asked(api, dateRange={"date_from": "2024-05-04", "date_to": "2024-05-05"})
    assert (item["data"], item["days"], item["labels"], item["count"]) == ([], [], [], 0)


@pytest.mark.parametrize("display", ["BoldNumber", "ActionsPie", "ActionsBarValue", "ActionsTable", "WorldMap"])
def test_totals_have_no_days(api: Api, display: str) -> None:
    (item,) = asked(api, shown={"display": display})
    assert item["aggregated_value"] == 21


@pytest.mark.parametrize(("interval", "count"), [("hour", 15), ("week", 21), ("month", 21)])
def test_other_intervals_stay(api: Api, interval: str, count: int) -> None:
    (item,) = asked(api, interval=interval)
    (every,) = asked(api, interval=interval, shown={"hideWeekends": False})
    assert (item["days"], item["data"], item["count"]) == (every["days"], every["data"], every["count"])
    # Of hours, the range ends with the midnight that its last day begins with.
    assert item["count"] == count


def test_the_actors_of_a_day(api: Api) -> None:
    source = {"kind": "TrendsQuery", "series": series("order"), **DATES, "trendsFilter": {"hideWeekends": True}}
    day = (THURSDAY + timedelta(days=4)).date().isoformat()
    assert len(answer(api, "InsightActorsQuery", source=source, day=day)["results"]) == 5


def test_it_is_a_flag(api: Api) -> None:
    given = {"series": series("order"), **DATES, "trendsFilter": {"hideWeekends": "yes"}}
    status, _, _, attr = refusal(api, "TrendsQuery", **given)
    assert (status, attr) == (400, "query__trendsFilter__hideWeekends")
