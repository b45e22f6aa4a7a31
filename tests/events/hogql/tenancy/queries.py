"""Random queries: every table and join, subqueries, WITH that hides tables, unions, windows, grouping, sampling."""
# ruff: noqa: S608 texts are what is made here

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from hypothesis import strategies as st

from events.hogql.context import PersonMode
from events.hogql.printer import print_name
from events.hogql.tables.registry import TABLES
from tests.events.hogql.tenancy.catalogue import KINDS, MODES, Column, Kind, columns
from tests.events.hogql.tenancy.expressions import LITERALS, Drawn, Expressions, Scope

type Named = tuple[tuple[str, Kind], ...]

NAMES = tuple(TABLES)
# The names of WITH; those of tables hide the tables.
HIDING = ("events", "persons", "groups", "person_distinct_ids", "first_part", "raw_sessions")
JOINS = (
    "join", "left join", "right join", "full join", "inner join", "left outer join", "full outer join", "any left join",
    "left semi join", "left anti join", "right anti join", "right semi join", "any inner join", "cross join", ",",
)  # fmt: skip
SETS = ("union all", "union all", "union distinct", "intersect", "except")


@dataclass(frozen=True, slots=True)
class Question:
    """A statement with what else its context says."""

    text: str
    mode: PersonMode
    timezone: str
    filtered: bool
    tables: frozenset[str]


@dataclass(frozen=True, slots=True)
class Part:
    """One member of FROM: its SQL and alias, and its columns as they are written after the alias."""

    text: str
    alias: str
    columns: tuple[Column, ...]


@dataclass(slots=True)
class Writer:
    """Writes one statement; `budget` is how many SELECTs it may still have."""

    drawn: Drawn
    mode: PersonMode
    budget: int = 6
    count: int = 0
    filtered: bool = False
    known: list[Mapping[str, Named]] = field(default_factory=list)
    tables: set[str] = field(default_factory=set)

    def fresh(self, letter: str) -> str:
        self.count += 1
        return f"{letter}{self.count}"

    # What stands in expressions.

    def in_list(self, kind: Kind) -> str:
        if self.budget <= 0:
            return f"({LITERALS[kind][0]}, {LITERALS[kind][1]})"
        return f"({self.select([kind])[0]})"

    def scalar(self, kind: Kind) -> str:
        if self.budget <= 0:
            return LITERALS[kind][0]
        part = self.source()
        expressions = self.expressions([part])
        self.budget -= 1
        wanted = expressions.write(kind, 1)
        return f"(select {self.drawn.pick(('min', 'max'))}({wanted}) from {part.text}{self.where(expressions)})"

    # What stands in FROM.

    def source(self) -> Part:
        alias = self.fresh("t")
        hidden = {name: named for level in self.known for name, named in level.items()}
        if hidden and self.drawn.one_in(2):
            name = self.drawn.pick(list(hidden))
            return Part(f"{name} as {alias}", alias, _columns(hidden[name]))
        if self.budget > 0 and self.drawn.one_in(5):
            text, named = self.select() if self.drawn.one_in(2) else self.several()
            return Part(f"({text}) as {alias}", alias, _columns(named))
        if self.drawn.one_in(20):
            return Part(f"numbers(1, {self.drawn.number(1, 5)}) as {alias}", alias, (Column("number", "number"),))
        names = [name for name in NAMES if name not in hidden]
        name = "events" if "events" in names and self.drawn.one_in(3) else self.drawn.pick(names)
        self.tables.add(name)
        sample = (
            self.drawn.pick((" sample 1/2", " sample 0.9", " sample 1/2 offset 1/2")) if self.drawn.one_in(8) else ""
        )
        if self.drawn.one_in(10):
            starred = tuple(column for column in columns(name, self.mode) if column.starred)
            return Part(f"(select * from {name}) as {alias}", alias, starred)
        return Part(f"{name} as {alias}{sample if name == 'events' else ''}", alias, columns(name, self.mode))

    def joined(self, part: Part) -> tuple[str, list[Part]]:
        text, found = part.text, [part]
        while len(found) < 3 and self.drawn.one_in(3):
            other = self.source()
            constraint = self.constraint(found, other)
            # HogQL has no comma behind a join, nor a join of nothing that both have.
            kind = self.drawn.pick(JOINS if constraint and len(found) == 1 else JOINS[:-1]) if constraint else JOINS[-2]
            text += f"{'' if kind == ',' else ' '}{kind} {other.text}"
            text += "" if kind in JOINS[-2:] else f" {constraint}"
            found.append(other)
        return text, found

    def constraint(self, before: Sequence[Part], other: Part) -> str:
        """Return ON or USING; empty where no two columns can be compared."""
        left = self.drawn.pick(before)
        shared = [one.path for one in other.columns if one.own and any(one == each for each in before[0].columns)]
        plain = [path for path in shared if path.isidentifier()]
        if len(before) == 1 and plain and self.drawn.one_in(3):
            return f"using ({self.drawn.pick(plain)})"
        if shared and left is before[0] and self.drawn.one_in(2):
            path = self.drawn.pick(shared)
            text = f"{left.alias}.{path} = {other.alias}.{path}"
        else:
            kinds = [kind for kind in KINDS[:5] if _of(left, kind) and _of(other, kind)]
            if not kinds:
                return ""
            kind = self.drawn.pick(kinds)
            one, two = self.drawn.pick(_of(left, kind)), self.drawn.pick(_of(other, kind))
            text = f"{one} = {two}"
        if self.drawn.one_in(4) and _of(other, "number"):
            text += f" and {self.drawn.pick(_of(other, 'number'))} >= 0"
        return f"on {text}"

    # Queries.

    def expressions(self, parts: Sequence[Part]) -> Expressions:
        scope = Scope()
        bare = len(parts) == 1 and self.drawn.one_in(3)
        for part in parts:
            for column in part.columns:
                text = column.path if bare else f"{part.alias}.{column.path}"
                (scope.own if column.own else scope.joined)[column.kind].append(text)
                if text.strip("`").endswith("team_id"):
                    scope.teams.append(text)
        return Expressions(self.drawn, scope, self)

    def where(self, expressions: Expressions) -> str:
        match self.drawn.number(0, 5):
            case 0 | 1:
                return f" where {expressions.write('bool')}"
            case 2:
                return f" where {expressions.team()}"
            case 3:
                return f" where {expressions.write('bool')} and {expressions.team()}"
            case _:
                return ""

    def select(self, kinds: Sequence[Kind] | None = None) -> tuple[str, Named]:
        """Return a SELECT, of columns of such kinds, and what its columns are called."""
        self.budget -= 1
        level: dict[str, Named] = {}
        self.known.append(level)
        head = self.with_(level) if self.budget > 0 and self.drawn.one_in(4) else ""
        from_, parts = self.joined(self.source())
        expressions = self.expressions(parts)
        arrays = expressions.scope.own["texts"]
        unfolded = ""
        if self.drawn.one_in(10):
            name = self.fresh("u")
            array = self.drawn.pick(arrays) if arrays and self.drawn.one_in(2) else expressions.write("texts", 1)
            unfolded = f" {self.drawn.pick(('array join', 'left array join'))} {array} as {name}"
            expressions.scope.own["text"].append(name)
        write = self.grouped if self.drawn.one_in(3) else self.plain
        items, named, tail = write(expressions, kinds)
        where = self.where(expressions)
        if from_.startswith("events as") and self.drawn.one_in(4) and not any("events" in each for each in self.known):
            self.filtered = True
            where = f" where ({where.removeprefix(' where ')}) and {{filters}}" if where else " where {filters}"
        self.known.pop()
        return f"{head}select {items} from {from_}{unfolded}{where}{tail}", named

    def plain(self, expressions: Expressions, kinds: Sequence[Kind] | None) -> tuple[str, Named, str]:
        """Return items of rows, their names, and what follows WHERE."""
        drawn = self.drawn
        wanted = kinds or [drawn.pick(KINDS) for _ in range(drawn.number(1, 3))]
        named = tuple((self.fresh("c"), kind) for kind in wanted)
        texts = [expressions.write(kind) for kind in wanted]
        tail = ""
        if kinds is None and drawn.one_in(6):
            texts = [f"toFloat({self.window(expressions)})" if kind == "number" else text
                     for (_, kind), text in zip(named, texts, strict=True)]  # fmt: skip
        by = (
            drawn.pick(("", f" limit {drawn.number(1, 2)} by {expressions.write('text', 0)}"))
            if drawn.one_in(6)
            else ""
        )
        limit = f" limit {drawn.number(1, 20)} offset {drawn.number(0, 2)}" if drawn.one_in(10) else ""
        if by or limit:
            # What is cut off must not hang on the order in which rows are read.
            tail = f" order by {', '.join(name for name, _ in named)}{by}{limit}"
        elif drawn.one_in(6):
            tail = f" order by {self.ordered(expressions)} {drawn.pick(('asc', 'desc'))}, {named[0][0]}"
        items = ", ".join(f"{text} as {name}" for text, (name, _) in zip(texts, named, strict=True))
        return f"{'distinct ' if drawn.one_in(10) else ''}{items}", named, tail

    def ordered(self, expressions: Expressions) -> str:
        text, kind = expressions.any(1)
        # A number alone is the place of a column.
        return f"toFloat({text})" if kind == "number" else text

    def window(self, expressions: Expressions) -> str:
        function = self.drawn.pick(("row_number()", "count()", "rank()", "max({})", "sum({})", "lagInFrame({})"))
        function = function.format(f"toFloat({expressions.write('number', 0)})")
        part, order = expressions.write("text", 0), expressions.write("time", 0)
        return f"{function} over (partition by {part} order by {order})"

    def grouped(self, expressions: Expressions, kinds: Sequence[Kind] | None) -> tuple[str, Named, str]:
        """Return keys and aggregations, their names, and what follows WHERE."""
        drawn = self.drawn
        if kinds is not None:
            kind = kinds[0]
            name = self.fresh("c")
            return f"{expressions.write(kind, 1)} as {name}", ((name, kind),), f" group by {name} having count() > 0"
        named: list[tuple[str, Kind]] = []
        texts = []
        for _ in range(drawn.number(0, 2)):
            text, kind = expressions.any(1)
            texts.append(text)
            named.append((self.fresh("k"), kind))
        keys = len(texts)
        for _ in range(drawn.number(1, 2)):
            text, kind = expressions.aggregation()
            texts.append(text)
            named.append((self.fresh("c"), kind))
        items = ", ".join(f"{text} as {name}" for text, (name, _) in zip(texts, named, strict=True))
        tail = ""
        if keys:
            listed = ", ".join(name for name, _ in named[:keys])
            form = drawn.pick(("{}", "{}", "{}", "all", "rollup({})", "cube({})", "grouping sets (({}), ())"))
            tail = f" group by {form.format(listed)}"
        if drawn.one_in(5):
            tail += f" having {drawn.pick(('count() > 0', 'count() >= 2', 'uniq(1) = 1'))}"
        if drawn.one_in(5):
            tail += f" order by {named[-1][0]} desc"
        return items, tuple(named), tail

    def several(self) -> tuple[str, Named]:
        """Return a UNION, INTERSECT or EXCEPT."""
        self.budget -= 1
        kinds = [self.drawn.pick(("text", "uuid", "bool", "time", "texts")) for _ in range(self.drawn.number(1, 2))]
        arms = [self._arm(kinds) for _ in range(self.drawn.number(2, 3))]
        text = arms[0][0]
        for arm, _ in arms[1:]:
            text += f" {self.drawn.pick(SETS)} {arm}"
        return text, arms[0][1]

    def _arm(self, kinds: Sequence[Kind]) -> tuple[str, Named]:
        part = self.source()
        expressions = self.expressions([part])
        items, named, tail = self.plain(expressions, kinds)
        tail = "" if "limit" in tail or "order" in tail else tail
        return f"select {items} from {part.text}{self.where(expressions)}{tail}", named

    def with_(self, level: dict[str, Named]) -> str:
        """Return WITH, whose names are put into the level."""
        if self.drawn.one_in(6):
            return self._recursive(level)
        listed = []
        for _ in range(self.drawn.number(1, 2)):
            name = self.drawn.pick([each for each in HIDING if each not in level])
            text, named = self.several() if self.drawn.one_in(4) else self.select()
            listed.append(f"{name} as ({text})")
            level[name] = named
        return f"with {', '.join(listed)} "

    def _recursive(self, level: dict[str, Named]) -> str:
        text, named = self.select(["text"])
        ((column, _),) = named
        level["again"] = named
        step = f"select concat(again.{column}, '+') as {column} from again where length(again.{column}) < 4"
        return f"with recursive again as (select toString({column}) as {column} from ({text}) union all {step}) "

    def statement(self) -> str:
        """Return a whole statement."""
        drawn = self.drawn
        match drawn.number(0, 9):
            case 0:
                part = self.source()
                items = drawn.pick(("*", f"{part.alias}.*", "count()"))
                return f"select {items} from {part.text}{self.where(self.expressions([part]))}"
            case 1:
                return self.several()[0]
            case 2:
                text, named = self.select()
                # Columns are called what they are made of.
                for name, _ in named:
                    if text.count(name) == 1:
                        text = text.replace(f" as {name}", "", 1)
                return text
            case _:
                return self.select()[0]


def _columns(named: Named) -> tuple[Column, ...]:
    return tuple(Column(print_name(name), kind) for name, kind in named)


def _of(part: Part, kind: Kind) -> list[str]:
    return [f"{part.alias}.{column.path}" for column in part.columns if column.kind == kind]


def question(random: Random) -> Question:
    """Return a statement of the project TEAM, with the mode and zone that it is asked in."""
    drawn = Drawn(random)
    mode = drawn.pick(MODES)
    writer = Writer(drawn, mode)
    text = writer.statement()
    zone = drawn.pick(("UTC", "UTC", "Europe/Berlin", "America/New_York"))
    return Question(text, mode, zone, writer.filtered, frozenset(writer.tables))


# Choices one by one would be small and alike: half of the statements came twice.
questions = st.randoms(use_true_random=True).map(question)
