"""Where in the body a mistake stands: wrappers and filters of a dashboard change the query before it is read."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from core.api.errors import ApiError
from core.query.override import INSIGHTS, OF_SOURCE, Override
from core.query.reading import BadNode
from core.query.runners.registry import WRAPPERS

_SEPARATOR: Final = "__"
_FILTERS_OVERRIDE: Final = "filters_override"

type Json = Any
type Node = Mapping[str, Json]
type Parts = tuple[str, ...]


@contextmanager
def places_in_body(node: Node, override: Override | None) -> Iterator[None]:
    """Let the errors of the query inside of `node`, as it was sent, lead to their places in the body."""
    try:
        yield
    except BadNode as error:
        path = _in_body(tuple(map(str, error.path)), node, override)
        raise BadNode(error.message, path) from error
    except ApiError as error:
        if error.attr is not None:
            error.attr = _SEPARATOR.join(_in_body(tuple(error.attr.split(_SEPARATOR)), node, override))
        raise


def part_of(first: Json, second: Json, path: Sequence[str], *, one_list: bool) -> tuple[bool, Parts]:
    """Return in which of two filters a place of both together is, true for the second, and where in that.

    Both are a group of two, but for two lists that make `one_list`. An empty one says nothing.
    """
    if not first or not second or not path:
        return not first and bool(second), tuple(path)
    if one_list and isinstance(first, list) and isinstance(second, list):
        if not path[0].isdecimal():
            return False, tuple(path)
        number = int(path[0]) - len(first)
        return (False, tuple(path)) if number < 0 else (True, (str(number), *path[1:]))
    is_second = tuple(path[1:2]) == ("1",)
    # A list was made a group to stand beside the other.
    begins = 3 if isinstance(second if is_second else first, list) else 2
    return is_second, tuple(path[begins:])


def _in_body(path: Parts, node: Node, override: Override | None) -> Parts:
    if path[:1] != ("query",):
        return path
    shown, path = ["query"], path[1:]
    while node.get("kind") in WRAPPERS and isinstance(node.get("source"), Mapping):
        node = node["source"]
        shown.append("source")
    if override is None:
        return (*shown, *path)
    is_override, path = _in_either(path, node, override)
    return (_FILTERS_OVERRIDE, *path) if is_override else (*shown, *path)


def _in_either(path: Parts, node: Node, override: Override) -> tuple[bool, Parts]:
    """Return where a place in the overridden query is, true for in the override."""
    holder: Parts = ()
    while node.get("kind") in OF_SOURCE and isinstance(node.get("source"), Mapping):
        node, holder = node["source"], (*holder, "source")
    kind = node.get("kind")
    if kind == "HogQLQuery":
        node, holder = node.get("filters") or {}, (*holder, "filters")
    depth = len(holder)
    if path[:depth] != holder or kind not in {*INSIGHTS, "EventsQuery", "HogQLQuery"}:
        return False, path
    name, below = path[depth : depth + 1], path[depth + 1 :]
    if name == ("properties",) and override.properties is not None:
        is_override, below = part_of(node.get("properties"), override.properties, below, one_list=True)
        return is_override, (*name, *below) if is_override else (*holder, *name, *below)
    if name == ("breakdownFilter",) and override.breakdown_filter is not None and kind in INSIGHTS:
        return True, ("breakdown_filter", *below)
    dates = _DATES.get(path[depth:]) if override.date_from or override.date_to else None
    return (False, path) if dates is None else (True, dates)


_DATES: Final[Mapping[Parts, Parts]] = {
    ("dateRange", "date_from"): ("date_from",),
    ("dateRange", "date_to"): ("date_to",),
    ("after",): ("date_from",),
    ("before",): ("date_to",),
}
