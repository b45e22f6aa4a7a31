"""Random expressions of a kind over the columns of a SELECT, and what they are drawn with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final, Protocol

from events.hogql.context import PersonMode
from tests.events.hogql.corpus.world import OTHER, TEAM
from tests.events.hogql.tenancy.catalogue import AGGREGATIONS, CALLS, KINDS, Kind

LITERALS: Final[dict[Kind, tuple[str, ...]]] = {
    "text": ("'a1'", "'$pageview'", "'free'", "''", "'acme'", "'s1'", "'x y'", "'%NARY%'"),
    "number": ("1", "0", "2", "7", "2.5", "-3", "100"),
    "bool": ("true", "false", "1 = 1"),
    "time": ("toDateTime('2024-05-06 12:10:00')", "toDateTime('2024-05-08 00:00:00')"),
    "uuid": ("toUUID('00000000-0000-0000-0000-000000000001')", "toUUID('00000000-0000-0000-0000-0000000003e9')"),
    "texts": ("['a', 'b1']", "['a1']", "splitByChar(' ', 'a b c')"),
}
TEAMS: Final = (
    f"= {OTHER}", f"!= {TEAM}", f"in ({TEAM}, {OTHER})", f"= {OTHER} or 1", f"not in ({TEAM},)", "> 0",
    f"= {OTHER} or 1 = 1", f"between {OTHER} and {OTHER}", "is not null", f"in [{OTHER}]", f"% 2 = {OTHER % 2}",
)  # fmt: skip
COHORTS: Final = ("10", "11", "'Buyers'")
DEEPEST: Final = 2


class Drawn:
    """Choices of a statement."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def number(self, least: int, most: int) -> int:
        return self._random.randint(least, most)

    def pick[T](self, options: Sequence[T]) -> T:
        return self._random.choice(options)

    def one_in(self, count: int) -> bool:
        """Say yes once in so many times."""
        return self._random.randrange(count) == 0


@dataclass(slots=True)
class Scope:
    """What the expressions of one SELECT can name: texts by kind; `joined` needs lazy joins; `teams` are team_ids."""

    own: dict[Kind, list[str]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    joined: dict[Kind, list[str]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    teams: list[str] = field(default_factory=list)


class Subqueries(Protocol):
    """Writes the queries that stand in expressions."""

    mode: PersonMode

    def in_list(self, kind: Kind) -> str:
        """Return a query of one column, with parentheses."""

    def scalar(self, kind: Kind) -> str:
        """Return a query of one row and column, with parentheses."""


class Expressions:
    """Writes expressions over a scope."""

    def __init__(self, drawn: Drawn, scope: Scope, subqueries: Subqueries) -> None:
        self.drawn = drawn
        self.scope = scope
        self.subqueries = subqueries
        self._lambdas = 0

    def any(self, depth: int = DEEPEST) -> tuple[str, Kind]:
        kind = self.drawn.pick(KINDS)
        return self.write(kind, depth), kind

    def write(self, kind: Kind, depth: int = DEEPEST) -> str:
        if depth <= 0 or not self.drawn.one_in(3):
            return self.leaf(kind)
        makers: dict[Kind, Callable[[int], str]] = {
            "text": self.text, "number": self.numeric, "bool": self.condition, "time": self.time, "uuid": self.uuid,
            "texts": self.texts,
        }  # fmt: skip
        return makers[kind](depth - 1)

    def leaf(self, kind: Kind) -> str:
        own, joined = self.scope.own[kind], self.scope.joined[kind]
        if kind == "bool" and self.drawn.one_in(2):
            return self.comparison(0)
        if joined and self.drawn.one_in(3):
            return self.drawn.pick(joined)
        if own and not self.drawn.one_in(8):
            return self.drawn.pick(own)
        return self.drawn.pick(LITERALS[kind])

    def one_of[T](self, *makers: Callable[[], T]) -> T:
        return self.drawn.pick(makers)()

    def text(self, depth: int) -> str:
        one, two = self.write("text", depth), self.write("text", depth)
        return self.one_of(
            lambda: f"{self.drawn.pick(('lower', 'upper', 'reverse', 'trim', 'base64Encode'))}({one})",
            lambda: f"concat({one}, {two})",
            lambda: f"({one} || {two})",
            lambda: f"substring({one}, 1, {self.drawn.number(1, 5)})",
            lambda: f"if({self.write('bool', depth)}, {one}, {two})",
            lambda: f"({one} ?? {two})",
            lambda: f"toString({self.write(self.drawn.pick(('number', 'uuid', 'time', 'texts')), depth)})",
            lambda: f"case when {self.write('bool', depth)} then {one} else {two} end",
            lambda: f"arrayStringConcat({self.write('texts', depth)}, '-')",
            lambda: self.subqueries.scalar("text"),
            lambda: f"toValidUTF8(toString({self.listed()}))",
            lambda: f"toValidUTF8(toString({self.listed()}))",
        )

    def listed(self) -> str:
        """Return a call of the allow-list, some of whose arguments are columns."""
        template = self.drawn.pick(CALLS)
        arguments = {}
        for place, kind in template.places.items():
            if self.drawn.one_in(2):
                # A number of any size could ask for very long texts and lists.
                leaf = self.leaf("text")
                arguments[place] = leaf if kind == "text" else f"(1 + length({leaf}) % 3)"
        return template.text(arguments)

    def numeric(self, depth: int) -> str:
        one, two = self.write("number", depth), self.write("number", depth)
        name = self.name()
        return self.one_of(
            lambda: f"({one} {self.drawn.pick('+-*/')} {two})",
            lambda: f"length({self.write(self.drawn.pick(('text', 'texts')), depth)})",
            lambda: f"if({self.write('bool', depth)}, toFloat({one}), toFloat({two}))",
            lambda: f"{self.drawn.pick(('toHour', 'toDayOfWeek', 'toYYYYMM'))}({self.write('time', depth)})",
            lambda: f"dateDiff('hour', {self.write('time', depth)}, {self.write('time', depth)})",
            lambda: f"coalesce(toFloat({one}), 0.5)",
            lambda: f"position({self.write('text', depth)}, {self.write('text', depth)})",
            lambda: f"countEqual({self.write('texts', depth)}, {self.write('text', 0)})",
            lambda: f"arraySum({name} -> length({name}), {self.write('texts', depth)})",
            lambda: self.subqueries.scalar("number"),
        )

    def time(self, depth: int) -> str:
        one = self.write("time", depth)
        return self.one_of(
            lambda: f"{self.drawn.pick(('toStartOfDay', 'toStartOfHour', 'toStartOfMonth', 'toStartOfWeek'))}({one})",
            lambda: f"({one} + interval {self.drawn.number(1, 9)} {self.drawn.pick(('hour', 'day', 'week'))})",
            lambda: f"dateTrunc('day', {one})",
            lambda: self.subqueries.scalar("time"),
        )

    def uuid(self, depth: int) -> str:
        one, two = self.write("uuid", depth), self.write("uuid", depth)
        if self.drawn.one_in(2):
            return f"coalesce({one}, {two})"
        return f"if({self.write('bool', depth)}, {one}, {two})"

    def texts(self, depth: int) -> str:
        one = self.write("texts", depth)
        name = self.name()
        return self.one_of(
            lambda: f"splitByChar(' ', coalesce({self.write('text', depth)}, ''))",
            lambda: f"[{self.write('text', depth)}, {self.write('text', depth)}]",
            lambda: f"arrayMap({name} -> {self._inside(name, 'text', depth)}, {one})",
            lambda: f"arrayFilter({name} -> {self._inside(name, 'bool', depth)}, {one})",
            lambda: f"{self.drawn.pick(('arrayDistinct', 'arraySort', 'arrayReverse'))}({one})",
            lambda: f"({one})[1:2]",
            lambda: f"arrayConcat({one}, {self.write('texts', depth)})",
        )

    def name(self) -> str:
        """Return a name for a lambda's argument, which sometimes hides a column."""
        self._lambdas += 1
        return "event" if self.drawn.one_in(6) else f"x{self._lambdas}"

    def _inside(self, name: str, kind: Kind, depth: int) -> str:
        inner = Scope(
            {each: list(texts) for each, texts in self.scope.own.items()}, self.scope.joined, self.scope.teams
        )
        inner.own["text"] = [name, name, name, *inner.own["text"]]
        return Expressions(self.drawn, inner, self.subqueries).write(kind, depth)

    def comparison(self, depth: int) -> str:
        kind: Kind = self.drawn.pick(("text", "number", "time", "uuid", "text"))
        one = self.write(kind, depth) if depth else self.value(kind)
        two = self.write(kind, depth) if depth else self.value(kind)
        signs = ("=", "!=", "<", ">=") if kind != "uuid" else ("=", "!=")
        return f"{one} {self.drawn.pick(signs)} {two}"

    def value(self, kind: Kind) -> str:
        return self.drawn.pick(self.scope.own[kind] or LITERALS[kind])

    def condition(self, depth: int) -> str:
        one, text = self.write("bool", depth), self.write("text", depth)
        return self.one_of(
            lambda: f"({one} and {self.write('bool', depth)})",
            lambda: f"({one} or {self.write('bool', depth)})",
            lambda: f"not ({one})",
            lambda: f"{text} {self.drawn.pick(('like', 'not like', 'ilike'))} {self.drawn.pick(LITERALS['text'])}",
            lambda: f"({self.any(depth)[0]} {self.drawn.pick(('is null', 'is not null'))})",
            lambda: f"{text} {self._in()} ({', '.join(LITERALS['text'][:4])})",
            self.in_query,
            self.in_query,
            lambda: f"{self.write('uuid', 0)} {self._in()} cohort {self.drawn.pick(COHORTS)}",
            self.team,
            lambda: f"{self.write('number', depth)} between {self.write('number', 0)} and {self.write('number', 0)}",
            lambda: f"has({self.write('texts', depth)}, {text})",
            lambda: self.comparison(depth),
        )

    def in_query(self) -> str:
        kind: Kind = self.drawn.pick(("text", "uuid", "number"))
        return f"{self.write(kind, 0)} {self._in()} {self.subqueries.in_list(kind)}"

    def _in(self) -> str:
        return self.drawn.pick(("in", "not in"))

    def team(self) -> str:
        """Return a condition on the project, of which the other one's rows must not come."""
        own = self.drawn.pick(self.scope.teams) if self.scope.teams else str(TEAM)
        return f"({own} {self.drawn.pick(TEAMS)})"

    def aggregation(self) -> tuple[str, Kind]:
        """Return an aggregation over rows."""
        number, text, rows = self.write("number", 1), self.write("text", 1), self.write("bool", 0)
        kind: Kind = self.drawn.pick(KINDS[:5])
        makers: tuple[tuple[Callable[[], str], Kind], ...] = (
            (lambda: "count()", "number"),
            (lambda: "count()", "number"),
            (lambda: f"{self.drawn.pick(('min', 'max', 'any'))}({self.write(kind, 1)})", kind),
            (lambda: f"{self.drawn.pick(('uniq', 'count', 'uniqExact'))}({self.any(1)[0]})", "number"),
            (lambda: f"{self.drawn.pick(('sum', 'avg', 'median'))}(toFloat({number}))", "number"),
            (lambda: f"arraySort(groupUniqArray({text}))", "texts"),
            (lambda: f"countIf({rows})", "number"),
            (lambda: f"sum(toFloat({number})) filter (where {rows})", "number"),
            (lambda: f"argMax({text}, {self.write('time', 0)})", "text"),
            (lambda: f"count(distinct {text})", "number"),
            (lambda: f"groupArray({text})", "texts"),
            (self.listed_aggregation, "text"),
        )
        maker, of = self.drawn.pick(makers)
        return maker(), of

    def listed_aggregation(self) -> str:
        """Return an aggregation of the allow-list, as text, over columns."""
        template = self.drawn.pick(AGGREGATIONS)
        filled = {}
        for place, kind in template.places.items():
            text = self.leaf("text")
            number = f"toFloat({self.leaf('number')})" if self.drawn.one_in(2) else f"length({text})"
            filled[place] = text if kind == "text" else number
        return f"toValidUTF8(toString({template.text(filled)}))"
