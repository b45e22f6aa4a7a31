"""Suggestions for a place in a HogQL text."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import takewhile
from typing import Final, Literal

from core.query.completion.names import quoted, unquoted
from core.query.completion.scope import Expression, Scope, Seen, clause_at, group_at, scope_at
from core.query.completion.tokens import Group, Token, gathered, tokens
from events.hogql.context import Context, PropertyOf
from events.hogql.functions.registry import FUNCTIONS
from events.hogql.tables.registry import TABLES
from events.hogql.tables.table import Field, Join, Member, Part

MAX_PROPERTIES: Final = 220
"""Names of properties in one answer; more make the list incomplete."""

type Kind = Literal["Variable", "Folder", "Function", "Property", "Constant"]
type PropertyNames = Callable[[PropertyOf, str, int], Sequence[tuple[str, str | None]]]
"""(whose, part of the name, at most) -> names that hold the part, each with its type."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One item; `insert` is the text to put in the place of the word."""

    kind: Kind
    label: str
    insert: str
    detail: str | None = None
    documentation: str | None = None


@dataclass(slots=True)
class Suggestions:
    """What may stand at the place; `incomplete` says that there is more."""

    items: list[Suggestion] = field(default_factory=list)
    incomplete: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """The text, and the word in it that is being written: from `start` up to but without `end`."""

    text: str
    start: int
    end: int

    @property
    def word(self) -> str:
        """Return what is written of the word so far."""
        return self.text[self.start : self.end]


@dataclass(frozen=True, slots=True)
class Suggester:
    """Knows the project: its group types by `context`, its properties by `property_names`."""

    context: Context
    property_names: PropertyNames
    variables: Sequence[str] = ()

    def suggest(self, place: Place) -> Suggestions:
        """Return what may stand at a place of a statement."""
        listed = list(tokens(place.text))
        before = list(takewhile(lambda token: token.start < place.start, listed))
        last = before[-1] if before else None
        if last is not None and last.kind == "string" and last.end >= place.end and not _is_over(last, place):
            return self._in_string(before, place)
        if last is not None and last.kind == "comment" and last.end >= place.start:
            return Suggestions()
        whole = gathered(listed, len(place.text))
        group = group_at(whole, place.start)
        if group.opening == "{":
            return self._placeholders(before)
        scope = scope_at(whole, place.start, self.context)
        chain = _chain_before(before)
        if chain:
            return self._below(scope, chain, place)
        if _is_table_place(group, before, place.start):
            return Suggestions([*_queries(scope), *_tables()])
        return Suggestions([*self._names(scope), *_functions_like(place.word)])

    def expression(self, place: Place, table: str) -> Suggestions:
        """Return what may stand at a place of an expression over the rows of a table."""
        head = "SELECT "
        text = f"{head}{place.text}\nFROM {quoted(table)}"
        return self.suggest(Place(text, place.start + len(head), place.end + len(head)))

    def _names(self, scope: Scope) -> list[Suggestion]:
        """Return what an expression can begin with."""
        found = {name: Suggestion("Variable", name, quoted(name), "Alias") for name in (*scope.aliases, *scope.values)}
        for source in scope.sources:
            for name, member in source.members.items():
                if _is_suggested(member):
                    found.setdefault(name, _suggestion(name, member))
        for source in scope.sources:
            if source.name:
                found.setdefault(source.name, Suggestion("Folder", source.name, quoted(source.name), source.title))
        return list(found.values())

    def _below(self, scope: Scope, chain: Sequence[str], place: Place) -> Suggestions:
        """Return what can follow a chain of names and a dot."""
        found = scope.member(chain, self.context)
        if isinstance(found, Mapping):
            return Suggestions([_suggestion(name, one) for name, one in found.items() if _is_suggested(one)])
        if isinstance(found, Field) and found.type.kind == "JSON" and chain[-1] == "properties":
            return self._properties(found, scope, chain, place.word, quoted)
        return Suggestions()

    def _properties(
        self, column: Field, scope: Scope, chain: Sequence[str], part: str, written: Callable[[str], str]
    ) -> Suggestions:
        owner = _owner(column, scope, chain, self.context)
        if owner is None:
            return Suggestions()
        names = self.property_names(owner, unquoted(part), MAX_PROPERTIES + 1)
        items = [
            Suggestion(
                "Property", name, written(name), kind or "String", f"A property of the {owner.rstrip('_01234')}."
            )
            for name, kind in names[:MAX_PROPERTIES]
        ]
        return Suggestions(items, incomplete=len(names) > MAX_PROPERTIES)

    def _in_string(self, before: Sequence[Token], place: Place) -> Suggestions:
        """Return the names of properties inside of `properties['`, and nothing inside of other texts."""
        if len(before) < 3 or before[-2].text != "[":  # noqa: PLR2004 name, bracket, text
            return Suggestions()
        chain = _chain_before([*before[:-2], Token("symbol", ".", place.start, place.start)])
        text = place.text
        if not _is_closed(before[-1]):
            # What follows the place is no part of the text in quotes.
            text = f"{text[: place.end]}'{text[place.end :]}"
        scope = scope_at(gathered(tokens(text), len(text)), before[-2].start, self.context)
        found = scope.member(chain, self.context) if chain else None
        if not isinstance(found, Field) or found.type.kind != "JSON" or chain[-1] != "properties":
            return Suggestions()
        return self._properties(found, scope, chain, place.word.lstrip("'"), _in_quotes)

    def _placeholders(self, before: Sequence[Token]) -> Suggestions:
        chain = _chain_before(before)
        if chain == ["variables"]:
            return Suggestions([Suggestion("Variable", name, quoted(name), "Variable") for name in self.variables])
        below = {("filters",): ["dateRange"], ("filters", "dateRange"): ["from", "to"]}.get(tuple(chain))
        if chain:
            return Suggestions([Suggestion("Variable", name, name, "Filter") for name in below or []])
        return Suggestions(
            [
                Suggestion("Variable", "filters", "filters", "Placeholder", "The dates and filters around the query."),
                *([Suggestion("Variable", "variables", "variables", "Placeholder")] if self.variables else []),
            ]
        )


def place_of(text: str, start: int, end: int) -> Place:
    """Return the place of a word; where its beginning was not given, it is looked for."""
    length = len(text)
    start, end = min(start, length), min(max(start, end), length)
    while start and (text[start - 1].isalnum() or text[start - 1] in "_$"):
        start -= 1
    return Place(text, start, end)


def _is_over(token: Token, place: Place) -> bool:
    """Tell whether a text in quotes has ended before the place."""
    return token.end <= place.start and _is_closed(token)


def _is_closed(token: Token) -> bool:
    return len(token.text) > 1 and token.text.endswith("'")


def _is_table_place(group: Group, before: Sequence[Token], position: int) -> bool:
    """Tell whether a table is to be named: in FROM, right after it, a JOIN or a comma."""
    if clause_at(group, position) != "from" or not before:
        return False
    return before[-1].word in {"from", "join"} or before[-1].text == ","


def _chain_before(before: Sequence[Token]) -> list[str]:
    """Return the names before the last dot, empty where the tokens do not end with one."""
    names: list[str] = []
    left = len(before)
    while left > 1 and before[left - 1].text == "." and before[left - 2].kind == "name":
        names.append(unquoted(before[left - 2].text))
        left -= 2
    return names[::-1]


def _owner(column: Field, scope: Scope, chain: Sequence[str], context: Context) -> PropertyOf | None:
    """Return whose properties a column has: that of the join on the way to it, else the column's own."""
    owner = column.property_of
    for source in scope.sources:
        names = chain[1:] if source.name == chain[0] else chain
        members: Mapping[str, Seen | Member] = source.members
        for name in names:
            member = members.get(name)
            if isinstance(member, Join):
                owner = member.property_of or owner
                members = TABLES[member.table].of(context)
            elif isinstance(member, Part):
                members = member.members
            else:
                break
    return owner


def _is_suggested(member: Seen) -> bool:
    return not (isinstance(member, Field) and member.hidden)


def _suggestion(name: str, member: Seen) -> Suggestion:
    match member:
        case Expression():
            return Suggestion("Variable", name, quoted(name))
        case Field():
            return Suggestion("Variable", name, quoted(name), member.type.kind, member.description)
        case _:
            return Suggestion("Folder", name, quoted(name), "Table", member.description)


def _queries(scope: Scope) -> Iterable[Suggestion]:
    return [Suggestion("Folder", name, quoted(name), "CTE") for name in scope.queries]


@cache
def _tables() -> Sequence[Suggestion]:
    return tuple(
        Suggestion("Folder", name, quoted(name), "Table", table.description)
        for name, table in TABLES.items()
        if table.listed
    )


@cache
def _functions() -> Sequence[Suggestion]:
    return tuple(
        Suggestion(
            "Function",
            name,
            f"{name}()",
            "Aggregation" if FUNCTIONS[name].aggregate else "Function",
            FUNCTIONS[name].description,
        )
        for name in sorted(FUNCTIONS, key=str.lower)
    )


def _functions_like(word: str) -> Iterable[Suggestion]:
    """Return the functions that begin so: nearly a thousand are too many to send for every letter."""
    beginning = word.lower()
    return [one for one in _functions() if one.label.lower().startswith(beginning)]


def _in_quotes(name: str) -> str:
    return name.replace("\\", "\\\\").replace("'", "\\'")
