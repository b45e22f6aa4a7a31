"""persons/funnel: who reached a step, who dropped off, and how the answer looks."""

from datetime import timedelta
from typing import Any

import pytest

from tests.core.insights.asking import (
    DAY,
    HOUR,
    MINUTE,
    NOON,
    Capture,
    asked,
    configure,
    journey,
    people,
    posted,
    refusal,
    steps,
    who,
)
from tests.core.persons.conftest import Api, make_api
from tests.factories import make_team

pytestmark = pytest.mark.usefixtures("clickhouse")
SHOP = steps("view", "cart", "buy")


@pytest.fixture
def shop(capture: Capture) -> None:
    """Ann buys, Ben leaves his cart, Cleo only looks, Dan buys before he looks, Eve looks again after her purchase."""
    journey(capture, "ann", "view", "cart", "buy")
    journey(capture, "ben", "view", "cart")
    journey(capture, "cleo", "view")
    journey(capture, "dan", "buy", "cart", "view")
    journey(capture, "eve", "view", "other", "cart", "other", "buy", "view")


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"funnel_step": 0}, "ann ben cleo dan eve"),
        ({"funnel_step": 1}, "ann ben cleo dan eve"),
        ({"funnel_step": 2}, "ann ben eve"),
        ({"funnel_step": 3}, "ann eve"),
        ({"funnel_step": -2}, "cleo dan"),
        ({"funnel_step": -3}, "ben"),
        ({"funnel_custom_steps": [1, 3]}, "ann cleo dan eve"),
        ({"funnel_custom_steps": [3, 1, 3]}, "ann cleo dan eve"),
        ({"funnel_custom_steps": [2], "funnel_step": 1}, "ben"),
        ({"funnel_custom_steps": [], "funnel_step": 3}, "ann eve"),
        ({"funnel_order_type": "strict", "funnel_step": 3}, "ann"),
        ({"funnel_order_type": "strict", "funnel_step": -2}, "cleo dan eve"),
        ({"funnel_order_type": "unordered", "funnel_step": 3}, "ann dan eve"),
        ({"funnel_order_type": "unordered", "funnel_step": -3}, "ben"),
    ],
)
def test_who_reached_a_step_or_dropped_off(api: Api, shop: None, params: dict[str, Any], expected: str) -> None:
    assert who(asked(api, events=SHOP, **params)) == expected
    assert who(posted(api, events=SHOP, **params)) == expected


def test_the_answer(api: Api, capture: Capture) -> None:
    person = capture("ann", "view", timestamp=NOON, set={"email": "ann@example.org"})
    answer = asked(api, events=steps("view"), funnel_step=1)
    body = answer.json()
    assert set(body) == {"results", "next", "initial", "missing_persons", "is_cached", "last_refresh"}
    assert (body["next"], body["missing_persons"], body["is_cached"]) == (None, 0, False)
    (found,) = people(answer)
    assert set(found) >= {"type", "id", "uuid", "created_at", "properties", "is_identified", "name", "distinct_ids"}
    assert (found["type"], found["id"], found["uuid"]) == ("person", str(person.uuid), str(person.uuid))
    assert (found["name"], found["distinct_ids"]) == ("ann@example.org", ["ann"])
    assert found["properties"]["email"] == "ann@example.org"
    assert (found["matched_recordings"], found["value_at_data_point"]) == ([], None)


def test_list_order_is_not_step_order(api: Api, shop: None) -> None:
    mixed = [{"id": "buy", "order": 2}, {"id": "view"}, {"id": "cart", "order": 1}]
    assert who(asked(api, events=mixed, funnel_step=3)) == "ann eve"


def test_the_example_of_a_dropped_cart(api: Api, capture: Capture) -> None:
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    journey(capture, "ann", "cart_opened", "order_placed", since=now - 5 * DAY)
    journey(capture, "late", "cart_opened", "order_placed", since=now - 5 * DAY, every=3 * DAY + MINUTE)
    journey(capture, "ben", "cart_opened", since=now - 5 * DAY)
    journey(capture, "old", "cart_opened", since=now - 20 * DAY)
    params = {
        "events": [{"id": "cart_opened", "order": 0}, {"id": "order_placed", "order": 1}],
        "date_from": "-14d",
        "date_to": now.isoformat(),
        "funnel_window_interval": 3,
        "funnel_window_interval_unit": "day",
    }
    assert who(asked(api, funnel_step=-2, **params)) == "ben late"
    assert who(asked(api, funnel_step=2, **params)) == "ann"


@pytest.mark.parametrize(
    ("params", "gap", "expected"),
    [
        ({}, timedelta(days=14), "ann"),
        ({}, timedelta(days=14, microseconds=1), ""),
        ({"funnel_window_interval": 30, "funnel_window_interval_unit": "Minute"}, timedelta(minutes=30), "ann"),
        ({"funnel_window_interval": 30, "funnel_window_interval_unit": "minute"}, timedelta(minutes=31), ""),
        ({"funnel_window_interval": 90, "funnel_window_interval_unit": "second"}, timedelta(seconds=90), "ann"),
        ({"funnel_window_interval": 90, "funnel_window_interval_unit": "second"}, timedelta(seconds=91), ""),
        ({"funnel_window_interval": 2, "funnel_window_interval_unit": "HOUR"}, timedelta(hours=2), "ann"),
        ({"funnel_window_interval": 2, "funnel_window_interval_unit": "hour"}, timedelta(hours=3), ""),
        ({"funnel_window_interval": 1, "funnel_window_interval_unit": "week"}, timedelta(days=7), "ann"),
        ({"funnel_window_interval": 1, "funnel_window_interval_unit": "week"}, timedelta(days=8), ""),
        ({"funnel_window_interval": 2}, timedelta(days=2), "ann"),
        ({"funnel_window_interval": 0}, timedelta(days=14), "ann"),
        ({"funnel_window_interval": 2, "funnel_window_days": 5}, timedelta(days=5), "ann"),
        ({"funnel_window_interval": 2, "funnel_window_days": 0}, timedelta(days=5), ""),
    ],
)
def test_the_window_includes_its_end(
    api: Api, capture: Capture, params: dict[str, Any], gap: timedelta, expected: str
) -> None:
    journey(capture, "ann", "view", "cart", every=gap)
    assert who(asked(api, events=steps("view", "cart"), funnel_step=2, **params)) == expected


def test_a_month_is_one_of_the_calendar(api: Api, capture: Capture) -> None:
    params = {"funnel_window_interval": 1, "funnel_window_interval_unit": "month", "date_from": "2024-02-01"}
    since = NOON.replace(month=2, day=3)
    journey(capture, "ann", "view", "cart", since=since, every=timedelta(days=29))
    journey(capture, "ben", "view", "cart", since=since, every=timedelta(days=29, microseconds=1))
    assert who(asked(api, events=steps("view", "cart"), funnel_step=2, **params)) == "ann"


def test_every_step_must_lie_in_the_range(api: Api, capture: Capture) -> None:
    journey(capture, "ann", "view", "cart", since=NOON.replace(day=31), every=DAY)
    assert who(asked(api, events=steps("view", "cart"), funnel_step=2)) == ""
    assert who(asked(api, events=steps("view", "cart"), funnel_step=2, date_to="2024-06-01")) == "ann"


def test_one_event_may_serve_two_steps_unless_the_step_is_repeated(api: Api, capture: Capture) -> None:
    wide = [{"id": "view", "order": 0}, {"id": None, "order": 1}]
    journey(capture, "ann", "view")
    assert who(asked(api, events=wide, funnel_step=2)) == "ann"
    assert who(asked(api, events=steps("view", "view"), funnel_step=2)) == ""
    journey(capture, "ann", "view", since=NOON + HOUR)
    assert who(asked(api, events=steps("view", "view"), funnel_step=2)) == "ann"


def test_exclusions_discard_a_start(api: Api, capture: Capture) -> None:
    without = [{"id": "help", "type": "events", "funnel_from_step": 0, "funnel_to_step": 1}]
    journey(capture, "ann", "view", "help", "cart")
    journey(capture, "ben", "view", "cart", "help")
    journey(capture, "cleo", "view", "help", "view", "cart")
    two = steps("view", "cart")
    assert who(asked(api, events=two, funnel_step=1, exclusions=without)) == "ben cleo"
    assert who(posted(api, events=two, funnel_step=2, exclusions=without)) == "ben cleo"
    whole = [{"id": "help", "funnel_from_step": "0", "funnel_to_step": 1}]
    order = {"funnel_order_type": "unordered"}
    assert who(asked(api, events=two, funnel_step=2, exclusions=whole, **order)) == "ben cleo"
    assert who(asked(api, events=two, funnel_step=2, exclusions=whole, funnel_order_type="strict")) == "ben cleo"


def test_step_properties_and_global_properties(api: Api, capture: Capture) -> None:
    for name, plan in (("ann", "pro"), ("ben", "free")):
        capture(name, "view", timestamp=NOON, properties={"plan": plan}, set={"tier": plan})
        capture(name, "cart", timestamp=NOON + HOUR, properties={"plan": plan})
    pro = [{"key": "plan", "value": "pro"}]
    assert who(asked(api, events=steps("view", properties=pro), funnel_step=1)) == "ann"
    assert who(asked(api, events=steps("view", "cart"), funnel_step=2, properties=pro)) == "ann"
    free = [{"key": "tier", "value": "free", "type": "person"}]
    assert who(asked(api, events=steps("view", "cart"), funnel_step=2, properties=free)) == "ben"


def test_search(api: Api, capture: Capture) -> None:
    for name, mail in (("ann", "ann@example.org"), ("ben", "ben@example.com")):
        capture(name, "view", timestamp=NOON, set={"email": mail})
    assert who(asked(api, events=steps("view"), funnel_step=1, search="example.ORG")) == "ann@example.org"
    assert who(asked(api, events=steps("view"), funnel_step=1, search="ben")) == "ben@example.com"


def test_test_accounts(api: Api, capture: Capture) -> None:
    rule = {"key": "email", "value": "@acme", "operator": "not_icontains", "type": "person"}
    configure(api, test_account_filters=[rule])
    capture("ann", "view", timestamp=NOON, set={"email": "ann@example.org"})
    capture("tester", "view", timestamp=NOON, set={"email": "tester@acme.org"})
    one = {"events": steps("view"), "funnel_step": 1}
    assert len(people(asked(api, **one))) == 2
    assert who(asked(api, **one, filter_test_accounts="true")) == "ann@example.org"
    assert who(posted(api, **one, filter_test_accounts=True)) == "ann@example.org"


def test_merges_and_splits_count_at_once(api: Api, capture: Capture) -> None:
    capture("anon", "view", timestamp=NOON)
    person = capture("ann", "cart", timestamp=NOON + HOUR)
    params = {"events": steps("view", "cart"), "funnel_step": 2}
    assert who(asked(api, **params)) == ""
    capture("ann", "$identify", timestamp=NOON + 2 * HOUR, merge_with="anon")
    assert [found["id"] for found in people(asked(api, **params))] == [str(person.uuid)]
    api.send("POST", f"/{person.uuid}/split/", {"distinct_ids_to_split": ["anon"]})
    assert who(asked(api, **params)) == ""
    assert who(asked(api, **{**params, "funnel_step": -2})) == "anon"


def test_the_earlier_life_of_a_distinct_id_counts_nowhere(api: Api, capture: Capture) -> None:
    person = capture("ann", "view", timestamp=NOON)
    params = {"events": steps("view", "cart")}
    outcome = api.send("DELETE", f"/{person.uuid}/")
    assert outcome.status_code == 204
    assert who(asked(api, **params, funnel_step=1)) == ""
    capture("ann", "cart", timestamp=NOON + HOUR)
    assert who(asked(api, **params, funnel_step=2)) == ""


def test_actors_without_a_person_are_counted_as_missing(api: Api, capture: Capture) -> None:
    from uuid import uuid4

    from core.persons.ingest import IngestTeam, NewEvent, events_ingest

    anonymous = NewEvent(
        uuid=uuid4(), event="view", distinct_id="none", timestamp=NOON, properties={}, person_processing=False
    )
    events_ingest(team=IngestTeam(api.team.id), events=[anonymous])
    capture("ann", "view", timestamp=NOON)
    answer = asked(api, events=steps("view"), funnel_step=1)
    assert (who(answer), answer.json()["missing_persons"]) == ("ann", 1)


def test_other_projects_are_neither_counted_nor_shown(api: Api, stranger: Api, capture: Capture, shop: None) -> None:
    params = {"events": SHOP, "funnel_step": 1}
    assert who(asked(stranger, **params)) == ""
    sister = make_api(make_team(api.team.organization))
    assert who(asked(sister, **params)) == ""
    forbidden = asked(Api(api.team, stranger.client), **params)
    assert forbidden.status_code == 403
    assert who(asked(Api(api.team, api.client, "environments"), **params)) == "ann ben cleo dan eve"


def test_reading_persons_is_enough(api: Api, shop: None) -> None:
    params = {"events": SHOP, "funnel_step": 3}
    reader = make_api(api.team, scopes=("person:read",))
    assert who(asked(reader, **params)) == "ann eve"
    assert who(posted(reader, **params)) == "ann eve"
    assert asked(make_api(api.team, scopes=("cohort:read",)), **params).status_code == 403


def test_a_sample_has_all_or_nothing_of_a_distinct_id(api: Api, shop: None) -> None:
    params = {"events": SHOP, "funnel_step": 1}
    assert who(asked(api, **params, sampling_factor="1")) == "ann ben cleo dan eve"
    assert who(asked(api, **params, sampling_factor="0")) == "ann ben cleo dan eve"
    assert who(asked(api, **params, sampling_factor="0.000001")) == ""


def test_more_steps_than_sensible_are_refused(api: Api) -> None:
    status, _, attr = refusal(posted(api, events=steps(*map(str, range(21))), funnel_step=1))
    assert (status, attr) == (400, "events")
    assert who(posted(api, events=steps(*map(str, range(20))), funnel_step=20)) == ""
