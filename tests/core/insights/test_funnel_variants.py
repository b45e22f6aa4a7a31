"""persons/funnel with a breakdown, over time, of groups, of actions and of cohorts."""

from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import pytest

from tests.core.cohorts.conftest import calculate
from tests.core.insights.asking import (
    DAY,
    HOUR,
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
from tests.core.persons.conftest import Api

pytestmark = pytest.mark.usefixtures("clickhouse")
TWO = steps("view", "cart")


class TestBreakdown:
    @pytest.fixture(autouse=True)
    def visits(self, capture: Capture) -> None:
        """Ann comes by Chrome and leaves by Safari, Ben uses Chrome alone, Cleo says nothing."""
        for name, first, second in (("ann", "Chrome", "Safari"), ("ben", "Chrome", "Chrome"), ("cleo", None, None)):
            for number, (event, browser) in enumerate((("view", first), ("cart", second))):
                properties = {} if browser is None else {"browser": browser, "seat": number}
                capture(name, event, timestamp=NOON + number * HOUR, properties=properties, set={"plan": name[0]})

    @pytest.mark.parametrize(
        ("params", "expected"),
        [
            ({"breakdown": "browser"}, "ann ben cleo"),
            ({"breakdown": "browser", "funnel_step_breakdown": "Chrome"}, "ann ben"),
            ({"breakdown": ["browser"], "funnel_step_breakdown": ["Chrome"]}, "ann ben"),
            ({"breakdown": '["browser"]', "funnel_step_breakdown": '"Chrome"'}, "ann ben"),
            ({"breakdowns": [{"property": "browser", "type": "event"}], "funnel_step_breakdown": "Chrome"}, "ann ben"),
            ({"breakdown": "browser", "funnel_step_breakdown": "Safari"}, ""),
            ({"breakdown": "browser", "funnel_step_breakdown": [""]}, "cleo"),
            ({"breakdown": "browser", "funnel_step_breakdown": "Safari",
              "breakdown_attribution_type": "last_touch"}, "ann"),
            ({"breakdown": "browser", "funnel_step_breakdown": "Safari", "breakdown_attribution_type": "step",
              "breakdown_attribution_value": 1}, "ann"),
            ({"breakdown": "browser", "funnel_step_breakdown": "Chrome", "breakdown_attribution_type": "step",
              "breakdown_attribution_value": 1}, "ben"),
            ({"breakdown": "browser", "funnel_step_breakdown": "Chrome",
              "breakdown_attribution_type": "all_events"}, "ben"),
            ({"breakdown": "browser", "breakdown_attribution_type": "all_events"}, "ben cleo"),
            ({"breakdown": ["browser", "seat"], "funnel_step_breakdown": ["Chrome", "0"]}, "ann ben"),
            ({"breakdown": "seat", "funnel_step_breakdown": 0}, "ann ben"),
            ({"breakdown": "seat", "funnel_step_breakdown": "0"}, "ann ben"),
            ({"breakdown": "plan", "breakdown_type": "person", "funnel_step_breakdown": "b"}, "ben"),
            ({"breakdowns": [{"property": "plan", "type": "person"}], "funnel_step_breakdown": "b"}, "ben"),
            ({"breakdown": "browser", "breakdown_limit": 1, "funnel_step_breakdown": "Other"}, ""),
            ({"breakdown": "browser", "breakdown_limit": 1, "funnel_step_breakdown": "Other",
              "breakdown_attribution_type": "last_touch"}, "ann"),
        ],
    )  # fmt: skip
    def test_by_the_value_of_a_property(self, api: Api, params: dict[str, Any], expected: str) -> None:
        assert who(asked(api, events=TWO, funnel_step=2, **params)) == expected
        assert who(posted(api, events=TWO, funnel_step=2, **params)) == expected

    def test_actors_without_a_value(self, api: Api) -> None:
        assert who(posted(api, events=TWO, funnel_step=2, breakdown="browser", funnel_step_breakdown='""')) == "cleo"

    def test_breakdowns_that_are_no_list_of_items(self, api: Api) -> None:
        text = "breakdowns must be a list of items, each with property and type"
        for breakdowns in ("[", {"property": "a"}, [5], [{"type": "event"}], "browser"):
            answer = posted(api, events=TWO, funnel_step=2, breakdowns=breakdowns)
            assert refusal(answer) == (400, text, None)

    def test_urls_may_be_normalized(self, api: Api, capture: Capture) -> None:
        for name, url in (("dan", "https://a.example/x/"), ("eve", "https://a.example/x?#")):
            capture(name, "open", timestamp=NOON, properties={"url": url})
        params = {"events": steps("open"), "funnel_step": 1, "breakdown": "url", "breakdown_normalize_url": "true"}
        assert who(asked(api, **params, funnel_step_breakdown="https://a.example/x")) == "dan eve"


def test_by_the_property_of_a_group(api: Api, capture: Capture) -> None:
    capture(
        "ann", "$groupidentify", properties={"$group_type": "firm", "$group_key": "a", "$group_set": {"size": "big"}}
    )
    capture(
        "ben", "$groupidentify", properties={"$group_type": "firm", "$group_key": "b", "$group_set": {"size": "small"}}
    )
    for name, firm in (("ann", "a"), ("ben", "b")):
        capture(name, "view", timestamp=NOON, properties={"$groups": {"firm": firm}})
    params = {"events": steps("view"), "funnel_step": 1, "breakdown": "size", "breakdown_type": "group"}
    answer = asked(api, **params, breakdown_group_type_index=0, funnel_step_breakdown="big")
    assert who(answer) == "ann"


def test_by_cohort(api: Api, capture: Capture) -> None:
    capture("ann", "view", timestamp=NOON, set={"plan": "pro"})
    capture("ben", "view", timestamp=NOON)
    filters = {"properties": {"type": "AND", "values": [{"type": "person", "key": "plan", "value": "pro"}]}}
    made = api.client.post(
        f"/api/projects/{api.team.id}/cohorts/", {"name": "paying", "filters": filters}, content_type="application/json"
    )
    calculate()
    number = made.json()["id"]
    params = {"events": steps("view"), "funnel_step": 1, "breakdown_type": "cohort"}
    assert who(asked(api, **params, breakdown=[number], funnel_step_breakdown=number)) == "ann"
    assert who(asked(api, **params, breakdown=str(number))) == "ann"
    assert who(asked(api, **params, breakdown=[number, "all"], funnel_step_breakdown="all")) == "ann ben"
    assert who(asked(api, **params, breakdown=[number, "all"], funnel_step_breakdown=0)) == "ann ben"
    assert who(asked(api, **params, breakdown=[number], funnel_step_breakdown=0)) == ""
    assert who(asked(api, **params, breakdown=[number, "all"])) == "ann ben"
    cohort = [{"type": "cohort", "key": "id", "value": number}]
    assert who(asked(api, events=steps("view"), funnel_step=1, properties=cohort)) == "ann"


class TestTrends:
    steps = {
        "events": steps("view", "cart", "buy"),
        "funnel_window_interval": 12,
        "funnel_window_interval_unit": "hour",
    }

    @pytest.fixture(autouse=True)
    def days(self, capture: Capture) -> None:
        """On the second of May Ann does three steps, Ben two and Cleo one; on the third Cleo does all."""
        journey(capture, "ann", "view", "cart", "buy")
        journey(capture, "ben", "view", "cart")
        journey(capture, "cleo", "view")
        journey(capture, "cleo", "view", "cart", "buy", since=NOON + DAY)

    @pytest.mark.parametrize(
        ("params", "expected"),
        [
            ({"drop_off": "false"}, "ann"),
            ({"drop_off": "true"}, "ben cleo"),
            ({"drop_off": "true", "funnel_from_step": 1}, "ben"),
            ({"drop_off": "false", "funnel_to_step": 1}, "ann ben"),
            ({"drop_off": "true", "funnel_to_step": 1}, "cleo"),
            ({"drop_off": "Y", "funnel_from_step": 1, "funnel_to_step": 2}, "ben"),
            ({"drop_off": "false", "entrance_period_start": "2024-05-03"}, "cleo"),
            ({"drop_off": "true", "entrance_period_start": "2024-05-03 00:00:00"}, ""),
            ({"drop_off": "false", "entrance_period_start": "2024-05-02T01:00:00"}, ""),
            ({"drop_off": "false", "interval": "hour", "entrance_period_start": "2024-05-02T12:00:00Z"}, "ann"),
            ({"drop_off": "false", "interval": "week", "entrance_period_start": "2024-04-28"}, "ann cleo"),
            ({"drop_off": "false", "interval": "month", "entrance_period_start": "2024-05-01"}, "ann cleo"),
        ],
    )
    def test_one_period(self, api: Api, params: dict[str, Any], expected: str) -> None:
        whole = {**self.steps, "entrance_period_start": "2024-05-02", **params}
        assert who(asked(api, funnel_viz_type="trends", **whole)) == expected
        assert who(posted(api, display="ActionsLineGraph", **whole)) == expected

    def test_body_flags(self, api: Api) -> None:
        whole = {**self.steps, "entrance_period_start": "2024-05-02"}
        assert who(posted(api, funnel_viz_type="trends", drop_off=True, **whole)) == "ben cleo"
        assert who(posted(api, funnel_viz_type="trends", drop_off=False, **whole)) == "ann"

    def test_other_displays_are_no_trend(self, api: Api) -> None:
        params = {**self.steps, "funnel_step": 3}
        assert who(asked(api, **params, display="FunnelViz")) == "ann cleo"
        assert who(asked(api, **params, display="ActionsLineGraph", funnel_viz_type="steps")) == "ann cleo"
        assert who(asked(api, **params, funnel_viz_type="time_to_convert")) == "ann cleo"

    def test_periods_are_those_of_the_projects_zone_and_week(self, api: Api) -> None:
        configure(api, timezone="Asia/Tokyo", week_start_day=1)
        params = {**self.steps, "funnel_viz_type": "trends", "drop_off": "false"}
        assert who(asked(api, **params, entrance_period_start="2024-05-02")) == "ann"
        assert who(asked(api, **params, entrance_period_start="2024-05-01T15:00:00Z")) == "ann"
        weekly = {**params, "interval": "week"}
        assert who(asked(api, **weekly, entrance_period_start="2024-04-29")) == "ann cleo"
        assert who(asked(api, **weekly, entrance_period_start="2024-04-28")) == ""


class TestGroups:
    @pytest.fixture(autouse=True)
    def firms(self, capture: Capture) -> None:
        """Acme views by Ann and fills a cart by Ben; Bolt views only; Cleo belongs to nobody."""
        acme = {"$group_type": "firm", "$group_key": "acme", "$group_set": {"name": "Acme Ltd", "size": 3}}
        capture("ann", "$groupidentify", timestamp=NOON, properties=acme)
        capture("ann", "view", timestamp=NOON, properties={"$groups": {"firm": "acme"}})
        capture("ben", "cart", timestamp=NOON + HOUR, properties={"$groups": {"firm": "acme"}})
        bolt = {"$group_type": "firm", "$group_key": "bolt", "$group_set": {"name": "Bolt"}}
        capture("dan", "$groupidentify", timestamp=NOON, properties=bolt)
        capture("dan", "view", timestamp=NOON, properties={"$groups": {"firm": "bolt"}})
        journey(capture, "cleo", "view", "cart")

    def test_actors_are_groups(self, api: Api) -> None:
        params = {"events": TWO, "aggregation_group_type_index": 0}
        answer = asked(api, **params, funnel_step=2)
        (found,) = people(answer)
        assert (found["type"], found["id"], found["group_key"], found["group_type_index"]) == (
            "group",
            "acme",
            "acme",
            0,
        )
        assert found["properties"] == {"name": "Acme Ltd", "size": 3}
        assert [one["id"] for one in people(posted(api, **params, funnel_step=-2))] == ["bolt"]
        assert sorted(one["id"] for one in people(posted(api, **params, funnel_step=1))) == ["acme", "bolt"]
        assert people(asked(api, events=TWO, aggregation_group_type_index=1, funnel_step=1)) == []

    def test_search_finds_groups_by_name(self, api: Api) -> None:
        answer = asked(api, events=TWO, aggregation_group_type_index=0, funnel_step=1, search="bol")
        assert [one["id"] for one in people(answer)] == ["bolt"]

    def test_filters_look_at_groups(self, api: Api) -> None:
        big = [{"type": "group", "group_type_index": 0, "key": "size", "operator": "gt", "value": 2}]
        assert who(asked(api, events=TWO, funnel_step=1, properties=big)) == "ann"


def test_actions_are_steps(api: Api, capture: Capture, clickhouse: ModuleType) -> None:
    made = api.client.post(
        f"/api/projects/{api.team.id}/actions/",
        {"name": "Looks", "steps": [{"event": "view"}, {"event": "glance"}]},
        content_type="application/json",
    )
    assert made.status_code == 201, made.content
    looks = {"id": made.json()["id"], "type": "actions", "order": 0}
    journey(capture, "ann", "glance", "cart")
    journey(capture, "ben", "cart")
    cart = [{"id": "cart", "order": 1}]
    assert who(asked(api, actions=[looks], events=cart, funnel_step=2)) == "ann"
    assert who(posted(api, actions=[{**looks, "order": 1}], events=[{"id": "cart"}], funnel_step=-2)) == "ann ben"
    status, _, attr = refusal(asked(api, actions=[{"id": 10**9}], events=cart, funnel_step=2))
    assert (status, attr) == (400, "actions")


def test_dates_in_the_projects_zone(api: Api, capture: Capture) -> None:
    configure(api, timezone="America/New_York")
    capture("ann", "view", timestamp=datetime(2024, 5, 2, 3, 59, 59, tzinfo=UTC))
    capture("ben", "view", timestamp=datetime(2024, 5, 2, 4, tzinfo=UTC))
    params = {"events": steps("view"), "funnel_step": 1}
    assert who(asked(api, **params, date_from="2024-05-02", date_to="2024-05-02")) == "ben"
    assert who(asked(api, **params, date_from="2024-05-01", date_to="2024-05-01")) == "ann"
    exact = {"date_from": "2024-05-02T00:00:00", "date_to": "2024-05-02T00:00:00.000001", "explicit_date": "true"}
    assert who(asked(api, **params, **exact)) == "ben"
    assert who(asked(api, **params, date_from="all")) == "ann ben"


def test_without_dates_the_last_week_counts(api: Api, capture: Capture) -> None:
    now = datetime.now(UTC)
    capture("ann", "view", timestamp=now - timedelta(days=6))
    capture("ben", "view", timestamp=now - timedelta(days=9))
    assert who(asked(api, events=steps("view"), funnel_step=1, date_from="", date_to="")) == "ann"
