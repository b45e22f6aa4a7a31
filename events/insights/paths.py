"""Who went along which path: the events of each person, cut into sessions of items that differ from their neighbours.

An event is one number, which sorts by time and then by uuid: 64 bits of time, 128 of uuid, 64 of the item's hash.
An array of numbers is gathered and sorted in half the time of one of tuples, and items are only ever compared.
"""
# ruff: noqa: S608 values are bound

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from events.client import parameter_chunks
from events.insights.funnel_codes import micros, moment
from events.insights.paths_events import considered, session_end
from events.insights.paths_query import FunnelPart, FunnelPaths, Items, PathKey, PathQuery
from events.insights.rows import ActorRow, MatchedEvent
from events.insights.source import Source
from events.insights.statement import Statement

__all__ = ["ELLIPSIS", "FunnelPart", "FunnelPaths", "Items", "PathKey", "PathQuery", "paths_page"]

ELLIPSIS: Final = "..."
"""The item that stands for what is left out between a start and an end point."""
MOST_MATCHED: Final = 100
_CODE: Final = (
    f"((toUInt256({micros('ts')}) * toUInt256('{2**128}') + toUInt128(uuid)) * toUInt256('{2**64}') + cityHash64(item))"
)


def paths_page(query: PathQuery, *, limit: int, offset: int, recordings: bool = False) -> list[ActorRow]:
    """Return the persons with a wanted path by id ascending, each once.

    With `recordings` each has the events of the wanted items, the earliest 100: those of `dropoff`, of what comes
    after `start` or is `end`, or else of all items. An item's event is the last one of its run.
    """
    statement = Statement()
    rows = statement.rows(
        f"SELECT toString(actor) AS id FROM ({_persons(query, Source(query.scope, statement))}) GROUP BY id"
        f" ORDER BY id LIMIT {statement.bind(limit)} OFFSET {statement.bind(offset)}"
    )
    actors = [actor for (actor,) in rows]
    found = _matched(query, actors) if recordings and actors else {}
    return [ActorRow(actor, events=found.get(actor, ())) for actor in actors]


def _persons(query: PathQuery, source: Source) -> str:
    """Return a SELECT of `actor`, perhaps several times, of those with a wanted path."""
    events = considered(query, source)
    points = [point for point in (query.start_point, query.end_point) if point is not None]
    keys = [key for key in (query.dropoff, query.start, query.end) if key is not None]
    if not keys and len(points) <= 1:
        # Every path is wanted, and every event is in a session of which a path is made.
        return f"SELECT actor FROM ({events}){''.join(f' WHERE item = {source.statement.bind(one)}' for one in points)}"
    # Most persons never had one of the items, and need not be sorted and cut.
    needed = dict.fromkeys([*points, *(key.item for key in keys if key.item != ELLIPSIS)])
    has_all = " AND ".join(f"has(items, {hash_of(one, source)})" for one in needed) or "1"
    gathered = f"SELECT actor, groupArray({_CODE}) AS codes FROM ({events}) GROUP BY actor"
    known = f"SELECT actor, codes, arrayMap(c -> {item_of('c')}, codes) AS items FROM ({gathered})"
    ordered = f"SELECT actor, arraySort(codes) AS codes FROM ({known}) WHERE {has_all}"
    sessions = f"SELECT actor, arraySplit((c, o) -> o, codes, {openings(query, source)}) AS sessions FROM ({ordered})"
    whole = (
        f"SELECT actor, arrayCompact(arrayMap(c -> {item_of('c')}, session)) AS all_items"
        f" FROM ({sessions}) ARRAY JOIN sessions AS session"
    )
    paths = cut(whole, query, source, {"items": hash_of(ELLIPSIS, source)})
    return f"SELECT actor FROM ({paths}) WHERE {_place(query, source)} > 0"


def _matched(query: PathQuery, actors: Sequence[str]) -> dict[str, tuple[MatchedEvent, ...]]:
    """Return the events of the wanted items of some persons, the earliest MOST_MATCHED of each."""
    statement = Statement()
    source = Source(query.scope, statement)
    of_page = " OR ".join(f"actor IN {statement.bind(ids, 'Array(UUID)')}" for ids in parameter_chunks(actors))
    events = f"SELECT * FROM ({considered(query, source, recordings=True)}) WHERE {of_page}"
    rows = f"arraySort(groupArray(({_CODE}, session_id, window_id)))"
    ordered = f"SELECT actor, {rows} AS listed, arrayMap(r -> r.1, listed) AS codes FROM ({events}) GROUP BY actor"
    sessions = f"SELECT actor, arraySplit((r, o) -> o, listed, {openings(query, source)}) AS sessions FROM ({ordered})"
    named = (
        f"SELECT actor, session, arrayMap(r -> {item_of('r.1')}, session) AS named,"
        " arrayPushBack(arrayMap((i, n) -> i != n, arrayPopBack(named), arrayPopFront(named)), 1) AS lasts"
        f" FROM ({sessions}) ARRAY JOIN sessions AS session"
    )
    whole = (
        "SELECT actor, arrayFilter((i, l) -> l, named, lasts) AS all_items,"
        f" arrayFilter((r, l) -> l, session, lasts) AS all_events FROM ({named})"
    )
    nothing = "(toUInt256(0), '', '')"
    paths = cut(whole, query, source, {"items": hash_of(ELLIPSIS, source), "events": nothing})
    chosen = "events" if _wants_all(query) else "if(place > 0, [events[place]], [])"
    first = f"arraySlice(arraySort(groupUniqArrayArray(arrayFilter(r -> r.1 > 0, {chosen}))), 1, {MOST_MATCHED})"
    event = f"({_uuid('r.1')}, {moment(time_of('r.1'))}, r.2, r.3)"
    found = statement.rows(
        f"SELECT toString(actor) AS id, arrayMap(r -> {event}, {first})"
        f" FROM (SELECT actor, events, toUInt32({_place(query, source)}) AS place FROM ({paths})) GROUP BY id"
    )
    return {
        actor: tuple(MatchedEvent(UUID(int=uuid), at, session_id, window_id) for uuid, at, session_id, window_id in of)
        for actor, of in found
    }


def openings(query: PathQuery, source: Source) -> str:
    """Return an array that says of each of the sorted `codes` whether it begins a session; of the first it may not."""
    begins = f"{time_of('c')} >= {session_end(time_of('b'), query, source)}"
    return f"arrayMap((c, b) -> {begins}, codes, arrayPushFront(arrayPopBack(codes), codes[1]))"


def cut(whole: str, query: PathQuery, source: Source, columns: dict[str, str]) -> str:
    """Return a SELECT of `actor` and `columns`, cut at the points and the limit; `whole` has them as `all_<name>`.

    The value of a column is what stands for items that are left out.
    """
    most = query.step_limit
    start, end = (None if point is None else hash_of(point, source) for point in (query.start_point, query.end_point))
    if start is not None and end is not None:
        half = most // 2
        slices = {
            name: f"if(size > {most}, arrayConcat(arraySlice(all_{name}, first, {half}), [{gap}],"
            f" arraySlice(all_{name}, first + size - {half}, {half})), arraySlice(all_{name}, first, size))"
            for name, gap in columns.items()
        }
        first = f"SELECT *, indexOf(all_items, {start}) AS first FROM ({whole}) WHERE has(all_items, {start})"
        marked = f"SELECT *, indexOf(arraySlice(all_items, first), {end}) AS size FROM ({first})"
        condition = "size > 0"
    elif end is not None:
        marked = f"SELECT *, indexOf(all_items, {end}) AS size FROM ({whole})"
        begin = f"greatest(toInt64(size) - {most - 1}, 1)"
        slices = {name: f"arraySlice(all_{name}, {begin}, least(size, {most}))" for name in columns}
        condition = "size > 0"
    else:
        begin = "1" if start is None else f"indexOf(all_items, {start})"
        marked = f"SELECT *, toUInt64({begin}) AS first FROM ({whole})"
        slices = {name: f"arraySlice(all_{name}, first, {most})" for name in columns}
        condition = "first > 0"
    listed = ", ".join(f"{expression} AS {name}" for name, expression in slices.items())
    return f"SELECT actor, {listed} FROM ({marked}) WHERE {condition}"


def _wants_all(query: PathQuery) -> bool:
    return query.dropoff is None and query.start is None and query.end is None


def _place(query: PathQuery, source: Source) -> str:
    """Return the place of the wanted item in `items`, 0 where there is none; without keys the last place."""
    conditions, place = [], "length(items)"
    if query.dropoff is not None:
        return f"if(length(items) = {query.dropoff.place} AND {_is_at(query.dropoff, source)}, length(items), 0)"
    if query.start is not None:
        place = str(query.start.place + 1)
        conditions.append(_is_at(query.start, source))
    if query.end is not None:
        # Both keys are of one item: what is before it, and it itself.
        conditions += [
            _is_at(query.end, source),
            *([f"{place} = {query.end.place}"] if query.start is not None else []),
        ]
        place = str(query.end.place)
    return f"if({' AND '.join([f'length(items) >= {place}', *conditions])}, {place}, 0)"


def _is_at(key: PathKey, source: Source) -> str:
    return f"items[{key.place}] = {hash_of(key.item, source)}" if key.place else "0"


def code_of() -> str:
    """Return the number of an event of `considered`."""
    return _CODE


def hash_of(item: str, source: Source) -> str:
    """Return what stands for an item in codes."""
    return f"cityHash64({source.statement.bind(item)})"


def item_of(code: str) -> str:
    """Return the hash of a code's item."""
    return f"reinterpretAsUInt64({code})"


def time_of(code: str) -> str:
    """Return the time of a code, as `funnel_codes` has it."""
    return f"toUInt64(bitShiftRight({code}, 192))"


def _uuid(code: str) -> str:
    return f"toUInt128(bitAnd(bitShiftRight({code}, 64), toUInt256('{2**128 - 1}')))"
