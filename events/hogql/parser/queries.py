"""Builds the nodes of queries: what the parser reads and leaves out of its tree is looked up in the text."""

import re
from dataclasses import replace
from typing import Any, Final, cast

from events.hogql import ast
from events.hogql.errors import HogQLSyntaxError
from events.hogql.parser.builder import Builder, Json, Known, known, offset_of
from events.hogql.parser.words import words

_AROUND: Final = 100
_DIRECTIONS: Final = frozenset({"asc", "ascending", "desc", "descending", ")"})
_MODE: Final = re.compile(r"[\s)]*\bwith\s+(rollup|cube)\b", re.IGNORECASE)
_TOTALS: Final = re.compile(r"[\s)]*\bwith\s+totals\b", re.IGNORECASE)


def _order(b: Builder, json: Json, start: int | None, end: int | None) -> ast.Expr:
    expr = b.expr(json["expr"])
    said = [word for word in b.words(expr.end, end) if word not in _DIRECTIONS]
    if said not in ([], ["nulls", "first"], ["nulls", "last"]):
        message = f"{said[0].upper()} is not supported in ORDER BY."
        raise HogQLSyntaxError(message, start=start, end=end)
    nulls: Any = said[1].upper() if said else None
    return ast.OrderExpr(expr, json.get("order") or "ASC", nulls, start=start, end=end)


def _window_function(b: Builder, json: Json, start: int | None, end: int | None) -> ast.Expr:
    # The parser's `exprs` are what stands in the first parentheses: the parameters only where there are two pairs.
    first, second = b.exprs(json.get("exprs")), b.exprs(json.get("args"))
    over = json.get("over_expr")
    return ast.WindowFunction(
        json["name"],
        second or first,
        first if second else None,
        over_expr=None if over is None else cast("ast.WindowExpr", b.node(over)),
        over_identifier=json.get("over_identifier"),
        start=start,
        end=end,
    )


def _window(b: Builder, json: Json, start: int | None, end: int | None) -> ast.Node:
    first, last = json.get("frame_start"), json.get("frame_end")
    return ast.WindowExpr(
        b.exprs(json.get("partition_by")),
        b.orders(json.get("order_by")),
        json.get("frame_method"),
        None if first is None else cast("ast.WindowFrame", b.node(first)),
        None if last is None else cast("ast.WindowFrame", b.node(last)),
        start=start,
        end=end,
    )


def _frame(_: Builder, json: Json, start: int | None, end: int | None) -> ast.Node:
    value = json.get("frame_value")
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise HogQLSyntaxError("A window's frame is bounded by whole numbers.", start=start, end=end)
    return ast.WindowFrame(json["frame_type"], value, start=start, end=end)


def _cte(b: Builder, json: Json, start: int | None, end: int | None) -> ast.Node:
    return ast.CTE(
        json["name"],
        b.expr(json["expr"]),
        json["cte_type"],
        recursive=bool(json.get("recursive")),
        columns=tuple(json.get("columns") or ()),
        start=start,
        end=end,
    )


def _ctes(b: Builder, json: Json) -> tuple[ast.CTE, ...]:
    # In the order of the text, which the parser turns round where WITH stands before a parenthesis with another one.
    ctes = [cast("ast.CTE", b.node(item)) for item in json.get("ctes") or ()]
    return tuple(sorted(ctes, key=lambda cte: cte.start or 0))


def _join(b: Builder, json: Json, start: int | None, end: int | None) -> ast.Node:
    args, constraint, following = json.get("table_args"), json.get("constraint"), json.get("next_join")
    sample, alias = json.get("sample"), json.get("alias")
    if alias and alias.isidentifier() and not _is_only_alias(b, alias, start, end, called=args is not None):
        # `FROM events FORMAT JSON` reads as two aliases, of which the parser keeps the second.
        raise HogQLSyntaxError("A table can have one alias only; FORMAT is not supported.", start=start, end=end)
    if constraint and following and (offset_of(following, "start") or 0) < (offset_of(constraint, "start") or 0):
        message = "A join in parentheses is not supported: make it a subquery."
        raise HogQLSyntaxError(message, start=offset_of(following, "start"), end=offset_of(following, "end"))
    return ast.JoinExpr(
        b.maybe(json.get("table")),
        alias,
        tuple(json.get("column_aliases") or ()),
        None if args is None else b.exprs(args),
        table_final=bool(json.get("table_final")),
        join_type=json.get("join_type"),
        constraint=None if constraint is None else cast("ast.JoinConstraint", b.node(constraint)),
        sample=None if sample is None else cast("ast.SampleExpr", b.node(sample)),
        next_join=None if following is None else cast("ast.JoinExpr", b.node(following)),
        start=start,
        end=end,
    )


def _is_only_alias(b: Builder, alias: str, start: int | None, end: int | None, *, called: bool) -> bool:
    if start is None or end is None:
        return True
    if not called:
        return alias in b.text[start:end]
    # The parser ends such a table before its alias.
    first, second, *_ = [*words(b.text[end : end + len(alias) + _AROUND]), "", ""]
    return alias.lower() == (second if first == "as" else first).strip('`"')


def _constraint(b: Builder, json: Json, start: int | None, end: int | None) -> ast.Node:
    expr, kind = b.expr(json["expr"]), json["constraint_type"]
    if kind == "USING" and not isinstance(expr, ast.Tuple):
        expr = ast.Tuple((expr,), start=expr.start, end=expr.end)
    return ast.JoinConstraint(expr, kind, start=start, end=end)


def _sample(b: Builder, json: Json, start: int | None, end: int | None) -> ast.Node:
    offset = b.counted("offset", json.get("offset_value"))
    share = _ratio(json["sample_value"])
    return ast.SampleExpr(share, None if offset is None else _ratio(offset), start=start, end=end)


def _ratio(json: Json) -> float:
    """Return the share of a SAMPLE; a number of rows is refused, for it says nothing about the result."""
    over, under = json["left"].get("value"), (json.get("right") or {"value": 1}).get("value")
    start, end = offset_of(json, "start"), offset_of(json, "end")
    if not isinstance(over, int | float) or not isinstance(under, int | float) or under <= 0:
        raise HogQLSyntaxError("SAMPLE takes a share, such as 0.1 or 1/10.", start=start, end=end)
    share = over / under
    if not 0 <= share <= 1:
        raise HogQLSyntaxError("SAMPLE takes a share between 0 and 1.", start=start, end=end)
    return share


def _limit_by(b: Builder, json: Json, start: int | None, end: int | None) -> ast.Node:
    n, exprs, offset = b.expr(json["n"]), b.exprs(json["exprs"]), b.maybe(json.get("offset_value"))
    return ast.LimitByExpr(n, exprs, b.counted("offset", offset), start=start, end=end)


def _select(b: Builder, json: Json, start: int | None, end: int | None) -> ast.Expr:
    source, limit_by = json.get("select_from"), json.get("limit_by")
    windows = json.get("window_exprs") or {}
    group_by = b.exprs(json.get("group_by"))
    mode, with_totals = _grouping(b, group_by, json.get("group_by_mode"), end)
    limit, offset = _limits(b, json)
    if end is not None:
        # The parser ends a SELECT before the second of LIMIT and OFFSET.
        end = max([end, *[clause.end for clause in (limit, offset) if clause and clause.end]])
    return ast.SelectQuery(
        b.exprs(json["select"]),
        distinct=bool(json.get("distinct")),
        ctes=_ctes(b, json),
        select_from=None if source is None else cast("ast.JoinExpr", b.node(source)),
        array_join_op=json.get("array_join_op"),
        array_join_list=b.exprs(json.get("array_join_list")),
        prewhere=b.maybe(json.get("prewhere")),
        where=b.maybe(json.get("where")),
        group_by=group_by,
        group_by_mode=mode,
        with_totals=with_totals,
        having=b.maybe(json.get("having")),
        qualify=b.maybe(json.get("qualify")),
        window_exprs=tuple((name, cast("ast.WindowExpr", b.node(window))) for name, window in windows.items()),
        order_by=b.orders(json.get("order_by")),
        limit_by=None if limit_by is None else b.counted("limit", cast("ast.LimitByExpr", b.node(limit_by))),
        limit=limit,
        limit_with_ties=b.counted("ties", bool(json.get("limit_with_ties"))),
        offset=offset,
        start=start,
        end=end,
    )


def _grouping(
    b: Builder, group_by: tuple[ast.Expr, ...], mode: str | None, until: int | None
) -> tuple[str | None, bool]:
    """Return how groups are made and whether totals are asked for, which the parser leaves out after the groups."""
    end = group_by[-1].end if group_by else None
    if end is None or until is None:
        return mode, False
    if found := _MODE.match(b.text, end, until):
        if mode:
            raise HogQLSyntaxError("GROUP BY is modified twice.", start=end, end=found.end())
        mode, end = b.counted("mode", found[1].lower()), found.end()
    return mode, b.counted("mode", _TOTALS.match(b.text, end, until) is not None)


def _limits(b: Builder, json: Json) -> tuple[ast.Expr | None, ast.Expr | None]:
    """Return LIMIT and OFFSET, and refuse what the parser mixes from two pairs of them."""
    limit, offset = b.counted("limit", b.maybe(json.get("limit"))), b.counted("offset", b.maybe(json.get("offset")))
    if limit and offset and limit.start is not None:
        between = b.words(limit.end, offset.start)
        nested = ")" in between and not b.text[: limit.start].rstrip().endswith("(")
        if "offset" in between and ("," in between or nested):
            raise HogQLSyntaxError("LIMIT or OFFSET is written twice.", start=offset.start, end=offset.end)
    return limit, offset


def _set(b: Builder, json: Json, start: int | None, end: int | None) -> ast.Expr:
    following = json["subsequent_select_queries"]
    queries = [b.query(json["initial_select_query"]), *[b.query(item["select_query"]) for item in following]]
    limit, offset = _limits(b, json)
    last = queries[-1]
    if offset and not limit and last.limit and not last.offset and ")" not in b.words(last.end, offset.start):
        # The parser gives the LIMIT after the last SELECT to that one, and its OFFSET to all of them.
        queries[-1], offset = replace(last, offset=offset), None
    queries[0], ctes = _common_ctes(b, queries[0], start)
    return ast.SelectSetQuery(
        tuple(queries),
        tuple(item["set_operator"] for item in following),
        ctes=ctes,
        limit=limit,
        offset=offset,
        start=start,
        end=end,
    )


def _common_ctes(b: Builder, first: ast.Query, start: int | None) -> tuple[ast.Query, tuple[ast.CTE, ...]]:
    """Return the first SELECT and the CTEs that are for all of them: those of a WITH before any parenthesis."""

    def is_common(cte: ast.CTE) -> bool:
        before = b.words(start, cte.start)
        return before.count("(") == before.count(")")

    common = tuple(cte for cte in first.ctes if is_common(cte))
    own = tuple(cte for cte in first.ctes if cte not in common)
    return (replace(first, ctes=own), common) if common else (first, ())


QUERIES: Final[Known] = {
    "OrderExpr": known(_order, "expr", "order"),
    "WindowFunction": known(_window_function, "name", "args", "exprs", "over_expr", "over_identifier"),
    "WindowExpr": known(_window, "partition_by", "order_by", "frame_method", "frame_start", "frame_end"),
    "WindowFrameExpr": known(_frame, "frame_type", "frame_value"),
    "CTE": known(_cte, "name", "expr", "cte_type", "recursive", "columns"),
    "JoinExpr": known(
        _join, "table", "alias", "column_aliases", "table_args", "table_final", "join_type", "constraint", "sample",
        "next_join",
    ),
    "JoinConstraint": known(_constraint, "expr", "constraint_type"),
    "SampleExpr": known(_sample, "sample_value", "offset_value"),
    "LimitByExpr": known(_limit_by, "n", "exprs", "offset_value"),
    "SelectQuery": known(
        _select, "select", "distinct", "ctes", "select_from", "array_join_op", "array_join_list", "prewhere", "where",
        "group_by", "group_by_mode", "having", "qualify", "window_exprs", "order_by", "limit_by", "limit",
        "limit_with_ties", "offset",
    ),
    "SelectSetQuery": known(
        _set, "initial_select_query", "subsequent_select_queries", "limit", "offset"
    ),
}  # fmt: skip
