"""What a FROM reads: a table, a query in parentheses, a CTE or numbers; each hands out the values of its columns."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from events.hogql.ast import RowCondition
from events.hogql.compiler.mistakes import mistake
from events.hogql.compiler.properties import Key, below
from events.hogql.compiler.statement import Statement
from events.hogql.compiler.value import Value
from events.hogql.context import PropertyOf
from events.hogql.tables.source import RowFields, TableSource, names
from events.hogql.types import Type

# Parts per million of the hash of a distinct id, so that all events of an id are in the sample or none.
_SAMPLE_PARTS: Final = 1_000_000

type Chain = tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a SELECT: what the caller calls it, and what it is called in SQL.

    `bare` marks a time that is still in UTC, to be shown in the project's zone by whoever reads it. Columns of one name
    are the same if their `definition` is.
    """

    name: str
    sql: str
    type: Type
    bare: bool = False
    property_of: PropertyOf | None = None
    is_property: bool = False
    definition: str = ""


def shown(statement: Statement, sql: str) -> str:
    """Return the SQL of a stored time in the project's zone."""
    return f"toTimeZone({sql}, {statement.timezone})"


class Relation(ABC):
    """Something that stands in FROM under `alias`, a name of SQL."""

    def __init__(self, statement: Statement, alias: str) -> None:
        """Keep the name."""
        self.statement: Final = statement
        self.alias: Final = alias

    @property
    def table(self) -> str | None:
        """The name of the table that this is; None for a query."""
        return None

    @abstractmethod
    def column(self, chain: Chain, *, typed: bool) -> Value | None:
        """Return the value of a chain of names, without the relation's own; None if there is none."""

    @abstractmethod
    def star(self, prefix: Chain = ()) -> Iterator[tuple[str, Value]]:
        """Yield the columns of `*`, or of `person.*`, by name."""

    @abstractmethod
    def names(self, prefix: Chain = ()) -> list[str]:
        """Return what can be asked for, or what can follow `prefix`, for suggestions."""

    @abstractmethod
    def sql(self) -> str:
        """Return what stands in FROM, with its alias; ask last."""


class TableRelation(Relation):
    """A table of the project."""

    def __init__(self, statement: Statement, alias: str, source: TableSource) -> None:
        """Read a source; no column is read before it is asked for."""
        super().__init__(statement, alias)
        self.source: Final = source
        self._sampled: str | None = None
        self._values: dict[tuple[Chain, bool], Value | None] = {}

    def column(self, chain: Chain, *, typed: bool) -> Value | None:
        """Return a column, or what lies below it."""
        key = (chain, typed)
        if key not in self._values:
            self._values[key] = self._column(chain, typed=typed)
        return self._values[key]

    def _column(self, chain: Chain, *, typed: bool) -> Value | None:
        found = self.source.field(chain)
        if found is None:
            return None
        sql = f"{self.alias}.{found.sql}"
        if found.type.kind == "DateTime":
            return Value(shown(self.statement, sql), found.type, bare=sql)
        return below(
            self.statement, Value(sql, found.type, property_of=found.property_of), tuple(found.rest), typed=typed
        )

    @property
    def table(self) -> str:
        """The table's name."""
        return self.source.table.name

    def condition(self, wanted: RowCondition) -> str:
        """Return the SQL of a condition of the API."""
        return f"{self.alias}.{self.source.condition(wanted)}"

    def sample(self, share: float, offset: float) -> None:
        """Read only the events of a share of the distinct ids, from another share on."""
        first, last = int(offset * _SAMPLE_PARTS), int((offset + share) * _SAMPLE_PARTS)
        hashed = f"distinct_id_hash % {_SAMPLE_PARTS}"
        self._sampled = self.source.condition(
            RowCondition(
                table="events", write=lambda e, _person, _p: f"({e}.{hashed} >= {first} AND {e}.{hashed} < {last})"
            )
        )

    def star(self, prefix: Chain = ()) -> Iterator[tuple[str, Value]]:
        """Yield the stored columns."""
        for chain in self.source.star(prefix):
            value = self.column(chain, typed=True)
            assert value is not None  # noqa: S101 the source has named it
            yield str(chain[-1]), value

    def names(self, prefix: Chain = ()) -> list[str]:
        """Return the names of columns and joins."""
        return self.source.names(prefix)

    def sql(self) -> str:
        """Return the guarded subquery."""
        if self._sampled is None:
            return f"{self.source.sql()} AS {self.alias}"
        return f"(SELECT * FROM {self.source.sql()} WHERE {self._sampled}) AS {self.alias}"  # noqa: S608 our own names


class RowRelation(Relation):
    """A row of someone else's SELECT, in which nothing can be joined."""

    def __init__(self, statement: Statement, fields: RowFields, person_id: str | None) -> None:
        """Read the row as it is."""
        super().__init__(statement, fields.alias)
        self.fields: Final = fields
        self._person_id = person_id

    def column(self, chain: Chain, *, typed: bool) -> Value | None:
        """Return an expression over the row."""
        found = self.fields.field(chain)
        if found is None:
            return None
        if found.type.kind == "DateTime":
            return Value(shown(self.statement, found.sql), found.type, bare=found.sql)
        value = Value(found.sql, found.type, property_of=found.property_of)
        return below(self.statement, value, tuple(found.rest), typed=typed)

    def condition(self, wanted: RowCondition) -> str:
        """Return the SQL of a condition of the API."""
        return self.fields.given(wanted.write(self.alias, self._person_id or "NULL", self.statement.parameters))

    @property
    def table(self) -> str:
        """The name of the table that the row is of."""
        return self.fields.table.name

    def star(self, prefix: Chain = ()) -> Iterator[tuple[str, Value]]:
        """Refuse: an expression is one value."""
        del prefix
        raise mistake(None, "* cannot be used here")

    def names(self, prefix: Chain = ()) -> list[str]:
        """Return the names of columns."""
        return names(self.fields.table, self.statement.context, prefix)

    def sql(self) -> str:
        """Refuse: the row has its FROM."""
        raise NotImplementedError


class QueryRelation(Relation):
    """A query, or a CTE by its name; `source` is its SQL with parentheses, or that name."""

    def __init__(self, statement: Statement, alias: str, source: str, columns: tuple[Column, ...]) -> None:
        """Read the columns of a query."""
        super().__init__(statement, alias)
        self.source: Final = source
        self.columns: Final = columns
        self._by_name: dict[str, list[Column]] = {}
        for column in columns:
            self._by_name.setdefault(column.name, []).append(column)

    def column(self, chain: Chain, *, typed: bool) -> Value | None:
        """Return a column, or what lies below it."""
        found = self._by_name.get(str(chain[0]))
        if found is None:
            return None
        if any(column.definition != found[0].definition for column in found):
            raise mistake(None, f"Ambiguous query. Found multiple sources for field: {chain[0]}")
        return below(self.statement, self._value(found[0]), chain[1:], typed=typed)

    def _value(self, column: Column) -> Value:
        sql = f"{self.alias}.{column.sql}"
        if column.bare:
            return Value(shown(self.statement, sql), column.type, bare=sql)
        kind = replace(column.type, constant=False)
        return Value(sql, kind, property_of=column.property_of, is_property=column.is_property)

    def star(self, prefix: Chain = ()) -> Iterator[tuple[str, Value]]:
        """Yield all columns."""
        if prefix:
            raise mistake(None, f"Unable to resolve field: {'.'.join(map(str, prefix))}")
        for column in self.columns:
            yield column.name, self._value(column)

    def names(self, prefix: Chain = ()) -> list[str]:
        """Return the names of the columns."""
        return [] if prefix else list(self._by_name)

    def sql(self) -> str:
        """Return the query with its alias."""
        return f"{self.source} AS {self.alias}"
