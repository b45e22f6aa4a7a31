"""The rules of identity one by one, through the real ingestion."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
import zstandard

from core.outbox.models import OutboxRows
from core.persons.deleting import person_delete
from core.persons.identity import is_mergeable, person_uuid
from core.persons.ingest import IngestionWarning, IngestTeam, NewEvent, events_ingest
from core.persons.models import Group, GroupType, Person, PersonDistinctId
from core.persons.services import PersonRef
from tests.factories import make_team

pytestmark = pytest.mark.django_db

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def team() -> IngestTeam:
    return IngestTeam(make_team().id)


def new_event(who: str, name: str = "click", **fields: Any) -> NewEvent:
    fields = {"uuid": uuid4(), "timestamp": NOW, "properties": {}, **fields}
    return NewEvent(event=name, distinct_id=who, **fields)


def person_of(team: IngestTeam, who: str) -> Person:
    return PersonDistinctId.objects.for_team(team.id).get(distinct_id=who).person


def outbox(table: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for entry in OutboxRows.objects.filter(table=table).order_by("id"):
        text = zstandard.ZstdDecompressor().decompress(bytes(entry.payload))
        rows.extend(orjson.loads(line) for line in text.splitlines())
    return rows


@pytest.mark.parametrize(
    ("team_id", "distinct_id", "expected"),
    [
        (1, "user-1", "6931a681-6e90-500d-8294-14582dcc2e3f"),
        (2, "new-user", "4db89b1b-c399-51fa-adb3-df07003c84ef"),
    ],
)
def test_a_person_has_the_uuid_that_posthog_derives(team_id: int, distinct_id: str, expected: str) -> None:
    assert person_uuid(team_id, distinct_id) == UUID(expected)


@pytest.mark.parametrize(
    "word", ["", "  ", "null", "None", "'undefined'", '"guest"', "Anonymous", "0", "[object Object]"]
)
def test_placeholders_are_not_mergeable(word: str) -> None:
    assert not is_mergeable(word)


@pytest.mark.parametrize("word", ["NULL", "nan", "user", "00", "nobody@example.org"])
def test_other_ids_are_mergeable(word: str) -> None:
    assert is_mergeable(word)


def test_creation_takes_set_once_then_set_then_unset(team: IngestTeam) -> None:
    event = new_event("ann", set_once={"a": 1, "b": 1, "gone": 1}, set={"a": 2}, unset=["gone"])

    events_ingest(team=team, events=[event])

    person = person_of(team, "ann")
    assert person.properties == {"a": 2, "b": 1, "$creator_event_uuid": str(event.uuid)}
    assert (person.version, person.is_identified, person.created_at) == (0, False, NOW)


def test_merge_example_of_the_specification(team: IngestTeam) -> None:
    earlier = NOW - timedelta(days=3)
    events_ingest(
        team=team,
        events=[
            new_event("anon", set={"a": 1, "b": 2}, timestamp=earlier),
            new_event("ann", set={"b": 3, "c": 4, "d": 5}),
            new_event("ann", "$identify", merge_with="anon", set={"d": 6, "e": 7}, set_once={"a": 8, "f": 9}),
        ],
    )

    person = person_of(team, "ann")
    own = {key: value for key, value in person.properties.items() if not key.startswith("$")}
    assert own == {"a": 1, "b": 3, "c": 4, "d": 6, "e": 7, "f": 9}
    assert person == person_of(team, "anon")
    assert (person.is_identified, person.created_at, person.uuid) == (True, earlier, person_uuid(team.id, "ann"))


def test_a_merge_within_one_batch_leaves_one_final_row_and_reachable_events(team: IngestTeam) -> None:
    events_ingest(team=team, events=[new_event("anon"), new_event("ann", "$identify", merge_with="anon")])

    assert [row["id"] for row in outbox("persons")] == [str(person_uuid(team.id, "anon"))]
    (override,) = outbox("person_distinct_id_overrides")
    assert (override["distinct_id"], override["version"]) == ("ann", 1)


def test_the_merged_person_is_buried_above_its_version(team: IngestTeam) -> None:
    events_ingest(team=team, events=[new_event("anon"), new_event("ann")])
    OutboxRows.objects.all().delete()

    events_ingest(team=team, events=[new_event("ann", "$identify", merge_with="anon")])

    rows = {row["id"]: row for row in outbox("persons")}
    assert rows[str(person_uuid(team.id, "anon"))]["is_deleted"] is True
    assert rows[str(person_uuid(team.id, "anon"))]["version"] == 100
    assert rows[str(person_uuid(team.id, "ann"))]["version"] == 1
    assert [(row["distinct_id"], row["version"]) for row in outbox("person_distinct_ids")] == [("anon", 1)]


def test_only_merge_dangerously_swallows_an_identified_person(team: IngestTeam) -> None:
    events_ingest(
        team=team,
        events=[
            new_event("ann", "$identify", merge_with="anon-1"),
            new_event("bob", "$identify", merge_with="anon-2"),
        ],
    )

    refused = events_ingest(team=team, events=[new_event("ann", "$identify", merge_with="bob", set={"x": 1})])
    assert [warning.type for warning in refused.warnings] == ["cannot_merge_already_identified"]
    assert person_of(team, "ann") != person_of(team, "bob")
    assert person_of(team, "ann").properties["x"] == 1

    events_ingest(team=team, events=[new_event("ann", "$merge_dangerously", merge_with="bob")])
    assert person_of(team, "ann") == person_of(team, "bob")


def test_an_illegal_id_merges_nothing_but_keeps_the_event(team: IngestTeam) -> None:
    result = events_ingest(team=team, events=[new_event("null", "$identify", merge_with="anon", set={"x": 1})])

    assert result.warnings == (
        IngestionWarning(
            "cannot_merge_with_illegal_distinct_id",
            {
                "illegalDistinctId": "null",
                "otherDistinctId": "anon",
                "distinctId": "null",
                "eventUuid": outbox("events")[0]["uuid"],
            },
        ),
    )
    assert person_of(team, "null").properties["x"] == 1
    assert not PersonDistinctId.objects.for_team(team.id).filter(distinct_id="anon").exists()


def test_an_equal_value_makes_no_new_version_but_true_is_not_one(team: IngestTeam) -> None:
    events_ingest(team=team, events=[new_event("ann", set={"n": 1, "o": {"a": 1, "b": 2}})])
    events_ingest(team=team, events=[new_event("ann", set={"n": 1, "o": {"b": 2, "a": 1}})])
    assert person_of(team, "ann").version == 0

    events_ingest(team=team, events=[new_event("ann", set={"n": True})])
    assert person_of(team, "ann").properties["n"] is True
    assert person_of(team, "ann").version == 1


def test_too_many_properties_are_refused_and_the_event_kept(team: IngestTeam) -> None:
    events_ingest(team=team, events=[new_event("ann", set={"small": 1})])

    result = events_ingest(team=team, events=[new_event("ann", set={"big": "x" * 600_000})])

    assert [warning.type for warning in result.warnings] == ["person_properties_size_violation"]
    assert "big" not in person_of(team, "ann").properties
    assert len(outbox("events")) == 2
    assert len(outbox("person_property_updates")) == 1


def test_personless_events_make_no_person_and_join_one_that_exists(team: IngestTeam) -> None:
    events_ingest(team=team, events=[new_event("ghost", person_processing=False)])
    assert not Person.objects.for_team(team.id).exists()
    (row,) = outbox("events")
    assert (row["person_id"], row["person_mode"], row["person_properties"]) == (
        str(person_uuid(team.id, "ghost")),
        "propertyless",
        "{}",
    )

    events_ingest(
        team=team,
        events=[
            new_event("ann", set={"x": 1}),
            new_event("ann", person_processing=False),
            new_event("ann", person_processing=False, timestamp=NOW + timedelta(minutes=2)),
        ],
    )
    assert [row["person_mode"] for row in outbox("events")][1:] == ["full", "propertyless", "force_upgrade"]


def test_exceptions_create_the_person_and_change_nothing(team: IngestTeam) -> None:
    events_ingest(team=team, events=[new_event("ann", "$exception", set={"x": 1})])
    assert set(person_of(team, "ann").properties) == {"$creator_event_uuid"}


def test_a_deleted_id_lives_again_above_its_tombstone(team: IngestTeam) -> None:
    events_ingest(team=team, events=[new_event("ann", set={"old": 1})])
    first = person_of(team, "ann")
    ref = PersonRef(team=team, organization_id=uuid4(), id=first.id, uuid=first.uuid, by_user_id=None)
    person_delete(person=ref)
    tombstone = outbox("persons")[-1]

    events_ingest(team=team, events=[new_event("ann", set={"new": 1})])

    again = PersonDistinctId.objects.for_team(team.id).get(distinct_id="ann")
    assert again.person.uuid == first.uuid
    assert again.person.version > tombstone["version"]
    assert again.version > outbox("person_distinct_ids")[1]["version"]
    assert again.generation == 1
    assert outbox("events")[-1]["generation"] == 1
    assert "old" not in again.person.properties


def test_the_deleted_distinct_id_itself_is_not_kept(team: IngestTeam) -> None:
    from django.db import connection

    events_ingest(team=team, events=[new_event("ann@example.org")])
    person = person_of(team, "ann@example.org")
    person_delete(person=PersonRef(team=team, organization_id=uuid4(), id=person.id, uuid=person.uuid, by_user_id=None))
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(t)::text FROM core_distinctidtombstone t")
        assert "ann" not in str(cursor.fetchall())


def test_groups_are_stored_and_pointed_at(team: IngestTeam) -> None:
    group = {"$group_type": "company", "$group_key": "acme", "$group_set": {"seats": 3}}
    more = {"$group_type": "company", "$group_key": "acme", "$group_set": {"plan": "pro"}}
    events_ingest(
        team=team,
        events=[
            new_event("ann", "$groupidentify", properties=group),
            new_event("ann", "$groupidentify", properties=more),
            new_event("ann", properties={"$groups": {"company": "acme"}}),
        ],
    )

    stored = Group.objects.for_team(team.id).get()
    assert (stored.group_key, stored.properties) == ("acme", {"seats": 3, "plan": "pro"})
    assert orjson.loads(outbox("events")[-1]["properties"])["$group_0"] == "acme"


def test_a_sixth_kind_of_group_is_left_out(team: IngestTeam) -> None:
    for number in range(6):
        properties = {"$group_type": f"kind-{number}", "$group_key": "k"}
        events_ingest(team=team, events=[new_event("ann", "$groupidentify", properties=properties)])
    assert GroupType.objects.for_team(team.id).count() == 5
    assert Group.objects.for_team(team.id).count() == 5
