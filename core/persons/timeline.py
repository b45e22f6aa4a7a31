"""properties_timeline: which keys matter, which window, and the answer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any, Final
from uuid import UUID

import orjson

from core.actions.queries import action_matches
from core.api.errors import Invalid
from core.persons import queries
from core.persons.date_range import DateRange, Given, read_range
from events.filters.grammar import MAX_FILTERS
from events.filters.tree import size
from events.insights.entities import EventMatch
from events.timeline import Window, first_day, timeline

MAX_POINTS: Final = 10_000
EARLIEST_OF_ALL: Final = datetime(2015, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class TimelineQuery:
    """What is asked: names of events (None: any event), ids of actions, the keys whose changes open points, the dates.

    Without events and actions, every event counts.
    """

    events: tuple[str | None, ...]
    actions: tuple[int, ...]
    crucial_keys: tuple[str, ...]
    dates: Given


def person_keys(filters: object) -> set[str]:
    """Return the keys of the filters of type `person` in a list of filters or groups, however deep."""
    found: set[str] = set()
    waiting = [filters]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting.extend(one)
        elif isinstance(one, dict):
            waiting.append(one.get("values"))
            if one.get("type") == "person" and isinstance(one.get("key"), str):
                found.add(one["key"])
    return found


def range_of(given: Given, *, team_id: int, timezone: str, now: datetime) -> DateRange:
    """Read the dates in the project's time zone; raises DateError."""
    return read_range(given, timezone=timezone, now=now, earliest=lambda: _earliest(team_id))


def _earliest(team_id: int) -> datetime | None:
    day = first_day(team_id=team_id, since=EARLIEST_OF_ALL)
    return datetime.combine(day, time(), tzinfo=UTC) if day else None


def answer(
    *, team_id: int, person_id: int, person_uuid: UUID, asked: TimelineQuery, dates: DateRange
) -> dict[str, Any]:
    """Return the points of a person, with the keys and the dates that were used.

    Events count by the distinct ids that the person has now. Raises Invalid for an unknown action, and the errors of
    `events.timeline.timeline`.
    """
    window = Window(
        team_id=team_id,
        person_id=person_uuid,
        ids=queries.distinct_ids_of(team_id=team_id, person_id=person_id),
        since=dates.since,
        until=dates.until,
        matches=_matches(team_id, asked),
    )
    points = timeline(window, keys=asked.crucial_keys, limit=MAX_POINTS)
    return {
        "points": [
            {
                "timestamp": _text(point.timestamp),
                "properties": orjson.Fragment(point.properties),
                "relevant_event_count": point.relevant_event_count,
            }
            for point in points
        ],
        "crucial_property_keys": list(asked.crucial_keys),
        "effective_date_from": dates.since.isoformat(),
        "effective_date_to": dates.until.isoformat(),
    }


def crucial_keys(filters: Iterable[object], breakdown: Sequence[str]) -> tuple[str, ...]:
    """Return the sorted keys of person filters and of a person breakdown."""
    return tuple(sorted(set(breakdown).union(*map(person_keys, filters))))


def _matches(team_id: int, asked: TimelineQuery) -> tuple[EventMatch, ...] | None:
    if None in asked.events or not (asked.events or asked.actions):
        return None
    steps = action_matches(team_id=team_id, ids=asked.actions)
    for number in asked.actions:
        if number not in steps:
            message = f"There is no action {number} in this project."
            raise Invalid(message, attr="actions")
    matches = [match for number in asked.actions for match in steps[number]]
    if sum(size(match.filter) for match in matches if match.filter is not None) > MAX_FILTERS:
        message = f"The steps of the actions may have at most {MAX_FILTERS} filters together."
        raise Invalid(message, attr="actions")
    return (*map(EventMatch, asked.events), *matches)


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
