"""Split under load: persons with thousands of ids, and others who change the same persons meanwhile."""

from collections.abc import Callable
from random import Random
from types import ModuleType
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.activity.models import ActivityLog
from core.outbox.services import outbox_drain
from core.persons.ingest import IngestTeam, NewEvent, events_ingest
from core.persons.models import Person
from core.persons.services import PersonRef
from core.persons.splitting import PersonGoneError, SplitWish, person_split
from core.tenancy.models import Team
from tests.core.persons.conftest import Api
from tests.core.persons.test_concurrency import at_once, new_event
from tests.core.persons.test_split import mirror, owners, split
from tests.factories import make_team


@pytest.fixture
def large(team: Team) -> Callable[[int], Person]:
    def make(count: int) -> Person:
        merges = [new_event("main", "$identify", merge_with=f"id-{number}") for number in range(count)]
        events_ingest(team=IngestTeam(team.id), events=merges)
        return Person.objects.for_team(team.id).get()

    return make


def statements(api: Api, person: Person) -> int:
    with CaptureQueriesContext(connection) as queries:
        split(api, person)
    return len(queries)


def test_a_large_person_is_split_in_the_same_statements_as_a_small_one(
    api: Api, team: Team, large: Callable[[int], Person]
) -> None:
    api.get()
    small = statements(api, large(2))
    Person.objects.for_team(team.id).delete()
    person = large(10_000)
    assert statements(api, person) == small <= 20
    assert len(owners(team)) == 10_001 == len(set(owners(team).values()))
    (change,) = ActivityLog.objects.order_by("created_at").last().detail["changes"]  # type: ignore[union-attr]
    assert len(change["after"]["distinct_ids"]) == 1000
    assert change["after"]["distinct_ids_count"] == 10_001


def test_more_than_ten_thousand_at_once_are_refused(api: Api, large: Callable[[int], Person]) -> None:
    person = large(10_001)
    answer = api.send("POST", f"/{person.id}/split/", {})
    assert (answer.status_code, answer.json()["code"]) == (400, "max_length")
    assert len(split(api, person, {"distinct_ids_to_split": ["id-1", "id-2"]})) == 2
    assert len(split(api, person)) == 9_999


@pytest.mark.django_db(transaction=True)
def test_splits_merges_and_captures_at_once_lose_nothing(clickhouse: ModuleType) -> None:
    stored_team = make_team()
    team = IngestTeam(stored_team.id)
    ids = [f"id-{number}" for number in range(8)]
    events_ingest(team=team, events=[new_event("id-0", "$merge_dangerously", merge_with=other) for other in ids[1:]])

    def writer(seed: int) -> Callable[[], None]:
        chance = Random(seed)  # noqa: S311 a repeatable choice

        def write() -> None:
            for step in range(12):
                batch: list[NewEvent] = []
                for _ in range(4):
                    one, other = chance.sample(ids, 2)
                    name = chance.choice(["$set", "$merge_dangerously"])
                    batch.append(
                        new_event(one, name, set={f"{seed}-{step}": one}, merge_with=None if name == "$set" else other)
                    )
                events_ingest(team=team, events=batch)

        return write

    def splitter(seed: int) -> Callable[[], None]:
        chance = Random(seed)  # noqa: S311 a repeatable choice

        def work() -> None:
            for _ in range(15):
                who = chance.choice(ids)
                person = Person.objects.for_team(team.id).filter(distinct_id_rows__distinct_id=who).first()
                if person is None:
                    continue
                ref = PersonRef(team=team, organization_id=uuid4(), id=person.id, uuid=person.uuid, by_user_id=None)
                try:
                    person_split(person=ref, wish=SplitWish())
                except PersonGoneError:
                    continue

        return work

    at_once([writer(1), writer(2), writer(3), splitter(4), splitter(5)])

    outbox_drain()
    now = owners(stored_team)
    assert sorted(now) == ids
    assert set(now.values()) == set(Person.objects.for_team(team.id).values_list("uuid", flat=True))
    assert mirror(clickhouse, stored_team) == {key: (str(uuid), False) for key, uuid in now.items()}
    overrides = mirror(clickhouse, stored_team, "person_distinct_id_overrides")
    assert overrides.items() <= mirror(clickhouse, stored_team).items()
    assert clickhouse.query("SELECT count() FROM events").rows == [(3 * 12 * 4 + len(ids) - 1,)]
    living = clickhouse.query("SELECT id FROM persons FINAL WHERE NOT is_deleted").rows
    assert {uuid for (uuid,) in living} == set(now.values())


@pytest.mark.django_db(transaction=True)
def test_two_equal_splits_at_once_move_each_id_once() -> None:
    team = IngestTeam(make_team().id)
    events_ingest(team=team, events=[new_event("a", "$identify", merge_with=other) for other in "bcdef"])
    person = Person.objects.for_team(team.id).get()
    ref = PersonRef(team=team, organization_id=uuid4(), id=person.id, uuid=person.uuid, by_user_id=None)
    found: list[list[tuple[str, UUID]]] = []

    at_once([lambda: found.append(person_split(person=ref, wish=SplitWish()))] * 4)

    assert sorted(len(moved) for moved in found) == [0, 0, 0, 5]
    assert Person.objects.for_team(team.id).count() == 6
