"""A statement under construction: its parameters, the names it has given out, and how far it may still grow."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from events.hogql import ast
from events.hogql.compiler.mistakes import mistake
from events.hogql.compiler.value import Value
from events.hogql.context import Context
from events.hogql.errors import HogQLResolutionError

if TYPE_CHECKING:
    from events.hogql.compiler.scope import Scope

# A level of expressions takes up to five frames of Python's thousand, one of subqueries up to fifteen.
_DEEPEST: Final = 120
_LEVELS_OF_A_QUERY: Final = 4
_MOST_EXPRESSIONS: Final = 20_000
_MOST_QUERIES: Final = 300
_MOST_PARAMETERS: Final = 1_000
# A server reads at most 128 KiB of a form's field, in which a character may take several bytes (`events.client`).
_LONGEST_TEXT: Final = 20_000
_LONGEST_STATEMENT: Final = 1_000_000

type Handler = Callable[[Any, "Scope"], Value]


@dataclass(frozen=True, slots=True)
class Reference:
    """What a node stands for in SQL: a field, or with a `name` one column of a `*`."""

    node: ast.Expr
    sql: str
    name: str | None = None


class Statement:
    """What all scopes of a statement share. `parameters` may be someone else's, whose names are left alone.

    What its fields stand for is kept in `references` where there is a list.
    """

    def __init__(
        self,
        context: Context,
        handlers: Mapping[type[ast.Expr], Handler],
        parameters: dict[str, Any] | None = None,
        *,
        references: list[Reference] | None = None,
    ) -> None:
        """Begin with nothing bound but what is in `parameters`."""
        self.references: Final = references
        self.context: Final = context
        self.handlers: Final = handlers
        self.parameters: Final = {} if parameters is None else parameters
        self.tables: Final[set[str]] = set()
        self._bound: dict[tuple[str, object], str] = {}
        self._names = 0
        self._depth = 0
        self._expressions = 0
        self._queries = 0
        self._bytes = 0

    @property
    def timezone(self) -> str:
        """The SQL of the project's time zone."""
        return self.bind(self.context.timezone, "String")

    def refers(self, node: ast.Expr, value: Value, name: str | None = None) -> Value:
        """Keep what a field stands for, and return it."""
        if self.references is not None:
            self.references.append(Reference(node, value.sql, name))
        return value

    def name(self, letter: str) -> str:
        """Return a name that nothing else of the statement has."""
        self._names += 1
        return f"{letter}{self._names}"

    def bind(self, value: object, kind: str) -> str:
        """Return what stands for a value of one of ClickHouse's types; equal values share a parameter."""
        key = (kind, tuple(value) if isinstance(value, list) else value)
        found = self._bound.get(key)
        if found is None:
            found = self._bound[key] = self._parameter(value, kind)
        return found

    def text(self, value: str) -> str:
        """Return what stands for a text of the caller, however long."""
        if len(value) <= _LONGEST_TEXT:
            return self.bind(value, "String")
        parts = [value[at : at + _LONGEST_TEXT] for at in range(0, len(value), _LONGEST_TEXT)]
        return f"concat({', '.join(self.bind(part, 'String') for part in parts)})"

    def array(self, values: Sequence[Any], item: str) -> str:
        """Return what stands for a list of the caller, however long; `item` is ClickHouse's type of its members."""
        chunks = [self.bind(chunk, f"Array({item})") for chunk in _chunks(values)]
        return chunks[0] if len(chunks) == 1 else f"arrayConcat({', '.join(chunks)})"

    def _parameter(self, value: object, kind: str) -> str:
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                self._measure(text)
        number = len(self._bound) + 1
        if number > _MOST_PARAMETERS:
            raise mistake(None, f"A query can have at most {_MOST_PARAMETERS} different constants")
        while f"p{number}" in self.parameters:
            number += 1
        self.parameters[f"p{number}"] = value
        return f"{{p{number}:{kind}}}"

    def _measure(self, text: str) -> None:
        try:
            self._bytes += len(text.encode())
        except UnicodeEncodeError:
            raise mistake(None, "A text holds half of a surrogate pair, which is no character") from None
        if "\0" in text:
            raise mistake(None, "A text cannot hold the character NUL")
        if self._bytes > _LONGEST_STATEMENT:
            raise mistake(None, f"The constants of a query can have at most {_LONGEST_STATEMENT:,} bytes together")

    def count(self, node: ast.Expr, expressions: int) -> None:
        """Count expressions that a node stands for. Raises HogQLResolutionError for too many."""
        self._expressions += expressions
        if self._expressions > _MOST_EXPRESSIONS:
            raise mistake(node, "The query is too large")

    def compile(self, node: ast.Expr, scope: "Scope") -> Value:
        """Return the value of an expression; errors without a place get its place."""
        self.count(node, 1)
        handler = self.handlers.get(type(node))
        if handler is None:
            raise mistake(node, "This cannot be used here")
        self._depth += 1
        if self._depth > _DEEPEST:
            raise mistake(node, "The query is nested too deeply")
        try:
            return handler(node, scope)
        except HogQLResolutionError as error:
            if error.start is None and node.start is not None:
                raise mistake(node, error.message) from error
            raise
        finally:
            self._depth -= 1

    @contextmanager
    def one_query(self, node: ast.Expr, weight: int = 1) -> Iterator[None]:
        """Count a SELECT, or `weight` of them, and the levels that it lies deeper than what is around it."""
        self._queries += weight
        if self._queries > _MOST_QUERIES:
            raise mistake(node, "The query has too many subqueries")
        self._depth += _LEVELS_OF_A_QUERY
        if self._depth > _DEEPEST:
            raise mistake(node, "The query is nested too deeply")
        try:
            yield
        finally:
            self._depth -= _LEVELS_OF_A_QUERY

    @property
    def queries(self) -> int:
        """How many SELECTs there are so far, each use of a CTE counted with all it holds."""
        return self._queries


def _chunks(values: Sequence[Any]) -> Iterator[list[Any]]:
    chunk: list[Any] = []
    size = 0
    for value in values:
        needed = len(value) + 4 if isinstance(value, str) else 24
        if needed > _LONGEST_TEXT:
            raise mistake(None, f"A text of a list can have at most {_LONGEST_TEXT} characters")
        if chunk and size + needed > _LONGEST_TEXT:
            yield chunk
            chunk, size = [], 0
        chunk.append(value)
        size += needed
    yield chunk
