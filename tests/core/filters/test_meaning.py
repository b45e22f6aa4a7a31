"""The meaning of every operator by example: the stored values that match, in all three engines."""
# ruff: noqa: RUF001, E501 a table of letters

from datetime import UTC, datetime
from typing import Any

import pytest

from events.filters.grammar import read_filters
from tests.support.filter_engines import in_clickhouse, in_postgres, in_python

NOW = datetime(2024, 3, 31, 12, tzinfo=UTC)
MISSING = object()

CASES: list[tuple[str, Any, list[Any], list[Any]]] = [
    # operator, value, stored values that match, stored values that do not
    ("exact", "a", ["a"], ["A", "ab", None, MISSING, ["a"], 1, ""]),
    ("exact", "", [""], [None, MISSING, "a", [], {}]),
    ("exact", 1, [1, 1.0, "1", "1.0", "1e0"], [True, "01", " 1", [1], None]),
    ("exact", "1.0", [1, "1", 1.0], ["v1.0"]),
    ("exact", 9007199254740993, [9007199254740993, "9007199254740993"], [9007199254740992, 9007199254740994]),
    ("exact", "1e400", ["1e400", "10e399"], ["1e401", 1]),
    ("exact", -0.0, [0, "-0", "0.0", -0.0], ["", None, False]),
    ("exact", True, [True, "true"], [1, "True", False]),
    ("exact", ["a", 2], ["a", "2.0", 2], ["b", ["a", 2]]),
    ("exact", '{"b": 1, "aa": [1.0, "x y"]}', [{"aa": [1, "x y"], "b": 1.0}], [{"b": 1}, {}]),
    ("exact", "[ ]", [[], "[ ]"], [{}, "", None]),
    ("is_not", "a", ["b", None, MISSING, ["a"]], ["a"]),
    ("is_not", ["a", "b"], ["c", MISSING], ["a", "b"]),
    ("in", ["a", "b"], ["a", "b"], ["c", MISSING]),
    ("not_in", ["a", "b"], ["c", MISSING], ["a", "b"]),
    ("icontains", "AIL", ["Email", "ail", ["xAIL"], {"Mail": 1}], ["aI", None, MISSING]),
    ("icontains", "10", [10, 100.5, "x10"], [1e-10, 1.0]),
    ("icontains", "100%_", ["is 100%_!"], ["100", "100xx"]),
    ("icontains", "ΑΣ", ["ασ", "ΑΣ", "ΑΣ ΑΣ"], ["ας"]),
    ("icontains", ["é", "X"], ["É", "x"], ["e"]),
    ("icontains", '"a":1', [{"a": 1.0}, {"b": {"a": 1}}], [{"a": "1"}]),
    ("icontains", r'\"\n\u001f\\/', [{"c": '"\n\x1f\\/'}, ['"\n\x1f\\/'], r'\"\n\u001F\\/'], ['"\n\x1f\\/']),
    ("icontains", "\u2028", [["\u2028"], "\u2028"], [["u2028"]]),
    ("icontains", "[[[1]]]", [[[[1]]], {"b": "[[[1]]]"}], [[[[[1]]]], [[[[]]]], {"a": [[[1]]]}]),
    ("not_icontains", "a", ["b", None, MISSING], ["A"]),
    ("regex", r"^\d+$", [12, "12"], ["12x", "١٢", MISSING]),
    ("regex", "a.b", ["axb"], ["a\nb"]),
    ("regex", ["^a", "z$"], ["ab", "yz"], ["b"]),
    ("not_regex", ["^a", "z$"], ["b", MISSING, None], ["ab", "yz"]),
    ("starts_with", "a", ["ab", "a"], ["ba", "A", MISSING]),
    ("not_starts_with", "a", ["ba", MISSING], ["ab"]),
    ("ends_with", ["b", "c"], ["ab", "bc"], ["ba", MISSING]),
    ("not_ends_with", "b", ["ba", MISSING], ["ab"]),
    ("gt", 5, [6, 5.1, "6", "1e1", 10**18], [5, "5", "abc", True, None, MISSING, [6], -6]),
    ("gt", -5, [-4.5, "-4", 0, 3], [-5, -5.1, "-6"]),
    ("lt", -5, [-5.5, "-1e3"], [-5, 0, "-4"]),
    ("lte", 5, [5, "5.0", -100, 0.5], [5.001, "6"]),
    ("min", 9, [10, 9], [8, "9x"]),
    ("max", 9, [9, "-1"], [10]),
    ("gt", "b", ["c", "bb", True], ["a", "B", "b", 5, MISSING, ["x"]]),
    ("gt", [5, 100], [6, 101], [5]),
    ("is_set", None, ["", 0, False, [], {}], [None, MISSING]),
    ("is_not_set", "ignored", [None, MISSING], ["", 0]),
    ("is_date_exact", "2024-02-29", ["2024-02-29", "2024-02-29T23:59:59Z", 1709164800, "2024-02-29junk"],
     ["2024-03-01", "2024-02-30", "x", MISSING, "2024-02-29T23:59:59-05:00"]),
    ("is_date_exact", "2024-02-29T10:00:00Z", ["2024-02-29 10:00:00.5", "2024-02-29T12:00:00+0200", 1709200800000],
     ["2024-02-29", "2024-02-29T10:00:01Z"]),
    ("is_date_before", "2024-01-01", ["2023-12-31T23:59:59.999999Z", "1900-01-01", 1700000000], ["2024-01-01", "1899-12-31", 17]),
    ("is_date_after", "2024-01-01", ["2024-01-02", "2299-12-31"], ["2024-01-01T23:59:59", "2300-01-01", True]),
    ("is_date_after", "-1d", ["2024-03-30T12:00:01Z", "2024-03-31"], ["2024-03-30", "2024-03-30T12:00:00Z"]),
    ("between", [1, "5"], [1, 5, "2.5"], [0.999, 6, "x", MISSING]),
    ("not_between", [1, 5], [0, 6], [3, "x", MISSING]),
    ("is_cleaned_path_exact", "/user/7/a", ["/user/1/a", "/user/<id>/a"], ["/user/x/a", MISSING]),
    ("semver_eq", "1.2", ["1.2.0", "v1.2", 1.2, "1.2.0+build"], ["1.2.1", "1.2.0-a", "x", MISSING]),
    ("semver_neq", "1.2.0", ["1.2.1", "1.2.0-a"], ["1.2", "x", MISSING]),
    ("semver_gt", "1.0.0-alpha.1", ["1.0.0-alpha.beta", "1.0.0-beta", "1.0.0", "1.0.0-alpha.2", "1.0.0-alpha.1.0"],
     ["1.0.0-alpha", "1.0.0-alpha.1", "0.9", "1.0.0-1"]),
    ("semver_gte", "1.10.0", ["1.10", "1.11", "2"], ["1.9.9"]),
    ("semver_lt", "1.10.0", ["1.9", "1.10.0-rc.1"], ["1.10.0", "x"]),
    ("semver_lte", "1.10.0", ["1.9", "1.10.0"], ["1.10.1"]),
    ("semver_tilde", "1.2.3", ["1.2.3", "1.2.9"], ["1.2.2", "1.3.0", "1.3.0-a"]),
    ("semver_caret", "0.2.3", ["0.2.3", "0.2.9"], ["0.3.0", "0.2.2"]),
    ("semver_caret", "1.2", ["1.2.0", "1.9.9"], ["2.0.0", "2.0.0-a", "1.1.9"]),
    ("semver_wildcard", "1.2.*", ["1.2.0", "1.2.9"], ["1.3.0", "1.1.9", "x"]),
    ("semver_wildcard", "*", ["1", "9.9.9-a"], ["x", MISSING]),
]  # fmt: skip
RULES = [{"regex": r"/user/\d+", "alias": "/user/<id>"}, {"regex": "(", "alias": "broken"}, {"alias": "incomplete"}]


@pytest.mark.django_db
@pytest.mark.parametrize("negation", [False, True])
def test_every_operator_means_the_same_everywhere(clickhouse_schema: None, negation: bool) -> None:  # noqa: FBT001
    for operator, value, matching, others in CASES:
        item = {"key": "k", "operator": operator, "value": value, "type": "person", "negation": negation}
        wanted = read_filters([item], now=NOW, path_rules=RULES)
        assert wanted is not None
        stored = [{} if one is MISSING else {"k": one} for one in [*matching, *others]]
        expected = in_python(wanted, stored)
        if not negation:
            assert expected == [True] * len(matching) + [False] * len(others), (operator, value, expected)
        else:
            assert not any(expected[: len(matching)]), (operator, value, expected)
        assert in_postgres(wanted, stored) == expected, (operator, value, stored)
        assert in_clickhouse(wanted, stored) == expected, (operator, value, stored)
