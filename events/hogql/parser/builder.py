"""Builds nodes from the JSON tree of hogql-parser-rs.

Nothing is taken on trust: a node, or a member of a node, that is not known is refused by its name, so that a newer
parser can never have part of a statement ignored.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, cast

from events.hogql import ast
from events.hogql.errors import HogQLSyntaxError
from events.hogql.parser.words import words

type Json = dict[str, Any]
type Build = Callable[["Builder", Json, int | None, int | None], ast.Node]
type Known = Mapping[str, tuple[Build, frozenset[str]]]

MAX_DEPTH: Final = 100
MAX_NODES: Final = 10_000
_NAMES: Final = {
    "HogQLXTag": "HogQLX",
    "HogQLXAttribute": "HogQLX",
    "ValuesQuery": "VALUES",
    "PivotExpr": "PIVOT",
    "UnpivotExpr": "UNPIVOT",
    "SpreadExpr": "A spread",
    "PositionalRef": "A column by its number",
    "NamedArgument": "A named argument",
    "limit_percent": "LIMIT in percent",
    "interpolate": "INTERPOLATE",
    "with_fill": "WITH FILL",
    "using_key": "USING KEY",
}
# Hints, and how a comparison was spelled, change no result.
_IDLE: Final = frozenset({"materialized", "is_null_comparison_style", "start", "end", "node"})


def known(build: Build, *members: str) -> tuple[Build, frozenset[str]]:
    """Return what builds a kind of node, with the members that it knows."""
    return build, _IDLE.union(members)


class Builder:
    """One tree in the making: counts its nodes, how deep they are, and its clauses.

    What the parser reads and leaves out of its tree is looked up in the text between two nodes.
    """

    def __init__(self, text: str, kinds: Known) -> None:
        self.text = text
        self._kinds = kinds
        self.depth = 0
        self.nodes = 0
        self.clauses: Counter[str] = Counter()

    def words(self, start: int | None, end: int | None) -> list[str]:
        """Return the words of a part of the text; none where it is not known which part."""
        return [] if start is None or end is None or end <= start else words(self.text[start:end])

    def counted[T](self, clause: str, value: T) -> T:
        """Count a clause if it is there, and return it."""
        if value:
            self.clauses[clause] += 1
        return value

    def expr(self, json: Json) -> ast.Expr:
        """Return the node of any expression or query."""
        return cast("ast.Expr", self.node(json))

    def node(self, json: Json) -> ast.Node:
        """Return the node, whatever it is."""
        name = json.get("node")
        start, end = offset_of(json, "start"), offset_of(json, "end")
        kind = self._kinds.get(name) if isinstance(name, str) else None
        unknown = [] if kind is None else [key for key in json if key not in kind[1] and json[key] not in (None, False)]
        message = None
        if kind is None or unknown:
            name = unknown[0] if unknown else str(name)
            message = f"{_NAMES.get(name, name)} is not supported in HogQL."
        elif self.nodes >= MAX_NODES:
            message = f"The query has more than {MAX_NODES} terms."
        elif self.depth >= MAX_DEPTH:
            message = f"The query is nested more than {MAX_DEPTH} levels deep."
        if kind is None or message is not None:
            raise HogQLSyntaxError(message or "", start=start, end=end)
        self.nodes += 1
        self.depth += 1
        built = kind[0](self, json, start, end)
        self.depth -= 1
        return built

    def maybe(self, json: Json | None) -> ast.Expr | None:
        """Return the node, or None where there is none."""
        return None if json is None else self.expr(json)

    def exprs(self, items: Iterable[Json] | None) -> tuple[ast.Expr, ...]:
        """Return the nodes of a list."""
        return tuple([self.expr(item) for item in items or ()])

    def orders(self, items: Iterable[Json] | None) -> tuple[ast.OrderExpr, ...]:
        """Return the items of an ORDER BY."""
        return self.counted("order", cast("tuple[ast.OrderExpr, ...]", self.exprs(items)))

    def query(self, json: Json) -> ast.Query:
        """Return a SELECT or several; anything else is refused."""
        node = self.node(json)
        if not isinstance(node, ast.SelectQuery | ast.SelectSetQuery):
            raise HogQLSyntaxError("A query was expected here.", start=node.start, end=node.end)
        return node


def offset_of(json: Json, which: str) -> int | None:
    """Return where a node starts or ends, in characters; None where the parser does not say."""
    position = json.get(which)
    return position["offset"] if isinstance(position, dict) else position
