"""TrendsQuery over HTTP: shapes, formulas, compared ranges, breakdowns of all kinds, and what is refused."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from tests.core.cohorts.conftest import calculate
from tests.core.insights.asking import Capture, configure
from tests.core.persons.conftest import Api
from tests.core.query.asking import DAY, HOUR, NOON, answer, refusal, sent
from tests.core.query.insights.support import series

pytestmark = pytest.mark.usefixtures("clickhouse")
MAY = {"dateRange": {"date_from": "2024-05-01", "date_to": "2024-05-03"}}
NULL, OTHER = "$$_posthog_breakdown_null_$$", "$$_posthog_breakdown_other_$$"


def trends(api: Api, *names: str | None, shown: dict[str, Any] | None = None, **node: Any) -> list[dict[str, Any]]:
    given = {"series": series(*(names or ("order",))), **MAY, **node}
    found: list[dict[str, Any]] = answer(api, "TrendsQuery", **given, trendsFilter=shown or {})["results"]
    return found


def actors(api: Api, source: dict[str, Any], **point: Any) -> list[str]:
    """Return the ids behind a data point, as ActorsQuery's source gives them."""
    found = answer(api, "InsightActorsQuery", source={"kind": "TrendsQuery", **MAY, **source}, **point)
    return sorted(row[0] for row in found["results"])


@pytest.fixture
def orders(capture: Capture) -> dict[str, str]:
    """Ann orders thrice on 1 May and once on 2 May, Ben on 1 May, Cem on 3 May; there are two views."""
    found = {}
    for who, moment, plan, amount in (
        ("ann", NOON - DAY, "pro", 10), ("ann", NOON - DAY, "pro", 2.5), ("ann", NOON - DAY + HOUR, "free", "x"),
        ("ann", NOON, "pro", 1), ("ben", NOON - DAY, "free", 4), ("cem", NOON + DAY, None, 40),
    ):  # fmt: skip
        properties = {"amount": amount, "$group_0": "acme" if who == "ann" else "zeta"}
        person = capture(who, "order", timestamp=moment, properties={**properties, **({"plan": plan} if plan else {})})
        found[who] = str(person.uuid)
    for who in ("ann", "ben"):
        capture(who, "view", timestamp=NOON, set={"city": who[0]})
    return found


@pytest.mark.usefixtures("orders")
def test_the_shape_of_a_series(api: Api) -> None:
    found = answer(api, "TrendsQuery", series=series("order"), **MAY)
    (item,) = found["results"]
    assert set(item) == {"action", "data", "days", "labels", "count", "label", "filter"}
    assert item["data"] == [4, 1, 1]
    assert item["count"] == 6
    assert item["label"] == "order"
    assert item["days"] == ["2024-05-01", "2024-05-02", "2024-05-03"]
    assert item["labels"] == ["1-May-2024", "2-May-2024", "3-May-2024"]
    assert item["action"] == {
        "days": ["2024-05-01T00:00:00Z", "2024-05-02T00:00:00Z", "2024-05-03T00:00:00Z"],
        "id": "order", "type": "events", "order": 0, "name": "order", "custom_name": None, "math": "total",
        "math_property": None, "math_hogql": None, "math_group_type_index": None, "properties": {},
    }  # fmt: skip
    assert found["hasMore"] is False
    assert found["resolved_date_range"] == {
        "date_from": "2024-05-01T00:00:00Z", "date_to": "2024-05-03T23:59:59.999999Z"
    }  # fmt: skip


@pytest.mark.usefixtures("orders")
def test_hours_in_the_projects_zone_where_clocks_change(api: Api, capture: Capture) -> None:
    configure(api, timezone="Europe/Berlin")
    capture("dia", "late", timestamp=datetime.fromisoformat("2024-03-31T01:30:00+00:00"))
    (item,) = trends(
        api, "late", interval="hour", dateRange={"date_from": "2024-03-31T01:00:00", "date_to": "2024-03-31T04:59:59"}
    )
    # There is no hour from 2 to 3.
    assert item["days"] == ["2024-03-31 01:00:00", "2024-03-31 03:00:00", "2024-03-31 04:00:00"]
    assert item["labels"][1] == "31-Mar-2024 03:00"
    assert item["data"] == [0, 1, 0]


@pytest.mark.usefixtures("orders")
def test_the_project_s_week_start(api: Api) -> None:
    weeks = {"interval": "week", "dateRange": {"date_from": "2024-05-01", "date_to": "2024-05-05"}}
    assert trends(api, **weeks)[0]["days"] == ["2024-04-28", "2024-05-05"]
    configure(api, week_start_day=1)
    assert trends(api, **weeks)[0]["days"] == ["2024-04-29"]


@pytest.mark.usefixtures("orders")
@pytest.mark.parametrize(
    ("display", "math", "expected"),
    [
        ("BoldNumber", "total", 6), ("ActionsTable", "dau", 3), ("WorldMap", "sum", 57.5),
        ("ActionsPie", "avg_count_per_actor", 2), ("ActionsBarValue", "weekly_active", 3),
    ],
)  # fmt: skip
def test_one_number(api: Api, display: str, math: str, expected: float) -> None:
    node = {"series": series("order", math=math, math_property="amount")}
    (item,) = trends(api, shown={"display": display}, **node)
    assert (item["aggregated_value"], item["count"], item["data"], item["days"]) == (expected, 0, [], [])
    if math in {"dau", "weekly_active"}:
        source = {**node, "trendsFilter": {"display": display}}
        assert len(actors(api, source)) == expected


@pytest.mark.usefixtures("orders")
def test_weekly_active_up_to_the_last_day(api: Api) -> None:
    dates = {"dateRange": {"date_from": "2024-04-01", "date_to": "2024-05-08"}}
    node = {"series": series("order", math="weekly_active"), **dates, "trendsFilter": {"display": "BoldNumber"}}
    (item,) = trends(api, shown={"display": "BoldNumber"}, series=node["series"], **dates)
    # Those of 2 to 8 May.
    assert item["aggregated_value"] == 2
    assert len(actors(api, node)) == 2


def test_the_first_moment_of_seven_days(api: Api, capture: Capture) -> None:
    first = datetime.fromisoformat("2024-04-25T00:00:00+00:00")
    capture("ann", "order", timestamp=first)
    capture("ben", "order", timestamp=first - timedelta(microseconds=1))
    node = {"series": series("order", math="weekly_active")}
    (item,) = trends(api, **node)
    assert item["data"] == [1, 0, 0]
    assert [len(actors(api, node, day=day)) for day in item["days"]] == [1, 0, 0]


@pytest.mark.usefixtures("orders")
def test_cumulative_and_smoothed(api: Api) -> None:
    assert trends(api, shown={"display": "ActionsLineGraphCumulative"})[0]["data"] == [4, 5, 6]
    node = {"series": series("order", math="dau")}
    (item,) = trends(api, shown={"display": "ActionsLineGraphCumulative"}, **node)
    assert (item["data"], item["count"]) == ([2, 2, 3], 3)
    source = {**node, "trendsFilter": {"display": "ActionsLineGraphCumulative"}}
    assert [len(actors(api, source, day=day)) for day in item["days"]] == [2, 2, 3]
    assert trends(api, shown={"smoothingIntervals": 2})[0]["data"] == [4, 2, 1]


@pytest.mark.usefixtures("orders")
def test_formulas(api: Api) -> None:
    (one,) = trends(api, "order", "view", shown={"formula": "A / B * 100"})
    assert (one["data"], one["count"], one["label"], one["action"]) == ([0, 50, 0], 50, "Formula (A / B * 100)", None)
    nodes = [{"formula": "A + B", "custom_name": "Both"}, {"formula": "-(A ** 2) % 3"}]
    both, squares = trends(api, "order", "view", shown={"formulaNodes": nodes})
    assert (both["label"], both["data"]) == ("Both", [4, 3, 1])
    assert squares["data"] == [-(4**2) % 3, -1 % 3, -1 % 3]
    (total,) = trends(api, "order", "view", shown={"formulas": ["A - B"], "display": "BoldNumber"})
    assert total["aggregated_value"] == 4
    # A series without a value of the breakdown counts as 0.
    broken = trends(api, "order", "view", shown={"formula": "A - B"}, breakdownFilter={"breakdown": "plan"})
    assert [(one["breakdown_value"], one["data"]) for one in broken] == [
        ("pro", [2, 1, 0]), ("free", [2, 0, 0]), (NULL, [0, -2, 1])
    ]  # fmt: skip


@pytest.mark.usefixtures("orders")
def test_compared_with_the_range_before(api: Api) -> None:
    node = {"dateRange": {"date_from": "2024-05-02", "date_to": "2024-05-03"}, "compareFilter": {"compare": True}}
    current, previous = trends(api, **node)
    assert (current["compare"], current["compare_label"], current["data"]) == (True, "current", [1, 1])
    assert (previous["compare_label"], previous["data"]) == ("previous", [0, 4])
    assert previous["days"] == ["2024-04-30", "2024-05-01"]
    source = {"series": series("order", math="dau"), **node}
    assert len(actors(api, source, day="2024-05-01", compare="previous")) == 2
    _, year = trends(api, **{**node, "compareFilter": {"compare": True, "compare_to": "-1d"}})
    assert (year["days"], year["data"]) == (["2024-05-01", "2024-05-02"], [4, 1])
    formulas = trends(api, "order", "view", **node, shown={"formula": "A + B"})
    assert [(one["compare_label"], one["data"]) for one in formulas] == [("current", [3, 1]), ("previous", [0, 4])]
    assert len(trends(api, **{**node, "compareFilter": {"compare": False}})) == 1


@pytest.mark.usefixtures("orders")
def test_breakdown_with_others(api: Api) -> None:
    broken = {"breakdown": "plan", "breakdown_limit": 1}
    found = answer(api, "TrendsQuery", series=series("order", math="dau"), **MAY, breakdownFilter=broken)
    assert [(one["breakdown_value"], one["label"], one["data"]) for one in found["results"]] == [
        ("pro", "pro", [1, 1, 0]),
        (NULL, NULL, [0, 0, 1]),
        (OTHER, OTHER, [2, 0, 0]),
    ]
    assert found["hasMore"] is True
    source = {"series": series("order", math="dau"), "breakdownFilter": broken}
    for one in found["results"]:
        for day, count in zip(one["days"], one["data"], strict=True):
            assert len(actors(api, source, day=day, breakdown=one["breakdown_value"])) == count
    hidden = answer(
        api, "TrendsQuery", series=series("order"), **MAY,
        breakdownFilter={**broken, "breakdown_hide_other_aggregation": True},
    )  # fmt: skip
    assert [one["breakdown_value"] for one in hidden["results"]] == ["pro", NULL]
    assert hidden["hasMore"] is True
    both = trends(api, "order", "view", breakdownFilter=broken)
    assert {one["label"] for one in both} >= {"order - pro", f"order - {OTHER}", f"view - {NULL}"}


@pytest.mark.usefixtures("orders")
def test_several_breakdowns_of_events_persons_and_groups(api: Api, capture: Capture) -> None:
    capture("g", "$groupidentify", timestamp=NOON, properties={
        "$group_type": "company", "$group_key": "acme", "$group_set": {"size": "big"},
    })  # fmt: skip
    breakdowns = [
        {"property": "plan"}, {"property": "city", "type": "person"},
        {"property": "size", "type": "group", "group_type_index": 0},
    ]  # fmt: skip
    broken = {"breakdownFilter": {"breakdowns": breakdowns}}
    found = trends(api, **broken, shown={"display": "BoldNumber"})
    counts = {tuple(one["breakdown_value"]): one["aggregated_value"] for one in found}
    assert counts == {
        ("pro", "a", "big"): 3,
        ("free", "a", "big"): 1,
        ("free", "b", NULL): 1,
        (NULL, NULL, NULL): 1,
    }
    assert found[0]["label"] == "pro::a::big"
    limited = {"breakdownFilter": {"breakdowns": breakdowns, "breakdown_limit": 2}}
    for node in (broken, limited):
        source = {"series": series("order", math="dau"), **node, "trendsFilter": {"display": "BoldNumber"}}
        for one in trends(api, series=source["series"], **node, shown={"display": "BoldNumber"}):
            assert len(actors(api, source, breakdown=one["breakdown_value"])) == one["aggregated_value"]


@pytest.mark.usefixtures("orders")
def test_histogram(api: Api) -> None:
    broken = {"breakdown": "amount", "breakdown_histogram_bin_count": 2}
    found = trends(api, breakdownFilter=broken, shown={"display": "BoldNumber"})
    counts = {one["breakdown_value"]: one["aggregated_value"] for one in found}
    assert counts == {"[1.0,4.0]": 2, "[4.0,40.01]": 3, NULL: 1}
    source = {
        "series": series("order", math="dau"), "breakdownFilter": broken, "trendsFilter": {"display": "BoldNumber"}
    }  # fmt: skip
    for one in trends(api, series=source["series"], breakdownFilter=broken, shown={"display": "BoldNumber"}):
        assert len(actors(api, source, breakdown=one["breakdown_value"])) == one["aggregated_value"]


def test_normalized_addresses(api: Api, capture: Capture) -> None:
    for who, url in (("ann", "/a"), ("ann", "/a/"), ("ben", "/a?#"), ("cem", "/"), ("dia", "/b.c"), ("eva", "/bxc")):
        capture(who, "order", timestamp=NOON, properties={"url": url})
    broken = {"breakdown": "url", "breakdown_normalize_url": True}
    node = {"series": series("order", math="dau"), "breakdownFilter": broken}
    found = {one["breakdown_value"]: one["count"] for one in trends(api, **node)}
    assert found == {"/a": 2, "/": 1, "/b.c": 1, "/bxc": 1}
    for value, count in found.items():
        assert len(actors(api, node, day="2024-05-02", breakdown=value)) == count


@pytest.mark.usefixtures("orders")
def test_cohorts(api: Api, orders: dict[str, str]) -> None:
    body = {"name": "A city", "filters": {"properties": {"type": "AND", "values": [
        {"type": "AND", "values": [{"key": "city", "type": "person", "value": "a", "operator": "exact"}]}
    ]}}}  # fmt: skip
    made = api.client.post(f"/api/projects/{api.team.id}/cohorts/", body, content_type="application/json").json()
    calculate()
    broken = {"breakdown_type": "cohort", "breakdown": [made["id"], "all"]}
    found = trends(api, breakdownFilter=broken)
    assert [(one["label"], one["breakdown_value"], one["data"]) for one in found] == [
        ("A city", made["id"], [3, 1, 0]), ("all users", "all", [4, 1, 1])
    ]  # fmt: skip
    source = {"series": series("order", math="dau"), "breakdownFilter": broken}
    assert actors(api, source, day="2024-05-01", breakdown=made["id"]) == [orders["ann"]]
    assert len(actors(api, source, day="2024-05-01", breakdown="all")) == 2
    wrong = {"breakdown_type": "cohort", "breakdown": [10**8]}
    assert refusal(api, "TrendsQuery", series=series("order"), **MAY, breakdownFilter=wrong)[0] == 400


@pytest.mark.usefixtures("orders")
def test_actions_groups_filters_and_test_accounts(api: Api, stranger: Api) -> None:
    action = api.client.post(
        f"/api/projects/{api.team.id}/actions/", {"name": "Bought", "steps": [{"event": "order"}, {"event": "view"}]},
        content_type="application/json",
    ).json()["id"]  # fmt: skip
    node = {"kind": "ActionsNode", "id": action, "custom_name": "All"}
    (item,) = trends(api, series=[node])
    assert (item["label"], item["action"]["type"], item["action"]["custom_name"]) == ("Bought", "actions", "All")
    assert item["data"] == [4, 3, 1]
    assert refusal(stranger, "TrendsQuery", series=[node], **MAY)[0] == 400
    pro = [{"key": "plan", "value": "pro"}]
    assert trends(api, series=series("order", properties=pro))[0]["data"] == [2, 1, 0]
    assert trends(api, properties={"type": "AND", "values": [{"type": "OR", "values": pro}]})[0]["count"] == 3
    fixed = [{"key": "amount", "operator": "gt", "value": 5}]
    assert trends(api, series=series("order", properties=pro, fixedProperties=fixed))[0]["count"] == 1
    configure(api, test_account_filters=pro)
    assert [trends(api, filterTestAccounts=flag)[0]["count"] for flag in (True, False)] == [3, 6]
    grouped = series("order", math="unique_group", math_group_type_index=0)
    assert trends(api, series=grouped)[0]["data"] == [2, 1, 1]
    assert trends(stranger)[0]["count"] == 0


def test_sampling(api: Api, capture: Capture) -> None:
    for number in range(60):
        capture(f"p{number}", "order", timestamp=NOON)
    (half,) = trends(api, samplingFactor=0.5)
    assert half["count"] % 2 == 0
    assert 20 < half["count"] < 100
    assert trends(api, samplingFactor=1)[0]["count"] == 60


@pytest.mark.usefixtures("orders")
def test_all_of_time_and_the_default_dates(api: Api, capture: Capture) -> None:
    (item,) = trends(api, dateRange={"date_from": "all", "date_to": "2024-05-03"}, interval="month")
    assert (item["days"], item["data"]) == (["2024-05-01"], [6])
    # Not about midnight.
    with time_machine.travel(datetime.now(UTC).replace(hour=12), tick=True):
        by_default(api, capture)


def by_default(api: Api, capture: Capture) -> None:
    capture("now", "order")
    (item,) = answer(api, "TrendsQuery", series=series("order"))["results"]
    assert (len(item["days"]), item["data"][-1]) == (8, 1)
    (item, before) = answer(
        api, "TrendsQuery", series=series("order"), compareFilter={"compare": True}, dateRange={"date_from": "-7d"}
    )["results"]
    first, other = (datetime.fromisoformat(one["days"][0]) for one in (item, before))
    assert first - other == timedelta(days=7)


def test_strange_texts_find_nothing(api: Api, capture: Capture) -> None:
    key = "a'b\"c\\d.e😀 {p0:String}"
    capture("ann", "order", timestamp=NOON, properties={key: "it's `{x}` \\"})
    (item,) = trends(api, breakdownFilter={"breakdown": key})
    assert item["breakdown_value"] == "it's `{x}` \\"
    source = {"series": series("order"), "breakdownFilter": {"breakdown": key}}
    assert len(actors(api, source, day="2024-05-02", breakdown=item["breakdown_value"])) == 1
    for text in ("\x00", "\ud800", "' OR 1 --"):
        body = {"series": series(text), **MAY, "breakdownFilter": {"breakdown": text or "a"}}
        assert sent(api, {"kind": "TrendsQuery", **body}).status_code in {200, 400}
