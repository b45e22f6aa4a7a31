"""Two projects with the same kinds of rows, and statements asked of one of them on the real engine."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4

import orjson

from events import client
from events.hogql.compile import Compiled, compile_query
from events.hogql.context import Context
from events.hogql.parser import parse_select
from events.rows import Table, cohort_person_row, distinct_id_row, event_row, group_row, person_row

TEAM, OTHER = 7, 8
NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
ANN, BEN, EVE = (UUID(int=number) for number in (1, 2, 3))
CONTEXT = Context(
    team_id=TEAM,
    timezone="Europe/Berlin",
    week_start_day=1,
    property_types={
        ("event", "price"): "Numeric",
        ("event", "paid"): "Boolean",
        ("event", "due"): "DateTime",
        ("event", "code"): "String",
        ("person", "age"): "Numeric",
    },
    group_types={"company": 0},
    cohorts={5: 5, "Fans": 5, 6: 6},
    static_cohorts=frozenset({5}),
)
# What every HogQL statement runs with.
SETTINGS = {"transform_null_in": 1, "output_format_json_quote_64bit_integers": 0, "date_time_output_format": "iso"}


TABLES = (Table.EVENTS, Table.PERSONS, Table.PERSON_DISTINCT_IDS, Table.GROUPS, Table.COHORT_PEOPLE)


def compiled(text: str, context: Context = CONTEXT, **changes: Any) -> Compiled:
    return compile_query(parse_select(text), replace(context, **changes))


def ask(text: str, context: Context = CONTEXT, **changes: Any) -> list[list[Any]]:
    """Return the rows of a statement as JSON has them."""
    rows: list[list[Any]] = answer(text, context, **changes)["data"]
    return rows


def answer(text: str, context: Context = CONTEXT, **changes: Any) -> dict[str, Any]:
    made = compiled(text, context, **changes)
    return run(made.sql, made.parameters)


def run(sql: str, parameters: dict[str, Any]) -> dict[str, Any]:
    connected = client._client()  # noqa: SLF001 rows as JSON, as the query user of the server gets them
    connected.form_encode_query_params = client._needs_form(parameters)  # noqa: SLF001
    body = connected.raw_query(sql, parameters=parameters, settings=SETTINGS, fmt="JSONCompact")
    found: dict[str, Any] = orjson.loads(body)
    return found


def one(expression: str, context: Context = CONTEXT, **changes: Any) -> Any:
    """Return the value of an expression without tables."""
    [[value]] = ask(f"SELECT {expression}", context, **changes)
    return value


def fill(store: ModuleType) -> None:
    """Give both projects events, persons, distinct ids, groups and members of a cohort."""
    for team in (TEAM, OTHER):
        mine = "" if team == TEAM else "other "
        _insert(store, Table.EVENTS, _events(team, mine))
        _insert(store, Table.PERSONS, [_person(team, each, mine) for each in (ANN, BEN)])
        ids = [
            distinct_id_row(team_id=team, distinct_id=f"{mine}{name}", person_id=whose, version=1)
            for name, whose in (("ann", ANN), ("ben", BEN))
        ]
        _insert(store, Table.PERSON_DISTINCT_IDS, ids)
        _insert(store, Table.GROUPS, [_group(team, mine)])
        whose = ANN if team == TEAM else BEN
        _insert(store, Table.COHORT_PEOPLE, [cohort_person_row(team_id=team, cohort_id=5, person_id=whose, version=1)])


def _events(team: int, mine: str) -> list[dict[str, Any]]:
    properties: list[tuple[str, str, dict[str, Any]]] = [
        (
            "ann",
            "view",
            {"x": "a", "price": 10, "paid": True, "due": "2024-03-02T10:00:00Z", "$group_0": f"{mine}acme"},
        ),
        ("ann", "buy", {"x": "b", "price": 2.5, "paid": False, "list": [1, "two", {"k": "v"}], "code": "007"}),
        ("ben", "view", {"x": "", "n": 0, "nothing": None, "quote": 'say "hi"\n', "deep": {"er": {"est": "end"}}}),
        ("ben", "quit", {}),
    ]
    return [
        event_row(
            team_id=team,
            uuid=uuid4(),
            event=f"{mine}{event}",
            distinct_id=f"{mine}{who}",
            timestamp=NOON + timedelta(hours=place),
            created_at=NOON,
            properties=orjson.dumps(values).decode(),
            person_id=ANN if who == "ann" else BEN,
            person_created_at=NOON,
            person_properties=orjson.dumps({"name": f"{mine}{who}", "age": 30 + place}).decode(),
        )
        for place, (who, event, values) in enumerate(properties)
    ]


def _person(team: int, whose: UUID, mine: str) -> dict[str, Any]:
    name = "ann" if whose == ANN else "ben"
    return person_row(
        team_id=team,
        id=whose,
        created_at=NOON,
        properties=orjson.dumps({"name": f"{mine}{name}", "age": 40}).decode(),
        is_identified=True,
        version=1,
    )


def _group(team: int, mine: str) -> dict[str, Any]:
    return group_row(
        team_id=team,
        group_type_index=0,
        group_key=f"{mine}acme",
        created_at=NOON,
        properties=orjson.dumps({"size": 3}).decode(),
        version=1,
    )


def _insert(store: ModuleType, table: Table, rows: list[dict[str, Any]]) -> None:
    store.insert_json_rows(table, b"\n".join(map(orjson.dumps, rows)), token=str(uuid4()))
