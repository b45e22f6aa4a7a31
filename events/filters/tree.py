"""What a filter is once it has been read: properties, cohorts, selectors and HogQL, joined by AND and OR."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal
from uuid import UUID

from events.filters.predicates import Matches, Predicate
from events.filters.row_expressions import RowExpression
from events.filters.selectors import Selector

type Place = Literal["event", "event_metadata", "person", "group", "session", "element"]
type Leaf = PropertyFilter | SelectorFilter | CohortFilter | HogQLFilter | PersonsFilter
type Filter = Leaf | FilterGroup


@dataclass(frozen=True, slots=True)
class PropertyFilter:
    """A predicate on the value under one key; `negated` turns it round, so that a missing value passes.

    `type` says whose property it is: the event's (the key `distinct_id` is the event's own), the event itself
    (`event_metadata`: one of its columns), the person's, that of the event's group of `group_type_index`, the
    session's (a column of HogQL's `sessions`), or of one of the elements of the event's chain (`text`, `href`), any of
    which may satisfy the predicate.
    """

    key: str
    predicate: Predicate
    negated: bool = False
    type: Place = "person"
    group_type_index: int | None = None


@dataclass(frozen=True, slots=True)
class SelectorFilter:
    """One of these selectors selects an element of the event's chain, or (`negated`) none does."""

    selectors: tuple[Selector, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class CohortFilter:
    """Membership in one of these cohorts, or (`negated`) in none of them."""

    cohort_ids: tuple[int, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class HogQLFilter:
    """A HogQL expression that is true, or whose value as text satisfies a predicate or (`negated`) does not."""

    expression: RowExpression
    predicate: Predicate | None = None
    negated: bool = False


@dataclass(frozen=True, slots=True)
class PersonsFilter:
    """One of these persons: what a HogQL filter on persons comes to where ClickHouse cannot be asked row by row."""

    uuids: frozenset[UUID]


@dataclass(frozen=True, slots=True)
class FilterGroup:
    """All (`AND`) or at least one (`OR`) of the values; an empty AND is true, an empty OR is false."""

    type: Literal["AND", "OR"]
    values: tuple[Filter, ...]


HOGQL_SIZE: Final = 100
"""Characters of HogQL that are as much work as one filter."""
EVERYTHING: Final = FilterGroup("AND", ())
NOTHING: Final = FilterGroup("OR", ())


def leaves(wanted: Filter) -> Iterator[Leaf]:
    """Yield the filters that are not groups, in order."""
    if isinstance(wanted, FilterGroup):
        for value in wanted.values:
            yield from leaves(value)
    else:
        yield wanted


def size(wanted: Filter) -> int:
    """Return how many filters this is to ClickHouse: each pattern and each selector is as much work as one."""
    return sum(map(_leaf_size, leaves(wanted)))


def _leaf_size(leaf: Leaf) -> int:
    match leaf:
        case PropertyFilter(predicate=Matches(patterns)):
            return len(patterns)
        case SelectorFilter(selectors):
            return len(selectors)
        case HogQLFilter(expression):
            return 1 + len(expression.text) // HOGQL_SIZE
        case _:
            return 1


def cohort_ids(wanted: Filter) -> set[int]:
    """Return the cohorts that a filter names."""
    found: set[int] = set()
    for leaf in leaves(wanted):
        if isinstance(leaf, CohortFilter):
            found.update(leaf.cohort_ids)
        elif isinstance(leaf, HogQLFilter):
            found.update(leaf.expression.context.cohorts.values())
    return found


def with_cohorts(wanted: Filter, known: Collection[int]) -> Filter:
    """Return the filter without the cohorts that are not known; a filter on none but those matches nothing."""
    match wanted:
        case FilterGroup():
            return replace(wanted, values=tuple(with_cohorts(value, known) for value in wanted.values))
        case CohortFilter():
            numbers = tuple(number for number in wanted.cohort_ids if number in known)
            return replace(wanted, cohort_ids=numbers) if numbers else NOTHING
        case _:
            return wanted


def property_keys(wanted: Filter) -> set[str]:
    """Return the property keys that a filter looks at."""
    return {leaf.key for leaf in leaves(wanted) if isinstance(leaf, PropertyFilter)}


def has_hogql(wanted: Filter | None) -> bool:
    """Tell whether part of a filter is the caller's HogQL."""
    return wanted is not None and any(isinstance(leaf, HogQLFilter) for leaf in leaves(wanted))
