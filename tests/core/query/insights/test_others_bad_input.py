"""What the other insights and their actors refuse: a 400 that names the member, for every wrong one."""

from typing import Any

import pytest

from tests.core.persons.conftest import Api
from tests.core.query.asking import refusal
from tests.core.query.insights.support import series

pytestmark = pytest.mark.usefixtures("clickhouse")
MAY = {"dateRange": {"date_from": "2024-05-01", "date_to": "2024-05-04"}}
FUNNELS: list[tuple[dict[str, Any], str]] = [
    ({"series": []}, "at least 1"),
    ({"series": series(*"a" * 21)}, "at most 20"),
    ({"compareFilter": {"compare": True}}, "compare"),
    ({"funnelsFilter": {"funnelVizType": "pie"}}, "Input should be"),
    ({"funnelsFilter": {"funnelWindowInterval": 0}}, "between"),
    ({"funnelsFilter": {"funnelWindowInterval": 10**6}}, "window"),
    ({"funnelsFilter": {"binCount": 1000}}, "between"),
    ({"funnelsFilter": {"funnelOrderType": "random"}}, "Input should be"),
    ({"funnelsFilter": {"x": 1}}, "Extra inputs"),
    ({"funnelsFilter": {"funnelAggregateByHogQL": "count()"}}, "Aggregations"),
    ({"funnelsFilter": {"funnelVizType": "trends", "funnelFromStep": 1, "funnelToStep": 1}}, "after"),
    ({"funnelsFilter": {"funnelVizType": "time_to_convert"}, "series": series("a")}, "one step"),
    ({"funnelsFilter": {"exclusions": [{"kind": "EventsNode", "event": "x"}]}}, "Exclusion"),
    ({"funnelsFilter": {"exclusions": {}}}, ""),
    ({"funnelsFilter": {"exclusions": [7]}}, "object"),
    ({"funnelsFilter": {"breakdownAttributionType": "step"}, "breakdownFilter": {"breakdown": "a"}}, "ttribution"),
    ({"breakdownFilter": {"breakdown": "a", "breakdown_type": "hogql"}}, "Unable to resolve field: a"),
    ({"breakdownFilter": {"breakdown": "a", "breakdown_histogram_bin_count": 4}}, "breakdown_histogram_bin_count"),
    ({"breakdownFilter": {"breakdown": {}}}, ""),
    ({"breakdownFilter": {"breakdowns": [7]}}, "breakdowns"),
    (
        {"interval": "hour", "funnelsFilter": {"funnelVizType": "trends"}, "dateRange": {"date_from": "-2y"}},
        "intervals",
    ),
    ({"series": series("a", "b", optionalInFunnel=True)}, "optionalInFunnel"),
    ({"series": [*series("a"), *series("b", math="first_time_for_user")]}, "query__series__1__math"),
    ({"series": series("a", math="first_time_for_user_with_filters")}, "first_time_for_user_with_filters"),
    ({"funnelsFilter": {"funnelWindowInterval": 400_000_000, "funnelWindowIntervalUnit": "second"}}, "seconds"),
    ({"funnelsFilter": {"funnelWindowIntervalUnit": "seconds"}}, "Input should be"),
]
OTHERS: list[tuple[str, dict[str, Any], str]] = [
    ("RetentionQuery", {}, "Field required"),
    ("RetentionQuery", {"retentionFilter": {"period": "Year"}}, "Input should be"),
    ("RetentionQuery", {"retentionFilter": {"totalIntervals": 10**6}}, "between"),
    ("RetentionQuery", {"retentionFilter": {"cumulative": "yes"}}, "cumulative"),
    *(
        ("RetentionQuery", {"retentionFilter": {"retentionCustomBrackets": brackets}}, part)
        for brackets, part in (
            (3, "list"),
            ([0], "between"),
            ([1001], "between"),
            ([1, None], "valid integer"),
            (["1"], "valid integer"),
            ([1.5], "valid integer"),
            ([1] * 101, "at most 100"),
        )
    ),
    ("RetentionQuery", {"retentionFilter": {"timeWindowMode": "24_hour_windows"}}, "24 hours"),
    ("RetentionQuery", {"retentionFilter": {"aggregationType": "sum"}}, "aggregation"),
    ("RetentionQuery", {"retentionFilter": {"targetEntity": {"id": {}}}}, ""),
    ("RetentionQuery", {"retentionFilter": {"targetEntity": 1}}, "object"),
    ("RetentionQuery", {"retentionFilter": {"targetEntity": {"id": "a", "type": "data_warehouse"}}}, "warehouse"),
    ("RetentionQuery", {"retentionFilter": {}, "dateRange": {"date_to": "x"}}, "date"),
    ("LifecycleQuery", {"series": series("a", "b")}, "at most 1"),
    ("LifecycleQuery", {"series": series("a"), "lifecycleFilter": {"x": 1}}, "Extra"),
    ("LifecycleQuery", {"series": series("a"), "aggregation_group_type_index": 0}, "group"),
    ("LifecycleQuery", {}, "at least 1"),
    ("StickinessQuery", {"series": series("a"), "intervalCount": 0}, "between"),
    ("StickinessQuery", {"series": series("a"), "intervalCount": 10**9}, "between"),
    ("StickinessQuery", {"series": series("a"), "intervalCount": True}, "valid integer"),
    ("StickinessQuery", {"series": series("a", math="sum")}, "sum"),
    *(
        ("StickinessQuery", {"series": series("a"), "stickinessFilter": {"stickinessCriteria": criteria}}, part)
        for criteria, part in (
            ({"operator": "gte"}, "Field required"),
            ({"value": 2}, "Field required"),
            ({"operator": "gt", "value": 2}, "Input should be"),
            ({"operator": "gte", "value": -1}, "between"),
            ({"operator": "gte", "value": 2**40}, "between"),
            ({"operator": "gte", "value": "2"}, "valid integer"),
            ({"operator": "exact", "value": 0}, "greater than 0"),
            ({"operator": "lte", "value": 0}, "greater than 0"),
            ({"operator": "gte", "value": 2, "x": 1}, "Extra"),
            ([1], "object"),
        )
    ),
    ("StickinessQuery", {"series": series("a"), "stickinessFilter": {"computedAs": "x"}}, "Input should be"),
    ("PathsQuery", {}, "Field required"),
    ("PathsQuery", {"pathsFilter": {"includeEventTypes": ["x"]}}, "valid choice"),
    ("PathsQuery", {"pathsFilter": {"stepLimit": 1000}}, "between"),
    ("PathsQuery", {"pathsFilter": {"edgeLimit": 0}}, "between"),
    ("PathsQuery", {"pathsFilter": {"excludeEvents": "x"}}, "list"),
    ("PathsQuery", {"pathsFilter": {"localPathCleaningFilters": [{"regex": "("}]}}, ""),
    ("PathsQuery", {"pathsFilter": {}, "funnelPathsFilter": {}}, "Field required"),
    ("PathsQuery", {"pathsFilter": {}, "aggregation_group_type_index": 1}, "groups"),
    (
        "PathsQuery",
        {
            "pathsFilter": {},
            "funnelPathsFilter": {"funnelPathType": "funnel_path_after_step", "funnelSource": {"kind": "x"}},
        },
        "FunnelsQuery",
    ),
    ("InsightActorsQuery", {}, "Field required"),
    ("InsightActorsQuery", {"source": {"kind": "HogQLQuery"}}, "kind of an insight"),
    ("InsightActorsQuery", {"source": {"kind": "TrendsQuery", "series": series("a")}}, "Field required"),
    ("InsightActorsQuery", {"source": {"kind": "TrendsQuery", "series": series("a")}, "day": "2001-01-01"}, "range"),
    (
        "InsightActorsQuery",
        {"source": {"kind": "TrendsQuery", "series": series("a")}, "day": "2001-01-01", "series": 3},
        "between",
    ),
    (
        "InsightActorsQuery",
        {"source": {"kind": "TrendsQuery", "series": series("a")}, "day": "-1d", "compare": "previous"},
        "compares",
    ),
    (
        "InsightActorsQuery",
        {"source": {"kind": "LifecycleQuery", "series": series("a")}, "day": "-1d", "status": "x"},
        "Input should be",
    ),
    ("InsightActorsQuery", {"source": {"kind": "StickinessQuery", "series": series("a")}, "day": "x"}, "integer"),
    (
        "InsightActorsQuery",
        {"source": {"kind": "StickinessQuery", "series": series("a")}, "day": 1, "operator": "gt"},
        "Input should be",
    ),
    ("InsightActorsQuery", {"source": {"kind": "RetentionQuery", "retentionFilter": {}}, "interval": 8}, "between"),
    ("FunnelsActorsQuery", {"source": {"kind": "TrendsQuery"}}, "FunnelsQuery"),
    ("FunnelsActorsQuery", {"source": {"kind": "FunnelsQuery", "series": series("a", "b")}}, "funnel_step"),
    ("FunnelsActorsQuery", {"source": {"kind": "FunnelsQuery", "series": series("a", "b")}, "funnelStep": 9}, "steps"),
    (
        "FunnelsActorsQuery",
        {"source": {"kind": "FunnelsQuery", "series": series("a", "b")}, "funnelStep": -1},
        "dropoff",
    ),
    *(
        (
            kind,
            {"series": series("a"), "properties": [{"key": "x", "type": "nowhere"}], "pathsFilter": {}}
            if kind != "RetentionQuery"
            else {"retentionFilter": {}, "series": 1},
            "",
        )
        for kind in ("RetentionQuery", "LifecycleQuery", "StickinessQuery")
    ),
]


@pytest.mark.parametrize(("node", "part"), FUNNELS, ids=range(len(FUNNELS)))
def test_bad_funnels(api: Api, node: dict[str, Any], part: str) -> None:
    status, _, detail, attr = refusal(api, "FunnelsQuery", **{"series": series("a", "b"), **MAY, **node})
    assert status == 400, detail
    assert part in detail or part in str(attr), (detail, attr)


@pytest.mark.parametrize(("kind", "node", "part"), OTHERS, ids=range(len(OTHERS)))
def test_bad_questions(api: Api, kind: str, node: dict[str, Any], part: str) -> None:
    status, _, detail, attr = refusal(api, kind, **node)
    assert status == 400, detail
    assert part in detail or part in str(attr), (detail, attr)
