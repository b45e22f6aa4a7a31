"""What a path insight is asked: which events are items of paths, where paths are cut, and which of them are wanted.

insight_actors.md section 11 is the meaning of every part.
"""

from dataclasses import dataclass
from typing import Literal

from events.filters.row_expressions import RowExpression
from events.insights.funnel import FunnelQuery, Reached
from events.insights.source import EventScope

type FunnelPart = Literal["before", "between", "after"]


@dataclass(frozen=True, slots=True)
class Items:
    r"""Which events are items of paths, and under which name.

    Events count when `pageviews`, `screens`, `custom` (names that do not begin with `$`) or `names` take them; where
    all four are empty every event does. `urls` and `screen_names` say whether page and screen views go by their
    address and screen, not by their event's name. `rules` (pattern of RE2, replacement with `\1` for a group) clean
    names one after the other; then the first of `groupings` that is in a name, `*` being any text, takes its place.
    What has one of the names `excluded` after all that is no item. Where a name is not an address or screen, it is the
    value of `expression`, empty without one, or the event's name where there is no expression.
    """

    pageviews: bool = False
    screens: bool = False
    custom: bool = False
    names: tuple[str, ...] = ()
    urls: bool = True
    screen_names: bool = True
    rules: tuple[tuple[str, str], ...] = ()
    groupings: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    expression: RowExpression | None = None


@dataclass(frozen=True, slots=True)
class PathKey:
    """An item at a place of a path, counted from 1; no path has a place 0."""

    place: int
    item: str


@dataclass(frozen=True, slots=True)
class FunnelPaths:
    """Keeps the events of those who went so far through a funnel, before, between or after steps.

    `step` is counted from 1: `after` begins with it, `before` ends with it (`open_end`: a funnel's window later),
    `between` goes from the step before it to it. Both ends are included.
    """

    query: FunnelQuery
    which: Reached
    part: FunnelPart
    step: int
    open_end: bool = False


@dataclass(frozen=True, slots=True)
class PathQuery:
    """The paths of the persons of a scope, of at most `step_limit` items, and which of them are wanted.

    `dropoff` wants paths that end with it; without one, `start` and `end` want paths in which an item comes right
    after `start` and is `end`.
    """

    scope: EventScope
    items: Items = Items()
    start_point: str | None = None
    end_point: str | None = None
    step_limit: int = 5
    start: PathKey | None = None
    end: PathKey | None = None
    dropoff: PathKey | None = None
    funnel: FunnelPaths | None = None
