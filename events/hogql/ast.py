"""The tree of a HogQL statement: frozen nodes, each with where in the text it stands.

Names and members are those of the JSON tree of hogql-parser-rs; its traps are already undone: chains are folded into
one `Field` (`properties['a']`, `properties.a.0`), a call's name keeps the spelling of the text.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from events.hogql.errors import Source

type Value = str | int | float | bool | None
type Query = "SelectQuery | SelectSetQuery"
type CompareOp = Literal[
    "==", "!=", "<", "<=", ">", ">=", "like", "ilike", "not like", "not ilike", "in", "global in", "not in",
    "global not in", "in cohort", "not in cohort", "=~", "!~", "=~*", "!~*",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Anything in the tree; `start` and `end` count characters of the text, None for what was never written."""

    start: int | None = field(default=None, compare=False, repr=False)
    end: int | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Expr(Node):
    """Anything that has a value."""


@dataclass(frozen=True, slots=True)
class Constant(Expr):
    """A value of the text, or one that took the place of a placeholder: JSON, dates, UUIDs, lists of these."""

    value: Any


@dataclass(frozen=True, slots=True)
class Field(Expr):
    """A name with the names and 1-based indexes below it: `event`, `e.properties.$os`, `*`, `e.*`."""

    chain: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Placeholder(Expr):
    """`{expr}`: something that is known only when the statement is run."""

    expr: Expr


@dataclass(frozen=True, slots=True)
class Sourced(Expr):
    """An expression out of another text than the one around it: places below are in that."""

    expr: Expr
    source: Source = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class RowCondition(Expr):
    """A condition on a row of `table` that is written in ClickHouse's SQL already: filters of the API.

    `write` gets the alias of the row's table, an expression for the person's UUID and the parameters to bind to
    (`team_id` is there), and returns an expression that is 0 or 1. `text` is what the printed HogQL shows, `weight` how
    many expressions it counts for.
    """

    table: str
    write: Callable[[str, str, dict[str, Any]], str] = field(repr=False)
    text: str = "true"
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Alias(Expr):
    """`expr AS alias`."""

    alias: str
    expr: Expr


@dataclass(frozen=True, slots=True)
class OrderExpr(Expr):
    """One item of ORDER BY; `nulls` is None where the text leaves it to ClickHouse, which puts them last."""

    expr: Expr
    order: Literal["ASC", "DESC"] = "ASC"
    nulls: Literal["FIRST", "LAST"] | None = None


@dataclass(frozen=True, slots=True)
class Call(Expr):
    """A function or aggregation: `name(params)(DISTINCT args ORDER BY ..) FILTER (WHERE ..)`."""

    name: str
    args: tuple[Expr, ...]
    params: tuple[Expr, ...] | None = None
    distinct: bool = False
    filter_expr: Expr | None = None
    order_by: tuple[OrderExpr, ...] = ()
    within_group: tuple[OrderExpr, ...] = ()


@dataclass(frozen=True, slots=True)
class And(Expr):
    """Two or more conditions, all of which hold."""

    exprs: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Or(Expr):
    """Two or more conditions, one of which holds."""

    exprs: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Not(Expr):
    """The opposite of a condition."""

    expr: Expr


@dataclass(frozen=True, slots=True)
class CompareOperation(Expr):
    """A comparison; the right side of `in` may be a query."""

    op: CompareOp
    left: "Expr"
    right: "Expr"


@dataclass(frozen=True, slots=True)
class BetweenExpr(Expr):
    """`expr [NOT] BETWEEN low AND high`."""

    expr: Expr
    low: Expr
    high: Expr
    negated: bool = False


@dataclass(frozen=True, slots=True)
class IsDistinctFrom(Expr):
    """`left IS [NOT] DISTINCT FROM right`."""

    left: Expr
    right: Expr
    negated: bool = False


@dataclass(frozen=True, slots=True)
class ArithmeticOperation(Expr):
    """Two numbers, or times and intervals."""

    op: Literal["+", "-", "*", "/", "%"]
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Tuple(Expr):
    """`(a, b)`."""

    exprs: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class TupleAccess(Expr):
    """`tuple.1`; `nullish` is `?.`."""

    tuple: Expr
    index: int
    nullish: bool = False


@dataclass(frozen=True, slots=True)
class Array(Expr):
    """`[a, b]`."""

    exprs: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class ArrayAccess(Expr):
    """`array[property]`, counted from 1; `nullish` is `?.[..]`."""

    array: Expr
    property: Expr
    nullish: bool = False


@dataclass(frozen=True, slots=True)
class ArraySlice(Expr):
    """`array[from:to]`, both included; None is an open end."""

    array: Expr
    slice_start: Expr | None
    slice_end: Expr | None


@dataclass(frozen=True, slots=True)
class Dict(Expr):
    """`{'key': value}`."""

    items: tuple[tuple[Expr, Expr], ...]


@dataclass(frozen=True, slots=True)
class Lambda(Expr):
    """`(a, b) -> expr`."""

    args: tuple[str, ...]
    expr: Expr


@dataclass(frozen=True, slots=True)
class TypeCast(Expr):
    """`CAST(expr AS type)`, `expr::type`; with `nullish`, `TRY_CAST`, which is NULL for what does not fit."""

    expr: Expr
    type_name: str
    nullish: bool = False


@dataclass(frozen=True, slots=True)
class WindowFrame(Node):
    """One end of a window's frame; `value` None is UNBOUNDED, and of CURRENT ROW."""

    kind: Literal["CURRENT ROW", "PRECEDING", "FOLLOWING"]
    value: int | None = None


@dataclass(frozen=True, slots=True)
class WindowExpr(Node):
    """What is between the parentheses of OVER."""

    partition_by: tuple[Expr, ...] = ()
    order_by: tuple[OrderExpr, ...] = ()
    frame_method: Literal["ROWS", "RANGE"] | None = None
    frame_start: WindowFrame | None = None
    frame_end: WindowFrame | None = None


@dataclass(frozen=True, slots=True)
class WindowFunction(Expr):
    """`name(args) OVER (..)` or `OVER name`."""

    name: str
    args: tuple[Expr, ...]
    params: tuple[Expr, ...] | None = None
    over_expr: WindowExpr | None = None
    over_identifier: str | None = None


@dataclass(frozen=True, slots=True)
class GroupingSet(Expr):
    """One of `GROUPING SETS ((a, b), ())`; only in `group_by`, with `group_by_mode` grouping_sets."""

    exprs: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class ColumnsExpr(Expr):
    """`*`, `table.*`, `COLUMNS('regex')`, `* EXCLUDE (..) REPLACE (..)`."""

    table: tuple[str, ...] = ()
    regex: str | None = None
    columns: tuple[Expr, ...] = ()
    exclude: tuple[str, ...] = ()
    replace: tuple[tuple[str, Expr], ...] = ()


@dataclass(frozen=True, slots=True)
class CTE(Node):
    """`name AS (query)`, or a value: `expr AS name`."""

    name: str
    expr: "Expr"
    cte_type: Literal["subquery", "column"]
    recursive: bool = False
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JoinConstraint(Node):
    """`ON expr`, or `USING (columns)` with `expr` a Tuple of Fields."""

    expr: Expr
    constraint_type: Literal["ON", "USING"]


@dataclass(frozen=True, slots=True)
class SampleExpr(Node):
    """`SAMPLE share OFFSET offset`; both between 0 and 1."""

    share: float
    offset: float | None = None


@dataclass(frozen=True, slots=True)
class JoinExpr(Node):
    """One table of FROM and those joined to it. `table` is a Field, a query, or a Placeholder."""

    table: "Expr | None"
    alias: str | None = None
    column_aliases: tuple[str, ...] = ()
    table_args: tuple[Expr, ...] | None = None
    table_final: bool = False
    join_type: str | None = None
    constraint: JoinConstraint | None = None
    sample: SampleExpr | None = None
    next_join: "JoinExpr | None" = None


@dataclass(frozen=True, slots=True)
class LimitByExpr(Node):
    """`LIMIT n [OFFSET offset] BY exprs`."""

    n: Expr
    exprs: tuple[Expr, ...]
    offset: Expr | None = None


@dataclass(frozen=True, slots=True)
class SelectQuery(Expr):
    """One SELECT. `group_by_mode` is None, all, rollup, cube or grouping_sets; `with_totals` goes with any of them."""

    select: tuple[Expr, ...]
    distinct: bool = False
    ctes: tuple[CTE, ...] = ()
    select_from: JoinExpr | None = None
    array_join_op: str | None = None
    array_join_list: tuple[Expr, ...] = ()
    prewhere: Expr | None = None
    where: Expr | None = None
    group_by: tuple[Expr, ...] = ()
    group_by_mode: str | None = None
    with_totals: bool = False
    having: Expr | None = None
    qualify: Expr | None = None
    window_exprs: tuple[tuple[str, WindowExpr], ...] = ()
    order_by: tuple[OrderExpr, ...] = ()
    limit_by: LimitByExpr | None = None
    limit: Expr | None = None
    limit_with_ties: bool = False
    offset: Expr | None = None


@dataclass(frozen=True, slots=True)
class SelectSetQuery(Expr):
    """Several SELECTs; `operators[i]`, such as UNION ALL or EXCEPT, stands before `queries[i + 1]`."""

    queries: tuple[Query, ...]
    operators: tuple[str, ...]
    ctes: tuple[CTE, ...] = ()
    order_by: tuple[OrderExpr, ...] = ()
    limit: Expr | None = None
    limit_with_ties: bool = False
    offset: Expr | None = None
