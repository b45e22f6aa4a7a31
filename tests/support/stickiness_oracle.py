"""Stickiness, sentence by sentence as section 8 of insight_actors.md has it."""

from collections.abc import Iterable
from datetime import datetime

from tests.support.calendar_oracle import start_of


def active_intervals(
    times: Iterable[datetime], *, since: datetime, until: datetime, interval: str, zone: str, week_start: int
) -> int:
    """Return in how many intervals one actor did the event; `since` counts from the start of its interval."""
    first = start_of(since, interval, zone, week_start)
    starts = {start_of(time, interval, zone, week_start) for time in times if time <= until}
    return sum(start >= first for start in starts)  # type: ignore[operator]
