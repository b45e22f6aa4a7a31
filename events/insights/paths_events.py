"""The events of which paths are made, with their items; of funnel paths those before, between or after steps."""
# ruff: noqa: S608 values are bound

from typing import Final

from events.insights.funnel import Reached, funnel_sql
from events.insights.funnel_codes import micros, window_end
from events.insights.paths_items import counted, item
from events.insights.paths_query import FunnelPaths, PathQuery
from events.insights.source import Source

_SESSION_GAP: Final = 30 * 60 * 1_000_000


def considered(query: PathQuery, source: Source, *, recordings: bool = False) -> str:
    """Return a SELECT of `actor`, `ts`, `uuid` and `item`, with `recordings` also `session_id` and `window_id`."""
    statement = source.statement
    columns = {
        "uuid": "e.uuid",
        "item": item(query.items, source),
        **({"session_id": "e.`$session_id`", "window_id": "e.`$window_id`"} if recordings else {}),
    }
    conditions = [counted(query.items, statement)]
    if query.items.excluded:
        conditions.append(f"item NOT IN {statement.bind(list(query.items.excluded), 'Array(String)')}")
    events = source.select(columns, where=" AND ".join(one for one in conditions if one != "1") or "1")
    if query.funnel is None:
        return events
    listed = ", ".join(f"v.{name} AS {name}" for name in ("actor", "ts", *columns))
    return (
        f"SELECT {listed} FROM ({events}) AS v INNER JOIN ({_stretches(query.funnel, source)}) AS f"
        f" ON v.actor = f.actor WHERE {micros('v.ts')} >= f.since AND {micros('v.ts')} <= f.until"
    )


def session_end(time: str, query: PathQuery, source: Source) -> str:
    """Return the first time at which the event after one of this time begins a session; both as in `funnel_codes`."""
    if query.funnel is None:
        return f"{time} + {_SESSION_GAP}"
    return window_end(time, query.funnel.query.window, query.scope.timezone, source.statement)


def _stretches(funnel: FunnelPaths, source: Source) -> str:
    """Return a SELECT of `actor` and of the times `since` and `until` between which events are kept."""
    statement = source.statement
    steps = funnel_sql(funnel.query, Source(funnel.query.scope, statement))
    if funnel.query.breakdown is not None:
        # An actor has a chain for each value: the best of all is the actor's.
        best = "argMin((steps, times), (-toInt32(steps), times[1]))"
        each = f"SELECT actor, {best} AS best FROM ({steps}) GROUP BY actor"
        steps = f"SELECT actor, best.1 AS steps, best.2 AS times FROM ({each})"
    at = micros(f"times[{funnel.step}]")
    since = {"after": at, "between": micros(f"times[{funnel.step - 1}]")}.get(funnel.part, "0")
    until = at if funnel.part != "after" else "18446744073709551615"
    if funnel.open_end:
        until = window_end(f"({at})", funnel.query.window, funnel.query.scope.timezone, statement)
    return (
        f"SELECT actor, toUInt64({since}) AS since, toUInt64({until}) AS until FROM ({steps})"
        f" WHERE {_reached(funnel.which, source)} AND length(times) >= {funnel.step}"
    )


def _reached(which: Reached, source: Source) -> str:
    bind = source.statement.bind
    if which.custom is not None:
        return f"steps IN {bind(sorted(which.custom), 'Array(Int64)')}"
    most = f" AND steps <= {bind(which.most)}" if which.most is not None else ""
    return f"steps >= {bind(which.least)}{most}"
