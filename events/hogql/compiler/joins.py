"""FROM and its joins, ARRAY JOIN among them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from events.hogql import ast
from events.hogql.compiler.mistakes import mistake
from events.hogql.compiler.names import perhaps
from events.hogql.compiler.relations import Column, QueryRelation, Relation, TableRelation
from events.hogql.compiler.scope import Scope, check_alias
from events.hogql.compiler.value import Value
from events.hogql.errors import HogQLResolutionError
from events.hogql.tables.numbers import numbers
from events.hogql.tables.registry import TABLES
from events.hogql.tables.source import TableSource
from events.hogql.types import INTEGER, UNKNOWN

type Query = Callable[[ast.Query, Scope], tuple[str, tuple[Column, ...]]]

_STRICTNESS: Final = ("ANY", "ALL", "SEMI", "ANTI", "ASOF")
_DIRECTIONS: Final = ("INNER", "LEFT", "RIGHT", "FULL", "CROSS")
# What ClickHouse has; without a direction SEMI and ANTI are of the left side.
_ALLOWED: Final[dict[str | None, tuple[str, ...]]] = {
    "ANY": ("INNER", "LEFT", "RIGHT"),
    "ALL": ("INNER", "LEFT", "RIGHT", "FULL"),
    "SEMI": ("LEFT", "RIGHT"),
    "ANTI": ("LEFT", "RIGHT"),
    "ASOF": ("INNER", "LEFT"),
}
_ARRAY_JOINS: Final = {
    "ARRAY JOIN": "ARRAY JOIN",
    "INNER ARRAY JOIN": "ARRAY JOIN",
    "LEFT ARRAY JOIN": "LEFT ARRAY JOIN",
}
_NUMBERS: Final = "numbers"
_NUMBER: Final = Column("number", "number", INTEGER)


@dataclass(slots=True)
class From:
    """FROM in the making: its tables are written when all their columns are known."""

    parts: list[tuple[str, Relation, str]]
    arrays: str = ""

    def sql(self) -> str:
        """Return the clause, with a space in front; empty without tables."""
        tables = " ".join(
            f"{prefix} {relation.sql()}{f' {condition}' if condition else ''}"
            for prefix, relation, condition in self.parts
        )
        return f" {tables}{self.arrays}" if tables or self.arrays else ""


def compile_from(node: ast.SelectQuery, scope: Scope, query: Query) -> From:
    """Put the tables of a SELECT into its scope; `query` compiles a query to its SQL and columns."""
    parts: list[tuple[str, Relation, str]] = []
    join = node.select_from if node.select_from is not None and node.select_from.table is not None else None
    while join is not None:
        if join.table_final:
            raise mistake(join, "The FINAL keyword is not supported in HogQL as it causes slow queries")
        relation, name = _relation(join, scope, query)
        if name in scope.tables:
            raise mistake(join, f'Already have joined a table called "{name}". Can\'t redefine.')
        kind = _join_type(join) if parts else "FROM"
        before = dict(scope.tables)
        scope.tables[name] = relation
        parts.append((kind, relation, _condition(join, kind, scope, before, relation) if parts else ""))
        join = join.next_join
    return From(parts, _array_join(node, scope))


def _relation(join: ast.JoinExpr, scope: Scope, query: Query) -> tuple[Relation, str]:
    table = join.table
    statement = scope.statement
    if join.alias is not None:
        check_alias(join.alias)
    alias = statement.name("t")
    if isinstance(table, ast.SelectQuery | ast.SelectSetQuery):
        _no_sample(join)
        sql, columns = query(table, scope)
        return QueryRelation(statement, alias, f"({sql})", _renamed(join, columns)), join.alias or alias
    if isinstance(table, ast.Placeholder):
        raise mistake(table, "You can not use placeholders here")
    if not isinstance(table, ast.Field):
        raise mistake(join, "A table or a query was expected here")
    name = ".".join(str(part) for part in table.chain)
    cte = scope.cte(name) if len(table.chain) == 1 else None
    if cte is not None and cte.columns is not None:
        _no_sample(join)
        if join.table_args is not None:
            raise mistake(join, f"Table '{name}' does not accept arguments")
        with statement.one_query(table, cte.weight):
            return QueryRelation(statement, alias, cte.name, _renamed(join, cte.columns)), join.alias or name
    if name == _NUMBERS:
        _no_sample(join)
        return _numbers(join, scope, alias), join.alias or name
    return _table(join, table, name, scope, alias), join.alias or name


def _table(join: ast.JoinExpr, table: ast.Field, name: str, scope: Scope, alias: str) -> TableRelation:
    found = TABLES.get(name)
    if found is None:
        ctes = _visible(scope)
        raise mistake(
            table if table.start is not None else join,
            f"Unknown table `{name}`{perhaps(name, [*ctes, *TABLES, _NUMBERS], '`') or '.'}",
        )
    if join.table_args is not None:
        raise mistake(join, f"Table '{name}' does not accept arguments")
    if join.column_aliases:
        raise mistake(join, "Only the columns of a query can be renamed")
    statement = scope.statement
    statement.tables.add(name)
    source = TableSource(found, statement.context, statement.bind, statement.parameters)
    relation = TableRelation(statement, alias, source)
    if join.sample is not None:
        if name != "events":
            raise mistake(join.sample, "SAMPLE can only be used on the table `events`")
        if join.sample.share < 1 or join.sample.offset:
            relation.sample(join.sample.share, join.sample.offset or 0.0)
    return relation


def _visible(scope: Scope) -> list[str]:
    names: list[str] = []
    around: Scope | None = scope
    while around is not None:
        names.extend(name for name, cte in around.ctes.items() if cte.columns is not None)
        around = around.parent
    return names


def _no_sample(join: ast.JoinExpr) -> None:
    if join.sample is not None and (join.sample.share < 1 or join.sample.offset):
        raise mistake(join.sample, "SAMPLE can only be used on the table `events`")


def _numbers(join: ast.JoinExpr, scope: Scope, alias: str) -> QueryRelation:
    # The arguments see no columns: ClickHouse wants constants.
    outside = Scope(scope.statement, refuse_aggregations="Aggregations cannot be used here")
    arguments = None if join.table_args is None else [outside.sql(one) for one in join.table_args]
    try:
        source = numbers(arguments)
    except HogQLResolutionError as error:
        raise mistake(join, error.message) from error
    return QueryRelation(scope.statement, alias, source, _renamed(join, (_NUMBER,)))


def _renamed(join: ast.JoinExpr, columns: tuple[Column, ...]) -> tuple[Column, ...]:
    names = join.column_aliases
    if not names:
        return columns
    return renamed(join, names, columns)


def renamed(node: ast.Node, names: tuple[str, ...], columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """Return the columns of a query under other names."""
    if len(names) != len(columns):
        raise mistake(node, f"{len(names)} names are given for {len(columns)} columns")
    for name in names:
        check_alias(name)
    return tuple(
        Column(name, one.sql, one.type, one.bare, one.property_of, one.is_property, one.definition)
        for name, one in zip(names, columns, strict=True)
    )


def _join_type(join: ast.JoinExpr) -> str:
    """Return ClickHouse's words for a join, each from a list of ours."""
    words = (join.join_type or "JOIN").upper().replace(",", "").split()
    strictness = [word for word in _STRICTNESS if word in words]
    directions = [word for word in _DIRECTIONS if word in words]
    known = {*_STRICTNESS, *_DIRECTIONS, "OUTER", "JOIN"}
    if not known.issuperset(words) or len(strictness) > 1 or len(directions) > 1:
        raise mistake(join, f"The join `{' '.join(words)}` is not supported")
    kind = strictness[0] if strictness else None
    direction = directions[0] if directions else "LEFT" if kind in ("SEMI", "ANTI") else "INNER"
    if direction not in _ALLOWED.get(kind, _DIRECTIONS):
        raise mistake(join, f"The join `{' '.join(words)}` is not supported")
    return f"{direction} {kind} JOIN" if kind else f"{direction} JOIN"


def _condition(join: ast.JoinExpr, kind: str, scope: Scope, before: dict[str, Relation], relation: Relation) -> str:
    constraint = join.constraint
    if kind == "CROSS JOIN":
        if constraint is not None:
            raise mistake(constraint, "A CROSS JOIN has no condition")
        return ""
    if constraint is None:
        raise mistake(join, "A JOIN needs a condition: ON .. or USING ..")
    if constraint.constraint_type == "ON":
        with scope.within(on=True):
            return f"ON {scope.sql(constraint.expr)}"
    return f"ON {_using(constraint, kind, scope, before, relation)}"


def _using(
    constraint: ast.JoinConstraint, kind: str, scope: Scope, before: dict[str, Relation], relation: Relation
) -> str:
    exprs = constraint.expr.exprs if isinstance(constraint.expr, ast.Tuple) else (constraint.expr,)
    conditions = []
    for place, expr in enumerate(exprs):
        if not isinstance(expr, ast.Field) or len(expr.chain) != 1:
            raise mistake(expr, "USING takes names of columns")
        name = str(expr.chain[0])
        right = relation.column((name,), typed=True)
        left = scope.merged.get(name) or _left(expr, name, before)
        if right is None or left is None:
            raise mistake(expr, f"Unable to resolve field: {name}")
        # The last column of an ASOF join is the one whose nearest value before is looked for.
        nearest = "ASOF" in kind and place == len(exprs) - 1
        conditions.append(f"{'greaterOrEquals' if nearest else 'equals'}({left.stored}, {right.stored})")
        scope.merged[name] = _merged(kind, left, right)
    return " AND ".join(conditions)


def _left(expr: ast.Field, name: str, before: dict[str, Relation]) -> Value | None:
    values = [value for table in before.values() if (value := table.column((name,), typed=True)) is not None]
    if len(values) > 1:
        raise mistake(expr, f"Ambiguous query. Found multiple sources for field: {name}")
    return values[0] if values else None


def _merged(kind: str, left: Value, right: Value) -> Value:
    if kind.startswith("RIGHT"):
        return right
    if not kind.startswith("FULL"):
        return left
    # A row that is only on the right has the type's default, or NULL, on the left.
    sql = f"if(ifNull(equals({left.sql}, defaultValueOfArgumentType({left.sql})), 1), {right.sql}, {left.sql})"
    return Value(sql, left.type, property_of=left.property_of)


def _array_join(node: ast.SelectQuery, scope: Scope) -> str:
    if not node.array_join_list:
        return ""
    words = _ARRAY_JOINS.get((node.array_join_op or "").upper())
    if words is None:
        raise mistake(node, "This kind of ARRAY JOIN is not supported")
    listed = []
    unfolded: dict[str, Value] = {}
    for item in node.array_join_list:
        if not isinstance(item, ast.Alias | ast.Field):
            raise mistake(item, "ARRAY JOIN arrays must have an alias")
        name = item.alias if isinstance(item, ast.Alias) else str(item.chain[-1])
        check_alias(name)
        if name in unfolded:
            raise mistake(item, f"Cannot redefine an alias with the name: {name}")
        array = scope.value(item.expr if isinstance(item, ast.Alias) else item)
        alias = scope.statement.name("a")
        listed.append(f"{array.sql} AS {alias}")
        items = array.type.items
        unfolded[name] = Value(alias, items[0] if array.type.kind == "Array" and items else UNKNOWN)
    scope.unfolded.update(unfolded)
    return f" {words} {', '.join(listed)}"
