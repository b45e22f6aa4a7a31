"""Which names a part of a statement sees: tables, aliases, CTEs, arguments of lambdas."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from events.hogql import ast
from events.hogql.compiler.mistakes import mistake
from events.hogql.compiler.names import perhaps
from events.hogql.compiler.properties import Key, below
from events.hogql.compiler.relations import Column, Relation
from events.hogql.compiler.value import Value
from events.hogql.errors import HogQLResolutionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from events.hogql.compiler.statement import Statement

RESERVED: Final = frozenset({"true", "false", "null", "team_id"})


@dataclass(slots=True)
class Alias:
    """An alias of a SELECT: `sql` is its definition, `value` what stands for it elsewhere, once it is compiled."""

    node: ast.Expr
    name: str
    sql: str = ""
    value: Value | None = None
    column: Column | None = None
    aggregate: bool = False
    busy: bool = False


@dataclass(frozen=True, slots=True)
class Cte:
    """A query or value of WITH. `weight` is how many SELECTs a use of it stands for."""

    name: str
    columns: tuple[Column, ...] | None = None
    expr: ast.Expr | None = None
    weight: int = 0


@dataclass(slots=True)
class Scope:
    """One SELECT. `parent` is the one around it, of which only CTEs are seen.

    `on` is set in the conditions of joins, `plain` where properties are wanted as text, `rows` where rows are not
    aggregated yet. `aggregate` is the name of the aggregation whose arguments are compiled. `refuse_loose` is the error
    for fields outside of aggregations, the others that for what their names say.
    """

    statement: Statement
    parent: Scope | None = None
    tables: dict[str, Relation] = field(default_factory=dict)
    aliases: dict[str, Alias] = field(default_factory=dict)
    ctes: dict[str, Cte] = field(default_factory=dict)
    merged: dict[str, Value] = field(default_factory=dict)
    unfolded: dict[str, Value] = field(default_factory=dict)
    windows: dict[str, tuple[str, ast.WindowExpr]] = field(default_factory=dict)
    arguments: tuple[Mapping[str, Value], ...] = ()
    on: bool = False
    plain: bool = False
    rows: bool = False
    aggregate: str | None = None
    aggregations: int = 0
    refuse_aggregations: str | None = None
    refuse_windows: str | None = None
    refuse_loose: str | None = None
    refuse_aliases: bool = False
    _expanding: set[str] = field(default_factory=set)

    def value(self, node: ast.Expr) -> Value:
        """Compile an expression in this scope."""
        return self.statement.compile(node, self)

    def sql(self, node: ast.Expr) -> str:
        """Compile an expression in this scope, for its SQL."""
        return self.statement.compile(node, self).sql

    def cte(self, name: str) -> Cte | None:
        """Return what a name of WITH stands for here."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.ctes:
                return scope.ctes[name]
            scope = scope.parent
        return None

    @contextmanager
    def within(
        self,
        *,
        plain: bool | None = None,
        aggregate: str | None = None,
        on: bool | None = None,
        rows: bool | None = None,
    ) -> Iterator[None]:
        """Set what differs inside of a call or a clause."""
        before = self.plain, self.aggregate, self.on, self.rows
        self.plain = self.plain if plain is None else plain
        self.aggregate = aggregate or self.aggregate
        self.on = self.on if on is None else on
        self.rows = self.rows if rows is None else rows
        try:
            yield
        finally:
            self.plain, self.aggregate, self.on, self.rows = before

    @contextmanager
    def with_arguments(self, arguments: Mapping[str, Value]) -> Iterator[None]:
        """Let arguments of a lambda hide everything else of their names."""
        before = self.arguments
        self.arguments = (arguments, *before)
        try:
            yield
        finally:
            self.arguments = before

    def resolve(self, node: ast.Field) -> Value:
        """Return the value of a chain of names."""
        chain = node.chain
        name = str(chain[0])
        for arguments in self.arguments:
            if name in arguments:
                return self._below(arguments[name], chain[1:])
        of_table = len(chain) > 1 and name in self.tables
        found = self._of_table(name, chain) if of_table else self._named(name, chain)
        if found is None:
            raise self._unknown(name, chain)
        self.check_loose()
        return found

    def check_loose(self) -> None:
        """Refuse what differs from row to row where only aggregations of rows can stand."""
        if self.refuse_loose is not None and self.aggregate is None:
            raise mistake(None, self.refuse_loose)

    def _named(self, name: str, chain: tuple[Key, ...]) -> Value | None:
        alias = self.aliases.get(name)
        # Before rows are aggregated an aggregation means nothing: a column of its name is meant.
        late = alias is not None and alias.aggregate and self.rows
        known = None if late else self._of_this_select(name)
        if known is not None:
            return self._below(known, chain[1:])
        macro = self.cte(name)
        if macro is not None and macro.expr is not None and macro.name not in self._expanding:
            return self._below(self._expanded(macro, macro.expr), chain[1:])
        values = [
            found
            for table in dict.fromkeys(self.tables.values())
            if (found := table.column(chain, typed=not self.plain)) is not None
        ]
        if len(values) > 1:
            raise mistake(None, f"Ambiguous query. Found multiple sources for field: {_dotted(chain)}")
        if values:
            return values[0]
        if alias is None or alias.busy:
            return None
        self.define(alias)
        return self._below(self.of_alias(alias), chain[1:])

    def _of_this_select(self, name: str) -> Value | None:
        alias = self.aliases.get(name)
        if alias is not None and alias.value is not None:
            return self.of_alias(alias)
        return self.unfolded.get(name) or self.merged.get(name)

    def define(self, alias: Alias) -> None:
        """Compile the definition of an alias, in which its name means something else."""
        if alias.value is not None:
            return
        alias.busy = True
        before = self.aggregations, self.arguments, self.aggregate
        self.arguments, self.aggregate = (), None
        with self.within(plain=False):
            defined = self.value(alias.node)
        count, self.arguments, self.aggregate = before
        alias.busy = False
        alias.aggregate = self.aggregations > count
        alias.sql = defined.sql
        # A stored time costs nothing to name again, and a name would hide it from the index.
        alias.value = defined if defined.bare else replace(defined, sql=alias.name)

    def of_alias(self, alias: Alias) -> Value:
        """Return what stands for an alias that has been compiled."""
        assert alias.value is not None  # noqa: S101
        if alias.aggregate and self.aggregate is not None:
            raise mistake(None, f"An aggregation cannot be nested inside another aggregation '{self.aggregate}'.")
        return alias.value

    def names(self) -> list[str]:
        """Return every name that is seen here."""
        known = [name for table in self.tables.values() for name in table.names()]
        return [
            *self.aliases,
            *self.unfolded,
            *self.tables,
            *known,
            *(name for each in self.arguments for name in each),
        ]

    def _below(self, value: Value, keys: tuple[Key, ...]) -> Value:
        return below(self.statement, value, keys, typed=not self.plain) if keys else value

    def _of_table(self, name: str, chain: tuple[Key, ...]) -> Value:
        found = self.tables[name].column(chain[1:], typed=not self.plain)
        if found is None:
            known = perhaps(str(chain[1]), self.tables[name].names())
            raise mistake(None, f"Unable to resolve field: {_dotted(chain)}{known}")
        return found

    def _expanded(self, macro: Cte, expr: ast.Expr) -> Value:
        self._expanding.add(macro.name)
        try:
            return self.value(expr)
        finally:
            self._expanding.discard(macro.name)

    def _unknown(self, name: str, chain: tuple[Key, ...]) -> HogQLResolutionError:
        if len(chain) == 1 and name in self.tables:
            return mistake(None, f"Can't select a table when a column is expected: {name}")
        scope = self.parent
        while scope is not None:
            if name in scope.tables or any(name in table.names() for table in scope.tables.values()):
                return mistake(
                    None,
                    f"Unable to resolve field: {_dotted(chain)}. A subquery cannot use columns of the query around it",
                )
            scope = scope.parent
        if len(chain) > 1 and any(name in table.names() for table in self.tables.values()):
            below_it = [one for table in self.tables.values() for one in table.names(chain[:-1])]
            return mistake(None, f"Unable to resolve field: {_dotted(chain)}{perhaps(str(chain[-1]), below_it)}")
        return mistake(None, f"Unable to resolve field: {_dotted(chain)}{perhaps(name, self.names())}")


def _dotted(chain: tuple[Key, ...]) -> str:
    return ".".join(str(part) for part in chain)


def check_alias(name: str) -> None:
    """Raise HogQLResolutionError for a name that an alias cannot have."""
    if name.lower() in RESERVED:
        raise mistake(None, f"Alias '{name}' is a reserved keyword.")
