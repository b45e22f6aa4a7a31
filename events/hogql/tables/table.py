"""What a table of HogQL is made of. Nothing is read here: `source` writes the SQL."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from events.hogql.context import Context, PropertyOf
from events.hogql.types import Type

type Bind = Callable[[Any, str], str]
type Chain = tuple[str | int, ...]


class Row(Protocol):
    """A row of the ClickHouse table of a statement under construction, as the expressions of its fields see it."""

    @property
    def alias(self) -> str:
        """Return the name of the row in SQL."""

    @property
    def context(self) -> Context:
        """Return the project."""

    def expression(self, chain: Chain) -> str:
        """Return the expression of another field of this row."""

    def joined(self, name: str, sql: str) -> str:
        """Have `sql` joined once, with `<alias>` for the alias of the join, which is returned."""


type Write = Callable[[Row], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A column: `write` gives its expression over a row. `hidden` ones are not among those of `*`."""

    type: Type
    write: Write
    description: str
    hidden: bool = False
    property_of: PropertyOf | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """A row of another table, or several: read only when one of its columns is asked for.

    `keys` are pairs of an expression over the other table's row and one over this row, which must be equal; `where`
    narrows the other table's rows. Columns of a row that is not there are NULL. `many` says that there may be several
    rows, so that those of this table are repeated. `name` is for SQL, and never a caller's text.
    """

    name: str
    table: str
    keys: tuple[tuple[Write, Write], ...]
    description: str
    many: bool = False
    where: Write | None = None
    property_of: PropertyOf | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Columns of the row itself that go by a name of their own, such as what an event says of its person."""

    name: str
    members: Mapping[str, Field]
    description: str


type Member = Field | Join | Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of HogQL over one of ClickHouse.

    `of` has the members by name, as one project sees them. `guard` holds for its rows beside the team. With `group_by`
    fields are aggregations, and `time` is the column that bounds which rows are read. `rows` is a guarded query of its
    own whose result stands for the table. `person_id` is who a row is of. Tables that are not `listed` work and are
    left out of the schema.
    """

    name: str
    clickhouse: str
    description: str
    of: Callable[[Context], Mapping[str, Member]]
    final: bool = False
    guard: Write | None = None
    group_by: Write | None = None
    rows: str = ""
    time: Write | None = None
    person_id: Write | None = None
    listed: bool = True

    def fields(self, context: Context) -> Iterator[tuple[str, Field]]:
        """Yield the columns, those that are not in `*` too, in the order of `*`."""
        for name, member in self.of(context).items():
            if isinstance(member, Field):
                yield name, member


def column(name: str) -> Write:
    """Return a column of the ClickHouse table, by its name there."""
    return lambda row: f"{row.alias}.`{name}`"


def written(sql: str) -> Write:
    """Return an expression with `<e>` for the alias of the row."""
    return lambda row: sql.replace("<e>", row.alias)


def same(members: Mapping[str, Member]) -> Callable[[Context], Mapping[str, Member]]:
    """Return members that do not depend on the project."""
    return lambda _context: members
