"""Asks TableSource for columns and runs what it writes, on the real engine."""
# ruff: noqa: S608 values are bound

from collections.abc import Iterable
from datetime import UTC, datetime
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4

import orjson

from events.asking import Asked
from events.hogql.context import Context
from events.hogql.tables.source import FieldRef, TableSource, open_source
from events.rows import Table, cohort_person_row, distinct_id_row, event_row, group_row, person_row, recording_row

TEAM, OTHER = 7, 8
NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
ANN, BEN, EVE = (UUID(int=number) for number in (1, 2, 3))


class Question:
    """A source with its parameters."""

    def __init__(self, table: str, **context: Any) -> None:
        self.parameters: dict[str, Any] = {}
        self.source: TableSource = open_source(
            table, context=Context(**{"team_id": TEAM, **context}), bind=self.bind, parameters=self.parameters
        )

    def bind(self, value: Any, type_name: str) -> str:
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return f"{{{name}:{type_name}}}"

    def field(self, chain: str) -> FieldRef:
        found = self.source.field(tuple(chain.split(".")))
        assert found is not None, chain
        return found

    def select(self, *chains: str, rest: str = "") -> str:
        names = [self.field(chain).sql for chain in chains]
        return f"SELECT {', '.join(names) or 'count()'} FROM {self.source.sql()} AS t {rest}"


def read(client: ModuleType, table: str, *chains: str, rest: str = "", **context: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a SELECT of some columns; `rest` may name columns as they are called in SQL."""
    asked = Question(table, **context)
    sql = asked.select(*chains, rest=rest)
    rows: list[tuple[Any, ...]] = client.query(sql, asked.parameters).rows
    return rows


def ask(client: ModuleType, sql: str, parameters: dict[str, Any]) -> Asked:
    """Return the answer that the query user gets, who reads nothing but what HogQL may."""
    limits = {"seconds": 60, "memory_mb": 1024, "max_rows": 1000, "max_bytes": 10**7}
    answer: Asked = client.ask(sql, parameters, team_id=parameters["team_id"], query_id="q", **limits)
    return answer


def insert(client: ModuleType, table: Table, rows: Iterable[dict[str, Any]]) -> None:
    """Store rows in two inserts: versions that come in one are told apart before any SELECT sees them."""
    given = list(rows)
    for part in (given[1::2], given[::2]):
        if part:
            client.insert_json_rows(table, b"\n".join(map(orjson.dumps, part)), token=str(uuid4()))


def json(value: Any) -> str:
    return orjson.dumps(value).decode()


def event(**row: Any) -> dict[str, Any]:
    properties = row.pop("properties", {})
    return event_row(
        **{
            "team_id": TEAM,
            "uuid": uuid4(),
            "event": "a",
            "distinct_id": "ann",
            "timestamp": NOON,
            "created_at": NOON,
            "properties": json(properties),
            "person_id": ANN,
            "person_created_at": NOON,
            **row,
        }
    )


def events(client: ModuleType, *rows: dict[str, Any]) -> None:
    insert(client, Table.EVENTS, [event(**row) for row in rows])


def persons(client: ModuleType, *rows: dict[str, Any]) -> None:
    whole = {
        "team_id": TEAM,
        "id": ANN,
        "created_at": NOON,
        "properties": "{}",
        "is_identified": False,
        "version": 1,
    }
    insert(client, Table.PERSONS, [person_row(**{**whole, **row}) for row in rows])


def mappings(client: ModuleType, *rows: dict[str, Any], table: Table = Table.PERSON_DISTINCT_IDS) -> None:
    whole = {"team_id": TEAM, "distinct_id": "ann", "person_id": ANN, "version": 1}
    insert(client, table, [distinct_id_row(**{**whole, **row}) for row in rows])


def overrides(client: ModuleType, *rows: dict[str, Any]) -> None:
    mappings(client, *rows, table=Table.PERSON_DISTINCT_ID_OVERRIDES)


def groups(client: ModuleType, *rows: dict[str, Any]) -> None:
    whole = {
        "team_id": TEAM,
        "group_type_index": 0,
        "group_key": "acme",
        "created_at": NOON,
        "properties": "{}",
        "version": 1,
    }
    insert(client, Table.GROUPS, [group_row(**{**whole, **row}) for row in rows])


def members(client: ModuleType, *rows: dict[str, Any]) -> None:
    whole = {"team_id": TEAM, "cohort_id": 1, "person_id": ANN, "version": 1}
    insert(client, Table.COHORT_PEOPLE, [cohort_person_row(**{**whole, **row}) for row in rows])


def recordings(client: ModuleType, *rows: dict[str, Any]) -> None:
    whole = {
        "team_id": TEAM,
        "session_id": "s",
        "window_id": "w",
        "distinct_id": "ann",
        "generation": 0,
        "source": "web",
        "first_timestamp": NOON,
        "last_timestamp": NOON,
        "event_count": 1,
        "click_count": 0,
        "keypress_count": 0,
        "size": 10,
        "blob_key": "",
        "created_at": NOON,
    }
    insert(client, Table.SESSION_RECORDINGS, [recording_row(**{**whole, "uuid": uuid4(), **row}) for row in rows])
