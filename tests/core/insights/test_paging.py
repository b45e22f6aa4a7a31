"""Pages and their links."""

from typing import Any

import pytest
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from core.api.errors import Invalid
from core.insights.paging import Page, links, read_page
from core.insights.parameters import Parameters

HOST = "http://testserver"


def request(query: str) -> Request:
    return Request(APIRequestFactory().get("/api/x/", QUERY_STRING=query))


@pytest.mark.parametrize(
    ("given", "page"),
    [
        ({}, (100, 0)),
        ({"limit": "0", "offset": ""}, (100, 0)),
        ({"limit": 3, "offset": "40"}, (3, 40)),
        ({"limit": 10_001}, (10_000, 0)),
        ({"limit": 10**15}, (10_000, 0)),
    ],
)
def test_pages(given: dict[str, Any], page: tuple[int, int]) -> None:
    assert read_page(Parameters(given)) == Page(*page)


@pytest.mark.parametrize("name", ["limit", "offset"])
@pytest.mark.parametrize("value", [-1, "-1", "x", "1.5", [1], 10**30])
def test_what_is_no_page(name: str, value: Any) -> None:
    with pytest.raises(Invalid) as caught:
        read_page(Parameters({name: value}))
    assert caught.value.attr == name


def test_pages_of_correlations_have_names_of_their_own() -> None:
    given = Parameters({"limit": 1, "funnel_correlation_person_limit": 2, "funnel_correlation_person_offset": 4})
    page = read_page(given, prefix="funnel_correlation_person_")
    assert page == Page(2, 4, "funnel_correlation_person_offset")
    following, first = links(request("offset=1&funnel_correlation_person_offset=4"), page, 2)
    assert following == f"{HOST}/api/x/?offset=1&funnel_correlation_person_offset=6"
    assert first == f"{HOST}/api/x/?offset=1"


@pytest.mark.parametrize(
    ("query", "following", "first"),
    [
        ("", "?offset=15", ""),
        ("offset=10", "?offset=15", ""),
        ("a=1&offset=10&b=2", "?a=1&offset=15&b=2", "?a=1&b=2"),
        ("a=1&b=2", "?a=1&b=2&offset=15", "?a=1&b=2"),
        ("offset=3&x=1&offset=10", "?offset=15&x=1", "?x=1"),
        ("%6fffset=10&x=1", "?offset=15&x=1", "?x=1"),
        ("my_offset=10&date_offset=1", "?my_offset=10&date_offset=1&offset=15", "?my_offset=10&date_offset=1"),
        (
            'events=[{"id":"a+b%20c"}]&&flag&e=%2B%c3%a4',
            '?events=[{"id":"a+b%20c"}]&&flag&e=%2B%c3%a4&offset=15',
            '?events=[{"id":"a+b%20c"}]&&flag&e=%2B%c3%a4',
        ),
        ("q=ä", "?q=%E4&offset=15", "?q=%E4"),
    ],
)
def test_links_change_one_parameter_alone(query: str, following: str, first: str) -> None:
    assert links(request(query), Page(5, 10), 5) == (f"{HOST}/api/x/{following}", f"{HOST}/api/x/{first}")


def test_a_page_that_is_not_full_is_the_last() -> None:
    assert links(request("limit=5"), Page(5, 0), 4) == (None, f"{HOST}/api/x/?limit=5")
    assert links(request("limit=5"), Page(5, 0), 5)[0] == f"{HOST}/api/x/?limit=5&offset=5"
