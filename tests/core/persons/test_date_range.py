from datetime import UTC, datetime

import pytest

from core.persons.date_range import DateError, Given, read_range

NOW = datetime(2024, 3, 31, 12, 34, 56, 789, tzinfo=UTC)
BERLIN = "Europe/Berlin"


def bounds(date_from: str | None, date_to: str | None = None, zone: str = "UTC", **more: object) -> tuple[str, str]:
    given = Given(date_from, date_to, **more)  # type: ignore[arg-type]
    found = read_range(given, timezone=zone, now=NOW, earliest=lambda: datetime(2020, 2, 3, tzinfo=UTC))
    return found.since.isoformat(), found.until.isoformat()


@pytest.mark.parametrize(
    ("text", "since"),
    [
        (None, "2024-03-24T00:00:00+00:00"),
        ("-7d", "2024-03-24T00:00:00+00:00"),
        ("7d", "2024-03-24T00:00:00+00:00"),
        ("dStart", "2024-03-31T00:00:00+00:00"),
        ("-1dStart", "2024-03-30T00:00:00+00:00"),
        ("-2w", "2024-03-17T00:00:00+00:00"),
        ("-1m", "2024-02-29T00:00:00+00:00"),
        ("-1mStart", "2024-02-01T00:00:00+00:00"),
        ("-1mEnd", "2024-02-29T00:00:00+00:00"),
        ("-1q", "2023-12-31T00:00:00+00:00"),
        ("yStart", "2024-01-01T00:00:00+00:00"),
        ("-1yEnd", "2023-12-31T00:00:00+00:00"),
        ("-24h", "2024-03-30T12:34:56.000789+00:00"),
        ("-1hStart", "2024-03-31T11:00:00+00:00"),
        ("all", "2020-02-03T00:00:00+00:00"),
        ("2024-1-5", "2024-01-05T00:00:00+00:00"),
        ("2024-01-05T10:11:12Z", "2024-01-05T00:00:00+00:00"),
        ("2024-01-05T23:30:00-05:00", "2024-01-06T00:00:00+00:00"),
    ],
)
def test_the_beginning(text: str | None, since: str) -> None:
    assert bounds(text)[0] == since


@pytest.mark.parametrize(
    ("text", "until"),
    [
        (None, "2024-03-31T23:59:59.999999+00:00"),
        ("-1d", "2024-03-30T23:59:59.999999+00:00"),
        ("-1mEnd", "2024-02-29T23:59:59.999999+00:00"),
        ("2024-03-31", "2024-03-31T23:59:59.999999+00:00"),
        ("-1h", "2024-03-31T11:59:59.999999+00:00"),
        ("-1hEnd", "2024-03-31T11:59:59.999999+00:00"),
    ],
)
def test_the_end(text: str | None, until: str) -> None:
    assert bounds("2024-01-01", text)[1] == until


def test_days_are_those_of_the_time_zone_also_where_the_clocks_change() -> None:
    assert bounds("2024-03-31", "2024-03-31", BERLIN) == (
        "2024-03-31T00:00:00+01:00",
        "2024-03-31T23:59:59.999999+02:00",
    )
    assert bounds("-13h", zone=BERLIN)[0] == "2024-03-31T00:34:56.000789+01:00"


def test_equal_bounds_are_widened_by_one_interval() -> None:
    noon = "2024-03-05T12:00:00"
    assert bounds(noon, noon, interval="hour") == ("2024-03-05T12:00:00+00:00", "2024-03-05T13:00:00+00:00")
    assert bounds(noon, noon, explicit=True) == ("2024-03-05T12:00:00+00:00", "2024-03-06T12:00:00+00:00")
    assert bounds(noon, noon) == ("2024-03-05T00:00:00+00:00", "2024-03-05T23:59:59.999999+00:00")


def test_without_any_event_everything_is_the_last_week() -> None:
    found = read_range(Given("all", None), timezone="UTC", now=NOW, earliest=lambda: None)
    assert found.since == datetime(2024, 3, 24, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "soon", "-d7", "-7x", "2024-02-30", "-9999y", "9999-12-31T23:59:59-14:00", "٣d"])
def test_anything_else_is_no_date(text: str) -> None:
    for given, name in ((Given(text, None), "date_from"), (Given(None, text), "date_to")):
        with pytest.raises(DateError) as error:
            read_range(given, timezone="UTC", now=NOW, earliest=lambda: None)
        assert error.value.name == name
