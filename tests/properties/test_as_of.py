"""Who matched at a moment, and the list as of it: against replay of each person and the filter's oracle."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import orjson
import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.outbox.services import outbox_drain
from core.persons import as_of
from core.persons.ingest import IngestTeam, NewEvent, events_ingest
from core.persons.models import Person, PersonDistinctId
from events import client
from events.filters.grammar import read_filters
from events.history import properties_at
from events.history_filter import Asked, candidates_of_team, matching
from events.rows import Table, distinct_id_row, person_row
from tests.factories import make_key, make_team, make_user
from tests.properties.test_point_in_time import BASE, TEAM, Update, moments, stored
from tests.support.filter_oracle import matches

pytestmark = [pytest.mark.usefixtures("clickhouse"), pytest.mark.timeout(900)]

KEYS = ["plan", "a.b", "qu'o\"te`", "größe 😀"]
VALUES = [None, True, False, 0, 7, 7.5, "7", "", "pro", "Pro ", "2024-03-01", "1.2.3", ["pro", 7], {"a": 1}]
keys, values = st.sampled_from(KEYS), st.sampled_from(VALUES)
operations = st.dictionaries(keys, values, max_size=3)
updates = st.builds(
    Update,
    person=st.integers(0, 4),
    generation=st.integers(0, 1),
    timestamp=moments,
    ingested_at=moments,
    uuid=st.uuids(),
    set=operations,
    set_once=operations,
    unset=st.lists(keys, max_size=2, unique=True),
)
scalars = st.sampled_from([value for value in VALUES if isinstance(value, bool | int | float | str)])
leaves = st.one_of(
    st.builds(
        lambda key, operator, value: {"key": key, "operator": operator, "value": value},
        keys,
        st.sampled_from(["exact", "is_not", "icontains", "not_icontains", "gt", "lte"]),
        scalars,
    ),
    st.builds(
        lambda key, operator: {"key": key, "operator": operator}, keys, st.sampled_from(["is_set", "is_not_set"])
    ),
)
filters = st.one_of(
    st.lists(leaves, min_size=1, max_size=2),
    st.builds(
        lambda kind, some: {"type": kind, "values": some},
        st.sampled_from(["AND", "OR"]),
        st.lists(leaves, min_size=1, max_size=3),
    ),
)


def mirrored(persons: list[list[tuple[str, int]]], team_id: int) -> list[UUID]:
    """Store the mirror of persons that were all created at one moment; return their UUIDs."""
    uuids = [uuid4() for _ in persons]
    rows = {
        Table.PERSONS: [
            person_row(team_id=team_id, id=uuid, created_at=BASE, properties="{}", is_identified=False, version=0)
            for uuid in uuids
        ],
        Table.PERSON_DISTINCT_IDS: [
            distinct_id_row(team_id=team_id, distinct_id=text, person_id=uuid, version=0, generation=generation)
            for uuid, ids in zip(uuids, persons, strict=True)
            for text, generation in ids
        ],
    }
    for table, some in rows.items():
        client.insert_json_rows(table, b"\n".join(map(orjson.dumps, some)), token=str(uuid4()))
    return uuids


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(updates, max_size=14, unique_by=lambda update: update.uuid),
    wanted=filters,
    at=moments,
    include_set_once=st.booleans(),
    repeated=st.sampled_from([0, 0, 3]),
)
def test_who_matched_is_who_matches_after_replay(
    rows: list[Update], wanted: Any, at: datetime, repeated: int, *, include_set_once: bool
) -> None:
    client.command("TRUNCATE TABLE persons")
    prefix = uuid4().hex
    stored(rows, prefix, repeated)
    # Two persons with two distinct ids each, one with one, and one that nothing is known of.
    persons = [[(f"{prefix}0", 0), (f"{prefix}1", 1)], [(f"{prefix}2", 0), (f"{prefix}3", 0)], [(f"{prefix}4", 1)]]
    persons.append([(f"{prefix}nothing", 0)])
    wanted_filter = read_filters(wanted)
    if wanted_filter is None:
        return
    expected = [
        matches(
            wanted_filter,
            properties_at(team_id=TEAM, ids=ids, at=at, include_set_once=include_set_once).properties,
        )
        for ids in persons
    ]
    asked = Asked(TEAM, wanted_filter, at, include_set_once)
    assert matching(asked, persons) == expected
    uuids = mirrored(persons, TEAM)
    proposed = {uuid for _, uuid in candidates_of_team(asked, after=None, limit=10)}
    assert {uuid for uuid, matched in zip(uuids, expected, strict=True) if matched and at >= BASE} <= proposed


WHO = ["ann", "ben", "cem", "dia"]
days = st.integers(0, 3).map(lambda number: datetime(2024, 3, 1, tzinfo=UTC) + timedelta(days=number))
happenings = st.one_of(
    st.tuples(st.just("capture"), st.sampled_from(WHO), days, operations, operations, st.lists(keys, max_size=1)),
    st.tuples(st.just("merge"), st.sampled_from(WHO), days, st.sampled_from(WHO)),
    st.tuples(st.just("delete"), st.sampled_from(WHO)),
)


def happen(team: Any, api: Client, one: Any) -> None:
    if one[0] == "delete":
        for person in Person.objects.for_team(team.id).filter(distinct_id_rows__distinct_id=one[1]):
            assert api.delete(f"/api/projects/{team.id}/persons/{person.id}/").status_code == 204
        return
    more: dict[str, Any] = {"merge_with": one[3]}
    if one[0] == "capture":
        more = {"set": one[3], "set_once": one[4], "unset": one[5]}
    name = "$merge_dangerously" if one[0] == "merge" else "click"
    event = NewEvent(uuid=uuid4(), event=name, distinct_id=one[1], timestamp=one[2], properties={}, **more)
    events_ingest(team=IngestTeam(team.id), events=[event])


@pytest.mark.django_db(transaction=True)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    happened=st.lists(happenings, min_size=1, max_size=12),
    wanted=st.none() | filters,
    at=days,
    include_set_once=st.booleans(),
    limit=st.integers(1, 3),
    first_chunk=st.sampled_from([1, 500]),
)
def test_the_list_as_of_is_replay_and_filter_person_by_person(
    happened: list[Any], wanted: Any, at: datetime, limit: int, first_chunk: int, *, include_set_once: bool
) -> None:
    team = make_team()
    api = Client(headers={"authorization": f"Bearer {make_key(make_user(team=team))}"})
    for one in happened:
        happen(team, api, one)
    outbox_drain()
    read = read_filters(wanted)
    expected = []
    for person in Person.objects.for_team(team.id).filter(created_at__lte=at).order_by("-created_at", "uuid"):
        rows = PersonDistinctId.objects.for_team(team.id).filter(person=person)
        ids = list(rows.values_list("distinct_id", "generation"))
        then = properties_at(team_id=team.id, ids=ids, at=at, include_set_once=include_set_once).properties
        if read is None or matches(read, then):
            expected.append((str(person.uuid), then))
    parameters = {"as_of": at.isoformat(), "limit": limit, "include_set_once": include_set_once}
    if wanted is not None:
        parameters["properties"] = orjson.dumps(wanted).decode()
    link: str | None = f"/api/projects/{team.id}/persons/?{urlencode(parameters)}"
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(as_of, "FIRST_CHUNK", first_chunk)
        while link:
            body = api.get(link).json()
            found += [(one["uuid"], one["properties"]) for one in body["results"]]
            link = body["next"]
    assert found == expected
