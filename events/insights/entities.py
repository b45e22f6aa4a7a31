"""What a series, step or exclusion of an insight counts: events by name, or saved actions."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from events.filters.grammar import Filter, FilterGroup


@dataclass(frozen=True, slots=True)
class EventMatch:
    """Events of one name (None: of any name) that pass a filter."""

    event: str | None
    filter: Filter | None = None


@dataclass(frozen=True, slots=True)
class Entity:
    """One series or step.

    An event counts when any of `matches` takes it and it passes `filter`, the entity's own properties. An action
    has a match for each of its steps; without any, nothing counts. `id` is the event's name (None: any event) or
    the action's id. `math_property` is set where `math` needs one.
    """

    type: Literal["events", "actions"]
    id: str | int | None
    matches: tuple[EventMatch, ...]
    filter: Filter | None = None
    math: str = "total"
    math_property: str | None = None
    math_group_type_index: int | None = None

    def repeats(self, earlier: "Entity") -> bool:
        """Tell whether every event of `earlier` may serve this entity again: same id, and no more is asked there."""
        if (self.type, self.id) != (earlier.type, earlier.id):
            return False
        return self.filter == earlier.filter or _conditions(self.filter) <= _conditions(earlier.filter)


def event_names(entities: Iterable[Entity]) -> list[str] | None:
    """Return the names of all events that can count, sorted; None when any name can."""
    names = {match.event for entity in entities for match in entity.matches}
    return None if None in names else sorted(name for name in names if name is not None)


def _conditions(wanted: Filter | None) -> frozenset[Filter]:
    if wanted is None:
        return frozenset()
    if isinstance(wanted, FilterGroup) and wanted.type == "AND":
        return frozenset(wanted.values)
    return frozenset({wanted})
