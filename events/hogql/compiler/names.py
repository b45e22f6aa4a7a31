"""What the columns of a result are called, and what is suggested in place of an unknown name."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

from events.hogql import ast
from events.hogql.printer import print_hogql

_CLOSE: Final = 0.6
_MOST: Final = 3
_LONGEST: Final = 100


def column_name(node: ast.Expr) -> str:
    """Return the alias, the last name of a field, its keys below `properties`, or else the expression as HogQL."""
    if isinstance(node, ast.Alias):
        return node.alias
    if isinstance(node, ast.Field):
        chain = node.chain
        if "properties" in chain[:-1]:
            return "__".join(str(part) for part in chain[chain.index("properties") + 1 :])
        if isinstance(chain[-1], str):
            return chain[-1]
    return print_hogql(node)


def perhaps(name: str, known: Iterable[str], quote: str = "'") -> str:
    """Return the end of an error's text: close names, or nothing."""
    # Comparing takes a time that grows with the product of the lengths.
    others = [one for one in dict.fromkeys(known) if one != name]
    close = get_close_matches(name, others, n=_MOST, cutoff=_CLOSE) if len(name) <= _LONGEST else []
    if not close:
        return ""
    return f". Perhaps you meant {' or '.join(f'{quote}{one}{quote}' for one in close)}?"
