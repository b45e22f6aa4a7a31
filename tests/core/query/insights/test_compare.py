"""`compareFilter`: which earlier range is compared with, by hour, day, week and month, of trends and of stickiness."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from tests.core.insights.asking import Capture, configure
from tests.core.persons.conftest import Api
from tests.core.query.asking import answer
from tests.core.query.insights.support import series

pytestmark = pytest.mark.usefixtures("clickhouse")
# A Wednesday.
NOW = datetime(2024, 5, 15, 15, 30, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(autouse=True)
def in_may(api: Api) -> Iterator[None]:
    assert api.team
    with time_machine.travel(NOW, tick=True):
        yield


def compared(api: Api, kind: str, date_from: str, **node: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the series now and before."""
    given = {"series": series("order"), "dateRange": {"date_from": date_from}, "compareFilter": {"compare": True}}
    current, previous = answer(api, kind, **{**given, **node})["results"]
    assert (current["compare_label"], previous["compare_label"]) == ("current", "previous")
    return current, previous


def test_hours_of_the_same_times_of_day(api: Api, capture: Capture) -> None:
    midnight = NOW.replace(hour=0, minute=0)
    for moment in (midnight - DAY, midnight - DAY + 15.9 * HOUR, midnight - DAY + 16 * HOUR, midnight - HOUR):
        capture("ann", "order", timestamp=moment)
    current, previous = compared(api, "TrendsQuery", "dStart", interval="hour")
    assert previous["days"] == [f"2024-05-14 {hour:02}:00:00" for hour in range(16)]
    assert [one[-8:] for one in previous["days"]] == [one[-8:] for one in current["days"]]
    assert (current["count"], previous["data"]) == (0, [1, *[0] * 14, 1])
    _, hours = compared(api, "StickinessQuery", "dStart", interval="hour")
    assert (len(hours["days"]), hours["data"][:3]) == (16, [0, 1, 0])


@pytest.mark.parametrize(("date_from", "first", "hours"), [("-3h", "14 12", 4), ("-24h", "13 15", 25)])
def test_some_hours_are_never_compared_with_themselves(api: Api, date_from: str, first: str, hours: int) -> None:
    current, previous = compared(api, "TrendsQuery", date_from, interval="hour")
    assert previous["days"][0] == f"2024-05-{first}:00:00"
    assert (len(current["days"]), len(previous["days"])) == (hours, hours)
    assert current["days"] != previous["days"]


@pytest.mark.parametrize("week_start", [0, 1])
@pytest.mark.parametrize("date_from", ["-28d", "-4w"])
def test_weeks(api: Api, capture: Capture, date_from: str, week_start: int) -> None:
    configure(api, week_start_day=week_start)
    first = datetime(2024, 3, 17 + week_start, tzinfo=UTC)
    for moment in (first - HOUR, first, first + 29 * DAY, datetime(2024, 4, 16, 23, tzinfo=UTC)):
        capture("ann", "order", timestamp=moment)
    current, previous = compared(api, "TrendsQuery", date_from, interval="week")
    begun = datetime(2024, 4, 14 + week_start, tzinfo=UTC)
    assert current["days"] == [f"{begun + 7 * DAY * number:%Y-%m-%d}" for number in range(5)]
    assert previous["days"] == [f"{first + 7 * DAY * number:%Y-%m-%d}" for number in range(5)]
    assert previous["data"] == [1, 0, 0, 0, 2]
    assert previous["filter"]["date_to"] == "2024-04-16T23:59:59.999999Z"
    _, weeks = compared(api, "StickinessQuery", date_from, interval="week")
    assert weeks["data"] == [0, 1, 0, 0, 0]


def test_months(api: Api, capture: Capture) -> None:
    for month, day in ((10, 31), (11, 1), (12, 31)):
        capture("ann", "order", timestamp=datetime(2023, month, day, 12, tzinfo=UTC))
    for day in (14, 15):
        capture("ann", "order", timestamp=datetime(2024, 2, day, 12, tzinfo=UTC))
    _, previous = compared(api, "TrendsQuery", "-90d", interval="month")
    assert previous["days"] == ["2023-11-01", "2023-12-01", "2024-01-01", "2024-02-01"]
    assert previous["data"] == [1, 1, 0, 1]
    _, months = compared(api, "StickinessQuery", "-90d", interval="month")
    assert months["data"] == [0, 0, 1, 0]
    year = {"compareFilter": {"compare": True, "compare_to": "-1y"}}
    _, before = compared(api, "TrendsQuery", "-90d", interval="month", **year)
    assert (before["days"][0], before["days"][-1]) == ("2023-02-01", "2023-05-01")


def test_the_same_days_of_the_week_by_day_alone(api: Api) -> None:
    _, previous = compared(api, "TrendsQuery", "-7d", interval="day")
    assert (previous["days"][0], previous["days"][-1]) == ("2024-05-01", "2024-05-08")
    _, previous = compared(api, "TrendsQuery", "-8d", interval="day")
    assert (previous["days"][0], previous["days"][-1]) == ("2024-04-28", "2024-05-06")


def test_explicit_dates_begin_where_they_say(api: Api) -> None:
    dates = {"date_from": "2024-05-01", "date_to": "2024-05-08T00:00:00", "explicitDate": True}
    _, previous = compared(api, "TrendsQuery", "", interval="month", dateRange=dates)
    assert previous["filter"]["date_from"] == "2024-04-24T00:00:00Z"
