"""Random streams about the times when clocks change, with many events on the first moment of an interval."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from core.insights.dates import start_of
from tests.support.event_streams import TICK, Stream, streams

# Some days before the clocks change there: by an hour or half of one, at midnight forward and back, or never.
CHANGES: Final = {
    "Europe/Berlin": [(2024, 3, 26), (2024, 10, 22)],
    "America/Sao_Paulo": [(2018, 10, 31), (2019, 2, 12)],
    "America/Havana": [(2024, 3, 6), (2024, 10, 29)],
    "Asia/Kolkata": [(2024, 2, 25)],
    "Australia/Lord_Howe": [(2024, 4, 2), (2024, 10, 1)],
    "UTC": [(2024, 2, 25), (2023, 12, 28)],
}
HALF_HOURS: Final = frozenset({"Australia/Lord_Howe"})
"""Where the clocks are set by half an hour, so that there is no saying to which hour half of one belongs."""


@st.composite
def places(draw: st.DrawFn, **of_stream: Any) -> tuple[str, str, datetime, Stream]:
    """Draw a zone, an interval, midnight of a day some days before the clocks change, and a stream of about then."""
    zone = draw(st.sampled_from(sorted(CHANGES)))
    interval = draw(st.sampled_from(["day", "week", "month"] + ["hour"] * (zone not in HALF_HOURS)))
    begin = datetime(*draw(st.sampled_from(CHANGES[zone])), tzinfo=ZoneInfo(zone)).astimezone(UTC)
    stream = draw(streams(begin=begin, **of_stream))
    beside = draw(st.sampled_from([None, None, -TICK, timedelta(0), timedelta(0), TICK]))
    if beside is None:
        return zone, interval, begin, stream

    def snapped(moment: datetime) -> datetime:
        return start_of(moment, interval, zone, week_start=1).astimezone(UTC) + beside

    events = tuple(replace(event, timestamp=snapped(event.timestamp)) for event in stream.events)
    created_at = {person: snapped(moment) for person, moment in stream.created_at.items()}
    return zone, interval, begin, replace(stream, events=events, created_at=created_at)
