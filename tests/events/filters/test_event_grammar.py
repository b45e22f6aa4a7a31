"""Filters in scope `event`: what is read, what is left out, what is refused."""

from typing import Any

import pytest

from events.filters.errors import FilterError
from events.filters.grammar import (
    MAX_FILTERS,
    NOTHING,
    CohortFilter,
    Filter,
    FilterGroup,
    PropertyFilter,
    SelectorFilter,
    read_filters,
)
from events.filters.predicates import Contains, Equals
from events.filters.selectors import read_selector, tag_selector
from events.filters.tree import with_cohorts

PRO = Equals(("pro",), plain=True)


def read(value: Any) -> Filter | None:
    return read_filters(value, scope="event")


@pytest.mark.parametrize(
    ("item", "wanted"),
    [
        ({}, PropertyFilter("k", PRO, type="event")),
        ({"type": None}, PropertyFilter("k", PRO, type="event")),
        ({"type": "person"}, PropertyFilter("k", PRO, type="person")),
        ({"type": "group", "group_type_index": 0}, PropertyFilter("k", PRO, type="group", group_type_index=0)),
        ({"type": "group", "group_type_index": "4"}, PropertyFilter("k", PRO, type="group", group_type_index=4)),
        ({"type": "feature", "key": "$feature/a"}, PropertyFilter("$feature/a", PRO, type="event")),
        ({"type": "event_metadata", "key": "event"}, PropertyFilter("event", PRO, type="event_metadata")),
        ({"type": "session", "key": "$session_duration"}, PropertyFilter("$session_duration", PRO, type="session")),
        ({"type": "session", "key": "$channel_type"}, PropertyFilter("$channel_type", PRO, type="session")),
        ({"type": "element", "key": "text"}, PropertyFilter("text", PRO, type="element")),
        ({"type": "element", "key": "href", "negation": True},
         PropertyFilter("href", PRO, negated=True, type="element")),
        ({"type": "element", "key": "tag_name"}, SelectorFilter((tag_selector("pro"),))),
        ({"type": "element", "key": "selector", "operator": "is_not"},
         SelectorFilter((read_selector("pro"),), negated=True)),
        ({"type": "element", "key": "selector", "value": ["a", " "]}, SelectorFilter((read_selector("a"),))),
        ({"type": "static-cohort", "value": 7}, CohortFilter((7,))),
    ],
)  # fmt: skip
def test_every_type_is_read(item: dict[str, Any], wanted: Filter) -> None:
    assert read([{"key": "k", "value": "pro", **item}]) == wanted


def test_the_legacy_map_is_about_the_event() -> None:
    assert read({"k": "pro", "n__icontains": "X"}) == FilterGroup(
        "AND", (PropertyFilter("k", PRO, type="event"), PropertyFilter("n", Contains(("x",)), type="event"))
    )


@pytest.mark.parametrize("dropped", [{}, {"value": 1}, {"type": "event", "value": 1}, {"type": "hogql"}])
def test_members_without_a_key_are_left_out(dropped: dict[str, Any]) -> None:
    pro = {"key": "k", "value": "pro"}
    one = PropertyFilter("k", PRO, type="event")
    assert read([dropped, pro]) == one
    assert read({"type": "OR", "values": [{"type": "AND", "values": [dropped, pro]}]}) == one
    assert read([dropped]) is None
    with pytest.raises(FilterError, match="must have a `key`"):
        read_filters([dropped])


def test_filters_are_hashable() -> None:
    wanted = read([{"key": "k", "value": "x"}, {"key": "selector", "type": "element", "value": "a > .b[c='d']"}])
    assert len({wanted, wanted}) == 1


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ({"type": "hogql", "key": "1 = 1"}, "Filters of type 'hogql' cannot be used here."),
        ({"type": "recording"}, "Filters of type 'recording' are not supported on events."),
        ({"type": "flag"}, "Filters of type 'flag' are not supported on events."),
        ({"type": "event_metadata", "key": "distinct_ids"}, "Perhaps you meant 'distinct_id'?"),
        ({"type": "event_metadata", "key": "properties"}, "Events have no column 'properties' to filter on."),
        ({"type": 5}, "The `type` of a filter must be text."),
        ({"type": "group"}, "A filter on a group must have a `group_type_index` from 0 to 4."),
        ({"type": "group", "group_type_index": 5}, "A filter on a group must have a `group_type_index` from 0 to 4."),
        ({"type": "group", "group_type_index": True}, "A filter on a group must have a `group_type_index`"),
        ({"type": "group", "group_type_index": 1.0}, "A filter on a group must have a `group_type_index`"),
        ({"type": "session"}, "Sessions have no property 'k' to filter on or break down by."),
        ({"type": "session", "key": "$urls"}, "Sessions have no property '$urls' to filter on or break down by."),
        ({"type": "session", "key": "entry_pathname"}, "Perhaps you meant '$entry_pathname'?"),
        ({"type": "session", "key": "$sesion_duration"}, "Perhaps you meant '$session_duration'?"),
        ({"type": "element"}, "Elements have no 'k' to filter on, only selector, tag_name, text and href."),
        ({"type": "element", "key": "selector", "operator": "icontains"},
         'Filtering by element selector only supports operators "equals" and "doesn\'t equal" currently.'),
        ({"type": "element", "key": "tag_name", "operator": "regex"},
         'Filtering by element tag only supports operators "equals" and "doesn\'t equal" currently.'),
        ({"type": "element", "key": "selector", "value": "a, b"}, "The selector 'a, b' is not supported"),
        ({"type": "element", "key": "selector", "value": None}, "must have a `value`"),
        ({"operator": "equals"}, "There is no operator 'equals'"),
        ({"operator": "regex", "value": "("}, "This is not a valid regular expression"),
        ({"operator": "between", "value": [1, "x"]}, "between operator requires numeric values"),
        ({"value": None}, "must have a `value`"),
        ({"key": "a\0"}, "NUL"),
        ({"value": "\ud800"}, "Filters must be JSON"),
        ({"type": "cohort", "value": "x"}, "must be the id of a cohort"),
    ],
)  # fmt: skip
def test_what_is_malformed_is_refused(item: dict[str, Any], text: str) -> None:
    with pytest.raises(FilterError) as caught:
        read([{"key": "k", "value": "pro", **item}])
    assert text in caught.value.message


@pytest.mark.parametrize("value", [[5], ["text"], [None], 7, "text", {"type": "NOT", "values": []}])
def test_what_is_no_object_is_refused(value: Any) -> None:
    with pytest.raises(FilterError):
        read(value)


def test_a_list_has_either_groups_or_properties() -> None:
    pro = {"key": "k", "value": "pro"}
    group = {"type": "OR", "values": [pro]}
    text = "Property list cannot contain both PropertyGroup and Property objects"
    for mixed in ([pro, group], {"type": "AND", "values": [group, pro]}):
        with pytest.raises(FilterError, match=text):
            read(mixed)
    assert read([group, {}]) == PropertyFilter("k", PRO, type="event")
    assert read_filters([pro, group]) is not None


@pytest.mark.parametrize("key", ["text", "href", "selector", "tag_name"])
def test_an_empty_list_of_an_element_matches_nothing_and_negated_everything(key: str) -> None:
    item = {"type": "element", "key": key, "value": []}
    assert read([item]) == NOTHING
    assert read([{**item, "negation": True}]) is None
    assert read([{**item, "operator": "is_not"}]) is None
    other = {"key": "k", "value": "pro"}
    either = {"type": "OR", "values": [item, other]}
    assert read(either) == FilterGroup("OR", (NOTHING, PropertyFilter("k", PRO, type="event")))


def test_selectors_count_as_filters() -> None:
    with pytest.raises(FilterError, match="At most"):
        read([{"type": "element", "key": "selector", "value": ["a"] * (MAX_FILTERS + 1)}])


def test_unknown_cohorts_match_nothing_even_negated() -> None:
    items = [{"type": "cohort", "value": [1, 2]}, {"type": "cohort", "value": 2, "negation": True}]
    wanted = read({"type": "OR", "values": items})
    assert wanted is not None
    assert with_cohorts(wanted, {1}) == FilterGroup("OR", (CohortFilter((1,)), NOTHING))
