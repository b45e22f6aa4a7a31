"""`*` and its relatives in the columns of a SELECT."""

import re
from collections.abc import Sequence
from typing import Final

from events.hogql import ast
from events.hogql.compiler.mistakes import mistake
from events.hogql.compiler.scope import Scope
from events.hogql.compiler.value import Value
from events.hogql.errors import HogQLResolutionError

type Named = list[tuple[str, Value]]

# Patterns without repetition of groups take no more than a time that grows with pattern times name for each star.
_PATTERN: Final = re.compile(r"\^?(?:[\w$]|\.\*?)*\$?", re.ASCII)
_MOST_STARS: Final = 3
_LONGEST: Final = 100


def starred(node: ast.Expr, scope: Scope) -> Named | None:
    """Return the columns that `*`, `table.*` or COLUMNS(..) stands for; None for any other expression."""
    if isinstance(node, ast.Field) and node.chain[-1] == "*":
        return _placed(node, _star(node, node.chain[:-1], scope))
    if not isinstance(node, ast.ColumnsExpr):
        return None
    if node.columns:
        return [(str(_name(one)), scope.value(one)) for one in node.columns]
    columns = _placed(node, _star(node, node.table, scope))
    if node.regex is not None:
        pattern = _compiled(node, node.regex)
        columns = [(name, value) for name, value in columns if pattern.search(name[:_LONGEST])]
        if not columns:
            raise mistake(node, "No column matches the pattern")
    return _changed(node, columns, scope)


def _name(node: ast.Expr) -> str | int:
    if not isinstance(node, ast.Field):
        raise mistake(node, "COLUMNS takes names of columns")
    return node.chain[-1]


def _placed(node: ast.Expr, columns: Named) -> Named:
    if not columns:
        raise mistake(node, "There are no columns here for *")
    return columns


def _star(node: ast.Expr, prefix: Sequence[str | int], scope: Scope) -> Named:
    if not scope.tables:
        raise mistake(node, "Cannot use '*' without a table")
    try:
        if prefix and str(prefix[0]) in scope.tables:
            return list(scope.tables[str(prefix[0])].star(tuple(prefix[1:])))
        if prefix:
            found = [table for table in scope.tables.values() if str(prefix[0]) in table.names()]
            if len(found) != 1:
                name = ".".join(str(part) for part in prefix)
                message = "Ambiguous query. Found multiple sources for field" if found else "Unable to resolve field"
                raise mistake(node, f"{message}: {name}")
            return list(found[0].star(tuple(prefix)))
    except HogQLResolutionError as error:
        raise mistake(node, error.message) from error
    return _of_all(scope)


def _of_all(scope: Scope) -> Named:
    columns: Named = []
    merged: set[str] = set()
    for table in scope.tables.values():
        for name, value in table.star():
            if name in scope.merged:
                if name in merged:
                    continue
                merged.add(name)
                columns.append((name, scope.merged[name]))
            else:
                columns.append((name, value))
    return [*columns, *scope.unfolded.items()]


def _compiled(node: ast.ColumnsExpr, pattern: str) -> re.Pattern[str]:
    simple = len(pattern) <= _LONGEST and _PATTERN.fullmatch(pattern) and pattern.count("*") <= _MOST_STARS
    if not simple:
        raise mistake(node, "COLUMNS takes a pattern of letters, digits, `_`, `.`, `.*`, `^` and `$` only")
    return re.compile(pattern)


def _changed(node: ast.ColumnsExpr, columns: Named, scope: Scope) -> Named:
    names = {name for name, _ in columns}
    unknown = [name for name in (*node.exclude, *[name for name, _ in node.replace]) if name not in names]
    if unknown:
        raise mistake(node, f"Unable to resolve field: {unknown[0]}")
    changes = dict(node.replace)
    return [
        (name, scope.value(changes[name]) if name in changes else value)
        for name, value in columns
        if name not in node.exclude
    ]
