"""properties_at_time: against the bare SELECT, with ten times the other events, and with a very long history."""

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import clickhouse_connect
import orjson
import psycopg

from benchmarks import load, seed
from benchmarks.load import Call
from benchmarks.report import Measure, percentiles
from benchmarks.world import REPOSITORY, World

SMALL, LARGE = 1_000_000, 10_000_000
PERSONS = 200
UPDATES = 10
LONG = 100_000
OVERHEAD_LIMIT, FLAT_LIMIT, SECONDS_LIMIT, MEGABYTES_LIMIT = 2.5, 1.5, 1.5, 300.0
MEGABYTE = 1024 * 1024

_OTHERS = """
INSERT INTO person_property_updates (team_id, distinct_id, timestamp, ingested_at, uuid, event, `set`, set_once, unset)
SELECT if(number % 5 = 0, {team:Int64}, 1000 + number % 5), concat('other-', toString(cityHash64(number) % 200000)),
       toDateTime64('2025-06-01 00:00:00', 6, 'UTC') + toIntervalSecond(number % 31536000) AS timestamp, timestamp,
       generateUUIDv4(number), '$set',
       concat('{"plan":"p', toString(number % 7), '","seats":', toString(number % 90), '}'),
       '{"$initial_referrer":"https://example.com/"}', []
FROM numbers({first:UInt64}, {rows:UInt64})"""
_OTHER_EVENTS = """
INSERT INTO events (uuid, event, properties, timestamp, team_id, distinct_id, created_at, person_id, person_properties)
SELECT generateUUIDv4(number), concat('event ', toString(number % 40)), '{}',
       toDateTime64('2025-06-01 00:00:00', 6, 'UTC') + toIntervalSecond(number % 31536000) AS timestamp,
       if(number % 5 = 0, {team:Int64}, 1000 + number % 5),
       concat('other-', toString(cityHash64(number) % 200000)), timestamp,
       toUUID('00000000-0000-0000-0000-000000000001'), '{}'
FROM numbers({first:UInt64}, {rows:UInt64})"""
_HISTORIES = """
INSERT INTO person_property_updates (team_id, distinct_id, timestamp, ingested_at, uuid, event, `set`, set_once, unset)
SELECT {team:Int64}, concat({name:String}, toString(intDiv(number, {updates:UInt64})), if(number % 2 = 0, '-a', '-b')),
       toDateTime64('2025-06-01 00:00:00', 6, 'UTC')
           + toIntervalSecond(intDiv(31000000 * (number % {updates:UInt64}), {updates:UInt64})) AS timestamp,
       timestamp, generateUUIDv4(number), '$set',
       concat('{"email":"someone', toString(number), '@example.com","plan":"p', toString(number % 7), '","seats":',
              toString(number), ',"$browser":"Chrome","last page":"https://app.example.com/', toString(number), '"}'),
       '{"$initial_referrer":"https://www.example.com/","$initial_browser":"Chrome"}',
       if(number % 5 = 4, ['trial'], [])
FROM numbers({rows:UInt64})"""


class Asker:
    """A worker process on one database."""

    def __init__(self, world: World, database: str) -> None:
        """Start it."""
        url = urlsplit(world.environment["CLICKHOUSE_URL"])._replace(path=f"/{database}").geturl()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.history_worker"],
            cwd=REPOSITORY,
            env={**world.environment, "CLICKHOUSE_URL": url},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> Self:
        """Hand out."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it: its input closes."""
        self.process.communicate()

    def ask(self, who: str, team: int, ids: list[list[str]], repeat: int, *, once: bool = False) -> dict[str, Any]:
        """Run some repetitions and return their times."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        line = {"who": who, "team": team, "ids": ids, "repeat": repeat, "once": once}
        self.process.stdin.write(orjson.dumps(line) + b"\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = orjson.loads(self.process.stdout.readline())
        return answer


def measure(world: World) -> Iterator[Measure]:
    """Fill two databases, then ask both in turns."""
    small, large = (10_000, 100_000) if world.quick else (SMALL, LARGE)
    team = world.team_ids[0]
    url = urlsplit(world.environment["CLICKHOUSE_URL"])
    databases = {"bench_small": small, url.path.strip("/"): large}
    for database, rows in databases.items():
        _fill(world, database, rows, team)
    ids = [[f"person-{number}-a", f"person-{number}-b"] for number in range(PERSONS)]
    with Asker(world, "bench_small") as few, Asker(world, url.path.strip("/")) as many:
        samples = _in_turns(few, many, team, ids, rounds=4 if world.quick else 30)
    p50 = {name: statistics.median(times) for name, times in samples.items()}
    raw = {name: percentiles(times) for name, times in samples.items()}
    yield Measure("properties_at_vs_bare_select", p50["ours"] / p50["bare"], OVERHEAD_LIMIT, at_least=False, raw=raw)
    yield Measure("properties_at_10m_vs_1m_others", p50["ours"] / p50["ours_few"], FLAT_LIMIT, at_least=False)
    yield Measure("properties_at_p50", p50["ours"], unit="ms")
    yield from _long_history(world, team)
    yield from _over_http(world, team)


def _in_turns(few: Asker, many: Asker, team: int, ids: list[list[str]], rounds: int) -> dict[str, list[float]]:
    samples: dict[str, list[float]] = {"ours": [], "bare": [], "ours_few": []}
    for number in range(rounds + 2):
        for name, asker, who in (("ours", many, "ours"), ("bare", many, "bare"), ("ours_few", few, "ours")):
            answer = asker.ask(who, team, ids[number % 10 :: 10], 20)
            assert answer["operations"] == UPDATES, answer
            if number >= 2:
                samples[name].extend(answer["ms"])
    return samples


def _fill(world: World, database: str, rows: int, team: int) -> None:
    from django.conf import settings
    from django.core.management import call_command
    from django.test import override_settings

    url = urlsplit(settings.CLICKHOUSE_URL)._replace(path=f"/{database}").geturl()
    with override_settings(CLICKHOUSE_URL=url):
        call_command("migrate_events", verbosity=0)
    client = clickhouse_connect.get_client(
        dsn=url, autogenerate_session_id=False, compress=False, send_receive_timeout=600
    )
    with seed.progress() as shown:
        task = shown.add_task(f"other events in {database}", total=rows)
        step = min(rows, SMALL)
        for first in range(0, rows, step):
            for sql in (_OTHERS, _OTHER_EVENTS):
                client.command(sql, parameters={"first": first, "rows": step, "team": team})
            shown.update(task, completed=first + step)
    _history(client, team=team, name="person-", persons=PERSONS, updates=UPDATES)
    if rows > SMALL or world.quick:
        _history(client, team=team, name="long-", persons=1, updates=LONG)
    _await_merges(client)


def _history(client: Any, *, team: int, name: str, persons: int, updates: int) -> None:  # noqa: ANN401 the driver's client
    client.command(_HISTORIES, parameters={"team": team, "name": name, "updates": updates, "rows": persons * updates})


def _await_merges(client: Any, seconds: float = 120) -> None:  # noqa: ANN401 the driver's client
    deadline = time.monotonic() + seconds
    while client.query("SELECT count() FROM system.merges").result_rows[0][0] and time.monotonic() < deadline:
        time.sleep(0.5)


def _long_history(world: World, team: int) -> Iterator[Measure]:
    database = urlsplit(world.environment["CLICKHOUSE_URL"]).path.strip("/")
    ids = [["long-0-a", "long-0-b"]]
    clickhouse = next(store.process for store in world.stores.running if store.name == "clickhouse")
    assert clickhouse is not None
    seconds, web, store = [], [], []
    raw: dict[str, Any] = {}
    for once in (False, True):
        with Asker(world, database) as asker:
            asker.ask("ours", team, [["person-0-a", "person-0-b"]], 5)
            with _peak_of(clickhouse.pid) as peak:
                answer = asker.ask("ours", team, ids, 3, once=once)
        assert answer["operations"] == LONG, answer["operations"]
        seconds.append(statistics.median(answer["ms"]) / 1000)
        web.append(answer["grown_bytes"] / MEGABYTE)
        store.append(peak["grown_bytes"] / MEGABYTE)
        raw["with $set_once" if once else "without $set_once"] = {"ms": answer["ms"], **peak}
    yield Measure("properties_at_100k_updates_seconds", max(seconds), SECONDS_LIMIT, at_least=False, unit="s", raw=raw)
    yield Measure("properties_at_100k_updates_memory", max(web), MEGABYTES_LIMIT, at_least=False, unit="MB")
    yield Measure(
        "properties_at_100k_updates_clickhouse_memory", max(store), MEGABYTES_LIMIT, at_least=False, unit="MB"
    )


@contextmanager
def _peak_of(pid: int) -> Iterator[dict[str, float]]:
    """Watch how far a process grows during the block."""
    before, found, over = _resident(pid), {"grown_bytes": 0.0}, threading.Event()

    def watch() -> None:
        while not over.wait(0.005):
            found["grown_bytes"] = max(found["grown_bytes"], _resident(pid) - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield found
    finally:
        over.set()
        watcher.join()


def _resident(pid: int) -> float:
    return float(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _over_http(world: World, team: int) -> Iterator[Measure]:
    with psycopg.connect(world.environment["DATABASE_URL"]) as connection:
        connection.execute(
            "INSERT INTO core_person (team_id, uuid, properties, created_at, is_identified, version) "
            "SELECT %s, gen_random_uuid(), jsonb_build_object('bench history', n), now(), true, 0 "
            "FROM generate_series(0, %s) AS n",
            [team, PERSONS - 1],
        )
        connection.execute(
            "INSERT INTO core_persondistinctid (team_id, person_id, distinct_id, version, generation) "
            "SELECT team_id, id, 'person-' || (properties ->> 'bench history') || part, 0, 0 "
            "FROM core_person CROSS JOIN unnest(ARRAY['-a', '-b']) AS part WHERE properties ? 'bench history'"
        )
    headers: Mapping[str, str] = {"Authorization": f"Bearer {world.key}"}
    path = f"/api/projects/{team}/persons/properties_at_time/?timestamp=2026-06-01T00:00:00Z&distinct_id=person-%d-a"
    calls = [Call(path % number, expect='"operations_applied":10', headers=dict(headers)) for number in range(PERSONS)]
    with world.granian("history", "persons_api.wsgi:application") as port:
        load.run(port=port, calls=calls, connections=1, seconds=1)
        result = load.run(port=port, calls=calls, connections=1, seconds=1 if world.quick else 5)
    yield Measure("properties_at_time_http_p50", result.latency_ms["p50"], unit="ms", raw=dict(result.latency_ms))
