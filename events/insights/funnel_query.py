"""What a funnel is asked: its steps and rules, its breakdown, and which of its actors are wanted.

insight_actors.md section 6 is the meaning of every part.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from events.filters.row_expressions import RowExpression
from events.insights.entities import Entity
from events.insights.source import EventScope
from events.insights.statement import Statement

type FunnelOrder = Literal["ordered", "strict", "unordered"]
type WindowUnit = Literal["second", "minute", "hour", "day", "week", "month"]
type BreakdownType = Literal["event", "person", "group", "session", "cohort", "hogql"]
type Attribution = Literal["first_touch", "last_touch", "all_events", "step"]

EVERYBODY: Final = "all"
"""The value of a cohort breakdown under which every actor stands."""
OTHER: Final = "Other"
"""The value that takes the place of those outside the most frequent ones."""


@dataclass(frozen=True, slots=True)
class Window:
    """How long after the first step the last one may happen, the end included: `count` is at least 0.

    Days have 24 hours; months are those of the calendar in the project's time zone.
    """

    count: int = 14
    unit: WindowUnit = "day"


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Events that discard a start when they happen between two steps (counted from 0, `from_step < to_step`)."""

    entity: Entity
    from_step: int
    to_step: int


@dataclass(frozen=True, slots=True)
class Breakdown:
    """By what the actors are divided.

    `keys` are property keys, of a group breakdown the only one; a HogQL breakdown has `expressions`, a cohort breakdown
    `cohort_ids`, and `everybody` for `"all"`. The value of an actor is an array of texts: one for each key or
    expression, the key's number for a cohort (`("7",)`), `("all",)` for everybody, `("",)` without any value,
    `("Other",)` outside the `limit` most frequent.
    `only` keeps the actors of that value. `step` (from 0) belongs to the attribution of that name.
    """

    type: BreakdownType
    keys: tuple[str, ...] = ()
    expressions: tuple[RowExpression, ...] = ()
    cohort_ids: tuple[int, ...] = ()
    everybody: bool = False
    group_type_index: int | None = None
    attribution: Attribution = "first_touch"
    step: int = 0
    limit: int = 25
    normalize_url: bool = False
    only: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Entrance:
    """The interval that a start must lie in (6.6): the one that begins exactly at `start`, an aware moment.

    Nobody entered when no interval begins there.
    """

    start: datetime
    interval: Literal["hour", "day", "week", "month"]
    week_start: int = 0


@dataclass(frozen=True, slots=True)
class FunnelQuery:
    """A funnel over the events of a scope; actors are groups where the scope has a group type."""

    scope: EventScope
    steps: tuple[Entity, ...]
    order: FunnelOrder = "ordered"
    window: Window = Window()
    exclusions: tuple[Exclusion, ...] = ()
    breakdown: Breakdown | None = None
    entrance: Entrance | None = None


@dataclass(frozen=True, slots=True)
class Reached:
    """Which actors are wanted, by how many steps they did (6.4, 6.6): `least` to `most`, or exactly those `custom`.

    `matched` is the step (from 1) whose events are given as recordings; None: the last one that the actor did.
    """

    least: int = 1
    most: int | None = None
    custom: frozenset[int] | None = None
    matched: int | None = None

    def condition(self, statement: Statement) -> str:
        """Return the condition on `steps`."""
        if self.custom is not None:
            return f"steps IN {statement.bind(sorted(self.custom), 'Array(Int64)')}"
        most = f" AND steps <= {statement.bind(self.most)}" if self.most is not None else ""
        return f"steps >= {statement.bind(self.least)}{most}"

    @classmethod
    def step(cls, number: int) -> "Reached":
        """Return the meaning of `funnel_step`: so many steps or more, or (negative) never that one. Not for -1."""
        if number < 0:
            return cls(-number - 1, -number - 1, matched=-number - 1)
        return cls(max(number, 1), matched=max(number, 1))

    @classmethod
    def steps(cls, numbers: frozenset[int]) -> "Reached":
        """Return the meaning of `funnel_custom_steps`."""
        return cls(custom=numbers)

    @classmethod
    def between(cls, from_step: int, to_step: int, *, drop_off: bool) -> "Reached":
        """Return the meaning of a funnel trend's steps (from 0): who reached `to_step`, or came from and did not."""
        if drop_off:
            return cls(from_step + 1, to_step, matched=from_step + 1)
        return cls(to_step + 1, matched=to_step + 1)
