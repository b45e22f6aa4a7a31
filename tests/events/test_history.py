from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from events import client
from events.history import SHORT_HISTORY, PropertiesAt, properties_at, updates_used
from events.rows import Row, Table, property_update_row

pytestmark = pytest.mark.usefixtures("clickhouse")

T = datetime(2024, 5, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def update(
    team_id: int,
    at: datetime,
    *,
    distinct_id: str = "mia",
    generation: int = 0,
    ingested_at: datetime = T,
    uuid: UUID | None = None,
    unset: list[str] | None = None,
    set_once: dict[str, Any] | None = None,
    **properties: Any,
) -> Row:
    return property_update_row(
        team_id=team_id,
        distinct_id=distinct_id,
        timestamp=at,
        ingested_at=ingested_at,
        uuid=uuid or uuid4(),
        event="$set",
        generation=generation,
        set=orjson.dumps(properties).decode(),
        set_once=orjson.dumps(set_once or {}).decode(),
        unset=unset or [],
    )


def store(*rows: Row) -> None:
    payload = b"\n".join(map(orjson.dumps, rows))
    client.insert_json_rows(Table.PERSON_PROPERTY_UPDATES, payload, token=str(uuid4()))


def at(team_id: int, moment: datetime, *ids: tuple[str, int], include_set_once: bool = False) -> dict[str, Any]:
    found = properties_at(team_id=team_id, ids=ids or [("mia", 0)], at=moment, include_set_once=include_set_once)
    return found.properties


def test_update_counts_from_its_own_microsecond_on(team_id: int) -> None:
    store(update(team_id, T, plan="free"), update(team_id, T + MICROSECOND, plan="pro"))
    assert at(team_id, T - MICROSECOND) == {}
    assert at(team_id, T) == {"plan": "free"}
    assert at(team_id, T + MICROSECOND) == {"plan": "pro"}


def test_ties_are_broken_by_ingestion_then_uuid(team_id: int) -> None:
    first, second = UUID("00000000-0000-4000-8000-ffffffffffff"), UUID("ffffffff-0000-4000-8000-000000000000")
    store(
        update(team_id, T, uuid=second, plan="second uuid", city="early"),
        update(team_id, T, uuid=first, plan="first uuid"),
        update(team_id, T, uuid=first, ingested_at=T + MICROSECOND, city="late"),
    )
    assert at(team_id, T) == {"plan": "second uuid", "city": "late"}


def test_other_teams_ids_and_generations_count_nowhere(team_id: int) -> None:
    store(
        update(team_id, T, plan="own"),
        update(team_id + 1, T + MICROSECOND, plan="other team"),
        update(team_id, T + MICROSECOND, distinct_id="ben", plan="other person"),
        update(team_id, T + MICROSECOND, generation=1, plan="later life"),
    )
    assert at(team_id, T + MICROSECOND) == {"plan": "own"}
    assert at(team_id, T + MICROSECOND, ("mia", 1)) == {"plan": "later life"}
    assert at(team_id, T + MICROSECOND, ("mia", 0), ("ben", 0)) == {"plan": "other person"}
    assert at(team_id, T + MICROSECOND, ("mia", 1), ("ben", 1)) == {"plan": "later life"}


def test_later_non_null_set_once_replaces_a_null(team_id: int) -> None:
    store(
        update(team_id, T, set_once={"a": None}),
        update(team_id, T + MICROSECOND, set_once={"a": 1}),
        update(team_id, T + 2 * MICROSECOND, set_once={"a": 2}),
    )
    assert at(team_id, T, include_set_once=True) == {"a": None}
    assert at(team_id, T + 2 * MICROSECOND, include_set_once=True) == {"a": 1}
    assert at(team_id, T + 2 * MICROSECOND) == {}


def test_unset_wins_inside_one_event(team_id: int) -> None:
    store(update(team_id, T, plan="free", city="Bonn", unset=["plan"], set_once={"plan": "x"}))
    assert at(team_id, T, include_set_once=True) == {"city": "Bonn"}


def test_operations_applied_counts_updates_that_took_part(team_id: int) -> None:
    once = update(team_id, T, set_once={"a": 1})
    store(once, update(team_id, T, b=1), update(team_id, T, unset=["b"]), update(team_id, T + MICROSECOND, c=1))
    store(once)
    arguments: dict[str, Any] = {"team_id": team_id, "ids": [("mia", 0)], "at": T}
    assert properties_at(**arguments, include_set_once=False).operations_applied == 2
    assert properties_at(**arguments, include_set_once=True).operations_applied == 3


def test_nobody_has_no_properties(team_id: int) -> None:
    assert properties_at(team_id=team_id, ids=[], at=T, include_set_once=True) == PropertiesAt({}, 0)
    assert properties_at(team_id=team_id, ids=[("x", 0)], at=T, include_set_once=True) == PropertiesAt({}, 0)


def test_times_beyond_the_calendar_of_the_store_are_answered(team_id: int) -> None:
    store(update(team_id, T, plan="free"))
    assert at(team_id, datetime.max.replace(tzinfo=UTC)) == {"plan": "free"}
    assert at(team_id, datetime.min.replace(tzinfo=UTC)) == {}


def test_long_history_is_exact_too(team_id: int) -> None:
    rows = [update(team_id, T + number * MICROSECOND, n=number, f=float(number)) for number in range(SHORT_HISTORY + 5)]
    store(*rows, update(team_id, T + 3 * MICROSECOND, distinct_id="ben", rare={"deep": [1.0, 2**63, "é"]}))
    found = properties_at(
        team_id=team_id, ids=[("mia", 0), ("ben", 0)], at=T + (SHORT_HISTORY + 2) * MICROSECOND, include_set_once=True
    )
    last = SHORT_HISTORY + 2
    assert orjson.dumps(found.properties, option=orjson.OPT_SORT_KEYS) == orjson.dumps(
        {"n": last, "f": float(last), "rare": {"deep": [1.0, 2**63, "é"]}}, option=orjson.OPT_SORT_KEYS
    )
    assert found.operations_applied == SHORT_HISTORY + 4


def test_few_huge_updates_do_not_fill_memory(team_id: int) -> None:
    blob = "x" * 1_000_000
    store(*(update(team_id, T + number * MICROSECOND, n=number, blob=f"{number}{blob}") for number in range(20)))
    assert at(team_id, T + 19 * MICROSECOND) == {"n": 19, "blob": f"19{blob}"}


def test_person_with_very_many_ids_is_answered(team_id: int) -> None:
    ids = [(f"größe 'id' {number}", number % 2) for number in range(100_000)]
    store(update(team_id, T, distinct_id=ids[-1][0], generation=1, plan="last"))
    store(update(team_id, T, distinct_id=ids[-1][0], generation=0, plan="other life"))
    assert at(team_id, T, *ids) == {"plan": "last"}


def test_malformed_and_non_object_operations_are_skipped(team_id: int) -> None:
    rows = [update(team_id, T, plan="free")]
    rows += [{**update(team_id, T + MICROSECOND), "set": text, "uuid": str(uuid4())} for text in ("[1]", "{", "3")]
    store(*rows)
    assert at(team_id, T + MICROSECOND) == {"plan": "free"}


def test_updates_used_shows_the_query_and_the_newest_rows_in_order(team_id: int) -> None:
    rows = [update(team_id, T + number * MICROSECOND, n=number) for number in range(5)]
    store(*rows, update(team_id, T + 5 * MICROSECOND, unset=["n"], set_once={"a": 1}))
    used = updates_used(team_id=team_id, ids=[("mia", 0)], at=T + MICROSECOND * 5, include_set_once=True, limit=2)
    assert used.events_found == 6
    assert used.params["id_0"] == "mia"
    assert "person_property_updates" in used.query
    assert [event["properties"] for event in used.events] == [
        {"$set": {"n": 4}},
        {"$set_once": {"a": 1}, "$unset": ["n"]},
    ]
    first = used.events[0]
    assert (first["uuid"], first["event"], first["distinct_id"]) == (rows[4]["uuid"], "$set", "mia")
    assert first["timestamp"] == T + 4 * MICROSECOND
    assert first["timestamp"].tzinfo is UTC


def test_updates_used_of_nobody_is_empty(team_id: int) -> None:
    used = updates_used(team_id=team_id, ids=[], at=T, include_set_once=True)
    assert (used.events_found, used.events) == (0, [])
