from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events import client, history
from events.rows import Table, property_update_row

pytestmark = pytest.mark.usefixtures("clickhouse")

TEAM = 7
BASE = datetime(2024, 2, 29, 23, 59, 59, 999_998, tzinfo=UTC)
KEYS = [
    "plan",
    "a.b",
    "$initial",
    "qu'o\"te`",
    "back\\slash\\",
    "größe 😀",
    "",
    " ",
    "{at:String}",
    "nul\0",
    "line\nbreak",
]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=4,
)
keys = st.sampled_from(KEYS)
operations = st.dictionaries(keys, st.none() | json_values, max_size=4)
moments = st.sampled_from([0, 1, 2, 1_000_000, 86_400_000_000]).map(lambda us: BASE + timedelta(microseconds=us))


@dataclass(frozen=True)
class Update:
    person: int
    generation: int
    timestamp: datetime
    ingested_at: datetime
    uuid: UUID
    set: dict[str, Any]
    set_once: dict[str, Any]
    unset: list[str]


updates = st.builds(
    Update,
    person=st.integers(0, 2),
    generation=st.integers(0, 1),
    timestamp=moments,
    ingested_at=moments,
    uuid=st.uuids(),
    set=operations,
    set_once=operations,
    unset=st.lists(keys, max_size=2, unique=True),
)
histories = st.lists(updates, max_size=14, unique_by=lambda update: update.uuid)


def replayed(rows: list[Update], *, at: datetime, include_set_once: bool) -> tuple[dict[str, Any], int]:
    properties: dict[str, Any] = {}
    count = 0
    for row in sorted(rows, key=lambda row: (row.timestamp, row.ingested_at, str(row.uuid))):
        if row.timestamp > at:
            continue
        count += bool(row.set or row.unset or (include_set_once and row.set_once))
        if include_set_once:
            for key, value in row.set_once.items():
                replaces_null = key in properties and properties[key] is None and value is not None
                if key not in properties or replaces_null:
                    properties[key] = value
        properties = {**properties, **row.set}
        properties = {key: value for key, value in properties.items() if key not in row.unset}
    return properties, count


def stored(rows: list[Update], prefix: str, repeated: int) -> None:
    lines = [
        orjson.dumps(
            property_update_row(
                team_id=TEAM,
                distinct_id=f"{prefix}{row.person}",
                timestamp=row.timestamp,
                ingested_at=row.ingested_at,
                uuid=row.uuid,
                event="$set",
                generation=row.generation,
                set=orjson.dumps(row.set).decode(),
                set_once=orjson.dumps(row.set_once).decode(),
                unset=row.unset,
            )
        )
        for row in rows
    ]
    client.insert_json_rows(Table.PERSON_PROPERTY_UPDATES, b"\n".join(lines), token=str(uuid4()))
    if lines[:repeated]:
        client.insert_json_rows(Table.PERSON_PROPERTY_UPDATES, b"\n".join(lines[:repeated]), token=str(uuid4()))


def exact(properties: dict[str, Any]) -> bytes:
    # Text, not ==, because 1 == 1.0 == True.
    return orjson.dumps(properties, option=orjson.OPT_SORT_KEYS)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=histories,
    generations=st.tuples(st.integers(0, 1), st.integers(0, 1)),
    at=moments.flatmap(lambda moment: st.sampled_from([moment, moment - timedelta(microseconds=1)])),
    repeated=st.sampled_from([0, 0, 3]),
)
def test_both_ways_of_replaying_agree_with_a_naive_fold(
    rows: list[Update], generations: tuple[int, int], at: datetime, repeated: int
) -> None:
    prefix = f"{uuid4().hex} \U0001f600'\\"
    stored(rows, prefix, repeated)
    ids = [(f"{prefix}{person}", generation) for person, generation in enumerate(generations)]
    counted = [row for row in rows if row.person < len(generations) and row.generation == generations[row.person]]
    for include_set_once in (False, True):
        properties, count = replayed(counted, at=at, include_set_once=include_set_once)
        selection = history.selection_of(team_id=TEAM, ids=ids, at=at, include_set_once=include_set_once)
        for way in (history._short, history._long):  # noqa: SLF001
            found = way(selection)
            assert found is not None
            assert exact(found.properties) == exact(properties)
            assert found.operations_applied == count
