"""What the three orders of funnels have in common: chains of steps over arrays of one actor's events."""
# ruff: noqa: S608 values are bound

from collections.abc import Sequence
from dataclasses import dataclass

from events.insights.entities import Entity
from events.insights.funnel_breakdown import considered, division
from events.insights.funnel_codes import Codes
from events.insights.funnel_query import FunnelQuery
from events.insights.source import Source


@dataclass(frozen=True, slots=True)
class Chains:
    """A SELECT with a row for each actor, or actor and value: `actor`, the breakdown's columns and arrays.

    `reach` has an element for each event: how many steps the chain that starts there did, 0 where there is no start
    or it was discarded. `times` is an expression for the times of the chain at position `pos`, `steps` long. `at` are
    the arrays of each step's times for all positions, none where a step has no event of its own.
    """

    sql: str
    times: str
    at: tuple[str, ...] = ()


def asked_entities(query: FunnelQuery) -> tuple[Entity, ...]:
    """Return the steps, then the exclusions."""
    return (*query.steps, *(exclusion.entity for exclusion in query.exclusions))


def gathered_codes(query: FunnelQuery, source: Source, codes: Codes) -> str:
    """Return the SELECT of `k`: the sorted codes of each actor, or actor and value."""
    events = considered(query, source, codes.columns(source), entities=codes.entities, where=codes.where)
    return by_actor(query, f"{codes.gathered()} AS k", events)


def by_actor(query: FunnelQuery, aggregate: str, events: str) -> str:
    """Return the SELECT that gathers events into one row for each actor, or actor and value."""
    parts = division(query.breakdown)
    keys = ", ".join(["actor", *parts.keys])
    listed = ", ".join([*(f"{own} AS {name}" for name, own in parts.aggregates), aggregate])
    return f"SELECT {keys}, {listed} FROM ({events}) GROUP BY {keys}"


def reach(found: str, conditions: Sequence[str], arrays: Sequence[tuple[str, str]]) -> str:
    """Return the array `reach`: `found` where the conditions hold, which speak of elements of the (named) arrays."""
    names = ", ".join(name for name, _ in arrays)
    given = ", ".join(array for _, array in arrays)
    return f"arrayMap(({names}) -> toUInt16(if({' AND '.join(conditions)}, {found}, 0)), {given}) AS reach"
