"""Ranges that end before they begin: an answer without intervals, the same from every kind and math."""

from typing import Any

import pytest

from tests.core.insights.asking import Capture, asked
from tests.core.persons.conftest import Api
from tests.core.query.asking import DAY, NOON, answer, refusal
from tests.core.query.insights.support import series

pytestmark = pytest.mark.usefixtures("clickhouse")
RANGES: list[dict[str, Any]] = [
    {"date_to": "2024-05-02"},
    {"date_from": "-7d", "date_to": "-10d"},
    {"date_from": "2024-05-06", "date_to": "2024-05-04"},
    {"date_from": "2024-05-06", "date_to": "2024-05-04", "explicitDate": True},
    {"date_to": "9999d"},
]
ACTIVE = ("weekly_active", "monthly_active")
NOTHING = {"data": [], "days": [], "labels": [], "count": 0}


@pytest.fixture(autouse=True)
def orders(capture: Capture) -> None:
    """Ann orders within a week before each end and each beginning, and every day of these."""
    for days in range(8):
        capture("ann", "order", timestamp=NOON + DAY * days, properties={"plan": "pro"})


def shown(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: one[name] for name in NOTHING} for one in results]


def trends(api: Api, math: str, **node: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = answer(api, "TrendsQuery", series=series("order", math=math), **node)["results"]
    return found


@pytest.mark.parametrize("dates", RANGES, ids=range(len(RANGES)))
@pytest.mark.parametrize("interval", ["hour", "day"])
def test_no_intervals(api: Api, dates: dict[str, Any], interval: str) -> None:
    node: dict[str, Any] = {"dateRange": dates, "interval": interval}
    lifecycle = answer(api, "LifecycleQuery", series=series("order"), **node)["results"]
    assert [one["status"] for one in lifecycle] == ["new", "returning", "resurrecting", "dormant"]
    assert shown(lifecycle) == [NOTHING] * 4
    assert shown(answer(api, "StickinessQuery", series=series("order"), **node)["results"]) == [NOTHING]
    for math in ("total", *ACTIVE):
        assert shown(trends(api, math, **node)) == [NOTHING]
        assert shown(trends(api, math, **node, compareFilter={"compare": True})) == [NOTHING] * 2
        assert trends(api, math, **node, breakdownFilter={"breakdown": "plan"}) == []
        (total,) = trends(api, math, **node, trendsFilter={"display": "BoldNumber"})
        assert (total["aggregated_value"], total["data"]) == (0, [])


@pytest.mark.parametrize("interval", ["week", "month"])
def test_longer_intervals(api: Api, interval: str) -> None:
    node: dict[str, Any] = {"dateRange": {"date_from": "2024-07-20", "date_to": "2024-05-04"}, "interval": interval}
    assert shown(answer(api, "LifecycleQuery", series=series("order"), **node)["results"]) == [NOTHING] * 4
    for math in ("total", *ACTIVE):
        assert shown(trends(api, math, **node)) == [NOTHING]


def test_hours_of_one_day(api: Api) -> None:
    # The day is there, as with every math, and nobody was active in it.
    dates = {"date_from": "2024-05-05T20:00:00", "date_to": "2024-05-05T02:00:00", "explicitDate": True}
    for math in ("total", "dau", *ACTIVE):
        assert [one["data"] for one in trends(api, math, dateRange=dates)] == [[0]]


@pytest.mark.parametrize("math", ["total", *ACTIVE])
def test_nobody_is_behind_it(api: Api, math: str) -> None:
    source: dict[str, Any] = {"kind": "TrendsQuery", "series": series("order", math=math), "dateRange": RANGES[2]}
    total = {"kind": "InsightActorsQuery", "source": {**source, "trendsFilter": {"display": "BoldNumber"}}}
    assert answer(api, "ActorsQuery", source=total)["results"] == []
    lifecycle = {"kind": "LifecycleQuery", "series": series("order"), "dateRange": RANGES[2]}
    for one, more in ((source, {}), (lifecycle, {"status": "returning"})):
        point = {"kind": "InsightActorsQuery", "source": one, "day": "2024-05-05", **more}
        status, _, detail, attr = refusal(api, "ActorsQuery", source=point)
        # No day is in such a range.
        assert (status, detail, attr) == (400, "The day is not in the range of the query.", "query__source__day")


def test_filters_are_checked_all_the_same(api: Api) -> None:
    wrong = [{"key": "plan", "operator": "sounds_like", "value": "x"}]
    for kind in ("LifecycleQuery", "TrendsQuery"):
        status, _, _, attr = refusal(api, kind, series=series("order"), dateRange=RANGES[2], properties=wrong)
        assert status == 400
        assert str(attr).startswith("query__properties")


@pytest.mark.parametrize("math", ["total", "dau", *ACTIVE])
def test_the_actors_endpoints(api: Api, math: str) -> None:
    entity = {"events": [{"id": "order", "math": math}], "entity_order": 0}
    dates = {"date_from": "2024-05-06", "date_to": "2024-05-04"}
    for path, more in (
        ("/trends/", entity),
        ("/lifecycle/", {"events": [{"id": "order"}], "target_date": "2024-05-05", "lifecycle_type": "returning"}),
    ):
        found = asked(api, path, **more, **dates)
        assert found.status_code == 200, found.content
        assert found.json()["results"] == [{"people": [], "count": 0}]
