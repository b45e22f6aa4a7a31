from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.capture.timestamps import Clock, event_time, parse_time, read_clock

NOW = datetime(2024, 5, 1, 12, 0, 0, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def resolved(
    *, timestamp: Any = None, offset: Any = None, sent_at: datetime | None = None, ignore_sent_at: bool = False
) -> tuple[datetime, str | None]:
    clock = Clock(now=NOW, sent_at=sent_at)
    moment, problem = event_time(clock=clock, timestamp=timestamp, offset=offset, ignore_sent_at=ignore_sent_at)
    return moment, problem.type if problem else None


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"sent_at": at("2024-05-01 12:00:05"), "timestamp": "2024-05-01T11:59:55Z"}, at("2024-05-01 11:59:50")),
        ({"timestamp": "2024-05-01T11:59:55Z"}, at("2024-05-01 11:59:55")),
        (
            {"sent_at": at("2024-05-01 12:00:05"), "timestamp": "2024-05-01T11:59:55Z", "ignore_sent_at": True},
            at("2024-05-01 11:59:55"),
        ),
        ({"offset": 5000}, at("2024-05-01 11:59:55")),
        ({"offset": "5000"}, at("2024-05-01 11:59:55")),
        ({"offset": 5000, "timestamp": "2024-05-01T10:00:00"}, at("2024-05-01 10:00:00")),
        ({"timestamp": "", "offset": 1000}, at("2024-05-01 11:59:59")),
        ({}, NOW),
        ({"timestamp": "2024-05-02T10:59:00Z"}, at("2024-05-02 10:59:00")),
    ],
)
def test_worked_examples(arguments: dict[str, Any], expected: datetime) -> None:
    assert resolved(**arguments) == (expected, None)


@pytest.mark.parametrize(
    ("arguments", "warning"),
    [
        ({"timestamp": "2024-05-02T12:00:00Z"}, "event_timestamp_in_future"),
        ({"offset": -(24 * 3600 * 1000)}, "event_timestamp_in_future"),
        ({"timestamp": "not a date"}, "ignored_invalid_timestamp"),
        ({"timestamp": "99999-01-01T00:00:00Z"}, "ignored_invalid_timestamp"),
        ({"timestamp": "0000-01-01T00:00:00Z"}, "ignored_invalid_timestamp"),
        ({"timestamp": "0001-01-01T00:00:00+14:00"}, "ignored_invalid_timestamp"),
        ({"timestamp": "1899-12-31T23:59:59Z"}, "ignored_invalid_timestamp"),
        ({"timestamp": {"a": 1}}, "ignored_invalid_timestamp"),
        ({"timestamp": True}, "ignored_invalid_timestamp"),
        ({"timestamp": 1e300}, "ignored_invalid_timestamp"),
        ({"timestamp": -1e300}, "ignored_invalid_timestamp"),
        ({"timestamp": "2024-05-01T10:00:00Z", "sent_at": datetime(1, 1, 1, tzinfo=UTC)}, "event_timestamp_in_future"),
        ({"timestamp": "0001-01-01", "sent_at": datetime(9999, 1, 1, tzinfo=UTC)}, "ignored_invalid_timestamp"),
        ({"timestamp": "9999-01-01", "sent_at": datetime(1, 1, 1, tzinfo=UTC)}, "ignored_invalid_timestamp"),
        ({"offset": "soon"}, "ignored_invalid_timestamp"),
        ({"offset": 1e300}, "ignored_invalid_timestamp"),
    ],
)
def test_impossible_times_become_now_with_a_warning(arguments: dict[str, Any], warning: str) -> None:
    assert resolved(**arguments) == (NOW, warning)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-02", "2024-01-02 00:00:00"),
        ("2024-01-02 03:04:05", "2024-01-02 03:04:05"),
        ("2024-01-02T03:04:05", "2024-01-02 03:04:05"),
        ("2024-01-02T03:04:05.678Z", "2024-01-02 03:04:05.678"),
        ("2024-01-02T03:04:05.123456789Z", "2024-01-02 03:04:05.123456"),
        ("2024-01-02T03:04:05+02:00", "2024-01-02 01:04:05"),
        (" 2024-01-02T03:04:05Z ", "2024-01-02 03:04:05"),
        ("Tue, 02 Jan 2024 03:04:05 GMT", "2024-01-02 03:04:05"),
        ("02 Jan 2024 03:04:05 +0100", "2024-01-02 02:04:05"),
        ("Tue Jan 02 2024 03:04:05 GMT+0100 (Central European Standard Time)", "2024-01-02 02:04:05"),
        ("2024/01/02", "2024-01-02 00:00:00"),
        ("01/02/2024", "2024-01-02 00:00:00"),
        ("20240102", "2024-01-02 00:00:00"),
        ("1700000000", "2023-11-14 22:13:20"),
        ("1700000000123", "2023-11-14 22:13:20.123"),
        (1700000000, "2023-11-14 22:13:20"),
        (1700000000123, "2023-11-14 22:13:20.123"),
        ("1612112200123", "2021-01-31 16:56:40.123"),
    ],
)
def test_formats(text: Any, expected: str) -> None:
    assert parse_time(text) == at(expected)


@pytest.mark.parametrize(
    "text", ["", " ", "10", "yesterday", "12:00", "May 3", "2024", "x" * 5000, None, [], "2024-13-45"]
)
def test_what_is_no_date_is_an_error(text: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_time(text)


@settings(deadline=None)
@given(st.one_of(st.text(max_size=120), st.integers(), st.floats(), st.from_regex(r"[0-9 TZ:+./-]{1,30}\Z")))
def test_any_value_gives_a_time_within_bounds(value: Any) -> None:
    moment, _ = event_time(clock=Clock(now=NOW), timestamp=value, offset=None, ignore_sent_at=False)
    assert moment.tzinfo is UTC
    assert moment - NOW <= timedelta(hours=23)


def test_sent_at_of_the_body_wins_over_the_query() -> None:
    clock, problem = read_clock(now=NOW, body_sent_at="2024-05-01T12:00:05.000Z", query_sent_at="1714564800000")
    assert clock.sent_at == at("2024-05-01 12:00:05")
    assert clock.sent_at_text == "2024-05-01T12:00:05.000Z"
    assert problem is None


def test_query_sent_at_is_milliseconds_after_2020() -> None:
    assert read_clock(now=NOW, body_sent_at=None, query_sent_at="1714564800000")[0].sent_at == at("2024-05-01 12:00:00")
    for ignored in ("1714564800", "x", "", "9" * 15, "9" * 500, "-1", None):
        assert read_clock(now=NOW, body_sent_at=None, query_sent_at=ignored) == (Clock(now=NOW), None)


def test_broken_sent_at_is_ignored_with_a_warning() -> None:
    clock, problem = read_clock(now=NOW, body_sent_at="soon", query_sent_at="1714564800000")
    assert clock.skew is None
    assert problem is not None
    assert problem.type == "ignored_invalid_timestamp"
    assert problem.details["field"] == "sent_at"
