"""Random filters over random stored values: Postgres, ClickHouse and the plain model always agree."""
# ruff: noqa: RUF001, E501, DTZ001 values of all kinds

import random
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
import re2
from hypothesis import HealthCheck, assume, event, given, reject, settings
from hypothesis import strategies as st

from events.filters.grammar import FilterError, read_filters
from events.filters.operators import OPERATORS
from tests.support.filter_engines import in_clickhouse, in_postgres, in_python

NOW = datetime(2024, 3, 31, 12, 30, 15, 250_000, tzinfo=UTC)
KEYS = ["plan", "a.b", "it's", '"quoted"', "100%", "%(f0)s", "{f0:String}", "née", "\\", "🙂", "$x", " ", "", "a\nb"]
MEMBERS = 30
ORDERED = {"gt", "gte", "min", "lt", "lte", "max", "between", "not_between"}

# Letters whose cases engines of different Unicode versions know differently are left out.
letters = st.characters(codec="utf-8", exclude_characters="\0", max_codepoint=0x2FFF, exclude_categories=["Cn", "Cs"])
texts = st.one_of(
    st.text(st.sampled_from("aAbBzÉéßſKkΣσςİıÅ%_'\"\\/.*+-?()[]{}^$| \n\t\x01\x1f\u2028019eE🙂日"), max_size=8),
    st.text(letters, max_size=5),
)
numbers = st.one_of(
    st.integers(-3, 3),
    st.integers(-(2**63), 2**64 - 1),
    st.sampled_from([2**53, 2**53 + 1, 2**63 - 1, 10**15, -(10**15)]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.1, -0.0, 1e22, 1e-7, 5e-324, 1.7976931348623157e308, 100.0, 1.5, -1.5]),
)
number_texts = st.one_of(
    numbers.map(lambda number: orjson.dumps(number).decode()),
    st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,9})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.sampled_from(
        [
            "1",
            "01",
            "+1",
            "1.",
            ".5",
            "1e",
            "0x1",
            " 1",
            "1 ",
            "-0",
            "-0.0",
            "1e400",
            "1E+2",
            "٣",
            "NaN",
            "Infinity",
            "1_0",
        ]
    ),
)
few_numbers = st.sampled_from([-10, -2.5, -2, -1, 0, 1, "1", 1.5, 2, "2.0", 9, 10, "10", 11, 10.25, 2**53, 2**53 + 1])
dates = st.one_of(
    st.datetimes(datetime(1899, 12, 30), datetime(2300, 1, 2)).map(lambda date: date.isoformat()),
    st.builds(
        "{}{}{}".format,
        st.sampled_from(
            ["2024-03-31", "2024-03-30", "2024-02-30", "2023-02-29", "2024-13-01", "2024-3-1", "0000-00-00"]
        ),
        st.sampled_from(["", "T12:30:15", " 12:30:15.25", "T12:30", "T24:00:00", "T23:59:60", "T1:00", "junk", "\n"]),
        st.sampled_from(["", "Z", "+02:00", "-0530", "+16:00", "+1", " Z"]),
    ),
    st.sampled_from(["1711888215", "1711888215.25", "1711888215250", "17118882152", "1711888215.0", "1.711888215e9"]),
    st.sampled_from([1711888215, 1711888215.25, 1711888215250]).map(str),
)
versions = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "", "v", "V", "="]),
    st.lists(st.sampled_from(["0", "1", "2", "10", "01", "999999999", "1000000000"]), min_size=1, max_size=4).map(".".join),
    st.sampled_from(["", "", "-a", "-a.1", "-1", "-10", "-9", "-a.b", "-A", "-", "-a..b", "--", "-a-b", "-01", ".*"]),
    st.sampled_from(["", "", "+b.1", "+"]),
)  # fmt: skip
scalars = st.one_of(texts, numbers, st.booleans(), number_texts, dates, versions, st.just("true"))
values = st.recursive(
    st.one_of(scalars, st.none()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["a", "bb", "é", 'c\n"', "B"]), inner, max_size=3)
    ),
    max_leaves=6,
)

classes = st.sampled_from(
    [r"\d", r"\D", r"\w", r"\W", r"\s", r"\S", ".", r"\pL", r"\PL", r"\p{Greek}", r"\p{^Lu}", "[[:alpha:]]", "[^[:^digit:]]",
     "[a-c]", "[^a-c]", "[]a]", "[^]a]", r"[\d-]", r"[\-\]\\^]", r"[\x{e9}-\x{eb}]", "[k-s]", "[^\\n]", r"[\s\S]", "[-a]", "[a-]"]
)  # fmt: skip
atoms = st.one_of(
    st.sampled_from(list("aAbBzkKsSéÉΣß01 _-/:{},<>=!@#%&~\"'")),
    st.sampled_from(
        [r"\.", r"\*", r"\\", r"\x41", r"\x{1F642}", r"\n", r"\t", r"\101", r"\(", r"\Qa.b*\E", r"\_", r"\%"]
    ),
    classes,
    st.sampled_from(["^", "$", r"\A", r"\z", r"\b", r"\B", "(?i)", "(?s)", "(?m)", "(?-i)", "(?U)"]),
)
repeats = st.sampled_from(
    [
        "",
        "",
        "",
        "*",
        "+",
        "?",
        "*?",
        "+?",
        "??",
        "{2}",
        "{0,2}",
        "{1,}",
        "{2,3}?",
        "{0}",
        "{300}",
        "{0,260}",
        "{,2}",
        "{x}",
    ]
)
groups = st.sampled_from(["({})", "(?:{})", "(?P<n>{})", "(?i:{})", "(?s-i:{})", "(?m:{})", "(?i)({})"])
patterns = st.recursive(
    st.builds("{}{}".format, atoms, repeats),
    lambda inner: st.one_of(
        st.builds("{}{}".format, inner, inner),
        st.builds("{}|{}".format, inner, inner),
        st.builds(lambda group, one, repeat: group.format(one) + repeat, groups.map(lambda g: g), inner, repeats),
    ),
    max_leaves=8,
).filter(lambda pattern: "{{" not in pattern)


def _slices(draw: st.DrawFn, stored: list[dict[str, Any]]) -> st.SearchStrategy[Any]:
    """Parts of what is stored, so that filters match more than nothing."""
    found = [value for one in stored for value in one.values() if isinstance(value, str | int | float)]
    if not found:
        return texts
    value = draw(st.sampled_from(found))
    if not isinstance(value, str):
        return st.sampled_from([value, str(value)])
    start = draw(st.integers(0, len(value)))
    return st.sampled_from([value, value[start:], value[:start], value.swapcase(), f" {value}"])


@st.composite
def cases(draw: st.DrawFn, operator: str) -> tuple[Any, list[dict[str, Any]]]:
    keys = draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=2, unique=True))
    seed = draw(st.integers(0, 2**32))
    likely = values
    if "semver" in operator:
        likely = st.one_of(versions, versions, versions, values)
    elif "date" in operator:
        likely = st.one_of(dates, dates, values)
    elif operator in ORDERED:
        likely = st.one_of(few_numbers, few_numbers, number_texts, values)
    elif "regex" in operator:
        likely = st.one_of(texts, texts, values)
    pool = draw(st.lists(likely, min_size=8, max_size=16))
    chooser = random.Random(seed)  # noqa: S311 spreads what hypothesis drew
    stored = [{key: chooser.choice(pool) for key in keys if chooser.random() < 0.9} for _ in range(MEMBERS)]
    operand = _operands(draw, operator, stored)
    items = [
        {
            "key": key,
            "operator": operator,
            "value": draw(operand),
            "negation": draw(st.booleans()),
        }
        for key in keys
    ]
    return {"type": draw(st.sampled_from(["AND", "OR"])), "values": items}, stored


def _operands(draw: st.DrawFn, operator: str, stored: list[dict[str, Any]]) -> st.SearchStrategy[Any]:
    if "between" in operator:
        return st.lists(st.one_of(few_numbers, few_numbers, numbers, number_texts), min_size=2, max_size=2)
    if "regex" in operator:
        single: st.SearchStrategy[Any] = st.one_of(patterns, patterns, _slices(draw, stored).map(str).map(re2.escape))
    elif "semver" in operator:
        single = st.one_of(versions, st.sampled_from(["*", "1.x", "1.2.*", "0", "0.0", "0.0.1", "1.0.0-a.1"]))
    elif "date" in operator:
        single = st.one_of(dates, st.sampled_from(["-1d", "2h", "-1m", "2024-3-31", 1711888215]))
    elif operator in ORDERED:
        single = st.one_of(few_numbers, few_numbers, number_texts, _slices(draw, stored))
    else:
        single = st.one_of(scalars, _slices(draw, stored), values.map(lambda value: orjson.dumps(value).decode()))
    several = st.lists(single, min_size=0, max_size=3)
    return several if operator in {"in", "not_in"} else st.one_of(single, several)


@pytest.mark.django_db
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(data=st.data())
@pytest.mark.parametrize("operator", OPERATORS)
def test_both_engines_and_the_model_agree(clickhouse_schema: None, operator: str, data: st.DataObject) -> None:
    filters, stored = data.draw(cases(operator))
    try:
        wanted = read_filters(filters, now=NOW, path_rules=[{"regex": r"\d+", "alias": "<n>"}])
    except FilterError:
        reject()
    assume(wanted is not None)
    assert wanted is not None
    expected = in_python(wanted, stored)
    event("some match" if any(expected) and not all(expected) else "all alike")
    in_pg = in_postgres_or_refused(wanted, stored)
    if in_pg is not None:
        assert in_pg == expected
    assert in_clickhouse(wanted, stored) == expected


def in_postgres_or_refused(wanted: Any, stored: list[dict[str, Any]]) -> list[bool] | None:
    try:
        return in_postgres(wanted, stored)
    except FilterError:
        return None
