"""SELECT, and several of them with UNION, INTERSECT and EXCEPT."""
# ruff: noqa: S608 - every name is ours, values are bound

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from events.hogql import ast
from events.hogql.compiler import calls
from events.hogql.compiler.bounds import bound_sources
from events.hogql.compiler.columns import starred
from events.hogql.compiler.joins import compile_from, renamed
from events.hogql.compiler.mistakes import mistake
from events.hogql.compiler.names import column_name
from events.hogql.compiler.relations import Column, QueryRelation
from events.hogql.compiler.scope import Alias, Cte, Scope, check_alias
from events.hogql.compiler.value import Value
from events.hogql.errors import HogQLResolutionError
from events.hogql.types import UNKNOWN, Type
from events.hogql.walk import tables_named

type Compiled = tuple[str, tuple[Column, ...]]

_OPERATORS: Final = {
    "UNION ALL": "UNION ALL",
    "UNION": "UNION DISTINCT",
    "UNION DISTINCT": "UNION DISTINCT",
    "INTERSECT": "INTERSECT",
    "INTERSECT DISTINCT": "INTERSECT DISTINCT",
    "EXCEPT": "EXCEPT",
    "EXCEPT DISTINCT": "EXCEPT DISTINCT",
}
_MODES: Final = {"rollup": "ROLLUP({})", "cube": "CUBE({})", "grouping_sets": "GROUPING SETS ({})"}
_LARGEST_LIMIT: Final = 2**63
_WEIGHT_OF_COLUMN: Final = 4


def query(node: ast.Query, around: Scope, *, inner: bool = False) -> Compiled:
    """Return the SQL of a query and its columns; `inner` where someone of ours reads the columns."""
    with around.statement.one_query(node):
        if isinstance(node, ast.SelectSetQuery):
            return _set(node, around)
        scope = Scope(around.statement, around)
        with_sql = _with(node.ctes, scope)
        sql, columns = _select(node, scope, inner=inner)
        return f"{with_sql}{sql}", columns


def subquery(node: ast.Query, scope: Scope) -> Value:
    """Return the value of a query in parentheses: its one column, NULL without a row."""
    sql, columns = query(node, scope)
    if len(columns) > 1:
        return Value(f"({sql})", Type("Tuple", items=tuple(column.type for column in columns)))
    kind = replace(columns[0].type, constant=False, timestamp=False)
    composed = kind.kind in ("Array", "Tuple", "Map")
    return Value(f"({sql})", kind if composed else kind.or_null(), property_of=columns[0].property_of)


def _inner(node: ast.Query, scope: Scope) -> Compiled:
    return query(node, scope, inner=True)


def _with(ctes: Sequence[ast.CTE], scope: Scope) -> str:
    """Put the names of WITH into the scope, each seen from the next one on."""
    written, recursive = [], False
    for cte in ctes:
        if cte.cte_type == "column":
            check_alias(cte.name)
            scope.ctes[cte.name] = Cte(cte.name, expr=cte.expr)
            continue
        if not isinstance(cte.expr, ast.SelectQuery | ast.SelectSetQuery):
            raise mistake(cte, f"`{cte.name}` is no query")
        name = scope.statement.name("w")
        before = scope.statement.queries
        sql, columns = _recursive(cte, cte.expr, name, scope) or query(cte.expr, scope, inner=True)
        recursive = recursive or cte.recursive
        columns = renamed(cte, cte.columns, columns) if cte.columns else columns
        scope.ctes[cte.name] = Cte(name, columns=columns, weight=scope.statement.queries - before)
        written.append(f"{name} AS ({sql})")
    if not written:
        return ""
    return f"WITH {'RECURSIVE ' if recursive else ''}{', '.join(written)} "


def _recursive(cte: ast.CTE, node: ast.Query, name: str, scope: Scope) -> Compiled | None:
    """Return a CTE that reads itself in all but its first SELECT; None if it is not one."""
    if not cte.recursive or not isinstance(node, ast.SelectSetQuery):
        return None
    if not any(cte.name in tables_named(arm) for arm in node.queries[1:]):
        return None
    within = Scope(scope.statement, scope)
    first, columns = query(node.queries[0], within)
    columns = renamed(cte, cte.columns, columns) if cte.columns else columns
    # What later rounds give may be another type of the same kind, or NULL.
    known = tuple(replace(column, type=_of_rounds(column.type)) for column in columns)
    within.ctes[cte.name] = Cte(name, columns=known, weight=1)
    arms = [first, *[query(arm, within)[0] for arm in node.queries[1:]]]
    return _united(node, arms), known


def _of_rounds(kind: Type) -> Type:
    return Type(kind.kind, nullable=kind.nullable, items=kind.items)


def _select(node: ast.SelectQuery, scope: Scope, *, inner: bool) -> Compiled:
    source = compile_from(node, scope, _inner)
    _declare(node, scope)
    items = list(_items(node, scope, inner=inner))
    if node.where is not None:
        bound_sources(node.where, scope, [kind for kind, _, _ in source.parts])
    clauses = _clauses(node, scope, [value for _, value, _ in items])
    listed = ", ".join(sql for sql, _, _ in items)
    distinct = "DISTINCT " if node.distinct else ""
    return f"SELECT {distinct}{listed}{source.sql()}{clauses}", tuple(column for _, _, column in items)


def _declare(node: ast.SelectQuery, scope: Scope) -> None:
    for item in node.select:
        if not isinstance(item, ast.Alias):
            continue
        try:
            check_alias(item.alias)
            known = scope.aliases.get(item.alias)
            if known is not None and known.node != item.expr:
                raise mistake(None, f"Cannot redefine an alias with the name: {item.alias}")
        except HogQLResolutionError as error:
            raise mistake(item, error.message) from error
        if known is None:
            scope.aliases[item.alias] = Alias(item.expr, scope.statement.name("c"))
    for name, window in node.window_exprs:
        scope.windows[name] = scope.statement.name("w"), window


def _items(node: ast.SelectQuery, scope: Scope, *, inner: bool) -> Iterator[tuple[str, Value, Column]]:
    """Yield the SQL of each column, what stands for it in other clauses, and the column."""
    given: set[str] = set()
    for item in node.select:
        columns = starred(item, scope)
        if columns is not None:
            # A few letters stand for many columns, each of which takes ClickHouse longer than an expression of them.
            scope.statement.count(item, _WEIGHT_OF_COLUMN * len(columns))
            for name, value in columns:
                scope.statement.refers(item, value, name)
                yield _item(name, value, scope.statement.name("c"), inner=inner)
        elif isinstance(item, ast.Alias) and item.alias not in given:
            given.add(item.alias)
            yield _aliased(item, scope, inner=inner)
        else:
            yield _item(column_name(item), scope.value(item), scope.statement.name("c"), inner=inner)


def _aliased(item: ast.Alias, scope: Scope, *, inner: bool) -> tuple[str, Value, Column]:
    alias = scope.aliases[item.alias]
    try:
        scope.define(alias)
    except HogQLResolutionError as error:
        if error.start is None:
            raise mistake(item, error.message) from error
        raise
    value = scope.of_alias(alias)
    sql, _, column = _item(item.alias, replace(value, sql=alias.sql), alias.name, inner=inner)
    return sql, value, column


def _item(name: str, value: Value, sql_name: str, *, inner: bool) -> tuple[str, Value, Column]:
    bare = inner and value.bare is not None
    sql = value.stored if bare else value.sql
    column = Column(name, sql_name, value.type, bare, value.property_of, value.is_property, definition=sql)
    return f"{sql} AS {sql_name}", value if value.bare else replace(value, sql=sql_name), column


def _clauses(node: ast.SelectQuery, scope: Scope, items: Sequence[Value]) -> str:
    distinct = node.distinct
    parts = []
    conditions = [one for one in (node.prewhere, node.where) if one is not None]
    if conditions:
        joined = conditions[0] if len(conditions) == 1 else ast.And(exprs=tuple(conditions))
        with scope.within(rows=True):
            parts.append(f"WHERE {scope.sql(joined)}")
    if node.group_by or node.group_by_mode:
        if node.with_totals:
            raise mistake(
                node, "WITH TOTALS is not supported: an answer has no place for the totals. Use GROUP BY ROLLUP"
            )
        with scope.within(rows=True):
            parts.append(f"GROUP BY {_group_by(node, scope, items)}")
    if node.having is not None:
        parts.append(f"HAVING {scope.sql(node.having)}")
    if node.window_exprs:
        listed = ", ".join(f"{name} AS ({calls.window(one, scope)})" for name, one in scope.windows.values())
        parts.append(f"WINDOW {listed}")
    if node.qualify is not None:
        parts.append(f"QUALIFY {scope.sql(node.qualify)}")
    if node.order_by:
        parts.append(f"ORDER BY {_order_by(node.order_by, scope, items, distinct=distinct)}")
    if node.limit_by is not None:
        parts.append(_limit_by(node.limit_by, scope, items))
    parts.extend(_limit(node, scope))
    return "".join(f" {part}" for part in parts)


def _group_by(node: ast.SelectQuery, scope: Scope, items: Sequence[Value]) -> str:
    mode = (node.group_by_mode or "").lower()
    if mode == "all":
        return "ALL"
    if mode and mode not in _MODES:
        raise mistake(node, "This kind of GROUP BY is not supported")
    listed = ", ".join(
        f"({', '.join(_key(each, scope, items) for each in one.exprs)})"
        if isinstance(one, ast.GroupingSet)
        else _key(one, scope, items)
        for one in node.group_by
    )
    return _MODES[mode].format(listed) if mode else listed


def _key(node: ast.Expr, scope: Scope, items: Sequence[Value], *, distinct: bool = False) -> str:
    """Return what is grouped or ordered by; a number is the place of a column."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int) and not isinstance(node.value, bool):
        if not 1 <= node.value <= len(items):
            message = f"There is no column {node.value} to order or group by"
            raise mistake(node, message)
        value = items[node.value - 1]
    else:
        value = scope.value(node)
    return value.sql if distinct else value.stored


def _order_by(orders: Sequence[ast.OrderExpr], scope: Scope, items: Sequence[Value], *, distinct: bool = False) -> str:
    return ", ".join(
        f"{_key(one.expr, scope, items, distinct=distinct)} {'DESC' if one.order == 'DESC' else 'ASC'}{_nulls(one)}"
        for one in orders
    )


def _nulls(order: ast.OrderExpr) -> str:
    return {"FIRST": " NULLS FIRST", "LAST": " NULLS LAST", None: ""}[order.nulls]


def _limit_by(node: ast.LimitByExpr, scope: Scope, items: Sequence[Value]) -> str:
    offset = "" if node.offset is None else f" OFFSET {_count(node.offset, scope, 'OFFSET')}"
    listed = ", ".join(_key(one, scope, items) for one in node.exprs)
    return f"LIMIT {_count(node.n, scope, 'LIMIT')}{offset} BY {listed}"


def _limit(node: ast.SelectQuery | ast.SelectSetQuery, scope: Scope) -> Iterator[str]:
    if node.limit is not None:
        ties = " WITH TIES" if node.limit_with_ties else ""
        if ties and not node.order_by:
            raise mistake(node.limit, "LIMIT .. WITH TIES needs ORDER BY")
        # ClickHouse has WITH TIES after the OFFSET.
        offset = "" if node.offset is None else f" OFFSET {_count(node.offset, scope, 'OFFSET')}"
        yield f"LIMIT {_count(node.limit, scope, 'LIMIT')}{offset}{ties}"
    elif node.offset is not None:
        yield f"OFFSET {_count(node.offset, scope, 'OFFSET')}"


def _count(node: ast.Expr, scope: Scope, clause: str) -> str:
    """Return a number of rows: a whole number, or an expression of constants."""
    if isinstance(node, ast.Constant):
        value = node.value
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _LARGEST_LIMIT:
            raise mistake(node, f"{clause} takes a whole number from 0 on")
        return str(value)
    outside = Scope(scope.statement, refuse_aggregations=f"Aggregations cannot be used in {clause}")
    return outside.sql(node)


def _set(node: ast.SelectSetQuery, around: Scope) -> Compiled:
    scope = Scope(around.statement, around)
    with_sql = _with(node.ctes, scope)
    compiled = [query(arm, scope) for arm in node.queries]
    for arm, (_, columns) in zip(node.queries[1:], compiled[1:], strict=True):
        if len(columns) != len(compiled[0][1]):
            message = f"The SELECTs have {len(compiled[0][1])} and {len(columns)} columns, and must have equally many"
            raise mistake(arm, message)
    sql = _united(node, [arm for arm, _ in compiled])
    columns = tuple(_column(each) for each in zip(*[columns for _, columns in compiled], strict=True))
    if not (with_sql or node.order_by or node.limit is not None or node.offset is not None):
        return sql, columns
    table = scope.statement.name("t")
    scope.tables[table] = relation = QueryRelation(scope.statement, table, f"({sql})", columns)
    values = [value for _, value in relation.star()]
    order = f" ORDER BY {_order_by(node.order_by, scope, values)}" if node.order_by else ""
    limit = "".join(f" {part}" for part in _limit(node, scope))
    return f"{with_sql}SELECT * FROM {relation.sql()}{order}{limit}", columns


def _united(node: ast.SelectSetQuery, arms: Sequence[str]) -> str:
    parts = [f"({arms[0]})"]
    for operator, arm, written in zip(node.operators, node.queries[1:], arms[1:], strict=True):
        known = _OPERATORS.get(operator.upper())
        if known is None:
            raise mistake(arm, f"{operator} is not supported")
        parts.append(f"{known} ({written})")
    return " ".join(parts)


def _column(arms: Sequence[Column]) -> Column:
    """Return a column of several SELECTs: it is called what the first one calls it."""
    first = arms[0]
    same = all(arm.type.kind == first.type.kind and arm.type.items == first.type.items for arm in arms)
    nullable = any(arm.type.nullable for arm in arms)
    kind = Type(first.type.kind, nullable=nullable, items=first.type.items) if same else UNKNOWN
    of = first.property_of if all(arm.property_of == first.property_of for arm in arms) else None
    return Column(first.name, first.sql, kind, property_of=of, definition=first.sql)
