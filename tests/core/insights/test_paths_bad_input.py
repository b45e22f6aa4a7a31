"""persons/path: what is refused, with which words."""

from typing import Any

import pytest

from tests.core.insights.asking import Capture, asked, journey, posted, refusal, steps, who
from tests.core.persons.conftest import Api

pytestmark = pytest.mark.usefixtures("clickhouse")
PATH = "/path/"
BOTH = "Cannot include all custom events and specific custom events in the same query"
NO_FIELD = "Unable to resolve field: nope"
NO_RULE = "A path cleaning rule has a `regex` and an `alias`, both text."
LOCAL = "local_path_cleaning_filters"
AFTER = "funnel_path_after_step"


def rule(regex: Any, alias: Any = "") -> dict[str, Any]:
    return {LOCAL: [{"regex": "fine", "alias": ""}, {"regex": regex, "alias": alias}]}


def funnel(number: Any = 1, part: str = AFTER, **fields: Any) -> dict[str, Any]:
    return {"funnel_paths": part, "funnel_filter": {"events": steps("a", "b"), "funnel_step": number, **fields}}


@pytest.mark.parametrize(
    ("params", "detail", "attr"),
    [
        ({"include_event_types": ["custom_event"], "include_custom_events": ["a"]}, BOTH, None),
        ({"include_event_types": ["page"]}, '"page" is not a valid choice.', "include_event_types"),
        ({"include_event_types": [1]}, "Not a valid string.", "include_event_types"),
        (
            {"include_event_types": {"a": 1}},
            'Expected a list of items but got type "dict".',
            "include_event_types",
        ),
        ({"include_event_types": ["hogql"], "paths_hogql_expression": "nope"}, NO_FIELD, "paths_hogql_expression"),
        ({"paths_hogql_expression": "nope"}, NO_FIELD, "paths_hogql_expression"),
        (
            {"include_custom_events": ["a" * 50_000, "b" * 50_000]},
            "These names are too long.",
            "include_custom_events",
        ),
        ({"exclude_events": ["a"] * 1001}, "Ensure this field has no more than 1000 elements.", "exclude_events"),
        ({"step_limit": -1}, "Ensure this value is greater than or equal to 1.", "step_limit"),
        ({"step_limit": 101}, "Ensure this value is less than or equal to 100.", "step_limit"),
        ({"step_limit": "five"}, "A valid integer is required.", "step_limit"),
        (
            {"step_limit": "1" * 30},
            "Ensure this value is between -9007199254740992 and 9007199254740992.",
            "step_limit",
        ),
        ({"start_point": ["a"]}, "Not a valid string.", "start_point"),
        ({"end_point": "x" * 10_001}, "Ensure this field has no more than 10000 characters.", "end_point"),
        ({"path_start_key": {"a": 1}}, "Not a valid string.", "path_start_key"),
        (
            {"path_dropoff_key": "1_" + "x" * 9_999},
            "Ensure this field has no more than 10000 characters.",
            "path_dropoff_key",
        ),
        ({"path_groupings": ["a"] * 51}, "Ensure this field has no more than 50 elements.", "path_groupings"),
        ({"path_groupings": ["a" * 1001]}, "A grouping may have at most 1000 characters.", "path_groupings"),
        ({"path_replacements": "maybe"}, "Must be a valid boolean.", "path_replacements"),
        (rule("("), "This is not a valid regular expression (RE2): missing ): (", f"{LOCAL}__1"),
        (
            rule("(?=a)"),
            "This is not a valid regular expression (RE2): invalid perl operator: (?=",
            f"{LOCAL}__1",
        ),
        (
            rule("((a{100}){100}){100}"),
            "This is not a valid regular expression (RE2): invalid repetition size: {100}",
            f"{LOCAL}__1",
        ),
        (rule(r"\C"), "This is not a valid regular expression: \\C is not supported.", f"{LOCAL}__1"),
        (rule("x" * 1001), "A regular expression may have at most 1000 characters.", f"{LOCAL}__1"),
        (rule("x", "y" * 1001), "The alias of a path cleaning rule may have at most 1000 characters.", f"{LOCAL}__1"),
        (rule("(x)", "\\2"), "The alias refers to the group \\2, and the regular expression has 1.", f"{LOCAL}__1"),
        (rule(None), NO_RULE, f"{LOCAL}__1"),
        (rule("x", 1), NO_RULE, f"{LOCAL}__1"),
        ({LOCAL: ["x"]}, NO_RULE, f"{LOCAL}__0"),
        ({LOCAL: {"regex": "x", "alias": ""}}, 'Expected a list of items but got type "dict".', LOCAL),
        ({LOCAL: [{"regex": "x", "alias": ""}] * 51}, "Ensure this field has no more than 50 elements.", LOCAL),
        ({"funnel_paths": "funnel_path"}, '"funnel_path" is not a valid choice.', "funnel_paths"),
        ({"funnel_paths": AFTER}, "This field is required.", "funnel_filter"),
        ({"funnel_paths": AFTER, "funnel_filter": [1]}, "This must be an object.", "funnel_filter"),
        (
            {"funnel_paths": AFTER, "funnel_filter": {"events": steps("a")}},
            "Missing both funnel_step and funnel_custom_steps",
            "funnel_filter__funnel_step",
        ),
        (funnel(-1), "To request dropoff of initial step use -2", "funnel_filter__funnel_step"),
        (funnel(0), "Funnel paths need a funnel_step other than 0.", "funnel_filter__funnel_step"),
        (
            funnel(None, funnel_custom_steps=[1]),
            "Funnel paths need a funnel_step other than 0.",
            "funnel_filter__funnel_step",
        ),
        (
            funnel(3, funnel_custom_steps=[1]),
            "The steps of this funnel are 1 to 2.",
            "funnel_filter__funnel_step",
        ),
        *(
            (
                funnel(number, "funnel_path_between_steps"),
                "Cannot request preceding step timestamp if target funnel step is the first step",
                "funnel_filter__funnel_step",
            )
            for number in (1, -2)
        ),
        (
            funnel(aggregation_group_type_index=0),
            "Paths are of persons, not of groups.",
            "funnel_filter__aggregation_group_type_index",
        ),
        ({"offset": -1}, "Ensure this value is greater than or equal to 0.", "offset"),
        ({"interval": "year"}, '"year" is not a valid choice.', "interval"),
        ({"properties": "{"}, "Properties are unparsable!", None),
    ],
)
def test_what_is_refused(api: Api, params: dict[str, Any], detail: str, attr: str | None) -> None:
    assert refusal(posted(api, PATH, **params)) == (400, detail, attr)


@pytest.mark.parametrize(
    ("params", "detail", "attr"),
    [
        ({"include_event_types": '["$pageview"'}, "This is not valid JSON", "include_event_types"),
        ({"funnel_paths": AFTER, "funnel_filter": "{"}, "This is not valid JSON", "funnel_filter"),
        ({LOCAL: "x"}, "This is not valid JSON", LOCAL),
        ({"step_limit": "NaN"}, "A valid integer is required.", "step_limit"),
    ],
)
def test_what_is_refused_in_a_query_string(api: Api, params: dict[str, str], detail: str, attr: str) -> None:
    status, found, where = refusal(asked(api, PATH, **params))
    assert (status, where) == (400, attr)
    assert found.startswith(detail)


def test_odd_values_are_no_error(api: Api, capture: Capture) -> None:
    journey(capture, "ann", "a\0b", "'\\'")
    odd = ["\0", "'; DROP TABLE events", "\\", "{p0:String}", "%s", "é" * 1000, "a" * 9_000]
    for text in odd:
        assert who(posted(api, PATH, start_point=text)) == ""
        assert (
            who(posted(api, PATH, path_end_key=f"1_{text}", exclude_events=[text], path_groupings=[text[:999]])) == ""
        )
    assert who(posted(api, PATH, exclude_events=odd)) == "ann"
    assert who(posted(api, PATH, include_custom_events=odd)) == ""
    assert who(posted(api, PATH, path_end_key="1_'\\'")) == "ann"
    assert (
        who(posted(api, PATH, exclude_events="[]", include_event_types="", path_groupings=[""], start_point=""))
        == "ann"
    )
    assert who(posted(api, PATH, **rule("\n|^$|", "x"), path_end_key="1_a")) == ""


def test_rules_that_would_fill_the_memory_do_not(api: Api, capture: Capture) -> None:
    capture("ann", "a" * 100)
    twice = [{"regex": "a", "alias": "aa"}] * 50
    answer = posted(api, PATH, date_from="-1d", date_to=None, path_start_key="1_a", **{LOCAL: twice})
    # A slow machine may run out of time before the memory is used up.
    assert answer.status_code in {504, 513}
    assert answer.json()["type"] == "server_error"
