"""Ordered funnels (6.1): each step at its first event at or after the step before."""
# ruff: noqa: S608 values are bound

from itertools import pairwise
from typing import Final

from events.insights.funnel_breakdown import division
from events.insights.funnel_chains import Chains, asked_entities, gathered_codes, reach
from events.insights.funnel_codes import NEVER, Codes, entered, window_end
from events.insights.funnel_query import FunnelQuery
from events.insights.source import Source


def ordered(query: FunnelQuery, source: Source) -> Chains:
    """Return the greedy chain of every start."""
    return _Ordered(query, source).chains()


class _Ordered:
    """Writes one statement, whose arrays have an element for each code of `k`.

    From the last step to the second, `t<i>` becomes the code of step i's event in the chain that goes on from a
    position, and `x<j>` the code of the first event of exclusion j after its first step; `NEVER` where there is none.
    """

    def __init__(self, query: FunnelQuery, source: Source) -> None:
        self._query = query
        self._source = source
        self._codes: Final = Codes(asked_entities(query), _ranks(query))
        self._names: Final = division(query.breakdown).names

    def chains(self) -> Chains:
        """Return the whole statement."""
        codes = self._codes
        sql = gathered_codes(self._query, self._source, codes)
        columns: list[str] = []
        for step in reversed(range(1, len(self._query.steps))):
            sql, columns = self._with_exclusions(sql, columns, step)
            sql, columns = self._carried_back(sql, columns, step)
        sql, columns = self._with_exclusions(sql, columns, 0)
        steps = [f"t{step}" for step in range(1, len(self._query.steps))]
        late = "".join(f"{codes.time(step)} > w, {number}, " for number, step in enumerate(steps, 1))
        conditions = [
            codes.is_of("c", 0),
            entered(codes.time("c"), self._query, self._source.statement),
            *(f"NOT {self._discarded(index)}" for index in range(len(self._query.exclusions))),
        ]
        ends = f"arrayMap(c -> {self._end('c')}, k)"
        arrays = [("c", "k"), ("w", ends), *((column, column) for column in columns)]
        found = reach(f"multiIf({late}{len(steps) + 1})" if late else "1", conditions, arrays)
        at = ["k", *steps]
        times = ", ".join(codes.time(f"{array}[pos]") for array in at)
        return Chains(
            sql=f"SELECT {', '.join(['actor', *self._names, *at])}, {found} FROM ({sql})",
            times=f"arraySlice([{times}], 1, steps)",
            at=tuple(f"arrayMap(c -> {codes.time('c')}, {array})" for array in at),
        )

    def _carried_back(self, sql: str, columns: list[str], step: int) -> tuple[str, list[str]]:
        """Let every column hold what follows the next event of a step, not what follows any event."""
        here = self._codes.is_of("c", step)
        fills = "".join(f", arrayReverseFill((v, c) -> {here}, {column}, k) AS n{column}" for column in columns)
        renamed = "".join(f", n{column} AS {column}" for column in columns)
        kept = ", ".join(["actor", *self._names, "k"])
        own = f"arrayReverseFill(c -> {here}, k) AS t{step}"
        inner = f"SELECT {kept}, {own}{fills} FROM ({sql})"
        return f"SELECT {kept}, t{step}{renamed} FROM ({inner})", [f"t{step}", *columns]

    def _with_exclusions(self, sql: str, columns: list[str], step: int) -> tuple[str, list[str]]:
        """Add the next event of each exclusion that begins with a step."""
        begun = [index for index, one in enumerate(self._query.exclusions) if one.from_step == step]
        if not begun:
            return sql, columns
        first = len(self._query.steps)
        fills = [f"arrayReverseFill(c -> {self._codes.is_of('c', first + index)}, k) AS x{index}" for index in begun]
        return f"SELECT *, {', '.join(fills)} FROM ({sql})", [*columns, *(f"x{index}" for index in begun)]

    def _discarded(self, index: int) -> str:
        """Return the condition that an exclusion lies between its steps, or in the window after the first of them."""
        exclusion, codes = self._query.exclusions[index], self._codes
        begin = "c" if exclusion.from_step == 0 else f"t{exclusion.from_step}"
        end = f"t{exclusion.to_step}"
        until = f"if({end} = {NEVER}, {self._end(begin)}, {codes.time(end)})"
        return f"(x{index} != {NEVER} AND {codes.time(f'x{index}')} < {until})"

    def _end(self, code: str) -> str:
        zone = self._query.scope.timezone
        return window_end(self._codes.time(code), self._query.window, zone, self._source.statement)


def _ranks(query: FunnelQuery) -> tuple[int, ...]:
    """Return the ranks of the steps, then of the exclusions.

    At one time a step's events stand after those of the step before, which it may follow at once; not so where it
    repeats the step before and needs a later event. Exclusions stand before all steps: only later ones count.
    """
    order: list[int] = []
    run = [0]
    for number, (earlier, later) in enumerate(pairwise(query.steps), 1):
        if later.repeats(earlier):
            run.insert(0, number)
        else:
            order += run
            run = [number]
    order += run
    lowest = len(query.exclusions)
    return (*(lowest + order.index(number) for number in range(len(query.steps))), *range(lowest))
