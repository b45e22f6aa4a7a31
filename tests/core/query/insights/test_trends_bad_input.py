"""What TrendsQuery refuses: a 400 that names the member, for every wrong one."""

from typing import Any

import pytest

from tests.core.persons.conftest import Api
from tests.core.query.asking import refusal
from tests.core.query.insights.support import series

pytestmark = pytest.mark.usefixtures("clickhouse")
MAY = {"dateRange": {"date_from": "2024-05-01", "date_to": "2024-05-03"}}
BAD: list[tuple[dict[str, Any], str]] = [
    ({"series": []}, "series"),
    ({"series": None}, "series"),
    ({"series": {}}, "series"),
    ({"series": [1]}, "series"),
    ({"series": series(*["a"] * 27)}, "at most 26"),
    ({"series": [{"kind": "Node"}]}, "EventsNode"),
    ({"series": [{"kind": "DataWarehouseNode", "id": "x"}]}, "DataWarehouseNode"),
    ({"series": [{"kind": "ActionsNode"}]}, "Field required"),
    ({"series": [{"kind": "ActionsNode", "id": 10**9}]}, "1000000000"),
    ({"series": [{"kind": "ActionsNode", "id": "x"}]}, "integer"),
    ({"series": series("a", evnt=1)}, "Extra inputs"),
    ({"series": series("a", math="maths")}, "math"),
    ({"series": series("a", math="hogql")}, "math_hogql"),
    ({"series": series("a", math="hogql", math_hogql=7)}, "string"),
    ({"series": series("a", math="hogql", math_hogql="event")}, "inside of an aggregation"),
    ({"series": series("a", math="sum")}, "required"),
    ({"series": series("a", math="unique_group")}, "required"),
    (
        {"series": [*series("a"), *series("a", math="avg", math_property="$session_duration")]},
        "query__series__1__math_property",
    ),
    (
        {"series": series("a", math="p90", math_property="$session_duration", math_property_type="event_properties")},
        "maths of sessions",
    ),
    ({"series": series("a", math_hogql=["count()"])}, "string"),
    ({"series": series("a", math_group_type_index=7)}, "0 and 4"),
    ({"series": series("a", properties=7)}, "list"),
    ({"series": series("a" * 500)}, "400"),
    ({"series": series(7)}, "string"),
    ({"interval": "minute"}, "interval minute"),
    ({"interval": "year"}, "interval"),
    ({"interval": 7}, "string"),
    ({"dateRange": "today"}, "object"),
    ({"dateRange": {"date_from": "yesterdayish"}}, "date"),
    ({"dateRange": {"date_from": 7}}, "string"),
    ({"dateRange": {"from": "-7d"}}, "Extra inputs"),
    ({"dateRange": {"date_from": "2024-05-01T99:00"}}, "date"),
    ({"dateRange": {"date_from": "2010-01-01", "date_to": "2024-01-01"}, "interval": "hour"}, "intervals"),
    ({"dateRange": {"date_from": "-999999999y"}}, "date"),
    (
        {
            "dateRange": {"date_from": "2022-01-01", "date_to": "2024-01-01"},
            "breakdownFilter": {"breakdown": "a"},
            "series": series("a", "b"),
        },
        "data points",
    ),
    ({"trendsFilter": {"display": "BoxPlot"}}, "BoxPlot"),
    ({"trendsFilter": {"display": "Fancy"}}, "Input should be"),
    ({"trendsFilter": {"smoothingIntervals": 0}}, "between"),
    ({"trendsFilter": {"fomula": "A"}}, "Extra inputs"),
    ({"trendsFilter": []}, "object"),
    *(
        ({"trendsFilter": {"formula": formula}}, "formula")
        for formula in (
            "A +",
            "__import__('os')",
            "A.real",
            "[A]",
            "A if A else A",
            "lambda: A",
            "A\x00",
            "1" * 501,
            "(" * 400 + "A",
            "A @ A",
            "'a' * 9",
            "A == A",
            "1j",
            "1e400",
        )
    ),
    ({"trendsFilter": {"formula": "A / B"}}, "series B"),
    ({"trendsFilter": {"formulas": ["A"] * 21}}, "at most 20"),
    ({"breakdownFilter": {"breakdown": "a", "breakdown_type": "hogql"}}, "Unable to resolve field: a"),
    ({"breakdownFilter": {"breakdown": "a", "breakdown_type": "element"}}, "element"),
    ({"breakdownFilter": {"breakdown": "a", "breakdown_type": "group"}}, "Field required"),
    ({"breakdownFilter": {"breakdown": "a", "breakdown_limit": 0}}, "between"),
    ({"breakdownFilter": {"breakdown": ["a", "b"]}}, "breakdowns"),
    ({"breakdownFilter": {"breakdown": {"a": 1}}}, "string"),
    ({"breakdownFilter": {"breakdowns": [{"property": "a"}] * 4}}, "at most 3"),
    ({"breakdownFilter": {"breakdowns": ["a"]}}, "object"),
    ({"breakdownFilter": {"breakdown": "x", "breakdown_type": "cohort"}}, "cohort"),
    ({"breakdownFilter": {"breakdown": list(range(1, 40)), "breakdown_type": "cohort"}}, "at most 25"),
    ({"breakdownFilter": {"breakdown": "a", "breakdown_histogram_bin_count": 10**6}}, "between"),
    ({"compareFilter": {"compare": "yes"}}, "boolean"),
    ({"compareFilter": {"compare": True, "compare_to": "soon"}}, "relative"),
    ({"compareFilter": {"compare": True, "compare_to": "-999999y"}}, "range"),
    ({"samplingFactor": 3}, "ampling"),
    ({"samplingFactor": "x"}, "number"),
    ({"properties": "x"}, "list"),
    ({"properties": [{"key": "a", "operator": "sounds_like", "value": 1}]}, "operator"),
    ({"conversionGoal": {"actionId": 1}}, "conversionGoal"),
    ({"filterTestAccounts": "x"}, "boolean"),
    ({"serie": []}, "Extra inputs"),
    ({"aggregation_group_type_index": 9}, "0 and 4"),
]


@pytest.mark.parametrize(("node", "part"), BAD, ids=range(len(BAD)))
def test_bad_questions(api: Api, node: dict[str, Any], part: str) -> None:
    status, _, detail, attr = refusal(api, "TrendsQuery", **{"series": series("order"), **MAY, **node})
    assert status == 400, detail
    assert part in detail or part in str(attr), (detail, attr)
