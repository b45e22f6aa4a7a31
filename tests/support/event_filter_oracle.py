"""What filters on events mean, in plain Python: over the filters' JSON, with rows as dicts and elements as objects."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from events.filters.grammar import CohortFilter, FilterGroup, PropertyFilter, read_filters
from events.filters.tree import Filter
from tests.support.filter_oracle import holds

NOW = datetime(2024, 3, 31, 12, 30, 15, tzinfo=UTC)
COHORTS = {"cohort", "static-cohort", "precalculated-cohort"}


@dataclass(frozen=True)
class Element:
    """One element as a page has it; `attributes` in the order of the chain, with the names of the chain."""

    tag: str
    classes: tuple[str, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()

    def written(self) -> str:
        head = ".".join([self.tag, *self.classes])
        quoted = [
            name + '="' + "".join("\\" + c if c == '"' else c for c in value) + '"' for name, value in self.attributes
        ]
        return head + ":" + "".join(quoted)


@dataclass(frozen=True)
class Event:
    uuid: UUID
    distinct_id: str
    timestamp: datetime
    properties: Mapping[str, Any] = field(default_factory=dict)
    elements: tuple[Element, ...] = ()

    @property
    def chain(self) -> str:
        return ";".join(element.written() for element in self.elements)


@dataclass(frozen=True)
class World:
    """Everything of one team: `owners` by distinct id, rows of persons and groups where there are any."""

    events: tuple[Event, ...]
    owners: Mapping[str, UUID]
    persons: Mapping[UUID, Mapping[str, Any]]
    groups: Mapping[tuple[int, str], Mapping[str, Any]]
    cohorts: Mapping[int, frozenset[UUID]]


@dataclass(frozen=True)
class Part:
    """A compound of a selector: what an element must be, and whether it must be a child of what is before."""

    tag: str | None = None
    classes: tuple[str, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    child: bool = False


@dataclass(frozen=True)
class Asked:
    """A selector by its parts, outermost first; its text stands in the filter."""

    parts: tuple[Part, ...]


def matches(item: Any, event: Event, world: World, selectors: Mapping[str, Asked]) -> bool:
    """Tell whether an event passes a filter object; `selectors` has the parts of each selector's text."""
    if isinstance(item, list):
        return all(matches(one, event, world, selectors) for one in item)
    if "values" in item and "key" not in item:
        members = [matches(one, event, world, selectors) for one in item["values"]]
        return (any(members) or not members) if item.get("type", "AND").upper() == "OR" else all(members)
    kind = item.get("type") or "event"
    negation = item.get("negation", False)
    operator = item.get("operator") or "exact"
    if kind in COHORTS:
        value = item["value"] if isinstance(item["value"], list) else [item["value"]]
        member = any(world.owners[event.distinct_id] in world.cohorts.get(one, ()) for one in value)
        return member != ((operator in {"not_in", "is_not"}) != negation)
    if kind == "element" and item["key"] in {"selector", "tag_name"}:
        value = item["value"] if isinstance(item["value"], list) else [item["value"]]
        if item["key"] == "selector":
            found = any(selects(selectors[one], event.elements) for one in value)
        else:
            found = any(element.tag in value for element in event.elements)
        return found != ((operator == "is_not") != negation)
    return tree_holds(
        read_filters([{**item, "type": "person"}], now=NOW),
        values(kind, item, event, world),
        in_element=kind == "element",
    )


def values(kind: str, item: Mapping[str, Any], event: Event, world: World) -> list[Any]:
    """Return the values under the filter's key: one, or as many as there are elements with it."""
    key = item["key"]
    if kind == "element":
        names = {"href": {"href", "attr__href"}, "text": {"text"}}[key]
        return [value for element in event.elements for name, value in element.attributes if name in names]
    match kind:
        case "event":
            return [event.distinct_id if key == "distinct_id" else event.properties.get(key)]
        case "person":
            return [world.persons.get(world.owners[event.distinct_id], {}).get(key)]
        case "group":
            index = item["group_type_index"]
            group = event.properties.get(f"$group_{index}")
            return [world.groups.get((index, group), {}).get(key) if isinstance(group, str) and group else None]
        case "session":
            return [duration(event, world)]
    raise TypeError(kind)


def duration(event: Event, world: World) -> int | None:
    session = event.properties.get("$session_id")
    if not isinstance(session, str) or not session:
        return None
    moments = [other.timestamp for other in world.events if other.properties.get("$session_id") == session]
    whole = [moment.replace(microsecond=0) for moment in (min(moments), max(moments))]
    return int((whole[1] - whole[0]).total_seconds())


def tree_holds(wanted: Filter | None, found: list[Any], *, in_element: bool) -> bool:
    """Tell whether one of the values satisfies what was read of a single filter."""
    match wanted:
        case None:
            return True
        case FilterGroup(kind, members):
            return (all if kind == "AND" else any)(tree_holds(one, found, in_element=in_element) for one in members)
        case PropertyFilter(_, predicate, negated):
            return negated != any(holds(predicate, value) for value in found)
        case CohortFilter():
            raise TypeError
    raise TypeError(wanted)


def selects(asked: Asked, elements: tuple[Element, ...]) -> bool:
    return any(stands(asked.parts, elements, place) for place in range(len(elements)))


def stands(parts: tuple[Part, ...], elements: tuple[Element, ...], place: int) -> bool:
    """Tell whether the element at a place can be what the last of these parts selects."""
    *before, part = parts
    element = elements[place]
    names = {"id": {"attr_id", "attr__id"}, "nth-child": {"nth-child"}, "nth-of-type": {"nth-of-type"}}
    fits = (
        (part.tag is None or part.tag == element.tag)
        and all(name in element.classes for name in part.classes)
        and all(
            any(other in names.get(name, {name, f"attr__{name}"}) and has == value for other, has in element.attributes)
            for name, value in part.attributes
        )
    )
    if not fits or not before:
        return fits
    above = range(place + 1, len(elements))
    return any(stands(tuple(before), elements, other) for other in (above[:1] if part.child else above))
