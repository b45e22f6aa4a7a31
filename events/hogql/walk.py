"""Walks over a tree: its children, a copy with some nodes replaced, and which names of the project it mentions."""

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any, Final, cast

from events.hogql import ast

MATCHES_ACTION: Final = "matchesAction"

_MEMBERS: Final[dict[type[ast.Node], tuple[str, ...]]] = {}


def _members(kind: type[ast.Node]) -> tuple[str, ...]:
    """Return the members that may hold nodes."""
    if kind not in _MEMBERS:
        _MEMBERS[kind] = tuple(member.name for member in fields(kind) if member.name not in {"start", "end"})
    return _MEMBERS[kind]


def children(node: ast.Node) -> Iterator[ast.Node]:
    """Yield the nodes directly below `node`, in the order of its members."""
    for name in _members(type(node)):
        value = getattr(node, name)
        if isinstance(value, ast.Node):
            yield value
        elif isinstance(value, tuple):
            yield from _inside(value)


def _inside(items: tuple[Any, ...]) -> Iterator[ast.Node]:
    for item in items:
        if isinstance(item, ast.Node):
            yield item
        elif isinstance(item, tuple):
            yield from _inside(item)


def descendants(node: ast.Node) -> Iterator[ast.Node]:
    """Yield `node` and everything below it; a node comes before its children."""
    waiting = [node]
    while waiting:
        current = waiting.pop()
        yield current
        waiting.extend(reversed(list(children(current))))


def replaced[T: ast.Node](node: T, change: Callable[[ast.Node], ast.Node | None]) -> T:
    """Return the tree with what `change` returned in the place of nodes; where it returns None, their children go on.

    What took a node's place is not looked into. Where nothing changed, the very same node is returned.
    """
    other = change(node)
    return replaced_below(node, change) if other is None else cast("T", other)


def replaced_below[T: ast.Node](node: T, change: Callable[[ast.Node], ast.Node | None]) -> T:
    """Return the same as `replaced`, but never ask for `node` itself."""
    changes = {}
    for name in _members(type(node)):
        value = getattr(node, name)
        if isinstance(value, ast.Node):
            after: Any = replaced(value, change)
        elif isinstance(value, tuple):
            after = _replaced_items(value, change)
        else:
            continue
        if after is not value:
            changes[name] = after
    return replace(node, **changes) if changes else node


def _replaced_items(items: tuple[Any, ...], change: Callable[[ast.Node], ast.Node | None]) -> tuple[Any, ...]:
    after: list[Any] = []
    for item in items:
        if isinstance(item, ast.Node):
            after.append(replaced(item, change))
        elif isinstance(item, tuple):
            after.append(_replaced_items(item, change))
        else:
            after.append(item)
    return tuple(after) if any(new is not old for new, old in zip(after, items, strict=True)) else items


def placed[T: ast.Node](node: T, start: int | None, end: int | None) -> T:
    """Return the tree as if all of it stood at one place of the text: what came from elsewhere has none of its own.

    What is `Sourced` keeps its places, which are in a text that the caller knows.
    """
    if isinstance(node, ast.Sourced):
        return replace(node, start=start, end=end)

    def change(below: ast.Node) -> ast.Node | None:
        return placed(below, start, end)

    return replace(replaced_below(node, change), start=start, end=end)


def shifted[T: ast.Node](node: T, by: int) -> T:
    """Return the tree as if its text began so many characters later."""

    def change(below: ast.Node) -> ast.Node:
        return shifted(below, by)

    start, end = (None if place is None else place + by for place in (node.start, node.end))
    return replace(replaced_below(node, change), start=start, end=end)


def property_keys(node: ast.Node) -> set[str]:
    """Return every name that may be the key of a property: what stands behind the first name of a chain."""
    keys: set[str] = set()
    for each in descendants(node):
        if isinstance(each, ast.Field):
            keys.update(name for name in each.chain[1:] if isinstance(name, str))
        elif isinstance(each, ast.ArrayAccess) and isinstance(each.property, ast.Constant):
            key = each.property.value
            if isinstance(key, str):
                keys.add(key)
    return keys


def cohort_names(node: ast.Node) -> set[int | str]:
    """Return the ids and names of the cohorts on the right of IN COHORT, as they are written."""
    named: set[int | str] = set()
    for each in descendants(node):
        if isinstance(each, ast.CompareOperation) and each.op in {"in cohort", "not in cohort"}:
            named.update(
                below.value
                for below in descendants(each.right)
                if isinstance(below, ast.Constant)
                and isinstance(below.value, int | str)
                and not isinstance(below.value, bool)
            )
    return named


def action_names(node: ast.Node) -> set[int | str]:
    """Return the ids and names of the actions in `matchesAction(...)`, as they are written."""
    calls = (one for one in descendants(node) if isinstance(one, ast.Call) and one.name == MATCHES_ACTION)
    return {name for one in calls if (name := action_name(one)) is not None}


def action_name(node: ast.Call) -> int | str | None:
    """Return the id or name that a call of `matchesAction` has; None for anything else."""
    first = node.args[0] if node.args else None
    value = first.value if isinstance(first, ast.Constant) else None
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None


def tables_named(node: ast.Node) -> list[str]:
    """Return the tables that FROM and JOIN name, each once, in the order of the text; names of CTEs are no tables."""
    found: dict[str, None] = {}
    _tables(node, frozenset(), found)
    return list(found)


def _tables(node: ast.Node, hidden: frozenset[str], found: dict[str, None]) -> None:
    if isinstance(node, ast.SelectQuery | ast.SelectSetQuery):
        for cte in node.ctes:
            # A CTE sees those before it, and itself only where it is recursive.
            _tables(cte.expr, hidden | {cte.name} if cte.recursive else hidden, found)
            hidden |= {cte.name}
    elif isinstance(node, ast.JoinExpr) and isinstance(node.table, ast.Field):
        name = ".".join(map(str, node.table.chain))
        if name not in hidden:
            found[name] = None
    for child in children(node):
        if not isinstance(child, ast.CTE):
            _tables(child, hidden, found)
