"""How a breakdown divides the events and actors of a funnel (6.5)."""
# ruff: noqa: S608 values are bound

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from events.filters.sessions import text_of
from events.insights.entities import Entity
from events.insights.funnel_query import EVERYBODY, OTHER, Breakdown, FunnelQuery
from events.insights.source import Source

_NOTHING: Final = "['']"
_OF_EVENT: Final = ("event", "hogql")
_PERSONS: Final = """
    LEFT ANY JOIN (SELECT id, {found} AS found FROM persons FINAL WHERE team_id = {{team_id:Int64}} AND NOT is_deleted)
    AS p ON p.id = v.joined"""
_GROUPS: Final = """
    LEFT ANY JOIN (
        SELECT group_key, {found} AS found FROM `groups` FINAL
        WHERE team_id = {{team_id:Int64}} AND group_type_index = {index}
    ) AS p ON p.group_key = v.joined"""
_SESSIONS: Final = """
    LEFT ANY JOIN (SELECT session_id, {found} AS found FROM {rows} AS s) AS p ON p.session_id = v.joined"""
_COHORTS: Final = """
    LEFT ANY JOIN (
        SELECT person_id, groupUniqArray([toString(cohort_id)]) AS found FROM cohort_people FINAL
        WHERE team_id = {{team_id:Int64}} AND cohort_id IN {ids} AND NOT is_deleted GROUP BY person_id
    ) AS p ON p.person_id = v.joined"""


@dataclass(frozen=True, slots=True)
class Division:
    """What a breakdown adds to the statement of a funnel."""

    keys: tuple[str, ...] = ()
    """Columns that stand beside `actor` in GROUP BY: chains are built inside one value."""
    aggregates: tuple[tuple[str, str], ...] = ()
    """(Name, aggregate) of the columns that an actor's events give."""
    value: str | None = None
    """The expression of the value, of these columns."""

    @property
    def names(self) -> tuple[str, ...]:
        """Return the columns that every SELECT passes on."""
        return (*self.keys, *(name for name, _ in self.aggregates))


def division(breakdown: Breakdown | None) -> Division:
    """Return the columns of a breakdown; `considered` gives what they are made of."""
    if breakdown is None:
        return Division()
    if breakdown.type == "cohort" or breakdown.attribution == "all_events":
        return Division(keys=("value",), value="value")
    known = f"value != {_NOTHING}"
    if breakdown.attribution == "step":
        return Division(
            aggregates=(("touched", f"groupUniqArrayIf(value, {known} AND touching)"),), value="arrayJoin(touched)"
        )
    touch = "argMinIf" if breakdown.attribution == "first_touch" else "argMaxIf"
    return Division(
        aggregates=(("touched", f"{touch}(value, (ts, value), {known})"),),
        value=f"if(empty(touched), {_NOTHING}, touched)",
    )


def considered(
    query: FunnelQuery,
    source: Source,
    columns: Mapping[str, str],
    *,
    entities: Sequence[Entity] | None,
    where: str = "1",
) -> str:
    """Return the SELECT of considered events with `actor`, `ts`, `columns` and what `division` needs."""
    breakdown = query.breakdown
    if breakdown is None:
        return source.select(columns, entities=entities, where=where)
    added = {"joined": _joined(breakdown, source)} if breakdown.type not in _OF_EVENT else {}
    if breakdown.type == "event":
        added["found"] = _texts("e.properties", breakdown, source)
    elif breakdown.type == "hogql":
        added["found"] = f"[{', '.join(map(source.word, breakdown.expressions))}]"
    if breakdown.attribution == "step":
        added["touching"] = source.condition(query.steps[breakdown.step])
    events = source.select({**columns, **added}, entities=entities, where=where)
    kept = ", ".join(("actor", "ts", *columns, *(("touching",) if "touching" in added else ())))
    if breakdown.type == "cohort":
        ids = source.statement.bind(list(breakdown.cohort_ids), "Array(Int64)")
        everybody = f"[['{EVERYBODY}']]" if breakdown.everybody else "[]"
        found = f"arrayJoin(arrayConcat(p.found, CAST({everybody}, 'Array(Array(String))')))"
        return f"SELECT {kept}, {found} AS value FROM ({events}) AS v{_COHORTS.format(ids=ids)}"
    valued = f"SELECT {kept}, {_normal(breakdown)} AS own FROM ({events}) AS v{_join(breakdown, source)}"
    frequent = (
        f"SELECT own FROM ({valued}) WHERE own != {_NOTHING}"
        f" GROUP BY own ORDER BY count() DESC, own LIMIT {source.statement.bind(breakdown.limit)}"
    )
    value = f"if(own = {_NOTHING} OR own IN ({frequent}), own, ['{OTHER}'])"
    return f"SELECT {kept}, {value} AS value FROM ({valued})"


def _joined(breakdown: Breakdown, source: Source) -> str:
    match breakdown.type:
        case "group":
            return f"e.`$group_{breakdown.group_type_index}`"
        case "session":
            return "e.`$session_id`"
        case _:
            return source.person_id


def _join(breakdown: Breakdown, source: Source) -> str:
    if breakdown.type in _OF_EVENT:
        return ""
    if breakdown.type == "session":
        found = f"[{', '.join(text_of(f's.`{key}`') for key in breakdown.keys)}]"
        return _SESSIONS.format(found=found, rows=source.sessions(breakdown.keys))
    found = _texts("properties", breakdown, source)
    if breakdown.type == "person":
        return _PERSONS.format(found=found)
    return _GROUPS.format(found=found, index=breakdown.group_type_index)


def _texts(properties: str, breakdown: Breakdown, source: Source) -> str:
    keys = map(source.statement.bind, breakdown.keys)
    return f"[{', '.join(f'JSONExtractString({properties}, {key})' for key in keys)}]"


def _normal(breakdown: Breakdown) -> str:
    """Return the value of an event, where nothing at all is one empty text."""
    found = "found" if breakdown.type in _OF_EVENT else "p.found"
    if breakdown.normalize_url:
        trimmed = "replaceRegexpOne(x, '[/?#]+$', '')"
        of_missing = f"if(empty({found}), {_NOTHING}, {found})"
        return f"arrayMap(x -> if({trimmed} = '', '/', {trimmed}), {of_missing})"
    return f"if(arrayExists(x -> x != '', {found}), {found}, {_NOTHING})"
