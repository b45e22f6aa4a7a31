"""Which names a place in a text can see: tables and their fields, queries given names by WITH, aliases."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from core.query.completion.names import unquoted
from core.query.completion.tokens import SET_OPERATORS, Group, Item, Token
from events.hogql.context import Context
from events.hogql.tables.registry import TABLES
from events.hogql.tables.table import Field, Join, Member, Part
from events.hogql.types import UNKNOWN, Type

MAX_DEPTH: Final = 8
"""Of queries inside queries whose columns are looked at."""
_CLAUSES: Final = frozenset(
    {"with", "select", "from", "prewhere", "where", "group", "having", "qualify", "window", "order", "limit", "offset"}
)
_JOIN_WORDS: Final = frozenset(
    {
        "join",
        "inner",
        "left",
        "right",
        "full",
        "cross",
        "outer",
        "any",
        "all",
        "asof",
        "semi",
        "anti",
        "array",
        "global",
    }
)
_AFTER_TABLE: Final = frozenset({"on", "using", "final", "sample", "as"})

type Clauses = Mapping[str, list[Item]]


@dataclass(frozen=True, slots=True)
class Expression:
    """A column whose values are worked out, by a query in FROM or an alias."""

    type: Type = UNKNOWN


type Seen = Member | Expression


@dataclass(frozen=True, slots=True)
class Source:
    """A table or query in FROM, by the name that it has there; `title` says what it is."""

    name: str
    members: Mapping[str, Seen]
    title: str


@dataclass(slots=True)
class Scope:
    """What can be named inside one SELECT."""

    sources: list[Source] = field(default_factory=list)
    aliases: list[str] = field(default_factory=list)
    queries: dict[str, Group] = field(default_factory=dict)
    values: list[str] = field(default_factory=list)

    def member(self, chain: Sequence[str], context: Context) -> "Mapping[str, Seen] | Seen | None":
        """Return what a chain of names means: a column, or the columns below it; None for what is not known."""
        first, *below = chain
        source = next((one for one in self.sources if one.name == first), None)
        if source is not None and (found := below_of(source.members, below, context)) is not None:
            return found
        for one in self.sources:
            if first in one.members:
                return below_of(one.members, chain, context)
        return None


def below_of(members: Mapping[str, Seen], chain: Sequence[str], context: Context) -> "Mapping[str, Seen] | Seen | None":
    """Follow a chain of names through joined tables; keys of JSON end it at its column."""
    if not chain:
        return members
    member = members.get(chain[0])
    match member:
        case Join():
            return below_of(TABLES[member.table].of(context), chain[1:], context)
        case Part():
            return below_of(member.members, chain[1:], context)
        case _:
            return member


def scope_at(whole: Group, position: int, context: Context) -> Scope:
    """Return what the place sees of the SELECT around it, and the names that WITH gave further out."""
    place = group_at(whole, position)
    around: list[Group] = []
    current: Group | None = place
    while current is not None:
        around.append(current)
        current = current.parent
    names = _Names(context)
    found: Scope | None = None
    for group in reversed([one for one in around if one.parent is None or one.is_query()]):
        arm = _arm_at(group, position)
        names.add(arm)
        if "select" in arm or "from" in arm:
            found = names.scope(arm)
    scope = found or Scope()
    scope.queries, scope.values = dict(names.queries), list(names.values)
    return scope


def group_at(whole: Group, position: int) -> Group:
    """Return the innermost brackets around a place."""
    group, inner = whole, _around(whole, position)
    while inner is not None:
        group, inner = inner, _around(inner, position)
    return group


def _around(group: Group, position: int) -> Group | None:
    return next((one for one in group.items if isinstance(one, Group) and one.start <= position <= one.end), None)


def clause_at(group: Group, position: int) -> str:
    """Return the keyword of the clause that a place is in, empty before the first one."""
    found = ""
    for item in group.items:
        if item.start >= position:
            break
        if isinstance(item, Token) and (item.word in _CLAUSES or item.word in {"join", "on", "using"}):
            found = "from" if item.word == "join" else item.word
    return found


def _arms(group: Group) -> Iterator[list[Item]]:
    arm: list[Item] = []
    for item in group.items:
        if isinstance(item, Token) and item.word in SET_OPERATORS:
            yield arm
            arm = []
        else:
            arm.append(item)
    yield arm


def _arm_at(group: Group, position: int) -> Clauses:
    chosen: list[Item] = []
    for arm in _arms(group):
        if chosen and arm and arm[0].start > position:
            break
        chosen = arm
    return _clauses(chosen)


def _clauses(items: Sequence[Item]) -> Clauses:
    found: dict[str, list[Item]] = {}
    current: list[Item] = []
    for item in items:
        if isinstance(item, Token) and item.word in _CLAUSES and not (item.word in found and item.word == "with"):
            current = found.setdefault(item.word, [])
        else:
            current.append(item)
    return found


class _Names:
    """The names that WITH gave so far, from the outermost query inwards."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.queries: dict[str, Group] = {}
        self.values: list[str] = []

    def add(self, clauses: Clauses) -> None:
        """Read a WITH clause: `name AS (query)`, or `expression AS name`."""
        for part in _split(clauses.get("with", [])):
            items = [item for item in part if not (isinstance(item, Token) and item.word == "recursive")]
            for number, item in enumerate(items):
                if isinstance(item, Token) and item.word == "as":
                    self._named(items[:number], items[number + 1 :])
                    break

    def _named(self, before: Sequence[Item], after: Sequence[Item]) -> None:
        query = next((one for one in after if isinstance(one, Group)), None)
        first = before[0] if before else None
        if query is not None and isinstance(first, Token) and first.kind == "name":
            self.queries[unquoted(first.text)] = query
        elif after and isinstance(after[0], Token) and after[0].kind == "name":
            self.values.append(unquoted(after[0].text))

    def scope(self, clauses: Clauses) -> Scope:
        """Return the tables of FROM and the aliases of SELECT."""
        sources = list(self._sources(clauses.get("from", []), 0))
        aliases = [name for part in _split(clauses.get("select", [])) if (name := _alias(part)) is not None]
        return Scope(sources=sources, aliases=aliases)

    def _sources(self, items: Sequence[Item], depth: int) -> Iterator[Source]:
        for part in _tables(items):
            source = self._source(part, depth)
            if source is not None:
                yield source

    def _source(self, part: Sequence[Item], depth: int) -> Source | None:
        first, alias = part[0], _table_alias(part[1:])
        if isinstance(first, Group):
            return Source(alias or "", self._columns(first, depth), "Subquery") if depth < MAX_DEPTH else None
        if first.kind != "name":
            return None
        name = unquoted(first.text)
        if name in self.queries and depth < MAX_DEPTH:
            return Source(alias or name, self._columns(self.queries[name], depth), "CTE")
        table = TABLES.get(name)
        return None if table is None else Source(alias or name, table.of(self.context), name)

    def _columns(self, group: Group, depth: int) -> dict[str, Seen]:
        """Return the columns of a query by its first SELECT."""
        clauses = _clauses(next(_arms(group)))
        if "select" not in clauses:
            inner = next((item for item in group.items if isinstance(item, Group)), None)
            return self._columns(inner, depth + 1) if inner is not None and depth < MAX_DEPTH else {}
        inside = _Names(self.context)
        inside.queries.update(self.queries)
        inside.add(clauses)
        scope = Scope(list(inside._sources(clauses.get("from", []), depth + 1)))
        found: dict[str, Seen] = {}
        for part in _split(clauses["select"]):
            found.update(_column(part, scope, self.context))
        return found


def _column(part: Sequence[Item], scope: Scope, context: Context) -> Mapping[str, Seen]:
    """Return the column, or the columns of `*`, that an item of SELECT makes."""
    last = part[-1]
    if isinstance(last, Token) and last.text == "*":
        table = unquoted(part[0].text) if len(part) > 1 and isinstance(part[0], Token) else None
        chosen = [one for one in scope.sources if table is None or one.name == table]
        return {name: member for one in chosen for name, member in one.members.items() if _is_shown(member)}
    alias = _alias(part)
    chain = _chain(part[:-2] if alias is not None and _has_as(part) else part)
    name = alias or (chain[-1] if chain else None)
    if name is None:
        return {}
    member = scope.member(chain, context) if chain else None
    is_key = isinstance(member, Field) and member.type.kind == "JSON" and chain[-1] != "properties"
    return {name: member if isinstance(member, Field | Expression) and not is_key else Expression()}


def _is_shown(member: Seen) -> bool:
    return isinstance(member, Expression) or (isinstance(member, Field) and not member.hidden)


def _has_as(part: Sequence[Item]) -> bool:
    before = part[-2] if len(part) > 1 else None
    return isinstance(before, Token) and before.word == "as"


def _alias(part: Sequence[Item]) -> str | None:
    """Return the alias of an item: after AS, or a name right after a value."""
    last = part[-1] if part else None
    if not isinstance(last, Token) or last.kind != "name":
        return None
    before = part[-2] if len(part) > 1 else None
    if _has_as(part):
        return unquoted(last.text)
    follows_value = isinstance(before, Group) or (
        isinstance(before, Token) and before.kind in {"name", "string", "number"}
    )
    return unquoted(last.text) if follows_value and last.word not in {"end", "asc", "desc"} else None


def _chain(part: Sequence[Item]) -> list[str]:
    """Return the names of `a.b.c`; none for any other expression."""
    names = []
    for number, item in enumerate(part):
        if not isinstance(item, Token):
            return []
        if number % 2 == 0 and item.kind == "name":
            names.append(unquoted(item.text))
        elif not (number % 2 == 1 and item.text == "."):
            return []
    return names


def _split(items: Sequence[Item]) -> Iterator[list[Item]]:
    part: list[Item] = []
    for item in items:
        if isinstance(item, Token) and item.text == ",":
            if part:
                yield part
            part = []
        elif not (isinstance(item, Token) and item.word == "distinct" and not part):
            part.append(item)
    if part:
        yield part


def _tables(items: Sequence[Item]) -> Iterator[list[Item]]:
    """Yield each table of FROM with what follows it; what ARRAY JOIN lists are no tables."""
    part: list[Item] = []
    is_array = False
    for item in items:
        word = item.word if isinstance(item, Token) else ""
        if word in _JOIN_WORDS or (isinstance(item, Token) and item.text == ","):
            if part and not is_array:
                yield part
            part = []
            is_array = word == "array" or (is_array and word in {"join", ""})
        else:
            part.append(item)
    if part and not is_array:
        yield part


def _table_alias(rest: Sequence[Item]) -> str | None:
    """Return the alias among what follows a table; parentheses there are arguments."""
    for item in rest:
        if isinstance(item, Group) or item.word == "as":
            continue
        if item.word == "final":
            continue
        return unquoted(item.text) if item.kind == "name" and item.word not in _AFTER_TABLE else None
    return None
