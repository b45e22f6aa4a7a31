"""The events that an insight considers, each with the actor that owns it now.

The actor of an event is the person that its distinct id belongs to today: `person_distinct_id_overrides` has a row
for every distinct id whose person changed after its first events, so a merge or split counts at once. Events of an
earlier life of a distinct id (another generation) do not count. Events may also be counted for groups.
"""

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from events.filters.event_clickhouse import EventColumns, event_condition
from events.filters.grammar import Filter
from events.filters.row_expressions import EventsAggregate, RowExpression
from events.filters.sessions import Measured, sessions
from events.filters.tree import has_hogql
from events.hogql.compile import Aggregated
from events.insights.entities import Entity, event_names
from events.insights.statement import Statement, look_up
from events.rows import clickhouse_time

# Parts per million of the hash of a distinct id, so that all events of an id are in the sample or none.
_SAMPLE_PARTS: Final = 1_000_000
# A life counts from 1, so that 0 is an id without a row: every column that is joined costs time for every event. So
# does reading distinct ids, whose hashes of 64 bits are as good: of 10 million ids none is likely to meet another's.
_OVERRIDES: Final = """
    LEFT ANY JOIN (
        SELECT cityHash64(distinct_id) AS hash, person_id AS owner, toUInt64(generation) + 1 AS life
        FROM person_distinct_id_overrides FINAL WHERE team_id = {team_id:Int64}
    ) AS o ON o.hash = e.distinct_id_hash"""
# What waits in the outbox counts already: the same rows, of higher versions.
_OVERRIDES_AND_WAITING: Final = """
    LEFT ANY JOIN (
        SELECT cityHash64(distinct_id) AS hash, argMax(person_id, version) AS owner,
            toUInt64(argMax(generation, version)) + 1 AS life
        FROM (
            SELECT distinct_id, person_id, generation, version
            FROM person_distinct_id_overrides WHERE team_id = {team_id:Int64}
            UNION ALL
            SELECT row.1, row.2, row.3, row.4 FROM (SELECT arrayJoin(arrayZip(<waiting>)) AS row)
        ) GROUP BY distinct_id
    ) AS o ON o.hash = e.distinct_id_hash"""
_OWNER: Final = "if(o.life = 0, e.person_id, o.owner)"
_LIVING: Final = "(o.life = 0 OR o.life = toUInt64(e.generation) + 1)"
_HAS_OVERRIDES: Final = "SELECT 1 FROM person_distinct_id_overrides WHERE team_id = {team_id:Int64} LIMIT 1"


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a distinct id is, in which of its lives, since which version."""

    distinct_id: str
    person_id: str
    generation: int
    version: int


@dataclass(frozen=True, slots=True)
class EventScope:
    """Which events of a team are considered, and for whom.

    `since` and `until` are aware and both included; None sets no bound. Sessions are measured in that range, or, for a
    part of another scope, in the range `measured` of that: both must say the same of a session. `timezone` is the
    project's, for calendar arithmetic. `filter` joins the global filter, test accounts and search. With
    `group_type_index` the actors are groups of that type, with `actor_value` they are the texts of an expression's
    values; events without one do not count. `sampling` is a share from 0 to 1. `waiting` are owners that ClickHouse
    does not know yet; together they must fit one parameter (`client.LONGEST_PARAMETER_BYTES`).
    """

    team_id: int
    since: datetime | None
    until: datetime | None
    timezone: str
    filter: Filter | None = None
    group_type_index: int | None = None
    sampling: float | None = None
    waiting: tuple[Owner, ...] = ()
    actor_value: RowExpression | None = None
    measured: Measured | None = None

    @property
    def sessions(self) -> Measured:
        """Return the range in which sessions are measured."""
        return self.measured or Measured(self.since, self.until)


class Source:
    """Writes the FROM part of a statement for one scope; make one for each statement."""

    def __init__(self, scope: EventScope, statement: Statement) -> None:
        """Bind the team, and ask whether it has overrides at all: without any, no join is needed."""
        self.scope = scope
        self.statement = statement
        statement.parameters["team_id"] = scope.team_id
        self._joined = bool(scope.waiting) or bool(look_up(_HAS_OVERRIDES, {"team_id": scope.team_id}))
        self.person_id: Final = _OWNER if self._joined else "e.person_id"
        """An expression: the UUID of the person that owns the event."""
        self.actor: Final = self._actor()
        """An expression: the person's UUID, the group's key, or the text of a value."""

    def over(self, scope: EventScope) -> "Source":
        """Return what writes the same statement for other events of the same team and actors."""
        found = copy(self)
        found.scope = scope
        return found

    def condition(self, entity: Entity) -> str:
        """Return an expression that is 1 for the events that an entity counts, else 0."""
        matches = [
            " AND ".join(
                [
                    "1" if match.event is None else f"e.event = {self.statement.bind(match.event)}",
                    *([self.filtered(match.filter)] if match.filter is not None else []),
                ]
            )
            for match in entity.matches
        ]
        any_of = " OR ".join(f"({match})" for match in matches) or "0"
        return f"(({any_of}) AND {self.filtered(entity.filter)})" if entity.filter is not None else f"({any_of})"

    def filtered(self, wanted: Filter | None) -> str:
        """Return an expression that is 1 for the events that pass a filter, else 0."""
        if wanted is None:
            return "1"
        if has_hogql(wanted):
            self.statement.foreign = True
        within = self.scope.sessions
        columns = EventColumns("e", self.person_id, since=within.since, until=within.until)
        return event_condition(wanted, self.statement.parameters, columns=columns)

    def word(self, expression: RowExpression) -> str:
        """Return the SQL of an expression's value as text, empty where it has none."""
        self.statement.foreign = True
        return expression.word(self.statement.parameters, alias="e", person_id=self.person_id)

    def sessions(self, keys: Iterable[str]) -> str:
        """Return a SELECT, in parentheses, of `session_id` and these properties of the sessions of the scope."""
        return sessions(keys, self.statement.parameters, self.scope.sessions)

    def aggregated(self, aggregate: EventsAggregate) -> Aggregated:
        """Return an aggregation for a SELECT around `select`, which must give its columns."""
        self.statement.foreign = True
        return aggregate.written(self.statement.parameters, alias="e", person_id=self.person_id)

    def type_of(self, aggregate: EventsAggregate) -> Aggregated:
        """Return what tells the type of an aggregation, for a SELECT as `aggregated` needs it."""
        self.statement.foreign = True
        return aggregate.type_name(self.statement.parameters, alias="e", person_id=self.person_id)

    def select(self, columns: Mapping[str, str], *, entities: Iterable[Entity] | None = None, where: str = "1") -> str:
        """Return a SELECT of `actor`, `ts` (the event's timestamp) and `columns` (name to expression).

        Expressions speak of the event as `e` and of `actor`. `entities` narrows the events to the names that these
        can count (an index serves that); `where` may name columns. One row for each considered event.
        """
        names = None if entities is None else event_names(entities)
        bind = self.statement.bind
        scope = self.scope
        conditions = [
            "e.team_id = {team_id:Int64}",
            *([f"e.timestamp >= {bind(clickhouse_time(scope.since), "DateTime64(6, 'UTC')")}"] if scope.since else []),
            *([f"e.timestamp <= {bind(clickhouse_time(scope.until), "DateTime64(6, 'UTC')")}"] if scope.until else []),
            *([f"e.event IN {bind(names, 'Array(String)')}"] if names is not None else []),
            *([_LIVING] if self._joined else []),
            *(["actor != ''"] if self.actor != self.person_id else []),
            *([self._sample(scope.sampling)] if scope.sampling is not None else []),
            *([self.filtered(scope.filter)] if scope.filter is not None else []),
            *([where] if where != "1" else []),
        ]
        listed = ", ".join(f"{expression} AS {name}" for name, expression in columns.items())
        return (
            f"SELECT {self.actor} AS actor, e.timestamp AS ts{', ' if listed else ''}{listed}"  # noqa: S608 values are bound
            f" FROM events AS e{self._owners()} WHERE {' AND '.join(conditions)}"
        )

    def _actor(self) -> str:
        if self.scope.actor_value is not None:
            return self.word(self.scope.actor_value)
        index = self.scope.group_type_index
        return self.person_id if index is None else f"e.`$group_{index}`"

    def _owners(self) -> str:
        if not self._joined:
            return ""
        waiting = self.scope.waiting
        if not waiting:
            return _OVERRIDES
        bind = self.statement.bind
        columns = [
            bind([one.distinct_id for one in waiting], "Array(String)"),
            bind([one.person_id for one in waiting], "Array(UUID)"),
            bind([one.generation for one in waiting], "Array(UInt32)"),
            bind([one.version for one in waiting], "Array(UInt64)"),
        ]
        return _OVERRIDES_AND_WAITING.replace("<waiting>", ", ".join(columns))

    def _sample(self, share: float) -> str:
        return f"e.distinct_id_hash % {_SAMPLE_PARTS} < {self.statement.bind(int(share * _SAMPLE_PARTS))}"
