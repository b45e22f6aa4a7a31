"""Two or more writers on the same persons: nothing lost, nothing doubled, no deadlock."""

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection

from core.outbox.models import OutboxRows
from core.persons.deleting import person_delete
from core.persons.ingest import IngestTeam, NewEvent, events_ingest
from core.persons.models import Group, GroupType, Person, PersonDistinctId
from core.persons.services import PersonGoneError, PersonRef
from tests.factories import make_team

pytestmark = pytest.mark.django_db(transaction=True)


def new_event(who: str, name: str = "click", **fields: Any) -> NewEvent:
    uuid: UUID = fields.pop("uuid", None) or uuid4()
    fields = {"properties": {}, **fields}
    return NewEvent(uuid=uuid, event=name, distinct_id=who, timestamp=datetime.now(UTC), **fields)


def at_once(jobs: Sequence[Callable[[], None]]) -> None:
    """Run every job in its own thread; raise the first error."""
    errors: list[BaseException] = []
    barrier = threading.Barrier(len(jobs))

    def run(job: Callable[[], None]) -> None:
        try:
            barrier.wait(60)
            job()
        except BaseException as error:  # noqa: BLE001 raised again below
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[job]) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    if errors:
        raise errors[0]
    assert not any(thread.is_alive() for thread in threads)


def test_sets_of_different_keys_all_survive() -> None:
    team = IngestTeam(make_team().id)

    def writer(number: int) -> Callable[[], None]:
        def write() -> None:
            for step in range(10):
                events_ingest(team=team, events=[new_event("ann", set={f"k{number}-{step}": step})])

        return write

    at_once([writer(number) for number in range(6)])

    (person,) = Person.objects.for_team(team.id)
    assert len([key for key in person.properties if key.startswith("k")]) == 60
    assert person.version == 59


def test_a_repeated_uuid_counts_once_even_at_the_same_moment() -> None:
    team = IngestTeam(make_team().id)
    uuid = uuid4()
    stored: list[int] = []

    def write() -> None:
        result = events_ingest(team=team, events=[new_event("ann", uuid=uuid), new_event("bob", uuid=uuid)])
        stored.append(result.stored)

    at_once([write] * 5)

    assert sorted(stored) == [0, 0, 0, 0, 1]
    assert sum(row.row_count for row in OutboxRows.objects.filter(table="events")) == 1


def test_merges_in_both_directions_never_deadlock_and_leave_one_owner_per_id() -> None:
    team = IngestTeam(make_team().id)
    ids = [f"id-{number}" for number in range(12)]

    def writer(seed: int) -> Callable[[], None]:
        chance = Random(seed)  # noqa: S311 a repeatable choice

        def write() -> None:
            for _ in range(12):
                batch = []
                for _ in range(6):
                    one, other = chance.sample(ids, 2)
                    name = chance.choice(["click", "$identify", "$merge_dangerously"])
                    batch.append(new_event(one, name, set={one: seed}, merge_with=None if name == "click" else other))
                events_ingest(team=team, events=batch)

        return write

    at_once([writer(seed) for seed in range(5)])

    mappings = list(PersonDistinctId.objects.for_team(team.id).values_list("distinct_id", "person_id"))
    assert len(mappings) == len({distinct_id for distinct_id, _ in mappings})
    persons = set(Person.objects.for_team(team.id).values_list("id", flat=True))
    assert {person_id for _, person_id in mappings} == persons


def test_deleting_while_events_arrive_keeps_every_id_usable() -> None:
    team = IngestTeam(make_team().id)
    events_ingest(team=team, events=[new_event("ann")])

    def write() -> None:
        for step in range(15):
            events_ingest(team=team, events=[new_event("ann", set={"step": step})])

    def delete() -> None:
        for _ in range(15):
            person = Person.objects.for_team(team.id).first()
            if person is not None:
                ref = PersonRef(team=team, organization_id=uuid4(), id=person.id, uuid=person.uuid, by_user_id=None)
                try:
                    person_delete(person=ref)
                except PersonGoneError:
                    continue

    at_once([write, write, delete, delete])
    events_ingest(team=team, events=[new_event("ann", set={"last": True})])

    (person,) = Person.objects.for_team(team.id)
    assert person.properties["last"] is True


def test_first_groups_of_several_batches_do_not_wait_for_each_other() -> None:
    team = IngestTeam(make_team().id)

    def writer(number: int) -> Callable[[], None]:
        def write() -> None:
            group = {"$group_type": f"kind-{number % 3}", "$group_key": "k", "$group_set": {f"n{number}": number}}
            events_ingest(team=team, events=[new_event(f"p{number}", "$groupidentify", properties=group)])

        return write

    at_once([writer(number) for number in range(8)])

    assert sorted(GroupType.objects.for_team(team.id).values_list("group_type_index", flat=True)) == [0, 1, 2]
    stored = [key for group in Group.objects.for_team(team.id) for key in group.properties]
    assert sorted(stored) == [f"n{number}" for number in range(8)]
