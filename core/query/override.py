"""The filters of a dashboard over a query: `filters_override` of the body (query.md B1)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from core.query.reading import Fields
from core.query.runners.registry import WRAPPERS

OF_SOURCE: Final = WRAPPERS | {
    "ActorsQuery",
    "InsightActorsQuery",
    "FunnelsActorsQuery",
    "InsightActorsQueryOptions",
    "FunnelCorrelationQuery",
    "FunnelCorrelationActorsQuery",
}
"""Kinds whose `source` is what the dashboard's filters are for."""
INSIGHTS: Final = frozenset(
    {"TrendsQuery", "FunnelsQuery", "RetentionQuery", "LifecycleQuery", "StickinessQuery", "PathsQuery"}
)
_MAX_DEPTH: Final = 10

type Json = Any
type Node = Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Override:
    """What a dashboard demands of its queries; None where it leaves them alone."""

    date_from: str | None = None
    date_to: str | None = None
    properties: Json = None
    breakdown_filter: Mapping[str, Json] | None = None


def read_override(value: Json) -> Override | None:
    """Return the override in a body's `filters_override`; BadNode for what is none."""
    fields = Fields({"filters_override": value}, ()).below("filters_override")
    if fields is None:
        return None
    fields.closed("date_from", "date_to", "properties", "breakdown_filter", "explicitDate")
    fields.flag("explicitDate")
    return Override(
        date_from=fields.text("date_from"),
        date_to=fields.text("date_to"),
        properties=fields.filters("properties") or None,
        breakdown_filter=fields.mapping("breakdown_filter"),
    )


def overridden(node: Node, override: Override, depth: int = 0) -> Node:
    """Return the query as the dashboard shows it: its dates instead of the query's, its properties beside them.

    Kinds without dates and properties, and members of wrong types, which are refused later, stay as they are.
    """
    kind = node.get("kind")
    if not isinstance(kind, str) or depth > _MAX_DEPTH:
        return node
    if kind in OF_SOURCE:
        source = node.get("source")
        return {**node, "source": overridden(source, override, depth + 1)} if isinstance(source, Mapping) else node
    if kind in INSIGHTS:
        return _insight(node, override)
    return _OTHERS.get(kind, _unchanged)(node, override)


def _unchanged(node: Node, _: Override) -> Node:
    return node


def _statement(node: Node, override: Override) -> Node:
    filters = node.get("filters")
    return {**node, "filters": _dated(filters or {}, override)} if isinstance(filters, Mapping | None) else node


def _events(node: Node, override: Override) -> Node:
    found = dict(node)
    if override.date_from or override.date_to:
        found |= {"after": override.date_from, "before": override.date_to}
    return _with_properties(found, override)


def _insight(node: Node, override: Override) -> Node:
    found = dict(_dated(node, override))
    if override.breakdown_filter is not None:
        found["breakdownFilter"] = override.breakdown_filter
    return found


def _dated(holder: Node, override: Override) -> Node:
    found = dict(holder)
    dates = found.get("dateRange")
    if (override.date_from or override.date_to) and isinstance(dates, Mapping | None):
        found["dateRange"] = {**(dates or {}), "date_from": override.date_from, "date_to": override.date_to}
    return _with_properties(found, override)


def _with_properties(holder: dict[str, Json], override: Override) -> Node:
    own, more = holder.get("properties"), override.properties
    if more is None:
        return holder
    if not own:
        holder["properties"] = more
    elif isinstance(own, list) and isinstance(more, list):
        holder["properties"] = [*own, *more]
    elif isinstance(own, list | Mapping):
        groups = [one if isinstance(one, Mapping) else {"type": "AND", "values": one} for one in (own, more)]
        holder["properties"] = {"type": "AND", "values": groups}
    return holder


_OTHERS: Final[Mapping[str, Callable[[Node, Override], Node]]] = {"EventsQuery": _events, "HogQLQuery": _statement}
