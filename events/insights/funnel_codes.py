"""Events as numbers that sort as a funnel wants them: by time, and what happened at one time by rank.

The lowest bits of a code are the rank, which stands for a step or an exclusion; the bits above are the time in
microseconds. Sorting an actor's codes and walking over the array is several times as fast as window functions or
`windowFunnel`, and it can tell repeated steps and exclusions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from events.insights.entities import Entity, event_names
from events.insights.funnel_query import FunnelQuery, Window
from events.insights.intervals import start_of
from events.insights.source import Source
from events.insights.statement import Statement
from events.rows import clickhouse_time

# DateTime64 begins with 1900: times are counted from there, so that none is below 0.
EPOCH: Final = 2_208_988_800_000_000
# Behind every code; a time made of it lies behind every end of a window.
NEVER: Final = 2**64 - 1
# No two events are further apart: from 1900 to 2299.
_LONGEST: Final = 400 * 366 * 86_400 * 1_000_000
_LONGEST_MONTHS: Final = 400 * 12
_LATEST: Final = _LONGEST
_MICROSECONDS: Final = {
    "second": 1_000_000, "minute": 60_000_000, "hour": 3_600_000_000, "day": 86_400_000_000, "week": 604_800_000_000
}  # fmt: skip
# Time needs 54 bits, twice that (a window's end) 55.
MOST_RANKS: Final = 2**9 - 1
_NO_RANK: Final = 2**16 - 1


@dataclass(frozen=True, slots=True)
class Codes:
    """The codes of one statement: `ranks[i]` belongs to `entities[i]`."""

    entities: tuple[Entity, ...]
    ranks: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse more entities than the bits can tell apart."""
        if len(self.ranks) > MOST_RANKS:
            raise ValueError("too many steps")

    @property
    def bits(self) -> int:
        """So many bits that the rank in `NEVER` is nobody's."""
        return (max(self.ranks) + 1).bit_length()

    def rank(self, code: str) -> str:
        """Return the expression of a code's rank."""
        return f"bitAnd({code}, {2**self.bits - 1})"

    def time(self, code: str) -> str:
        """Return the expression of a code's time."""
        return f"bitShiftRight({code}, {self.bits})"

    def columns(self, source: Source) -> dict[str, str]:
        """Return the columns for `Source.select` that `gathered` reads."""
        conditions = [source.condition(entity) for entity in self.entities]
        pairs = list(zip(conditions, self.ranks, strict=True))
        if apart(self.entities):
            cases = "".join(f"{condition}, {rank}, " for condition, rank in pairs)
            return {"ranked": f"toUInt16(multiIf({cases}{_NO_RANK}))"}
        cases = ", ".join(f"if({condition}, {rank}, {_NO_RANK})" for condition, rank in pairs)
        return {"ranked": f"arrayFilter(r -> r != {_NO_RANK}, CAST([{cases}], 'Array(UInt16)'))"}

    @property
    def where(self) -> str:
        """Return the condition that leaves out events of no entity."""
        return f"ranked != {_NO_RANK}" if apart(self.entities) else "notEmpty(ranked)"

    def gathered(self) -> str:
        """Return the aggregate of an actor's codes, sorted, with `NEVER` at the end."""
        shifted = f"bitShiftLeft({micros('ts')}, {self.bits})"
        if apart(self.entities):
            codes = f"groupArray(bitOr({shifted}, ranked))"
        else:
            times = f"arrayWithConstant(length(ranked), {shifted})"
            codes = f"groupArrayArray(arrayMap((r, t) -> bitOr(t, r), ranked, {times}))"
        return f"arrayPushBack(arraySort({codes}), toUInt64({NEVER}))"

    def is_of(self, code: str, index: int) -> str:
        """Return the condition that a code belongs to an entity."""
        return f"{self.rank(code)} = {self.ranks[index]}"


def apart(entities: Sequence[Entity]) -> bool:
    """Tell whether no event can be of two of the entities, by their names alone."""
    seen: set[str] = set()
    for entity in entities:
        names = event_names([entity])
        if names is None or not seen.isdisjoint(names):
            # One entity of any name is apart as long as it is the only one.
            return len(entities) == 1
        seen.update(names)
    return True


def micros(moment: str) -> str:
    """Return the time of a moment, as codes have it."""
    return f"toUInt64(toUnixTimestamp64Micro({moment}) + {EPOCH})"


def moment(time: str) -> str:
    """Return a time as DateTime64(6, 'UTC')."""
    return f"fromUnixTimestamp64Micro(toInt64({time}) - {EPOCH}, 'UTC')"


def window_end(time: str, window: Window, timezone: str, statement: Statement) -> str:
    """Return the last time that lies in the window of a start."""
    if window.unit == "month":
        if window.count >= _LONGEST_MONTHS:
            return f"{time} + {_LONGEST}"
        local = f"toTimeZone({moment(f'least({time}, {_LATEST})')}, {statement.bind(timezone)})"
        return micros(f"addMonths({local}, {window.count})")
    return f"{time} + {min(window.count * _MICROSECONDS[window.unit], _LONGEST)}"


def entered(time: str, query: FunnelQuery, statement: Statement) -> str:
    """Return the condition that a start at a time counts."""
    entrance = query.entrance
    if entrance is None:
        return "1"
    begun = start_of(moment(time), entrance.interval, query.scope.timezone, statement, week_start=entrance.week_start)
    return f"{begun} = {statement.bind(clickhouse_time(entrance.start), "DateTime64(6, 'UTC')")}"
