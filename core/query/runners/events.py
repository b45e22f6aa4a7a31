"""EventsQuery: a table of events, or of groups of them, by HogQL expressions and filters (query.md B8)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal
from uuid import UUID

import orjson

from core.api.params import MAX_INTEGER_ID
from core.persons.queries import person_row
from core.query.aggregates import aggregates, bare, conditions_split, conjunction
from core.query.display_names import DISPLAY_NAME, name_expr, name_keys, name_order
from core.query.expressions import Expressions
from core.query.filters import ALL_TIME, DEFAULT_AFTER, FUTURE, FilterReader, compared
from core.query.people import People
from core.query.reading import BadNode, Fields
from core.query.runners.base import QueryContext, Runner
from core.query.statements import answered
from events.hogql import ast
from events.hogql.context import DEFAULT_LIMIT

STAR: Final = (
    "uuid", "event", "properties", "timestamp", "team_id", "distinct_id", "elements_chain", "created_at", "person_mode",
)  # fmt: skip
"""The members of an event that `*` stands for; its person comes beside them."""
_MAX_NAME: Final = 400

type Json = Any
type Column = Literal["star", "person", "name", "expression"]


@dataclass(frozen=True, slots=True)
class Selected:
    """One column: what it is, and the expression that is asked for."""

    column: Column
    expr: ast.Expr


class EventsRunner(Runner):
    """Reads and answers an EventsQuery."""

    kind = "EventsQuery"

    def __init__(self, node: Mapping[str, Json], context: QueryContext) -> None:
        """Check all members; expressions are parsed, actions and persons looked up."""
        super().__init__(node, context)
        fields = Fields(node).only(
            "select", "where", "orderBy", "properties", "fixedProperties", "event", "events", "actionId", "personId",
            "after", "before", "limit", "offset", "filterTestAccounts", "source", "name",
        )  # fmt: skip
        fields.text("name", longest=128)
        if fields.mapping("source") is not None:
            raise BadNode("Events of other queries cannot be listed", (*fields.path, "source"))
        texts = fields.texts("select")
        if texts is None:
            raise fields.missing("select")
        self.columns: Final = texts or ["*"]
        # None and 0 are the default: a page without rows would never come to an end.
        self.limit: Final = min(fields.integer("limit") or DEFAULT_LIMIT, context.max_rows)
        self.offset: Final = fields.integer("offset") or 0
        self._expressions = Expressions()
        select = fields.attr("select")
        self._selected = [self._column(text, f"{select}__{number}") for number, text in enumerate(self.columns)]
        self._reader = self._dates(fields)
        self._conditions = self._filters(fields)
        self._order = self._order_by(fields.texts("orderBy"), fields.attr("orderBy"))

    def query(self) -> ast.SelectQuery:
        """Return the statement, with one row more than asked for: it tells whether there are more."""
        select = tuple(one.expr for one in self._selected)
        conditions = conditions_split(self._conditions)
        grouped = any(map(aggregates, select))
        return ast.SelectQuery(
            select=select,
            select_from=ast.JoinExpr(table=ast.Field(chain=("events",))),
            where=conjunction(conditions.where),
            having=conjunction(conditions.having),
            group_by=tuple(bare(one) for one in select if not aggregates(one)) if grouped else (),
            order_by=tuple(self._order),
            limit=ast.Constant(value=self.limit + 1),
            offset=ast.Constant(value=self.offset) if self.offset else None,
        )

    def run(self) -> dict[str, Json]:
        """Return the rows of one page."""
        query = self.query()
        shown = replace(query, limit=ast.Constant(value=self.limit))
        with self._expressions.placed():
            found = answered(query, self.node, self.context, shown=shown)
        rows = found.rows[: self.limit]
        return {
            "results": self._filled(rows),
            "columns": self.columns,
            "types": [
                "String" if one.column == "person" else kind
                for one, kind in zip(self._selected, found.types, strict=True)
            ],
            "hogql": found.hogql,
            "clickhouse": found.clickhouse,
            "hasMore": len(found.rows) > self.limit,
            "limit": self.limit,
            "offset": self.offset,
        }

    def _column(self, text: str, attr: str) -> Selected:
        name = text.partition("--")[0].strip()
        if name == "*":
            members = [ast.Field(chain=(member,)) for member in STAR]
            return Selected("star", _tuple(*members, _person_id()))
        if name == "person":
            return Selected("person", _tuple(ast.Field(chain=("distinct_id",)), _person_id()))
        if name == DISPLAY_NAME:
            return Selected("name", self._display_name())
        return Selected("expression", self._expressions.expr(text, attr=attr))

    def _display_name(self) -> ast.Expr:
        """Return (name, person, distinct id): the name is the first display property that the person has."""
        distinct_id = ast.Field(chain=("distinct_id",))
        name = name_expr(name_keys(self.context.team), properties=("person", "properties"), otherwise=distinct_id)
        return _tuple(name, _person_id(), distinct_id)

    def _dates(self, fields: Fields) -> FilterReader:
        after, before = fields.text("after"), fields.text("before")
        reader = FilterReader(self.context.project, self.context.now)
        until = reader.moment(before, attr=fields.attr("before")) if before else self.context.now + FUTURE
        since = None
        if after != ALL_TIME:
            since = reader.moment(after or DEFAULT_AFTER, attr=fields.attr("after"))
        return FilterReader(self.context.project, self.context.now, since, until, self._expressions)

    def _filters(self, fields: Fields) -> list[ast.Expr]:
        reader = self._reader
        texts = enumerate(fields.texts("where") or [])
        found = [self._expressions.expr(text, attr=f"{fields.attr('where')}__{number}") for number, text in texts]
        for name in ("properties", "fixedProperties"):
            condition = reader.properties(fields.filters(name), attr=fields.attr(name))
            found += [condition] if condition is not None else []
        found += self._named(fields)
        if fields.flag("filterTestAccounts"):
            condition = reader.test_accounts(attr=fields.attr("filterTestAccounts"))
            found += [condition] if condition is not None else []
        if reader.until is not None:
            found.append(compared("<", ("timestamp",), reader.until))
        if reader.since is not None:
            found.append(compared(">", ("timestamp",), reader.since))
        return found

    def _named(self, fields: Fields) -> list[ast.Expr]:
        """Return the conditions on names of events, an action and a person."""
        found = []
        names = [name for name in (fields.text("event"), *(fields.texts("events") or [])) if name]
        if len(names) == 1:
            found.append(compared("==", ("event",), names[0]))
        elif names:
            listed = ast.Tuple(exprs=tuple(ast.Constant(value=name) for name in dict.fromkeys(names)))
            found.append(ast.CompareOperation(op="in", left=ast.Field(chain=("event",)), right=listed))
        action = fields.integer("actionId", most=MAX_INTEGER_ID)
        if action is not None:
            found.append(self._reader.action(action, attr=fields.attr("actionId")))
        person = fields.values.get("personId")
        if person is not None:
            found.append(self._of_person(_person_key(person, fields)))
        return found

    def _of_person(self, key: int | UUID) -> ast.Expr:
        row = person_row(team_id=self.context.team.id, key=key)
        if row is None:
            return ast.Constant(value=False)
        return self._reader.events_of(person_id=row[0], uuid=UUID(row[1]))

    def _order_by(self, texts: Sequence[str] | None, attr: str) -> list[ast.OrderExpr]:
        if texts is not None:
            return [self._ordered(text, f"{attr}__{number}") for number, text in enumerate(texts)]
        select = [one.expr for one in self._selected]
        grouped = [one for one in select if aggregates(one)]
        if grouped:
            others = [ast.OrderExpr(expr=bare(one)) for one in select if not aggregates(one)]
            return [ast.OrderExpr(expr=bare(grouped[0]), order="DESC"), *others]
        last = ast.OrderExpr(expr=ast.Field(chain=("uuid",)))
        if any(one.column == "star" or bare(one.expr) == ast.Field(chain=("timestamp",)) for one in self._selected):
            return [ast.OrderExpr(expr=ast.Field(chain=("timestamp",)), order="DESC"), last]
        return [ast.OrderExpr(expr=bare(select[0])), last]

    def _ordered(self, text: str, attr: str) -> ast.OrderExpr:
        direction = name_order(text)
        if direction is None:
            return self._expressions.order(text, attr=attr)
        return ast.OrderExpr(expr=self._display_name(), order=direction)

    def _filled(self, rows: Sequence[Sequence[Json]]) -> list[list[Json]]:
        """Return the rows with objects in the place of tuples."""
        people = [
            number for number, one in enumerate(self._selected) if one.column in {"star", "person"}
        ]  # fmt: skip
        if not people:
            return [list(row) for row in rows]
        found = People(team_id=self.context.team.id, uuids=(row[number][-1] for row in rows for number in people))
        filled = []
        for row in rows:
            cells = list(row)
            for number in people:
                of_event = found.of_event(cells[number][-1], _distinct_id(self._selected[number], cells[number]))
                cells[number] = _star(cells[number], of_event) if self._selected[number].column == "star" else of_event
            filled.append(cells)
        return filled


def _distinct_id(selected: Selected, cell: Sequence[Json]) -> str:
    return str(cell[STAR.index("distinct_id")] if selected.column == "star" else cell[0])


def _star(cell: Sequence[Json], person: Mapping[str, Json]) -> dict[str, Json]:
    event = dict(zip(STAR, cell, strict=False))
    event["properties"] = orjson.Fragment(event["properties"] or "{}")
    return {**event, "person": person}


def _person_id() -> ast.Expr:
    return _call("toString", ast.Field(chain=("person_id",)))


def _call(name: str, *args: ast.Expr) -> ast.Call:
    return ast.Call(name=name, args=args)


def _tuple(*members: ast.Expr) -> ast.Expr:
    return ast.Tuple(exprs=members)


def _person_key(value: Json, fields: Fields) -> int | UUID:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_INTEGER_ID:
        return value
    text = fields.required_text("personId", longest=_MAX_NAME)
    if text.isascii() and text.isdigit() and int(text) <= MAX_INTEGER_ID:
        return int(text)
    try:
        return UUID(text)
    except ValueError:
        raise BadNode("Input should be the UUID or the id of a person", (*fields.path, "personId")) from None
