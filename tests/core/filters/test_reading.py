"""What callers get wrong: always a 400 that names the parameter and says what to do."""

from typing import Any

import orjson
import pytest

from core.api.errors import Invalid
from core.cohorts.models import Cohort
from core.filters.reading import read_filter_parameter
from events.filters.grammar import (
    MAX_DEPTH,
    MAX_FILTERS,
    CohortFilter,
    FilterGroup,
    PropertyFilter,
    cohort_ids,
    property_keys,
)
from events.filters.members import MAX_KEY_LENGTH, MAX_VALUES
from events.filters.predicates import Contains, Equals
from tests.core.conftest import Cast

pytestmark = pytest.mark.django_db


def read(value: Any, team_id: int = 1) -> Any:
    return read_filter_parameter(value if isinstance(value, str) else orjson.dumps(value).decode(), team_id=team_id)


def nested(depth: int) -> Any:
    group: Any = {"key": "a", "value": 1}
    for _ in range(depth):
        group = {"type": "OR", "values": [group]}
    return group


REFUSED: list[tuple[Any, str]] = [
    ("{", "This is not valid JSON"),
    ("[1, 2]", "Each filter must be an object."),
    ('"text"', "Filters must be a list, a group object or a map"),
    ("7", "Filters must be a list"),
    ([{"value": 1}], "A filter must have a `key`."),
    ([{"key": "a"}], "A filter with the operator exact must have a `value`."),
    ([{"key": "a", "value": None}], "must have a `value`"),
    ([{"key": 7, "value": 1}], "The `key` of a filter must be text."),
    ([{"key": "a\0", "value": 1}], "NUL"),
    ([{"key": "a", "value": "\0"}], "NUL"),
    ([{"key": "a", "value": {"b": 1}}], "The `value` of a filter must be text, a number, a boolean or a list"),
    ([{"key": "a", "value": [None]}], "The `value` of a filter must be"),
    ([{"key": "a", "value": [[1]]}], "The `value` of a filter must be"),
    ([{"key": "a", "value": 1, "operator": "equals"}], "There is no operator 'equals'; operators are: exact, is_not"),
    ([{"key": "a", "value": 1, "operator": "not gt"}], "There is no operator"),
    ([{"key": "a", "value": 1, "operator": 5}], "There is no operator"),
    ([{"key": "a", "value": 1, "negation": "yes"}], "`negation` must be true or false."),
    ([{"key": "a", "value": 1, "type": 5}], "The `type` of a filter must be text."),
    ([{"key": "a", "value": 1, "type": "event"}], "The 'event' property filter does not work in 'person' scope"),
    ([{"key": "a", "value": 1, "type": "group"}], "The 'group' property filter does not work in 'person' scope"),
    ([{"key": "a", "value": 1, "type": "hogql"}], "Unable to resolve field: a"),
    ([{"key": "a", "value": "x", "operator": "in"}], "The `value` of the operator in must be a list."),
    ([{"key": "a", "value": [1], "operator": "between"}], "between operator requires numeric values"),
    ([{"key": "a", "value": 1, "operator": "not_between"}], "not_between operator requires numeric values"),
    ([{"key": "a", "value": [1, "x"], "operator": "between"}], "between operator requires numeric values"),
    ([{"key": "a", "value": "(", "operator": "regex"}], "This is not a valid regular expression (RE2): missing )"),
    ([{"key": "a", "value": r"(a)\1", "operator": "regex"}], "This is not a valid regular expression"),
    ([{"key": "a", "value": "(?=a)", "operator": "not_regex"}], "This is not a valid regular expression"),
    ([{"key": "a", "value": r"\C", "operator": "regex"}], "\\C is not supported"),
    ([{"key": "a", "value": "a" * 1001, "operator": "regex"}], "at most 1000 characters"),
    ([{"key": "a", "value": "(?:a{500}){3}", "operator": "regex"}], "regular expression"),
    ([{"key": "a", "value": "soon", "operator": "is_date_after"}], "'soon' is not a date"),
    ([{"key": "a", "value": "x.y", "operator": "semver_gt"}], "'x.y' is not a semantic version."),
    ([{"key": "a", "value": "x.y", "operator": "semver_tilde"}], "is not a semantic version."),
    ([{"type": "cohort", "key": "id", "value": "all"}], "The `value` of a cohort filter must be the id of a cohort."),
    ([{"type": "cohort", "key": "id", "value": True}], "The `value` of a cohort filter must be the id of a cohort."),
    ([{"type": "cohort", "key": "id", "value": 2**63}], "The `value` of a cohort filter must be the id of a cohort."),
    ([{"type": "cohort", "key": "id"}], "The `value` of a cohort filter must be the id of a cohort."),
    ([{"type": "cohort", "key": "id", "value": 1, "operator": "gt"}], "A cohort filter has the operator in or not_in."),
    ({"type": "XOR", "values": [{"key": "a", "value": 1}]}, "The `type` of a filter group must be AND or OR."),
    ([{"type": "AND", "values": "x"}], "The `values` of a filter group must be a list."),
    ([{"key": "a" * (MAX_KEY_LENGTH + 1), "value": 1}], "at most 400 characters"),
    ([{"key": "a", "value": list(range(MAX_VALUES + 1))}], "at most 1000 values"),
    ([{"key": "a", "value": 1}] * (MAX_FILTERS + 1), "At most 50 filters"),
    ([{"key": "a", "value": ["x"] * (MAX_FILTERS + 1), "operator": "gt"}], "At most 50 filters"),
    ([{"key": "a", "value": ["x"] * (MAX_FILTERS + 1), "operator": "regex"}], "At most 50 filters"),
    (nested(MAX_DEPTH + 1), "at most 10 deep"),
    ([{"key": "a", "value": "x" * 1_000_001}], "at most 1000000 bytes"),
    ("[" * 5000 + "]" * 5000, ""),
]


@pytest.mark.parametrize(("value", "detail"), REFUSED)
def test_a_wrong_filter_is_refused_with_a_reason(value: Any, detail: str) -> None:
    with pytest.raises(Invalid) as refused:
        read(value)
    assert refused.value.attr == ("properties__0__key" if refused.value.extra else "properties")
    assert refused.value.code == "invalid_input"
    assert detail in str(refused.value.detail)


def test_what_is_at_the_limits_is_taken() -> None:
    assert read(nested(MAX_DEPTH)) is not None
    assert read([{"key": "a" * MAX_KEY_LENGTH, "value": 1}]) is not None
    assert read([{"key": "a", "value": list(range(MAX_VALUES))}]) is not None
    assert isinstance(read([{"key": "a", "value": 1}] * MAX_FILTERS), FilterGroup)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "  ",
        "null",
        "[]",
        {},
        {"type": "AND", "values": []},
        [{"type": "OR", "values": []}],
        [{"key": "a", "value": []}],
    ],
)
def test_what_restricts_nothing_is_none(value: Any) -> None:
    assert read(value) is None


def test_a_list_a_group_a_single_filter_and_a_legacy_map_are_read() -> None:
    one = PropertyFilter("plan", Equals(("pro",), plain=True))
    other = PropertyFilter("email", Contains(("@x",)))
    both = [{"key": "plan", "value": "pro"}, {"key": "email", "value": "@X", "operator": "icontains", "type": "person"}]
    assert read(both) == FilterGroup("AND", (one, other))
    assert read({"type": "or", "values": both}) == FilterGroup("OR", (one, other))
    assert read([{"type": "OR", "values": both}]) == FilterGroup("OR", (one, other))
    assert read(both[0]) == one
    assert read({"plan": "pro", "email__icontains": "@X"}) == FilterGroup("AND", (one, other))
    assert read({"plan__of_old": "pro"}) == PropertyFilter("plan__of_old", Equals(("pro",), plain=True))
    assert property_keys(read(both)) == {"plan", "email"}


def test_a_filter_with_no_values_makes_an_or_true() -> None:
    assert read({"type": "OR", "values": [{"key": "a", "value": []}, {"key": "b", "value": 1}]}) is None


def test_cohorts_must_be_the_teams_own(cast: Cast) -> None:
    ours = Cohort.unscoped.create(team=cast.team, name="ours")
    gone = Cohort.unscoped.create(team=cast.team, name="gone", deleted=True)
    theirs = Cohort.unscoped.create(team=cast.other_team, name="theirs")
    for kind in ("cohort", "static-cohort", "precalculated-cohort"):
        wanted = read([{"type": kind, "key": "id", "value": str(ours.pk)}], cast.team.id)
        assert wanted == CohortFilter((ours.pk,))
    out = read([{"type": "cohort", "value": ours.pk, "operator": "not_in"}], cast.team.id)
    assert out == read([{"type": "cohort", "value": [ours.pk], "negation": True}], cast.team.id)
    assert out == CohortFilter((ours.pk,), negated=True)
    assert cohort_ids(out) == {ours.pk}
    for missing in (gone, theirs):
        with pytest.raises(Invalid) as refused:
            read([{"type": "cohort", "key": "id", "value": missing.pk}], cast.team.id)
        assert refused.value.detail == f"There is no cohort {missing.pk} in this project."
