"""Conditions around a guarded subquery use the primary key and partitions; what is not asked for is not read.

All as the query user, whose row policies stand between the two.
"""
# ruff: noqa: S608 values are bound

from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

import pytest

from tests.events.hogql.tables import reading

ROWS: Final = 400_000
MONTHS: Final = 6
SINCE: Final = "{since:DateTime64(6, 'UTC')}"
UNTIL: Final = "{until:DateTime64(6, 'UTC')}"
TWO_DAYS: Final = {"since": "2024-03-10 00:00:00", "until": "2024-03-12 00:00:00"}
BETWEEN: Final = f"t.timestamp >= {SINCE} AND t.timestamp < {UNTIL}"
ONE_EVENT: Final = f"WHERE {BETWEEN} AND t.event = 'e3'"
# What the outer conditions leave: one granule of 8192 rows of a month's part.
GRANULE: Final = 8192
OVERRIDES: Final = 2000


@dataclass(frozen=True)
class Read:
    rows: int
    bytes: int
    plan: str
    answer: Any


def ask(
    client: ModuleType, table: str, chains: list[str], rest: str, *, select: str, bounded: bool = False, **context: Any
) -> Read:
    asked = reading.Question(table, **context)
    for chain in chains:
        asked.field(chain)
    if bounded:
        asked.source.bounded(since=SINCE, until=UNTIL)
    sql = f"SELECT {select} FROM {asked.source.sql()} AS t {rest}"
    parameters = {**asked.parameters, **TWO_DAYS}
    plan = "\n".join(str(line) for (line,) in reading.ask(client, f"EXPLAIN indexes=1 {sql}", parameters).rows)
    found = reading.ask(client, sql, parameters)
    return Read(found.rows_read, found.bytes_read, plan, found.rows[0][0])


@pytest.fixture
def half_a_year(clickhouse: ModuleType) -> ModuleType:
    """400,000 events of two teams and 7 names over six months, 2,000 distinct ids with overrides, 3,000 persons."""
    clickhouse.command(
        """
        INSERT INTO events (uuid, event, properties, timestamp, team_id, distinct_id, created_at, person_id,
            person_created_at, person_properties, person_mode, generation)
        SELECT generateUUIDv4(), concat('e', toString(number % 7)),
            concat('{"$session_id":"s', toString(intDiv(number, 10)), '","a":"', repeat('x', 200), '"}'),
            toDateTime64('2024-01-01 00:00:00', 6, 'UTC') + toIntervalSecond(intDiv(number * 15552, 400)),
            7 + number % 2, concat('d', toString(number % 5000)), now64(6),
            toUUID('00000000-0000-0000-0000-000000000001'), now64(3), '{"plan":"x"}', 'full', 0
        FROM numbers({rows:UInt64})""",
        {"rows": ROWS},
        seconds=200,
    )
    clickhouse.command(
        """
        INSERT INTO person_distinct_id_overrides (team_id, distinct_id, person_id, is_deleted, version, generation)
        SELECT 7, concat('d', toString(number)), toUUID('00000000-0000-0000-0000-000000000002'), 0, 1, 0
        FROM numbers({rows:UInt64})""",
        {"rows": OVERRIDES},
    )
    clickhouse.command(
        """
        INSERT INTO persons (id, team_id, created_at, properties, is_identified, is_deleted, version)
        SELECT toUUID(concat('00000000-0000-0000-0000-', leftPad(toString(number), 12, '0'))), 7, now64(6),
            '{"plan":"x"}', 0, 0, 1
        FROM numbers(3000)"""
    )
    return clickhouse


def test_conditions_on_time_and_event_reach_the_primary_key(half_a_year: ModuleType) -> None:
    found = ask(half_a_year, "events", ["event", "timestamp"], ONE_EVENT, select="count()")
    expected = ROWS / MONTHS / 30 * 2 / 2 / 7
    assert expected * 0.9 < found.answer < expected * 1.1
    assert found.rows <= GRANULE
    assert "toYYYYMM(timestamp) in [202403" in found.plan
    assert "toDate(timestamp) in" in found.plan
    assert "event in ['e3', 'e3']" in found.plan
    assert "team_id in [7, 7]" in found.plan


@pytest.mark.parametrize(
    ("chain", "mode", "joined"),
    [
        ("person_id", "person_id_override_properties_on_events", OVERRIDES),
        ("person_id", "person_id_no_override_properties_on_events", 0),
        ("person.properties", "person_id_override_properties_on_events", 0),
        ("person.properties", "person_id_override_properties_joined", OVERRIDES + 3000),
    ],
)
def test_they_do_through_the_joins_of_persons_too(half_a_year: ModuleType, chain: str, mode: Any, joined: int) -> None:
    column = chain.replace(".", "__")
    found = ask(
        half_a_year,
        "events",
        ["event", "timestamp", chain],
        ONE_EVENT,
        select=f"uniqExact(t.{column})",
        person_mode=mode,
    )
    assert found.answer >= 1
    assert found.rows <= GRANULE + joined


def test_overrides_are_joined_for_the_persons_id_only(half_a_year: ModuleType) -> None:
    whole = [
        "uuid",
        "event",
        "timestamp",
        "properties",
        "distinct_id",
        "person.properties",
        "poe.id",
        "event_person_id",
    ]
    without = ask(half_a_year, "events", whole, ONE_EVENT, select="count()")
    assert "Join" not in without.plan
    assert "person_distinct_id" not in without.plan
    with_person = ask(half_a_year, "events", ["event", "timestamp", "person_id"], ONE_EVENT, select="any(t.person_id)")
    assert with_person.plan.count("person_distinct_id_overrides") == 1
    assert ".persons" not in with_person.plan


def test_properties_are_read_only_when_they_are_asked_for(half_a_year: ModuleType) -> None:
    lean = ask(half_a_year, "events", ["event"], "", select="uniqExact(t.event)")
    assert lean.answer == 7
    assert lean.bytes < ROWS / 2 * 40
    # A column that the subquery has and nobody uses is not read either.
    unused = ask(half_a_year, "events", ["event", "properties"], "", select="uniqExact(t.event)")
    assert unused.bytes == lean.bytes
    wide = ask(half_a_year, "events", ["event", "properties"], "", select="sum(length(t.properties))")
    assert wide.bytes > ROWS / 2 * 200


def test_bounds_keep_sessions_from_reading_every_event(half_a_year: ModuleType) -> None:
    started = f"WHERE t.`$start_timestamp` >= {SINCE} AND t.`$start_timestamp` < {UNTIL}"
    whole = ask(half_a_year, "sessions", ["$start_timestamp"], started, select="count()")
    bounded = ask(half_a_year, "sessions", ["$start_timestamp"], started, select="count()", bounded=True)
    assert bounded.answer == whole.answer > 0
    assert whole.rows > ROWS / 2
    assert bounded.rows <= 2 * GRANULE


def test_bounds_reach_the_sessions_of_events(half_a_year: ModuleType) -> None:
    chains = ["event", "timestamp", "session.$session_duration"]
    select = "sum(t.`session__$session_duration`)"
    whole = ask(half_a_year, "events", chains, ONE_EVENT, select=select)
    bounded = ask(half_a_year, "events", chains, ONE_EVENT, select=select, bounded=True)
    assert bounded.answer == whole.answer > 0
    assert bounded.rows <= 3 * GRANULE < whole.rows


def test_a_persons_id_reaches_the_primary_key(half_a_year: ModuleType) -> None:
    rest = "WHERE t.id = toUUID('00000000-0000-0000-0000-000000000002')"
    found = ask(half_a_year, "persons", ["id", "properties"], rest, select="t.properties")
    assert found.answer == '{"plan":"x"}'
    assert "id in ['00000000-0000-0000-0000-000000000002'" in found.plan
