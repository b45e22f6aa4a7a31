"""The HogQL texts inside one node: expressions and items of ORDER BY, which together have a budget."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

from events.hogql import ast
from events.hogql.errors import HogQLSyntaxError
from events.hogql.parser import parse_expr, parse_order_expr

MAX_CHARACTERS: Final = 20_000
"""Of all texts together."""
MAX_SECONDS: Final = 3.0
"""Of all parses together: each has a limit of its own, but a node may have hundreds of texts."""


class Expressions:
    """Parses the texts of one node. Raises HogQLSyntaxError; positions are those in the text itself."""

    def __init__(self) -> None:
        """Begin with the whole budget."""
        self._characters = MAX_CHARACTERS
        self._seconds = MAX_SECONDS

    def expr(self, text: str) -> ast.Expr:
        """Return an expression; what stands behind `--` is a comment."""
        with self._counted(text):
            return parse_expr(text)

    def order(self, text: str) -> ast.OrderExpr:
        """Return an item of ORDER BY."""
        with self._counted(text):
            return parse_order_expr(text)

    @contextmanager
    def _counted(self, text: str) -> Iterator[None]:
        self._characters -= len(text)
        if self._characters < 0:
            message = f"The expressions of a query may have at most {MAX_CHARACTERS} characters together."
            raise HogQLSyntaxError(message)
        if self._seconds < 0:
            raise HogQLSyntaxError("The expressions of the query take too long to parse.")
        began = monotonic()
        try:
            yield
        finally:
            self._seconds -= monotonic() - began
