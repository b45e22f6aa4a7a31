"""A shop's events for the measures of insights, made inside ClickHouse, and its persons in both stores.

Visits of five events, persons of very unequal activity. Every third visit is anonymous; of some persons one of the
two distinct ids belonged to another person when the events came, so that an override says whose they are now.
"""
# ruff: noqa: S608 - statements are made of this module's constants

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import clickhouse_connect
import psycopg

from benchmarks import seed
from benchmarks.world import World

BEGIN: Final = datetime(2026, 3, 1, tzinfo=UTC)
DAYS: Final = 90
CHUNK: Final = 500_000
VISIT: Final = 5
"""Events in a visit."""

_PERSON = "toUUID(UUIDNumToString(MD5(concat('shopper ', toString({who})))))"
_ONCE = "toUUID(UUIDNumToString(MD5(concat('once ', toString({who})))))"
_DEVICE = "UUIDNumToString(MD5(concat('device ', toString({who}))))"
_ADDRESS = "concat('shopper', toString({who}), '@example.com')"
_DEVICE_MERGED, _ADDRESS_MERGED = "who % 12 = 0", "who % 25 = 1"

_EVENTS = f"""
INSERT INTO events (uuid, event, properties, timestamp, team_id, distinct_id, created_at, person_id,
                    person_created_at, person_properties, person_mode)
SELECT generateUUIDv4(number),
       multiIf(dice < 55, '$pageview', dice < 67, '$autocapture', dice < 75, '$pageleave', dice < 83, 'cart_opened',
               dice < 88, 'searched', dice < 92, 'checkout_started', dice < 95, 'order_placed', dice < 97,
               'coupon_used', '$identify'),
       concat('{{"$current_url":"https://shop.example.com/', ['products/', 'category/', 'help/'][1 + page % 3],
              toString(page), '","$host":"shop.example.com","$pathname":"/', toString(page), '","$browser":"',
              ['Chrome', 'Safari', 'Firefox', 'Edge'][1 + who % 4], '","$os":"',
              ['Mac OS X', 'Windows', 'iOS', 'Android', 'Linux'][1 + who % 5], '","$browser_version":',
              toString(100 + who % 30), ',"$lib":"web","$lib_version":"1.200.1","$screen_width":1920,"$referrer":',
              '"https://www.example.com/","plan":"', ['free', 'team', 'business'][1 + who % 3], '","price":',
              toString(page * 7 % 300), ',"$session_id":"', lower(hex(cityHash64(visit))), '","$window_id":"',
              lower(hex(cityHash64(visit, 'w'))), '"}}'),
       toDateTime64({{begin:String}}, 6, 'UTC') + toIntervalMicrosecond(
           intDiv(visit * {DAYS * 86_400 * 1_000_000}, {{visits:UInt64}})
           + 1_000_000 * 40 * (number % {VISIT}) + cityHash64(number, 'us') % 20_000_000) AS timestamp,
       {{team:Int64}}, if(anonymous, {_DEVICE.format(who="who")}, {_ADDRESS.format(who="who")}), timestamp,
       if(anonymous ? {_DEVICE_MERGED} : {_ADDRESS_MERGED}, {_ONCE.format(who="who")}, {_PERSON.format(who="who")}),
       toDateTime64({{begin:String}}, 3, 'UTC'), '{{}}', 'full'
FROM (
    SELECT number, intDiv(number, {VISIT}) AS visit, cityHash64(number) % 100 AS dice,
           toUInt32(400 * pow(cityHash64(number, 'page') / 18446744073709551616., 3)) AS page,
           toUInt32({{persons:UInt64}} * pow(cityHash64(visit, 'who') / 18446744073709551616., 2.2)) AS who,
           cityHash64(visit, 'device') % 3 = 0 AS anonymous
    FROM numbers({{first:UInt64}}, {{rows:UInt64}}))"""
_MIRROR = f"""
INSERT INTO persons (id, team_id, created_at, properties, is_identified, is_deleted, version)
SELECT {_PERSON.format(who="number")}, {{team:Int64}},
       toDateTime64({{begin:String}}, 6, 'UTC') + toIntervalSecond(cityHash64(number) % {(DAYS + 60) * 86_400})
           - toIntervalDay(60),
       concat('{{"email":"shopper', toString(number), '@example.com","plan":"',
              ['free', 'team', 'business'][1 + number % 3], '"}}'), true, false, 1
FROM numbers({{persons:UInt64}})"""
_OVERRIDES = f"""
INSERT INTO person_distinct_id_overrides (team_id, distinct_id, person_id, is_deleted, version, generation)
SELECT {{team:Int64}}, merged.1, {_PERSON.format(who="who")}, false, 1, 0
FROM (SELECT number AS who, arrayJoin(arrayConcat(
          if({_DEVICE_MERGED}, [tuple({_DEVICE.format(who="who")})], []),
          if({_ADDRESS_MERGED}, [tuple({_ADDRESS.format(who="who")})], []))) AS merged
      FROM numbers({{persons:UInt64}}))"""
_COPY = """
INSERT INTO events (uuid, event, properties, timestamp, team_id, distinct_id, created_at, person_id,
                    person_created_at, person_properties, person_mode)
SELECT uuid, event, properties, timestamp, {to:Int64}, distinct_id, created_at, person_id, person_created_at,
       person_properties, person_mode
FROM events WHERE team_id = {team:Int64} AND timestamp >= {since:String} AND timestamp < {until:String}"""
_COPY_OVERRIDES = """
INSERT INTO person_distinct_id_overrides (team_id, distinct_id, person_id, is_deleted, version, generation)
SELECT {to:Int64}, distinct_id, person_id, is_deleted, version, generation
FROM person_distinct_id_overrides WHERE team_id = {team:Int64}"""
_COPY_PERSONS = """
INSERT INTO persons (id, team_id, created_at, properties, is_identified, is_deleted, version)
SELECT id, {to:Int64}, created_at, properties, is_identified, is_deleted, version
FROM persons WHERE team_id = {team:Int64}"""
_LOADED = """
INSERT INTO core_person (team_id, uuid, properties, created_at, is_identified, version)
SELECT %(team)s, md5('shopper ' || n)::uuid, jsonb_build_object('email', 'shopper' || n || '@example.com'),
       now(), true, 0
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
"""
_LOADED_IDS = """
INSERT INTO core_persondistinctid (team_id, person_id, distinct_id, version, generation)
SELECT team_id, id, CASE part WHEN 0 THEN md5('device ' || n)::uuid::text ELSE properties ->> 'email' END, 0, 0
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
JOIN core_person ON team_id = %(team)s AND uuid = md5('shopper ' || n)::uuid
CROSS JOIN generate_series(0, 1) AS part
"""


@dataclass(frozen=True, slots=True)
class Shop:
    """What was made: a team with all days, and one with the last third of them only."""

    team: int
    recent_team: int
    persons: int
    events: int

    @property
    def since(self) -> datetime:
        """The first moment."""
        return BEGIN

    @property
    def until(self) -> datetime:
        """The end of the last day, whose visits may run past its midnight."""
        return BEGIN + timedelta(days=DAYS) - timedelta(microseconds=1)

    @property
    def recent_since(self) -> datetime:
        """The first moment of the last third."""
        return BEGIN + timedelta(days=DAYS * 2 // 3)


def fill(clickhouse_url: str, *, team: int, recent_team: int, persons: int, events: int) -> Shop:
    """Make the events, overrides and mirrored persons of both teams."""
    client = connect(clickhouse_url)
    shared = {"team": team, "begin": f"{BEGIN:%Y-%m-%d %H:%M:%S}", "persons": persons, "visits": events // VISIT}
    with seed.progress() as shown:
        task = shown.add_task("events of a shop", total=events)
        for first in range(0, events, CHUNK):
            rows = min(CHUNK, events - first)
            client.command(_EVENTS, parameters={**shared, "first": first, "rows": rows})
            shown.update(task, completed=first + rows)
        copying = shown.add_task("its last third once more", total=4)
        for sql in (_MIRROR, _OVERRIDES):
            client.command(sql, parameters=shared)
            shown.advance(copying)
        shop = Shop(team, recent_team, persons, events)
        range_of_copy = {"since": _text(shop.recent_since), "until": _text(shop.until + timedelta(days=2))}
        client.command(_COPY, parameters={"team": team, "to": recent_team, **range_of_copy})
        shown.advance(copying)
        for sql in (_COPY_OVERRIDES, _COPY_PERSONS):
            client.command(sql, parameters={"team": team, "to": recent_team})
        shown.advance(copying)
    # In the state that a table of this age is in: the parts of its partitions merged into few.
    client.command("OPTIMIZE TABLE events FINAL")
    return shop


def load_persons(world: World, shop: Shop) -> None:
    """Put the persons and their distinct ids into Postgres, from where a page of people is loaded."""
    with psycopg.connect(world.environment["DATABASE_URL"], autocommit=True) as connection, seed.progress() as shown:
        task = shown.add_task("persons of a shop", total=shop.persons)
        for first in range(0, shop.persons, seed.CHUNK):
            last = min(first + seed.CHUNK, shop.persons) - 1
            values = {"team": shop.team, "first": first, "last": last}
            connection.execute(_LOADED, values)
            connection.execute(_LOADED_IDS, values)
            shown.update(task, completed=last + 1)
        for table in ("core_person", "core_persondistinctid"):
            connection.execute(f"VACUUM (ANALYZE) {table}")


def connect(clickhouse_url: str) -> Any:  # noqa: ANN401 the driver's client
    """Return a client of its own, patient with long statements."""
    dsn = urlsplit(clickhouse_url).geturl()
    return clickhouse_connect.get_client(
        dsn=dsn, autogenerate_session_id=False, compress=False, send_receive_timeout=900
    )


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
