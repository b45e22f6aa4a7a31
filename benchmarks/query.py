"""POST /query: what compiling costs, what a request costs beside ClickHouse's own time, and what a huge text costs.

The bare side is the same SQL through the driver, without HTTP of our own, a key, a log or a guard.
"""

import http.client
import itertools
import statistics
import threading
import time
from collections.abc import Iterator
from typing import Final

import orjson

from benchmarks import load, seed
from benchmarks.load import Call
from benchmarks.report import Measure, median_ratio, percentiles
from benchmarks.world import World

EVENTS, QUICK_EVENTS = 5_000_000, 100_000
INSERT: Final = 500_000
LIMIT: Final = 2.5
COMPILE_LIMIT_MS: Final = 5.0
HUGE_LIMIT_SECONDS: Final = 1.0
BESIDE_LIMIT: Final = 3.0
"""Of the time of a small request while huge texts are refused on the same two cores, against that without them."""

SAMPLES: Final = (
    "select event, count() from events group by event",
    "select * from events limit 100",
    "select properties.$browser, count() from events where timestamp > now() - interval 7 day group by 1 order by 2",
    "select person.properties.email, max(timestamp) from events where event = '$pageview' group by 1",
    (
        "select p.properties.plan, count(distinct e.person_id) from events e left join persons p on p.id = e.person_id "
        "where e.timestamp >= toDateTime('2024-05-01') group by p.properties.plan"
    ),
    (
        "with daily as (select toDate(timestamp) as day, person_id from events where event = 'order_placed'), "
        "firsts as (select person_id, min(day) as first from daily group by person_id) "
        "select d.day, countIf(f.first = d.day) as fresh, count() as orders from daily d "
        "join firsts f on f.person_id = d.person_id group by d.day order by d.day"
    ),
    "select distinct_id, row_number() over (partition by distinct_id order by timestamp) as n from events where n < 5",
    "select event from events where event in ('a', 'b', 'c') union all select 'x' from numbers(3)",
    (
        "select quantile(0.95)(toFloat(properties.load_ms)), uniq(person_id) from events "
        "where properties.$current_url like '%shop%' and not properties.bot"
    ),
    "select session.$session_duration, count() from events where session.$session_duration > 10 group by 1",
)

_FILL = """
INSERT INTO events (uuid, event, properties, timestamp, team_id, distinct_id, elements_chain, created_at, person_id,
    person_created_at, person_properties, person_mode, generation, historical_migration)
SELECT generateUUIDv4(number), concat('event ', toString(number % 20)), '{"plan":"free"}',
       toDateTime64('2024-05-01 00:00:00', 6, 'UTC') + toIntervalSecond(number % 2592000), {team:Int64},
       toString(cityHash64(number) % 50000), '', now64(6), generateUUIDv4(number + 1), now64(3), '{}', 'full', 0, false
FROM numbers({first:UInt64}, {portion:UInt64})"""
_BARE = "SELECT count() FROM events WHERE team_id = {team:Int64} LIMIT 101"


def measure(world: World) -> Iterator[Measure]:
    """Fill, then compile, ask, and ask for too much."""
    team = world.team_ids[9]
    _fill(team, QUICK_EVENTS if world.quick else EVENTS)
    yield from _compiling(team)
    with world.granian("query", "persons_api.wsgi:application", RATE_LIMIT_ENABLED="false") as port:
        yield from _asking(world, port, team)
        yield from _huge(world, port, team)


def _fill(team: int, rows: int) -> None:
    from events import client

    with seed.progress() as shown:
        task = shown.add_task("events", total=rows)
        for first in range(0, rows, INSERT):
            portion = min(INSERT, rows - first)
            client.command(_FILL, {"team": team, "first": first, "portion": portion}, seconds=120)
            shown.update(task, completed=first + portion)


def _compiling(team: int) -> Iterator[Measure]:
    from events.hogql.compile import compile_query
    from events.hogql.context import Context
    from events.hogql.parser import parse_select

    medians = {}
    for text in SAMPLES:
        took = []
        for _ in range(50):
            began = time.perf_counter()
            compile_query(parse_select(text), Context(team_id=team))
            took.append((time.perf_counter() - began) * 1000)
        medians[text[:60]] = statistics.median(took)
    yield Measure(
        "hogql_compile_slowest_median", max(medians.values()), COMPILE_LIMIT_MS, at_least=False, unit="ms", raw=medians
    )


def _asking(world: World, port: int, team: int) -> Iterator[Measure]:
    from events import client

    rounds, seconds = (2, 1.0) if world.quick else (15, 1.5)
    ours = _call(world, team, "select count() from events")
    pairs, mine, bare = [], [], []
    for number in range(rounds + 1):
        answered = load.run(port=port, calls=[ours], connections=1, seconds=seconds).latency_ms
        took = []
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            began = time.perf_counter()
            client.query(_BARE, {"team": team})
            took.append((time.perf_counter() - began) * 1000)
        if number:
            mine.append(answered["p50"])
            bare.append(statistics.median(took))
            pairs.append((mine[-1], bare[-1]))
    yield Measure("query_count_vs_driver", median_ratio(pairs), LIMIT, at_least=False,
                  raw={"ours_ms": percentiles(mine), "bare_ms": percentiles(bare)})  # fmt: skip
    cached = _call(world, team, "select count() from events", refresh="blocking")
    found = load.run(port=port, calls=[cached], connections=1, seconds=seconds).latency_ms
    yield Measure("query_cached_p50", found["p50"], unit="ms", raw=found)


def _huge(world: World, port: int, team: int) -> Iterator[Measure]:
    """Ask for texts of 2,000 terms and of 10,000 characters, alone and while others ask for little."""
    texts = (
        "select " + " + ".join(["1"] * 2000),
        "select 1 where " + " or ".join(f"'a' = 'e{number:05}'" for number in range(560)),
        "select " + "(" * 2000 + "1" + ")" * 2000,
    )
    huge = [_call(world, team, text) for text in texts]
    small = _call(world, team, "select 1")
    seconds = 2.0 if world.quick else 6.0
    took = [_send(port, call) for call in huge for _ in range(3)]
    yield Measure("query_huge_text_seconds", max(took), HUGE_LIMIT_SECONDS, at_least=False, unit="s")
    alone = load.run(port=port, calls=[small], connections=1, seconds=seconds).latency_ms
    over = threading.Event()

    def keep_sending() -> None:
        for call in itertools.cycle(huge):
            if over.is_set():
                return
            _send(port, call)

    other = threading.Thread(target=keep_sending)
    other.start()
    try:
        beside = load.run(port=port, calls=[small], connections=1, seconds=seconds).latency_ms
    finally:
        over.set()
        other.join()
    raw = {"alone": alone, "beside": beside}
    yield Measure("query_beside_huge_texts_p50", beside["p50"] / alone["p50"], BESIDE_LIMIT, at_least=False, raw=raw)


def _send(port: int, call: Call) -> float:
    """Send one request, whose text may be refused, and return the seconds until its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    began = time.perf_counter()
    connection.request("POST", call.path, call.body, {**call.headers, "Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    if answer.status not in {http.client.OK, http.client.BAD_REQUEST}:
        message = f"a huge text was answered {answer.status}"
        raise load.BadAnswerError(message)
    return time.perf_counter() - began


def _call(world: World, team: int, text: str, *, refresh: str = "force_blocking") -> Call:
    body = {"query": {"kind": "HogQLQuery", "query": text}, "refresh": refresh}
    return Call(
        f"/api/environments/{team}/query/",
        method="POST",
        body=orjson.dumps(body).decode(),
        expect='"results"',
        headers={"Authorization": f"Bearer {world.key}"},
    )
