"""Persons by the hundred thousand, made inside Postgres."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from rich.console import Console
from rich.progress import Progress

from benchmarks.world import World

CHUNK = 20_000

_PERSONS = """
INSERT INTO core_person (team_id, uuid, properties, created_at, is_identified, version, last_seen_at)
SELECT %(team)s, gen_random_uuid(),
       jsonb_build_object(
           'email', 'user' || n || '@example.com', 'name', 'Person Number ' || n,
           'plan', (ARRAY['free','team','business','enterprise'])[1 + n %% 4],
           '$browser', (ARRAY['Chrome','Safari','Firefox','Edge'])[1 + n %% 4], '$browser_version', 100 + n %% 30,
           '$os', (ARRAY['Mac OS X','Windows','Linux','iOS','Android'])[1 + n %% 5],
           '$geoip_country_code', (ARRAY['US','GB','DE','FR','NL','BR'])[1 + n %% 6],
           '$geoip_city_name', 'City ' || n %% 500, '$initial_referrer', 'https://example.com/search?q=' || n %% 1000,
           '$initial_current_url', 'https://app.example.com/signup/' || n %% 50, 'seats', n %% 40,
           'is_admin', n %% 7 = 0, '$creator_event_uuid', gen_random_uuid()),
       now() - (%(total)s - n) * interval '47 seconds', n %% 3 > 0, n %% 20,
       now() - (%(total)s - n) * interval '11 seconds'
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
"""
_DISTINCT_IDS = """
INSERT INTO core_persondistinctid (team_id, person_id, distinct_id, version, generation)
SELECT p.team_id, p.id, CASE WHEN part = 0 THEN gen_random_uuid()::text ELSE p.properties ->> 'email' END, part, 0
FROM core_person p CROSS JOIN generate_series(0, 1) AS part
WHERE p.team_id = %(team)s AND p.id > %(after)s AND (part = 0 OR p.id %% 2 = 0)
ORDER BY p.id, part
"""
_TWO_DISTINCT_IDS: LiteralString = _DISTINCT_IDS.replace("AND (part = 0 OR p.id %% 2 = 0)", "")


@contextmanager
def progress() -> Iterator[Progress]:
    """Show bars on a terminal and nothing elsewhere."""
    with Progress(transient=True, disable=not sys.stderr.isatty(), console=Console(stderr=True)) as shown:
        yield shown


def persons(world: World, *, first_team: int, other_teams: int) -> None:
    """Fill the teams: many persons in the first, fewer in each of the others."""
    with psycopg.connect(world.environment["DATABASE_URL"], autocommit=True) as connection, progress() as shown:
        for team, count in zip(world.team_ids[:4], [first_team, *[other_teams] * 10], strict=False):
            fill(connection, shown, team=team, count=count)
        for table in ("core_person", "core_persondistinctid"):
            connection.execute(f"VACUUM (ANALYZE) {table}")


def persons_with_two_ids(world: World, *, team: int, count: int) -> None:
    """Fill one team with persons who have two distinct ids each."""
    with psycopg.connect(world.environment["DATABASE_URL"], autocommit=True) as connection, progress() as shown:
        fill(connection, shown, team=team, count=count, distinct_ids=_TWO_DISTINCT_IDS)
        for table in ("core_person", "core_persondistinctid"):
            connection.execute(f"VACUUM (ANALYZE) {table}")


def fill(
    connection: "psycopg.Connection[Any]",
    shown: Progress,
    *,
    team: int,
    count: int,
    distinct_ids: LiteralString = _DISTINCT_IDS,
) -> None:
    """Put persons into one team."""
    task = shown.add_task(f"persons of team {team}", total=count)
    for first in range(1, count + 1, CHUNK):
        last = min(first + CHUNK - 1, count)
        _chunk(connection, {"team": team, "first": first, "last": last, "total": count}, distinct_ids)
        shown.update(task, completed=last)


def _chunk(connection: "psycopg.Connection[Any]", values: dict[str, Any], distinct_ids: LiteralString) -> None:
    found = connection.execute("SELECT coalesce(max(id), 0) FROM core_person").fetchone()
    connection.execute(_PERSONS, values)
    connection.execute(distinct_ids, {**values, "after": found[0] if found else 0})
