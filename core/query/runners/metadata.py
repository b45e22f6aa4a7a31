"""HogQLMetadata: whether a text is right, and where it is not; nothing of the project's data is read."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from core.api.errors import ApiError
from core.query.context import hogql_context
from core.query.index_use import index_use
from core.query.reading import BadNode, Fields
from core.query.runners.actors import ActorsRunner
from core.query.runners.base import QueryContext, Runner
from core.query.runners.events import EventsRunner
from core.query.runners.hogql import read_statement
from core.query.runners.nodes import unwrapped
from core.query.statements import person_mode
from events.hogql import ast
from events.hogql.compile import compile_query
from events.hogql.context import Context, PropertyOf
from events.hogql.errors import HogQLBusyError, HogQLError
from events.hogql.parser import MAX_CHARACTERS, parse_expr, parse_template
from events.hogql.tables.registry import TABLES
from events.hogql.walk import descendants, tables_named

LANGUAGES: Final = ("hogQL", "hogQLExpr", "hogTemplate", "hog", "hogJson", "liquid")
MAX_NOTICES: Final = 100
_GROUP: Final = re.compile(r"(?:group|goe)_([0-4])")

type Json = Any


class MetadataRunner(Runner):
    """Parses and compiles a text as it would be for its language."""

    kind = "HogQLMetadata"
    immediate = True

    def __init__(self, node: Mapping[str, Json], context: QueryContext) -> None:
        """Check the members; what is wrong with the text itself is the answer."""
        super().__init__(node, context)
        fields = Fields(node).only(
            "language", "query", "filters", "variables", "values", "sourceQuery", "debug", "globals", "name",
            "connectionId",
        )  # fmt: skip
        language = fields.choice("language", LANGUAGES)
        if language is None:
            raise fields.missing("language")
        self.language: Final = language
        self.text: Final = fields.required_text("query", longest=MAX_CHARACTERS)
        fields.flag("debug")
        for name in ("filters", "variables", "values", "globals"):
            fields.mapping(name)
        self.source: Final = fields.mapping("sourceQuery")

    def run(self) -> dict[str, Json]:
        """Return errors and notices with their places, which count characters of the text, both ends from 0."""
        try:
            answer = self._checked()
        except HogQLBusyError:
            raise
        except HogQLError as error:
            # A mistake in a filter has its place in the filter's own text.
            places = (error.start, error.end) if error.source is None else ()
            return self._answer(errors=[self._notice(error.message, *places)])
        except ApiError as error:
            if isinstance(error, BadNode):
                raise
            return self._answer(errors=[self._notice(error.detail)])
        return answer

    def _checked(self) -> dict[str, Json]:
        match self.language:
            case "hogQL":
                query = self._statement()
                return self._of_query(query, query)
            case "hogQLExpr":
                expr = parse_expr(self.text)
                around = self._around()
                return self._of_query(replace(around, select=(*around.select, expr)), expr)
            case "hogTemplate":
                parse_template(self.text)
                return self._answer()
            case _:
                return self._answer(errors=[self._notice(f"Unsupported language: {self.language}")])

    def _statement(self) -> ast.Query:
        given = {name: self.node[name] for name in ("filters", "variables", "values") if name in self.node}
        return read_statement({"kind": "HogQLQuery", "query": self.text, **given}, self.context).query

    def _around(self) -> ast.SelectQuery:
        """Return the statement that the expression is a part of: that of `sourceQuery`, else one over events."""
        events = ast.SelectQuery(select=(), select_from=ast.JoinExpr(table=ast.Field(chain=("events",))))
        if self.source is None:
            return events
        source = unwrapped(self.source)
        found: ast.Query | None = None
        try:
            match source.get("kind"):
                case "HogQLQuery":
                    found = read_statement(source, self.context, path=("query", "sourceQuery")).query
                case "EventsQuery":
                    found = EventsRunner(source, self.context).query()
                case "ActorsQuery":
                    # Without the actors of a data point: nothing is asked here.
                    found = ActorsRunner(source, self.context).query()
            if not isinstance(found, ast.SelectQuery):
                return events
            compile_query(found, hogql_context(self.context.project, found))
        except HogQLBusyError:
            raise
        except HogQLError as error:
            # Its places are in another text.
            raise HogQLError(error.message) from error
        return found

    def _of_query(self, query: ast.Query, written: ast.Node) -> dict[str, Json]:
        """Compile a statement of which `written` is what the caller's text says."""
        about = hogql_context(self.context.project, query, person_mode=person_mode(self.node))
        compiled = compile_query(query, about)
        names = tables_named(query)
        return self._answer(
            notices=[self._notice(*one) for one in _typed_properties(written, names, about)][:MAX_NOTICES],
            tables=names,
            clickhouse=sorted({TABLES[name].clickhouse for name in compiled.tables if name in TABLES}),
            index_use=index_use(compiled, self.context),
        )

    def _notice(self, message: str, start: int | None = None, end: int | None = None) -> dict[str, Json]:
        length = len(self.text)
        if start is not None and end is not None and end < start:
            start, end = end, start
        return {
            "message": message,
            "start": None if start is None else min(start, length),
            "end": None if end is None else min(end, length),
            "fix": None,
        }

    def _answer(
        self,
        *,
        errors: list[dict[str, Json]] | None = None,
        notices: list[dict[str, Json]] | None = None,
        tables: list[str] | None = None,
        clickhouse: list[str] | None = None,
        index_use: str | None = None,
    ) -> dict[str, Json]:
        return {
            "query": self.text,
            "isValid": not errors,
            "errors": errors or [],
            "warnings": [],
            "notices": notices or [],
            "table_names": tables,
            "ch_table_names": clickhouse,
            "isUsingIndices": index_use,
        }


def _typed_properties(
    written: ast.Node, tables: Sequence[str], context: Context
) -> list[tuple[str, int | None, int | None]]:
    """Return a notice for each property whose definition gives it a type."""
    persons_only = set(tables) <= {"persons", "raw_persons"}
    found: list[tuple[str, int | None, int | None]] = []
    for node in descendants(written):
        if not isinstance(node, ast.Field) or "properties" not in node.chain[:-1] or node.start is None:
            continue
        place = node.chain.index("properties")
        key, owner = node.chain[place + 1], _owner(node.chain[:place], persons_only=persons_only)
        kind = context.property_types.get((owner, key)) if isinstance(key, str) else None
        if kind is not None:
            whose = owner.rstrip("_01234").capitalize()
            found.append((f"{whose} property '{key}' is of type '{kind}'.", node.start, node.end))
    return found


def _owner(before: tuple[str | int, ...], *, persons_only: bool) -> PropertyOf:
    for name in before:
        group = _GROUP.fullmatch(str(name))
        if group is not None:
            return f"group_{group[1]}"  # type: ignore[return-value]  # 0 to 4
    return "person" if persons_only or {"person", "persons", "poe"} & set(before) else "event"
