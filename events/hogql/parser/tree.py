"""From the JSON tree of hogql-parser-rs to the nodes of `events.hogql.ast`."""

from collections import Counter
from typing import Final

from events.hogql import ast
from events.hogql.parser.builder import Builder, Json, Known
from events.hogql.parser.expressions import EXPRESSIONS
from events.hogql.parser.queries import QUERIES

_KNOWN: Final[Known] = {**EXPRESSIONS, **QUERIES}


def build(json: Json, text: str) -> tuple[ast.Expr, Counter[str]]:
    """Return the tree of what the parser answered, and how many clauses of each kind are in it.

    HogQLSyntaxError for what is not supported, too deep or too big.
    """
    builder = Builder(text, _KNOWN)
    return builder.expr(json), builder.clauses
