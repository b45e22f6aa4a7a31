"""Capture: durable events per second over HTTP, against one multi-row INSERT of the same rows into Postgres."""

import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson
import psycopg

from benchmarks import load
from benchmarks.load import MARKER, Call, LoadResult
from benchmarks.report import Measure
from benchmarks.world import REPOSITORY, World

BATCH: Final = 100
CLIENTS: Final = 4
RATE_LIMIT, INSERT_LIMIT = 2000.0, 0.15
TEMPLATES: Final = 300
POPULATION: Final = 20_000
ACTIVE: Final = 50
"""Different persons in one batch: an SDK flushes every few seconds, so people appear more than once in it."""
_AGENT = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0 Safari/537.36"
)
_TABLE = """
CREATE TABLE bench_plain_events (
    id bigserial PRIMARY KEY, team_id bigint NOT NULL, uuid uuid NOT NULL, event text NOT NULL,
    distinct_id text NOT NULL, "timestamp" timestamptz NOT NULL, properties text NOT NULL)"""


def measure(world: World) -> Iterator[Measure]:
    """Send batches and plain inserts in turns, then account for every acknowledged event."""
    rounds, seconds = (2, 2.0) if world.quick else (3, 8.0)
    calls = [Call("/batch/", expect='"status":1', method="POST", body=body) for body in batches(world.tokens[1])]
    bodies = world.folder / "batches.json"
    bodies.write_bytes(orjson.dumps([call.body for call in calls]))
    with psycopg.connect(world.environment["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(_TABLE)
        fsync = connection.execute("SHOW fsync").fetchone()
        assert fsync == ("on",), fsync
        captured: list[LoadResult] = []
        backlog: list[int] = []
        inserted: list[float] = []
        spent: list[dict[str, float]] = []
        with world.granian("capture", "persons_api.wsgi:application") as port, world.worker():
            number = max(load.run(port=port, calls=calls, connections=CLIENTS, seconds=2).acknowledged) + 1
            for _ in range(rounds):
                _await_empty(connection)
                inserted.append(_plain_inserts(world, bodies, seconds / 2))
                before = world.cpu_by_part()
                result = load.run(port=port, calls=calls, connections=CLIENTS, seconds=seconds, first_number=number)
                spent.append(_per_batch(before, world.cpu_by_part(), result))
                number = max(result.acknowledged) + 1
                captured.append(result)
                backlog.append(_waiting(connection))
            drained = _await_empty(connection)
    rates = [one.rate * BATCH for one in captured]
    raw = {
        "events_per_second": [round(rate) for rate in rates],
        "rows_per_second_of_insert": [round(rate) for rate in inserted],
        "batch_latency_ms": [one.latency_ms for one in captured],
        "outbox_rows_at_the_end_of_each_round": backlog,
        "seconds_to_empty_the_outbox_after_the_last_round": round(drained, 2),
        "processor_ms_per_batch_by_part": spent,
        "body_bytes": len(calls[0].body),
    }
    yield Measure("capture_events_per_second", statistics.median(rates), RATE_LIMIT, unit="/s", raw=raw)
    ratios = [rate / plain for rate, plain in zip(rates, inserted, strict=True)]
    yield Measure("capture_vs_multi_row_insert", statistics.median(ratios), INSERT_LIMIT)
    yield Measure("capture_seconds_to_empty_the_outbox", drained, unit="s")
    yield from _account(world, number)


def _per_batch(before: dict[str, float], after: dict[str, float], result: LoadResult) -> dict[str, float]:
    count = len(result.acknowledged)
    spent = {name: round((after[name] - before[name]) * 1000 / count, 2) for name in before}
    return {**spent, "generator": round(result.generator_cpu_seconds * 1000 / count, 2)}


def batches(token: str) -> Iterator[str]:
    """Yield bodies as SDKs send them; MARKER in the uuids makes every sending of a body a new one."""
    chance = random.Random(20261121)  # noqa: S311 only the shape of the data
    now = time.time()
    for _ in range(TEMPLATES):
        active = chance.sample(range(POPULATION), ACTIVE)
        events = [_event(chance, index, chance.choice(active), now) for index in range(BATCH)]
        yield orjson.dumps({"api_key": token, "historical_migration": False, "batch": events}).decode()


def _event(chance: random.Random, index: int, person: int, now: float) -> dict[str, Any]:
    moment = datetime.fromtimestamp(now - chance.random() * 3600, UTC).isoformat(timespec="milliseconds")[:23] + "Z"
    middle = f"{index:04x}-7{chance.getrandbits(12):03x}-8{chance.getrandbits(12):03x}"
    uuid = f"{chance.getrandbits(32):08x}-{middle}-{MARKER.decode()}"
    event: dict[str, Any] = {"uuid": uuid, "distinct_id": f"user-{person}", "timestamp": moment, "type": "capture"}
    if index % 5:
        name = chance.choice(["$pageview", "$pageview", "button clicked", "order placed", "$pageleave"])
        return {**event, "event": name, "properties": _properties(chance, person)}
    if index % 10:
        changes = {"plan": chance.choice(["free", "team", "business"]), "last batch": MARKER.decode()}
        return {**event, "event": "$set", "properties": {"$lib": "posthog-python", "$set": changes}}
    # Half of the sign-ups are of visitors nobody has seen before.
    anonymous = f"{chance.getrandbits(32):08x}-{MARKER.decode()}" if index % 20 else f"anonymous-{person}"
    details = {"email": f"user{person}@example.com", "name": f"Person {person}", "signed up from": "web"}
    first = {"$initial_referrer": "https://www.example.com/", "$initial_browser": "Chrome"}
    properties = {**_properties(chance, person), "$anon_distinct_id": anonymous, "$set": details, "$set_once": first}
    return {**event, "event": "$identify", "properties": properties}


def _properties(chance: random.Random, person: int) -> dict[str, Any]:
    page = chance.randrange(200)
    return {
        "$lib": "web", "$lib_version": "1.280.0", "$os": ("Mac OS X", "Windows", "iOS")[person % 3],
        "$browser": ("Chrome", "Safari", "Firefox")[person % 3], "$browser_version": 100 + person % 40,
        "$current_url": f"https://app.example.com/projects/{person % 50}/page/{page}?tab=overview",
        "$host": "app.example.com", "$pathname": f"/projects/{person % 50}/page/{page}", "$raw_user_agent": _AGENT,
        "$session_id": f"{chance.getrandbits(64):016x}", "$window_id": f"{chance.getrandbits(64):016x}",
        "$screen_width": 1920, "$screen_height": 1080, "button": f"button {page % 12}", "amount": page * 1.25,
    }  # fmt: skip


def _plain_inserts(world: World, bodies: Path, seconds: float) -> float:
    """Return rows per second of four processes, each with its connection and one commit per statement."""
    command = [sys.executable, "-m", "benchmarks.plain_insert", str(bodies), str(seconds)]
    started = [
        subprocess.Popen(
            [*command, str(number)],
            cwd=REPOSITORY,
            env=world.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for number in range(CLIENTS)
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    for process in started:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    return sum(int(process.communicate()[0]) for process in started) / seconds


def _waiting(connection: "psycopg.Connection[Any]") -> int:
    row = connection.execute("SELECT coalesce(sum(row_count), 0) FROM core_outboxrows").fetchone()
    return int(row[0]) if row else 0


def _await_empty(connection: "psycopg.Connection[Any]", seconds: float = 300) -> float:
    begin = time.monotonic()
    while _waiting(connection):
        if time.monotonic() - begin > seconds:
            message = f"{_waiting(connection)} rows still wait in the outbox after {seconds} s"
            raise RuntimeError(message)
        time.sleep(0.1)
    return time.monotonic() - begin


def _account(world: World, batches_acknowledged: int) -> Iterator[Measure]:
    """Every acknowledged event is in ClickHouse once; each batch's number is in its events' uuids."""
    import clickhouse_connect

    client = clickhouse_connect.get_client(dsn=world.environment["CLICKHOUSE_URL"], autogenerate_session_id=False)
    rows, different, numbers, last = client.query(
        "SELECT count(), uniqExact(uuid), uniqExact(substring(toString(uuid), 25)), max(substring(toString(uuid), 25)) "
        "FROM events WHERE team_id = {team:Int64}",
        parameters={"team": world.team_ids[1]},
    ).result_rows[0]
    expected = batches_acknowledged * BATCH
    seen = {"rows": rows, "different": different, "batches": numbers, "last_batch": last, "expected": expected}
    exact = rows == different == expected and numbers == batches_acknowledged
    yield Measure(
        "capture_acknowledged_events_found_exactly_once", different / expected if exact else 0.0, 1.0, raw=seen
    )


if __name__ == "__main__":
    os.write(1, b"run `python -m benchmarks --only capture`\n")
