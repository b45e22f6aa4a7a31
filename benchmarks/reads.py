"""Retrieve and list: ours against a bare function with the same SQL and against plain DRF, on the same server."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psycopg

from benchmarks import load, recorded, seed
from benchmarks.load import Call, LoadResult
from benchmarks.report import Measure, median_ratio
from benchmarks.world import World

CONNECTIONS = 8
BARE_LIMIT = 0.6
PLAIN_LIMIT = 6.0
CONTENDERS = ("ours", "bare", "bare_page", "plain", "plain_open")
"""`bare` runs all the SQL of our request, `bare_page` leaves the key's look-up out; `plain` asks who calls."""

type Calls = Mapping[str, tuple[str, list[Call]]]
type Rounds = dict[str, list[LoadResult]]


def measure(world: World) -> Iterator[Measure]:
    """Seed, start the three servers, and compare them in turns."""
    seed.persons(world, first_team=10_000 if world.quick else 200_000, other_teams=1_000 if world.quick else 20_000)
    with _servers(world) as ports:
        retrieve = _retrieve_calls(world)
        yield from _compare(world, ports, "retrieve", retrieve)
        yield from _compare(world, ports, "list100", _list_calls(world))


@contextmanager
def _servers(world: World) -> Iterator[dict[str, int]]:
    team = world.team_ids[0]
    recordings = {
        "list": recorded.record(world, f"/api/projects/{team}/persons/?limit=100&offset={recorded.ANY_OFFSET}"),
        "retrieve": recorded.record(world, f"/api/projects/{team}/persons/{recorded.ANY_ID}/"),
    }
    path = world.folder / "recordings.pickle"
    recorded.save(recordings, path)
    with (
        world.granian("ours", "persons_api.wsgi:application") as ours,
        world.granian("bare", "benchmarks.bare:application", BENCH_RECORDINGS=str(path)) as bare,
        world.granian("plain", "benchmarks.plain_drf:application", DJANGO_SETTINGS_MODULE="") as plain,
    ):
        yield {"ours": ours, "bare": bare, "plain": plain}


def _retrieve_calls(world: World) -> Calls:
    team = world.team_ids[0]
    with psycopg.connect(world.environment["DATABASE_URL"]) as connection:
        found = connection.execute(
            "SELECT uuid::text FROM core_person WHERE team_id = %s ORDER BY md5(uuid::text) LIMIT 500", [team]
        ).fetchall()
    uuids = [row[0] for row in found]
    headers = {"Authorization": f"Bearer {world.key}"}

    def calls(path: str) -> list[Call]:
        return [Call(path.format(team=team, uuid=uuid), expect=f'"{uuid}"', headers=headers) for uuid in uuids]

    return {
        "ours": ("ours", calls("/api/projects/{team}/persons/{uuid}/")),
        "bare": ("bare", calls("/all/retrieve/{uuid}")),
        "bare_page": ("bare", calls("/page/retrieve/{uuid}")),
        "plain": ("plain", calls("/api/projects/{team}/persons/{uuid}/")),
        "plain_open": ("plain", calls("/open/projects/{team}/persons/{uuid}/")),
    }


def _list_calls(world: World) -> Calls:
    team = world.team_ids[0]
    headers = {"Authorization": f"Bearer {world.key}"}
    offsets = [100 * number for number in range(20)]
    random.Random(7).shuffle(offsets)  # noqa: S311 only an order

    def calls(path: str) -> list[Call]:
        return [
            Call(path.format(team=team, offset=offset), expect='"is_identified":', times=100, headers=headers)
            for offset in offsets
        ]

    return {
        "ours": ("ours", calls("/api/projects/{team}/persons/?limit=100&offset={offset}")),
        "bare": ("bare", calls("/all/list?offset={offset}")),
        "bare_page": ("bare", calls("/page/list?offset={offset}")),
        "plain": ("plain", calls("/api/projects/{team}/persons/?limit=100&offset={offset}")),
        "plain_open": ("plain", calls("/open/projects/{team}/persons/?limit=100&offset={offset}")),
    }


def _compare(world: World, ports: Mapping[str, int], name: str, calls: Calls) -> Iterator[Measure]:
    rounds, seconds = (2, 1.0) if world.quick else (5, 3.0)
    seen: Rounds = {contender: [] for contender in CONTENDERS}
    for number in range(rounds + 1):
        for contender in CONTENDERS:
            server, its_calls = calls[contender]
            length = 1.0 if number == 0 else seconds
            result = load.run(port=ports[server], calls=its_calls, connections=CONNECTIONS, seconds=length)
            if number:
                seen[contender].append(result)
    raw = {
        contender: {"requests_per_second": [round(one.rate, 1) for one in found], "latency_ms": found[-1].latency_ms}
        for contender, found in seen.items()
    }
    yield Measure(f"{name}_vs_bare_same_sql", _ratio(seen, "bare"), BARE_LIMIT, raw=raw)
    yield Measure(f"{name}_vs_bare_page_sql_only", _ratio(seen, "bare_page"))
    yield Measure(f"{name}_vs_plain_drf", _ratio(seen, "plain"), PLAIN_LIMIT)
    yield Measure(f"{name}_vs_plain_drf_without_access_check", _ratio(seen, "plain_open"))


def _ratio(seen: Rounds, other: str) -> float:
    return median_ratio([(one.rate, its.rate) for one, its in zip(seen["ours"], seen[other], strict=True)])
