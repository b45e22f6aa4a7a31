"""The persons list at a million persons: deep pages, every filter, and the table of 300,000 against a bare COPY."""

import http.client
import statistics
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson
import psycopg

from benchmarks import load, recorded, seed
from benchmarks.load import Call
from benchmarks.report import Measure, median_ratio
from benchmarks.world import World

DEPTH_LIMIT, BARE_LIMIT, FILTER_LIMIT = 1.5, 2.0, 10.0
COPY_LIMIT, MEMORY_LIMIT = 0.4, 64.0
MEGABYTE = 1024 * 1024


def measure(world: World) -> Iterator[Measure]:
    """Seed one team, then compare pages, filters and the export."""
    count = 20_000 if world.quick else 1_000_000
    team = world.team_ids[4]
    seed.persons_with_two_ids(world, team=team, count=count)
    rare, common = _cohorts(world, team)
    deep = _deep_page(world, team, page=50 if world.quick else 5_000)
    path = world.folder / "pages.pickle"
    first = f"/api/projects/{team}/persons/?limit=100"
    recorded.save({"first": recorded.record(world, first), "deep": recorded.record(world, deep)}, path)
    with (
        world.granian("persons", "persons_api.wsgi:application") as ours,
        world.granian("pages", "benchmarks.bare:application", BENCH_RECORDINGS=str(path)) as bare,
    ):
        yield from _pages(world, {"first": (ours, first), "deep": (ours, deep),
                                  "bare_first": (bare, "/all/first?"), "bare_deep": (bare, "/all/deep?")})  # fmt: skip
        yield from _filters(world, ours, first, _wanted(world, team, rare, common))
        yield from _table(world, ours, team)


def _deep_page(world: World, team: int, *, page: int) -> str:
    from django.test import Client

    client = Client(headers={"authorization": f"Bearer {world.key}"})
    offset = 100 * (page - 2)
    link = client.get(f"/api/projects/{team}/persons/?limit=100&offset={offset}").json()["next"]
    parts = urlsplit(link)
    return f"{parts.path}?{parts.query}"


def _cohorts(world: World, team: int) -> tuple[int, int]:
    from core.cohorts.models import Cohort

    made = [Cohort.objects.for_team(team).create(team_id=team, name="bench", is_static=True).id for _ in range(2)]
    with psycopg.connect(world.environment["DATABASE_URL"], autocommit=True) as connection:
        for cohort, every in zip(made, (5_000, 5), strict=True):
            connection.execute(
                "INSERT INTO core_cohortperson (cohort_id, person_id) "
                "SELECT %s, id FROM core_person WHERE team_id = %s AND id %% %s = 3",
                [cohort, team, every],
            )
        connection.execute("VACUUM (ANALYZE) core_cohortperson")
    return made[0], made[1]


def _wanted(world: World, team: int, rare: int, common: int) -> dict[str, dict[str, Any]]:
    """Return the filters by name; those called rare match one person or a few, deep in the list."""
    with psycopg.connect(world.environment["DATABASE_URL"]) as connection:
        found = connection.execute(
            "SELECT p.id, p.uuid::text, p.properties ->> 'email', p.properties ->> '$creator_event_uuid' "
            "FROM core_person p WHERE team_id = %s ORDER BY created_at OFFSET 777 LIMIT 1",
            [team],
        ).fetchone()
    assert found is not None
    number, uuid, email, creator = found

    def properties(*filters: dict[str, Any]) -> dict[str, Any]:
        return {"properties": orjson.dumps(list(filters)).decode()}

    def one(key: str, operator: str, value: Any = None) -> dict[str, Any]:  # noqa: ANN401 any JSON value
        return {"key": key, "operator": operator, "value": value, "type": "person"}

    either = {"type": "OR", "values": [one("plan", "exact", "team"), one("email", "exact", email)]}
    return {
        "distinct_id": {"distinct_id": email},
        "email": {"email": email},
        "key_identifier": {"key_identifier": email},
        "uuid": {"uuid": uuid},
        "id": {"id": f"{number},{uuid}"},
        "search_rare": {"search": email[:-4]},
        "search_common": {"search": "Example"},
        "exact_common": properties(one("plan", "exact", "team")),
        "exact_rare": properties(one("$creator_event_uuid", "exact", creator)),
        "icontains_common": properties(one("$geoip_city_name", "icontains", "city 7")),
        "icontains_rare_email": properties(one("email", "icontains", email[:-4])),
        "regex": properties(one("$os", "regex", "^(Mac|iO)")),
        "gt": properties(one("seats", "gt", 30)),
        "is_set_common": properties(one("email", "is_set")),
        "is_set_never": properties(one("never", "is_set")),
        "group_or": {"properties": orjson.dumps(either).decode()},
        "cohort_rare": {"cohort": rare},
        "cohort_common": {"cohort": common},
        "cohort_property": properties({"type": "cohort", "key": "id", "value": common}, one("plan", "exact", "free")),
    }


def _p50(world: World, port: int, path: str, *, seconds: float) -> float:
    calls = [Call(path, expect="results", headers={"Authorization": f"Bearer {world.key}"})]
    return load.run(port=port, calls=calls, connections=1, seconds=seconds).latency_ms["p50"]


def _pages(world: World, contenders: Mapping[str, tuple[int, str]]) -> Iterator[Measure]:
    rounds, seconds = (2, 0.5) if world.quick else (7, 1.0)
    seen: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, (port, path) in contenders.items():
            found = _p50(world, port, path, seconds=seconds)
            if number:
                seen[name].append(found)
    raw = {"p50_ms": seen}
    depth = median_ratio(list(zip(seen["deep"], seen["first"], strict=True)))
    yield Measure("list_deep_page_vs_first", depth, DEPTH_LIMIT, at_least=False, raw=raw)
    for name in ("first", "deep"):
        ratio = median_ratio(list(zip(seen[name], seen[f"bare_{name}"], strict=True)))
        yield Measure(f"list_{name}_page_vs_bare_sql", ratio, BARE_LIMIT, at_least=False)


def _filters(world: World, port: int, first: str, wanted: Mapping[str, Mapping[str, Any]]) -> Iterator[Measure]:
    rounds, seconds = (1, 0.3) if world.quick else (3, 0.5)
    seen: dict[str, list[float]] = {}
    for _ in range(rounds):
        plain = _p50(world, port, first, seconds=seconds)
        for name, params in wanted.items():
            found = _p50(world, port, f"{first}&{urlencode(params)}", seconds=seconds)
            seen.setdefault(name, []).append(found / plain)
    ratios = {name: statistics.median(found) for name, found in seen.items()}
    slowest = max(ratios, key=lambda name: ratios[name])
    raw = {"ratio_to_the_plain_page": {name: round(ratio, 2) for name, ratio in ratios.items()}}
    yield Measure(f"list_slowest_filter_{slowest}", ratios[slowest], FILTER_LIMIT, at_least=False, raw=raw)
    scans = {
        "include_total": {"include_total": 1},
        "gt_nobody": {"properties": '[{"key":"seats","operator":"gt","value":1000}]'},
        "regex_nobody": {"properties": '[{"key":"$os","operator":"regex","value":"^Plan 9"}]'},
        "search_two_characters": {"search": "~~"},
    }
    for name, params in scans.items():
        found = _p50(world, port, f"{first}&{urlencode(params)}", seconds=seconds)
        yield Measure(f"list_looks_at_everyone_{name}", found, unit="ms")


def _table(world: World, port: int, team: int) -> Iterator[Measure]:
    sql, parameters = _bare_copy(world, team)
    pairs, grown = [], 0.0
    for _ in range(1 if world.quick else 3):
        pids = _workers(world.parts["persons"].pid)
        before = {pid: _memory(pid, "VmRSS") for pid in pids}
        for pid in pids:
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        begin = time.perf_counter()
        _download(port, f"/api/projects/{team}/persons.csv", world.key)
        ours = time.perf_counter() - begin
        grown = max(grown, *(_memory(pid, "VmHWM") - before[pid] for pid in pids))
        begin = time.perf_counter()
        _copy(world, sql, parameters)
        pairs.append((time.perf_counter() - begin, ours))
    raw = {"seconds_of_copy_and_ours": pairs}
    yield Measure("csv_vs_copy", median_ratio(pairs), COPY_LIMIT, raw=raw)
    yield Measure("csv_memory_growth_of_the_worker", grown, MEMORY_LIMIT, at_least=False, unit="MB")


def _bare_copy(world: World, team: int) -> tuple[str, dict[str, Any]]:
    """Return the SELECT of the same columns and rows."""
    from core.persons import csv_columns, export, listing, paging, queries

    condition = listing.condition_of(team, listing.PersonFilter())
    parameters = condition.parameters | {"limit": export.MAX_TABLE_ROWS}
    rows = paging.ordered_rows(None, limit="%(limit)s")
    names = queries.naming(None)
    with psycopg.connect(world.environment["DATABASE_URL"]) as connection:
        columns = csv_columns.find_columns(connection, rows, parameters, names)
    return csv_columns.table_sql(columns, rows, parameters, names), parameters


def _copy(world: World, sql: str, parameters: dict[str, Any]) -> None:
    with (
        psycopg.connect(world.environment["DATABASE_URL"]) as connection,
        connection.cursor() as cursor,
        cursor.copy(b"COPY (" + sql.encode() + b") TO STDOUT (FORMAT csv)", parameters) as copy,
    ):
        for _line in copy:
            pass


def _download(port: int, path: str, key: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
    answer = connection.getresponse()
    assert answer.status == http.client.OK, answer.read()
    size = 0
    while chunk := answer.read(MEGABYTE):
        size += len(chunk)
    connection.close()
    return size


def _workers(parent: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def _memory(pid: int, name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:")), 0.0)
