"""Who owns an event: overrides, generations, groups, samples."""
# ruff: noqa: S608 values are bound

from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4

import orjson

from events.insights.entities import Entity, EventMatch
from events.insights.source import EventScope, Source
from events.insights.statement import Statement
from events.rows import Table, distinct_id_row, event_row

TEAM = 7
NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
ANN, BEN = UUID(int=1), UUID(int=2)


def stored(client: ModuleType, *rows: dict[str, Any]) -> None:
    made = [
        event_row(
            **{
                "team_id": TEAM,
                "uuid": uuid4(),
                "event": "a",
                "distinct_id": "ann",
                "timestamp": NOON,
                "created_at": NOON,
                "properties": "{}",
                "person_id": ANN,
                "person_created_at": NOON,
                **row,
            }
        )
        for row in rows
    ]
    client.insert_json_rows(Table.EVENTS, b"\n".join(map(orjson.dumps, made)), token=str(uuid4()))


def owned(client: ModuleType, distinct_id: str, person_id: UUID, generation: int = 0) -> None:
    row = distinct_id_row(team_id=TEAM, distinct_id=distinct_id, person_id=person_id, version=9, generation=generation)
    payload = orjson.dumps(row)
    client.insert_json_rows(Table.PERSON_DISTINCT_ID_OVERRIDES, payload, token=str(uuid4()))


def actors(**scope: Any) -> list[tuple[str, int]]:
    statement = Statement()
    whole = {"team_id": TEAM, "since": None, "until": None, "timezone": "UTC", **scope}
    source = Source(EventScope(**whole), statement)
    sql = source.select({"name": "e.event"})
    rows = statement.rows(f"SELECT toString(actor), count() FROM ({sql}) GROUP BY actor ORDER BY actor")
    return [(actor, count) for actor, count in rows]


def test_events_belong_to_whom_their_distinct_id_belongs_now(clickhouse: ModuleType) -> None:
    stored(clickhouse, {}, {"distinct_id": "ben", "person_id": BEN}, {"team_id": 8})
    assert actors() == [(str(ANN), 1), (str(BEN), 1)]
    owned(clickhouse, "ben", ANN)
    assert actors() == [(str(ANN), 2)]


def test_an_earlier_life_does_not_count(clickhouse: ModuleType) -> None:
    stored(clickhouse, {}, {"generation": 1, "person_id": BEN}, {"generation": 1, "person_id": BEN})
    owned(clickhouse, "ann", BEN, generation=1)
    assert actors() == [(str(BEN), 2)]


def test_both_ends_of_the_range_count(clickhouse: ModuleType) -> None:
    tick = timedelta(microseconds=1)
    stored(clickhouse, *({"timestamp": NOON + tick * number} for number in range(5)))
    assert actors(since=NOON + tick, until=NOON + tick * 3) == [(str(ANN), 3)]


def test_actors_may_be_groups(clickhouse: ModuleType) -> None:
    stored(clickhouse, {}, {"properties": '{"$group_1":"acme"}'}, {"properties": '{"$group_1":"acme"}'})
    assert actors(group_type_index=1) == [("acme", 2)]


def test_a_sample_has_all_events_of_a_distinct_id(clickhouse: ModuleType) -> None:
    stored(
        clickhouse,
        *({"distinct_id": str(n), "person_id": UUID(int=n)} for n in range(1, 401) for _ in range(2)),
    )
    found = actors(sampling=0.5)
    assert 120 < len(found) < 280
    assert {count for _, count in found} == {2}
    assert len(actors(sampling=1.0)) == 400
    assert actors(sampling=0.0) == []


def test_an_entity_counts_any_of_its_matches(clickhouse: ModuleType) -> None:
    stored(clickhouse, {"event": "a"}, {"event": "b"}, {"event": "c"})
    statement = Statement()
    source = Source(EventScope(TEAM, None, None, "UTC"), statement)
    entity = Entity("actions", 1, (EventMatch("a"), EventMatch("b")))
    nothing = Entity("actions", 2, ())
    sql = source.select({"hit": source.condition(entity), "miss": source.condition(nothing)}, entities=[entity])
    assert statement.rows(f"SELECT sum(hit), sum(miss), count() FROM ({sql})") == [(2, 0, 2)]
