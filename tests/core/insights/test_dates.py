"""Dates of a request, against calendars counted minute by minute, and against ClickHouse."""
# ruff: noqa: S608 values are bound

from datetime import UTC, date, datetime, timedelta
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from core.api.errors import Invalid
from core.insights.dates import read_dates, read_interval, read_moment, start_of
from core.insights.parameters import Parameters
from core.insights.project import InsightProject
from core.persons.date_range import DateRange
from events.insights import intervals
from events.insights.statement import Statement
from events.rows import clickhouse_time

NOW = datetime(2024, 3, 31, 12, 34, 56, 789, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
# Clocks change at midnight, back over midnight, by half an hour, at one o'clock; offsets with quarters of an hour.
ZONES = (
    "UTC", "Europe/Berlin", "America/Sao_Paulo", "America/Havana", "Asia/Kathmandu", "Australia/Lord_Howe",
    "America/New_York", "Pacific/Kiritimati", "Africa/Cairo", "Atlantic/Azores",
)  # fmt: skip
moments = st.integers(0, 12 * 365 * 24 * 60).map(lambda m: datetime(2012, 1, 1, tzinfo=UTC) + timedelta(minutes=m))
near_changes = st.sampled_from(
    [
        datetime(2018, 11, 4, 2, 59, tzinfo=UTC),  # São Paulo has no midnight
        datetime(2018, 2, 18, 2, 30, tzinfo=UTC),  # São Paulo has 23:30 twice
        datetime(2023, 11, 5, 5, 30, tzinfo=UTC),  # Havana has 0:30 twice
        datetime(2023, 3, 12, 5, 30, tzinfo=UTC),
        datetime(2024, 3, 31, 0, 59, tzinfo=UTC),
        datetime(2024, 10, 27, 0, 30, tzinfo=UTC),
    ]
)
points = st.one_of(moments, near_changes, near_changes.flatmap(
    lambda at: st.integers(-3000, 3000).map(lambda minutes: at + timedelta(minutes=minutes))
))  # fmt: skip


def project(zone: str = "UTC", **more: Any) -> InsightProject:
    return InsightProject(team_id=1, timezone=zone, **more)


def dates(zone: str = "UTC", now: datetime = NOW, *, week_start_day: int = 0, **given: Any) -> DateRange:
    reading = {name: given.pop(name) for name in ("rounded", "always") if name in given}
    return read_dates(Parameters(given), project(zone, week_start_day=week_start_day), now=now, **reading)


def bounds(**given: Any) -> tuple[str, str]:
    found = dates(**given)
    return found.since.isoformat(), found.until.isoformat()


def day_ends(day: date, zone: str) -> tuple[datetime, datetime]:
    """Return the first and the last moment that the clocks of a zone call this day, by looking at every minute."""
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=16)
    minutes = [begin + timedelta(minutes=minute) for minute in range(60 * 60)]
    within = [minute for minute in minutes if minute.astimezone(ZoneInfo(zone)).date() == day]
    return within[0], within[-1] + timedelta(minutes=1) - MICROSECOND


@settings(max_examples=150, deadline=None)
@given(zone=st.sampled_from(ZONES), now=points, back=st.integers(0, 40))
@example(zone="America/Sao_Paulo", now=datetime(2018, 2, 18, 2, 30, tzinfo=UTC), back=0)
@example(zone="America/Havana", now=datetime(2023, 11, 5, 5, 30, tzinfo=UTC), back=0)
def test_days_are_whole_days_of_the_project(zone: str, now: datetime, back: int) -> None:
    found = dates(zone, now, date_from=f"-{back}d", date_to="dStart")
    today = now.astimezone(ZoneInfo(zone)).date()
    assert found.since.astimezone(UTC) == day_ends(today - timedelta(days=back), zone)[0]
    assert found.until.astimezone(UTC) == day_ends(today, zone)[1]


@settings(max_examples=150, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    moment=points,
    interval=st.sampled_from(["day", "week", "month"]),
    week_start=st.sampled_from([0, 1]),
)
def test_starts_of_intervals_are_the_first_moment_of_their_days(
    zone: str, moment: datetime, interval: str, week_start: int
) -> None:
    day = moment.astimezone(ZoneInfo(zone)).date()
    while (interval == "week" and day.isoweekday() % 7 != week_start) or (interval == "month" and day.day != 1):
        day -= timedelta(days=1)
    found = start_of(moment, interval, zone, week_start=week_start)
    assert found.astimezone(UTC) == day_ends(day, zone)[0]
    assert start_of(found, interval, zone, week_start=week_start) == found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    zone=st.sampled_from(ZONES),
    given_moments=st.lists(points, min_size=1, max_size=20),
    interval=st.sampled_from(intervals.INTERVALS),
    week_start=st.sampled_from([0, 1]),
)
def test_starts_of_intervals_are_those_of_clickhouse(
    clickhouse: ModuleType, zone: str, given_moments: list[datetime], interval: str, week_start: int
) -> None:
    statement = Statement()
    listed = statement.bind([clickhouse_time(moment) for moment in given_moments], "Array(DateTime64(6, 'UTC'))")
    start = intervals.start_of("at", interval, zone, statement, week_start=week_start)
    rows = statement.rows(f"SELECT toUnixTimestamp({start}) FROM (SELECT arrayJoin({listed}) AS at)")
    expected = [start_of(moment, interval, zone, week_start=week_start) for moment in given_moments]
    assert [datetime.fromtimestamp(row[0], UTC) for row in rows] == [one.astimezone(UTC) for one in expected]


@pytest.mark.parametrize(
    ("given", "since", "until"),
    [
        ({}, "2024-03-24T00:00:00+00:00", "2024-03-31T23:59:59.999999+00:00"),
        ({"date_from": "", "date_to": None}, "2024-03-24T00:00:00+00:00", "2024-03-31T23:59:59.999999+00:00"),
        ({"interval": "hour"}, "2024-03-24T00:00:00+00:00", "2024-03-31T12:59:59.999999+00:00"),
        ({"interval": "minute", "date_from": "-1d"}, "2024-03-30T00:00:00+00:00", "2024-03-31T12:59:59.999999+00:00"),
        ({"interval": "hour", "date_from": "-1w"}, "2024-03-24T12:34:56.000789+00:00", None),
        ({"date_from": "-3h"}, "2024-03-31T09:34:56.000789+00:00", None),
        ({"date_from": "mStart", "date_to": "-1dEnd"}, "2024-03-01T00:00:00+00:00", "2024-03-30T23:59:59.999999+00:00"),
        (
            {"date_from": "-1yStart", "date_to": "-1yEnd"},
            "2023-01-01T00:00:00+00:00",
            "2023-12-31T23:59:59.999999+00:00",
        ),
        (
            {"date_from": "2024-02-28T17:00:00", "date_to": "2024-2-29T03:00:00"},
            "2024-02-28T00:00:00+00:00",
            "2024-02-29T23:59:59.999999+00:00",
        ),
        (
            {"date_from": "2024-02-28T17:00:00", "date_to": "2024-02-29T03:00:00", "explicit_date": "true"},
            "2024-02-28T17:00:00+00:00",
            "2024-02-29T03:00:00+00:00",
        ),
        (
            {"date_from": "2024-02-28T17:05:06", "date_to": "2024-02-29T03:00:00", "interval": "hour"},
            "2024-02-28T17:05:06+00:00",
            "2024-02-29T03:00:00+00:00",
        ),
        (
            {"date_from": "soon", "date_to": "2024-02-30"},
            "2024-03-31T00:00:00+00:00",
            "2024-03-31T23:59:59.999999+00:00",
        ),
    ],
)
def test_ranges(given: dict[str, Any], since: str, until: str | None) -> None:
    found = bounds(**given)
    assert found[0] == since
    assert until is None or found[1] == until


def test_one_moment_is_a_range_of_one_moment() -> None:
    at = "2024-03-31T10:00:00"
    assert len(set(bounds(date_from=at, date_to=at, explicit_date=True))) == 1


def test_hours_are_hours_where_the_clocks_change() -> None:
    found = dates("Europe/Berlin", date_from="-13h")
    assert found.since.astimezone(UTC) == NOW - timedelta(hours=13)


@pytest.mark.parametrize(
    ("given", "since"),
    [
        ({"interval": "week", "date_from": "2024-03-27"}, "2024-03-24"),
        ({"interval": "week", "date_from": "2024-03-27", "week_start_day": 1}, "2024-03-25"),
        ({"interval": "month", "date_from": "2024-03-27"}, "2024-03-01"),
        ({"interval": "month", "date_from": "2024-03-27", "explicit_date": True}, "2024-03-27"),
        ({"interval": "hour", "date_from": "2024-03-27T10:20:00", "date_to": "2024-03-27T12:20:00"}, "2024-03-27T10"),
        (
            {"interval": "hour", "date_from": "2024-03-27T10:20:00", "date_to": "2024-03-27T12:19:00"},
            "2024-03-27T10:20",
        ),
        ({"interval": "day", "date_from": "-50h"}, "2024-03-29"),
        ({"interval": "day", "date_from": "-20h"}, "2024-03-30T16:34:56.000789"),
    ],
)
def test_rounding_down_to_the_interval(given: dict[str, Any], since: str) -> None:
    assert dates(**given, rounded=True).since == datetime.fromisoformat(since).replace(tzinfo=UTC)


def test_rounding_always() -> None:
    assert dates(date_from="-20h", rounded=True, always=True).since == datetime(2024, 3, 30, tzinfo=UTC)
    at = {"interval": "hour", "date_from": "2024-03-27T10:20:00", "date_to": "2024-03-27T10:50:00"}
    assert dates(**at, rounded=True, always=True).since == datetime(2024, 3, 27, 10, tzinfo=UTC)


def refused(name: str, **given: Any) -> None:
    with pytest.raises(Invalid) as caught:
        dates(**given)
    assert caught.value.attr == name


def test_what_is_refused() -> None:
    refused("interval", interval="fortnight")
    refused("interval", interval=["day"])
    refused("date_from", date_from="-9999y")
    refused("date_from", date_from="9999-12-31T23:59:59-14:00")
    refused("date_to", date_to=["2024-01-01"])
    refused("explicit_date", explicit_date="perhaps")
    assert read_interval(Parameters({"interval": "minute"})) == "hour"


def test_ranges_end_where_no_event_can_be() -> None:
    found = dates("Asia/Kathmandu", date_from="0001-01-02", date_to="9999-12-30", rounded=True, interval="week")
    assert (found.since.year, found.until.year) == (1899, 2300)
    assert dates(date_from="1850-01-01", date_to="1860-01-01").until == datetime(1900, 1, 1, tzinfo=UTC)


def test_moments() -> None:
    berlin = project("Europe/Berlin")
    assert read_moment("2024-05-06", berlin, now=NOW, attr="target_date").isoformat() == "2024-05-06T00:00:00+02:00"
    for text in ("soon", "all", "2024-02-30"):
        with pytest.raises(Invalid) as caught:
            read_moment(text, berlin, now=NOW, attr="target_date")
        assert caught.value.attr == "target_date"
