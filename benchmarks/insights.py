"""Insights over ten million events: the statement of each endpoint against one plain count per person.

The plain statement groups the same events of the same dates by `person_id` and knows nothing of merges. Both run in
turns in this process, through the driver, without HTTP of our own.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import orjson

from benchmarks import insight_events, load
from benchmarks.insight_events import DAYS, Shop
from benchmarks.load import Call
from benchmarks.report import Measure, median_ratio, percentiles
from benchmarks.world import World, cpu_seconds

if TYPE_CHECKING:
    from events.insights.source import EventScope

EVENTS, PERSONS = 10_000_000, 200_000
QUICK_EVENTS, QUICK_PERSONS = 200_000, 4_000
LIMITS: Final = {"funnel": 4.0, "retention": 4.0, "lifecycle": 3.0, "stickiness": 2.0, "trends": 2.0, "path": 8.0}
GROWTH_LIMIT: Final = 1.3
"""Of the time per event over three times as many, and of the time with three times as many events in the table."""
PAGE: Final = 100
ZONE: Final = "Europe/Berlin"
VIEW, CART, ORDER = "$pageview", "cart_opened", "order_placed"
EVENTS_OF: Final = {"funnel": [VIEW, CART, ORDER]}
"""The names that a question is about, where it is not page views alone."""
MEGABYTE: Final = 1024**2
LEAST_MEMORY, MOST_MEMORY = 4, 4096
"""Megabytes between which the least is sought that a question needs."""

_PLAIN = """
SELECT max(person_id), max(counted) FROM (
    SELECT person_id, count() AS counted FROM events
    WHERE team_id = {team:Int64} AND timestamp >= {since:DateTime64(6, 'UTC')}
        AND timestamp <= {until:DateTime64(6, 'UTC')} AND event IN {names:Array(String)}
    GROUP BY person_id)"""
"""The plain statement in full, but for sending its 200,000 rows: with a LIMIT instead, ClickHouse would stop early."""


@dataclass(frozen=True, slots=True)
class Dates:
    """The events of a team within dates."""

    team: int
    since: datetime
    until: datetime

    def scope(self) -> "EventScope":
        """Return what our queries take."""
        from events.insights.source import EventScope

        return EventScope(self.team, self.since, self.until, ZONE)


def measure(world: World) -> Iterator[Measure]:
    """Fill, then ask all questions: against the plain statement, over less, beside less, with less memory."""
    events, persons = (QUICK_EVENTS, QUICK_PERSONS) if world.quick else (EVENTS, PERSONS)
    shop = insight_events.fill(
        world.environment["CLICKHOUSE_URL"], team=world.team_ids[7], recent_team=world.team_ids[8],
        persons=persons, events=events,
    )  # fmt: skip
    clickhouse = next(store.process for store in world.stores.running if store.name == "clickhouse")
    assert clickhouse is not None
    timer = Timer(clickhouse.pid, rounds=2 if world.quick else 9)
    yield from measured(shop, timer)
    insight_events.load_persons(world, shop)
    yield from _over_http(world, shop)


def measured(shop: Shop, timer: "Timer") -> Iterator[Measure]:
    """Measure what needs ClickHouse alone."""
    everything = Dates(shop.team, shop.since, shop.until)
    last_third = Dates(shop.team, shop.recent_since, shop.until)
    alone = Dates(shop.recent_team, shop.recent_since, shop.until)
    for name, limit in LIMITS.items():
        names = EVENTS_OF.get(name, [VIEW])
        found = timer.in_turns({
            "ours": _asked(name, everything),
            "plain": _plain(everything, names),
            "third": _asked(name, last_third),
            "alone": _asked(name, alone),
        })  # fmt: skip
        ratio, of_third, outside = (
            median_ratio(list(zip(found[one].seconds, found[other].seconds, strict=True)))
            for one, other in (("ours", "plain"), ("ours", "third"), ("third", "alone"))
        )
        raw: dict[str, Any] = {
            key: {"ms": percentiles([1000 * second for second in sample.seconds]), "cpu_ms": sample.cpu_ms}
            for key, sample in found.items()
        }
        yield Measure(f"insight_{name}_vs_plain", ratio, limit, at_least=False, raw=raw)
        share = _count(everything, names) / _count(last_third, names)
        yield Measure(f"insight_{name}_growth_per_event", of_third / share, GROWTH_LIMIT, at_least=False)
        yield Measure(f"insight_{name}_with_more_outside", outside, GROWTH_LIMIT, at_least=False)
        yield Measure(f"insight_{name}_p50", 1000 * statistics.median(found["ours"].seconds), unit="ms")
        yield Measure(f"insight_{name}_memory", _needed_memory(_asked(name, everything)), unit="MB")


@dataclass(frozen=True, slots=True)
class Sample:
    """Seconds of each run, and the mean of the processor's milliseconds that ClickHouse used for one."""

    seconds: list[float]
    cpu_ms: float


@dataclass(frozen=True, slots=True)
class Timer:
    """Runs several things in turns, some rounds after one that does not count."""

    clickhouse_pid: int
    rounds: int

    def in_turns(self, things: dict[str, Callable[[], object]]) -> dict[str, Sample]:
        """Return a sample of each."""
        seconds: dict[str, list[float]] = {name: [] for name in things}
        cpu: dict[str, list[float]] = {name: [] for name in things}
        for number in range(self.rounds + 1):
            for name, run in things.items():
                used, begin = cpu_seconds(self.clickhouse_pid), time.perf_counter()
                run()
                if number:
                    seconds[name].append(time.perf_counter() - begin)
                    cpu[name].append(1000 * (cpu_seconds(self.clickhouse_pid) - used))
        return {name: Sample(seconds[name], round(statistics.fmean(cpu[name]), 1)) for name in things}


def _plain(dates: Dates, names: Sequence[str]) -> Callable[[], object]:
    from events import client

    return lambda: client.query(_PLAIN, _bound(dates, names))


def _count(dates: Dates, names: Sequence[str]) -> int:
    from events import client

    counted = _PLAIN.replace("max(person_id), max(counted)", "sum(counted)")
    return int(client.query(counted, _bound(dates, names)).rows[0][0])


def _bound(dates: Dates, names: Sequence[str]) -> dict[str, Any]:
    from events.rows import clickhouse_time

    since, until = clickhouse_time(dates.since), clickhouse_time(dates.until)
    return {"team": dates.team, "since": since, "until": until, "names": list(names)}


def _asked(name: str, dates: Dates) -> Callable[[], object]:
    """Return what asks one question and expects somebody behind it."""
    run = _QUESTIONS[name](dates)

    def ask() -> object:
        rows = run()
        assert rows, name
        return rows

    return ask


def _entity(name: str) -> Any:  # noqa: ANN401 imported late, after Django is set up
    from events.insights.entities import Entity, EventMatch

    return Entity("events", name, (EventMatch(name),))


def _funnel(dates: Dates) -> Callable[[], Sequence[object]]:
    """Three steps within 14 days: who did all."""
    from events.insights.funnel import funnel_page
    from events.insights.funnel_query import FunnelQuery, Reached

    query = FunnelQuery(dates.scope(), tuple(map(_entity, EVENTS_OF["funnel"])))
    return lambda: funnel_page(query, Reached.step(3), limit=PAGE, offset=0)


def _retention(dates: Dates) -> Callable[[], Sequence[object]]:
    """The first row of a table with a column for each day."""
    from events.insights.retention import RetentionQuery, retention_page

    query = RetentionQuery(
        dates.scope(), "day", row=0, length=(dates.until - dates.since).days + 1,
        target=_entity(VIEW), returning=_entity(VIEW),
    )  # fmt: skip
    return lambda: retention_page(query, limit=PAGE, offset=0)


def _lifecycle(dates: Dates) -> Callable[[], Sequence[object]]:
    """Who came back after an interval of half the dates: all of them are looked at, as never over HTTP."""
    from events.insights.lifecycle import LifecycleQuery, lifecycle_page

    middle = dates.since + (dates.until - dates.since) / 2
    query = LifecycleQuery(
        dates.scope(), _entity(VIEW), "resurrecting", before=dates.since, start=middle,
        end=dates.until + timedelta(microseconds=1),
    )  # fmt: skip
    return lambda: lifecycle_page(query, limit=PAGE, offset=0)


def _stickiness(dates: Dates) -> Callable[[], Sequence[object]]:
    """Who was active on exactly three days."""
    from events.insights.stickiness import StickinessQuery, stickiness_page

    query = StickinessQuery(dates.scope(), _entity(VIEW), "day", intervals=3)
    return lambda: stickiness_page(query, limit=PAGE, offset=0)


def _trends(dates: Dates) -> Callable[[], Sequence[object]]:
    """Who viewed pages, those with the most views first."""
    from events.insights.trends import TrendsQuery, trends_page

    query = TrendsQuery(dates.scope(), _entity(VIEW))
    return lambda: trends_page(query, limit=PAGE, offset=0)


def _path(dates: Dates) -> Callable[[], Sequence[object]]:
    """Who went from one address to another as second and third page of a session."""
    from events.insights.paths import paths_page
    from events.insights.paths_query import Items, PathKey, PathQuery

    start, end = "https://shop.example.com/products/0", "https://shop.example.com/category/1"
    query = PathQuery(dates.scope(), Items(pageviews=True), start=PathKey(1, start), end=PathKey(2, end))
    return lambda: paths_page(query, limit=PAGE, offset=0)


_QUESTIONS: Final[dict[str, Callable[[Dates], Callable[[], Sequence[object]]]]] = {
    "funnel": _funnel,
    "retention": _retention,
    "lifecycle": _lifecycle,
    "stickiness": _stickiness,
    "trends": _trends,
    "path": _path,
}


def _needed_memory(ask: Callable[[], object]) -> float:
    """Return the least INSIGHT_MEMORY_MB, within a tenth, with which a question is answered and not refused."""
    from django.test import override_settings

    from events.errors import QueryTooBig

    def fits(megabytes: int) -> bool:
        with override_settings(INSIGHT_MEMORY_MB=megabytes), suppress(QueryTooBig):
            ask()
            return True
        return False

    low, high = LEAST_MEMORY, MOST_MEMORY
    while high > low * 1.1 and high - low > 1:
        middle = round((low * high) ** 0.5)
        low, high = (low, middle) if fits(middle) else (middle, high)
    return float(high)


def _over_http(world: World, shop: Shop) -> Iterator[Measure]:
    """Ask the endpoints themselves, afresh each time, people loaded and written: for information."""
    events = [{"id": name, "order": number} for number, name in enumerate([VIEW, CART, ORDER])]
    date_from, date_to = f"{shop.since:%Y-%m-%d}", f"{shop.until:%Y-%m-%d}"
    series = f"entity_type=events&entity_id={VIEW}"
    last_week = f"{shop.until - timedelta(days=7):%Y-%m-%d}"
    questions = {
        "funnel": f"funnel/?funnel_step=3&events={_json(events)}",
        "retention": f"retention/?total_intervals={DAYS}",
        "lifecycle": f"lifecycle/?interval=week&lifecycle_type=resurrecting&target_date={last_week}"
        f"&events={_json(events[:1])}",
        "stickiness": f"stickiness/?stickiness_days=3&{series}",
        "trends": f"trends/?{series}",
        "path": f"path/?include_event_types={_json([VIEW])}",
    }
    headers = {"Authorization": f"Bearer {world.key}"}
    with world.granian("insights", "persons_api.wsgi:application", RATE_LIMIT_ENABLED="false") as port:
        for name, question in questions.items():
            path = f"/api/projects/{shop.team}/persons/{question}&date_from={date_from}&date_to={date_to}&refresh=true"
            call = Call(path, expect='"distinct_ids":', headers=headers)
            result = load.run(port=port, calls=[call], connections=1, seconds=1 if world.quick else 8)
            raw = dict(result.latency_ms)
            yield Measure(f"insight_{name}_http_p50", raw["p50"], unit="ms", raw=raw)


def _json(value: object) -> str:
    from urllib.parse import quote

    return quote(orjson.dumps(value))
