"""Where the actors of an ActorsQuery come from: any HogQL with a column of ids, or the data point of an insight."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from core.api.errors import Invalid
from core.insights.recordings import matched_recordings
from core.persons.date_range import DateRange
from core.query.reading import BadNode, Fields
from core.query.runners.base import QueryContext
from core.query.runners.hogql import read_statement
from core.query.runners.insights.actors import MAX_ACTORS, ActorsSource, read_actors
from events.hogql import ast
from events.hogql.errors import HogQLResolutionError
from events.insights.rows import ActorRow
from events.insights.statement import one_run
from events.rows import EARLIEST, LATEST

INSIGHT_KINDS: Final = ("InsightActorsQuery", "FunnelsActorsQuery", "StickinessActorsQuery")
KINDS: Final = ("HogQLQuery", *INSIGHT_KINDS)
VALUES: Final = ("event_count", "value_at_data_point")
"""What the value of an actor of an insight is called."""
APPEARANCES: Final = ("appearances", "appearance_intervals")
"""What the periods are called in which an actor of retention appeared, each by its distance from that of the row."""
_ID_ALIASES: Final = frozenset({"actor_id", "person_id", "group_key"})
_NOBODY: Final = (
    "Not supported: persons of a funnel whose actors are values of HogQL. A FunnelsActorsQuery alone lists the values."
)
_ALWAYS: Final = DateRange(EARLIEST, LATEST)

type Json = Any
type ActorSource = HogQLSource | InsightSource


@dataclass(frozen=True, slots=True)
class HogQLSource:
    """A query whose column `id_chain` holds the UUIDs of persons."""

    query: ast.Query
    id_chain: tuple[str, ...]
    group_type_index: ClassVar[int | None] = None


@dataclass(frozen=True, slots=True)
class InsightSource:
    """The actors of a data point."""

    point: ActorsSource
    recordings: bool
    id_chain: ClassVar[tuple[str, ...]] = ("actor_id",)

    @property
    def group_type_index(self) -> int | None:
        """Return the type of the actors, None for persons."""
        return self.point.group_type_index

    @property
    def periods(self) -> tuple[str, ...]:
        """Return the names of the columns for each period of retention, none for other insights."""
        return self.point.periods

    def page(self, context: QueryContext, *, limit: int, offset: int) -> Sequence[ActorRow]:
        """Return some of the actors, those with the largest values first."""
        with (
            context.record.timed("clickhouse"),
            one_run(seconds=context.seconds, mark=f"hogql:{context.team.id}:{context.query_id}"),
        ):
            return self.point.page(limit=limit, offset=offset, recordings=self.recordings).rows

    def all(self, context: QueryContext) -> Sequence[ActorRow]:
        """Return all actors; Invalid where they are too many to be looked at one by one."""
        rows = self.page(context, limit=MAX_ACTORS + 1, offset=0)
        if len(rows) > MAX_ACTORS:
            message = (
                f"This data point has more than {MAX_ACTORS} actors. They can be listed, but not searched, filtered or "
                "ordered, and only their own columns can be selected."
            )
            raise Invalid(message, attr="query__source")
        return rows

    def matched(self, rows: Sequence[ActorRow], context: QueryContext) -> Mapping[str, list[dict[str, Json]]]:
        """Return the recordings of the events that made the actors count, by actor."""
        of_persons = self.group_type_index is None
        return matched_recordings(team_id=context.team.id, rows=rows, dates=_ALWAYS, of_persons=of_persons)


def read_source(fields: Fields, context: QueryContext, *, recordings: bool) -> ActorSource | None:
    """Return the `source` of an ActorsQuery, None where it has none. Raises BadNode, Invalid and HogQLError."""
    node = fields.mapping("source")
    if node is None:
        return None
    kind = node.get("kind")
    path = (*fields.path, "source")
    if kind not in KINDS:
        listed = ", ".join(map(repr, KINDS))
        message = f"Input tag '{str(kind)[:100]}' found using 'kind' does not match any of the expected tags: {listed}"
        raise BadNode(message, path)
    if kind == "HogQLQuery":
        query = read_statement(node, context, path=[str(part) for part in path]).query
        return HogQLSource(query, id_column(query))
    point = read_actors(node, context, path=path)
    if point.of_values:
        raise Invalid(_NOBODY, attr="__".join(map(str, (*path, "source", "funnelsFilter", "funnelAggregateByHogQL"))))
    return InsightSource(point, recordings or Fields(node, path).flag("includeRecordings"))


def id_column(query: ast.Query) -> tuple[str, ...]:
    """Return the column that holds ids: one that is called so, else the first that has `id` in its name."""
    first = query
    while isinstance(first, ast.SelectSetQuery):
        first = first.queries[0]
    names = [name for name in map(_name, first.select) if name is not None]
    for name in names:
        if name in _ID_ALIASES:
            return (name,)
    for name in names:
        if "id" in name.lower():
            return (name,)
    raise HogQLResolutionError("Source query must have an id column")


def _name(expr: ast.Expr) -> str | None:
    """Return what a column is called: its alias, or a field's own name."""
    if isinstance(expr, ast.Alias):
        return expr.alias
    if isinstance(expr, ast.Field) and expr.chain[-1] != "*":
        return str(expr.chain[-1])
    return None


def rows_query(rows: Sequence[ActorRow], periods: Sequence[str] = ()) -> ast.SelectQuery:
    """Return a query that gives actors and their values: `actor_id`, `event_count`, `value_at_data_point`.

    With `periods`, it has APPEARANCES and a column of 1 or 0 for each period too.
    """
    # Lists without members have no types.
    where = None if rows else ast.Constant(value=False)
    rows = rows or [ActorRow("")]
    lists: list[list[Any]] = [
        [row.actor for row in rows],
        [None if row.value is None else float(row.value) for row in rows],
    ]
    if periods:
        # As texts of ones and zeros: a list of lists would be a value for each member.
        lists.append([_ones(row) for row in rows])
    listed = ast.Call(name="arrayZip", args=tuple(ast.Constant(value=one) for one in lists))
    unnested = ast.SelectQuery(select=(ast.Alias(alias="row", expr=ast.Call(name="arrayJoin", args=(listed,))),))
    members = [("actor_id", _member(1)), *((name, _member(2)) for name in VALUES)]
    if periods:
        members += [(name, _distances(len(periods))) for name in APPEARANCES]
        members += [(name, _appeared(ast.Constant(value=number))) for number, name in enumerate(periods)]
    return ast.SelectQuery(
        select=tuple(ast.Alias(alias=name, expr=expr) for name, expr in members),
        select_from=ast.JoinExpr(table=unnested, alias="rows"),
        where=where,
    )


def _ones(row: ActorRow) -> str:
    there = set(row.appearances)
    return "".join("1" if number in there else "0" for number in range(max(there, default=-1) + 1))


def _member(index: int) -> ast.Expr:
    return ast.TupleAccess(tuple=ast.Field(chain=("row",)), index=index)


def _distances(length: int) -> ast.Expr:
    numbers = ast.Call(name="range", args=(ast.Constant(value=length),))
    is_one = ast.CompareOperation(op="==", left=_digit(ast.Field(chain=("d",))), right=ast.Constant(value="1"))
    return ast.Call(name="arrayFilter", args=(ast.Lambda(args=("d",), expr=is_one), numbers))


def _appeared(number: ast.Expr) -> ast.Expr:
    return ast.Call(name="toIntOrZero", args=(_digit(number),))


def _digit(number: ast.Expr) -> ast.Expr:
    place = ast.ArithmeticOperation(op="+", left=number, right=ast.Constant(value=1))
    return ast.Call(name="substring", args=(_member(3), place, ast.Constant(value=1)))
