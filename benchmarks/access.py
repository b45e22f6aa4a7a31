"""What it costs to know who is calling and what they may: as a share of one retrieve, and in SQL statements.

The same server process measures both sides of the share in the same request, so the load of the machine falls on
both. The share counts everything between the entry of the view's dispatch and its handler: the request object,
negotiation, authentication with its SQL, permission and throttles (which are off, as in `manage.py up`).
"""

import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg

from benchmarks import load, seed
from benchmarks.load import Call
from benchmarks.report import Measure, percentiles
from benchmarks.world import World

MOST_STATEMENTS: Final = 3
SHARE_LIMITS: Final = {"key": 0.5, "session": None}
"""A key costs one statement of two. A session costs three of four, and browsers do not send thousands of requests."""
KINDS: Final = ("key", "session")

type Headers = dict[str, str]


def measure(world: World) -> Iterator[Measure]:
    """Count statements here, then time retrieves on a server with a stopwatch, by key and by session in turns."""
    persons = _persons(world)
    headers = {"key": {"Authorization": f"Bearer {world.key}"}, "session": {"Cookie": _cookie()}}
    for kind in KINDS:
        path = f"/api/projects/{world.team_ids[0]}/persons/{persons[0]}/"
        found = _statements_before_the_view(path, headers[kind])
        yield Measure(f"access_statements_by_{kind}", found, MOST_STATEMENTS, at_least=False, unit="")
    yield from _times(world, persons, headers)


def _persons(world: World) -> list[UUID]:
    wanted = "SELECT uuid FROM core_person WHERE team_id = %s ORDER BY md5(uuid::text) LIMIT 500"
    with psycopg.connect(world.environment["DATABASE_URL"]) as connection:
        found = connection.execute(wanted, [world.team_ids[0]]).fetchall()
    if not found:
        seed.persons(world, first_team=10_000 if world.quick else 200_000, other_teams=1)
        return _persons(world)
    return [row[0] for row in found]


def _cookie() -> str:
    from django.conf import settings
    from django.test import Client

    from core.tenancy.models import User

    client = Client()
    client.force_login(User.objects.get(email="bench@example.com"))
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"


def _statements_before_the_view(path: str, headers: Headers) -> int:
    from django.db import connection
    from django.test import Client

    from core.api.views import ApiMixin

    run = 0
    before: list[int] = []
    initial = ApiMixin.initial

    def listen(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: ANN401, FBT001 Django's
        nonlocal run
        run += 1
        return execute(sql, params, many, context)

    def noted(view: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 DRF's signature
        initial(view, *args, **kwargs)
        before.append(run)

    client = Client(headers={name.lower(): value for name, value in headers.items()})
    client.get(path)  # the first use of a key writes the date of its last use
    ApiMixin.initial = noted  # type: ignore[method-assign]
    try:
        with connection.execute_wrapper(listen):
            status = client.get(path).status_code
    finally:
        ApiMixin.initial = initial  # type: ignore[method-assign]
        connection.close()
    assert (status, len(before)) == (200, 1)
    return before[0]


def _times(world: World, persons: list[UUID], headers: dict[str, Headers]) -> Iterator[Measure]:
    folder = world.folder / "access"
    folder.mkdir()
    rounds, seconds = (2, 1.0) if world.quick else (5, 3.0)
    seen: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    client_ms: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with world.granian("access", "benchmarks.access_app:application", BENCH_ACCESS=str(folder)) as port:
        for number in range(rounds + 1):
            for kind in KINDS:
                path = f"/api/projects/{world.team_ids[0]}/persons/{{}}/"
                calls = [Call(path.format(one), expect=f'"{one}"', headers=headers[kind]) for one in persons]
                result = load.run(port=port, calls=calls, connections=1, seconds=1.0 if number == 0 else seconds)
                if number:
                    client_ms[kind].append(result.latency_ms["p50"])
                    seen[kind].append(_middle(_read(folder, kind)))
                _forget(folder)
    for kind in KINDS:
        yield from _shares(kind, seen[kind], client_ms[kind])


def _read(folder: Path, kind: str) -> list[tuple[float, float]]:
    """Return (before the handler, in all) of each request of one kind, in milliseconds."""
    lines = [line.split() for file in folder.iterdir() for line in file.read_text().splitlines()]
    return [(float(before) * 1000, float(total) * 1000) for found, before, total in lines if found == kind]


def _forget(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


def _middle(times: list[tuple[float, float]]) -> tuple[float, float]:
    return statistics.median(before for before, _ in times), statistics.median(total for _, total in times)


def _shares(kind: str, rounds: list[tuple[float, float]], client_ms: list[float]) -> Iterator[Measure]:
    raw = {
        "before_ms": [round(before, 4) for before, _ in rounds],
        "total_ms": [round(total, 4) for _, total in rounds],
        "client_p50_ms": percentiles(client_ms),
    }
    share = statistics.median(before / total for before, total in rounds)
    yield Measure(f"access_share_of_retrieve_by_{kind}", share, SHARE_LIMITS[kind], at_least=False, raw=raw)
    yield Measure(f"access_by_{kind}", statistics.median(before for before, _ in rounds), unit="ms")
