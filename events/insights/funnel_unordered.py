"""Unordered funnels (6.3): how many different steps were done within the window after an event."""
# ruff: noqa: S608 values are bound

from events.insights.funnel_breakdown import division
from events.insights.funnel_chains import Chains, asked_entities, gathered_codes, reach
from events.insights.funnel_codes import NEVER, Codes, entered, window_end
from events.insights.funnel_query import FunnelQuery
from events.insights.source import Source


def unordered(query: FunnelQuery, source: Source) -> Chains:
    """Return for every event of a step the other steps that have a later event in the window.

    All exclusions go from the first step to the last. Of two best starts at one time, the one at the step that was
    named first gives the times.
    """
    entities = asked_entities(query)
    codes = Codes(entities, tuple(range(len(entities))))
    count = len(query.steps)
    steps = {kind: f"n{kind}" for kind in range(count)} if count > 1 else {}
    excluded = [f"n{kind}" for kind in range(count, len(entities))]
    hits = {kind: f"({codes.rank('c')} != {kind} AND {codes.time(step)} <= w)" for kind, step in steps.items()}
    done = " + ".join(["1", *hits.values()])
    conditions = [f"{codes.rank('c')} < {count}", entered(codes.time("c"), query, source.statement)]
    if excluded:
        lasts = [codes.time("c"), *(f"if({hits[kind]}, {codes.time(step)}, 0)" for kind, step in steps.items())]
        until = f"if({done} = {count}, arrayMax([{', '.join(lasts)}]), w)"
        conditions += [f"NOT ({codes.time(one)} < {until})" for one in excluded]
    ends = f"arrayMap(c -> {window_end(codes.time('c'), query.window, query.scope.timezone, source.statement)}, k)"
    named = [*steps.values(), *excluded]
    found = reach(done, conditions, [("c", "k"), ("w", ends), *((name, name) for name in named)])
    kept = ", ".join(["actor", *division(query.breakdown).names, "k"])
    sql = _with_later(gathered_codes(query, source, codes), kept, codes, named)
    others = "".join(
        f", if({codes.rank('k[pos]')} = {kind}, {NEVER}, {codes.time(f'{step}[pos]')})" for kind, step in steps.items()
    )
    return Chains(
        sql=f"SELECT {', '.join([kept, *steps.values()])}, {found} FROM ({sql})",
        times=f"arraySlice(arraySort([{codes.time('k[pos]')}{others}]), 1, steps)",
    )


def _with_later(sql: str, kept: str, codes: Codes, named: list[str]) -> str:
    """Add the arrays `n<kind>`: at every position the first code of that kind at a later time, or `NEVER`."""
    last = f"arrayMap((c, d) -> {codes.time('c')} != {codes.time('d')}, k, arrayShiftLeft(k, 1)) AS last"
    # What stands behind the last position of a time is later; carried back, it is so for all positions of the time.
    nexts = [(name, f"arrayReverseFill(c -> {codes.is_of('c', int(name[1:]))}, k)") for name in named]
    behind = "".join(f", arrayShiftLeft({following}, 1, toUInt64({NEVER})) AS b{name}" for name, following in nexts)
    later = "".join(f", arrayReverseFill((v, l) -> l, b{name}, last) AS {name}" for name in named)
    return f"SELECT {kept}{later} FROM (SELECT *, {last}{behind} FROM ({sql}))"
