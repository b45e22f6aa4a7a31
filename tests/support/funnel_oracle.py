"""Funnels by plain loops, written from the text of insight_actors.md section 6; nothing is shared with the SQL."""

import calendar
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.support.event_streams import Stream, StreamEvent

type Value = tuple[str, ...] | None
type Chain = tuple[int, list[datetime]]
NOTHING = ("",)


@dataclass(frozen=True)
class Wanted:
    """A step or exclusion: one of these event names (None: any), and a text under each of these property keys."""

    names: frozenset[str] | None
    id: str | int | None
    properties: frozenset[tuple[str, str]] = frozenset()

    def takes(self, event: StreamEvent) -> bool:
        return (self.names is None or event.event in self.names) and has_all(event, self.properties)

    def repeats(self, earlier: "Wanted") -> bool:
        return self.id == earlier.id and self.properties <= earlier.properties


@dataclass(frozen=True)
class Divided:
    """A breakdown by the texts under property keys, of the event or of its person."""

    keys: tuple[str, ...]
    attribution: str = "first_touch"
    of_person: bool = False
    step: int = 0
    limit: int = 25
    urls: bool = False


@dataclass(frozen=True)
class Funnel:
    """All that decides a funnel; `entrance` are the first moments of an interval and of the next one."""

    steps: tuple[Wanted, ...]
    order: str
    window: tuple[int, str]
    exclusions: tuple[tuple[Wanted, int, int], ...] = ()
    breakdown: Divided | None = None
    entrance: tuple[datetime, datetime] | None = None
    since: datetime | None = None
    until: datetime | None = None
    zone: str = "UTC"
    everything: frozenset[tuple[str, str]] = frozenset()
    group: str | None = None


@dataclass(frozen=True)
class Start:
    """A start that was not discarded: what it reached, and when."""

    moment: datetime
    times: tuple[datetime, ...]


def has_all(event: StreamEvent, properties: Iterable[tuple[str, str]]) -> bool:
    return all(event.properties.get(key) == text for key, text in properties)


def end_of_window(funnel: Funnel, start: datetime) -> datetime:
    count, unit = funnel.window
    if unit != "month":
        return start + timedelta(**{f"{unit}s": count})
    local = start.astimezone(ZoneInfo(funnel.zone))
    year, month = divmod(local.year * 12 + local.month - 1 + count, 12)
    day = min(local.day, calendar.monthrange(year, month + 1)[1])
    end = local.replace(year=year, month=month + 1, day=day, fold=0)
    # A time that the clocks skip is read with the offset after the change; the spec leaves that open.
    skipped = end.astimezone(UTC).astimezone(end.tzinfo).replace(tzinfo=None) != end.replace(tzinfo=None)
    return end.replace(fold=skipped).astimezone(UTC)


def considered(funnel: Funnel, stream: Stream) -> dict[str, list[StreamEvent]]:
    """Return the events of each actor that count, by time."""
    entities = [*funnel.steps, *(exclusion for exclusion, _, _ in funnel.exclusions)]
    found: dict[str, list[StreamEvent]] = defaultdict(list)
    for person, events in stream.by_actor().items():
        for event in events:
            actor = person if funnel.group is None else event.properties.get(funnel.group)
            inside = (funnel.since is None or event.timestamp >= funnel.since) and (
                funnel.until is None or event.timestamp <= funnel.until
            )
            asked = funnel.order == "strict" or any(entity.takes(event) for entity in entities)
            if actor and inside and asked and has_all(event, funnel.everything):
                found[actor].append(event)
    return {actor: sorted(events, key=lambda one: (one.timestamp, one.uuid.int)) for actor, events in found.items()}


def enters(funnel: Funnel, moment: datetime) -> bool:
    return funnel.entrance is None or funnel.entrance[0] <= moment < funnel.entrance[1]


def ordered(funnel: Funnel, events: Sequence[StreamEvent]) -> list[Start]:
    starts = []
    for first in events:
        if not funnel.steps[0].takes(first) or not enters(funnel, first.timestamp):
            continue
        chain = [first.timestamp]
        for number in range(1, len(funnel.steps)):
            step, before = funnel.steps[number], chain[-1]
            again = step.repeats(funnel.steps[number - 1])
            later = [
                event.timestamp
                for event in events
                if step.takes(event) and (event.timestamp > before or (event.timestamp == before and not again))
            ]
            if not later:
                break
            chain.append(min(later))
        if any(excluded(funnel, events, chain, exclusion) for exclusion in funnel.exclusions):
            continue
        end = end_of_window(funnel, chain[0])
        inside = [moment <= end for moment in chain]
        length = inside.index(False) if False in inside else len(inside)
        starts.append(Start(first.timestamp, tuple(chain[:length])))
    return starts


def excluded(
    funnel: Funnel, events: Sequence[StreamEvent], chain: Sequence[datetime], exclusion: tuple[Wanted, int, int]
) -> bool:
    entity, begin, end = exclusion
    if begin >= len(chain):
        return False
    until = chain[end] if end < len(chain) else end_of_window(funnel, chain[begin])
    return any(entity.takes(event) and chain[begin] < event.timestamp < until for event in events)


def strict(funnel: Funnel, events: Sequence[StreamEvent]) -> list[Start]:
    starts = []
    for row, first in enumerate(events):
        end = end_of_window(funnel, first.timestamp)
        run: list[datetime] = []
        for step, event in zip(funnel.steps, events[row:], strict=False):
            if not step.takes(event) or event.timestamp > end:
                break
            run.append(event.timestamp)
        if run and enters(funnel, first.timestamp):
            starts.append(Start(first.timestamp, tuple(run)))
    return starts


def unordered(funnel: Funnel, events: Sequence[StreamEvent]) -> list[Start]:
    starts = []
    # Of starts at one time the one at the first step counts as earlier: all events of a step, then of the next.
    for number, step in enumerate(funnel.steps):
        for first in events:
            if not step.takes(first) or not enters(funnel, first.timestamp):
                continue
            end = end_of_window(funnel, first.timestamp)
            others = [other for place, other in enumerate(funnel.steps) if place != number]
            done = []
            for other in others:
                later = [one.timestamp for one in events if other.takes(one) and first.timestamp < one.timestamp <= end]
                done += [min(later)] if later else []
            until = end if len(done) < len(others) else max([first.timestamp, *done])
            if any(
                entity.takes(event) and first.timestamp < event.timestamp < until
                for entity, _, _ in funnel.exclusions
                for event in events
            ):
                continue
            starts.append(Start(first.timestamp, (first.timestamp, *sorted(done))))
    return starts


ORDERS: dict[str, Callable[[Funnel, Sequence[StreamEvent]], list[Start]]] = {
    "ordered": ordered,
    "strict": strict,
    "unordered": unordered,
}


def best(starts: Sequence[Start]) -> Start | None:
    """Return the start with the most steps, of these the earliest."""
    return min(starts, key=lambda start: (-len(start.times), start.moment)) if starts else None


def text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def value_of(funnel: Funnel, stream: Stream, event: StreamEvent) -> tuple[str, ...]:
    """Return an event's value of the breakdown."""
    breakdown = funnel.breakdown
    assert breakdown is not None
    owner = stream.owner(event)
    assert owner is not None
    properties = stream.person_properties[owner] if breakdown.of_person else event.properties
    texts = tuple(text(properties.get(key)) for key in breakdown.keys)
    if breakdown.urls:
        return tuple(one.rstrip("/?#") or "/" for one in texts)
    return texts if any(texts) else NOTHING


def divided(
    funnel: Funnel, stream: Stream, actors: dict[str, list[StreamEvent]]
) -> dict[str, list[tuple[Value, list[StreamEvent]]]]:
    """Return for each actor the values under which it stands, each with the events of which chains are built."""
    breakdown = funnel.breakdown
    if breakdown is None:
        return {actor: [(None, events)] for actor, events in actors.items()}
    counts = Counter(value_of(funnel, stream, event) for events in actors.values() for event in events)
    del counts[NOTHING]
    frequent = sorted(counts, key=lambda value: (-counts[value], value))[: breakdown.limit]

    def shown(event: StreamEvent) -> tuple[str, ...]:
        value = value_of(funnel, stream, event)
        return value if value == NOTHING or value in frequent else ("Other",)

    found: dict[str, list[tuple[Value, list[StreamEvent]]]] = {}
    for actor, events in actors.items():
        known = sorted((event.timestamp, shown(event)) for event in events if shown(event) != NOTHING)
        if breakdown.attribution == "all_events":
            values = {shown(event) for event in events}
            found[actor] = [(value, [event for event in events if shown(event) == value]) for value in values]
        elif breakdown.attribution == "step":
            step = funnel.steps[breakdown.step]
            found[actor] = [
                (value, events) for value in {shown(event) for event in events if step.takes(event)} - {NOTHING}
            ]
        else:
            touch = known[0 if breakdown.attribution == "first_touch" else -1][1] if known else NOTHING
            found[actor] = [(touch, events)]
    return found


def starts_of(funnel: Funnel, stream: Stream) -> dict[tuple[str, Value], list[Start]]:
    """Return all starts of every actor under every value that were not discarded."""
    return {
        (actor, value): ORDERS[funnel.order](funnel, events)
        for actor, values in divided(funnel, stream, considered(funnel, stream)).items()
        for value, events in values
    }


def answer(funnel: Funnel, stream: Stream) -> dict[tuple[str, Value], Chain]:
    """Return steps and times of the best chain of every actor under every value."""
    found = {key: best(starts) for key, starts in starts_of(funnel, stream).items()}
    return {key: (len(start.times), list(start.times)) for key, start in found.items() if start is not None}


def matched(
    funnel: Funnel, stream: Stream, reached: Callable[[int], bool], step: int | None
) -> dict[str, list[tuple[datetime, int]]]:
    """Return the first ten events at a step (from 1; None: the last one done) in each wanted actor's best chains."""
    events = considered(funnel, stream)
    found: dict[str, list[tuple[datetime, int]]] = {}
    for (actor, _), starts in starts_of(funnel, stream).items():
        chosen = best(starts)
        if chosen is None or not reached(len(chosen.times)):
            continue
        length = len(chosen.times)
        number = (length if step is None else min(step, length)) - 1
        moments = {start.times[number] for start in starts if len(start.times) == length}
        found[actor] = sorted(
            (event.timestamp, event.uuid.int)
            for event in events[actor]
            if event.timestamp in sorted(moments)[:10] and funnel.steps[number].takes(event)
        )[:10]
    return found
