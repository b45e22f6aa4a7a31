"""Forms of the browsable pages: what is shown is read back as it was."""

from typing import Any

import orjson
import pytest
from django.http import QueryDict
from hypothesis import given, settings
from hypothesis import strategies as st
from rest_framework import serializers

from core.api.forms import MARK, example_body, fields_of, form_values, with_object

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


class Everything(serializers.Serializer[Any]):
    """One field of each kind."""

    text = serializers.CharField(allow_blank=True)
    maybe = serializers.CharField(required=False, allow_null=True)
    whole = serializers.IntegerField(required=False)
    ratio = serializers.FloatField(required=False, allow_null=True)
    flag = serializers.BooleanField(required=False)
    three = serializers.BooleanField(required=False, allow_null=True)
    level = serializers.ChoiceField(choices=[(1, "member"), (8, "admin")], required=False)
    names = serializers.ListField(child=serializers.CharField(), required=False)
    numbers = serializers.ListField(child=serializers.IntegerField(), required=False)
    uuids = serializers.ListField(child=serializers.UUIDField(), required=False, allow_null=True)
    things = serializers.DictField(required=False)
    rules = serializers.ListField(child=serializers.DictField(), required=False)
    value = serializers.JSONField(required=False, allow_null=True)
    made_at = serializers.DateTimeField(read_only=True)


FIELDS = fields_of(Everything())
KINDS: dict[str, Any] = {
    "text": TEXT,
    "maybe": st.none() | TEXT.filter(bool),
    "whole": st.integers(-(10**18), 10**18),
    "ratio": st.none() | st.floats(allow_nan=False, allow_infinity=False),
    "flag": st.booleans(),
    "three": st.none() | st.booleans(),
    "level": st.sampled_from([1, 8]),
    "names": st.lists(TEXT, min_size=1, max_size=4),
    "numbers": st.lists(st.integers(-(10**18), 10**18), min_size=1, max_size=4),
    "uuids": st.none() | st.lists(st.uuids().map(str), min_size=1, max_size=3),
    "things": st.dictionaries(TEXT, JSON, max_size=3),
    "rules": st.lists(st.dictionaries(TEXT, JSON, max_size=2), max_size=2),
    "value": st.none() | JSON.filter(lambda value: value != ""),
}


def post(texts: dict[str, str | list[str]], filled: str = "") -> QueryDict:
    body = QueryDict(mutable=True)
    body[MARK] = filled
    for name, text in texts.items():
        body.setlist(name, text if isinstance(text, list) else [text])
    return body


def read(texts: dict[str, str | list[str]], filled: str = "") -> dict[str, Any]:
    return form_values(post(texts, filled), FIELDS)


@settings(deadline=None)
@given(st.fixed_dictionaries(KINDS))
def test_an_object_shown_and_sent_back_is_the_same_object(thing: dict[str, Any]) -> None:
    shown = with_object(FIELDS, thing)
    filled = " ".join(field.name for field in shown if field.value)
    # Browsers end the lines of text areas with both characters.
    sent = {field.name: field.value.replace("\n", "\r\n") for field in shown}
    expected = {name: value for name, value in thing.items() if value is not None and (value != "" or name == "text")}
    assert read(sent, filled) == expected


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([*KINDS, "other"]), st.text(max_size=40)), st.text(max_size=20))
def test_no_text_fails(texts: dict[str, str], filled: str) -> None:
    assert set(read(dict(texts), filled)) <= {*KINDS, "other"}


def test_what_was_never_filled_in_is_absent() -> None:
    assert read(dict.fromkeys(KINDS, "")) == {"text": ""}


def test_what_was_emptied_is_emptied() -> None:
    found = read(dict.fromkeys(KINDS, ""), " ".join(KINDS))
    assert found == {
        "text": "", "maybe": None, "ratio": None, "three": None, "names": [], "numbers": [], "uuids": None,
        "things": {}, "rules": [], "value": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("names", "a, b\r\n c", ["a, b", " c"]),
        ("names", '["a", "b"]', ["a", "b"]),
        ("names", "[not json", "[not json"),
        ("names", ["a", "b"], ["a", "b"]),
        ("numbers", "1, 2 3\n4", [1, 2, 3, 4]),
        ("numbers", "1, x", [1, "x"]),
        ("whole", "x", "x"),
        ("whole", "9" * 30, "9" * 30),
        ("level", "8", 8),
        ("level", "9", "9"),
        ("things", "{oops", "{oops"),
        ("value", "00123", "00123"),
        ("value", '"12"', "12"),
        ("value", "12", 12),
        ("value", "plain", "plain"),
        ("text", "12", "12"),
        ("text", " ", " "),
        ("flag", "perhaps", "perhaps"),
    ],
)
def test_texts_are_read_by_kind_or_left_for_the_view_to_refuse(name: str, text: Any, value: Any) -> None:
    assert read({name: text})[name] == value


def test_examples_have_the_right_types() -> None:
    body = orjson.loads(example_body(Everything(), {}))
    assert body == {
        "text": "", "maybe": None, "ratio": None, "flag": False, "three": None, "names": [], "numbers": [],
        "uuids": None, "things": {}, "rules": [], "value": None,
    }  # fmt: skip
    assert orjson.loads(example_body(Everything(), {"level": 8, "made_at": "now"}))["level"] == 8
