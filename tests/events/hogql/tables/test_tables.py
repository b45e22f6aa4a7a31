"""The rows of each table: the newest version, nothing deleted, nothing of another team."""

from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4

import pytest

from events.hogql.ast import RowCondition
from events.hogql.context import Context
from events.hogql.errors import HogQLResolutionError
from events.hogql.tables.numbers import numbers
from events.hogql.tables.registry import TABLES
from events.hogql.tables.source import RowFields
from events.rows import Table, plugin_log_row, query_log_row
from tests.events.hogql.tables import reading
from tests.events.hogql.tables.reading import ANN, BEN, EVE, NOON, OTHER

CHAIN = (
    'a.btn:text="Say \\"hi\\""href="/x;y"nth-child="1";div:attr_id="box"nth-child="2";'
    'form.f:attr_id="box"text="Send"nth-child="1"'
)


def test_persons_are_the_newest_and_not_deleted(clickhouse: ModuleType) -> None:
    reading.persons(
        clickhouse,
        {"version": 2, "properties": '{"plan":"new"}', "is_identified": True},
        {"version": 1, "properties": '{"plan":"old"}'},
        {"id": BEN},
        {"id": BEN, "version": 101, "is_deleted": True},
        {"id": EVE, "team_id": OTHER},
    )
    assert reading.read(clickhouse, "persons", "id", "properties", "is_identified") == [(ANN, '{"plan":"new"}', True)]
    raw = reading.read(clickhouse, "raw_persons", "id", "is_deleted", "version", rest="ORDER BY version")
    assert raw == [(ANN, False, 2), (BEN, True, 101)]


def test_a_person_has_a_row_for_each_distinct_id(clickhouse: ModuleType) -> None:
    reading.persons(clickhouse, {}, {"id": BEN})
    reading.mappings(
        clickhouse,
        {"distinct_id": "a"},
        {"distinct_id": "b"},
        {"distinct_id": "gone"},
        {"distinct_id": "gone", "version": 5, "is_deleted": True},
        {"distinct_id": "foreign", "team_id": OTHER},
    )
    found = reading.read(clickhouse, "persons", "id", "pdi.distinct_id", rest="ORDER BY 1, 2")
    assert found == [(ANN, "a"), (ANN, "b"), (BEN, None)]


def test_distinct_ids_belong_to_whom_the_newest_row_says(clickhouse: ModuleType) -> None:
    rows: list[dict[str, Any]] = [
        {"version": 3, "person_id": BEN},
        {"version": 2},
        {"distinct_id": "gone", "version": 4, "is_deleted": True},
        {"distinct_id": "foreign", "team_id": OTHER},
    ]
    reading.mappings(clickhouse, *rows)
    reading.overrides(clickhouse, *rows)
    reading.persons(clickhouse, {"id": BEN, "properties": '{"plan":"x"}'})
    for table in ("person_distinct_ids", "person_distinct_id_overrides"):
        assert reading.read(clickhouse, table, "distinct_id", "person_id", "person.properties") == [
            ("ann", BEN, '{"plan":"x"}')
        ]
        raw = reading.read(clickhouse, f"raw_{table}", "distinct_id", "version", "is_deleted", rest="ORDER BY version")
        assert raw == [("ann", 3, False), ("gone", 4, True)]


def test_groups_are_the_newest_and_events_find_theirs(clickhouse: ModuleType) -> None:
    reading.groups(
        clickhouse,
        {"version": 1, "properties": '{"n":1}'},
        {"version": 2, "properties": '{"n":2}'},
        {"group_type_index": 1, "properties": '{"n":3}'},
        {"team_id": OTHER, "version": 9, "properties": '{"n":4}'},
    )
    found = reading.read(clickhouse, "groups", "index", "key", "properties", "updated_at", rest="ORDER BY 1")
    assert found == [(0, "acme", '{"n":2}', None), (1, "acme", '{"n":3}', None)]
    reading.events(clickhouse, {"properties": {"$group_1": "acme"}}, {"properties": {"$group_0": "other"}})
    chains = ("$group_1", "group_1.properties", "group_0.key", "goe_1.properties")
    assert reading.read(clickhouse, "events", *chains, rest="ORDER BY 1") == [
        ("", None, None, None),
        ("acme", '{"n":3}', None, '{"n":3}'),
    ]


def test_group_types_go_by_their_names_unless_a_column_does(clickhouse: ModuleType) -> None:
    evil = "x` FROM events --"
    types = {"company": 1, "event": 2, evil: 0, "person": 3}
    reading.groups(clickhouse, {"group_type_index": 1, "properties": '{"n":1}'})
    reading.events(clickhouse, {"event": "signed", "properties": {"$group_1": "acme"}})
    asked = reading.Question("events", group_types=types)
    ref = asked.source.field(("company", "properties", "n"))
    assert ref is not None
    assert (ref.property_of, ref.rest, ref.name) == ("group_1", ("n",), "properties")
    assert asked.source.field((evil, "key")) is not None
    assert evil not in asked.source.sql()
    found = reading.read(clickhouse, "events", "event", "company.properties", "person.id", group_types=types)
    assert found == [("signed", '{"n":1}', ANN)]


def test_members_of_cohorts(clickhouse: ModuleType) -> None:
    reading.members(
        clickhouse,
        {},
        {"cohort_id": 2, "person_id": BEN},
        {"cohort_id": 2, "person_id": EVE, "version": 1},
        {"cohort_id": 2, "person_id": EVE, "version": 2, "is_deleted": True},
        {"team_id": OTHER, "cohort_id": 2},
    )
    columns = ("cohort_id", "person_id")
    assert reading.read(clickhouse, "cohort_people", *columns, rest="ORDER BY 1") == [(1, ANN), (2, BEN)]
    for ids, expected in ((frozenset({2, 3}), [(2, BEN)]), (frozenset[int](), [])):
        assert reading.read(clickhouse, "static_cohort_people", *columns, static_cohorts=ids) == expected
    raw = reading.read(clickhouse, "raw_cohort_people", *columns, "is_deleted", rest="ORDER BY 1, 2")
    assert raw == [(1, ANN, False), (2, BEN, False), (2, EVE, True)]


def test_a_recording_is_one_row_with_its_person(clickhouse: ModuleType) -> None:
    later = NOON + timedelta(minutes=3)
    again = {"uuid": uuid4(), "click_count": 2, "size": 5}
    reading.recordings(
        clickhouse,
        again,
        {**again, "created_at": later},
        {"first_timestamp": later, "last_timestamp": later, "keypress_count": 4, "distinct_id": "late"},
        {"session_id": "t", "distinct_id": "ann", "generation": 1, "first_timestamp": later},
        {"team_id": OTHER},
    )
    reading.mappings(clickhouse, {"person_id": BEN})
    reading.persons(clickhouse, {"id": BEN, "properties": '{"plan":"x"}'})
    columns = ("session_id", "distinct_id", "event_count", "click_count", "keypress_count", "size", "person_id")
    found = reading.read(clickhouse, "session_replay_events", *columns, "person.properties", rest="ORDER BY 1")
    assert found == [("s", "ann", 2, 2, 4, 15, BEN, '{"plan":"x"}'), ("t", "ann", 1, 0, 0, 10, None, None)]
    times = reading.read(clickhouse, "session_replay_events", "start_time", "end_time", rest="ORDER BY 1")
    assert times[0] == (NOON.replace(tzinfo=None), later.replace(tzinfo=None))
    blocks = reading.read(clickhouse, "raw_session_replay_events", "distinct_id", "person_id", rest="ORDER BY 1, 2")
    assert blocks == [("ann", BEN), ("ann", None), ("late", None)]


def test_log_entries_are_the_lines_of_plugin_configs(clickhouse: ModuleType) -> None:
    instance = UUID(int=9)
    now = datetime.now(UTC)
    lines = [
        plugin_log_row(
            id=uuid4(),
            team_id=team,
            plugin_id=1,
            plugin_config_id=12,
            timestamp=now,
            source="CONSOLE",
            type="WARN",
            message="careful",
            instance_id=instance,
        )
        for team in (reading.TEAM, OTHER)
    ]
    reading.insert(clickhouse, Table.PLUGIN_LOG_ENTRIES, lines)
    columns = ("log_source", "log_source_id", "instance_id", "level", "message", "timestamp")
    expected = ("plugin", "12", str(instance), "WARN", "careful", now.replace(tzinfo=None))
    assert reading.read(clickhouse, "log_entries", *columns) == [expected]


def test_the_query_log_has_the_queries_of_the_project(clickhouse: ModuleType) -> None:
    now = datetime.now(UTC)
    numbers_of = {"query_duration_ms": 12, "read_rows": 3, "read_bytes": 4, "result_rows": 1, "memory_usage": 5}
    rows = [
        query_log_row(
            team_id=team,
            query_id="q1",
            event_time=now,
            query="select 1",
            kind="HogQLQuery",
            name="mine",
            is_personal_api_key_request=True,
            created_by=6,
            exception_code=0,
            status="ok",
            **numbers_of,
        )
        for team in (reading.TEAM, OTHER)
    ]
    reading.insert(clickhouse, Table.QUERY_LOG, rows)
    columns = ("query_id", "event_date", "event_time", *numbers_of, "query", "kind", "name", "created_by", "status")
    said = ("q1", now.date(), now.replace(tzinfo=None), *numbers_of.values(), "select 1", "HogQLQuery", "mine", 6, "ok")
    for table in ("query_log", "raw_query_log"):
        assert reading.read(clickhouse, table, *columns) == [said]


def test_elements_of_the_chain(clickhouse: ModuleType) -> None:
    reading.events(clickhouse, {"elements_chain": CHAIN}, {"event": "none"})
    columns = ("elements_chain_href", "elements_chain_texts", "elements_chain_ids", "elements_chain_elements")
    found = reading.read(clickhouse, "events", *columns, rest="ORDER BY 1")
    assert found == [("", [], [], []), ("/x;y", ['Say "hi"', "Send"], ["box"], ["a", "form"])]


def test_no_columns_are_a_count(clickhouse: ModuleType) -> None:
    reading.events(clickhouse, {}, {}, {"team_id": OTHER})
    assert reading.read(clickhouse, "events") == [(2,)]


def test_star_has_stored_columns_only() -> None:
    source = reading.Question("events", group_types={"company": 0}).source
    names = [chain[0] for chain in source.star()]
    assert names[:4] == ["uuid", "event", "properties", "timestamp"]
    assert set(names) == {
        *("uuid", "event", "properties", "timestamp", "distinct_id", "elements_chain", "created_at", "person_mode"),
        *("$session_id", "$window_id", "$group_0", "$group_1", "$group_2", "$group_3", "$group_4"),
        *("elements_chain_href", "elements_chain_texts", "elements_chain_ids", "elements_chain_elements"),
    }
    assert source.star(("person",)) == [("person", "id"), ("person", "created_at"), ("person", "properties")]
    assert source.star(("pdi",)) == [("pdi", "distinct_id"), ("pdi", "person_id")]
    assert {"company", "person", "pdi"} < set(source.names())
    assert "id" in source.names(("pdi", "person"))
    with pytest.raises(HogQLResolutionError):
        source.star(("event",))


@pytest.mark.parametrize("chain", [("nothing",), ("person", "nothing"), ("pdi", "nothing"), ("event", "below"), (1,)])
def test_what_is_not_there_is_none(chain: tuple[str, ...]) -> None:
    asked = reading.Question("events")
    assert asked.source.field(chain) is None
    assert "JOIN" not in asked.source.sql()


@pytest.mark.parametrize("chain", [("person",), ("pdi",), ("pdi", "person"), ("group_0",)])
def test_a_table_is_no_column(chain: tuple[str, ...]) -> None:
    with pytest.raises(HogQLResolutionError, match=f"Can't select a table when a column is expected: {chain[-1]}"):
        reading.Question("events").source.field(chain)


@pytest.mark.parametrize("table", ["system.tables", "event", "EVENTS", "numbers", "", "persons`"])
def test_other_names_are_no_tables(table: str) -> None:
    with pytest.raises(HogQLResolutionError) as refused:
        reading.Question(table)
    assert refused.value.message == f"Unknown table `{table}`."


def test_every_subquery_is_guarded() -> None:
    for table in TABLES:
        asked = reading.Question(table)
        for chain in asked.source.star():
            asked.source.field(chain)
        for name in ("person_id", "person.id", "pdi.person.id", "session.id", "group_0.key", "override.person_id"):
            try:
                asked.source.field(tuple(name.split(".")))
            except HogQLResolutionError:
                continue
        sql = asked.source.sql()
        assert sql.count("team_id = {team_id:Int64}") >= sql.count("FROM `") > 0 or table == "session_replay_events"
        assert asked.parameters == {"team_id": reading.TEAM}


def test_a_condition_of_the_api_is_a_column(clickhouse: ModuleType) -> None:
    reading.events(clickhouse, {"event": "x"}, {"event": "y", "distinct_id": "ben", "person_id": BEN})
    reading.overrides(clickhouse, {"distinct_id": "ben", "person_id": EVE})

    def write(row: str, person: str, parameters: dict[str, Any]) -> str:
        parameters["wanted"] = str(EVE)
        assert parameters["team_id"] == reading.TEAM
        return f"({row}.event = 'y' AND {person} = {{wanted:UUID}})"

    asked = reading.Question("events")
    event = asked.field("event").sql
    column = asked.source.condition(RowCondition(table="events", write=write))
    sql = f"SELECT {event}, {column} FROM {asked.source.sql()} ORDER BY 1"  # noqa: S608 our own names
    assert clickhouse.query(sql, asked.parameters).rows == [("x", 0), ("y", 1)]


def test_a_condition_without_the_person_joins_nothing() -> None:
    asked = reading.Question("events")
    asked.source.condition(RowCondition(table="events", write=lambda row, _person, _parameters: f"{row}.event = 'y'"))
    assert "JOIN" not in asked.source.sql()


@pytest.mark.parametrize("table", ["persons", "sessions", "session_replay_events"])
def test_a_condition_is_for_its_table_only(table: str) -> None:
    condition = RowCondition(table="events", write=lambda _row, _person, _parameters: "1")
    with pytest.raises(HogQLResolutionError, match=f"cannot be used on the table `{table}`"):
        reading.Question(table).source.condition(condition)


def test_fields_of_someone_elses_row() -> None:
    fields = RowFields(TABLES["events"], Context(team_id=1), alias="x", person_id="x.owner")
    named = [fields.field(chain) for chain in (("event",), ("person_id",), ("person", "id"))]
    assert [ref and ref.sql for ref in named] == ["x.`event`", "x.owner", "x.owner"]
    ref = fields.field(("person", "properties", "plan"))
    assert ref is not None
    assert (ref.sql, ref.rest, ref.property_of) == ("x.`person_properties`", ("plan",), "person")
    assert fields.field(("nothing",)) is None
    for chain in (("pdi", "person_id"), ("session", "id"), ("group_0", "properties", "a")):
        with pytest.raises(HogQLResolutionError, match="cannot use fields of other tables"):
            fields.field(chain)
    alone = RowFields(TABLES["events"], Context(team_id=1), alias="x")
    with pytest.raises(HogQLResolutionError, match="cannot use fields of other tables"):
        alone.field(("person_id",))


@pytest.mark.parametrize(
    ("arguments", "expected"), [(["3"], [0, 1, 2]), (["{two:UInt64}", "3"], [2, 3, 4]), (["0"], [])]
)
def test_numbers(clickhouse: ModuleType, arguments: list[str], expected: list[int]) -> None:
    sql = f"SELECT number FROM {numbers(arguments)} AS n"  # noqa: S608 constants
    rows = reading.ask(clickhouse, sql, {"two": 2, "team_id": 7}).rows
    assert [int(number) for (number,) in rows] == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (None, "Table function 'numbers' requires arguments"),
        ([], "Table function 'numbers' requires at least 1 argument"),
        (["1", "2", "3"], "Table function 'numbers' requires at most 2 arguments"),
    ],
)
def test_numbers_of_something_else(arguments: list[str] | None, message: str) -> None:
    with pytest.raises(HogQLResolutionError) as refused:
        numbers(arguments)
    assert refused.value.message == message
