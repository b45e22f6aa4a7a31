"""HogQLQuery: a statement in HogQL, with its placeholders, variables and filters filled in (query.md B5, B7)."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

from core.query.reading import BadNode, Fields
from core.query.runners.base import QueryContext, Runner
from core.query.runners.unions import marked
from core.query.statement_filters import statement_filters
from core.query.statements import Answered, answered, ask, compiled_for, person_mode
from events.hogql import ast
from events.hogql.context import DEFAULT_LIMIT
from events.hogql.errors import HogQLError
from events.hogql.parser import MAX_CHARACTERS, parse_select
from events.hogql.substitution import limited, substitute
from events.hogql.walk import action_names, cohort_names, descendants

_NAMED: Final = 1_000
"""The most names of events and properties that an answer tells of its query."""

type Json = Any


@dataclass(frozen=True, slots=True)
class Statement:
    """The statement of a HogQLQuery as it was sent, and with everything filled in but limits."""

    text: str
    query: ast.Query


def read_statement(node: Mapping[str, Json], context: QueryContext, *, path: Sequence[str] = ("query",)) -> Statement:
    """Read a HogQLQuery node; `path` is where it stands in the body. Raises BadNode, Invalid and HogQLError."""
    fields = Fields(node, tuple(path)).only(
        "query", "values", "variables", "filters", "name", "explain", "connectionId", "sendRawQuery"
    )
    fields.text("name")
    person_mode(node)
    if fields.text("connectionId") or fields.flag("sendRawQuery"):
        raise BadNode("Other databases cannot be asked here", (*path, "connectionId"))
    text = fields.required_text("query", longest=MAX_CHARACTERS)
    with context.record.timed("parse"):
        parsed = parse_select(text)
    variables = fields.mapping("variables") or {}
    for name in variables:
        if not isinstance(variables[name], Mapping):
            raise BadNode("Input should be an object", (*path, "variables", str(name)[:100]))
    filters = statement_filters(fields, context)
    with context.record.timed("substitute"):
        query = substitute(parsed, values=fields.mapping("values") or {}, variables=variables, filters=filters)
    return Statement(text, query)


@dataclass(frozen=True, slots=True)
class Cut:
    """What limits cut: which SELECTs of a UNION, None where nobody can know, and whether no more rows are possible."""

    selects: frozenset[int] | None = None
    whole: bool = False

    @property
    def has_more(self) -> bool | None:
        """Tell whether there are more rows; None where nobody can know."""
        return True if self.whole else None if self.selects is None else bool(self.selects)


class HogQLRunner(Runner):
    """Reads and answers a HogQLQuery."""

    kind = "HogQLQuery"

    def __init__(self, node: Mapping[str, Json], context: QueryContext) -> None:
        """Parse the statement and fill it in."""
        super().__init__(node, context)
        self.statement: Final = read_statement(node, context)
        self.explain: Final = Fields(node).flag("explain")
        self.limited: Final = limited(self.statement.query, default=DEFAULT_LIMIT, maximum=context.max_rows)

    def run(self) -> dict[str, Json]:
        """Return the rows, one more having been asked for: it tells whether there are more."""
        shown = self.limited
        found, rows, cut = self._rows()
        return {
            "results": rows,
            "columns": list(found.columns),
            "types": [list(pair) for pair in zip(found.columns, found.types, strict=True)],
            "query": self.statement.text,
            "hogql": found.hogql,
            "clickhouse": found.clickhouse,
            "error": None,
            "explain": self._plan(one_more(shown.query)) if self.explain else None,
            "metadata": None,
            "warnings": self._warnings(rows=len(rows), cut=cut),
            "hasMore": cut.has_more,
            "limit": shown.limit,
            "offset": shown.offset,
            "modifiers": {"personsOnEventsMode": person_mode(self.node), "inCohortVia": "auto"},
            "query_metadata": _metadata(self.statement.query),
        }

    def _rows(self) -> tuple[Answered, Sequence[Sequence[Json]], Cut]:
        """Return the answer, its rows within the limits, and what had more."""
        shown, context = self.limited, self.context
        union = marked(shown.query, most=context.max_rows)
        if union is not None:
            # The marks make a statement deeper: one that is as deep as can be is asked without them.
            with suppress(HogQLError):
                found = answered(union.query, self.node, context, shown=shown.query, more_rows=len(union.limits))
                rows, cut = union.cut(found.rows)
                return replace(found, columns=found.columns[:-1], types=found.types[:-1]), rows, Cut(cut)
        most = context.max_rows
        if isinstance(shown.query, ast.SelectSetQuery) and shown.query.limit is None:
            bounded = replace(shown.query, limit=ast.Constant(most + 1))
            found = answered(bounded, self.node, context, shown=shown.query)
            return found, found.rows[:most], Cut(whole=len(found.rows) > most)
        query = one_more(shown.query)
        found = answered(query, self.node, context, shown=shown.query)
        if query is shown.query or shown.limit is None:
            return found, found.rows, Cut()
        more = len(found.rows) > shown.limit
        return found, found.rows[: shown.limit], Cut(frozenset({0} if more else ()), whole=more and shown.limit == most)

    def _warnings(self, *, rows: int, cut: Cut) -> list[dict[str, Json]] | None:
        """Say that a limit which nobody asked for cut the result, or may have cut an arm of a UNION."""
        shown, asked = self.limited, self.statement.query
        if cut.whole:
            message = (
                f"Only the first {self.context.max_rows} rows are shown: a query has no more. Page with LIMIT and"
                " OFFSET to see the rest."
            )
        elif not shown.defaulted:
            return None
        elif isinstance(asked, ast.SelectSetQuery) and shown.limit is None:
            known = cut.selects is not None
            is_cut = any(asked.queries[one].limit is None for one in cut.selects or ()) or (
                not known and rows >= DEFAULT_LIMIT
            )
            if not is_cut:
                return None
            message = (
                f"Each SELECT without a LIMIT gives {DEFAULT_LIMIT} rows at most, so some"
                f" {'are' if known else 'may be'} missing. Add a LIMIT to each, or one to the whole in"
                " parentheses."
            )
        elif cut.has_more:
            message = (
                f"Only the first {DEFAULT_LIMIT} rows are shown, because the query has no LIMIT. Add one to see more."
            )
        else:
            return None
        return [{"message": message, "start": None, "end": None, "fix": None}]

    def _plan(self, query: ast.Query) -> list[str]:
        compiled = compiled_for(query, self.node, self.context)
        return [str(row[0]) for row in ask(compiled, self.context, explain=True).rows]


def one_more(query: ast.Query) -> ast.Query:
    """Return a query with its limit raised by one; the very same one where that would change its meaning."""
    limit = query.limit
    if query.limit_with_ties or not isinstance(limit, ast.Constant) or not isinstance(limit.value, int):
        return query
    return replace(query, limit=ast.Constant(limit.value + 1))


def _metadata(query: ast.Query) -> dict[str, Json]:
    """Return which events, properties and cohorts a statement names."""
    events: dict[str, None] = {}
    properties: set[str] = set()
    for node in descendants(query):
        if isinstance(node, ast.Field):
            properties.update(str(key) for of, key in pairwise(node.chain) if of == "properties")
        if isinstance(node, ast.CompareOperation) and node.op in {"==", "in", "!=", "not in"}:
            for side, other in ((node.left, node.right), (node.right, node.left)):
                if isinstance(side, ast.Field) and side.chain[-1] == "event":
                    events.update(dict.fromkeys(_texts(other)))
    return {
        "events": list(events)[:_NAMED],
        "properties": sorted(properties)[:_NAMED],
        "cohorts": sorted(cohort_names(query), key=str)[:_NAMED],
        "actions": sorted(action_names(query), key=str)[:_NAMED],
    }


def _texts(node: ast.Expr) -> list[str]:
    members = node.exprs if isinstance(node, ast.Tuple | ast.Array) else (node,)
    return [one.value for one in members if isinstance(one, ast.Constant) and isinstance(one.value, str)]
