"""Retention the slow way: insight_actors.md section 10, read sentence by sentence, over events in Python."""

from calendar import monthrange
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from tests.support.event_streams import StreamEvent

type Predicate = Callable[[StreamEvent], bool]
type Values = Callable[[StreamEvent], tuple[str, ...]]


@dataclass(frozen=True)
class Table:
    """A whole retention table: its range (S and E, aware), and which events are targets and returns."""

    zone: ZoneInfo
    period: str
    since: datetime
    until: datetime
    target: Predicate
    returning: Predicate
    first_time: bool = False
    breakdown: Values | None = None


def trunc(moment: datetime, period: str, zone: ZoneInfo) -> datetime:
    """Return the start of the period that a moment lies in, in UTC."""
    here = moment.astimezone(zone)
    if period == "hour":
        into = timedelta(minutes=here.minute, seconds=here.second, microseconds=here.microsecond)
        return moment.astimezone(UTC) - into
    day = here.date()
    if period == "week":
        day -= timedelta(days=(day.weekday() + 1) % 7)
    if period == "month":
        day = day.replace(day=1)
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def periods_between(first: datetime, second: datetime, period: str, zone: ZoneInfo) -> int:
    """Count the periods from one start to another."""
    if period == "hour":
        return int((second - first) / timedelta(hours=1))
    begin, end = _day(first, zone), _day(second, zone)
    if period == "month":
        return (end.year - begin.year) * 12 + end.month - begin.month
    days = (end - begin).days
    return days // 7 if period == "week" else days


def table_row(
    table: Table, by_actor: Mapping[str, Sequence[StreamEvent]], selected: object, length: int
) -> list[tuple[str, list[int]]]:
    """Return the actors of a row with their appearances.

    `selected` is an interval index, or a tuple of values where there is a breakdown. The events of each actor must
    be in order of time.
    """
    found = []
    for actor, events in by_actor.items():
        rows = [start for start, row in _target_rows(table, events) if row == selected]
        if not rows:
            continue
        offsets = {0}
        for start in rows:
            for event in events:
                returned = trunc(event.timestamp, table.period, table.zone)
                in_range = table.since <= event.timestamp <= table.until
                if table.returning(event) and in_range and returned > start:
                    offsets.add(periods_between(start, returned, table.period, table.zone))
        found.append((actor, [1 if offset in offsets else 0 for offset in range(length)]))
    return sorted(found, key=lambda row: (-sum(row[1]), row[0]))


def _target_rows(table: Table, events: Sequence[StreamEvent]) -> list[tuple[datetime, object]]:
    """Return for each target row the start of its interval, and its index or its values."""
    targets = [event for event in events if table.target(event)]
    starts = [(trunc(event.timestamp, table.period, table.zone), event) for event in targets]
    if table.first_time:
        kept = [(start, event) for start, event in starts[:1] if table.since <= start <= table.until]
    else:
        kept = [(start, event) for start, event in starts if table.since <= event.timestamp <= table.until]
    base = trunc(table.since, table.period, table.zone)
    if table.breakdown is not None:
        return [(start, table.breakdown(event)) for start, event in kept]
    return [(start, periods_between(base, start, table.period, table.zone)) for start, _ in kept]


def _day(moment: datetime, zone: ZoneInfo) -> date:
    # A day whose midnight the clocks skip begins an hour later: still that day.
    return moment.astimezone(zone).date()


def range_of(date_to: datetime, period: str, total: int) -> tuple[datetime, datetime]:
    """Return S and E of 10.1; `date_to` is in the project's time zone."""
    if period == "hour":
        end = date_to.astimezone(UTC) + timedelta(hours=1)
        return end - timedelta(hours=total), end
    end = _later(date_to, period, 1).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    since = _later(end, period, -total)
    if period == "week":
        while since.strftime("%A") != "Sunday":
            since -= timedelta(days=1)
    return since, end


def whole_range_of(
    date_to: datetime, period: str, total: int, date_from: datetime | None = None
) -> tuple[datetime, datetime, int]:
    """Return S and E of RetentionQuery, whose periods are whole, and how many of them there are.

    `date_to` is in the project's time zone.
    """
    since, end = range_of(date_to, period, total)
    zone = date_to.tzinfo
    assert isinstance(zone, ZoneInfo)
    first, after = (trunc(moment, period, zone) for moment in (date_from or since, end))
    return first, after - timedelta(microseconds=1), max(periods_between(first, after, period, zone), 0)


def before(date_to: datetime, period: str, steps: int | None) -> datetime | None:
    """Return a moment some steps before another, each about as long as a period; None for none."""
    lengths = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=5)}
    return None if steps is None else date_to - steps * lengths.get(period, timedelta(days=20))


def _later(moment: datetime, period: str, count: int) -> datetime:
    if period == "month":
        months = moment.year * 12 + moment.month - 1 + count
        year, month = divmod(months, 12)
        longest = monthrange(year, month + 1)[1]
        return moment.replace(year=year, month=month + 1, day=min(moment.day, longest))
    return moment + timedelta(days=count * (7 if period == "week" else 1))
