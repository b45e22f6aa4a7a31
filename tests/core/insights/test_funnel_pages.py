"""persons/funnel page by page, as a table, from the cache and with recordings."""

import csv
from datetime import UTC, datetime
from itertools import chain
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine

from core.outbox.services import outbox_drain
from tests.core.capture.helpers import assert_accepted, post
from tests.core.capture.test_recordings import SESSION, START, WINDOW, snapshot
from tests.core.insights.asking import HOUR, MAY, NOON, Capture, asked, journey, people, posted, steps, texts, who
from tests.core.persons.conftest import Api

pytestmark = pytest.mark.usefixtures("clickhouse")
TWO = steps("view", "cart")


@pytest.fixture
def crowd(capture: Capture) -> list[str]:
    """Seven persons with two steps each; return their UUIDs in order."""
    for number in range(7):
        journey(capture, f"person {number}", "view", "cart")
    return sorted(str(capture(f"person {number}", "other").uuid) for number in range(7))


class TestPages:
    @pytest.mark.parametrize("limit", [1, 3, 7, 50])
    def test_each_actor_is_on_one_page(self, api: Api, crowd: list[str], limit: int) -> None:
        answer = asked(api, events=TWO, funnel_step=2, limit=limit)
        first, pages = answer.json()["initial"], []
        while True:
            pages.append([person["id"] for person in people(answer)])
            body = answer.json()
            assert body["initial"] == first
            if body["next"] is None:
                break
            answer = api.client.get(body["next"])
        assert sorted(chain(*pages)) == crowd
        assert [one for page in pages for one in sorted(page)] == crowd
        # A full last page cannot know that it is the last.
        assert len(pages) == len(crowd) // limit + 1

    @pytest.mark.usefixtures("crowd")
    def test_links_are_absolute_and_keep_every_parameter(self, api: Api) -> None:
        params = texts({**MAY, "events": TWO, "funnel_step": 2, "limit": 3, "unknown": "é +&%"})
        outbox_drain()
        answer = api.get("/funnel/", **params).json()
        address = f"http://testserver/api/projects/{api.team.id}/persons/funnel/"
        for link, offset in ((answer["initial"], None), (answer["next"], ["3"])):
            assert link.startswith(address + "?")
            found = parse_qs(urlsplit(link).query)
            assert found.pop("offset", None) == offset
            assert found == {name: [value] for name, value in params.items()}
        assert "offset=6" in api.client.get(answer["next"]).json()["next"]
        later = api.get("/funnel/", **params, offset="6").json()
        assert "offset" not in later["initial"]
        assert later["next"] is None

    def test_a_post_is_sent_again_to_next(self, api: Api, crowd: list[str]) -> None:
        outbox_drain()
        body = {**MAY, "events": TWO, "funnel_step": 2, "limit": 2, "offset": 0}
        address, found = api.url("/funnel/") + "?limit=3", []
        while address is not None:
            answer = api.client.post(address, body, content_type="application/json")
            found.append([person["id"] for person in people(answer)])
            address = answer.json()["next"]
        assert [len(page) for page in found] == [3, 3, 1]
        assert sorted(chain(*found)) == crowd

    def test_the_newest_person_comes_first_in_a_page(self, api: Api, capture: Capture) -> None:
        for number in range(4):
            journey(capture, f"p{number}", "view", since=NOON - number * HOUR)
        found = people(asked(api, events=steps("view"), funnel_step=1))
        created = [person["created_at"] for person in found]
        assert created == sorted(created, reverse=True)

    @pytest.mark.usefixtures("crowd")
    def test_limits(self, api: Api) -> None:
        assert len(people(asked(api, events=TWO, funnel_step=1, limit=0))) == 7
        assert len(people(asked(api, events=TWO, funnel_step=1, limit=10**9))) == 7
        assert people(asked(api, events=TWO, funnel_step=1, offset=100)) == []


def test_as_a_table(api: Api, capture: Capture) -> None:
    capture("ann", "view", timestamp=NOON, set={"email": "ann@example.org", "a": {"b": [1]}})
    capture("ben", "view", timestamp=NOON)
    for answer in (
        asked(api, events=steps("view"), funnel_step=1, format="csv"),
        posted(api, query={"format": "csv"}, events=steps("view"), funnel_step=1),
    ):
        assert (answer.status_code, answer.headers["Content-Type"].partition(";")[0]) == (200, "text/csv")
        rows = list(csv.DictReader(b"".join(answer).decode().splitlines()))
        assert sorted(row["name"] for row in rows) == ["ann@example.org", "ben"]
        (ann,) = [row for row in rows if row["distinct_ids.0"] == "ann"]
        assert (ann["properties.email"], ann["type"], ann["value_at_data_point"]) == ("ann@example.org", "person", "")
    limited = asked(api, events=steps("view"), funnel_step=1, format="csv", limit=1)
    assert len(list(csv.DictReader(b"".join(limited).decode().splitlines()))) == 1


@pytest.mark.usefixtures("valkey")
class TestCache:
    def test_an_answer_is_kept_until_it_is_refreshed(self, api: Api, capture: Capture) -> None:
        journey(capture, "ann", "view")
        params = texts({**MAY, "events": steps("view"), "funnel_step": 1})
        outbox_drain()
        # It is kept for the rest of the hour at most.
        with time_machine.travel(datetime.now(UTC).replace(minute=5), tick=True):
            first = api.get("/funnel/", **params)
            assert (who(first), first.json()["is_cached"]) == ("ann", False)
            journey(capture, "ben", "view")
            outbox_drain()
            again = api.get("/funnel/", **params)
        assert (who(again), again.json()["is_cached"]) == ("ann", True)
        assert again.json()["last_refresh"] == first.json()["last_refresh"]
        for fresh in ({"refresh": ""}, {"refresh": "true"}, {"cache_invalidation_key": "other"}):
            answer = api.get("/funnel/", **{**params, **fresh})
            assert (who(answer), answer.json()["is_cached"]) == ("ann ben", False)
        assert who(api.get("/funnel/", **params)) == "ann ben"

    def test_a_merge_is_seen_at_once_all_the_same(self, api: Api, capture: Capture) -> None:
        capture("anon", "view", timestamp=NOON)
        capture("ann", "cart", timestamp=NOON + HOUR)
        params = texts({**MAY, "events": TWO, "funnel_step": 2})
        outbox_drain()
        assert who(api.get("/funnel/", **params)) == ""
        capture("ann", "$identify", timestamp=NOON + HOUR, merge_with="anon")
        outbox_drain()
        assert who(api.get("/funnel/", **params)) != ""


class TestRecordings:
    @pytest.fixture(autouse=True)
    def recorded(self, api: Api, capture: Capture) -> None:
        """Ann's session is recorded, with an event of each step; of her third session there is no recording."""
        self.begun = datetime.fromtimestamp(START / 1000, UTC)
        assert_accepted(post("/s/", [snapshot(api.team)]))
        seen = {"properties": {"$session_id": SESSION, "$window_id": WINDOW}}
        capture("ann", "view", timestamp=self.begun, **seen)
        capture("ann", "help", timestamp=self.begun + HOUR / 2, **seen)
        capture("ann", "cart", timestamp=self.begun + HOUR, **seen)
        capture("ben", "view", timestamp=self.begun, properties={"$session_id": "unrecorded"})
        self.params: dict[str, Any] = {"date_from": "2025-10-01", "date_to": "2025-10-31", "events": TWO}

    def recordings(self, answer: Any, name: str = "ann") -> list[tuple[str, list[datetime]]]:
        (found,) = [person["matched_recordings"] for person in people(answer) if person["name"] == name]
        for recording in found:
            assert {event["window_id"] for event in recording["events"]} == {WINDOW}
        return [
            (one["session_id"], [datetime.fromisoformat(event["timestamp"]) for event in one["events"]])
            for one in found
        ]

    @pytest.mark.parametrize(
        ("params", "hours"),
        [
            ({"funnel_step": 1}, [0]),
            ({"funnel_step": 2}, [1]),
            ({"funnel_step": 1, "include_final_matching_events": "true"}, [1]),
            ({"funnel_step": -3, "events": steps("view", "cart", "buy")}, [1]),
            ({"funnel_custom_steps": [2]}, [1]),
        ],
    )
    def test_events_of_the_step(self, api: Api, params: dict[str, Any], hours: list[int]) -> None:
        whole = {**self.params, **params, "include_recordings": "true"}
        moments = [self.begun + HOUR * hour for hour in hours]
        assert self.recordings(asked(api, **whole)) == [(SESSION, moments)]
        assert self.recordings(posted(api, **{**whole, "include_recordings": True})) == [(SESSION, moments)]

    def test_none_unless_asked_for_or_recorded(self, api: Api) -> None:
        assert self.recordings(asked(api, **self.params, funnel_step=1)) == []
        answer = asked(api, **self.params, funnel_step=1, include_recordings="true")
        assert self.recordings(answer, "ben") == []

    def test_none_of_unordered_funnels(self, api: Api) -> None:
        answer = asked(api, **self.params, funnel_step=2, include_recordings="true", funnel_order_type="unordered")
        assert self.recordings(answer) == []

    def test_correlation_shows_the_last_step(self, api: Api) -> None:
        help_read = {"id": "help", "type": "events"}
        answer = asked(
            api,
            "/funnel/correlation/",
            **self.params,
            include_recordings="true",
            funnel_correlation_person_entity=help_read,
        )
        assert self.recordings(answer) == [(SESSION, [self.begun + HOUR])]
