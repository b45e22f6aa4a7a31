"""Property values: a million persons' summary, made by the rebuild, then read with fresh deltas on top of it."""

import random
import time
from collections.abc import Iterator
from typing import Final
from uuid import uuid4

import orjson
import psycopg

from benchmarks import load, seed
from benchmarks.load import Call
from benchmarks.report import Measure
from benchmarks.world import World

PERSONS: Final = 1_000_000
UNMERGED: Final = 200
"""Small inserts just before the reads: as many drains as come between two merges at the worst."""
COMMON_LIMIT: Final = 50.0
CALLS: Final = 200


def measure(world: World) -> Iterator[Measure]:
    """Count the persons of one team into the summary, then ask for values of few and of a million kinds."""
    from core.persons.values_rebuild import property_values_rebuild

    wanted = 20_000 if world.quick else PERSONS
    team, persons = _team_of(world, wanted)
    started = time.monotonic()
    for _ in property_values_rebuild(team_id=team):
        pass
    yield Measure("values_rebuild_persons_per_second", persons / (time.monotonic() - started), unit="/s")
    _deltas(team)
    yield from _read(world, team, persons)


def _team_of(world: World, wanted: int) -> tuple[int, int]:
    """Return the team with the most persons that have an email, and how many, after filling one if none has enough."""
    count = (
        "SELECT team_id, count(*) FROM core_person WHERE email_hash IS NOT NULL GROUP BY team_id "
        "ORDER BY 2 DESC LIMIT 1"
    )
    with psycopg.connect(world.environment["DATABASE_URL"], autocommit=True) as connection:
        found = connection.execute(count).fetchone()
        if found is None or found[1] < wanted:
            with seed.progress() as shown:
                seed.fill(connection, shown, team=world.team_ids[6], count=wanted)
            found = connection.execute(count).fetchone()
    assert found is not None
    return int(found[0]), int(found[1])


def _deltas(team: int) -> None:
    from events import client

    choice = random.Random(7)  # noqa: S311 only data
    plans = ["free", "team", "business", "enterprise"]
    for _ in range(UNMERGED):
        rows = [
            {"team_id": team, "key": "plan", "value": choice.choice(plans), "persons": choice.choice([1, -1])}
            for _ in range(20)
        ]
        payload = b"\n".join(map(orjson.dumps, rows))
        client.insert_json_rows("person_property_values", payload, token=str(uuid4()))


def _read(world: World, team: int, persons: int) -> Iterator[Measure]:
    headers = {"Authorization": f"Bearer {world.key}"}
    part = str(persons // 2)[:5]
    questions = {
        "values_common_key_p50": ("key=plan", '"name":"free"', COMMON_LIMIT),
        "values_million_values_p50": ("key=email", '"count":1', None),
        "values_million_values_substring_p50": (f"key=email&value={part}", '"count":1', None),
    }
    with world.granian("values", "persons_api.wsgi:application") as port:
        for name, (query, expect, limit) in questions.items():
            path = f"/api/projects/{team}/persons/values/?{query}"
            calls = [Call(path, expect=expect, headers=headers)] * CALLS
            load.run(port=port, calls=calls, connections=1, seconds=1)
            result = load.run(port=port, calls=calls, connections=1, seconds=1 if world.quick else 5)
            raw = dict(result.latency_ms)
            yield Measure(name, raw["p50"], limit, at_least=False, unit="ms", raw=raw)
