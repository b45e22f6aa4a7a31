"""What persons/funnel and its correlation refuse, with the texts that clients know."""

import json  # noqa: TID251 orjson writes no lone surrogates
from typing import Any

import pytest

from core.insights.funnel_schema import CORRELATION, FUNNEL
from core.insights.schema import COMMON
from tests.core.insights.asking import asked, posted, refusal, steps
from tests.core.persons.conftest import Api

pytestmark = pytest.mark.usefixtures("clickhouse")
FOUR = steps("a", "b", "c", "d")
TRENDS = {"funnel_viz_type": "trends", "events": FOUR, "drop_off": "true", "entrance_period_start": "2024-05-02"}
PART_OF_STEPS = "Exclusion steps cannot contain an event that's part of funnel steps."
UNDEFINED = "Exclusion event needs to define funnel steps"
NO_DROP_OFF = "Filter parameter drop_off must be provided and a bool for funnel trends persons!"
NO_PERIOD = "Filter parameter entrance_period_start must be provided and a datetime for funnel trends persons!"
UNPARSABLE = "Properties are unparsable!"
NO_VALUES = "Property Correlation expects atleast one Property to get persons for"


def exclusion(first: Any, last: Any, name: str = "x", **fields: Any) -> list[dict[str, Any]]:
    return [{"id": name, "type": "events", "funnel_from_step": first, "funnel_to_step": last, **fields}]


@pytest.mark.parametrize(
    ("params", "detail", "attr"),
    [
        ({"events": FOUR}, "Missing both funnel_step and funnel_custom_steps", "funnel_step"),
        ({"events": FOUR, "funnel_step": ""}, "Missing both funnel_step and funnel_custom_steps", "funnel_step"),
        ({"events": FOUR, "funnel_step": -1}, "To request dropoff of initial step use -2", "funnel_step"),
        ({"events": FOUR, "funnel_step": 1, "exclusions": [{"id": "x"}]}, UNDEFINED, None),
        ({"events": FOUR, "funnel_step": 1, "exclusions": exclusion(1, None)}, UNDEFINED, None),
        ({"events": FOUR, "funnel_step": 1, "exclusions": exclusion(2, 1)},
         "Exclusion event range is invalid. End of range should be greater than start.", None),
        ({"events": FOUR, "funnel_step": 1, "exclusions": exclusion(1, 1)},
         "Exclusion event range is invalid. End of range should be greater than start.", None),
        ({"events": FOUR, "funnel_step": 1, "exclusions": exclusion(3, 4)},
         "Exclusion event range is invalid. Start of range is greater than number of steps.", None),
        ({"events": FOUR, "funnel_step": 1, "exclusions": exclusion(2, 4)},
         "Exclusion event range is invalid. End of range is greater than number of steps.", None),
        ({"events": FOUR, "funnel_step": 1, "exclusions": exclusion(0, 1, "b")}, PART_OF_STEPS, None),
        ({"events": steps("a", "b", properties=[{"key": "p", "value": 1}]), "funnel_step": 1,
          "exclusions": exclusion(0, 1, "b")}, PART_OF_STEPS, None),
        ({"events": FOUR, "funnel_step": 1, "funnel_order_type": "unordered", "exclusions": exclusion(0, 2)},
         "Partial Exclusions not allowed in unordered funnels", None),
        ({**TRENDS, "drop_off": ""}, NO_DROP_OFF, None),
        ({**TRENDS, "drop_off": None}, NO_DROP_OFF, None),
        ({**TRENDS, "entrance_period_start": ""}, NO_PERIOD, None),
        ({**TRENDS, "entrance_period_start": "soon"}, NO_PERIOD, None),
        ({"display": "ActionsLineGraph", "events": FOUR}, NO_DROP_OFF, None),
        ({"events": FOUR, "funnel_step": 1, "properties": "{"}, UNPARSABLE, None),
    ],
)  # fmt: skip
def test_the_texts_that_clients_know(api: Api, params: dict[str, Any], detail: str, attr: str | None) -> None:
    assert refusal(posted(api, **params)) == (400, detail, attr)


@pytest.mark.parametrize(
    ("params", "detail", "attr"),
    [
        ({}, "No entity for persons specified", None),
        ({"funnel_correlation_type": "event_with_properties"}, "No entity for persons specified", None),
        ({"funnel_correlation_type": "something"}, "No entity for persons specified", None),
        ({"funnel_correlation_type": "properties"}, NO_VALUES, None),
        ({"funnel_correlation_type": "properties", "funnel_correlation_property_values": []}, NO_VALUES, None),
        ({"funnel_correlation_type": "properties", "funnel_correlation_property_values": "["}, UNPARSABLE, None),
    ],
)
def test_what_correlation_needs(api: Api, params: dict[str, Any], detail: str, attr: str | None) -> None:
    assert refusal(posted(api, "/funnel/correlation/", events=FOUR, **params)) == (400, detail, attr)
    assert refusal(asked(api, "/funnel/correlation/", events=FOUR, **params)) == (400, detail, attr)


@pytest.mark.parametrize(
    ("params", "attr"),
    [
        ({"funnel_step": "two"}, "funnel_step"),
        ({"funnel_step": 1.5}, "funnel_step"),
        ({"funnel_step": 5}, "funnel_step"),
        ({"funnel_step": -5}, "funnel_step"),
        ({"funnel_step": "1" + "0" * 30}, "funnel_step"),
        ({"funnel_step": [1]}, "funnel_step"),
        ({"funnel_custom_steps": [5]}, "funnel_custom_steps"),
        ({"funnel_custom_steps": [0]}, "funnel_custom_steps"),
        ({"funnel_custom_steps": ["one"]}, "funnel_custom_steps"),
        ({"funnel_custom_steps": {"a": 1}}, "funnel_custom_steps"),
        ({"funnel_order_type": "sorted"}, "funnel_order_type"),
        ({"funnel_viz_type": "pie"}, "funnel_viz_type"),
        ({"funnel_window_interval": -3}, "funnel_window_interval"),
        ({"funnel_window_interval": 10**18}, "funnel_window_interval"),
        ({"funnel_window_interval": "NaN"}, "funnel_window_interval"),
        ({"funnel_window_interval_unit": "fortnight"}, "funnel_window_interval_unit"),
        ({"funnel_window_days": -1}, "funnel_window_days"),
        ({"funnel_window_days": "week"}, "funnel_window_days"),
        ({"exclusions": "["}, "exclusions"),
        ({"exclusions": {"id": "x"}}, "exclusions"),
        ({"exclusions": [5]}, "exclusions"),
        ({"exclusions": exclusion("one", 2)}, "exclusions"),
        ({"exclusions": exclusion(0, 1) * 21}, "exclusions"),
        ({"exclusions": exclusion(-1, 1)}, "exclusions"),
        ({"breakdown": [{"a": 1}]}, "breakdown"),
        ({"breakdown": [["a"]]}, "breakdown"),
        ({"breakdown": "a", "breakdown_type": "planet"}, "breakdown_type"),
        ({"breakdown": "a", "breakdown_type": "group"}, "breakdown_group_type_index"),
        ({"breakdown": "a", "breakdown_type": "group", "breakdown_group_type_index": 9}, "breakdown_group_type_index"),
        ({"breakdown": "a", "breakdown_type": "hogql"}, "breakdown"),
        ({"breakdown": ["x"], "breakdown_type": "cohort"}, "breakdown"),
        ({"breakdown": "a", "breakdown_limit": "many"}, "breakdown_limit"),
        ({"breakdown": "a", "breakdown_limit": -2}, "breakdown_limit"),
        ({"breakdown": "a", "breakdown_attribution_type": "middle"}, "breakdown_attribution_type"),
        ({"breakdown": "a", "breakdown_attribution_type": "step"}, "breakdown_attribution_value"),
        ({"breakdown": "a", "breakdown_attribution_type": "step", "breakdown_attribution_value": 4},
         "breakdown_attribution_value"),
        ({"breakdown": "a", "funnel_step_breakdown": {"a": 1}}, "funnel_step_breakdown"),
        ({"aggregation_group_type_index": 5}, "aggregation_group_type_index"),
        ({"aggregation_group_type_index": "company"}, "aggregation_group_type_index"),
        ({"funnel_aggregate_by_hogql": "properties.$session_id"}, "funnel_aggregate_by_hogql"),
        ({"sampling_factor": 2}, "sampling_factor"),
        ({"sampling_factor": "NaN"}, "sampling_factor"),
        ({"limit": "x"}, "limit"),
        ({"offset": -1}, "offset"),
        ({"events": []}, "events"),
        ({"events": "["}, "events"),
        ({"events": [{}]}, "events"),
        ({"events": [5]}, "events"),
        ({"date_from": "-9999y"}, "date_from"),
        ({"interval": "century"}, "interval"),
    ],
)  # fmt: skip
def test_bad_input_is_named(api: Api, params: dict[str, Any], attr: str) -> None:
    for ask in (posted, asked):
        status, _, named = refusal(ask(api, **{"events": FOUR, "funnel_step": 1, **params}))
        assert (status, named) == (400, attr)


@pytest.mark.parametrize(
    ("params", "attr"),
    [
        ({**TRENDS, "funnel_from_step": 4}, "funnel_from_step"),
        ({**TRENDS, "funnel_from_step": -1}, "funnel_from_step"),
        ({**TRENDS, "funnel_to_step": 4}, "funnel_to_step"),
        ({**TRENDS, "funnel_to_step": "x"}, "funnel_to_step"),
        ({**TRENDS, "entrance_period_start": 7}, None),
        ({**TRENDS, "entrance_period_start": "9999-12-31T23:59:59-14:00"}, None),
    ],
)
def test_bad_input_of_the_trends_variant_is_named(api: Api, params: dict[str, Any], attr: str | None) -> None:
    status, _, named = refusal(posted(api, **params))
    assert (status, named) == (400, attr)


@pytest.mark.parametrize("path", ["/funnel/", "/funnel/correlation/"])
def test_nothing_at_all_is_refused_in_the_common_shape(api: Api, path: str) -> None:
    assert refusal(api.get(path))[0] == 400
    assert refusal(api.send("POST", path))[0] == 400
    assert refusal(api.send("POST", path, {"properties": {"name": "x"}}))[0] == 400
    assert api.send("POST", path, b"{").status_code == 400
    assert api.send("POST", path, b"[]").status_code == 400


@pytest.mark.parametrize(
    ("params", "attr"),
    [
        ({"funnel_correlation_person_entity": {"type": "events"}}, "funnel_correlation_person_entity"),
        ({"funnel_correlation_person_entity": "["}, "funnel_correlation_person_entity"),
        ({"funnel_correlation_person_entity": [1]}, "funnel_correlation_person_entity"),
        ({"funnel_correlation_person_entity": {"id": "x", "type": "actions"}}, "funnel_correlation_person_entity"),
        ({"funnel_correlation_person_converted": "maybe"}, "funnel_correlation_person_converted"),
        ({"funnel_correlation_person_limit": "x"}, "funnel_correlation_person_limit"),
        ({"funnel_correlation_person_offset": -1}, "funnel_correlation_person_offset"),
        ({"funnel_step": -1}, "funnel_step"),
        ({"events": []}, "events"),
    ],
)
def test_bad_input_of_correlation_is_named(api: Api, params: dict[str, Any], attr: str) -> None:
    entity = {"funnel_correlation_person_entity": {"id": "x", "type": "events"}}
    for ask in (posted, asked):
        status, _, named = refusal(ask(api, "/funnel/correlation/", **{"events": FOUR, **entity, **params}))
        assert (status, named) == (400, attr)


def test_element_filters_have_two_operators(api: Api) -> None:
    selector = {"key": "selector", "value": ".x", "operator": "icontains", "type": "element"}
    entity = {"id": "$autocapture", "type": "events", "properties": [selector]}
    answer = posted(api, "/funnel/correlation/", events=FOUR, funnel_correlation_person_entity=entity)
    text = 'Filtering by element selector only supports operators "equals" and "doesn\'t equal" currently.'
    assert refusal(answer)[:2] == (400, text)


ODD: list[Any] = [True, -1, 1.5, " ", "a\0\ud800", "{", "[[[]]]", [None], [[]], {"id": {}}, [{"id": "x", "order": "y"}]]


@pytest.mark.parametrize("name", sorted({**COMMON, **FUNNEL, **CORRELATION}))
def test_odd_values_are_answered_or_refused(api: Api, name: str) -> None:
    plain = {"events": FOUR[:2], "funnel_step": 1, "breakdown": "plan", "funnel_correlation_type": "events"}
    for value in ODD:
        answer = api.send("POST", "/funnel/", json.dumps({**plain, name: value}).encode())
        assert answer.status_code in {200, 400}, (value, answer.content)


def test_filters_of_a_megabyte_and_nests_are_refused(api: Api) -> None:
    nested: Any = {"key": "a", "value": 1}
    for _ in range(100):
        nested = {"type": "AND", "values": [nested]}
    long = [{"key": "a", "value": "x" * 1_100_000}]
    for properties in (nested, long, [{"key": "a", "value": ["y" * 100] * 11_000}]):
        assert refusal(posted(api, events=FOUR, funnel_step=1, properties=properties))[0] == 400
        assert refusal(posted(api, events=[{"id": "a", "properties": properties}], funnel_step=1))[0] == 400
    impossible = [{"key": "a", "operator": "regex", "value": "("}]
    assert posted(api, events=FOUR, funnel_step=1, properties=impossible).status_code in {200, 400}


def test_the_largest_funnel_is_answered(api: Api) -> None:
    many = [{"id": f"step {number}", "order": number} for number in range(20)]
    without = [{"id": f"x{number}", "funnel_from_step": number % 19, "funnel_to_step": 19} for number in range(20)]
    for order in ("ordered", "strict"):
        answer = posted(api, events=many, funnel_step=20, exclusions=without, funnel_order_type=order, breakdown="a")
        assert answer.status_code == 200, answer.content
    whole = [{**one, "funnel_from_step": 0} for one in without]
    answer = posted(api, events=many, funnel_step=20, exclusions=whole, funnel_order_type="unordered")
    assert answer.status_code == 200, answer.content
    same = [{"id": "a", "order": number} for number in range(20)]
    assert posted(api, events=same, funnel_step=20).status_code == 200
