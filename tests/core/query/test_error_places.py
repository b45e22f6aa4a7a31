"""`attr` of an error leads to the place in the body that is wrong, and HogQL's position is in the text there."""

from typing import Any

import pytest

from core.query.places import part_of
from tests.core.http import parsed
from tests.core.persons.conftest import Api
from tests.core.query.asking import sent
from tests.core.query.insights.support import series

pytestmark = pytest.mark.usefixtures("clickhouse")

MAY = {"dateRange": {"date_from": "2024-05-01", "date_to": "2024-05-03"}}
TEXT = "'ü' != 'x' and nosuch = 1"
RIGHT = {"key": "a", "value": "b", "type": "event"}
WRONG = {"key": TEXT, "type": "hogql"}
AND = {"type": "AND", "values": [RIGHT]}
TRENDS: dict[str, Any] = {"kind": "TrendsQuery", "series": series("a"), **MAY}
FUNNEL: dict[str, Any] = {"kind": "FunnelsQuery", "series": series("a", "b"), **MAY}
RETENTION = {"kind": "RetentionQuery", "retentionFilter": {}}
PATHS: dict[str, Any] = {"kind": "PathsQuery", "pathsFilter": {}, **MAY}
EVENTS: dict[str, Any] = {"kind": "EventsQuery", "select": ["event"], "after": "all"}
EXCLUSION = {**series("c")[0], "funnelFromStep": 0, "funnelToStep": 1}
BAD_STEP = {"kind": "FunnelsActorsQuery", "source": FUNNEL, "funnelStep": 7}
LATE = {"dateRange": {"date_from": "nodate"}}


def shown(node: dict[str, Any], kind: str = "InsightVizNode") -> dict[str, Any]:
    return {"kind": kind, "source": node}


def of(node: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"kind": "InsightActorsQuery", "source": node, **more}


def listed(node: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "ActorsQuery", "source": node}


@pytest.mark.parametrize(
    ("node", "attr"),
    [
        *(
            ({**node, "properties": [RIGHT, WRONG]}, "query__properties__1__key")
            for node in (
                TRENDS, FUNNEL, RETENTION, PATHS, {**TRENDS, "kind": "StickinessQuery"},
                {**TRENDS, "kind": "LifecycleQuery"},
            )
        ),
        ({**TRENDS, "properties": {"type": "AND", "values": [AND, {"type": "OR", "values": [WRONG]}]}},
         "query__properties__values__1__values__0__key"),
        ({**TRENDS, "series": series("a", "b", properties=[WRONG])}, "query__series__0__properties__0__key"),
        ({**TRENDS, "series": [*series("a"), *series("b", fixedProperties=[WRONG])]},
         "query__series__1__fixedProperties__0__key"),
        ({**TRENDS, "series": series("a", properties=[RIGHT], fixedProperties=[RIGHT, WRONG])},
         "query__series__0__fixedProperties__1__key"),
        ({**TRENDS, "series": series("a", properties=[RIGHT, WRONG], fixedProperties=[RIGHT])},
         "query__series__0__properties__1__key"),
        ({**TRENDS, "series": series("a", properties=[RIGHT], fixedProperties={"type": "OR", "values": [WRONG]})},
         "query__series__0__fixedProperties__values__0__key"),
        ({**FUNNEL, "funnelsFilter": {"exclusions": [{**EXCLUSION, "properties": [WRONG]}]}},
         "query__funnelsFilter__exclusions__0__properties__0__key"),
        ({**FUNNEL, "breakdownFilter": {"breakdown": TEXT, "breakdown_type": "hogql"}},
         "query__breakdownFilter__breakdown"),
        ({**RETENTION, "retentionFilter": {"targetEntity": {"id": "a", "properties": [WRONG]}}},
         "query__retentionFilter__targetEntity__properties__0__key"),
        ({**RETENTION, "retentionFilter": {"returningEntity": {"id": "a", "properties": [RIGHT, WRONG]}}},
         "query__retentionFilter__returningEntity__properties__1__key"),
        ({**PATHS, "pathsFilter": {"includeEventTypes": ["hogql"], "pathsHogQLExpression": TEXT}},
         "query__pathsFilter__pathsHogQLExpression"),
        ({**PATHS, "funnelPathsFilter": {"funnelPathType": "funnel_path_after_step", "funnelStep": 1, "funnelSource": {
            **FUNNEL, "properties": [WRONG]}}}, "query__funnelPathsFilter__funnelSource__properties__0__key"),
        (shown({**TRENDS, "properties": [WRONG]}), "query__source__properties__0__key"),
        (of({**TRENDS, "properties": [WRONG]}), "query__source__properties__0__key"),
        (listed(of({**TRENDS, "properties": [WRONG]})), "query__source__source__properties__0__key"),
        (shown(listed(of({**TRENDS, "series": series("a", properties=[WRONG])})), "DataTableNode"),
         "query__source__source__source__series__0__properties__0__key"),
        ({**EVENTS, "select": ["event", TEXT]}, "query__select__1"),
        ({**EVENTS, "where": ["1 = 1", TEXT]}, "query__where__1"),
        ({**EVENTS, "orderBy": ["event", TEXT]}, "query__orderBy__1"),
        ({**EVENTS, "properties": [RIGHT, WRONG]}, "query__properties__1__key"),
        (shown({**EVENTS, "select": [TEXT]}, "DataTableNode"), "query__source__select__0"),
        ({"kind": "ActorsQuery", "select": ["id", TEXT]}, "query__select__1"),
        ({"kind": "ActorsQuery", "select": ["id"], "orderBy": [TEXT]}, "query__orderBy__0"),
    ],
)  # fmt: skip
def test_the_hogql_that_is_wrong(api: Api, node: dict[str, Any], attr: str) -> None:
    check(sent(api, node), attr)


@pytest.mark.parametrize(
    ("node", "override", "attr"),
    [
        (TRENDS, {"properties": [RIGHT, WRONG]}, "filters_override__properties__1__key"),
        ({**TRENDS, "properties": [RIGHT]}, {"properties": [RIGHT, WRONG]}, "filters_override__properties__1__key"),
        ({**TRENDS, "properties": [RIGHT, WRONG]}, {"properties": [RIGHT]}, "query__properties__1__key"),
        ({**TRENDS, "properties": AND}, {"properties": [WRONG]}, "filters_override__properties__0__key"),
        ({**TRENDS, "properties": [RIGHT, WRONG]}, {"properties": AND}, "query__properties__1__key"),
        ({**TRENDS, "properties": {"type": "AND", "values": [WRONG]}}, {"properties": [RIGHT]},
         "query__properties__values__0__key"),
        (shown(TRENDS), {"properties": [WRONG]}, "filters_override__properties__0__key"),
        (shown({**TRENDS, "properties": [WRONG]}), {"properties": [RIGHT]}, "query__source__properties__0__key"),
        (shown(listed(of(TRENDS))), {"properties": [WRONG]}, "filters_override__properties__0__key"),
        ({**listed(of(TRENDS, day="2024-05-01")), "properties": [WRONG]}, {"properties": [RIGHT]},
         "query__properties__0__key"),
        (EVENTS, {"properties": [WRONG]}, "filters_override__properties__0__key"),
        ({"kind": "HogQLQuery", "query": "select 1 from events where {filters}"}, {"properties": [WRONG]},
         "filters_override__properties__0__key"),
        ({**listed({"kind": "HogQLQuery", "query": "select person_id from events where {filters}"}),
          "properties": [WRONG]}, {"properties": [RIGHT]}, "query__properties__0__key"),
        (listed({"kind": "HogQLQuery", "query": "select person_id from events where {filters}"}),
         {"properties": [WRONG]}, "filters_override__properties__0__key"),
        (TRENDS, {"breakdown_filter": {"breakdown": TEXT, "breakdown_type": "hogql"}},
         "filters_override__breakdown_filter__breakdown"),
    ],
)  # fmt: skip
def test_of_filters_of_a_dashboard(api: Api, node: dict[str, Any], override: dict[str, Any], attr: str) -> None:
    check(sent(api, node, filters_override=override), attr)


def check(response: Any, attr: str) -> None:
    body = parsed(response)
    assert (response.status_code, body["code"], body["attr"]) == (400, "invalid_input", attr), body
    metadata = body["extra"]["hogql_metadata"]
    (error,) = metadata["errors"]
    assert (metadata["query"], TEXT[error["start"] : error["end"]]) == (TEXT, "nosuch")


@pytest.mark.parametrize(
    ("node", "attr", "text", "place"),
    [
        ({"select": ["event", "1 +"]}, "query__select__1", "1 +", ""),
        ({"select": ["'ü'", "count()"], "orderBy": ["distinct_id"]}, "query__orderBy__0", "distinct_id", "distinct_id"),
        ({"select": ["event", "count()"], "where": ["count() > length(distinct_id)"], "orderBy": ["event"]},
         "query__where__0", "count() > length(distinct_id)", "distinct_id"),
        ({"select": ["event", "count()"], "properties": [{"type": "hogql", "key": "1 < count() + length(distinct_id)"}],
          "orderBy": ["event"]}, "query__properties__0__key", "1 < count() + length(distinct_id)", "distinct_id"),
    ],
)  # fmt: skip
def test_what_only_clickhouse_finds(api: Api, node: dict[str, Any], attr: str, text: str, place: str) -> None:
    body = parsed(sent(api, {**EVENTS, **node}))
    metadata = body["extra"]["hogql_metadata"]
    (error,) = metadata["errors"]
    assert (body["attr"], metadata["query"]) == (attr, text), body
    assert text[error["start"] : error["end"]] == place


@pytest.mark.parametrize(
    ("node", "attr"),
    [
        ({**TRENDS, **LATE}, "query__dateRange__date_from"),
        ({**TRENDS, "samplingFactor": 7}, "query__samplingFactor"),
        ({**TRENDS, "interval": "hour", "dateRange": {"date_from": "2000-01-01"}}, "query__interval"),
        (shown({**TRENDS, "interval": "nope"}), "query__source__interval"),
        ({**FUNNEL, "funnelsFilter": {"funnelWindowInterval": 10**9}}, "query__funnelsFilter__funnelWindowInterval"),
        ({**FUNNEL, "funnelsFilter": {"exclusions": [{"kind": "ActionsNode", "id": 77, "funnelFromStep": 0,
                                                      "funnelToStep": 1}]}}, "query__funnelsFilter__exclusions"),
        ({**FUNNEL, "series": [{"kind": "ActionsNode", "id": 77}]}, "query__series"),
        ({**FUNNEL, "breakdownFilter": {"breakdown": "x" * 1000}}, "query__breakdownFilter__breakdown"),
        ({**PATHS, "pathsFilter": {"startPoint": "x" * 10_001}}, "query__pathsFilter__startPoint"),
        ({**PATHS, "pathsFilter": {"pathGroupings": ["x" * 1001]}}, "query__pathsFilter__pathGroupings"),
        ({**PATHS, "pathsFilter": {"localPathCleaningFilters": [{"regex": "(", "alias": "x"}]}},
         "query__pathsFilter__localPathCleaningFilters__0"),
        ({**PATHS, "funnelPathsFilter": {"funnelPathType": "funnel_path_after_step", "funnelStep": 9, "funnelSource":
            FUNNEL}}, "query__funnelPathsFilter__funnelStep"),
        (BAD_STEP, "query__funnelStep"),
        (listed(BAD_STEP), "query__source__funnelStep"),
        (listed({**BAD_STEP, "source": {**FUNNEL, **LATE}}), "query__source__source__dateRange__date_from"),
    ],
)  # fmt: skip
def test_other_mistakes(api: Api, node: dict[str, Any], attr: str) -> None:
    response = sent(api, node)
    assert (response.status_code, parsed(response)["attr"]) == (400, attr), response.content


def test_a_path_of_two_filters_leads_to_one() -> None:
    group = {"type": "OR", "values": [RIGHT]}
    assert part_of(None, [RIGHT], ["0"], one_list=False) == (True, ("0",))
    assert part_of([RIGHT], None, ["0"], one_list=False) == (False, ("0",))
    assert part_of([RIGHT], [RIGHT], ["1", "key"], one_list=True) == (True, ("0", "key"))
    assert part_of([RIGHT], [RIGHT], ["values", "1", "values", "0"], one_list=False) == (True, ("0",))
    assert part_of(group, [RIGHT], ["values", "0", "values", "0"], one_list=True) == (False, ("values", "0"))


@pytest.mark.parametrize(
    ("node", "override", "attr"),
    [
        (TRENDS, {"date_from": "nodate"}, "filters_override__date_from"),
        ({**TRENDS, **LATE}, {"properties": [RIGHT]}, "query__dateRange__date_from"),
        (EVENTS, {"date_to": "nodate"}, "filters_override__date_to"),
        (shown({**TRENDS, "series": []}), {"date_from": "-7d"}, "query__source__series"),
    ],
)
def test_other_mistakes_of_a_dashboard(api: Api, node: dict[str, Any], override: dict[str, Any], attr: str) -> None:
    response = sent(api, node, filters_override=override)
    assert (response.status_code, parsed(response)["attr"]) == (400, attr), response.content
