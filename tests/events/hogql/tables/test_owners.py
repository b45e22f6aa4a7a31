"""Whose an event is, in each mode, against a slow twin in Python."""

from collections.abc import Iterable
from itertools import count
from types import ModuleType
from typing import Any, Final, get_args
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.hogql.context import PersonMode
from tests.events.hogql.tables import reading
from tests.events.hogql.tables.reading import ANN, BEN, EVE

MODES: Final[tuple[PersonMode, ...]] = get_args(PersonMode.__value__)
IDS: Final = ("a", "b", "ä'`\\")
PEOPLE: Final = (ANN, BEN, EVE)
_teams: Final = count(10_000)

_version = st.integers(0, 6)
_generation = st.integers(0, 2)
_event = st.fixed_dictionaries(
    {"distinct_id": st.sampled_from(IDS), "generation": _generation, "person_id": st.sampled_from(PEOPLE)}
)
_mapping = st.fixed_dictionaries(
    {
        "distinct_id": st.sampled_from(IDS),
        "generation": _generation,
        "person_id": st.sampled_from(PEOPLE),
        "version": _version,
        "is_deleted": st.booleans(),
    }
)
_person = st.fixed_dictionaries({"id": st.sampled_from(PEOPLE), "version": _version, "is_deleted": st.booleans()})


def newest(rows: Iterable[dict[str, Any]], key: str, wanted: Any) -> dict[str, Any] | None:
    found = [row for row in rows if row[key] == wanted]
    return max(found, key=lambda row: row["version"]) if found else None


def owner(
    event: dict[str, Any], mode: PersonMode, ids: list[dict[str, Any]], moved: list[dict[str, Any]]
) -> UUID | None:
    if mode == "person_id_no_override_properties_on_events":
        return event["person_id"]
    if mode == "disabled":
        row = newest(ids, "distinct_id", event["distinct_id"])
        living = row is not None and not row["is_deleted"] and row["generation"] == event["generation"]
        return row["person_id"] if row is not None and living else None
    row = newest(moved, "distinct_id", event["distinct_id"])
    return row["person_id"] if row is not None and row["generation"] == event["generation"] else event["person_id"]


def plan(person_id: UUID | None, people: list[dict[str, Any]]) -> str | None:
    row = newest(people, "id", person_id)
    return None if row is None or row["is_deleted"] else row["properties"]


def one_of_each_version(rows: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    return list({(row[key], row["version"]): row for row in rows}.values())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(_event, min_size=1, max_size=6),
    ids=st.lists(_mapping, max_size=6),
    moved=st.lists(_mapping, max_size=6),
    people=st.lists(_person, max_size=6),
)
def test_an_event_is_whose_the_mode_says(
    clickhouse: ModuleType,
    rows: list[dict[str, Any]],
    ids: list[dict[str, Any]],
    moved: list[dict[str, Any]],
    people: list[dict[str, Any]],
) -> None:
    team = next(_teams)
    ids, moved = (one_of_each_version(each, "distinct_id") for each in (ids, moved))
    people = [{**row, "properties": f'{{"v":{row["version"]}}}'} for row in one_of_each_version(people, "id")]
    named = [{**row, "event": str(number)} for number, row in enumerate(rows)]
    # Rows of a neighbour with the same ids must make no difference.
    for place in (team, reading.OTHER):
        reading.events(clickhouse, *({**row, "team_id": place, "person_properties": '{"v":"then"}'} for row in named))
    reading.mappings(clickhouse, *({**row, "team_id": team} for row in ids))
    reading.mappings(clickhouse, *({"distinct_id": each, "team_id": reading.OTHER, "version": 99} for each in IDS))
    reading.overrides(clickhouse, *({**row, "team_id": team} for row in moved))
    reading.overrides(clickhouse, *({"distinct_id": each, "team_id": reading.OTHER, "version": 99} for each in IDS))
    reading.persons(clickhouse, *({**row, "team_id": team} for row in people))
    reading.persons(clickhouse, *({"id": each, "team_id": reading.OTHER, "version": 99} for each in PEOPLE))
    for mode in MODES:
        chains = ("event", "person_id", "person.id", "person.properties", "poe.properties")
        found = reading.read(clickhouse, "events", *chains, team_id=team, person_mode=mode)
        joined = mode in {"disabled", "person_id_override_properties_joined"}
        expected = []
        for row in named:
            person = owner(row, mode, ids, moved)
            now = plan(person, people)
            person_id = (person if now is not None else None) if joined else person
            expected.append((row["event"], person, person_id, now if joined else '{"v":"then"}', '{"v":"then"}'))
        assert sorted(found, key=lambda row: int(row[0])) == expected, mode


def test_a_merge_counts_once_clickhouse_has_the_override(clickhouse: ModuleType) -> None:
    reading.events(clickhouse, {}, {"distinct_id": "ben", "person_id": BEN})
    assert {row[0] for row in reading.read(clickhouse, "events", "person_id")} == {ANN, BEN}
    reading.overrides(clickhouse, {"distinct_id": "ben", "person_id": ANN, "version": 2})
    assert {row[0] for row in reading.read(clickhouse, "events", "person_id")} == {ANN}
    assert {row[0] for row in reading.read(clickhouse, "events", "event_person_id")} == {ANN, BEN}


@pytest.mark.parametrize("mode", MODES)
def test_no_row_is_lost_or_repeated_by_a_join(clickhouse: ModuleType, mode: PersonMode) -> None:
    reading.events(clickhouse, {}, {"distinct_id": "nobody"}, {"properties": {"$session_id": "s", "$group_0": "acme"}})
    reading.mappings(clickhouse, {}, {"version": 2}, {"distinct_id": "x", "version": 7})
    reading.persons(clickhouse, {}, {"version": 2})
    reading.groups(clickhouse, {}, {"group_type_index": 1})
    chains = ("uuid", "person.created_at", "pdi.person.properties", "session.$session_duration", "group_0.properties")
    found = reading.read(clickhouse, "events", *chains, "group_1.key", "override.person_id", person_mode=mode)
    assert len(found) == 3
    assert {row[5] for row in found} == {None}
