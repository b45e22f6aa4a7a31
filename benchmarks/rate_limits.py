"""What counting requests costs: the same server with rate limits on and off, one caller, one request at a time."""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import psycopg

from benchmarks import load, seed
from benchmarks.load import Call, LoadResult
from benchmarks.report import Measure, median_ratio
from benchmarks.world import World

PERSONS: Final = 1_000
ON: Final = {
    "RATE_LIMIT_ENABLED": "true",
    # So much that nobody is refused; each of these windows holds the requests of a whole run.
    "RATE_LIMIT_CLICKHOUSE_BURST": "100000/hour",
    "RATE_LIMIT_CLICKHOUSE_SUSTAINED": "100000/day",
}
OFF: Final = {"RATE_LIMIT_ENABLED": "false"}


@dataclass(frozen=True, slots=True)
class _Run:
    """What a round saw, and the processor time per answer: a busy machine stretches that least."""

    result: LoadResult
    cpu_ms: float


def measure(world: World) -> Iterator[Measure]:
    """Retrieve persons from both servers in turns."""
    calls = _calls(world)
    rounds, seconds = (2, 1.0) if world.quick else (7, 2.0)
    with (
        world.granian("limited", "persons_api.wsgi:application", **ON) as limited,
        world.granian("unlimited", "persons_api.wsgi:application", **OFF) as unlimited,
    ):
        pairs: list[tuple[_Run, _Run]] = []
        for number in range(rounds + 1):
            on = _run(world, "limited", limited, calls, seconds)
            off = _run(world, "unlimited", unlimited, calls, seconds)
            if number:
                pairs.append((on, off))
    added = [on.result.latency_ms["p50"] - off.result.latency_ms["p50"] for on, off in pairs]
    yield Measure(
        "rate_limit_added_ms",
        statistics.median(added),
        unit="ms",
        raw={
            "limited": [on.result.latency_ms for on, _ in pairs],
            "unlimited": [off.result.latency_ms for _, off in pairs],
        },
    )
    added_cpu = [on.cpu_ms - off.cpu_ms for on, off in pairs]
    yield Measure("rate_limit_added_cpu_ms", statistics.median(added_cpu), unit="ms")
    rates = [(on.result.rate, off.result.rate) for on, off in pairs]
    yield Measure("retrieve_limited_vs_unlimited", median_ratio(rates))


def _run(world: World, part: str, port: int, calls: list[Call], seconds: float) -> _Run:
    before = world.cpu_by_part()
    result = load.run(port=port, calls=calls, connections=1, seconds=seconds)
    after = world.cpu_by_part()
    used = sum(after[name] - before[name] for name in (part, "valkey"))
    return _Run(result, used * 1000 / result.answers)


def _calls(world: World) -> list[Call]:
    some = "SELECT team_id, uuid::text FROM core_person ORDER BY md5(uuid::text) LIMIT 500"
    with psycopg.connect(world.environment["DATABASE_URL"], autocommit=True) as connection:
        found = connection.execute(some).fetchall()
        if not found:
            with seed.progress() as shown:
                seed.fill(connection, shown, team=world.team_ids[0], count=PERSONS)
            found = connection.execute(some).fetchall()
    headers = {"Authorization": f"Bearer {world.key}"}
    return [Call(f"/api/projects/{team}/persons/{uuid}/", expect=f'"{uuid}"', headers=headers) for team, uuid in found]
