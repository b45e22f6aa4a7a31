"""FunnelsQuery, RetentionQuery, LifecycleQuery, StickinessQuery and PathsQuery over HTTP: shapes, end to end."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.core.cohorts.conftest import calculate
from tests.core.insights.asking import Capture, configure
from tests.core.persons.conftest import Api
from tests.core.query.asking import DAY, HOUR, NOON, answer, column, sent
from tests.core.query.insights.support import series

pytestmark = pytest.mark.usefixtures("clickhouse")
MAY = {"dateRange": {"date_from": "2024-05-01", "date_to": "2024-05-04"}}
AN_A = {"id": "a", "type": "events"}
RETENTION = {"retentionFilter": {"targetEntity": AN_A, "returningEntity": AN_A, "totalIntervals": 3},
             "dateRange": {"date_to": "2024-05-03"}}  # fmt: skip


@pytest.fixture
def shop(capture: Capture) -> None:
    """Ann does a, b after an hour and c after three; Ben a and b after three hours; Cem a alone, a day later again."""
    for who, moves in (
        ("ann", (("a", 0), ("b", 1), ("c", 3))), ("ben", (("a", 0), ("b", 3))), ("cem", (("a", 0), ("a", 24))),
    ):  # fmt: skip
        for name, hours in moves:
            capture(
                who, name, timestamp=NOON - DAY + HOUR * hours, properties={"plan": "pro" if who == "ann" else "free"}
            )


def funnel(api: Api, *names: str, **node: Any) -> Any:
    return answer(api, "FunnelsQuery", series=series(*names), **{**MAY, **node})["results"]


@pytest.mark.usefixtures("shop")
def test_steps_of_a_funnel(api: Api) -> None:
    first, second, third = funnel(api, "a", "b", "c")
    assert set(first) == {
        "action_id", "name", "custom_name", "order", "type", "people", "count", "average_conversion_time",
        "median_conversion_time", "converted_people_url", "dropped_people_url",
    }  # fmt: skip
    assert [one["count"] for one in (first, second, third)] == [3, 2, 1]
    assert (first["action_id"], first["name"], first["type"], first["order"]) == ("a", "a", "events", 0)
    assert (first["average_conversion_time"], first["median_conversion_time"]) == (None, None)
    assert (second["average_conversion_time"], third["average_conversion_time"]) == (7200, 7200)
    unordered = funnel(api, "b", "a", funnelsFilter={"funnelOrderType": "unordered"})
    assert [(one["name"], one["action_id"], one["count"]) for one in unordered] == [
        ("Completed 1 step", None, 3), ("Completed 2 steps", None, 2)
    ]  # fmt: skip
    assert [one["count"] for one in funnel(api, "nothing", "b")] == [0, 0]


@pytest.mark.usefixtures("shop")
def test_funnels_by_value_window_exclusion_and_action(api: Api) -> None:
    pro, free = sorted(funnel(api, "a", "b", breakdownFilter={"breakdown": "plan"}), key=lambda one: one[0]["count"])
    assert [(one["breakdown"], one["breakdown_value"], one["count"]) for one in pro] == [(["pro"], ["pro"], 1)] * 2
    assert [one["count"] for one in free] == [2, 1]
    short = {"funnelWindowInterval": 2, "funnelWindowIntervalUnit": "hour"}
    assert [one["count"] for one in funnel(api, "a", "b", funnelsFilter=short)] == [3, 1]
    excluded = [{"kind": "EventsNode", "event": "b", "funnelFromStep": 0, "funnelToStep": 1}]
    assert [one["count"] for one in funnel(api, "a", "c", funnelsFilter={"exclusions": excluded})] == [1, 0]
    action = api.client.post(
        f"/api/projects/{api.team.id}/actions/", {"name": "Any b", "steps": [{"event": "b"}]},
        content_type="application/json",
    ).json()["id"]  # fmt: skip
    steps = [*series("a"), {"kind": "ActionsNode", "id": action, "custom_name": "B!"}]
    last = answer(api, "FunnelsQuery", series=steps, **MAY)["results"][1]
    assert (last["action_id"], last["name"], last["custom_name"], last["type"], last["count"]) == (
        action, "Any b", "B!", "actions", 2
    )  # fmt: skip


@pytest.mark.parametrize("number", [0, "0", "all", [0]])
@pytest.mark.parametrize("shown", ["steps", "trends"])
def test_funnels_by_cohorts_and_everybody(api: Api, capture: Capture, shown: str, number: object) -> None:
    persons = [str(capture(who, "a", timestamp=NOON, set={"plan": who}).uuid) for who in ("ann", "ben")]
    body = {"name": "Anns", "filters": {"properties": {"type": "AND", "values": [
        {"type": "person", "key": "plan", "value": "ann"}
    ]}}}  # fmt: skip
    made = api.client.post(f"/api/projects/{api.team.id}/cohorts/", body, content_type="application/json").json()["id"]
    calculate()
    node = {
        "series": series("a", "b"), **MAY, "funnelsFilter": {"funnelVizType": shown},
        "breakdownFilter": {"breakdown_type": "cohort", "breakdown": [made, "all"]},
    }  # fmt: skip
    found = answer(api, "FunnelsQuery", **node)["results"]
    values = [one[0] if shown == "steps" else one for one in found]
    assert {one["breakdown_value"]: one["breakdown"] for one in values} == {0: "all users", made: "Anns"}
    point = {"source": {"kind": "FunnelsQuery", **node}, "funnelStepBreakdown": number}
    if shown == "steps":
        point["funnelStep"] = 1
    else:
        point |= {"funnelTrendsDropOff": True, "funnelTrendsEntrancePeriodStart": "2024-05-02"}
    assert sorted(column(answer(api, "FunnelsActorsQuery", **point))) == sorted(persons)
    point["funnelStepBreakdown"] = made
    assert column(answer(api, "FunnelsActorsQuery", **point)) == persons[:1]


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(("seconds", "expected"), [(3599, [3, 0]), (3600, [3, 1]), (10800, [3, 2])])
def test_a_window_of_seconds(api: Api, seconds: int, expected: list[int]) -> None:
    window = {"funnelWindowInterval": seconds, "funnelWindowIntervalUnit": "second"}
    assert [one["count"] for one in funnel(api, "a", "b", funnelsFilter=window)] == expected


@pytest.mark.usefixtures("shop")
def test_time_to_convert_and_conversion_over_time(api: Api) -> None:
    found = funnel(api, "a", "b", funnelsFilter={"funnelVizType": "time_to_convert", "binCount": 2})
    assert found == {
        "bins": [[3600, 1], [7200, 0], [10800, 1]], "average_conversion_time": 7200, "median_conversion_time": 7200
    }  # fmt: skip
    (item,) = funnel(api, "a", "b", funnelsFilter={"funnelVizType": "trends"})
    assert item == {
        "count": 4, "data": [66.67, 0, 0, 0],
        "days": ["2024-05-01", "2024-05-02", "2024-05-03", "2024-05-04"],
        "labels": ["1-May-2024", "2-May-2024", "3-May-2024", "4-May-2024"],
    }  # fmt: skip
    drop = {"funnelVizType": "trends", "funnelFromStep": 1, "funnelToStep": 2}
    assert funnel(api, "a", "b", "c", funnelsFilter=drop)[0]["data"] == [50, 0, 0, 0]


@pytest.mark.usefixtures("shop")
def test_retention(api: Api) -> None:
    found = answer(api, "RetentionQuery", **RETENTION)["results"]
    assert found == [
        {
            "date": "2024-05-01T00:00:00Z", "label": "Day 0",
            "values": [{"count": 3, "label": "Day 0"}, {"count": 1, "label": "Day 1"}, {"count": 0, "label": "Day 2"}],
        },
        {
            "date": "2024-05-02T00:00:00Z", "label": "Day 1",
            "values": [{"count": 1, "label": "Day 0"}, {"count": 0, "label": "Day 1"}, {"count": 0, "label": "Day 2"}],
        },
        {
            "date": "2024-05-03T00:00:00Z", "label": "Day 2",
            "values": [{"count": 0, "label": "Day 0"}, {"count": 0, "label": "Day 1"}, {"count": 0, "label": "Day 2"}],
        },
    ]  # fmt: skip
    assert len(answer(api, "RetentionQuery", retentionFilter={})["results"]) == 8
    months = {"retentionFilter": {"period": "Month", "totalIntervals": 2}, "dateRange": {"date_to": "2024-05-31"}}
    assert [one["date"] for one in answer(api, "RetentionQuery", **months)["results"]] == [
        "2024-04-01T00:00:00Z", "2024-05-01T00:00:00Z"
    ]  # fmt: skip


def test_retention_returns_by_pageviews_unless_told(api: Api, capture: Capture) -> None:
    for day, name in enumerate(("a", "a", "$pageview")):
        capture("ann", name, timestamp=NOON + DAY * (day - 1))

    def first_row(**returning: Any) -> list[float]:
        node = {**RETENTION, "retentionFilter": {"targetEntity": AN_A, "totalIntervals": 3, **returning}}
        found = answer(api, "RetentionQuery", **node)["results"][0]
        return [one["count"] for one in found["values"]]

    assert first_row() == first_row(returningEntity=None) == [1, 0, 1]
    assert first_row(returningEntity=AN_A) == [1, 1, 0]


@pytest.mark.parametrize("kind", ["retention_recurring", "retention_first_time"])
@pytest.mark.parametrize(
    ("period", "date_to", "date"),
    [("Month", "2024-06-20", "2024-05-01T00:00:00Z"), ("Hour", "2024-05-02T13:40:00Z", "2024-05-02T12:00:00Z")],
)
def test_the_first_period_is_whole(api: Api, capture: Capture, period: str, date_to: str, date: str, kind: str) -> None:
    for moment in (NOON, NOON + HOUR, NOON + DAY * 30):
        capture("ann", "a", timestamp=moment)
    filters = {"targetEntity": AN_A, "returningEntity": AN_A, "totalIntervals": 2, "period": period}
    node = {"retentionFilter": {**filters, "retentionType": kind}, "dateRange": {"date_to": date_to}}
    first = answer(api, "RetentionQuery", **node)["results"][0]
    assert (first["date"], [one["count"] for one in first["values"]]) == (date, [1, 1])
    source = {"kind": "RetentionQuery", **node}
    assert len(answer(api, "InsightActorsQuery", source=source, interval=0)["results"]) == 1


@pytest.mark.parametrize("cumulative", [False, True])
def test_rows_are_the_periods_of_the_range(api: Api, capture: Capture, *, cumulative: bool) -> None:
    first = datetime(2023, 12, 31, 12, tzinfo=UTC)
    for week in (0, 3, 4, 13):
        capture("ann", "a", timestamp=first + DAY * 7 * week)
    filters = {"targetEntity": AN_A, "returningEntity": AN_A, "period": "Week", "totalIntervals": 4}
    dates = {"date_from": "2024-01-01", "date_to": "2024-03-31"}
    node = {"retentionFilter": {**filters, "cumulative": cumulative}, "dateRange": dates}
    answered = answer(api, "RetentionQuery", **node)
    found = answered["results"]
    assert answered["resolved_date_range"] == {"date_from": "2023-12-31T00:00:00Z", "date_to": "2024-04-07T00:00:00Z"}
    starts = [first.replace(hour=0) + DAY * 7 * week for week in range(14)]
    assert [(one["date"], one["label"]) for one in found] == [
        (start.isoformat().replace("+00:00", "Z"), f"Week {row}") for row, start in enumerate(starts)
    ]
    counts = {row: [value["count"] for value in one["values"]] for row, one in enumerate(found)}
    assert {row: values for row, values in counts.items() if any(values)} == {
        0: [1, 1, 1, 1] if cumulative else [1, 0, 0, 1], 3: [1, 1, 0, 0], 4: [1, 0, 0, 0], 13: [1, 0, 0, 0],
    }  # fmt: skip
    assert {len(values) for values in counts.values()} == {4}
    source = {"kind": "RetentionQuery", **node}
    for row, listed in ((0, [0, 3]), (3, [0, 1]), (13, [0])):
        of_row = answer(api, "InsightActorsQuery", source=source, interval=row)
        assert of_row["columns"] == ["actor_id", "appearances", *(f"week_{number}" for number in range(4))]
        assert column(of_row, 1) == [listed]
    assert sent(api, {"kind": "InsightActorsQuery", "source": source, "interval": 14}).status_code == 400


@pytest.mark.usefixtures("shop")
def test_a_range_of_retention_that_ends_before_it_begins(api: Api) -> None:
    node = {**RETENTION, "dateRange": {"date_from": "2024-05-05", "date_to": "2024-05-03"}}
    for by in ({}, {"breakdownFilter": {"breakdown": "plan", "breakdown_type": "event"}}):
        assert answer(api, "RetentionQuery", **node, **by)["results"] == []
        source = {"kind": "RetentionQuery", **node, **by}
        assert answer(api, "InsightActorsQuery", source=source, interval=0)["results"] == []


@pytest.mark.usefixtures("shop")
def test_lifecycle(api: Api) -> None:
    found = answer(api, "LifecycleQuery", series=series("a"), **MAY)["results"]
    assert [(one["status"], one["label"], one["data"], one["count"]) for one in found] == [
        ("new", "a - new", [3, 0, 0, 0], 3), ("returning", "a - returning", [0, 1, 0, 0], 1),
        ("resurrecting", "a - resurrecting", [0, 0, 0, 0], 0), ("dormant", "a - dormant", [0, -2, -1, 0], -3),
    ]  # fmt: skip
    assert found[0]["action"] == {"id": "a", "name": "a", "type": "events", "order": 0, "math": "total"}
    assert (found[0]["days"][0], found[0]["labels"][0]) == ("2024-05-01", "1-May-2024")


def test_lifecycle_of_those_with_a_profile(api: Api, capture: Capture) -> None:
    for who, profile in (("ann", {}), ("ben", False), ("cem", "false"), ("dia", True), ("eva", False)):
        properties = profile if isinstance(profile, dict) else {"$process_person_profile": profile}
        capture(who, "a", timestamp=NOON, properties=properties)
    eva = capture("eva", "a", timestamp=NOON + DAY)
    node = {"series": series("a"), **MAY}
    found = answer(api, "LifecycleQuery", **node)["results"]
    assert [(one["status"], one["data"]) for one in found] == [
        ("new", [0, 2, 0, 0]), ("returning", [0, 0, 0, 0]), ("resurrecting", [0, 0, 1, 0]), ("dormant", [0, 0, -2, -1])
    ]  # fmt: skip
    point = {"source": {"kind": "LifecycleQuery", **node}, "day": "2024-05-02", "status": "new"}
    assert len(column(answer(api, "InsightActorsQuery", **point))) == 2
    point |= {"day": "2024-05-03", "status": "resurrecting"}
    assert column(answer(api, "InsightActorsQuery", **point)) == [str(eva.uuid)]


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(("week_start", "weeks"), [(0, ["2024-04-28", "2024-05-05"]), (1, ["2024-04-29"])])
def test_lifecycle_by_the_weeks_of_the_project(api: Api, week_start: int, weeks: list[str]) -> None:
    configure(api, week_start_day=week_start)
    node = {
        "interval": "week",
        "series": series("a"),
        "dateRange": {"date_from": "2024-05-01", "date_to": "2024-05-05"},
    }
    found = answer(api, "LifecycleQuery", **node)["results"]
    assert [one["days"] for one in found] == [weeks] * 4
    assert sum(found[0]["data"]) == 3
    for day, count in zip(weeks, found[3]["data"], strict=True):
        point = {"source": {"kind": "LifecycleQuery", **node}, "day": day, "status": "dormant"}
        assert len(column(answer(api, "InsightActorsQuery", **point))) == -count


@pytest.mark.usefixtures("shop")
def test_stickiness(api: Api) -> None:
    found = answer(api, "StickinessQuery", series=series("a", None), **MAY, compareFilter={"compare": True})["results"]
    assert [(one["label"], one["compare_label"], one["data"]) for one in found] == [
        ("a", "current", [2, 1, 0, 0]), ("All events", "current", [2, 1, 0, 0]),
        ("a", "previous", [0, 0, 0, 0]), ("All events", "previous", [0, 0, 0, 0]),
    ]  # fmt: skip
    assert found[0]["labels"] == ["1 day", "2 days", "3 days", "4 days"]
    assert (found[0]["days"], found[0]["count"]) == ([1, 2, 3, 4], 3)
    assert found[0]["action"] == {"order": 0, "type": "events", "name": "a", "id": "a"}


@pytest.mark.parametrize(("math", "expected"), [("unique_group", [1, 1]), ("dau", [2, 1]), ("total", [2, 1])])
def test_stickiness_of_groups_where_groups_are_counted(
    api: Api, capture: Capture, math: str, expected: list[int]
) -> None:
    acme = {"$group_0": "acme"}
    for who, day, properties in (("ann", 0, acme), ("ben", 1, acme), ("cem", 0, {"$group_0": "zeta"}), ("cem", 1, {})):
        capture(who, "a", timestamp=NOON - DAY + DAY * day, properties=properties)
    node = {"series": series("a", math=math, math_group_type_index=0), **MAY}
    (found,) = answer(api, "StickinessQuery", **node)["results"]
    assert found["data"] == [*expected, 0, 0]
    point = {"source": {"kind": "StickinessQuery", **node}, "day": 2}
    persons = str(capture("cem").uuid)
    assert column(answer(api, "InsightActorsQuery", **point)) == ["acme" if math == "unique_group" else persons]


def test_paths_and_paths_of_a_funnel(api: Api, capture: Capture) -> None:
    for who, names in (("ann", "abc"), ("ben", "ab"), ("cem", "b")):
        for place, name in enumerate(names):
            capture(who, name, timestamp=NOON + timedelta(minutes=place))
    found = answer(api, "PathsQuery", pathsFilter={}, **MAY)["results"]
    assert found == [
        {"source": "1_a", "target": "2_b", "value": 2, "average_conversion_time": 60000},
        {"source": "2_b", "target": "3_c", "value": 1, "average_conversion_time": 60000},
    ]
    assert len(answer(api, "PathsQuery", pathsFilter={"edgeLimit": 1}, **MAY)["results"]) == 1
    assert len(answer(api, "PathsQuery", pathsFilter={"maxEdgeWeight": 1}, **MAY)["results"]) == 0
    of_funnel = {
        "funnelPathType": "funnel_path_after_step", "funnelStep": 2,
        "funnelSource": {"kind": "FunnelsQuery", "series": series("a", "b"), **MAY},
    }  # fmt: skip
    after = answer(api, "PathsQuery", pathsFilter={}, funnelPathsFilter=of_funnel, **MAY)["results"]
    assert [(one["source"], one["target"]) for one in after] == [("1_b", "2_c")]


def test_what_is_left_out_between_two_points(api: Api, capture: Capture) -> None:
    """The ellipsis happens when the item before it did."""
    for place, name in enumerate("abcdef"):
        capture("ann", name, timestamp=NOON + timedelta(minutes=place))
    found = answer(api, "PathsQuery", pathsFilter={"startPoint": "a", "endPoint": "f", "stepLimit": 4}, **MAY)
    assert [(one["source"], one["target"], one["average_conversion_time"]) for one in found["results"]] == [
        ("1_a", "2_b", 60000),
        ("2_b", "3_...", 0),
        ("3_...", "4_e", 180000),
        ("4_e", "5_f", 60000),
    ]


@pytest.mark.usefixtures("shop")
def test_actors_query_over_a_data_point(api: Api) -> None:
    source = {"kind": "TrendsQuery", "series": series("a", math="dau"), **MAY}
    point = {"kind": "InsightActorsQuery", "source": source, "day": "2024-05-02"}
    found = sent(api, {"kind": "ActorsQuery", "select": ["actor"], "source": point})
    assert found.status_code == 200, found.content
    assert [row[0]["distinct_ids"] for row in found.json()["results"]] == [["cem"]]
    dropped = {"kind": "FunnelsActorsQuery", "funnelStep": -2,
               "source": {"kind": "FunnelsQuery", "series": series("a", "b"), **MAY}}  # fmt: skip
    found = sent(api, {"kind": "ActorsQuery", "select": ["actor"], "source": dropped})
    assert [row[0]["distinct_ids"] for row in found.json()["results"]] == [["cem"]]
