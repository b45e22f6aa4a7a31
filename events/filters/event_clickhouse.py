"""Compiles filters on events to a ClickHouse condition that is 0 or 1 for every row of `events`.

Properties of persons, groups and sessions are looked up as sets: those whose stored properties satisfy the filter,
or, where also one without a row would, all but those whose properties do not. Neighbours that look at the same place
share one set, so a filter reads each place as seldom as its AND and OR allow.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from events.filters import elements, event_columns
from events.filters.clickhouse import Compiler
from events.filters.predicates import Equals, Predicate
from events.filters.selectors import Compound, Selector
from events.filters.sessions import Measured, expression, is_moment, json_of, sessions, text_of
from events.filters.tree import (
    Filter,
    FilterGroup,
    HogQLFilter,
    PropertyFilter,
    SelectorFilter,
    leaves,
    property_keys,
)

_PERSONS: Final = "SELECT id FROM persons FINAL WHERE team_id = {team_id:Int64} AND NOT is_deleted AND "
_GROUPS: Final = (
    "SELECT group_key FROM `groups` FINAL"
    " WHERE team_id = {{team_id:Int64}} AND group_type_index = {index} AND group_key != '' AND "
)
_ELEMENT_NAMES: Final = {"text": "'text'", "href": "'href', 'attr__href'"}

# The place of a property that has a row of its own: the filter's type and, of a group, its index.
type _Place = tuple[str, int | None]


@dataclass(frozen=True, slots=True)
class EventColumns:
    """Where a statement has what filters on events look at.

    `table` is the alias of `events`, `person_id` an expression for who owns the event. Sessions are measured by
    events from a day before `since` to a day after `until`, and by all where these are None.
    """

    table: str
    person_id: str
    since: datetime | None = None
    until: datetime | None = None


def event_condition(wanted: Filter, parameters: dict[str, Any], *, columns: EventColumns) -> str:
    """Return the condition on a row of `events`; its values go into `parameters`, where the caller puts `team_id`."""
    return _EventCompiler(parameters, columns).compile(wanted)


def session_condition(wanted: Filter, parameters: dict[str, Any], *, alias: str) -> str:
    """Return the condition on a session, for a SELECT of its events `alias` that groups them.

    `wanted` is of filters on sessions alone.
    """
    # The expressions are long, so that each is written once.
    keys = sorted(property_keys(wanted))
    names = {key: f"column{number}" for number, key in enumerate(keys)}
    found = _SessionCompiler(parameters, names).compile(wanted)
    given = ", ".join(f"[{expression(key, alias)}]" for key in keys)
    return f"arrayExists(({', '.join(names.values())}) -> {found}, {given})" if keys else found


class _EventCompiler(Compiler):
    def __init__(self, parameters: dict[str, Any], columns: EventColumns) -> None:
        super().__init__(parameters, f"{columns.table}.properties", columns.person_id)
        self._columns = columns

    def compile(self, wanted: Filter) -> str:
        place = _place(wanted)
        if place is not None:
            return self._in_place(wanted, place)
        if isinstance(wanted, SelectorFilter):
            return f"({'NOT ' * wanted.negated}{self._selected(wanted.selectors)})"
        if isinstance(wanted, HogQLFilter):
            return f"({'NOT ' * wanted.negated}{self._hogql(wanted)})"
        return super().compile(_gathered(wanted) if isinstance(wanted, FilterGroup) else wanted)

    def property(self, wanted: PropertyFilter) -> str:
        table = self._columns.table
        if wanted.type == "element":
            value = self.holds_of_text(wanted.predicate, elements.read("a[2]"))
            named = f"arrayExists(a -> a[1] IN ({_ELEMENT_NAMES[wanted.key]}) AND {value}, x.2)"
            return f"arrayExists(x -> {named}, {elements.elements(f'{table}.elements_chain')})"
        if wanted.type == "event_metadata":
            return self._of_column(wanted.key, wanted.predicate)
        if wanted.key == "distinct_id":
            return self.holds_of_text(wanted.predicate, f"{table}.distinct_id")
        return super().property(wanted)

    def _of_column(self, key: str, predicate: Predicate) -> str:
        column = self._columns.person_id if key == "person_id" else f"{self._columns.table}.`{key}`"
        text = f"toString({column})"
        if key in event_columns.OPTIONAL:
            return self.holds(predicate, raw=f"if({column} = '', '', toJSONString({column}))", string=column)
        if key in event_columns.MOMENTS:
            if isinstance(predicate, Equals):
                return self.same_moment(predicate, column)
            return self.holds(predicate, raw=f"toJSONString({text})", string=text)
        if key in event_columns.UUIDS and isinstance(predicate, Equals):
            # ClickHouse writes them in lower case.
            predicate = replace(predicate, forms=tuple(form.lower() for form in predicate.forms))
        return self.holds_of_text(predicate, text if key in {*event_columns.UUIDS, "person_mode"} else column)

    def _hogql(self, wanted: HogQLFilter) -> str:
        row = {"alias": self._columns.table, "person_id": self._columns.person_id}
        if wanted.predicate is None:
            return wanted.expression.condition(self.parameters, **row)
        return self.holds_of_text(wanted.predicate, wanted.expression.word(self.parameters, **row))

    def _in_place(self, wanted: Filter, place: _Place) -> str:
        """Return whether the event's person, group or session is among those that satisfy the filter."""
        table = self._columns.table
        match place:
            case ("person", _):
                column, rows = self._columns.person_id, _PERSONS
                inner = Compiler(self.parameters, "properties", "id")
            case ("group", index):
                column, rows = f"{table}.`$group_{index}`", _GROUPS.format(index=index)
                inner = Compiler(self.parameters, "properties", "''")
            case _:
                column, rows = f"{table}.`$session_id`", self._sessions(wanted)
                inner = _SessionCompiler(self.parameters, {key: f"s.`{key}`" for key in property_keys(wanted)})
        if _holds_for_missing(wanted):
            return f"({column} NOT IN ({rows}NOT {inner.compile(wanted)}))"
        return f"({column} IN ({rows}{inner.compile(wanted)}))"

    def _sessions(self, wanted: Filter) -> str:
        within = Measured(self._columns.since, self._columns.until)
        found = sessions(sorted(property_keys(wanted)), self.parameters, within)
        return f"SELECT session_id FROM {found} AS s WHERE "  # noqa: S608 values are bound

    def _selected(self, selectors: Iterable[Selector]) -> str:
        any_of = " OR ".join(map(self._selects, selectors))
        return f"arrayExists(es -> {any_of}, [{elements.elements(f'{self._columns.table}.elements_chain')}])"

    def _selects(self, selector: Selector) -> str:
        """Return whether a selector selects one of the elements `es`, of which each is followed by its ancestors.

        From the outermost compound inwards, an array of 0 and 1 says which elements can stand for it.
        """
        reached = ""
        for compound in selector.compounds:
            fits = f"arrayMap(x -> {self._fits(compound)}, es)"
            if not reached:
                reached = fits
            elif compound.child:
                parents = f"arrayResize(arrayPopFront({reached}), length(es), 0)"
                reached = f"arrayMap((one, parent) -> one AND parent, {fits}, {parents})"
            else:
                below = f"greatest(arrayLastIndex(one -> one, {reached}), 1) - 1"
                reached = f"arrayResize(arraySlice({fits}, 1, {below}), length(es), 0)"
        return f"has({reached}, 1)"

    def _fits(self, compound: Compound) -> str:
        tests = []
        if compound.tag is not None:
            tests.append(f"x.1[1] = {self.text(compound.tag)}")
        if compound.classes:
            tests.append(f"hasAll(arrayPopFront(x.1), {self.texts(compound.classes)})")
        for names, value in compound.attributes:
            pairs = [[name, elements.written(value)] for name in names]
            tests.append(f"hasAny(x.2, {{{self.bind(pairs)}:Array(Array(String))}})")
        return " AND ".join(tests) or "toUInt8(1)"


class _SessionCompiler(Compiler):
    """`columns` are the expressions of the properties of a session."""

    def __init__(self, parameters: dict[str, Any], columns: Mapping[str, str]) -> None:
        super().__init__(parameters, "''", "''")
        self._columns = columns

    def property(self, wanted: PropertyFilter) -> str:
        column = self._columns[wanted.key]
        if isinstance(wanted.predicate, Equals) and is_moment(wanted.key):
            return self.same_moment(wanted.predicate, column)
        return self.holds(wanted.predicate, raw=json_of(wanted.key, column), string=text_of(column))


def _place(wanted: Filter) -> _Place | None:
    """Return the one place outside of the event that all of a filter looks at, if that is so."""
    places = {
        (leaf.type, leaf.group_type_index)
        if isinstance(leaf, PropertyFilter) and leaf.type in {"person", "group", "session"}
        else None
        for leaf in leaves(wanted)
    }
    return places.pop() if len(places) == 1 else None


def _gathered(group: FilterGroup) -> FilterGroup:
    """Return the group with the members that look at one place brought together."""
    together: dict[_Place, list[Filter]] = {}
    others = []
    for member in group.values:
        place = _place(member)
        if place is None:
            others.append(member)
        else:
            together.setdefault(place, []).append(member)
    joined = [FilterGroup(group.type, tuple(members)) for members in together.values()]
    # Conditions on the event itself are the cheaper ones.
    return FilterGroup(group.type, (*others, *joined))


def _holds_for_missing(wanted: Filter) -> bool:
    """Tell whether something without any properties satisfies the filter: no predicate holds for a missing value."""
    if isinstance(wanted, FilterGroup):
        return (any if wanted.type == "OR" else all)(map(_holds_for_missing, wanted.values))
    return isinstance(wanted, PropertyFilter) and wanted.negated
