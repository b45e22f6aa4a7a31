"""persons/funnel/correlation: what those who converted, or did not, did on their way."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.core.insights.asking import DAY, HOUR, NOON, Capture, asked, configure, journey, people, posted, steps, who
from tests.core.persons.conftest import Api, make_api
from tests.factories import make_team

pytestmark = pytest.mark.usefixtures("clickhouse")
PATH = "/funnel/correlation/"
TWO = steps("cart_opened", "order_placed")
COUPON = {"id": "coupon_used", "type": "events"}
WHOLE = {"events": TWO, "funnel_correlation_person_entity": COUPON}


def correlated(api: Api, **params: Any) -> str:
    """Ask by GET and by POST, which must agree."""
    whole = {**WHOLE, **params}
    found = who(asked(api, PATH, **whole))
    assert who(posted(api, PATH, **whole)) == found
    return found


@pytest.fixture
def shop(capture: Capture) -> None:
    """Ann orders with a coupon, Ben without, Cleo uses one and gives up, Dan gives up, Eve uses hers too late."""
    journey(capture, "ann", "cart_opened", "coupon_used", "order_placed")
    journey(capture, "ben", "cart_opened", "order_placed")
    journey(capture, "cleo", "cart_opened", "coupon_used")
    journey(capture, "dan", "coupon_used", "cart_opened")
    journey(capture, "eve", "cart_opened", "order_placed", "coupon_used")


@pytest.mark.parametrize("kind", [{}, {"funnel_correlation_type": "events"}, {"funnel_correlation_type": "unknown"}])
@pytest.mark.parametrize(
    ("converted", "expected"),
    [("true", "ann"), ("TRUE", "ann"), ("false", "cleo"), ("False", "cleo"), ("", "ann cleo")],
)
def test_the_example_of_coupons(api: Api, shop: None, kind: dict[str, str], converted: str, expected: str) -> None:
    assert correlated(api, **kind, funnel_correlation_person_converted=converted) == expected
    assert correlated(api, **kind) == "ann cleo"


def test_the_answer_is_that_of_a_funnel(api: Api, shop: None) -> None:
    body = posted(api, PATH, **WHOLE).json()
    assert set(body) == {"results", "next", "initial", "missing_persons", "is_cached", "last_refresh"}
    assert (body["results"][0]["count"], body["next"]) == (2, None)


def test_a_funnel_with_such_an_entity_is_its_correlation(api: Api, shop: None) -> None:
    assert who(asked(api, **WHOLE)) == who(posted(api, **WHOLE)) == "ann cleo"
    converted = {**WHOLE, "funnel_correlation_person_converted": "true"}
    assert who(asked(api, **converted)) == "ann"
    page = posted(api, **WHOLE, limit=50, funnel_correlation_person_limit=1).json()
    assert (page["results"][0]["count"], "funnel_correlation_person_offset=1" in page["next"]) == (1, True)


def test_the_events_of_steps_correlate_with_nothing(api: Api, capture: Capture) -> None:
    journey(capture, "ann", "cart_opened", "cart_opened", "order_placed")
    for name in ("cart_opened", "order_placed"):
        assert correlated(api, funnel_correlation_person_entity={"id": name, "type": "events"}) == ""
    assert correlated(api, funnel_correlation_person_entity={"id": None, "type": "events"}) == ""


def test_the_step_chooses_among_the_actors(api: Api, shop: None) -> None:
    assert correlated(api, funnel_step=2) == "ann"
    assert correlated(api, funnel_step=-2) == "cleo"
    assert correlated(api, funnel_custom_steps=[1]) == "cleo"
    assert correlated(api, funnel_step=2, funnel_correlation_person_converted="false") == ""


@pytest.mark.parametrize(
    ("after_cart", "expected"),
    [
        (timedelta(0), ""),
        (timedelta(microseconds=1), "ann ben"),
        (2 * DAY - timedelta(microseconds=1), "ann ben"),
        (2 * DAY, "ben"),
        (3 * DAY - timedelta(microseconds=1), "ben"),
        (3 * DAY, ""),
    ],
)
def test_the_event_lies_between_the_steps_or_within_the_window(
    api: Api, capture: Capture, after_cart: timedelta, expected: str
) -> None:
    journey(capture, "ann", "cart_opened", "order_placed", every=2 * DAY)
    journey(capture, "ben", "cart_opened")
    for name in ("ann", "ben"):
        capture(name, "coupon_used", timestamp=NOON + after_cart)
    assert correlated(api, funnel_window_interval=3) == expected


def test_the_event_lies_in_the_range(api: Api, capture: Capture) -> None:
    journey(capture, "ann", "cart_opened", "coupon_used", since=NOON.replace(day=31), every=12 * HOUR)
    assert correlated(api) == ""
    assert correlated(api, date_to="2024-06-01") == "ann"
    explicit = {"date_from": "2024-05-01T00:00:00", "explicit_date": "true"}
    assert correlated(api, **explicit, date_to="2024-06-01T00:00:00") == ""
    assert correlated(api, **explicit, date_to="2024-06-01T00:00:00.000001") == "ann"


def test_the_earliest_of_the_best_chains_counts(api: Api, capture: Capture) -> None:
    journey(capture, "ann", "cart_opened", "coupon_used", "order_placed")
    journey(capture, "ann", "cart_opened", "order_placed", since=NOON + DAY)
    journey(capture, "ben", "cart_opened", "order_placed")
    journey(capture, "ben", "cart_opened", "coupon_used", "order_placed", since=NOON + DAY)
    assert correlated(api, funnel_correlation_person_converted="true") == "ann"


def test_with_properties_of_the_event_the_person_and_the_element(api: Api, capture: Capture) -> None:
    for name, size in (("ann", "big"), ("ben", "small")):
        capture(name, "cart_opened", timestamp=NOON, set={"plan": name})
        capture(name, "coupon_used", timestamp=NOON + HOUR, properties={"size": size})

    def by(properties: list[dict[str, Any]]) -> str:
        return correlated(
            api,
            funnel_correlation_type="event_with_properties",
            funnel_correlation_person_entity={**COUPON, "properties": properties},
        )

    assert by([{"key": "size", "value": "big"}]) == "ann"
    assert by([{"key": "plan", "value": "ben", "type": "person"}]) == "ben"
    assert by([{"key": "size", "value": "big"}, {"key": "plan", "value": "ben", "type": "person"}]) == ""


def test_with_elements(api: Api, capture: Capture) -> None:
    for name, text in (("ann", "Help"), ("ben", "Prices")):
        capture(name, "cart_opened", timestamp=NOON)
        elements = [{"tag_name": "a", "$el_text": text, "attr__href": f"/{text.lower()}"}]
        capture(name, "$autocapture", timestamp=NOON + HOUR, properties={"$elements": elements})
    for key, value in (("text", "Help"), ("href", "/help")):
        entity = {
            "id": "$autocapture",
            "type": "events",
            "properties": [
                {"key": key, "value": [value], "type": "element", "operator": "exact"},
                {"key": "tag_name", "value": "a", "type": "element", "operator": "exact"},
            ],
        }
        found = correlated(
            api, funnel_correlation_type="event_with_properties", funnel_correlation_person_entity=entity
        )
        assert found == "ann"


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, "ann cleo"),
        ({"funnel_correlation_person_converted": "true"}, "ann"),
        ({"funnel_correlation_person_converted": "false"}, "cleo"),
        ({"funnel_correlation_property_values": [{"key": "plan", "type": "person", "value": ["pro", "free"]}]},
         "ann ben cleo"),
        ({"funnel_correlation_property_values": '[{"key": "plan", "type": "person", "value": "free"}]'}, "ben"),
        ({"properties": [{"key": "name", "type": "person", "value": "ann"}]}, "ann"),
    ],
)  # fmt: skip
def test_properties_need_no_event(api: Api, capture: Capture, params: dict[str, Any], expected: str) -> None:
    for name, plan, names in (
        ("ann", "pro", ("cart_opened", "order_placed")),
        ("ben", "free", ("cart_opened", "order_placed")),
        ("cleo", "pro", ("cart_opened",)),
    ):
        journey(capture, name, *names)
        capture(name, "$set", set={"plan": plan, "name": name})
    whole = {
        "funnel_correlation_type": "properties",
        "funnel_correlation_property_values": [{"key": "plan", "value": "pro", "type": "person", "operator": "exact"}],
        **params,
    }
    assert correlated(api, **whole) == expected
    without_entity = {"events": TWO, **whole}
    assert who(posted(api, PATH, **without_entity)) == expected


def test_groups_correlate_too(api: Api, capture: Capture) -> None:
    firm = {"$group_type": "firm", "$group_key": "acme", "$group_set": {"size": 3}}
    capture("ann", "$groupidentify", timestamp=NOON, properties=firm)
    belonging = {"properties": {"$groups": {"firm": "acme"}}}
    capture("ann", "cart_opened", timestamp=NOON, **belonging)
    capture("ben", "coupon_used", timestamp=NOON + HOUR, **belonging)
    params = {**WHOLE, "aggregation_group_type_index": 0}
    assert [one["id"] for one in people(asked(api, PATH, **params))] == ["acme"]
    assert correlated(api) == ""


def test_unordered_and_strict_funnels(api: Api, capture: Capture) -> None:
    journey(capture, "ann", "order_placed", "coupon_used", "cart_opened")
    journey(capture, "ben", "cart_opened", "coupon_used", "order_placed")
    unordered = {"funnel_order_type": "unordered", "funnel_correlation_person_converted": "true"}
    assert correlated(api, **unordered) == "ann ben"
    strict = {"funnel_order_type": "strict"}
    assert correlated(api, **strict, funnel_correlation_person_converted="true") == ""
    assert correlated(api, **strict, funnel_correlation_person_converted="false") == "ben"


def test_test_accounts_and_search_hold_for_the_funnel(api: Api, shop: None, capture: Capture) -> None:
    capture("ann", "$set", set={"email": "ann@acme.org"})
    rule = {"key": "email", "value": "@acme", "operator": "not_icontains", "type": "person"}
    configure(api, test_account_filters=[rule])
    assert correlated(api, filter_test_accounts="true") == "cleo"
    assert correlated(api, search="acme") == "ann@acme.org"


def test_merges_and_splits_count_at_once(api: Api, capture: Capture) -> None:
    capture("anon", "coupon_used", timestamp=NOON + HOUR)
    journey(capture, "ann", "cart_opened", "order_placed", every=2 * HOUR)
    assert correlated(api) == ""
    person = capture("ann", "$identify", timestamp=NOON + 3 * HOUR, merge_with="anon")
    assert [found["id"] for found in people(asked(api, PATH, **WHOLE))] == [str(person.uuid)]
    api.send("POST", f"/{person.uuid}/split/", {"distinct_ids_to_split": ["anon"]})
    assert correlated(api) == ""


def test_other_projects_have_nothing(api: Api, stranger: Api, shop: None) -> None:
    assert correlated(stranger) == ""
    assert correlated(make_api(make_team(api.team.organization))) == ""
    assert asked(Api(api.team, stranger.client), PATH, **WHOLE).status_code == 403
    assert who(posted(Api(api.team, api.client, "environments"), PATH, **WHOLE)) == "ann cleo"


def test_reading_persons_is_enough(api: Api, shop: None) -> None:
    assert correlated(make_api(api.team, scopes=("person:read",))) == "ann cleo"
    assert asked(make_api(api.team, scopes=("cohort:read",)), PATH, **WHOLE).status_code == 403


def test_pages_have_parameters_of_their_own(api: Api, capture: Callable[..., Any]) -> None:
    for number in range(5):
        journey(capture, f"person {number}", "cart_opened", "coupon_used")
    params = {
        "events": TWO,
        "funnel_correlation_person_entity": COUPON,
        "funnel_correlation_person_limit": 2,
        "limit": 1,
        "offset": 3,
    }
    answer = asked(api, PATH, **params)
    first, found = answer.json()["initial"], []
    while True:
        body = answer.json()
        assert body["initial"] == first
        found += [person["id"] for person in people(answer)]
        if body["next"] is None:
            break
        assert body["next"].startswith("http://testserver/api/projects/")
        answer = api.client.get(body["next"])
    assert (len(found), len(set(found))) == (5, 5)

    body = {**params, "date_from": "2024-05-01", "date_to": "2024-05-31"}
    address, found = api.url(PATH), []
    while address is not None:
        answer = api.client.post(address, body, content_type="application/json")
        found += [person["id"] for person in people(answer)]
        address = answer.json()["next"]
    assert (len(found), len(set(found))) == (5, 5)
