"""Looking back over a million persons: the list as of a moment, and a thousand persons at a thousand moments."""

import statistics
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import clickhouse_connect
import orjson
import psycopg
import urllib3

from benchmarks import seed
from benchmarks.report import Measure
from benchmarks.world import World

PERSONS, UPDATES = 1_000_000, 10
BATCH = 1000
FIRST_PAGE_LIMIT, BATCH_LIMIT = 2.0, 0.2
BEGIN: Final = datetime(2025, 6, 1, tzinfo=UTC)
AS_OF: Final = BEGIN + timedelta(days=300)
FILTERS: Final = {
    "everybody": None,
    "one in four": [{"key": "plan", "value": "p1", "operator": "exact"}],
    "one in 10,000": [{"key": "rare", "value": "yes", "operator": "exact"}],
    "nobody": [{"key": "plan", "value": "no such plan", "operator": "exact"}],
}

_PERSONS = """
INSERT INTO core_person (team_id, uuid, properties, created_at, is_identified, version)
SELECT %(team)s, md5('person ' || n)::uuid, jsonb_build_object('plan', 'p' || n %% 4, 'seats', n %% 90),
       %(begin)s::timestamptz + n * interval '20 seconds', n %% 3 > 0, 0
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
"""
_DISTINCT_IDS = """
INSERT INTO core_persondistinctid (team_id, person_id, distinct_id, version, generation)
SELECT team_id, id, md5('person ' || n) || part, 0, 0
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
JOIN core_person ON team_id = %(team)s AND uuid = md5('person ' || n)::uuid
CROSS JOIN unnest(ARRAY['-a', '-b']) AS part
"""
_MIRROR = """
INSERT INTO persons (id, team_id, created_at, properties, is_identified, is_deleted, version)
SELECT toUUID(UUIDNumToString(MD5(concat('person ', toString(number))))), {team:Int64},
       toDateTime64({begin:String}, 6, 'UTC') + toIntervalSecond(20 * number), '{}', true, false, 0
FROM numbers({first:UInt64}, {rows:UInt64})"""
_MAPPING = """
INSERT INTO person_distinct_ids (team_id, distinct_id, person_id, is_deleted, version, generation)
SELECT {team:Int64}, concat(lower(hex(MD5(concat('person ', toString(number))))), arrayJoin(['-a', '-b'])),
       toUUID(UUIDNumToString(MD5(concat('person ', toString(number))))), false, 0, 0
FROM numbers({first:UInt64}, {rows:UInt64})"""
_UPDATES = """
INSERT INTO person_property_updates (team_id, distinct_id, timestamp, ingested_at, uuid, event, `set`, set_once, unset)
SELECT {team:Int64}, concat(lower(hex(MD5(concat('person ', toString(person))))), if(part % 2 = 0, '-a', '-b')),
       toDateTime64({begin:String}, 6, 'UTC') + toIntervalSecond(20 * person + 864000 * part) AS timestamp, timestamp,
       generateUUIDv4(number), '$set',
       concat('{"email":"someone', toString(person), '@example.com","plan":"p', toString((person + part) % 4),
              '","seats":', toString((person + part) % 90), ',"$browser":"Chrome"',
              if(person % 10000 = 7 AND part = 2, ',"rare":"yes"', ''), '}'),
       '{"$initial_referrer":"https://www.example.com/","$initial_browser":"Chrome"}', if(part % 5 = 4, ['trial'], [])
FROM (SELECT number, intDiv(number, {updates:UInt64}) AS person, number % {updates:UInt64} AS part
      FROM numbers({first:UInt64} * {updates:UInt64}, {rows:UInt64} * {updates:UInt64}))"""


def measure(world: World) -> Iterator[Measure]:
    """Seed a team of its own, then ask over HTTP."""
    team, persons = world.team_ids[5], 20_000 if world.quick else PERSONS
    fill(world, team, persons)
    with world.granian("looking-back", "persons_api.wsgi:application") as port:
        ask = Asker(port, world.key, team)
        yield from _lists(ask, rounds=2 if world.quick else 5)
        yield from _batches(ask, persons, rounds=1 if world.quick else 3)


class Asker:
    """A client of the persons resource of one team that measures seconds."""

    def __init__(self, port: int, key: str, team: int) -> None:
        """Keep one connection."""
        self.pool = urllib3.HTTPConnectionPool("127.0.0.1", port, maxsize=1, timeout=120)
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self.base = f"/api/projects/{team}/persons/"

    def get(self, path: str) -> tuple[float, Any]:
        """Return seconds and the parsed answer; anything but 200 is an error."""
        return self._timed("GET", path)

    def post(self, path: str, body: object) -> tuple[float, Any]:
        """Send JSON, otherwise as `get`."""
        return self._timed("POST", self.base + path, body=orjson.dumps(body))

    def list(self, **parameters: str) -> str:
        """Return the path of a list."""
        return f"{self.base}?{urlencode(parameters)}"

    def _timed(self, method: str, path: str, body: bytes | None = None) -> tuple[float, Any]:
        begin = time.perf_counter()
        answer = self.pool.request(method, path, headers=self.headers, body=body)
        seconds = time.perf_counter() - begin
        assert answer.status == 200, (path, answer.status, answer.data[:300])
        return seconds, orjson.loads(answer.data)


def fill(world: World, team: int, persons: int) -> None:
    """Make persons, their distinct ids, mirrors and updates, inside the stores."""
    with psycopg.connect(world.environment["DATABASE_URL"], autocommit=True) as connection, seed.progress() as shown:
        task = shown.add_task("persons to look back at", total=persons)
        for first in range(0, persons, seed.CHUNK):
            values = {"team": team, "begin": BEGIN, "first": first, "last": min(first + seed.CHUNK, persons) - 1}
            connection.execute(_PERSONS, values)
            connection.execute(_DISTINCT_IDS, values)
            shown.update(task, completed=values["last"] + 1)
        for table in ("core_person", "core_persondistinctid"):
            connection.execute(f"VACUUM (ANALYZE) {table}")
    url = urlsplit(world.environment["CLICKHOUSE_URL"]).geturl()
    client = clickhouse_connect.get_client(
        dsn=url, autogenerate_session_id=False, compress=False, send_receive_timeout=600
    )
    with seed.progress() as shown:
        task = shown.add_task("their updates", total=persons)
        step = 100_000
        for first in range(0, persons, step):
            rows = min(step, persons - first)
            parameters = {
                "team": team, "begin": f"{BEGIN:%Y-%m-%d %H:%M:%S}", "first": first, "rows": rows, "updates": UPDATES,
            }  # fmt: skip
            for sql in (_MIRROR, _MAPPING, _UPDATES):
                client.command(sql, parameters=parameters)
            shown.update(task, completed=first + rows)
    _await_merges(client)


def _await_merges(client: Any, seconds: float = 120) -> None:  # noqa: ANN401 the driver's client
    deadline = time.monotonic() + seconds
    while client.query("SELECT count() FROM system.merges").result_rows[0][0] and time.monotonic() < deadline:
        time.sleep(0.5)


def _lists(ask: Asker, rounds: int) -> Iterator[Measure]:
    for name, wanted in FILTERS.items():
        parameters = {"as_of": AS_OF.isoformat(), "limit": "100"}
        if wanted:
            parameters["properties"] = orjson.dumps(wanted).decode()
        samples = [ask.get(ask.list(**parameters)) for _ in range(rounds)]
        body = samples[-1][1]
        raw = {"seconds": [seconds for seconds, _ in samples], "persons": len(body["results"])}
        limit = FIRST_PAGE_LIMIT if name in {"everybody", "one in four"} else None
        label = name.replace(" ", "_").replace(",", "")
        yield _seconds(f"as_of_first_page_{label}", raw, limit)
        if body["next"] and limit:
            following = [_follow(ask, body["next"]) for _ in range(rounds)]
            yield _seconds(f"as_of_page_by_next_{label}", {"seconds": following}, limit)


def _follow(ask: Asker, link: str, pages: int = 5) -> float:
    """Follow `next` some pages on and return the seconds of the last one."""
    seconds = 0.0
    for _ in range(pages):
        seconds, body = ask.get(link[link.index("/api/") :])
        assert body["results"]
        link = body["next"]
    return seconds


def _seconds(name: str, raw: dict[str, Any], limit: float | None) -> Measure:
    return Measure(name, statistics.median(raw["seconds"]), limit, at_least=False, unit="s", raw=raw)


def _batches(ask: Asker, persons: int, rounds: int) -> Iterator[Measure]:
    """Compare one request for a thousand persons at moments of their own with a thousand requests."""
    asked = [
        {
            "person_id": _uuid(number * (persons // BATCH)),
            "timestamp": (BEGIN + timedelta(days=150, minutes=number)).isoformat(),
            "include_set_once": number % 2 == 0,
        }
        for number in range(BATCH)
    ]
    samples = [ask.post("properties_at_time/", {"persons": asked}) for _ in range(rounds)]
    together = statistics.median(seconds for seconds, _ in samples)
    singles = _one_by_one(ask, asked, samples[-1][1]["results"])
    yield Measure("properties_at_time_batch_of_1000", together, unit="s")
    yield Measure("properties_at_time_1000_singles", singles, unit="s")
    yield Measure("properties_at_time_batch_vs_singles", together / singles, BATCH_LIMIT, at_least=False)


def _one_by_one(ask: Asker, asked: Sequence[dict[str, Any]], answers: Sequence[dict[str, Any]]) -> float:
    seconds = 0.0
    for one, answer in zip(asked, answers, strict=True):
        taken, body = ask.get(f"{ask.base}properties_at_time/?{urlencode(one)}")
        assert body["properties"] == answer["properties"], (body, answer)
        seconds += taken
    return seconds


def _uuid(number: int) -> str:
    from hashlib import md5
    from uuid import UUID

    return str(UUID(bytes=md5(f"person {number}".encode(), usedforsecurity=False).digest()))
