"""What the queries of insights give back."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class MatchedEvent:
    """An event for which an actor is in the answer; `timestamp` is naive UTC."""

    uuid: UUID
    timestamp: datetime
    session_id: str
    window_id: str


@dataclass(frozen=True, slots=True)
class ActorRow:
    """One actor: a person's UUID as text, or a group's key. `events` is filled when recordings are asked for.

    `appearances` are those of retention: how many periods after that of the row the actor was there, 0 first.
    """

    actor: str
    value: float | None = None
    events: tuple[MatchedEvent, ...] = ()
    appearances: tuple[int, ...] = ()
