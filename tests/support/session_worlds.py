"""Random sessions, some longer than a day, whose events carry what each property of their session should be."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from hypothesis import strategies as st

from tests.support.event_streams import DISTINCT_IDS, PERSONS, TICK, Stream, StreamEvent, store

SINCE: Final = datetime(2024, 5, 1, tzinfo=UTC)
UNTIL: Final = datetime(2024, 5, 4, tzinfo=UTC) - TICK
DAY: Final = timedelta(days=1)
CANARY: Final = "https://theirs.example/canary"
KEYS: Final = (
    "$session_duration", "$entry_current_url", "$entry_pathname", "$end_current_url", "$is_bounce", "$pageview_count",
    "$entry_utm_source",
)  # fmt: skip
_URLS: Final = (None, None, "https://a.com/x?y=1", "https://a.com/x/", "https://a.com/", "https://b.org/007")
_SOURCES: Final = (None, "news", "007", "1.0", "7", "true")
# Around both ends of the range and of the day before and after it.
_EDGES: Final = (SINCE - DAY, SINCE, UNTIL, UNTIL + DAY, SINCE + DAY)
_counter = itertools.count()


@dataclass(frozen=True)
class Visit:
    """An event of a session before it is known what the session is."""

    session: str
    name: str
    who: str
    timestamp: datetime
    url: str | None
    source: str | None


@dataclass(frozen=True)
class World:
    """One stored world: its events' names are of this world alone."""

    order: str
    pay: str
    events: tuple[StreamEvent, ...]


def twin_of(visits: Sequence[Visit]) -> dict[str, Any]:
    """Return what a session is, by its events from a day before the range to a day after it; None is missing."""
    counted = sorted(
        (one for one in visits if SINCE - DAY <= one.timestamp <= UNTIL + DAY), key=lambda one: one.timestamp
    )
    if not counted or not counted[0].session:
        return dict.fromkeys(KEYS)
    urls = [one.url for one in counted if one.url]
    names = [one.name for one in counted]
    duration = int(counted[-1].timestamp.timestamp()) - int(counted[0].timestamp.timestamp())
    pages = names.count("$pageview")
    bounced = pages + names.count("$autocapture") <= 1 and duration < 10 if pages else None
    return {
        "$session_duration": duration,
        "$entry_current_url": urls[0] if urls else None,
        "$entry_pathname": urlsplit(urls[0]).path if urls else None,
        "$end_current_url": urls[-1] if urls else None,
        "$is_bounce": bounced,
        "$pageview_count": pages,
        "$entry_utm_source": next((one.source for one in counted if one.source), None),
    }


def twin_key(key: str) -> str:
    """Return the property of events that has the twin of a property of sessions."""
    return f"twin {key}"


def moments() -> st.SearchStrategy[datetime]:
    # Where the end of a range does not count, it is a microsecond later, and so is that of the day after it.
    hours = st.integers(-50, 125).filter(lambda number: SINCE + timedelta(hours=number) != UNTIL + DAY + TICK)
    free = hours.map(lambda number: SINCE + timedelta(hours=number))
    beside = st.builds(
        lambda edge, seconds: edge + timedelta(seconds=seconds), st.sampled_from(_EDGES), st.integers(-12, 12)
    )
    return free | beside


@st.composite
def visits(draw: st.DrawFn) -> list[Visit]:
    """Draw the events of a few sessions, and of none."""
    listed = st.builds(
        Visit,
        session=st.sampled_from(["", "s1", "s1", "s2", "s2", "s3", "s4"]),
        name=st.sampled_from(["order", "order", "pay", "$pageview", "$autocapture"]),
        who=st.sampled_from(DISTINCT_IDS),
        timestamp=moments(),
        url=st.sampled_from(_URLS),
        source=st.sampled_from(_SOURCES),
    )
    # Which of two events at one time is the first of a session is not said.
    return draw(st.lists(listed, min_size=1, max_size=24, unique_by=lambda one: one.timestamp))


def stored(found: Sequence[Visit], *, team_id: int, stranger_id: int) -> World:
    """Store the events of a world; a stranger has sessions of the same ids, which began earlier and elsewhere."""
    number = next(_counter)
    sessions = {one.session: twin_of([other for other in found if other.session == one.session]) for one in found}
    events = tuple(
        StreamEvent(
            uuid=UUID(int=(number << 32) + place + 1),
            event=one.name if one.name.startswith("$") else f"{one.name} {number}",
            distinct_id=one.who,
            timestamp=one.timestamp,
            properties={
                "$session_id": f"{one.session} {number}" if one.session else "",
                "who": one.who,
                **({"$current_url": one.url} if one.url else {}),
                **({"utm_source": one.source} if one.source else {}),
                **{twin_key(key): value for key, value in sessions[one.session].items() if value is not None},
                **{f"text {key}": _text(value) for key, value in sessions[one.session].items()},
            },
        )
        for place, one in enumerate(found)
    )
    _store(events, team_id)
    theirs = [
        StreamEvent(
            uuid=UUID(int=(number << 32) + place + 1), event="$pageview", distinct_id=one.distinct_id,
            timestamp=one.timestamp - timedelta(seconds=30),
            properties={"$session_id": one.properties["$session_id"], "$current_url": CANARY, "utm_source": CANARY},
        )
        for place, one in enumerate(events)
    ]  # fmt: skip
    _store(theirs, stranger_id)
    return World(f"order {number}", f"pay {number}", events)


def _text(value: object) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _store(events: Sequence[StreamEvent], team_id: int) -> None:
    stream = Stream(tuple(events), moved={}, reborn=frozenset(), created_at=dict.fromkeys(PERSONS, SINCE))
    store(stream, team_id=team_id)
