"""Parses statements and expressions, and refuses what the parser would read and then leave out."""

import time
from collections import Counter
from dataclasses import replace
from typing import Final

import orjson

from events.hogql import ast
from events.hogql.errors import HogQLSyntaxError
from events.hogql.parser import tree
from events.hogql.parser.builder import Json
from events.hogql.parser.pool import SECONDS, Pool
from events.hogql.parser.words import clauses, is_quick
from events.hogql.walk import descendants

MAX_CHARACTERS: Final = 100_000
# No text is parsed in this process: a hundred characters of nested clauses can take seconds, with the interpreter's
# lock held, and a worker answers 0.03 ms later. Long texts have workers of their own, so that short ones need not wait.
_QUICK: Final = Pool()
_LONG: Final = Pool()
_LOST: Final = {
    "order": "ORDER BY behind a query in parentheses is not supported here: write SELECT * FROM (...) ORDER BY ...",
    "limit": "LIMIT is written twice.",
    "offset": "OFFSET is written twice.",
    "filter": "FILTER and OVER cannot be used together.",
    "ties": "WITH TIES is not supported here.",
    "mode": "WITH TOTALS, ROLLUP and CUBE are not supported here.",
}


def parse_select(text: str) -> ast.Query:
    """Return the tree of one statement: a SELECT, or several with UNION, INTERSECT or EXCEPT between them."""
    return _select(text, time.monotonic() + SECONDS)


def _select(text: str, until: float) -> ast.Query:
    node = _parsed("select", text, until)
    if not isinstance(node, ast.SelectQuery | ast.SelectSetQuery):
        raise HogQLSyntaxError("The query must be a SELECT.", start=node.start, end=node.end)
    return node


def parse_expr(text: str) -> ast.Expr:
    """Return the tree of one expression."""
    return _parsed("expr", text, time.monotonic() + SECONDS)


def parse_order_expr(text: str) -> ast.OrderExpr:
    """Return the tree of one item of ORDER BY."""
    node = _parsed("order_expr", text, time.monotonic() + SECONDS)
    if not isinstance(node, ast.OrderExpr):
        raise HogQLSyntaxError("An item of ORDER BY was expected.", start=node.start, end=node.end)
    return node


def parse_template(text: str) -> ast.Expr:
    """Return the tree of a text with expressions in braces: a constant, or a `concat` of its pieces."""
    return _parsed("full_template_string", text, time.monotonic() + SECONDS)


def _parsed(rule: str, text: str, until: float) -> ast.Expr:
    node, kept = _tree(rule, text, until)
    if rule == "full_template_string":
        return node
    written = clauses(text)
    lost = Counter(clause.kind for clause in written) - kept
    if not lost:
        return node
    if lost == Counter(order=1) and isinstance(node, ast.SelectQuery | ast.SelectSetQuery):
        for clause in written:
            if clause.kind == "order" and clause.behind and clause.depth == 0:
                return _ordered(text, clause.start, until)
    for clause in reversed(written):
        if clause.kind in lost and not _is_name(clause.kind, lost[clause.kind], node):
            raise HogQLSyntaxError(_LOST[clause.kind], start=clause.start, end=clause.start + len(clause.kind))
    return node


def _tree(rule: str, text: str, until: float) -> tuple[ast.Expr, Counter[str]]:
    if len(text) > MAX_CHARACTERS:
        message = f"The query is longer than {MAX_CHARACTERS} characters."
        raise HogQLSyntaxError(message)
    try:
        json = orjson.loads(_json(rule, text, until))
    except UnicodeEncodeError as error:
        message = "The query has a character that is not valid Unicode."
        raise HogQLSyntaxError(message, start=error.start, end=error.end) from None
    except orjson.JSONDecodeError:
        # The tree is deeper than JSON is read.
        message = "The query is nested too deeply."
        raise HogQLSyntaxError(message) from None
    if json.get("error"):
        raise _error(json, text)
    return tree.build(json, text)


def _json(rule: str, text: str, until: float) -> bytes:
    return (_QUICK if is_quick(text) else _LONG).parse(rule, text, until)


def _ordered(text: str, at: int, until: float) -> ast.Query:
    """Return a query in parentheses with the ORDER BY, LIMIT and OFFSET behind it, of which the parser drops the first.

    The rest is read as that of another SELECT, at the same place, so that its positions are right.
    """
    query = _select(text[:at], until)
    rest = _select(f"SELECT 1{text[at:]:>{len(text) - len('SELECT 1')}}", until)
    if not isinstance(rest, ast.SelectQuery) or rest.limit_by or rest.limit_with_ties:
        raise HogQLSyntaxError(_LOST["order"], start=at)
    limited_by = isinstance(query, ast.SelectQuery) and query.limit_by
    if query.order_by or query.limit or query.offset or limited_by:
        query = ast.SelectQuery((ast.Field(("*",)),), select_from=ast.JoinExpr(query), start=0, end=at)
    return replace(query, order_by=rest.order_by, limit=rest.limit, offset=rest.offset)


def _is_name(kind: str, times: int, node: ast.Node) -> bool:
    """Tell whether the words that look like clauses are names of fields and aliases."""
    names = 0
    for each in descendants(node):
        if isinstance(each, ast.Field):
            names += str(each.chain[0]).lower() == kind
        elif isinstance(each, ast.Alias | ast.JoinExpr):
            names += (each.alias or "").lower() == kind
    return names >= times


def _error(json: Json, text: str) -> HogQLSyntaxError:
    """Return the parser's complaint; its offsets count bytes of UTF-8, unlike those of a tree."""
    start, end = (_character(text, (json.get(which) or {}).get("offset")) for which in ("start", "end"))
    return HogQLSyntaxError(str(json.get("message")), start=start, end=end)


def _character(text: str, offset: int | None) -> int | None:
    if offset is None or text.isascii():
        return offset
    return len(text.encode()[:offset].decode(errors="replace"))
