"""The API's property filters and dates inside HogQL: conditions on rows that are ready-made SQL, and constants.

Filters of type `hogql` are HogQL themselves and stay so; all others keep the exact meaning that they have in lists of
persons and in insights. Actions and the events of a person are conditions of the same kind.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

from core.actions.hogql import action_condition
from core.actions.queries import action_matches
from core.api.errors import Invalid
from core.filters.problems import invalid_filter
from core.filters.reading import check_cohorts, known_cohorts_only
from core.insights.dates import read_moment
from core.insights.project import InsightProject
from core.persons.queries import distinct_ids_of
from core.query.expressions import Expressions
from core.query.filter_text import filter_text, text_literal
from events.filters.clickhouse import condition
from events.filters.errors import FilterError
from events.filters.event_clickhouse import EventColumns, event_condition
from events.filters.grammar import MAX_DEPTH, MAX_FILTERS, Filter, cohort_ids, leaves, read_filters
from events.filters.tree import PropertyFilter
from events.hogql import ast
from events.hogql.errors import HogQLError, Source
from events.insights.entities import EventMatch
from events.rows import EARLIEST, LATEST

ALL_TIME: Final = "all"
DEFAULT_AFTER: Final = "-24h"
FUTURE: Final = timedelta(seconds=5)
"""How far beyond now events are shown: clocks differ."""

type Json = Any
type Scope = Literal["event", "person", "group"]

_MEMBERS: Final = "values"
_TABLES: Final[dict[Scope, str]] = {"event": "events", "person": "persons", "group": "groups"}


@dataclass(frozen=True, slots=True)
class FilterReader:
    """Reads the filters of one project. `since` and `until` bound which events measure sessions."""

    project: InsightProject
    now: datetime
    since: datetime | None = None
    until: datetime | None = None
    expressions: Expressions = field(default_factory=Expressions)

    def properties(self, value: Json, *, attr: str, scope: Scope = "event") -> ast.Expr | None:
        """Return the condition of a list of filters or a group (parsed JSON); None when it restricts nothing.

        Raises Invalid, and HogQLError for what filters of type `hogql` say.
        """
        if value is None or value == []:
            return None
        return self._mixed(value, attr, scope) if _has_hogql(value) else self._without_hogql(value, attr, scope)

    def test_accounts(self, *, attr: str = "filterTestAccounts") -> ast.Expr | None:
        """Return the condition that leaves the project's test accounts out."""
        return self.properties(self.project.test_account_filters, attr=attr)

    def moment(self, text: str, *, attr: str) -> datetime:
        """Return an ISO or relative date in the project's time zone, within what can be stored. Raises Invalid."""
        found = read_moment(text, self.project, now=self.now, attr=attr)
        return min(max(found, EARLIEST), LATEST).astimezone(found.tzinfo)

    def action(self, number: int, *, attr: str) -> ast.Expr:
        """Return the condition that an event matches an action; Invalid when there is no such action with steps."""
        matches = action_matches(team_id=self.project.team_id, ids=[number]).get(number)
        if matches is None:
            raise Invalid("Action does not exist", attr=attr)
        if not matches:
            raise Invalid("Action does not have any match groups", attr=attr)
        text = " or ".join(_match_text(match) for match in matches)
        return action_condition(matches, text=f"({text})", since=self.since, until=self.until)

    def events_of(self, *, person_id: int, uuid: UUID) -> ast.Expr:
        """Return the condition that an event belongs to a person: by the ids that the person has now, in this life."""
        ids = distinct_ids_of(team_id=self.project.team_id, person_id=person_id)

        def write(columns: EventColumns, parameters: dict[str, Any]) -> str:
            names = []
            for part in range(0, len(ids), _IDS_AT_ONCE):
                name = f"f{len(parameters)}"
                parameters[name] = [distinct_id for distinct_id, _ in ids[part : part + _IDS_AT_ONCE]]
                lives = f"f{len(parameters)}"
                parameters[lives] = [life for _, life in ids[part : part + _IDS_AT_ONCE]]
                names.append(
                    f"(({columns.table}.distinct_id, {columns.table}.generation) IN"
                    f" (SELECT arrayJoin(arrayZip({{{name}:Array(String)}}, {{{lives}:Array(UInt32)}}))))"
                )
            return f"({' OR '.join(names)})" if names else "0"

        return self._row(write, f"person_id = '{uuid}'")

    def _row(self, write: "_Write", text: str) -> ast.RowCondition:
        def written(alias: str, person: str, parameters: dict[str, Any]) -> str:
            return write(EventColumns(alias, person, since=self.since, until=self.until), parameters)

        return ast.RowCondition(table="events", write=written, text=text)

    def _without_hogql(self, value: Json, attr: str, scope: Scope) -> ast.Expr | None:
        wanted = self._read(value, attr, scope)
        return None if wanted is None else self._condition(wanted, scope)

    def _read(self, value: Json, attr: str, scope: Scope) -> Filter | None:
        kind: Literal["person", "event"] = "person" if scope == "person" else "event"
        # In a list, what has no `key` says nothing; alone, it would be a map of keys to values.
        alone = isinstance(value, Mapping) and not _is_group(value)
        try:
            wanted = read_filters(
                [value] if alone else value, scope=kind, now=self.now, path_rules=self.project.path_cleaning_filters
            )
        except FilterError as error:
            error.path = error.path[1:] if alone else error.path
            raise invalid_filter(error, attr=attr, placed=True) from error
        if wanted is None:
            return None
        if scope == "person":
            check_cohorts(cohort_ids(wanted), team_id=self.project.team_id, attr=attr)
            return wanted
        if scope == "group" and not all(
            isinstance(leaf, PropertyFilter) and leaf.type == "group" for leaf in leaves(wanted)
        ):
            raise Invalid("Only filters on properties of groups can be used here.", attr=attr)
        return known_cohorts_only(wanted, team_id=self.project.team_id)

    def _condition(self, wanted: Filter, scope: Scope) -> ast.RowCondition:
        text = filter_text(wanted, own=scope)
        if scope == "event":
            return self._row(lambda columns, parameters: event_condition(wanted, parameters, columns=columns), text)

        def written(alias: str, person: str, parameters: dict[str, Any]) -> str:
            del person
            return condition(wanted, parameters, properties=f"{alias}.properties", person_id=f"{alias}.id")

        return ast.RowCondition(table=_TABLES[scope], write=written, text=text)

    def _mixed(self, value: Json, attr: str, scope: Scope) -> ast.Expr | None:
        """Return the condition of filters of which some are HogQL: those stay expressions, where they stand."""
        if _size(value) > MAX_FILTERS:
            message = f"At most {MAX_FILTERS} filters are possible."
            raise Invalid(message, attr=attr)
        return self._item(value, attr, scope, ())

    def _item(self, value: Json, attr: str, scope: Scope, path: tuple[str, ...]) -> ast.Expr | None:
        # A list of members is no level of its own: it stands in a group, or is all there is.
        if len(path) - path.count(_MEMBERS) > MAX_DEPTH:
            message = f"Filters may be nested at most {MAX_DEPTH} deep."
            raise Invalid(message, attr=attr)
        where = "__".join((attr, *path))
        if not _has_hogql(value):
            return self._without_hogql(value, where, scope)
        if isinstance(value, list):
            return _joined("AND", self._members(value, attr, scope, path))
        if _is_group(value):
            kind = value.get("type", "AND")
            if not isinstance(kind, str) or kind.upper() not in {"AND", "OR"}:
                raise Invalid("The `type` of a filter group must be AND or OR.", attr=where)
            return _joined(kind.upper(), self._members(value["values"], attr, scope, (*path, _MEMBERS)))
        key = value.get("key")
        if not isinstance(key, str) or not key.strip():
            raise Invalid("The `key` of a filter of type hogql must be a HogQL expression.", attr=where)
        source = Source(key, f"{where}__key")
        try:
            expr = self.expressions.expr(key)
        except HogQLError as error:
            error.source = source
            raise
        return ast.Sourced(expr=expr, source=source, start=expr.start, end=expr.end)

    def _members(self, values: Json, attr: str, scope: Scope, path: tuple[str, ...]) -> list[ast.Expr | None]:
        return [self._item(one, attr, scope, (*path, str(number))) for number, one in enumerate(values) if _asks(one)]


type _Write = Callable[[EventColumns, dict[str, Any]], str]

_IDS_AT_ONCE: Final = 200


def all_of(*conditions: ast.Expr | None) -> ast.Expr | None:
    """Return the condition that all of these hold; None when there is none."""
    return _joined("AND", conditions)


def compared(op: ast.CompareOp, chain: Sequence[str], value: Json) -> ast.Expr:
    """Return the comparison of a field with a constant."""
    return ast.CompareOperation(op=op, left=ast.Field(chain=tuple(chain)), right=ast.Constant(value=value))


def _joined(kind: str, conditions: Sequence[ast.Expr | None]) -> ast.Expr | None:
    present = tuple(one for one in conditions if one is not None)
    if len(present) < len(conditions) and kind == "OR":
        # A member that restricts nothing holds always.
        return None
    if len(present) <= 1:
        return present[0] if present else None
    return ast.Or(exprs=present) if kind == "OR" else ast.And(exprs=present)


def _has_hogql(value: Json) -> bool:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting.extend(one)
        elif isinstance(one, Mapping):
            if one.get("type") == "hogql" and not _is_group(one):
                return True
            if _is_group(one):
                waiting.extend(one["values"])
    return False


def _is_group(value: Mapping[str, Json]) -> bool:
    return isinstance(value.get("values"), list) and "key" not in value


def _asks(item: Json) -> bool:
    """Tell whether a member of a group asks anything; one that does not is left out, as if it were not there."""
    if not isinstance(item, Mapping):
        return True
    return any(map(_asks, item["values"])) if _is_group(item) else "key" in item or "type" in item


def _size(value: Json) -> int:
    count, waiting = 0, [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting.extend(one)
        elif isinstance(one, Mapping) and _is_group(one):
            waiting.extend(one["values"])
        else:
            count += 1
    return count


def _match_text(match: EventMatch) -> str:
    parts = [] if match.event is None else [f"equals(event, {text_literal(match.event)})"]
    if match.filter is not None:
        parts.append(filter_text(match.filter))
    return f"({' and '.join(parts)})" if parts else "true"
