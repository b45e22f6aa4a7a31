"""Who of a funnel's actors did an event on the way (insight_actors.md section 12)."""
# ruff: noqa: S608 values are bound

from dataclasses import dataclass, replace

from events.insights.entities import Entity
from events.insights.funnel import FunnelQuery, Reached, funnel_sql
from events.insights.funnel_codes import micros, window_end
from events.insights.funnel_matched import EARLIEST, read_matched, step_events
from events.insights.rows import ActorRow, MatchedEvent
from events.insights.source import Source
from events.insights.statement import Statement
from events.rows import clickhouse_time


@dataclass(frozen=True, slots=True)
class Correlation:
    """Those of a funnel's actors that `which` wants, and of them who did an event of `entity`; None asks for none.

    `converted` keeps those who did every step (True) or not every step (False). The event happened after the first
    step and before the last one, or within the window where that was never done. Only what `entity` asks for decides
    about it: the global filter is the funnel's alone. Events of the steps' names do not count.
    """

    funnel: FunnelQuery
    which: Reached
    entity: Entity | None = None
    converted: bool | None = None


def correlation_page(query: Correlation, *, limit: int, offset: int, recordings: bool = False) -> list[ActorRow]:
    """Return the wanted actors by id ascending, each once.

    With `recordings` each has up to MOST_MATCHED events of the last step that it did; of unordered funnels there are
    none.
    """
    statement = Statement()
    page = _page(query, statement, limit=limit, offset=offset)
    rows = statement.rows(page)
    if not recordings or query.funnel.order == "unordered" or not rows:
        return [ActorRow(actor) for (actor,) in rows]
    found = _final_events(query, limit=limit, offset=offset)
    return [ActorRow(actor, events=found.get(actor, ())) for (actor,) in rows]


def _page(query: Correlation, statement: Statement, *, limit: int, offset: int) -> str:
    source = Source(query.funnel.scope, statement)
    actors = _travelled(query, source) if query.entity is None else _did(query, query.entity, source)
    return (
        f"SELECT DISTINCT toString(actor) AS id FROM ({actors})"
        f" ORDER BY id LIMIT {statement.bind(limit)} OFFSET {statement.bind(offset)}"
    )


def _travelled(query: Correlation, source: Source) -> str:
    """Return a SELECT of `actor`, the last `step` it did and when (`final`), and what events count between.

    That is `first` and `last`, both excluded. All times are as `micros` has them.
    """
    funnel, bind = query.funnel, source.statement.bind
    done = f"steps = {bind(len(funnel.steps))}"
    conditions = [query.which.condition(source.statement)]
    if query.converted is not None:
        conditions.append(done if query.converted else f"NOT ({done})")
    first, final = micros("times[1]"), micros("times[-1]")
    end = window_end(first, funnel.window, funnel.scope.timezone, source.statement)
    return (
        f"SELECT actor, steps AS step, {final} AS final, {first} AS first, if({done}, final, {end}) AS last"
        f" FROM ({funnel_sql(funnel, source)}) WHERE {' AND '.join(conditions)}"
    )


def _did(query: Correlation, entity: Entity, source: Source) -> str:
    scope, bind = query.funnel.scope, source.statement.bind
    everything = Source(replace(scope, filter=None), source.statement)
    names = sorted({match.event for step in query.funnel.steps for match in step.matches if match.event is not None})
    conditions = [everything.condition(entity), f"e.event NOT IN {bind(names, 'Array(String)')}"]
    if scope.until is not None:
        conditions.append(f"e.timestamp < {bind(clickhouse_time(scope.until), "DateTime64(6, 'UTC')")}")
    events = everything.select({}, entities=[entity], where=" AND ".join(conditions))
    return (
        f"SELECT done.actor AS actor FROM ({events}) AS done INNER JOIN ({_travelled(query, source)}) AS travelled"
        f" ON travelled.actor = done.actor"
        f" WHERE {micros('done.ts')} > travelled.first AND {micros('done.ts')} < travelled.last"
    )


def _final_events(query: Correlation, *, limit: int, offset: int) -> dict[str, tuple[MatchedEvent, ...]]:
    """Return the events of a page's actors that were the last step of their best chains, earliest first."""
    statement = Statement()
    source = Source(query.funnel.scope, statement)
    events = step_events(query.funnel.steps, source)
    rows = statement.rows(
        f"SELECT toString(v.actor) AS id, {EARLIEST}"
        f" FROM (SELECT actor, {micros('ts')} AS at, matched, toUInt16(arrayJoin(did)) AS step FROM ({events})) AS v"
        f" INNER JOIN (SELECT actor, final AS at, toUInt16(step) AS step FROM ({_travelled(query, source)})"
        f" WHERE toString(actor) IN ({_page(query, statement, limit=limit, offset=offset)})) AS t"
        f" ON v.actor = t.actor AND v.at = t.at AND v.step = t.step GROUP BY id"
    )
    return read_matched(rows)
