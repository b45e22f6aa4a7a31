"""Lifecycle, sentence by sentence as section 9 of insight_actors.md has it."""

from collections.abc import Iterable
from datetime import datetime

from tests.support.calendar_oracle import Start, moved, start_of

MONDAY = 1


def statuses(
    times: Iterable[datetime],
    born: datetime,
    *,
    since: datetime,
    until: datetime,
    interval: str,
    zone: str,
    week_start: int = MONDAY,
) -> set[tuple[str, Start]]:
    """Return every status of one actor, who was born at one time and did the event at others."""

    def trunc(moment: datetime) -> Start:
        return start_of(moment, interval, zone, week_start)

    first, last = moved(trunc(since), interval, -1), trunc(until)
    active = sorted({trunc(time) for time in times if first <= trunc(time) <= last})  # type: ignore[type-var]
    found: set[tuple[str, Start]] = set()
    for index, start in enumerate(active):
        if start == trunc(born):
            found.add(("new", start))
        elif index > 0 and moved(active[index - 1], interval, 1) == start:
            found.add(("returning", start))
        else:
            found.add(("resurrecting", start))
        following = moved(start, interval, 1)
        if following not in active:
            found.add(("dormant", following))
    return found
