"""Parameters by type: from query strings, JSON, forms, and whatever else is sent."""

import math
from typing import Any

import orjson
import pytest
from django.http import QueryDict
from rest_framework.parsers import FormParser
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from core.api.errors import Invalid
from core.api.parsers import ORJSONParser
from core.insights.parameters import MAX_ITEMS, MOST, Parameters, read_parameters
from events.filters.grammar import MAX_BYTES


def request(query: str = "", body: Any = None, content_type: str = "application/json") -> Request:
    sent = body if isinstance(body, bytes | str) else orjson.dumps(body)
    made = APIRequestFactory().generic("POST", f"/?{query}", b"" if body is None else sent, content_type=content_type)
    return Request(made, parsers=[ORJSONParser(), FormParser()])


def refused(read: Any, name: str = "it", **options: Any) -> tuple[str, str]:
    with pytest.raises(Invalid) as caught:
        read(name, **options)
    assert caught.value.attr == name
    return caught.value.code, caught.value.detail


def it(value: Any) -> Parameters:
    return Parameters({"it": value})


def test_the_body_wins_but_for_paging() -> None:
    found = read_parameters(request("a=1&b=2&limit=5&funnel_correlation_person_offset=7", {
        "b": [3], "limit": 9, "offset": 8, "funnel_correlation_person_offset": 1,
    }))  # fmt: skip
    assert found.values == {
        "a": "1", "b": [3], "limit": "5", "offset": 8, "funnel_correlation_person_offset": "7",
    }  # fmt: skip
    assert found.in_query("b") == "2"
    assert found.in_query("offset") is None
    assert "offset" in found
    assert "c" not in found


def test_forms_and_repeated_names() -> None:
    form = read_parameters(request("a=1&a=2", "b=3&b=4", "application/x-www-form-urlencoded"))
    assert form.values == {"a": "2", "b": "4"}
    assert not isinstance(form.values, QueryDict)


@pytest.mark.parametrize("body", ["[1]", "3", '"text"'])
def test_a_body_that_is_no_object_is_refused(body: str) -> None:
    with pytest.raises(Invalid):
        read_parameters(request(body=body))


def test_text() -> None:
    assert it(None).text("it") is None
    assert it(" ").text("it") is None
    assert it(7).text("it") == "7"
    assert it("a\0b").text("it") == "a\ufffdb"
    for value in ([], {}, True, ["x"]):
        assert refused(it(value).text)[1] == "Not a valid string."


@pytest.mark.parametrize(
    ("value", "number"),
    [(None, 5), ("", 5), (3, 3), ("3", 3), (" -3 ", -3), ("+3", 3), (3.0, 3), (str(MOST), MOST), (-MOST, -MOST)],
)
def test_integers(value: Any, number: int) -> None:
    assert it(value).integer("it", 5) == number


@pytest.mark.parametrize(
    "value", ["3.5", "x", 3.5, True, [], {}, "٣", "1e3", "9" * 50, MOST + 1, 1e300, "0x1", math.inf, math.nan]
)
def test_what_is_no_integer(value: Any) -> None:
    refused(lambda name: it(value).integer(name, 0))


def test_numbers() -> None:
    assert it("0.5").number("it") == 0.5
    assert it(1).number("it") == 1.0
    assert it("").number("it") is None
    for value in ("nan", "inf", "x", True, [], {}, "1e999", 10**400):
        assert refused(it(value).number)[1] == "A valid number is required."


def test_flags_are_read_liberally() -> None:
    for value in (True, "y", "YES", "t", "True", "on", "1", 1):
        assert it(value).flag("it", default=False) is True
    for value in (False, "n", "No", "f", "FALSE", "off", "0", 0, ""):
        assert it(value).flag("it", default=True) is False
    assert it(None).flag("it", default=True) is True
    assert Parameters({}).flag("it", default=True) is True
    for value in ("maybe", 2, 1.0, [], {}):
        assert refused(it(value).flag)[1] == "Must be a valid boolean."


def test_choices() -> None:
    assert it("b").choice("it", ["a", "b"], "a") == "b"
    assert it("").choice("it", ["a", "b"], "a") == "a"
    assert refused(it("c" * 500).choice, choices=["a"], default="a") == (
        "invalid_choice", f'"{"c" * 100}" is not a valid choice.'
    )  # fmt: skip


def test_structured_values() -> None:
    assert it('{"a": [1]}').structured("it") == {"a": [1]}
    assert it({"a": [1]}).structured("it") == {"a": [1]}
    assert it("").structured("it") is None
    assert it('["a\\u0000"]').structured("it") == ["a\ufffd"]
    assert it(["a\0", {"b\0": 1}]).structured("it") == ["a\ufffd", {"b\ufffd": 1}]
    assert "not valid JSON" in refused(it("[1").structured)[1]
    assert refused(it("[" * 900 + "]" * 900).structured)[1] == "The value is nested too deeply."
    assert "not valid JSON" in refused(it("[" * 100_000).structured)[1]
    assert refused(it('"' + "x" * MAX_BYTES + '"').structured)[0] == "max_length"


def test_lists() -> None:
    assert it("[1, 2]").structured_list("it") == [1, 2]
    assert Parameters({}).structured_list("it") == []
    assert refused(it({"a": 1}).structured_list)[0] == "not_a_list"
    assert refused(it([1] * (MAX_ITEMS + 1)).structured_list)[0] == "max_length"
    assert it('["a", "b"]').texts("it") == ["a", "b"]
    assert it(["a"]).texts("it") == ["a"]
    assert it("$pageview").texts("it") == ["$pageview"]
    assert it(None).texts("it") == []
    refused(it([1]).texts)
    refused(it("[1").texts)


def test_replaced() -> None:
    found = Parameters({"a": 1, "b": 2}, {"a": "1"}).replaced(b=3, c=4)
    assert (found.values, found.query) == ({"a": 1, "b": 3, "c": 4}, {"a": "1"})
