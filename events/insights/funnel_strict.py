"""Strict funnels (6.2): each step at the very next event."""
# ruff: noqa: S608 values are bound

from typing import Final

from events.insights.funnel_breakdown import considered, division
from events.insights.funnel_chains import Chains, by_actor, reach
from events.insights.funnel_codes import NEVER, entered, micros, window_end
from events.insights.funnel_query import FunnelQuery
from events.insights.source import Source

# One wide number sorts several times as fast as a tuple: time, UUID, and a bit for each step that the event matches.
_ROW: Final = "bitOr(bitOr(bitShiftLeft(toUInt256(time), 192), bitShiftLeft(toUInt256(toUInt128(e.uuid)), 64)), mask)"
_TIME: Final = "toUInt64(bitShiftRight(r, 192))"
_MASK: Final = f"toUInt64(bitAnd(r, toUInt256({2**64 - 1})))"
MOST_STEPS: Final = 64


def strict(query: FunnelQuery, source: Source) -> Chains:
    """Return the run of every start. Events of one time are in the order of their UUIDs.

    An event that was sent again and still has two rows is one event.
    """
    if len(query.steps) > MOST_STEPS:
        raise ValueError("too many steps")
    statement = source.statement
    bits = [f"bitShiftLeft(toUInt64({source.condition(step)}), {number})" for number, step in enumerate(query.steps)]
    columns = {
        "time": micros("e.timestamp"),
        "mask": f"toUInt256(arraySum([{', '.join(bits)}]))",
        "event_row": _ROW,
    }
    events = considered(query, source, columns, entities=None)
    sql = by_actor(query, "arrayCompact(arraySort(groupArray(event_row))) AS event_rows", events)
    names = ["actor", *division(query.breakdown).names]
    parts = f"arrayMap(r -> {_TIME}, event_rows) AS t0, arrayMap(r -> {_MASK}, event_rows) AS m0"
    later = range(1, len(query.steps))
    shifted = "".join(
        f", arrayShiftLeft(t0, {number}, toUInt64({NEVER})) AS t{number}, arrayShiftLeft(m0, {number}) AS m{number}"
        for number in later
    )
    sql = f"SELECT *{shifted} FROM (SELECT {', '.join(names)}, {parts} FROM ({sql}))"
    broken = "".join(f"NOT (bitTest(m{number}, {number}) AND t{number} <= w), {number}, " for number in later)
    ends = f"arrayMap(t -> {window_end('t', query.window, query.scope.timezone, statement)}, t0)"
    found = reach(
        f"multiIf({broken}{len(query.steps)})" if broken else "1",
        ["bitTest(m0, 0)", entered("t0", query, statement)],
        [("w", ends), *((column, column) for number in (0, *later) for column in (f"t{number}", f"m{number}"))],
    )
    at = tuple(f"t{number}" for number in (0, *later))
    return Chains(f"SELECT {', '.join([*names, *at])}, {found} FROM ({sql})", "arraySlice(t0, pos, steps)", at)
