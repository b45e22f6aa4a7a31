"""The edges of paths: from which item to which other, at which place, how often, and after how long."""
# ruff: noqa: S608 values are bound

from dataclasses import dataclass, replace
from typing import Final

from events.insights.paths import ELLIPSIS, code_of, cut, hash_of, item_of, openings, time_of
from events.insights.paths_events import considered
from events.insights.paths_query import PathKey, PathQuery
from events.insights.source import Source
from events.insights.statement import Statement

_MILLISECOND: Final = 1000


@dataclass(frozen=True, slots=True)
class Edge:
    """So many paths have `target` right after `source`; `milliseconds` is how long that took, on average."""

    source: PathKey
    target: PathKey
    value: int
    milliseconds: float


def path_edges(query: PathQuery, *, limit: int, least: int | None = None, most: int | None = None) -> list[Edge]:
    """Return the most frequent edges, those with a weight of `least` to `most`.

    Keys of the query say nothing here. The ellipsis happens when the item before it did. Raises what `Statement.rows`
    raises.
    """
    statement = Statement()
    bind = statement.bind
    source = Source(query.scope, statement)
    weights = [
        *([f"number >= {bind(least)}"] if least is not None else []),
        *([f"number <= {bind(most)}"] if most is not None else []),
    ]
    having = f" HAVING {' AND '.join(weights)}" if weights else ""
    rows = statement.rows(
        f"SELECT place, one, other, count() AS number, sum(took) / count() / {_MILLISECOND}"
        f" FROM ({_pairs(query, source)}) GROUP BY place, one, other{having}"
        f" ORDER BY number DESC, place, one, other LIMIT {bind(limit)}"
    )
    names = _names(query, {item for _, one, other, _, _ in rows for item in (one, other)})
    edges = [
        Edge(PathKey(place, names[one]), PathKey(place + 1, names[other]), number, took)
        for place, one, other, number, took in rows
    ]
    return sorted(edges, key=lambda edge: (-edge.value, edge.source.place, edge.source.item, edge.target.item))


def _pairs(query: PathQuery, source: Source) -> str:
    """Return a SELECT of each step of each path: the place of `one`, `other` after it, `took` in microseconds."""
    events = considered(replace(query, start=None, end=None, dropoff=None), source)
    gathered = f"SELECT actor, arraySort(groupArray({code_of()})) AS codes FROM ({events}) GROUP BY actor"
    sessions = f"SELECT actor, arraySplit((c, o) -> o, codes, {openings(query, source)}) AS sessions FROM ({gathered})"
    named = (
        f"SELECT actor, session, arrayMap(c -> {item_of('c')}, session) AS named,"
        " arrayPushBack(arrayMap((i, n) -> i != n, arrayPopBack(named), arrayPopFront(named)), 1) AS lasts"
        f" FROM ({sessions}) ARRAY JOIN sessions AS session"
    )
    whole = (
        "SELECT actor, arrayFilter((i, l) -> l, named, lasts) AS all_items,"
        f" arrayMap(c -> {time_of('c')}, arrayFilter((c, l) -> l, session, lasts)) AS all_times FROM ({named})"
    )
    paths = cut(whole, query, source, {"items": hash_of(ELLIPSIS, source), "times": "toUInt64(0)"})
    # Nothing happens at the ellipsis itself.
    times = "arrayMap((t, i) -> if(t = 0 AND i > 1, times[i - 1], t), times, arrayEnumerate(times))"
    steps = (
        "arrayMap((i, a, b, s, t) -> (toUInt32(i), a, b, toInt64(t) - toInt64(s)), arrayEnumerate(arrayPopBack(items)),"
        " arrayPopBack(items), arrayPopFront(items), arrayPopBack(filled), arrayPopFront(filled))"
    )
    return (
        "SELECT step.1 AS place, step.2 AS one, step.3 AS other, step.4 AS took FROM ("
        f"SELECT arrayJoin({steps}) AS step FROM"
        f" (SELECT items, {times} AS filled FROM ({paths}) WHERE length(items) > 1))"
    )


def _names(query: PathQuery, hashes: set[int]) -> dict[int, str]:
    """Return the items of hashes."""
    if not hashes:
        return {}
    statement = Statement()
    bind = statement.bind
    events = considered(query, Source(query.scope, statement))
    rows = statement.rows(
        f"SELECT cityHash64(item) AS hash, any(item) FROM (SELECT item FROM ({events})"
        f" UNION ALL SELECT {bind(ELLIPSIS)}) WHERE hash IN {bind(sorted(hashes), 'Array(UInt64)')} GROUP BY hash"
    )
    return dict(rows)
