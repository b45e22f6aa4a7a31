from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from events import client
from events.rows import (
    PersonMode,
    Row,
    Table,
    clickhouse_time,
    distinct_id_row,
    event_row,
    group_row,
    person_row,
    property_update_row,
    query_log_row,
    warning_row,
)

AT = datetime(2020, 1, 1, 12, 0, 5, 200_000, tzinfo=UTC)
NAIVE = AT.replace(tzinfo=None)
TEXT = "größe 😀 '\"\\\n\t\0"
OBJECT = orjson.dumps({"a.b": [1, 2.0, None, TEXT]}).decode()
ID = UUID("0192f5a0-0000-7000-8000-00000000000f")


def row_of(table: Table, team_id: int, row: Row) -> dict[str, Any]:
    client.insert_json_rows(table, orjson.dumps(row), token=str(uuid4()))
    sql = f"SELECT * FROM {table.value} WHERE team_id = {{team_id:Int64}}"  # noqa: S608 an enum
    result = client.query(sql, {"team_id": team_id})
    (values,) = result.rows
    return dict(zip(result.columns, values, strict=True))


@pytest.mark.usefixtures("clickhouse")
class TestRowsComeBackAsTheyWere:
    def test_event(self, team_id: int) -> None:
        row = event_row(
            team_id=team_id,
            uuid=ID,
            event=TEXT,
            distinct_id=TEXT,
            timestamp=AT,
            created_at=AT,
            properties='{"$group_0":"acme","$session_id":"s","$window_id":"w"}',
            person_id=ID,
            person_created_at=AT,
            person_properties=OBJECT,
            person_mode=PersonMode.PROPERTYLESS,
            generation=3,
            elements_chain="a:b",
            historical_migration=True,
        )
        stored = row_of(Table.EVENTS, team_id, row)
        assert stored.pop("inserted_at") is not None
        assert stored == {
            **row,
            "uuid": ID,
            "person_id": ID,
            "timestamp": NAIVE,
            "created_at": NAIVE,
            "person_created_at": NAIVE,
        }
        sql = "SELECT `$group_0`, `$group_1`, `$session_id`, `$window_id` FROM events WHERE team_id = {team_id:Int64}"
        assert client.query(sql, {"team_id": team_id}).rows == [("acme", "", "s", "w")]

    def test_query_log(self, team_id: int) -> None:
        now = datetime.now(UTC)
        row = query_log_row(
            team_id=team_id, query_id=TEXT, event_time=now, query_duration_ms=1, read_rows=2, read_bytes=3,
            result_rows=4, memory_usage=5, query=TEXT, kind="HogQLQuery", name=TEXT, is_personal_api_key_request=True,
            created_by=6, exception_code=241, status="error",
        )  # fmt: skip
        assert row_of(Table.QUERY_LOG, team_id, row) == {**row, "event_time": now.replace(tzinfo=None)}

    def test_property_update(self, team_id: int) -> None:
        row = property_update_row(
            team_id=team_id,
            distinct_id=TEXT,
            timestamp=AT,
            ingested_at=AT,
            uuid=ID,
            event="$set",
            generation=1,
            set=OBJECT,
            set_once=OBJECT,
            unset=[TEXT, "b"],
        )
        stored = row_of(Table.PERSON_PROPERTY_UPDATES, team_id, row)
        assert stored == {**row, "uuid": ID, "timestamp": NAIVE, "ingested_at": NAIVE}

    def test_person(self, team_id: int) -> None:
        row = person_row(
            id=ID, team_id=team_id, created_at=AT, properties=OBJECT, is_identified=True, version=2**63, is_deleted=True
        )
        assert row_of(Table.PERSONS, team_id, row) == {**row, "id": ID, "created_at": NAIVE}

    @pytest.mark.parametrize("table", [Table.PERSON_DISTINCT_IDS, Table.PERSON_DISTINCT_ID_OVERRIDES])
    def test_distinct_id(self, team_id: int, table: Table) -> None:
        row = distinct_id_row(team_id=team_id, distinct_id=TEXT, person_id=ID, version=1, generation=2)
        assert row_of(table, team_id, row) == {**row, "person_id": ID}

    def test_group(self, team_id: int) -> None:
        row = group_row(
            team_id=team_id, group_type_index=4, group_key=TEXT, created_at=AT, properties=OBJECT, version=7
        )
        assert row_of(Table.GROUPS, team_id, row) == {**row, "created_at": NAIVE}

    def test_warning(self, team_id: int) -> None:
        now = datetime.now(UTC)
        row = warning_row(team_id=team_id, source="capture", type="t", details=OBJECT, timestamp=now)
        assert row_of(Table.INGESTION_WARNINGS, team_id, row) == {**row, "timestamp": now.replace(tzinfo=None)}


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (AT, "2020-01-01 12:00:05.200000"),
        (AT.replace(microsecond=0), "2020-01-01 12:00:05.000000"),
        (AT.astimezone(timezone(timedelta(hours=-9, minutes=-30))), "2020-01-01 12:00:05.200000"),
        (NAIVE, "2020-01-01 12:00:05.200000"),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))), "1900-01-01 00:00:00.000000"),
        (datetime(1850, 1, 1, tzinfo=UTC), "1900-01-01 00:00:00.000000"),
        (datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-14))), "2299-12-31 23:59:59.999999"),
    ],
)
def test_times_are_utc_text_that_fits_the_column(moment: datetime, text: str) -> None:
    assert clickhouse_time(moment) == text
