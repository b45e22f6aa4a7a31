"""Who went how far through a funnel."""
# ruff: noqa: S608 values are bound

from events.insights.funnel_breakdown import division
from events.insights.funnel_chains import Chains
from events.insights.funnel_codes import micros, moment
from events.insights.funnel_matched import EARLIEST, MOST_MATCHED, read_matched, step_events
from events.insights.funnel_ordered import ordered
from events.insights.funnel_query import (
    EVERYBODY,
    OTHER,
    Breakdown,
    Entrance,
    Exclusion,
    FunnelQuery,
    Reached,
    Window,
)
from events.insights.funnel_strict import strict
from events.insights.funnel_unordered import unordered
from events.insights.rows import ActorRow, MatchedEvent
from events.insights.source import Source
from events.insights.statement import Statement

__all__ = [
    "EVERYBODY",
    "OTHER",
    "Breakdown",
    "Entrance",
    "Exclusion",
    "FunnelQuery",
    "Reached",
    "Window",
    "funnel_page",
    "funnel_sql",
]


def funnel_sql(query: FunnelQuery, source: Source) -> str:
    """Return a SELECT of `actor`, `steps` (UInt16, 1 or more), `times` and, with a breakdown, `value`.

    `times` (Array(DateTime64(6, 'UTC')), of the length `steps`) are those of the actor's best chain: most steps, then
    the earliest start. `value` (Array(String)) is the breakdown's. One row for each actor, or actor and value, that
    entered and was not discarded; in no order. `source` must be made of `query.scope`.
    """
    chains = _chains(query, source)
    return _best(query, source, chains, {"times": f"arrayMap(t -> {moment('t')}, {chains.times})"})


def funnel_page(
    query: FunnelQuery, which: Reached, *, limit: int, offset: int, recordings: bool = False
) -> list[ActorRow]:
    """Return the wanted actors by id ascending, each once.

    With `recordings` each has up to 10 events at the step `which.matched`, earliest first; unordered funnels have
    none. With `query.entrance` this is a funnel trend.
    """
    statement = Statement()
    source = Source(query.scope, statement)
    funnel = _best(query, source, _chains(query, source), {})
    rows = statement.rows(
        f"SELECT toString(actor) AS id FROM ({funnel}) WHERE {which.condition(statement)}"
        f" GROUP BY id ORDER BY id LIMIT {statement.bind(limit)} OFFSET {statement.bind(offset)}"
    )
    if not recordings or query.order == "unordered" or not rows:
        return [ActorRow(actor) for (actor,) in rows]
    found = _matched(query, which, limit=limit, offset=offset)
    return [ActorRow(actor, events=found.get(actor, ())) for (actor,) in rows]


def _chains(query: FunnelQuery, source: Source) -> Chains:
    return {"ordered": ordered, "strict": strict, "unordered": unordered}[query.order](query, source)


def _best(query: FunnelQuery, source: Source, chains: Chains, columns: dict[str, str]) -> str:
    """Return a row for each actor or actor and value: `steps` and columns that may speak of `pos`, the best start."""
    parts = division(query.breakdown)
    names = ", ".join(["actor", *parts.names])
    given = "".join(f", {expression} AS {name}" for name, expression in columns.items())
    best = f"SELECT *, arrayMax(reach) AS steps, indexOf(reach, steps) AS pos FROM ({chains.sql})"
    sql = f"SELECT {names}, steps{given} FROM ({best}) WHERE steps > 0"
    if query.breakdown is None or parts.value is None:
        return sql
    listed = ", ".join(["steps", *columns])
    sql = f"SELECT actor, {listed}, {parts.value} AS value FROM ({sql})"
    if query.breakdown.only is None:
        return sql
    wanted = source.statement.bind(list(query.breakdown.only), "Array(String)")
    return f"SELECT actor, {listed}, value FROM ({sql}) WHERE value = {wanted}"


def _matched(query: FunnelQuery, which: Reached, *, limit: int, offset: int) -> dict[str, tuple[MatchedEvent, ...]]:
    """Return the events at the wanted step of the page's actors, in the chains that did the most steps."""
    statement = Statement()
    source = Source(query.scope, statement)
    chains = _chains(query, source)
    step = "steps" if which.matched is None else f"least(steps, {which.matched})"
    arguments = ", ".join(f"a{number}" for number in range(len(chains.at)))
    times = f"arrayMap((r, {arguments}) -> if(r = steps, [{arguments}][{step}], 0), reach, {', '.join(chains.at)})"
    firsts = f"arraySlice(arraySort(arrayDistinct(arrayFilter(t -> t > 0, {times}))), 1, {MOST_MATCHED})"
    funnel = _best(query, source, chains, {"served": f"toUInt16({step})", "moments": firsts})
    page = (
        f"SELECT toString(actor) AS id, groupUniqArrayArray(arrayMap(t -> (t, served), moments)) AS served_at"
        f" FROM ({funnel}) WHERE {which.condition(statement)}"
        f" GROUP BY id ORDER BY id LIMIT {statement.bind(limit)} OFFSET {statement.bind(offset)}"
    )
    events = step_events(query.steps, source)
    rows = statement.rows(
        f"SELECT v.id, {EARLIEST} FROM"
        f" (SELECT toString(actor) AS id, {micros('ts')} AS at, matched, arrayJoin(did) AS served FROM ({events})) AS v"
        " INNER JOIN (SELECT id, pair.1 AS at, pair.2 AS served FROM"
        f" (SELECT id, arrayJoin(served_at) AS pair FROM ({page}))) AS p"
        " ON v.id = p.id AND v.at = p.at AND v.served = p.served GROUP BY v.id"
    )
    return read_matched(rows)
