"""Writes the guarded subquery of one reference to a table: only the columns and joins that were asked for."""
# ruff: noqa: S608 - names are of our own tables, values are bound

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from events.hogql.ast import RowCondition
from events.hogql.context import Context, PropertyOf
from events.hogql.errors import HogQLResolutionError
from events.hogql.tables.registry import TABLES
from events.hogql.tables.table import Bind, Chain, Field, Join, Member, Part, Table
from events.hogql.types import BOOLEAN, Type

# Kinds whose values have names or indexes below them.
_NESTED: Final = frozenset({"JSON", "Array", "Tuple", "Map"})
# ClickHouse has no NULL in place of these.
_NEVER_NULL: Final = frozenset({"Array", "Tuple", "Map"})
# What browsers' libraries let a session last.
_LONGEST_SESSION: Final = "toIntervalDay(1)"
_ROW: Final = "e"
# Stands for the row's person until it is known whether that is needed: joins are made only then.
_PERSON: Final = "<person>"


@dataclass(frozen=True, slots=True)
class FieldRef:
    """A column: what it is called where it is read, and what is known of it.

    `sql` of a TableSource is the quoted name of a column of its subquery, without the source's alias; of RowFields it
    is an expression. `rest` are the keys that the chain went on with, below a JSON, array or tuple column.
    `property_of` says whose properties they are. `name` is what the result's column is called.
    """

    sql: str
    type: Type
    rest: Chain
    property_of: PropertyOf | None
    name: str


def open_source(name: str, *, context: Context, bind: Bind, parameters: dict[str, Any]) -> "TableSource":
    """Return a source for a table by its HogQL name; an unknown one is a HogQLResolutionError.

    `bind(value, type)` puts a value into `parameters` and returns its placeholder; `team_id` is put there here.
    """
    table = TABLES.get(name)
    if table is None:
        message = f"Unknown table `{name}`."
        raise HogQLResolutionError(message)
    return TableSource(table, context, bind, parameters)


def star(table: Table, context: Context, prefix: Chain = ()) -> list[Chain]:
    """Return the chains of `*`, or of `person.*`: stored columns only, hidden ones left out."""
    members = table.of(context)
    for name in prefix:
        member = members.get(str(name))
        if isinstance(member, Join):
            members = TABLES[member.table].of(context)
        elif isinstance(member, Part):
            members = member.members
        else:
            raise _unresolved(prefix)
    return [(*prefix, name) for name, one in members.items() if isinstance(one, Field) and not one.hidden]


def names(table: Table, context: Context, prefix: Chain = ()) -> list[str]:
    """Return the names that can follow `prefix`, for suggestions; none below a column."""
    members: Mapping[str, Member] = table.of(context)
    for name in prefix:
        member = members.get(str(name))
        if isinstance(member, Join):
            members = TABLES[member.table].of(context)
        elif isinstance(member, Part):
            members = member.members
        else:
            return []
    return list(members)


@dataclass(frozen=True, slots=True)
class _Found:
    name: str
    sql: str
    type: Type
    property_of: PropertyOf | None
    rest: Chain


def _ref(chain: Chain, found: _Found, sql: str) -> FieldRef:
    return FieldRef(sql, found.type, found.rest, found.property_of, str(chain[-1 - len(found.rest)]))


def _unresolved(chain: Chain) -> HogQLResolutionError:
    return HogQLResolutionError(f"Unable to resolve field: {'.'.join(map(str, chain))}")


class RowFields:
    """Fields of a row that a SELECT of someone else has under `alias`: expressions, without any join.

    `person_id` is that SELECT's expression for who owns the row.
    """

    def __init__(self, table: Table, context: Context, *, alias: str, person_id: str | None = None) -> None:
        """Take the row as it is."""
        self.table: Final = table
        self.context: Final = context
        self.alias: Final = alias
        self._person_id = person_id

    def field(self, chain: Chain) -> FieldRef | None:
        """Return the expression of a chain of names; None if there is no such field.

        A chain that ends at a table, or needs a table to be joined, is a HogQLResolutionError.
        """
        found = self._find(chain)
        return None if found is None else _ref(chain, found, found.sql)

    def expression(self, chain: Chain) -> str:
        """Return the expression of a field; see `table.Row`."""
        found = self._find(chain)
        if found is None:
            raise _unresolved(chain)
        return found.sql

    def given(self, condition: str) -> str:
        """Return what a condition on the row is where its value is wanted."""
        return condition

    def joined(self, name: str, sql: str) -> str:
        """Refuse: the statement is someone else's."""
        del name, sql
        raise HogQLResolutionError("This expression cannot use fields of other tables.")

    def _find(self, chain: Chain) -> _Found | None:
        member: Member | None = self.table.of(self.context).get(str(chain[0]))
        if member is None:
            return None
        rest, name = chain[1:], str(chain[0])
        if not isinstance(member, Field) and not rest:
            message = f"Can't select a table when a column is expected: {name}"
            raise HogQLResolutionError(message)
        if isinstance(member, Join):
            return self._through(member, rest)
        if isinstance(member, Part):
            name = f"{member.name}__{rest[0]}"
            part = member.members.get(str(rest[0]))
            if part is None:
                return None
            member, rest = part, rest[1:]
        if rest and member.type.kind not in _NESTED:
            return None
        given = self._person_id if name == "person_id" else None
        return _Found(name, given or member.write(self), member.type, member.property_of, rest)

    def _through(self, join: Join, chain: Chain) -> _Found | None:
        del join, chain
        raise HogQLResolutionError("This expression cannot use fields of other tables.")


class GatheredFields(RowFields):
    """Fields of a row for a SELECT around the one that has it: `columns` are what that must give, name to expression.

    Their names are our own and begin with `row_`.
    """

    def __init__(self, table: Table, context: Context, *, alias: str, person_id: str | None = None) -> None:
        """Begin without columns."""
        super().__init__(table, context, alias=alias, person_id=person_id)
        self.columns: Final[dict[str, str]] = {}

    def field(self, chain: Chain) -> FieldRef | None:
        """Return the column of a chain of names, and have it given; None if there is no such field."""
        found = self._find(chain)
        if found is None:
            return None
        name = f"`row_{found.name}`"
        self.columns[name] = found.sql
        return _ref(chain, found, name)

    def given(self, condition: str) -> str:
        """Return the column of a condition, and have it given."""
        name = f"`row__condition_{len(self.columns)}`"
        self.columns[name] = condition
        return name


class TableSource(RowFields):
    """One reference to a table in FROM. Ask for fields first, for `sql()` last."""

    def __init__(self, table: Table, context: Context, bind: Bind, parameters: dict[str, Any]) -> None:
        """Bind the team; no column is read until a field is asked for."""
        super().__init__(table, context, alias=_ROW)
        self.bind: Final = bind
        self._parameters = parameters
        parameters["team_id"] = context.team_id
        self._columns: dict[str, tuple[str, Type]] = {}
        self._joins: dict[str, str | _Child] = {}
        self._bounds: dict[str, str] = {}
        self._conditions: dict[Callable[..., str], str] = {}

    def star(self, prefix: Chain = ()) -> list[Chain]:
        """Return the chains of `*`, or of `person.*`; see `star`."""
        return star(self.table, self.context, prefix)

    def names(self, prefix: Chain = ()) -> list[str]:
        """Return the names that can follow `prefix`; see `names`."""
        return names(self.table, self.context, prefix)

    def field(self, chain: Chain) -> FieldRef | None:
        """Return the column of a chain of names without the table's alias, and have it read; None if there is none.

        A chain that ends at a table is a HogQLResolutionError.
        """
        found = self._find(chain)
        if found is None:
            return None
        self._columns[found.name] = (found.sql, found.type)
        return _ref(chain, found, f"`{found.name}`")

    def condition(self, wanted: RowCondition) -> str:
        """Return the quoted name of a column that is 1 for the rows that satisfy a condition of the API, else 0.

        Of a table that groups, the condition is written for its aggregations. The same one is the same column.
        """
        if wanted.table != self.table.name:
            message = f"These filters cannot be used on the table `{self.table.name}`."
            raise HogQLResolutionError(message)
        if wanted.write in self._conditions:
            return self._conditions[wanted.write]
        sql = wanted.write(self.alias, _PERSON, self._parameters)
        if _PERSON in sql:
            sql = sql.replace(_PERSON, self.table.person_id(self) if self.table.person_id else "NULL")
        name = f"_condition_{len(self._conditions) + 1}"
        self._columns[name] = (sql, BOOLEAN)
        self._conditions[wanted.write] = f"`{name}`"
        return self._conditions[wanted.write]

    def bounded(self, *, since: str | None = None, until: str | None = None) -> None:
        """Have fewer events read for sessions, whether these are this table or joined to it.

        Each bound is a constant of ClickHouse's SQL (type DateTime64). The caller knows that no row counts whose
        `timestamp` (of `events`) or `$start_timestamp` (of `sessions`) is before `since` or after `until`, and still
        has the condition in its WHERE. Not for a table that an outer join fills up with empty rows.
        """
        self._bounds |= {sign: end for sign, end in ((">=", since), ("<=", until)) if end is not None}

    def joined(self, name: str, sql: str) -> str:
        """Have a table joined once; see `table.Row`."""
        alias = f"j_{name}"
        self._joins.setdefault(alias, sql.replace("<alias>", alias))
        return alias

    def sql(self) -> str:
        """Return the subquery, in parentheses, with what was asked for so far."""
        return f"({self._select({name: sql for name, (sql, _) in self._columns.items()})})"

    def _through(self, join: Join, chain: Chain) -> _Found | None:
        alias = f"j_{join.name}"
        child = self._joins.get(alias)
        if not isinstance(child, _Child):
            # Before the join itself: its keys may need other joins.
            keys = tuple((theirs, ours(self)) for theirs, ours in join.keys)
            child = _Child(join, keys, TableSource(TABLES[join.table], self.context, self.bind, self._parameters))
        ref = child.source.field(chain)
        if ref is None:
            return None
        self._joins[alias] = child
        found = child.source._find(chain)  # noqa: SLF001 of the same class
        assert found is not None  # noqa: S101
        kind = replace(ref.type, timestamp=False)
        return _Found(
            name=f"{join.name}__{found.name}",
            sql=f"{alias}.{ref.sql}",
            type=kind if kind.kind in _NEVER_NULL else kind.or_null(),
            property_of=join.property_of or ref.property_of,
            rest=ref.rest,
        )

    def _select(self, columns: Mapping[str, str], where: str | None = None) -> str:
        table = self.table
        joins = "".join(
            f" {join if isinstance(join, str) else join.sql(alias, self._bounds)}"
            for alias, join in self._joins.items()
        )
        listed = ", ".join(f"{expression} AS `{name}`" for name, expression in columns.items()) or "1 AS `_row`"
        conditions = [
            f"{self.alias}.team_id = {{team_id:Int64}}",
            *([table.guard(self)] if table.guard else []),
            *([where] if where else []),
            *(self._bounded(table.time(self)) if table.time else []),
        ]
        grouped = f" GROUP BY {table.group_by(self)}" if table.group_by else ""
        return (
            f"SELECT {listed} FROM {f'({table.rows})' if table.rows else f'`{table.clickhouse}`'} AS {self.alias}"
            f"{' FINAL' if table.final else ''}{joins}"
            f" WHERE {' AND '.join(conditions)}{grouped}"
        )

    def _bounded(self, time: str) -> list[str]:
        return [
            f"{time} {sign} {end} {'-' if sign == '>=' else '+'} {_LONGEST_SESSION}"
            for sign, end in self._bounds.items()
        ]

    def _as_joined(self, child: "_Child", bounds: Mapping[str, str]) -> str:
        """Return the subquery as another one joins it: its columns are NULL where it has no row."""
        self._bounds |= bounds
        keys = {f"_key_{i}": theirs(self) for i, (theirs, _) in enumerate(child.keys)}
        columns = {
            name: sql if kind.nullable or kind.kind in _NEVER_NULL else f"toNullable({sql})"
            for name, (sql, kind) in self._columns.items()
        }
        return self._select(keys | columns, child.join.where(self) if child.join.where else None)


@dataclass(frozen=True, slots=True)
class _Child:
    join: Join
    keys: tuple[tuple[Any, str], ...]
    source: TableSource

    def sql(self, alias: str, bounds: Mapping[str, str]) -> str:
        on = " AND ".join(f"{alias}.`_key_{i}` = {ours}" for i, (_, ours) in enumerate(self.keys))
        kind = "LEFT JOIN" if self.join.many else "LEFT ANY JOIN"
        return f"{kind} ({self.source._as_joined(self, bounds)}) AS {alias} ON {on}"  # noqa: SLF001
