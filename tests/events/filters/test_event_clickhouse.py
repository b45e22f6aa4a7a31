"""Conditions on events in ClickHouse: their size, chains that nobody wrote by the rules, where sessions end."""
# ruff: noqa: S608 the compilers' own text

from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from events import client
from events.filters.event_clickhouse import EventColumns, event_condition
from events.filters.event_columns import COLUMNS
from events.filters.grammar import MAX_FILTERS, read_filters
from events.filters.operators import OPERATORS
from events.rows import Table, event_row
from tests.events.filters.test_clickhouse import OPERANDS

TEAM = 7
NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)


def stored(**given: Any) -> UUID:
    uuid = uuid4()
    row = event_row(
        **{
            "team_id": TEAM,
            "uuid": uuid,
            "event": "$autocapture",
            "distinct_id": "ann",
            "timestamp": NOON,
            "created_at": NOON,
            "properties": "{}",
            "person_id": UUID(int=1),
            "person_created_at": NOON,
            **given,
        }
    )
    client.insert_json_rows(Table.EVENTS, orjson.dumps(row), token=str(uuid))
    return uuid


def passing(item: Any, **columns: Any) -> set[UUID]:
    wanted = read_filters([item], scope="event")
    assert wanted is not None
    parameters: dict[str, Any] = {"team_id": TEAM}
    condition = event_condition(wanted, parameters, columns=EventColumns("e", "e.person_id", **columns))
    rows = client.query(
        f"SELECT uuid FROM events AS e WHERE team_id = {{team_id:Int64}} AND {condition}", parameters
    ).rows
    return {UUID(str(uuid)) for (uuid,) in rows}


@pytest.mark.parametrize("kind", ["person", "group", "session", "text", "distinct_id", "timestamp"])
@pytest.mark.parametrize("operator", ["exact", "regex", "not_between", "is_date_after", "semver_caret"])
def test_the_largest_filter_is_a_statement_that_clickhouse_reads(
    clickhouse_schema: None, operator: str, kind: str
) -> None:
    value = OPERANDS.get(operator, "2024-01-01" if "date" in operator else "1.2" if "semver" in operator else "[1]")
    keys = {"session": "$session_duration", "text": "text", "distinct_id": "distinct_id", "timestamp": "timestamp"}
    types = {"text": "element", "distinct_id": "event", "timestamp": "event_metadata"}
    item = {"type": types.get(kind, kind), "key": keys.get(kind, "k"), "operator": operator, "value": value}
    # Groups of five types are five sets.
    passing({"type": "OR", "values": [{**item, "group_type_index": n % 5} for n in range(MAX_FILTERS)]})


@pytest.mark.parametrize("operator", sorted(OPERATORS))
def test_every_operator_takes_every_column(clickhouse_schema: None, operator: str) -> None:
    value = OPERANDS.get(operator, "2024-01-01" if "date" in operator else "1.2" if "semver" in operator else "1")
    for key in COLUMNS:
        assert passing({"type": "event_metadata", "key": key, "operator": operator, "value": value}) == set()


PERSON = "0A1B2C3D-0000-4000-8000-00000000ABCD"


@pytest.mark.parametrize(
    ("key", "operator", "value", "holds"),
    [
        ("event", "exact", "$autocapture", True),
        ("event", "exact", ["buy", "$autocapture"], True),
        ("event", "is_not", "$autocapture", False),
        ("event", "icontains", "AUTO", True),
        ("event", "is_set", None, True),
        ("distinct_id", "exact", 5, True),
        ("distinct_id", "gt", 4, True),
        ("distinct_id", "regex", "^6", False),
        ("person_id", "exact", PERSON, True),
        ("person_id", "exact", PERSON.lower(), True),
        ("person_id", "is_not", [PERSON, "x"], False),
        ("person_id", "starts_with", "0a1b", True),
        ("person_mode", "exact", "full", True),
        ("timestamp", "exact", "2024-03-01T13:00:00+01:00", True),
        ("timestamp", "is_not", "2024-03-01 12:00:00", False),
        ("timestamp", "is_date_before", "2024-03-01T12:00:01Z", True),
        ("timestamp", "is_date_after", "2024-03-01", False),
        ("timestamp", "is_date_exact", "2024-03-01", True),
        ("$session_id", "exact", "s1", True),
        ("$session_id", "is_set", None, True),
        ("$window_id", "is_set", None, False),
        ("$window_id", "is_not_set", None, True),
        ("$window_id", "is_not", "w", True),
        ("$window_id", "icontains", "", False),
        ("$group_1", "exact", "acme", True),
        ("$group_0", "is_set", None, False),
        ("elements_chain", "icontains", "A:", True),
    ],
)
def test_columns_of_events(clickhouse: ModuleType, key: str, operator: str, value: Any, *, holds: bool) -> None:
    properties = orjson.dumps({"$session_id": "s1", "$group_1": "acme", "event": "x", "person_id": "x"}).decode()
    uuid = stored(person_id=UUID(PERSON), distinct_id="5", elements_chain="a:", properties=properties)
    item = {"type": "event_metadata", "key": key, "operator": operator, "value": value}
    assert passing(item) == ({uuid} if holds else set())
    assert passing({**item, "negation": True}) == (set() if holds else {uuid})


def test_the_uuid_of_an_event(clickhouse: ModuleType) -> None:
    uuid = stored()
    stored()
    assert passing({"type": "event_metadata", "key": "uuid", "value": str(uuid).upper()}) == {uuid}


@pytest.mark.parametrize("selector", ["a > " * 14 + "a", "#a" * 30, "a[b=c] " * 9 + "a", "a " * 14 + "a"])
def test_the_largest_selectors_are_a_statement_that_clickhouse_reads(clickhouse: ModuleType, selector: str) -> None:
    stored(elements_chain="a:")
    item = {"type": "element", "key": "selector", "value": [selector] * MAX_FILTERS}
    assert passing(item) == set()


CHAINS = [
    "", ";", ";;", ":", "a", "a:", "a;b", ".", "a..b", '"', 'a:text="', 'a:text="x', 'a:text="x\\"', 'a:text="x";"',
    "a:=", 'a:="x"', 'a:text=""', "\n", 'a\n:text="\n"', "a:text='x'", 'a:text="x"y"z"', "\\", 'a:text="\\\\"', '=";:.',
    '""""',
]  # fmt: skip


@pytest.mark.parametrize(
    "item",
    [
        {"key": "selector", "value": 'a > b.c[text="x"]'},
        {"key": "selector", "value": "* a"},
        {"key": "tag_name", "value": "a"},
        {"key": "text", "value": "x", "operator": "icontains"},
        {"key": "href", "operator": "is_not_set"},
    ],
)
def test_any_text_may_be_a_chain(clickhouse: ModuleType, item: dict[str, Any]) -> None:
    every = {stored(elements_chain=chain) for chain in CHAINS}
    item = {"type": "element", **item}
    assert passing(item) | passing({**item, "negation": True}) == every
    assert not passing(item) & passing({**item, "negation": True})


def test_an_element_may_have_thousands_of_attributes_and_a_chain_thousands_of_elements(clickhouse: ModuleType) -> None:
    wide = "a:" + "".join(f'attr__n{n}="{n}"' for n in range(5000)) + 'text="last"'
    long = ";".join([f"a.c{n}:" for n in range(5000)])
    one, other = stored(elements_chain=wide), stored(elements_chain=long)
    assert passing({"type": "element", "key": "text", "value": "last"}) == {one}
    assert passing({"type": "element", "key": "selector", "value": "a[n4999='4999'][text=last]"}) == {one}
    assert passing({"type": "element", "key": "selector", "value": ".c4999 .c1 .c0"}) == {other}
    assert passing({"type": "element", "key": "selector", "value": ".c0 .c1"}) == set()


def test_sessions_are_measured_up_to_a_day_beyond_the_range(clickhouse: ModuleType) -> None:
    near, far = NOON - timedelta(hours=23), NOON - timedelta(hours=25)
    session = {"properties": '{"$session_id":"s"}'}
    one, other, last = stored(timestamp=far, **session), stored(timestamp=near, **session), stored(**session)
    none = stored()
    item = {"type": "session", "key": "$session_duration", "value": 23 * 3600}
    assert passing(item, since=NOON, until=NOON) == {one, other, last}
    assert passing({**item, "value": 25 * 3600}) == {one, other, last}
    assert passing({**item, "value": 0}, since=far - timedelta(days=2), until=far - timedelta(days=1)) == {
        one, other, last,
    }  # fmt: skip
    assert passing({**item, "operator": "is_not"}, since=NOON, until=NOON) == {none}


def test_what_looks_at_persons_is_one_set_for_each_and_and_or() -> None:
    def person(key: str) -> dict[str, Any]:
        return {"type": "person", "key": key, "value": "x"}

    of_event = {"key": "k", "value": 1}
    either = {"type": "OR", "values": [person("a"), of_event, person("b")]}
    all_of = {"type": "AND", "values": [person("c"), person("d")]}
    wanted = read_filters({"type": "AND", "values": [either, all_of]}, scope="event")
    assert wanted is not None
    text = event_condition(wanted, {}, columns=EventColumns("e", "e.person_id"))
    assert text.count("FROM persons") == 2
