r"""Paths in plain Python, written from insight_actors.md section 11: slow, and nothing clever.

Equal times go by uuid. Cleaning has RE2's meaning, with ClickHouse's `\1` in an alias; of several groupings that match,
the first one is taken.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import re2

from tests.support.event_streams import Stream, StreamEvent

GAP = timedelta(minutes=30)


@dataclass(frozen=True)
class Question:
    """The parameters of section 2.3 under their names on the wire; `since` and `until` are both included."""

    since: datetime | None = None
    until: datetime | None = None
    include_event_types: Sequence[str] = ()
    include_custom_events: Sequence[str] = ()
    exclude_events: Sequence[str] = ()
    start_point: str | None = None
    end_point: str | None = None
    step_limit: int = 5
    path_groupings: Sequence[str] = ()
    cleaning: Sequence[tuple[str, str]] = ()
    path_start_key: str | None = None
    path_end_key: str | None = None
    path_dropoff_key: str | None = None
    stretches: Mapping[str, tuple[datetime | None, datetime | None]] | None = None
    """Of funnel paths: when the events of each actor that came so far in the funnel count, both ends included."""
    opens: Callable[[datetime, datetime], bool] = field(default=lambda before, at: at - before >= GAP)
    """Whether an event at the second time begins a session after one at the first."""


@dataclass(frozen=True)
class Step:
    """An item of a path, with the event that it stands for; none for the items left out."""

    item: str
    event: StreamEvent | None


def actors(stream: Stream, question: Question) -> dict[str, list[StreamEvent]]:
    """Return who has a wanted path, with the events of the wanted items."""
    found: dict[str, list[StreamEvent]] = {}
    for actor, events in stream.by_actor().items():
        for path in paths_of(actor, events, question):
            for number, step in enumerate(path, 1):
                if wanted(path, number, question):
                    found.setdefault(actor, []).extend([step.event] if step.event else [])
    return found


def paths_of(actor: str, events: Sequence[StreamEvent], question: Question) -> list[list[Step]]:
    items = []
    for event in events:
        if in_time(actor, event, question) and is_chosen(event, question):
            name = item_of(event, question)
            if name not in question.exclude_events:
                items.append(Step(name, event))
    sessions: list[list[Step]] = []
    for position, step in enumerate(items):
        if position == 0 or question.opens(items[position - 1].event.timestamp, step.event.timestamp):
            sessions.append([])
        sessions[-1].append(step)
    paths = []
    for session in sessions:
        path = cut(collapsed(session), question)
        if path:
            paths.append(path)
    return paths


def in_time(actor: str, event: StreamEvent, question: Question) -> bool:
    bounds = [(question.since, question.until)]
    if question.stretches is not None:
        if actor not in question.stretches:
            return False
        bounds.append(question.stretches[actor])
    return all(
        (since is None or event.timestamp >= since) and (until is None or event.timestamp <= until)
        for since, until in bounds
    )


def is_chosen(event: StreamEvent, question: Question) -> bool:
    if not question.include_event_types and not question.include_custom_events:
        return True
    if event.event in question.include_custom_events:
        return True
    if event.event in ("$pageview", "$screen") and event.event in question.include_event_types:
        return True
    return "custom_event" in question.include_event_types and not event.event.startswith("$")


def item_of(event: StreamEvent, question: Question) -> str:
    name = event.event
    if event.event == "$pageview" and is_mapped("$pageview", question):
        name = text_of(event.properties.get("$current_url"))
        if len(name) > 1 and name[-1] == "/":
            name = name[:-1]
    elif event.event == "$screen" and is_mapped("$screen", question):
        name = text_of(event.properties.get("$screen_name"))
    for pattern, alias in question.cleaning:
        name = re2.sub(pattern, lambda match, alias=alias: expanded(alias, match), name)
    for grouping in question.path_groupings:
        if occurs(grouping, name):
            return grouping
    return name


def is_mapped(kind: str, question: Question) -> bool:
    if kind in question.include_event_types:
        return True
    nothing_chosen = not question.include_event_types and not question.include_custom_events
    return nothing_chosen and kind not in question.exclude_events


def text_of(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def expanded(alias: str, match: Any) -> str:
    return re.sub(r"\\(.)", lambda found: (match[int(found[1])] or "") if found[1].isdigit() else found[1], alias)


def occurs(grouping: str, name: str) -> bool:
    position = 0
    for piece in grouping.split("*"):
        position = name.find(piece, position)
        if position < 0:
            return False
        position += len(piece)
    return True


def collapsed(session: Sequence[Step]) -> list[Step]:
    path: list[Step] = []
    for step in session:
        if path and path[-1].item == step.item:
            path[-1] = step
        else:
            path.append(step)
    return path


def cut(path: list[Step], question: Question) -> list[Step]:
    """Return the path between the points, at most `step_limit` long; empty where a point is missing."""
    limit = question.step_limit
    names = [step.item for step in path]
    start, end = point(question.start_point), point(question.end_point)
    if start is not None:
        if start not in names:
            return []
        path, names = path[names.index(start) :], names[names.index(start) :]
    if end is not None:
        if end not in names:
            return []
        path = path[: names.index(end) + 1]
    if start is not None and end is not None:
        if len(path) <= limit:
            return path
        half = limit // 2
        return [*path[:half], Step("...", None), *path[len(path) - half :]]
    return path[-limit:] if end is not None else path[:limit]


def point(text: str | None) -> str | None:
    return text[:-1] if text is not None and len(text) > 1 and text[-1] == "/" else text


def wanted(path: list[Step], number: int, question: Question) -> bool:
    """Tell whether the item at a place, counted from 1, is one for which the actor is in the answer."""
    key = f"{number}_{path[number - 1].item}"
    if question.path_dropoff_key is not None:
        return number == len(path) and key == question.path_dropoff_key
    before = f"{number - 1}_{path[number - 2].item}" if number > 1 else None
    if question.path_start_key is not None and before != question.path_start_key:
        return False
    return question.path_end_key is None or key == question.path_end_key
