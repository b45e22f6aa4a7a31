"""Random histories through the real ingestion, held to a slow model in plain Python.

The model knows nothing of locks, batches, versions or SQL: persons are sets of ids and a dict. After each
history the stored persons must equal the model's, and the properties at any moment must equal a naive fold
over everything that happened to the ids that a person has now.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.outbox.services import outbox_drain
from core.persons import point_in_time
from core.persons.deleting import person_delete
from core.persons.ingest import IngestTeam, NewEvent, events_ingest
from core.persons.models import Person
from core.persons.services import PersonRef
from tests.factories import make_team

IDS = ["a", "b", "c", "d", "null"]
KEYS = ["plan", "seats", "x.y", "née"]
START = datetime(2024, 1, 1, tzinfo=UTC)
CREATOR = "$creator_event_uuid"
PERSONAL = {"$identify", "$create_alias", "$merge_dangerously"}


@dataclass(frozen=True)
class Happening:
    name: str
    who: str
    second: int
    other: str | None = None
    set: dict[str, Any] = field(default_factory=dict)
    set_once: dict[str, Any] = field(default_factory=dict)
    unset: tuple[str, ...] = ()
    uuid: UUID = field(default_factory=uuid4)

    @property
    def at(self) -> datetime:
        return START + timedelta(seconds=self.second)


@dataclass
class Someone:
    ids: set[str]
    properties: dict[str, Any]
    created_at: datetime
    identified: bool = False


@dataclass
class Model:
    people: list[Someone] = field(default_factory=list)
    log: list[tuple[int, Happening]] = field(default_factory=list)

    def owner(self, who: str) -> Someone | None:
        return next((someone for someone in self.people if who in someone.ids), None)

    def happen(self, number: int, what: Happening) -> None:
        if what.name == "personless":
            return
        if what.name == "delete":
            self.delete(what.who)
            return
        changes = what.name != "$exception"
        if changes:
            self.log.append((number, what))
        merging = what.name in PERSONAL and what.other not in {None, what.who} and "null" not in {what.other, what.who}
        person = self.together(what) if merging else self.owner(what.who)
        if person is None:
            person = Someone({what.who}, {}, what.at)
            self.people.append(person)
        if merging:
            person.identified = True
        if changes:
            fold(person.properties, what, include_set_once=True)

    def together(self, what: Happening) -> Someone:
        target, other = self.owner(what.who), self.owner(what.other or "")
        if target is None and other is None:
            target = Someone(set(), {}, what.at)
            self.people.append(target)
        if target is None:
            target = other
        assert target is not None
        if other is not None and other is not target:
            if other.identified and what.name != "$merge_dangerously":
                return target
            target.properties = {**other.properties, **target.properties}
            target.created_at = min(target.created_at, other.created_at)
            target.ids |= other.ids
            self.people.remove(other)
        target.ids |= {what.who, what.other or what.who}
        return target

    def delete(self, who: str) -> None:
        person = self.owner(who)
        if person is None:
            return
        self.people.remove(person)
        self.log = [(number, what) for number, what in self.log if what.who not in person.ids]

    def properties_at(self, ids: set[str], at: datetime, *, include_set_once: bool) -> dict[str, Any]:
        properties: dict[str, Any] = {}
        for _, what in sorted(self.log, key=lambda entry: (entry[1].at, entry[0])):
            if what.who in ids and what.at <= at:
                fold(properties, what, include_set_once=include_set_once)
        return properties


def fold(properties: dict[str, Any], what: Happening, *, include_set_once: bool) -> None:
    if include_set_once:
        for key, value in what.set_once.items():
            if key not in properties or (properties[key] is None and value is not None):
                properties[key] = value
    properties.update(what.set)
    for key in what.unset:
        properties.pop(key, None)


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=3)
values = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), texts, st.just({"n": [1, None]}))
operations = st.dictionaries(st.sampled_from(KEYS), values, max_size=2)
names = st.sampled_from(["pageview"] * 4 + ["$set", "$exception", "personless", "delete", *PERSONAL])
happenings = st.builds(
    Happening,
    name=names,
    who=st.sampled_from(IDS),
    second=st.integers(0, 4),
    other=st.sampled_from(IDS),
    set=operations,
    set_once=operations,
    unset=st.lists(st.sampled_from(KEYS), max_size=1).map(tuple),
)


def new_event(what: Happening) -> NewEvent:
    on = what.name != "personless"
    return NewEvent(
        uuid=what.uuid,
        event=what.name,
        distinct_id=what.who,
        timestamp=what.at,
        properties={},
        person_processing=on,
        set=what.set if on else {},
        set_once=what.set_once if on else {},
        unset=list(what.unset) if on else [],
        merge_with=what.other if what.name in PERSONAL else None,
    )


def play(team: IngestTeam, history: list[list[Happening]]) -> Model:
    model = Model()
    number = 0
    for batch in history:
        waiting: list[NewEvent] = []
        for what in batch:
            number += 1
            model.happen(number, what)
            if what.name != "delete":
                waiting.append(new_event(what))
                continue
            events_ingest(team=team, events=waiting)
            waiting = []
            delete(team, what.who)
        events_ingest(team=team, events=waiting)
    return model


def delete(team: IngestTeam, who: str) -> None:
    person = Person.objects.for_team(team.id).filter(distinct_id_rows__distinct_id=who).first()
    if person is not None:
        person_delete(
            person=PersonRef(team=team, organization_id=uuid4(), id=person.id, uuid=person.uuid, by_user_id=None)
        )


def stored(team_id: int) -> list[tuple[list[str], dict[str, Any], datetime, bool]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT array_agg(d.distinct_id ORDER BY d.distinct_id), p.properties::text, p.created_at, p.is_identified "
            "FROM core_person p JOIN core_persondistinctid d ON d.person_id = p.id WHERE p.team_id = %s "
            "GROUP BY p.id",
            [team_id],
        )
        return sorted((ids, without_creator(orjson.loads(text)), at, known) for ids, text, at, known in cursor)


def without_creator(properties: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in properties.items() if key != CREATOR}


@pytest.mark.django_db
@given(st.lists(st.lists(happenings, min_size=1, max_size=6), min_size=1, max_size=5))
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_stored_persons_equal_the_model(history: list[list[Happening]]) -> None:
    team = IngestTeam(make_team().id)

    model = play(team, history)

    expected = sorted((sorted(p.ids), p.properties, p.created_at, p.identified) for p in model.people)
    assert [strict(row) for row in stored(team.id)] == [strict(row) for row in expected]


def strict(row: tuple[list[str], dict[str, Any], datetime, bool]) -> tuple[Any, ...]:
    return row[0], orjson.dumps(row[1], option=orjson.OPT_SORT_KEYS), row[2], row[3]


@pytest.mark.django_db
@given(st.lists(st.lists(happenings, min_size=1, max_size=8), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_properties_at_any_moment_equal_a_naive_fold(clickhouse: object, history: list[list[Happening]]) -> None:
    team = IngestTeam(make_team().id)

    model = play(team, history)
    outbox_drain()

    for person in model.people:
        for second in (-1, 0, 2, 4):
            for include_set_once in (False, True):
                at = START + timedelta(seconds=second)
                asked = point_in_time.Question(min(person.ids), None, at, include_set_once, debug=False)
                answer = point_in_time.answer(team_id=team.id, asked=asked, display_properties=None)
                expected = model.properties_at(person.ids, at, include_set_once=include_set_once)
                assert orjson.dumps(without_creator(answer["properties"]), option=orjson.OPT_SORT_KEYS) == orjson.dumps(
                    expected, option=orjson.OPT_SORT_KEYS
                )


@pytest.mark.django_db
@given(st.lists(happenings.filter(lambda what: what.name not in PERSONAL | {"delete"}), min_size=1, max_size=10))
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_present_equals_the_person_when_events_came_in_time_order(
    clickhouse: object, happened: list[Happening]
) -> None:
    team = IngestTeam(make_team().id)
    play(team, [sorted(happened, key=lambda what: what.second)])
    outbox_drain()

    for person in Person.objects.for_team(team.id).prefetch_related("distinct_id_rows"):
        (row,) = person.distinct_id_rows.all()
        asked = point_in_time.Question(row.distinct_id, None, datetime.now(UTC), include_set_once=True, debug=False)
        answer = point_in_time.answer(team_id=team.id, asked=asked, display_properties=None)
        assert orjson.dumps(answer["properties"], option=orjson.OPT_SORT_KEYS) == orjson.dumps(
            person.properties, option=orjson.OPT_SORT_KEYS
        )
