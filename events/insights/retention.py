"""Who did a target event in one period, and in which later periods each of them came back."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta

from events.filters.grammar import Filter
from events.insights.entities import Entity
from events.insights.intervals import Interval
from events.insights.source import EventScope, Source
from events.insights.statement import Statement
from events.rows import clickhouse_time

_WORD: Final = 64
_MOMENT: Final = "DateTime64(6, 'UTC')"
# More than the clocks of any zone move by: a bound reckoned here never cuts into the interval that it is for.
_SLACK: Final = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class RetentionQuery:
    """One row of a retention table.

    `scope.since` and `scope.until` are S and E of specification 10.1, `scope.since` with a Sunday where `period` is a
    week. Period 0 is the one that S lies in; `row` is the period of the target event. An answer tells of `length`
    periods from there on, at least one. With `first_time` an actor's first target event ever is its only one.
    `breakdown` is the filter that a target event passes when it has the row's values: the row is then all of those,
    whatever their period.

    Whole tables alone know the rest: how many returning events a period must have, `minimum_occurrences`; `brackets`,
    the last distances of columns that stand for several periods after the first one, rising; and `cumulative`, by
    which an actor counts as there until its last return. Of those `length` is the number of rows, and `columns` how
    many periods a row tells of at most, from its own on; without it, all that are left.
    """

    scope: EventScope
    period: Interval
    row: int
    length: int
    target: Entity
    returning: Entity
    first_time: bool = False
    breakdown: Filter | None = None
    minimum_occurrences: int = 1
    brackets: tuple[int, ...] = ()
    cumulative: bool = False
    columns: int | None = None


@dataclass(frozen=True, slots=True)
class RetainedActor:
    """An actor and, for the period of its target event and each one after it, 1 where it was active and 0 else."""

    actor: str
    appearances: list[int]


def retention_page(query: RetentionQuery, *, limit: int, offset: int) -> list[RetainedActor]:
    """Return the actors of a row, those with most appearances first, then by id (specification 10).

    The first target event ever has no date limit, so `first_time` reads the target's events (the table is ordered
    by their names) from the beginning; it keeps in memory only actors that have one in the row.
    """
    statement = Statement()
    page = f"LIMIT {statement.bind(limit)} OFFSET {statement.bind(offset)}"
    if query.breakdown is not None:
        rows = statement.rows(f"{_by_values(query, statement)} {page}")
        return [RetainedActor(actor, _read_distances(distances, query.length)) for actor, distances in rows]
    if query.first_time and query.row < first_whole_period(query):
        return []
    rows = statement.rows(f"{_by_period(query, statement)} {page}")
    return [RetainedActor(actor, _read_bits(words, query.length)) for actor, *words in rows]


def _by_period(query: RetentionQuery, statement: Statement) -> str:
    """Write the statement for the row of one period: an actor's id, then words of bits, one bit for each period."""
    source = Source(_from(query, query.row), statement)
    wanted = source.condition(query.target)
    if query.returning != query.target:
        # Most target events of later periods, and those who returned before, need not be looked at.
        wanted = f"(({wanted} AND distance = 0) OR ({source.condition(query.returning)} AND distance > 0))"
    distance = f"{period_number(query, statement)} - {query.row}"
    events = source.select({"distance": distance}, entities=[query.target, query.returning], where=wanted)
    words = range(-(-query.length // _WORD))
    columns = ", ".join(f"groupBitOr({_bit(word, query.length)}) AS word{word}" for word in words)
    ones = " + ".join(f"bitCount(word{word})" for word in words)
    began = "bitTest(word0, 0)"
    if query.first_time:
        began += _and_never_before(query, statement, query.row, query.row)
    return (
        f"SELECT toString(actor) AS id, {columns} FROM ({events}) GROUP BY actor"  # noqa: S608 values are bound
        f" HAVING {began} ORDER BY {ones} DESC, id"
    )


def _by_values(query: RetentionQuery, statement: Statement) -> str:
    """Write the statement for the row of some values: an actor's id, then the distances of its appearances."""
    source = Source(query.scope, statement)
    came, began = "returning", "groupUniqArrayIf(period, target AND valued)"
    condition = "notEmpty(began)"
    if query.first_time:
        until = ends_of(query)[1]
        # A first event counts when its period begins in the range (10.2), thus after E too, in the period of E.
        source = Source(replace(query.scope, until=_moved(query, until, 1) + _SLACK), statement)
        end = statement.bind(clickhouse_time(until), _MOMENT)
        came = f"returning AND ts <= {end}"
        lowest, highest = first_whole_period(query), period_number(query, statement, end)
        first = f"argMinIf((period, valued), (ts, toUInt128(id)), target AND period BETWEEN {lowest} AND {highest})"
        began = f"arrayMap(f -> f.1, arrayFilter(f -> f.2, [{first}]))"
        condition += _and_never_before(query, statement, lowest)
    columns = {
        "period": period_number(query, statement),
        "target": source.condition(query.target),
        "returning": source.condition(query.returning),
        "valued": source.filtered(query.breakdown),
        "id": "e.uuid",
    }
    events = source.select(columns, entities=[query.target, query.returning], where="(target OR returning)")
    distances = (
        "arrayDistinct(arrayPushFront(arrayFlatten(arrayMap("
        f"b -> arrayFilter(d -> d > 0 AND d < {query.length}, arrayMap(c -> c - b, came)), began)), 0))"
    )
    return (
        f"SELECT toString(actor) AS id, {distances} AS distances FROM ("  # noqa: S608 values are bound
        f"SELECT actor, {began} AS began, groupUniqArrayIf(period, {came}) AS came FROM ({events}) GROUP BY actor"
        f" HAVING {condition}) ORDER BY length(distances) DESC, id"
    )


def _and_never_before(query: RetentionQuery, statement: Statement, lowest: int, highest: int | None = None) -> str:
    """Return the condition that an actor has had no target event in any period before `lowest`, not even before S.

    It is asked only for those who have one from `lowest` (to `highest`) on, which keeps the set small.
    """
    period = period_number(query, statement)
    within = _from(query, lowest)
    row = Source(within if highest is None else replace(within, until=_end(query, highest)), statement)
    among = row.select({}, entities=[query.target], where=f"{row.condition(query.target)} AND {period} >= {lowest}")
    earlier = Source(replace(query.scope, since=None, until=_end(query, lowest)), statement)
    where = f"{earlier.condition(query.target)} AND {period} < {lowest} AND actor IN (SELECT actor FROM ({among}))"  # noqa: S608 values are bound
    events = earlier.select({}, entities=[query.target], where=where)
    return f" AND actor NOT IN (SELECT actor FROM ({events}))"  # noqa: S608 values are bound


def period_number(query: RetentionQuery, statement: Statement, moment: str = "e.timestamp") -> str:
    """Return how many periods lie between the one of S and the one of a moment; negative before it."""
    since = statement.bind(clickhouse_time(ends_of(query)[0]), _MOMENT)
    zone = statement.bind(query.scope.timezone)
    if query.period == "hour":
        # dateDiff counts hours by the offset that the zone had in 1970: of Asia/Kathmandu that was another quarter.
        return f"toInt32(intDiv({_hour_start(moment, zone)} - {_hour_start(since, zone)}, 3600))"
    if query.period == "week":
        # Weeks begin on Sundays, as S then does; those of dateDiff on Mondays. Rounded down, also before S.
        return f"toInt32(floor(dateDiff('day', {since}, {moment}, {zone}) / 7))"
    return f"toInt32(dateDiff('{query.period}', {since}, {moment}, {zone}))"


def _hour_start(moment: str, zone: str) -> str:
    """Return the start of the local hour of a moment, in Unix seconds."""
    offset = f"timeZoneOffset(toTimeZone({moment}, {zone}))"
    return f"(toInt64(floor((toUnixTimestamp64Second({moment}) + {offset}) / 3600)) * 3600 - {offset})"


def first_whole_period(query: RetentionQuery) -> int:
    """Return the number of the first period that begins in the range: 10.2 keeps no first event of one before."""
    since = ends_of(query)[0].astimezone(ZoneInfo(query.scope.timezone))
    match query.period:
        case "hour":
            return 0 if (since.minute, since.second, since.microsecond) == (0, 0, 0) else 1
        case "month":
            return 0 if since.day == 1 else 1
        case _:
            return 0


def _from(query: RetentionQuery, period: int) -> EventScope:
    """Return the scope without the events that lie safely before a period."""
    since = ends_of(query)[0]
    begin = _moved(query, since.replace(day=1) if query.period == "month" else since, period)
    return replace(query.scope, since=max(begin - timedelta(hours=1) - _SLACK, since))


def _end(query: RetentionQuery, period: int) -> datetime:
    """Return a moment safely after a period."""
    return _moved(query, ends_of(query)[0], period + 1) + _SLACK


def _moved(query: RetentionQuery, moment: datetime, periods: int) -> datetime:
    return moment + relativedelta(**{f"{query.period}s": periods})  # type: ignore[arg-type]


def ends_of(query: RetentionQuery) -> tuple[datetime, datetime]:
    """Return S and E, which no retention is without."""
    if query.scope.since is None or query.scope.until is None:
        raise ValueError(query.scope)
    return query.scope.since, query.scope.until


def _bit(word: int, length: int) -> str:
    """Return the bit of an event's distance in the word that it lies in, and nothing else."""
    first, end = word * _WORD, min((word + 1) * _WORD, length)
    return (
        f"if(distance >= {first} AND distance < {end},"
        f" bitShiftLeft(toUInt64(1), toUInt8(distance - {first})), toUInt64(0))"
    )


def _read_bits(words: Sequence[int], length: int) -> list[int]:
    bits = sum(word << (_WORD * number) for number, word in enumerate(words))
    return [bits >> distance & 1 for distance in range(length)]


def _read_distances(distances: Sequence[int], length: int) -> list[int]:
    active = set(distances)
    return [int(distance in active) for distance in range(length)]
