"""Cuts a HogQL text into tokens and gathers these by parentheses, also where some were not closed yet."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

type Kind = Literal["name", "string", "number", "comment", "symbol"]
type Item = Token | Group

_TOKEN: Final = re.compile(
    r"""(?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))
    |(?P<string>'(?:[^'\\]|\\.|'')*(?:'|\Z))
    |(?P<quoted>`(?:[^`\\]|\\.)*(?:`|\Z)|"(?:[^"\\]|\\.)*(?:"|\Z))
    |(?P<number>[0-9][0-9A-Za-z_.]*)
    |(?P<name>[^\W\d][\w$]*|\$[\w$]*)
    |(?P<symbol>\S)""",
    re.VERBOSE | re.DOTALL,
)
_OPENING: Final = {"(": ")", "[": "]", "{": "}"}
_CLOSING: Final = frozenset(_OPENING.values())
SET_OPERATORS: Final = frozenset({"union", "intersect", "except"})
# Clauses that never stand in the parentheses of a call but for these calls, so they end what was not closed.
_ENDS: Final = frozenset({"from", "where", "having", "limit"}) | SET_OPERATORS
_MAY_HOLD: Final = frozenset({"extract", "trim", "substring", "filter", "over", "columns"})


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text; `word` is it in lower case, empty for what is no plain name."""

    kind: Kind
    text: str
    start: int
    end: int
    word: str = ""


@dataclass(slots=True)
class Group:
    """What is between two brackets, or the whole text. `end` is the length of the text where it was not closed."""

    opening: str
    start: int
    end: int
    parent: "Group | None" = None
    items: list[Item] = field(default_factory=list)

    def is_query(self) -> bool:
        """Tell whether a SELECT stands here."""
        first = self.items[0] if self.items else None
        return isinstance(first, Token) and first.word in {"select", "with"}


def tokens(text: str) -> Iterator[Token]:
    """Yield the tokens of a text; what was opened last and not closed goes on to the end."""
    for found in _TOKEN.finditer(text):
        kind = found.lastgroup
        word = found[0].lower() if kind == "name" else ""
        match kind:
            case "name" | "quoted":
                yield Token("name", found[0], found.start(), found.end(), word)
            case "string" | "number" | "comment" | "symbol":
                yield Token(kind, found[0], found.start(), found.end())


def gathered(listed: Iterable[Token], length: int) -> Group:
    """Return a whole text of so many characters, comments left out."""
    whole = current = Group("", 0, length)
    for token in listed:
        if token.kind == "comment":
            continue
        if token.word in _ENDS:
            current = _repaired(current, token)
        if token.text in _OPENING and token.kind == "symbol":
            below = Group(token.text, token.end, length, current)
            current.items.append(below)
            current = below
        elif token.text in _CLOSING and token.kind == "symbol":
            current = _closed(current, token)
        else:
            current.items.append(token)
    return whole


def _repaired(current: Group, token: Token) -> Group:
    """Return the group that a clause belongs to, with all inside of it ended before the clause."""
    group = current
    while group.parent is not None and not group.is_query():
        first = group.items[0] if group.items else None
        # `((SELECT ..) UNION ..)` is a query too.
        if _called(group) in _MAY_HOLD or (isinstance(first, Group) and first.is_query()):
            return current
        group = group.parent
    one = current
    while one is not group and one.parent is not None:
        one.end = min(one.end, token.start)
        one = one.parent
    return group


def _called(group: Group) -> str:
    """Return the name before the parentheses."""
    siblings = group.parent.items if group.parent is not None else []
    before = siblings[-2] if len(siblings) > 1 and siblings[-1] is group else None
    return before.word if isinstance(before, Token) else ""


def _closed(current: Group, token: Token) -> Group:
    group: Group | None = current
    while group is not None and _OPENING.get(group.opening) != token.text:
        group = group.parent
    if group is None or group.parent is None:
        # It closes nothing.
        return current
    one = current
    while one is not group and one.parent is not None:
        one.end = min(one.end, token.start)
        one = one.parent
    group.end = token.start
    return group.parent
