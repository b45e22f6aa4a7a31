"""Correlations of funnels by plain loops, written from the text of insight_actors.md section 12."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from tests.support.event_streams import Stream, StreamEvent
from tests.support.funnel_oracle import Chain, Funnel, Wanted, answer, considered, end_of_window

MOST_EVENTS = 10


@dataclass(frozen=True)
class Correlated:
    """A funnel's actors by the steps they did, and the event they must have done on the way (None: no event)."""

    funnel: Funnel
    reached: Callable[[int], bool]
    entity: Wanted | None
    converted: bool | None = None


def actors(asked: Correlated, stream: Stream) -> list[str]:
    """Return the actors, each once, in order."""
    events = events_of_everybody(asked.funnel, stream)
    found = {
        actor
        for actor, chain in chains(asked, stream)
        if asked.entity is None or any(on_the_way(asked, event, chain) for event in events.get(actor, []))
    }
    return sorted(found, key=str.encode)


def final_events(asked: Correlated, stream: Stream) -> dict[str, list[tuple[datetime, int]]]:
    """Return time and uuid of the events that were the last step of the chains of each actor."""
    found: dict[str, set[tuple[datetime, int]]] = {}
    events = considered(asked.funnel, stream)
    for actor, (steps, times) in chains(asked, stream):
        last = asked.funnel.steps[steps - 1]
        served = {(one.timestamp, one.uuid.int) for one in events[actor] if last.takes(one)}
        found.setdefault(actor, set()).update(pair for pair in served if pair[0] == times[-1])
    return {actor: sorted(pairs)[:MOST_EVENTS] for actor, pairs in found.items()}


def chains(asked: Correlated, stream: Stream) -> list[tuple[str, Chain]]:
    """Return the best chains of the actors that the funnel step and `converted` leave."""
    last = len(asked.funnel.steps)
    return [
        (actor, (steps, times))
        for (actor, _), (steps, times) in answer(asked.funnel, stream).items()
        if asked.reached(steps) and (asked.converted is None or asked.converted == (steps == last))
    ]


def on_the_way(asked: Correlated, event: StreamEvent, chain: Chain) -> bool:
    funnel, (steps, times) = asked.funnel, chain
    end = times[-1] if steps == len(funnel.steps) else end_of_window(funnel, times[0])
    of_steps = {name for step in funnel.steps for name in step.names or ()}
    assert asked.entity is not None
    return (
        asked.entity.takes(event)
        and event.event not in of_steps
        and times[0] < event.timestamp < end
        and (funnel.since is None or funnel.since <= event.timestamp)
        and (funnel.until is None or event.timestamp < funnel.until)
    )


def events_of_everybody(funnel: Funnel, stream: Stream) -> dict[str, list[StreamEvent]]:
    """Return all events of each actor, whatever the funnel's filter says of them."""
    found: dict[str, list[StreamEvent]] = {}
    for person, events in stream.by_actor().items():
        for event in events:
            actor = person if funnel.group is None else event.properties.get(funnel.group)
            if actor:
                found.setdefault(actor, []).append(event)
    return found
