"""The deletion job over 10,000 persons: against bare ALTER ... DELETE with the same keys, and its own memory.

Both sides get the same parts: a database that is never changed hands them out by ATTACH PARTITION, which copies
nothing. The bare side knows its keys already, starts all its mutations at once, as the job does, and waits.
"""
# ruff: noqa: S608 - statements are made of this module's constants

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
import orjson
import psycopg

from benchmarks import seed
from benchmarks.report import Measure
from benchmarks.world import REPOSITORY, World

EVENTS, QUICK_EVENTS = 10_000_000, 200_000
PERSONS, QUICK_PERSONS = 10_000, 1_000
ROUNDS = 2
RATIO_LIMIT, MEGABYTES_LIMIT = 1.5, 16.0
TABLES = ("events", "person_property_updates", "persons", "person_distinct_ids", "person_distinct_id_overrides")
MASTER, BARE = "bench_deletion_master", "bench_deletion_bare"

_PERSON = "toUUID(concat('00000000-0000-4000-8000-', leftPad(lower(hex({number})), 12, '0')))"
_MOMENT = "toDateTime64('2025-06-01 00:00:00', 6, 'UTC') + toIntervalSecond(number % 31536000)"
_FILL = {
    "events": f"""
        INSERT INTO events (uuid, event, properties, timestamp, team_id, distinct_id, created_at, person_id,
                            person_created_at, person_properties)
        SELECT generateUUIDv4(number), concat('event ', toString(number % 40)),
               concat('{{"$current_url":"https://app.example.com/page/', toString(number % 900),
                      '","$browser":"Chrome","$os":"Mac OS X","plan":"p', toString(number % 7), '","n":',
                      toString(number), '}}'),
               {_MOMENT} AS timestamp, {{team:Int64}}, concat('id-', toString(cityHash64(number) % {{ids:UInt64}})),
               timestamp, {_PERSON.format(number="intDiv(cityHash64(number) % {ids:UInt64}, 2)")}, timestamp,
               concat('{{"email":"user', toString(cityHash64(number) % {{ids:UInt64}}), '@example.com","plan":"p"}}')
        FROM numbers({{first:UInt64}}, {{rows:UInt64}})""",
    "person_property_updates": f"""
        INSERT INTO person_property_updates (team_id, distinct_id, timestamp, ingested_at, uuid, event, `set`, set_once)
        SELECT {{team:Int64}}, concat('id-', toString(cityHash64(number) % {{ids:UInt64}})), {_MOMENT} AS timestamp,
               timestamp, generateUUIDv4(number), '$set', concat('{{"seats":', toString(number % 90), '}}'), '{{}}'
        FROM numbers({{first:UInt64}}, intDiv({{rows:UInt64}}, 4))""",
}
_FILL_PERSONS = {
    "persons": f"""
        INSERT INTO persons (id, team_id, created_at, properties, is_identified, is_deleted, version)
        SELECT {_PERSON.format(number="number")}, {{team:Int64}}, now64(6), '{{"email":"someone@example.com"}}', 1, 0, 5
        FROM numbers(intDiv({{ids:UInt64}}, 2))""",
    "person_distinct_ids": f"""
        INSERT INTO person_distinct_ids (team_id, distinct_id, person_id, is_deleted, version, generation)
        SELECT {{team:Int64}}, concat('id-', toString(number)), {_PERSON.format(number="intDiv(number, 2)")}, 0, 1, 0
        FROM numbers({{ids:UInt64}})""",
    "person_distinct_id_overrides": f"""
        INSERT INTO person_distinct_id_overrides (team_id, distinct_id, person_id, is_deleted, version, generation)
        SELECT {{team:Int64}}, concat('id-', toString(number)), {_PERSON.format(number="intDiv(number, 2)")}, 0, 1, 0
        FROM numbers({{ids:UInt64}}) WHERE number % 2""",
}
_REQUESTS = """
INSERT INTO core_deletionrequest (team_id, kind, person_uuid, person_id, person_deleted, distinct_ids, tombstones,
                                  requested_at, attempts)
SELECT %(team)s, 'events', uuid::uuid, n, true,
       jsonb_build_array(
           jsonb_build_object('distinct_id', 'id-' || 2 * n, 'generation', 0, 'deleted', true, 'until', now()),
           jsonb_build_object('distinct_id', 'id-' || 2 * n + 1, 'generation', 0, 'deleted', true, 'until', now())),
       jsonb_build_array(jsonb_build_object('uuid', uuid, 'version', 105)), now(), 0
FROM (SELECT n, '00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0') AS uuid
      FROM generate_series(0, %(persons)s - 1) AS n) AS person
"""
_BARE_KEYS = {
    "bare_ids": "CREATE TABLE bare_ids (team_id Int64, distinct_id String) ENGINE = MergeTree ORDER BY ()",
    "bare_persons": "CREATE TABLE bare_persons (team_id Int64, id UUID) ENGINE = MergeTree ORDER BY ()",
}


@dataclass(slots=True)
class Stage:
    """The three databases, and what is to be deleted in them."""

    world: World
    client: Any
    database: str
    team: int
    events: int
    persons: int

    def run(self, sql: str, **parameters: Any) -> Any:  # noqa: ANN401 the driver's result
        """Run a statement with values."""
        return self.client.command(sql, parameters=parameters)

    def count(self, table: str) -> int:
        """Return the rows of a table."""
        return int(self.run(f"SELECT count() FROM {table}"))


def measure(world: World) -> Iterator[Measure]:
    """Fill once, then measure in turns from the same parts."""
    url = world.environment["CLICKHOUSE_URL"]
    client = clickhouse_connect.get_client(
        dsn=url, autogenerate_session_id=False, compress=False, send_receive_timeout=1800
    )
    sizes = (QUICK_EVENTS, QUICK_PERSONS) if world.quick else (EVENTS, PERSONS)
    stage = Stage(world, client, urlsplit(url).path.strip("/"), world.team_ids[1], *sizes)
    _fill(stage)
    pairs: list[tuple[float, float]] = []
    for number in range(1 if world.quick else ROUNDS):
        sides = [_ours, _bare] if number % 2 else [_bare, _ours]
        seconds = {side.__name__: side(stage) for side in sides}
        pairs.append((seconds["_ours"], seconds["_bare"]))
    raw = {"seconds": [{"ours": ours, "bare": bare} for ours, bare in pairs]}
    ratio = statistics.median(ours / bare for ours, bare in pairs)
    yield Measure("deletion_vs_bare_alter_delete", ratio, RATIO_LIMIT, at_least=False, raw=raw)
    yield Measure("deletion_seconds", statistics.median(ours for ours, _ in pairs), unit="s")
    few, many = (_grown(stage, persons) for persons in (stage.persons // 10, stage.persons))
    yield Measure("deletion_memory_growth", many, unit="MB", raw={"a tenth": few, "all": many})
    yield Measure(
        "deletion_memory_growth_of_10x_requests", max(many - few, 0.0), MEGABYTES_LIMIT, at_least=False, unit="MB"
    )
    for database in (MASTER, BARE):
        stage.run(f"DROP DATABASE {database}")


def _fill(stage: Stage) -> None:
    for database in (MASTER, BARE):
        stage.run(f"DROP DATABASE IF EXISTS {database}")
        stage.run(f"CREATE DATABASE {database}")
        for table in TABLES:
            stage.run(f"CREATE TABLE {database}.{table} AS {stage.database}.{table}")
    for name, sql in _BARE_KEYS.items():
        stage.run(sql.replace(f"TABLE {name}", f"TABLE {BARE}.{name}"))
    ids = stage.events // 10
    with seed.progress() as shown:
        task = shown.add_task("events to delete from", total=stage.events)
        step = min(stage.events, 1_000_000)
        for first in range(0, stage.events, step):
            for table, sql in _FILL.items():
                stage.run(_into_master(table, sql), team=stage.team, first=first, rows=step, ids=ids)
            shown.update(task, completed=first + step)
    for table, sql in _FILL_PERSONS.items():
        stage.run(_into_master(table, sql), team=stage.team, ids=ids)
    stage.run(
        f"INSERT INTO {BARE}.bare_ids SELECT {{team:Int64}}, concat('id-', toString(number))"
        " FROM numbers({rows:UInt64})",
        team=stage.team,
        rows=2 * stage.persons,
    )
    stage.run(
        f"INSERT INTO {BARE}.bare_persons SELECT {{team:Int64}}, {_PERSON.format(number='number')}"
        " FROM numbers({rows:UInt64})",
        team=stage.team,
        rows=stage.persons,
    )
    _await(stage, "SELECT count() FROM system.merges")


def _into_master(table: str, sql: str) -> str:
    return sql.replace(f"INSERT INTO {table} ", f"INSERT INTO {MASTER}.{table} ")


def _await(stage: Stage, sql: str, seconds: float = 600, pause: float = 0.2) -> None:
    deadline = time.monotonic() + seconds
    while int(stage.run(sql)) and time.monotonic() < deadline:
        time.sleep(pause)


def _hand_out(stage: Stage, database: str, *, but: str = "") -> None:
    """Give a database the parts of the master anew, and leave one table empty."""
    for table in TABLES:
        stage.run(f"TRUNCATE TABLE {database}.{table}")
        if table == but:
            continue
        partitions: Sequence[tuple[str]] = stage.client.query(
            "SELECT DISTINCT partition_id FROM system.parts"
            " WHERE active AND database = {d:String} AND table = {t:String}",
            parameters={"d": MASTER, "t": table},
        ).result_rows
        for (partition,) in partitions:
            stage.run(f"ALTER TABLE {database}.{table} ATTACH PARTITION ID '{partition}' FROM {MASTER}.{table}")


def _bare(stage: Stage) -> float:
    _hand_out(stage, BARE)
    by_id = f"(team_id, distinct_id) IN (SELECT team_id, distinct_id FROM {BARE}.bare_ids)"
    by_person = f"(team_id, id) IN (SELECT team_id, id FROM {BARE}.bare_persons)"
    began = time.perf_counter()
    for table in TABLES:
        stage.run(f"ALTER TABLE {BARE}.{table} DELETE WHERE {by_person if table == 'persons' else by_id}")
    _await(stage, f"SELECT count() FROM system.mutations WHERE NOT is_done AND database = '{BARE}'", pause=0.05)
    return time.perf_counter() - began


def _ours(stage: Stage) -> float:
    answer = _job(stage, stage.persons)
    for table in TABLES[:3]:
        assert stage.count(table) == stage.count(f"{BARE}.{table}") or not stage.count(f"{BARE}.{table}"), table
    return float(answer["seconds"])


def _grown(stage: Stage, persons: int) -> float:
    # Without the events: rewriting their parts takes minutes and happens in another process.
    return float(_job(stage, persons, but="events")["grown_bytes"]) / (1024 * 1024)


def _job(stage: Stage, persons: int, *, but: str = "") -> dict[str, Any]:
    """Let a fresh process run the job over so many requests."""
    _hand_out(stage, stage.database, but=but)
    with psycopg.connect(stage.world.environment["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("DELETE FROM core_deletionrequest")
        connection.execute(_REQUESTS, {"team": stage.team, "persons": persons})
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.deletion_worker"],
        cwd=REPOSITORY,
        env=stage.world.environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    answer: dict[str, Any] = orjson.loads(ended.stdout.splitlines()[-1])
    assert answer["verified"] == persons, answer
    return answer
