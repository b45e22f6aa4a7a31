"""What a list of elements says is what ClickHouse finds in its chain."""

from types import ModuleType
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from core.persons.elements import elements_chain
from events.filters import elements

SETTINGS = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SOME_TEXT = st.one_of(st.text(alphabet='ab\\"; =:.\n[]Ж😀', max_size=12), st.text(max_size=20))
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | SOME_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SOME_TEXT, inner, max_size=3),
    max_leaves=5,
)
ATTRIBUTE = st.from_regex(r"attr__[A-Za-z@:._-]{1,8}", fullmatch=True)
WORD = st.from_regex(r"[a-zA-Z][a-zA-Z0-9:/\[\]_-]{0,8}", fullmatch=True)


@st.composite
def element(draw: st.DrawFn) -> dict[str, Any]:
    """An element as libraries send it, with texts of any kind."""
    made: dict[str, Any] = draw(st.dictionaries(ATTRIBUTE, SOME_TEXT, max_size=4))
    optional = {
        "tag_name": WORD,
        "$el_text": SOME_TEXT,
        "attr__href": SOME_TEXT,
        "attr__id": SOME_TEXT,
        "nth_child": st.integers(0, 2**40),
        "nth_of_type": st.integers(0, 2**40),
    }
    made |= draw(st.fixed_dictionaries({}, optional=optional))
    classes = draw(st.none() | st.lists(WORD, max_size=4))
    made.pop("attr__class", None)
    if classes is not None:
        made["attr__class"] = draw(st.sampled_from([" ".join(classes), classes]))
    return made


def kept(value: str) -> str:
    """A value as a chain can have it: without backslashes before a quote or the end."""
    parts = value.split('"')
    return '"'.join(part.rstrip("\\") for part in parts)


def meant(one: dict[str, Any]) -> tuple[str, list[str], dict[str, str]]:
    """Tag, classes and attributes that the chain should have."""
    given_classes = one.get("attr__class") or []
    listed = given_classes.split() if isinstance(given_classes, str) else given_classes
    attributes = {
        "nth-child": str(one.get("nth_child", 0)),
        "nth-of-type": str(one.get("nth_of_type", 0)),
        **{
            name: kept(value if isinstance(value, str) else orjson.dumps(value).decode())
            for name, value in one.items()
            if name.startswith("attr__")
        },
    }
    for name, source in (("text", "$el_text"), ("href", "attr__href"), ("attr_id", "attr__id")):
        if one.get(source):
            attributes[name] = kept(one[source])
    return one.get("tag_name", ""), sorted(listed), attributes


@SETTINGS
@given(given_elements=st.lists(element(), min_size=1, max_size=5))
@example(given_elements=[{"tag_name": "a", "$el_text": 'say \\"no\\', "attr__@click": ";", "attr__class": "b:c=d x"}])
@example(given_elements=[{}, {}])
def test_a_chain_says_what_the_list_says(clickhouse: ModuleType, given_elements: list[dict[str, Any]]) -> None:
    value = elements.read("a[2]")
    sql = f"SELECT arrayMap(x -> (x.1, arrayMap(a -> (a[1], {value}), x.2)), {elements.elements('{chain:String}')})"
    ((found,),) = clickhouse.query(sql, {"chain": elements_chain(given_elements)}).rows
    for ((tag, *classes), pairs), one in zip(found, given_elements, strict=True):
        assert (tag, classes, dict(pairs)) == meant(one)
        assert len(dict(pairs)) == len(pairs)


@SETTINGS
@given(
    given_elements=st.lists(
        st.dictionaries(
            SOME_TEXT
            | ATTRIBUTE
            | st.sampled_from(
                ["tag_name", "$el_text", "attr__class", "attr__href", "attr__id", "nth_child", "nth_of_type"]
            ),
            ANY_JSON,
            max_size=6,
        ),
        max_size=4,
    )
)
def test_no_list_of_objects_is_refused(given_elements: list[dict[str, Any]]) -> None:
    chain = elements_chain(given_elements)
    assert chain.count(":") >= len(given_elements)


@pytest.mark.parametrize("text", ["\\" * 1_000_000, '\\"' * 500_000, '"' * 1_000_000])
def test_a_huge_text_takes_no_long_time(text: str) -> None:
    assert elements_chain([{"tag_name": text, "attr__class": text, "attr__data": text}])
