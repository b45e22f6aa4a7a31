"""persons/path: who went along which path, from ingested events to the answer."""

from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any
from uuid import UUID

import pytest
import time_machine

from core.outbox.services import outbox_drain
from tests.core.capture.helpers import assert_accepted, post
from tests.core.capture.test_recordings import SESSION, START, WINDOW, snapshot
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
    steps,
    who,
)
from tests.core.persons.conftest import Api, make_api
from tests.factories import make_team

pytestmark = pytest.mark.usefixtures("clickhouse")
PATH = "/path/"
VIEWS = {"include_event_types": ["$pageview"]}


def views(capture: Capture, name: str, *urls: Any, since: datetime = NOON, every: timedelta = MINUTE) -> None:
    """Capture page views of one person, evenly spaced."""
    for number, url in enumerate(urls):
        properties = {} if url is None else {"$current_url": url}
        capture(name, "$pageview", timestamp=since + every * number, properties=properties)


@pytest.fixture
def site(capture: Capture) -> None:
    """Ann signs up after the prices, Ben reads the docs between them, Cleo comes back half an hour later."""
    views(capture, "ann", "/pricing", "/signup", "/done")
    views(capture, "ben", "/pricing/", "/docs", "/signup")
    views(capture, "cleo", "/pricing", "/pricing/", "/signup", every=30 * MINUTE)
    views(capture, "dan", "/", "/pricing", "/pricing/", "/signup")


def test_the_example_of_the_specification(api: Api, capture: Capture, site: None) -> None:
    capture("eve", "/pricing", timestamp=NOON)
    capture("eve", "/signup", timestamp=NOON + MINUTE)
    params = {**VIEWS, "path_start_key": "1_/pricing", "path_end_key": "2_/signup"}
    assert who(asked(api, PATH, **params)) == "ann"
    assert who(posted(api, PATH, **params)) == "ann"


def test_the_answer(api: Api, capture: Capture) -> None:
    person = capture("ann", "$pageview", timestamp=NOON, properties={"$current_url": "/"}, set={"email": "a@b.org"})
    answer = asked(api, PATH, path_end_key="1_/")
    body = answer.json()
    assert set(body) == {"results", "next", "initial", "missing_persons", "is_cached", "last_refresh"}
    assert (body["next"], body["missing_persons"], body["is_cached"]) == (None, 0, False)
    (found,) = people(answer)
    assert (found["type"], found["id"], found["name"]) == ("person", str(person.uuid), "a@b.org")
    assert (found["matched_recordings"], found["value_at_data_point"]) == ([], None)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, "ann ben cleo dan"),
        ({"path_start_key": "1_/pricing"}, "ann ben"),
        ({"path_start_key": "2_/signup"}, "ann"),
        ({"path_end_key": "1_/pricing"}, "ann ben cleo"),
        ({"path_end_key": "1_/signup"}, "cleo"),
        ({"path_end_key": "3_/signup"}, "ben dan"),
        ({"path_start_key": "1_/pricing", "path_end_key": "3_/signup"}, ""),
        ({"path_dropoff_key": "1_/pricing"}, "cleo"),
        ({"path_dropoff_key": "3_/signup"}, "ben dan"),
        ({"path_dropoff_key": "3_/done", "path_start_key": "nobody", "path_end_key": "7_"}, "ann"),
        ({"path_dropoff_key": "2_/signup", "step_limit": 2}, "ann"),
        ({"path_dropoff_key": "2_/docs", "step_limit": "2"}, "ben"),
        ({"path_dropoff_key": "3_/done", "step_limit": 0}, "ann"),
        ({"path_end_key": "4_/signup"}, ""),
        ({"path_end_key": "/signup"}, ""),
        ({"path_end_key": "0_/pricing"}, ""),
        ({"path_start_key": "0_/pricing"}, ""),
        ({"path_end_key": "999999999_/pricing"}, ""),
        ({"path_end_key": "9999999999999_/pricing"}, ""),
        ({"start_point": "/pricing", "path_end_key": "2_/signup"}, "ann dan"),
        ({"start_point": "/pricing/", "path_end_key": "2_/signup"}, "ann dan"),
        ({"start_point": "/docs"}, "ben"),
        ({"end_point": "/done"}, "ann"),
        ({"end_point": "/signup/", "path_dropoff_key": "1_/signup", "step_limit": 1}, "ann ben cleo dan"),
        ({"end_point": "/signup", "path_dropoff_key": "1_/signup"}, "cleo"),
        ({"start_point": "/pricing", "end_point": "/signup"}, "ann ben dan"),
        ({"start_point": "/signup", "end_point": "/pricing"}, ""),
        ({"start_point": "/signup", "end_point": "/signup"}, "ann ben cleo dan"),
        ({"start_point": "/", "end_point": "/signup", "step_limit": 2, "path_end_key": "2_..."}, "dan"),
        ({"start_point": "/", "end_point": "/signup", "step_limit": 1, "path_dropoff_key": "1_..."}, "dan"),
        ({"exclude_events": ["/docs"], "path_end_key": "2_/signup"}, "ann ben"),
        ({"edge_limit": 0, "min_edge_weight": 50, "max_edge_weight": 1}, "ann ben cleo dan"),
    ],
)
def test_which_paths(api: Api, site: None, params: dict[str, Any], expected: str) -> None:
    assert who(asked(api, PATH, **VIEWS, **params)) == expected
    assert who(posted(api, PATH, **VIEWS, **params)) == expected


@pytest.mark.parametrize(
    ("gap", "place"), [(timedelta(minutes=30) - timedelta(microseconds=1), 2), (timedelta(minutes=30), 1)]
)
def test_a_session_ends_after_half_an_hour(api: Api, capture: Capture, gap: timedelta, place: int) -> None:
    journey(capture, "ann", "a", "b", every=gap)
    assert who(asked(api, PATH, path_end_key=f"{place}_b")) == "ann"
    assert who(asked(api, PATH, path_end_key=f"{3 - place}_b")) == ""


class TestItems:
    @pytest.fixture(autouse=True)
    def mixed(self, capture: Capture) -> None:
        """One session: a page, a screen, a custom event, one of the library, and things without a name."""
        views(capture, "ann", "https://x.org/a/")
        capture("ann", "$screen", timestamp=NOON + 2 * MINUTE, properties={"$screen_name": "Home"})
        capture("ann", "bought", timestamp=NOON + 3 * MINUTE)
        capture("ann", "$rageclick", timestamp=NOON + 4 * MINUTE)
        views(capture, "ann", None, since=NOON + 5 * MINUTE)

    @pytest.mark.parametrize(
        ("params", "path"),
        [
            ({}, ["https://x.org/a", "Home", "bought", "$rageclick", ""]),
            ({"include_event_types": []}, ["https://x.org/a", "Home", "bought", "$rageclick", ""]),
            (VIEWS, ["https://x.org/a", ""]),
            ({"include_event_types": ["$screen"]}, ["Home"]),
            ({"include_event_types": ["custom_event"]}, ["bought"]),
            ({"include_event_types": ["$screen", "custom_event"]}, ["Home", "bought"]),
            ({"include_custom_events": ["$rageclick", "bought"]}, ["bought", "$rageclick"]),
            ({"include_custom_events": ["$pageview"]}, ["$pageview"]),
            ({**VIEWS, "include_custom_events": ["$screen"]}, ["https://x.org/a", "$screen", ""]),
            ({"exclude_events": ["$pageview"]}, ["Home", "bought", "$rageclick"]),
            ({**VIEWS, "exclude_events": ["$pageview"]}, ["https://x.org/a", ""]),
            ({"exclude_events": ["Home", "", "bought"]}, ["https://x.org/a", "$rageclick"]),
            ({"path_groupings": ["x.org/*", "rage"]}, ["x.org/*", "Home", "bought", "rage", ""]),
            ({"path_groupings": ["*o*"]}, ["*o*", "$rageclick", ""]),
            ({"path_groupings": ["%", "_", "\\", "."]}, [".", "Home", "bought", "$rageclick", ""]),
            ({"path_groupings": ["Home", "o"], "exclude_events": ["o"]}, ["Home", "$rageclick", ""]),
            (
                {"local_path_cleaning_filters": [{"regex": "^https?://([^/]+)/.*", "alias": "\\1!\\\\"}]},
                ["x.org!\\", "Home", "bought", "$rageclick", ""],
            ),
            (
                {"local_path_cleaning_filters": [{"regex": "o", "alias": "0"}, {"regex": "0m", "alias": "<id>"}]},
                ["https://x.0rg/a", "H<id>e", "b0ught", "$rageclick", ""],
            ),
        ],
    )
    def test_which_events_and_under_which_name(self, api: Api, params: dict[str, Any], path: list[str]) -> None:
        for place, item in enumerate(path, 1):
            assert who(asked(api, PATH, **params, path_end_key=f"{place}_{item}")) == "ann", item
        assert who(asked(api, PATH, **params, path_dropoff_key=f"{len(path)}_{path[-1]}")) == "ann"

    def test_rules_of_the_project(self, api: Api) -> None:
        rules = [{"regex": "^https://[^/]*", "alias": ""}, {"regex": "a$", "alias": "b"}]
        configure(api, path_cleaning_filters=rules)
        local = [{"regex": "b$", "alias": "local"}]
        params = {"path_end_key": "1_/local", "local_path_cleaning_filters": local}
        assert who(asked(api, PATH, **params, path_replacements=True)) == "ann"
        assert who(asked(api, PATH, **params)) == ""
        assert who(asked(api, PATH, path_end_key="1_/b", path_replacements="true")) == "ann"

    def test_rules_of_the_project_that_cannot_work_do_nothing(self, api: Api) -> None:
        api.team.settings = {"path_cleaning_filters": [{"regex": "(", "alias": ""}, {"regex": "a", "alias": "\\1"}, 7]}
        api.team.save()
        assert who(asked(api, PATH, path_end_key="1_https://x.org/a", path_replacements="true")) == "ann"


def test_filters_and_dates(api: Api, capture: Capture) -> None:
    capture("ann", "a", timestamp=NOON, properties={"plan": "pro"})
    capture("ann", "b", timestamp=NOON + MINUTE)
    capture("ann", "c", timestamp=NOON + 2 * MINUTE, properties={"plan": "pro"})
    pro = [{"key": "plan", "value": "pro"}]
    assert who(asked(api, PATH, path_end_key="2_c")) == ""
    assert who(asked(api, PATH, path_end_key="2_c", properties=pro)) == "ann"
    later = {"date_from": (NOON + MINUTE).isoformat(), "explicit_date": "true"}
    assert who(asked(api, PATH, path_end_key="1_b", **later)) == "ann"
    assert who(asked(api, PATH, search="ANN")) == "ann"
    assert who(asked(api, PATH, search="nobody")) == ""
    configure(api, test_account_filters=[{"key": "plan", "value": "pro", "operator": "is_not"}])
    assert who(asked(api, PATH, path_start_key="1_b", filter_test_accounts="true")) == ""
    assert who(asked(api, PATH, path_end_key="1_b", filter_test_accounts="true")) == "ann"


def test_a_merge_joins_two_paths(api: Api, capture: Capture) -> None:
    capture("anon", "a", timestamp=NOON)
    capture("ann", "b", timestamp=NOON + MINUTE)
    keys = {"path_start_key": "1_a", "path_end_key": "2_b"}
    assert who(asked(api, PATH, **keys)) == ""
    capture("ann", "$identify", timestamp=NOON + HOUR, merge_with="anon")
    assert len(people(asked(api, PATH, **keys))) == 1


def test_of_equal_times_the_smaller_uuid_comes_first(api: Api, capture: Capture) -> None:
    for number, name in ((2**128 - 1, "c"), (2**124 - 1, "a"), (2**124, "b")):
        capture("ann", name, timestamp=NOON, uuid=UUID(int=number))
    for key in ("1_a", "2_b", "3_c"):
        assert who(asked(api, PATH, path_end_key=key)) == "ann"


def test_other_projects_are_neither_counted_nor_shown(api: Api, stranger: Api, site: None) -> None:
    assert who(asked(stranger, PATH)) == ""
    assert who(asked(make_api(make_team(api.team.organization)), PATH)) == ""
    assert asked(Api(api.team, stranger.client), PATH).status_code == 403
    assert who(asked(Api(api.team, api.client, "environments"), PATH)) == "ann ben cleo dan"
    assert who(asked(make_api(api.team, scopes=("person:read",)), PATH)) == "ann ben cleo dan"


@pytest.mark.parametrize("limit", [1, 3, 5])
def test_page_by_page(api: Api, capture: Capture, limit: int) -> None:
    for number in range(5):
        journey(capture, f"p{number}", "a", "b", every=MINUTE)
    answer, pages = asked(api, PATH, path_end_key="2_b", limit=limit), []
    while True:
        pages.append([person["id"] for person in people(answer)])
        if answer.json()["next"] is None:
            break
        answer = api.client.get(answer.json()["next"])
    found = list(chain.from_iterable(sorted(page) for page in pages))
    assert found == sorted(set(found))
    assert (len(found), len(pages)) == (5, 5 // limit + 1)


class TestFunnelPaths:
    @pytest.fixture(autouse=True)
    def shop(self, capture: Capture) -> None:
        """Ann looks, reads help, buys and says thanks; Ben looks, reads help and leaves; Cleo only says thanks."""
        journey(capture, "ann", "hello", "view", "help", "buy", "thanks", every=HOUR)
        journey(capture, "ben", "view", "help", "thanks", every=HOUR)
        journey(capture, "cleo", "thanks")

    def asked(self, api: Api, place: str, number: int, **params: Any) -> str:
        dates = {"date_from": "2024-05-01", "date_to": "2024-05-31"}
        funnel = {"events": steps("view", "buy"), "funnel_step": number, **dates}
        word = f"funnel_path_{place}"
        return who(posted(api, PATH, funnel_paths=word, funnel_filter=funnel, **params))

    def test_after_a_step(self, api: Api) -> None:
        assert self.asked(api, "after_step", 1) == "ann ben"
        assert self.asked(api, "after_step", 1, path_end_key="2_help") == "ann ben"
        assert self.asked(api, "after_step", 2, path_start_key="1_buy", path_end_key="2_thanks") == "ann"
        assert self.asked(api, "after_step", 2, path_end_key="1_help") == ""
        assert self.asked(api, "after_step", -2, path_dropoff_key="3_thanks") == "ben"

    def test_before_a_step(self, api: Api) -> None:
        assert self.asked(api, "before_step", 2, path_dropoff_key="4_buy") == "ann"
        assert self.asked(api, "before_step", 1, path_dropoff_key="2_view") == "ann"
        assert self.asked(api, "before_step", -2, path_dropoff_key="1_view") == "ben"
        assert self.asked(api, "before_step", -2, path_dropoff_key="3_thanks") == ""
        assert self.asked(api, "before_step", -2, path_dropoff_key="3_thanks", funnel_step=-2) == "ben"

    def test_between_steps(self, api: Api) -> None:
        keys = {"path_end_key": "1_view", "path_dropoff_key": "3_buy"}
        assert self.asked(api, "between_steps", 2, **keys) == "ann"

    def test_a_gap_is_the_funnels_window(self, api: Api) -> None:
        short = {"events": steps("view", "buy"), "funnel_step": 1, "funnel_window_interval": 1}
        funnel = {**short, "funnel_window_interval_unit": "hour", "date_from": "2024-05-01", "date_to": "2024-05-31"}
        params = {"funnel_paths": "funnel_path_after_step", "funnel_filter": funnel}
        assert who(asked(api, PATH, **params, path_end_key="1_help")) == "ann ben"
        assert who(asked(api, PATH, **params, path_end_key="2_help")) == ""

    def test_a_filter_alone_does_nothing(self, api: Api) -> None:
        assert who(asked(api, PATH, funnel_filter={"events": steps("buy"), "funnel_step": 1})) == "ann ben cleo"


class TestRecordings:
    @pytest.fixture(autouse=True)
    def recorded(self, api: Api, capture: Capture) -> None:
        """Ann's session is recorded: a, b twice, c."""
        self.begun = datetime.fromtimestamp(START / 1000, UTC)
        assert_accepted(post("/s/", [snapshot(api.team)]))
        for minute, name in enumerate("abbc"):
            seen = {"$session_id": SESSION, "$window_id": WINDOW}
            capture("ann", name, timestamp=self.begun + MINUTE * minute, properties=seen)
        capture("ben", "a", timestamp=self.begun, properties={"$session_id": "unrecorded"})
        self.dates = {"date_from": "2025-10-01", "date_to": "2025-10-31", "include_recordings": "true"}

    @pytest.mark.parametrize(
        ("params", "minutes"),
        [
            ({}, [0, 2, 3]),
            ({"path_end_key": "2_b"}, [2]),
            ({"path_start_key": "1_a"}, [2]),
            ({"path_start_key": "2_b", "path_end_key": "3_c"}, [3]),
            ({"path_dropoff_key": "3_c"}, [3]),
            ({"start_point": "a", "end_point": "c", "step_limit": 2}, [0, 3]),
            ({"start_point": "b"}, [2, 3]),
            ({"end_point": "b"}, [0, 2]),
        ],
    )
    def test_events_of_the_wanted_items(self, api: Api, params: dict[str, Any], minutes: list[int]) -> None:
        found = {one["name"]: one["matched_recordings"] for one in people(asked(api, PATH, **self.dates, **params))}
        assert found.get("ben", []) == []
        ((recording,),) = [found["ann"]]
        assert recording["session_id"] == SESSION
        times = [datetime.fromisoformat(event["timestamp"]) for event in recording["events"]]
        assert times == [self.begun + MINUTE * minute for minute in minutes]
        assert {event["window_id"] for event in recording["events"]} == {WINDOW}

    def test_at_most_a_hundred_events(self, api: Api, capture: Capture) -> None:
        for number in range(120):
            seen = {"$session_id": SESSION, "$window_id": WINDOW}
            capture("ann", f"e{number}", timestamp=self.begun + timedelta(seconds=240 + number), properties=seen)
        (ann,) = [one for one in people(asked(api, PATH, **self.dates, step_limit=100)) if one["name"] == "ann"]
        assert len(ann["matched_recordings"][0]["events"]) == 100


def test_a_path_asked_for_again_is_kept(api: Api, capture: Capture, valkey: object) -> None:
    journey(capture, "ann", "a", "b", every=MINUTE)
    params = {"path_end_key": "2_b", "date_from": "2024-05-01", "date_to": "2024-05-31"}
    # It is kept for the rest of the hour at most.
    with time_machine.travel(datetime.now(UTC).replace(minute=5), tick=True):
        first = asked(api, PATH, path_end_key="2_b", refresh="")
        assert first.json()["is_cached"] is False
        again = api.get(PATH, **params)
    assert (who(again), again.json()["is_cached"]) == ("ann", True)
    other = api.get(PATH, **{**params, "path_end_key": "1_a"})
    assert (who(other), other.json()["is_cached"]) == ("ann", False)


def test_dates_are_a_week_unless_told(api: Api, capture: Capture) -> None:
    now = datetime.now(UTC)
    journey(capture, "old", "a", since=now - 9 * DAY)
    journey(capture, "new", "a", since=now - 6 * DAY)
    outbox_drain()
    assert who(api.get(PATH)) == "new"
