"""ActorsQuery: persons or groups by HogQL expressions, alone or as those of another query (query.md B9)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal
from uuid import UUID

from core.insights.people import groups_of, people_of
from core.query.actor_sources import APPEARANCES, VALUES, HogQLSource, InsightSource, read_source, rows_query
from core.query.aggregates import aggregates, bare, conditions_split, conjunction
from core.query.display_names import DISPLAY_NAME, name_expr, name_keys, name_order, names_of
from core.query.expressions import Expressions
from core.query.filters import FilterReader
from core.query.reading import Fields
from core.query.runners.base import QueryContext, Runner
from core.query.statements import answered
from events.hogql import ast
from events.hogql.context import DEFAULT_LIMIT
from events.insights.rows import ActorRow

PERSON_COLUMNS: Final = ("person", "id", "created_at", "person.$delete")
GROUP_COLUMNS: Final = ("group",)
DELETE: Final = "person.$delete"
"""A column of ones: clients put a button there."""
_SOURCE: Final = "source"
# How retention lists its actors, and what clients ask for.
_AS_LISTED: Final = (
    ast.OrderExpr(expr=ast.Call(name="length", args=(ast.Field(chain=("appearances",)),)), order="DESC"),
    ast.OrderExpr(expr=ast.Field(chain=("actor_id",))),
)
_WILD: Final = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})
_MAX_SEARCH: Final = 400
_OF_PERSONS: Final[Mapping[str, "Column"]] = {
    "actor": "actor", "person": "actor", DISPLAY_NAME: "name", DELETE: "delete",
}  # fmt: skip
_OF_GROUPS: Final[Mapping[str, "Column"]] = {"actor": "actor", "group": "actor", DELETE: "delete"}
_WITH_SOURCE: Final[Mapping[str, "Column"]] = {
    "id": "id", "created_at": "created_at", "matched_recordings": "recordings",
}  # fmt: skip
_LISTED_TYPES: Final[Mapping[str, str]] = {
    "actor": "String", "id": "String", "created_at": "Nullable(DateTime64(6, 'UTC'))", "recordings": "Array(String)",
    "value": "Nullable(Float64)", "delete": "UInt8", "appearances": "Array(UInt8)", "appeared": "Int64",
    "name": "Tuple(String, String)",
}  # fmt: skip

type Json = Any
type Column = Literal[
    "actor", "name", "id", "created_at", "recordings", "value", "delete", "appearances", "appeared", "expression"
]


class ActorsRunner(Runner):
    """Reads and answers an ActorsQuery."""

    kind = "ActorsQuery"

    def __init__(self, node: Mapping[str, Json], context: QueryContext) -> None:
        """Check all members; expressions and the source are parsed."""
        super().__init__(node, context)
        fields = Fields(node).only(
            "select", "search", "properties", "fixedProperties", "orderBy", "limit", "offset", "source", "name"
        )
        fields.text("name", longest=128)
        # None and 0 are the default: a page without rows would never come to an end.
        self.limit: Final = min(fields.integer("limit") or DEFAULT_LIMIT, context.max_rows)
        self.offset: Final = fields.integer("offset") or 0
        texts = fields.texts("select") or []
        self.source: Final = read_source(fields, context, recordings="matched_recordings" in texts)
        self.group: Final = self.source.group_type_index if self.source is not None else None
        self.table: Final = "persons" if self.group is None else "groups"
        self.columns: Final = texts or [*(PERSON_COLUMNS if self.group is None else GROUP_COLUMNS)]
        self._periods: Final = self.source.periods if isinstance(self.source, InsightSource) else ()
        self._expressions = Expressions()
        self._kinds = [self._kind(text) for text in self.columns]
        select = fields.attr("select")
        self._select = [
            self._column(text, kind, f"{select}__{number}")
            for number, (text, kind) in enumerate(zip(self.columns, self._kinds, strict=True))
        ]
        self._conditions = self._filters(fields)
        order = fields.texts("orderBy")
        self._order = self._order_by(order, fields.attr("orderBy"))
        as_listed = order is None or (bool(self._periods) and tuple(self._order) == _AS_LISTED)
        self._is_list = as_listed and not self._conditions and "expression" not in self._kinds

    def query(self, source: ast.Query | None = None) -> ast.SelectQuery:
        """Return the statement, with one row more than asked for: it tells whether there are more.

        `source` has the actors of a data point, for those who run it.
        """
        # The rows of groups are narrowed down where they are read, below.
        conditions = conditions_split(self._conditions if self.group is None else ())
        grouped = any(map(aggregates, self._select))
        others = [bare(one) for one in self._select if not aggregates(one) and not isinstance(one, ast.Constant)]
        return ast.SelectQuery(
            select=tuple(self._select),
            select_from=self._from(source),
            where=conjunction(conditions.where),
            having=conjunction(conditions.having),
            group_by=tuple(others) if grouped else (),
            order_by=tuple(self._order),
            limit=ast.Constant(value=self.limit + 1),
            offset=ast.Constant(value=self.offset) if self.offset else None,
        )

    def run(self) -> dict[str, Json]:
        """Return the rows of one page."""
        if not isinstance(self.source, InsightSource):
            return self._answered(self.query(), ())
        if self._is_list:
            return self._listed(self.source)
        rows = self.source.all(self.context)
        return self._answered(self.query(rows_query(rows, self._periods)), rows)

    def _answered(self, query: ast.SelectQuery, actors: Sequence[ActorRow]) -> dict[str, Json]:
        shown = replace(query, limit=ast.Constant(value=self.limit))
        with self._expressions.placed():
            found = answered(query, self.node, self.context, shown=shown)
        rows = found.rows[: self.limit]
        place = next((number for number, kind in enumerate(self._kinds) if kind in {"actor", "id", "name"}), None)
        ids = None if place is None else [_id_in(row[place]) for row in rows]
        filled, missing = self._filled(rows, ids, actors)
        page = self._page(filled, missing, types=found.types, more=len(found.rows) > self.limit)
        return {**page, "hogql": found.hogql, "clickhouse": found.clickhouse}

    def _listed(self, source: InsightSource) -> dict[str, Json]:
        """Return a page of the actors of a data point, which needs nothing but the insight."""
        found = source.page(self.context, limit=self.limit + 1, offset=self.offset)
        actors = found[: self.limit]
        names = self._names({row.actor for row in actors}) if "name" in self._kinds else {}
        cells = [self._cell(text, kind, names) for text, kind in zip(self.columns, self._kinds, strict=True)]
        rows = [[cell(row) for cell in cells] for row in actors]
        filled, missing = self._filled(rows, [row.actor for row in actors], actors)
        types = [_LISTED_TYPES[kind] for kind in self._kinds]
        return self._page(filled, missing, types=types, more=len(found) > self.limit)

    def _cell(self, text: str, kind: Column, names: Mapping[str, str]) -> Callable[[ActorRow], Json]:
        """Return what fills a column from a row of the insight; `names` of persons by their UUIDs."""
        match kind:
            case "name":
                return lambda row: (names.get(row.actor, row.actor), row.actor)
            case "delete":
                return lambda _: 1
            case "value":
                return lambda row: _number(row.value)
            case "appearances":
                return lambda row: list(row.appearances)
            case "appeared":
                period = self._periods.index(_name(text))
                return lambda row: int(period in row.appearances)
            case _:
                return lambda row: row.actor

    def _page(
        self, rows: list[list[Json]], missing: int | None, *, types: Sequence[str], more: bool
    ) -> dict[str, Json]:
        return {
            "results": rows,
            "columns": self.columns,
            "types": list(types),
            "hogql": None,
            "clickhouse": None,
            "missing_actors_count": missing,
            "hasMore": more,
            "limit": self.limit,
            "offset": self.offset,
        }

    def _kind(self, text: str) -> Column:
        name = _name(text)
        own = (_OF_PERSONS if self.group is None else _OF_GROUPS).get(name)
        if own is not None:
            return own
        if isinstance(self.source, InsightSource) and name in VALUES:
            return "value"
        if self._periods and name in APPEARANCES:
            return "appearances"
        if name in self._periods:
            return "appeared"
        return _WITH_SOURCE.get(name, "expression") if self.source is not None else "expression"

    def _column(self, text: str, kind: Column, attr: str) -> ast.Expr:
        match kind:
            case "actor" | "id":
                return _text(self._id())
            case "name":
                return self._display_name()
            case "created_at":
                return ast.Field(chain=(self.table, "created_at"))
            case "recordings":
                return ast.Array(exprs=())
            case "delete":
                return ast.Constant(value=1)
            case _:
                return self._expressions.expr(text, attr=attr)

    def _display_name(self) -> ast.Expr:
        """Return (name, id) of a person."""
        key = _text(self._id())
        name = name_expr(name_keys(self.context.team), properties=(self.table, "properties"), otherwise=key)
        return ast.Tuple(exprs=(name, key))

    def _id(self) -> ast.Expr:
        """Return the actor's id: that of the source, where it may be unknown to us, else of the actor."""
        if self.source is not None:
            return ast.Field(chain=(_SOURCE, *self.source.id_chain))
        return ast.Field(chain=("id",))

    def _own_id(self) -> ast.Expr:
        return ast.Field(chain=(self.table, "id" if self.group is None else "key"))

    def _from(self, source: ast.Query | None) -> ast.JoinExpr:
        query = self.source.query if isinstance(self.source, HogQLSource) else source
        if query is None:
            return ast.JoinExpr(table=ast.Field(chain=(self.table,)))
        same = ast.CompareOperation(op="==", left=_text(self._own_id()), right=_text(self._id()))
        # Filters are about what is known of actors; without any, those that are not known any more are told too.
        return ast.JoinExpr(
            table=query,
            alias=_SOURCE,
            next_join=ast.JoinExpr(
                table=self._actors(),
                alias=self.table,
                join_type="INNER JOIN" if self._conditions else "LEFT JOIN",
                constraint=ast.JoinConstraint(expr=same, constraint_type="ON"),
            ),
        )

    def _actors(self) -> ast.Expr:
        """Return the table of actors, of groups those of one type."""
        if self.group is None:
            return ast.Field(chain=(self.table,))
        of_type = ast.CompareOperation(op="==", left=ast.Field(chain=("index",)), right=ast.Constant(value=self.group))
        return ast.SelectQuery(
            select=(ast.Field(chain=("*",)),),
            select_from=ast.JoinExpr(table=ast.Field(chain=(self.table,))),
            where=conjunction([of_type, *self._conditions]),
        )

    def _filters(self, fields: Fields) -> list[ast.Expr]:
        reader = FilterReader(self.context.project, self.context.now, expressions=self._expressions)
        scope: Literal["person", "group"] = "person" if self.group is None else "group"
        read = [
            reader.properties(fields.filters(name), attr=fields.attr(name), scope=scope)
            for name in ("properties", "fixedProperties")
        ]
        found = [one for one in read if one is not None]
        search = fields.text("search", longest=_MAX_SEARCH)
        return [*found, *([self._search(search)] if search else [])]

    def _search(self, text: str) -> ast.Expr:
        """Return the condition that the names or ids of an actor hold a text."""
        like = ast.Constant(value=f"%{text.translate(_WILD)}%")
        if self.group is not None:
            return ast.Or(exprs=(_ilike(self._property("name"), like), _ilike(self._own_id(), like)))
        ids = ast.SelectQuery(
            select=(ast.Field(chain=("person_id",)),),
            select_from=ast.JoinExpr(table=ast.Field(chain=("person_distinct_ids",))),
            where=ast.CompareOperation(op="ilike", left=ast.Field(chain=("distinct_id",)), right=like),
        )
        return ast.Or(
            exprs=(
                _ilike(self._property("email"), like),
                _ilike(self._property("name"), like),
                _ilike(_text(self._own_id()), like),
                ast.CompareOperation(op="in", left=self._own_id(), right=ids),
            )
        )

    def _property(self, key: str) -> ast.Expr:
        return _text(ast.Field(chain=(self.table, "properties", key)))

    def _order_by(self, texts: Sequence[str] | None, attr: str) -> list[ast.OrderExpr]:
        if texts is not None:
            return [self._ordered(text, f"{attr}__{number}") for number, text in enumerate(texts)]
        grouped = [one for one in self._select if aggregates(one)]
        if grouped:
            counted = [one for one in grouped if bare(one) == ast.Call(name="count", args=())]
            others = [one for one in self._select if not aggregates(one) and not isinstance(one, ast.Constant)]
            first = ast.OrderExpr(expr=bare((counted or grouped)[0]), order="DESC")
            return [first, *(ast.OrderExpr(expr=bare(one)) for one in others)]
        last = ast.OrderExpr(expr=_text(self._id() if self.source is not None else self._own_id()))
        for text, one in zip(self.columns, self._select, strict=True):
            if text.strip() == "created_at":
                return [ast.OrderExpr(expr=one, order="DESC"), last]
        first = ast.OrderExpr(expr=bare(self._select[0]))
        return [last] if first == last or isinstance(first.expr, ast.Constant) else [first, last]

    def _ordered(self, text: str, attr: str) -> ast.OrderExpr:
        """Return an item of ORDER BY; the actor itself is ordered by its name."""
        by_name = name_order(text) if self.group is None else None
        if by_name is not None:
            return ast.OrderExpr(expr=self._display_name(), order=by_name)
        words = text.split()
        if words and words[0] == ("person" if self.group is None else "group") and len(words) <= 2:  # noqa: PLR2004
            names = self.context.team.person_display_name_properties if self.group is None else ("name",)
            direction = words[1].upper() if len(words) > 1 else "ASC"
            key = names[0] if names else "email"
            if direction in {"ASC", "DESC"}:
                return ast.OrderExpr(expr=self._property(key), order="DESC" if direction == "DESC" else "ASC")
        return self._expressions.order(text, attr=attr)

    def _filled(
        self, rows: Sequence[Sequence[Json]], ids: Sequence[str] | None, actors: Sequence[ActorRow]
    ) -> tuple[list[list[Json]], int | None]:
        """Return the rows with what is known of their actors, and how many have an actor that is not stored.

        `ids` say whose each row is; None where the query does not.
        """
        kinds = set(self._kinds)
        rows = self._named(rows) if "name" in kinds else rows
        if ids is None or not kinds & {"actor", "created_at", "recordings"}:
            return [list(row) for row in rows], None
        found = self._fetched(set(ids))
        recordings = self._recordings(set(ids), actors) if "recordings" in kinds else {}
        filled = []
        for actor_id, row in zip(ids, rows, strict=True):
            actor = found.get(actor_id)
            known = {
                "actor": {"id": actor_id or None} if actor is None else actor,
                "created_at": None if actor is None else actor["created_at"],
                "recordings": recordings.get(actor_id, []),
            }
            filled.append([known.get(kind, cell) for kind, cell in zip(self._kinds, row, strict=True)])
        return filled, sum(one not in found for one in ids)

    def _named(self, rows: Sequence[Sequence[Json]]) -> list[list[Json]]:
        """Return the rows with objects in the place of names and ids."""
        return [
            [
                {"id": cell[1], "display_name": cell[0]} if kind == "name" else cell
                for kind, cell in zip(self._kinds, row, strict=True)
            ]
            for row in rows
        ]

    def _names(self, ids: set[str]) -> Mapping[str, str]:
        team = self.context.team
        return names_of(team_id=team.id, uuids=sorted(filter(_is_uuid, ids)), keys=name_keys(team))

    def _recordings(self, ids: set[str], actors: Sequence[ActorRow]) -> Mapping[str, list[dict[str, Json]]]:
        if not isinstance(self.source, InsightSource):
            return {}
        return self.source.matched([row for row in actors if row.actor in ids], self.context)

    def _fetched(self, ids: set[str]) -> Mapping[str, Mapping[str, Json]]:
        team = self.context.team
        if self.group is not None:
            return groups_of(team_id=team.id, group_type_index=self.group, actors=sorted(ids))
        names = team.person_display_name_properties
        return people_of(team_id=team.id, actors=sorted(filter(_is_uuid, ids)), display_properties=names)


def _name(text: str) -> str:
    """Return a column without the comment behind it."""
    return text.partition("--")[0].strip()


def _id_in(cell: Json) -> str:
    """Return the actor's id, which stands behind its name where both are in the cell; empty where there is none."""
    found = cell[1] if isinstance(cell, list) else cell
    return "" if found is None else str(found)


def _number(value: float | None) -> float | int | None:
    return int(value) if value is not None and value == int(value) else value


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _text(expr: ast.Expr) -> ast.Expr:
    return ast.Call(name="toString", args=(expr,))


def _ilike(expr: ast.Expr, pattern: ast.Expr) -> ast.Expr:
    return ast.CompareOperation(op="ilike", left=expr, right=pattern)
