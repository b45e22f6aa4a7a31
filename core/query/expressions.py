"""The HogQL texts inside one node: expressions and items of ORDER BY, which together have a budget."""

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

from events.hogql import ast
from events.hogql.errors import HogQLError, HogQLSyntaxError, Source
from events.hogql.parser import parse_expr, parse_order_expr
from events.hogql.walk import shifted

MAX_CHARACTERS: Final = 20_000
"""Of all texts together."""
MAX_SECONDS: Final = 3.0
"""Of all parses together: each has a limit of its own, but a node may have hundreds of texts."""
_FIRST: Final = 10_000_000
"""Behind every place in the text of a statement."""
_TOO_DEEP: Final = "The expression is nested too deeply"


class Expressions:
    """Parses the texts of one node. Raises HogQLSyntaxError; positions are those in the text itself.

    Texts with an `attr` stand behind one another: by its place, a mistake that is found later is known to be in one of
    them. Whoever looks for such does so within `placed`.
    """

    def __init__(self) -> None:
        """Begin with the whole budget."""
        self._characters = MAX_CHARACTERS
        self._seconds = MAX_SECONDS
        self._next = _FIRST
        self._starts: list[int] = []
        self._sources: list[Source] = []

    def expr(self, text: str, *, attr: str | None = None) -> ast.Expr:
        """Return an expression; what stands behind `--` is a comment."""
        with self._counted(text, attr):
            return self._behind(parse_expr(text), text, attr)

    def order(self, text: str, *, attr: str | None = None) -> ast.OrderExpr:
        """Return an item of ORDER BY."""
        with self._counted(text, attr):
            return self._behind(parse_order_expr(text), text, attr)

    @contextmanager
    def placed(self) -> Iterator[None]:
        """Tell of the mistakes that the block finds in which text they are, and where in that."""
        try:
            yield
        except HogQLError as error:
            number = bisect_right(self._starts, -1 if error.start is None else error.start) - 1
            if error.source is None and number >= 0:
                begin = self._starts[number]
                error.source = self._sources[number]
                error.start, error.end = (place and place - begin for place in (error.start, error.end))
            raise

    def _behind[T: ast.Node](self, node: T, text: str, attr: str | None) -> T:
        if attr is None:
            return node
        self._starts.append(self._next)
        self._sources.append(Source(text, attr))
        try:
            node = shifted(node, self._next)
        except RecursionError:
            raise HogQLSyntaxError(_TOO_DEEP) from None
        # One more, for what is missing is missed behind the last character.
        self._next += len(text) + 1
        return node

    @contextmanager
    def _counted(self, text: str, attr: str | None) -> Iterator[None]:
        self._characters -= len(text)
        if self._characters < 0:
            message = f"The expressions of a query may have at most {MAX_CHARACTERS} characters together."
            raise HogQLSyntaxError(message)
        if self._seconds < 0:
            raise HogQLSyntaxError("The expressions of the query take too long to parse.")
        began = monotonic()
        try:
            yield
        except HogQLError as error:
            if attr is not None:
                error.source = Source(text, attr)
            raise
        finally:
            self._seconds -= monotonic() - began
