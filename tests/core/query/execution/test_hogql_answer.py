"""The answer to a HogQLQuery: its keys, its columns and types, its limits, and who sees ClickHouse's SQL."""
# ruff: noqa: S608 texts are what is tested

from collections.abc import Callable
from typing import Any

import pytest

from core.tenancy.models import Level, Team
from tests.core.http import parsed
from tests.core.query.execution.conftest import Asking, make_asking
from tests.factories import make_team

pytestmark = pytest.mark.django_db

KEYS = [
    "results", "columns", "types", "query", "hogql", "clickhouse", "error", "explain", "metadata", "warnings",
    "hasMore", "limit", "offset", "modifiers", "query_metadata", "timings", "query_status", "resolved_date_range",
    "cache_key", "is_cached", "last_refresh", "cache_target_age", "next_allowed_client_refresh", "timezone",
    "calculation_trigger",
]  # fmt: skip


def test_the_answer_has_all_keys(asking: Asking, capture: Callable[..., None]) -> None:
    capture("$pageview", count=2)
    capture("click")
    text = "select event, count() from events where event != 'x' group by event order by event"
    answer = asking.answer(text)
    assert list(answer) == KEYS
    assert answer["results"] == [["$pageview", 2], ["click", 1]]
    assert answer["columns"] == ["event", "count()"]
    assert answer["types"] == [["event", "String"], ["count()", "UInt64"]]
    assert answer["query"] == text
    assert answer["hogql"].endswith("LIMIT 100")
    assert answer["query_metadata"] == {"events": ["x"], "properties": [], "cohorts": [], "actions": []}
    assert (answer["hasMore"], answer["limit"], answer["offset"]) == (False, 100, 0)
    assert answer["timezone"] == "UTC"
    assert answer["is_cached"] is False
    assert answer["modifiers"] == {
        "personsOnEventsMode": "person_id_override_properties_on_events",
        "inCohortVia": "auto",
    }
    for name in ("error", "explain", "metadata", "warnings", "query_status", "resolved_date_range"):
        assert answer[name] is None, name


def test_timings_end_with_the_whole(asking: Asking) -> None:
    timings = asking.answer("select 1")["timings"]
    assert [one["k"] for one in timings][-1] == "."
    assert {"./parse", "./compile", "./clickhouse"} <= {one["k"] for one in timings}
    assert timings[-1]["t"] >= sum(one["t"] for one in timings if one["k"] in {"./compile", "./clickhouse"})


def test_the_default_limit_is_100_and_says_that_it_cut(asking: Asking) -> None:
    answer = asking.answer("select number from numbers(150)")
    assert [row[0] for row in answer["results"]] == list(range(100))
    assert (answer["hasMore"], answer["limit"]) == (True, 100)
    assert "no LIMIT" in answer["warnings"][0]["message"]


@pytest.mark.parametrize(("rows", "more"), [(9, False), (10, False), (11, True)])
def test_a_limit_of_the_caller_tells_whether_there_are_more(asking: Asking, rows: int, *, more: bool) -> None:
    answer = asking.answer("select number from numbers(20) where number < {rows} limit 10", {"values": {"rows": rows}})
    assert len(answer["results"]) == min(rows, 10)
    assert (answer["hasMore"], answer["warnings"]) == (more, None)
    assert answer["hogql"].endswith("LIMIT 10")


def test_an_offset_is_told(asking: Asking) -> None:
    answer = asking.answer("select number from numbers(20) limit 5 offset 10")
    assert [row[0] for row in answer["results"]] == [10, 11, 12, 13, 14]
    assert (answer["limit"], answer["offset"], answer["hasMore"]) == (5, 10, True)


def test_no_more_than_50000_rows_are_given(asking: Asking) -> None:
    answer = asking.answer("select number from numbers(60000) limit 60000")
    assert len(answer["results"]) == 50_000
    assert (answer["limit"], answer["hasMore"]) == (50_000, True)


def test_each_arm_of_a_union_has_the_default_limit(asking: Asking) -> None:
    answer = asking.answer("select number from numbers(120) union all select number from numbers(5)")
    assert len(answer["results"]) == 105
    assert answer["limit"] is None
    assert "Each SELECT without a LIMIT" in answer["warnings"][0]["message"]


NUMBERS = "select number from numbers({})"


@pytest.mark.parametrize(
    ("text", "rows", "more"),
    [
        (f"{NUMBERS.format(120)} union all {NUMBERS.format(5)}", 105, True),
        (f"{NUMBERS.format(5)} union all {NUMBERS.format(120)}", 105, True),
        (f"{NUMBERS.format(100)} union all {NUMBERS.format(100)}", 200, False),
        (f"{NUMBERS.format(5)} union all {NUMBERS.format(6)}", 11, False),
        (f"{NUMBERS.format(120)} limit 110 union all {NUMBERS.format(5)}", 115, True),
        (f"{NUMBERS.format(120)} limit 120 union all {NUMBERS.format(5)}", 125, False),
        (f"({NUMBERS.format(120)} union all {NUMBERS.format(5)}) limit 125", 125, False),
        (f"({NUMBERS.format(120)} union all {NUMBERS.format(5)}) limit 124", 124, True),
        (f"{NUMBERS.format(30_000)} limit 30000 union all {NUMBERS.format(30_000)} limit 20000", 50_000, True),
        (f"{NUMBERS.format(40_000)} limit 40000 union all {NUMBERS.format(40_000)} limit 40000", 50_000, True),
        (f"{NUMBERS.format(40_000)} limit 25000 union all {NUMBERS.format(40_000)} limit 25001", 50_000, True),
        (f"{NUMBERS.format(40_000)} limit 40000 union distinct {NUMBERS.format(99)}", 40_000, None),
        (f"{NUMBERS.format(120)} limit 1 + 1 union all {NUMBERS.format(5)}", 7, None),
        (f"{NUMBERS.format(120)} union distinct {NUMBERS.format(5)}", 100, None),
        (f"select number % 2 from numbers(101) union distinct {NUMBERS.format(1)}", 2, None),
        (f"select count() from numbers(0) group by all union all {NUMBERS.format(1)}", 2, False),
        ("select number from numbers(20) limit 1 + 1", 2, None),
    ],
)
def test_a_union_tells_whether_a_limit_cut_one_of_its_selects(
    asking: Asking, text: str, rows: int, *, more: bool | None
) -> None:
    answer = asking.answer(text)
    assert (len(answer["results"]), answer["hasMore"]) == (rows, more)
    assert {len(row) for row in answer["results"]} == {1}
    assert len(answer["columns"]) == len(answer["types"]) == 1


def test_each_select_of_a_union_keeps_its_first_rows(asking: Asking) -> None:
    text = (
        "select number as n, 'up' as way from numbers(150) order by n"
        " union all select number as n, 'down' as way from numbers(150) order by n desc"
    )
    answer = asking.answer(text)
    found = {way: [n for n, of in answer["results"] if of == way] for way in ("up", "down")}
    assert found == {"up": list(range(100)), "down": list(range(149, 49, -1))}
    assert (answer["columns"], answer["hasMore"]) == (["n", "way"], True)


@pytest.mark.parametrize(
    ("first", "warned"), [("limit 50", False), ("limit 200", False), ("", True)], ids=["cut as asked", "whole", "cut"]
)
def test_only_a_limit_that_nobody_asked_for_is_warned_of(asking: Asking, first: str, *, warned: bool) -> None:
    answer = asking.answer(f"select number from numbers(150) {first} union all select number from numbers(100)")
    assert (answer["warnings"] is not None) is warned


def test_ties_are_not_cut(asking: Asking) -> None:
    answer = asking.answer("select 1 as x from numbers(5) order by x limit 2 with ties")
    assert len(answer["results"]) == 5


def test_values_and_variables_fill_placeholders(asking: Asking) -> None:
    node = {
        "values": {"who": "ann"},
        "variables": {"a1": {"variableId": "a1", "code_name": "shop", "value": "north"}},
    }
    assert asking.answer("select {who}, {variables.shop}", node)["results"] == [["ann", "north"]]
    override = {"a1": {"variableId": "a1", "code_name": "shop", "value": "south"}}
    found = asking.answer("select {who}, {variables.shop}", node, variables_override=override)
    assert found["results"] == [["ann", "south"]]


def test_filters_of_a_dashboard_reach_the_placeholder(asking: Asking, capture: Callable[..., None]) -> None:
    capture("click", count=2)
    text = "select count() from events where {filters}"
    whole = {"date_from": "2024-03-01", "date_to": "2024-03-31"}
    assert asking.answer(text, filters_override=whole)["results"] == [[2]]
    before = {"date_from": "2024-02-01", "date_to": "2024-02-20"}
    assert asking.answer(text, filters_override=before)["results"] == [[0]]


def test_only_admins_see_the_sql_of_clickhouse(asking: Asking, team: Team) -> None:
    text = "select count() from events"
    member = make_asking(team, level=Level.MEMBER)
    seen = asking.answer(text)["clickhouse"]
    assert "FROM `events`" in seen
    assert f'"team_id":{team.id}' in seen
    # The same answer, kept: whoever asked first.
    assert member.answer(text)["clickhouse"] is None
    member.answer("select count(), 1 from events")
    assert "FROM `events`" in asking.answer("select count(), 1 from events")["clickhouse"]


def test_admins_may_have_a_plan(asking: Asking, team: Team) -> None:
    node = {"explain": True}
    assert any("Read" in line for line in asking.answer("select count() from events", node)["explain"])
    assert make_asking(team, level=Level.MEMBER).answer("select count() from events", node)["explain"] is None


def test_keys_are_told_the_bytes_that_were_read(asking: Asking, capture: Callable[..., None]) -> None:
    capture("click", count=3)
    response = asking.ask("select uuid from events")
    assert int(response["X-PostHog-Query-Bytes-Read"]) > 0
    kept = asking.ask("select uuid from events")
    assert parsed(kept)["is_cached"] is True
    assert kept["X-PostHog-Query-Bytes-Read"] == "0"


def test_nobody_sees_events_of_another_project(asking: Asking, stranger: Asking, capture: Callable[..., None]) -> None:
    capture("click", secret="canary")
    assert stranger.answer("select count() from events")["results"] == [[0]]
    foreign = Asking(asking.team, stranger.key)
    assert foreign.ask("select 1").status_code == 403


def test_modifiers_choose_whose_persons_events_have(asking: Asking) -> None:
    mode = "person_id_no_override_properties_on_events"
    answer = asking.answer("select count() from events", {"modifiers": {"personsOnEventsMode": mode}})
    assert answer["modifiers"]["personsOnEventsMode"] == mode
    response = asking.ask("select 1", {"modifiers": {"personsOnEventsMode": "sometimes"}})
    assert (response.status_code, parsed(response)["code"]) == (400, "parse_error")


def test_the_time_zone_is_the_projects(clickhouse: object, valkey: object, db: None) -> None:
    tokyo = make_asking(make_team(timezone="Asia/Tokyo"))
    answer: Any = tokyo.answer("select toDateTime('2024-03-05 10:00:00') as t")
    assert answer["timezone"] == "Asia/Tokyo"
    assert answer["results"] == [["2024-03-05T10:00:00.000000+09:00"]]


def test_times_have_the_offset_of_their_zone(clickhouse: object, valkey: object, db: None) -> None:
    berlin = make_asking(make_team(timezone="Europe/Berlin"))
    text = """
    select toDateTime('2024-07-05 10:00:00') as summer, toStartOfDay(summer), [summer, NULL],
           (1, toTimeZone(summer, 'UTC'), 'a, (b)'), map('a', summer), toTimeZone(summer, 'Europe/London'),
           toDate(summer), '2024-07-05T08:00:00Z', toTimeZone(summer, 'Asia/Kathmandu')"""
    (row,) = berlin.answer(text)["results"]
    assert row == [
        "2024-07-05T10:00:00.000000+02:00",
        "2024-07-05T00:00:00+02:00",
        ["2024-07-05T10:00:00.000000+02:00", None],
        [1, "2024-07-05T08:00:00.000000Z", "a, (b)"],
        {"a": "2024-07-05T10:00:00.000000+02:00"},
        "2024-07-05T09:00:00.000000+01:00",
        "2024-07-05",
        "2024-07-05T08:00:00Z",
        "2024-07-05T13:45:00.000000+05:45",
    ]


def test_times_without_conversion_are_in_utc(clickhouse: object, valkey: object, db: None) -> None:
    tokyo = make_asking(make_team(timezone="Asia/Tokyo"))
    text = "select toDateTime('2024-03-05 10:00:00') as t, toDate(toDateTime('2024-03-05T22:00:00Z'))"
    kept = {"modifiers": {"convertToProjectTimezone": False}}
    assert tokyo.answer(text)["results"] == [["2024-03-05T10:00:00.000000+09:00", "2024-03-06"]]
    answer = tokyo.answer(text, kept)
    assert answer["results"] == [["2024-03-05T10:00:00.000000Z", "2024-03-05"]]
    assert answer["timezone"] == "UTC"


def test_the_answer_tells_which_properties_were_named(asking: Asking) -> None:
    text = "select properties.$os, person.properties.plan, e.properties['deep'].er from events e where event = 'click'"
    assert asking.answer(text)["query_metadata"] == {
        "events": ["click"],
        "properties": ["$os", "deep", "plan"],
        "cohorts": [],
        "actions": [],
    }
