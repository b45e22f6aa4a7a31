"""A random walk over everything that changes persons, through HTTP, held to a plain Python model.

After every drain these must agree with the model: the list, the distinct ids, the activity log, the mirrors in
ClickHouse, whose events are whose, and what every person was like at remembered moments.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from django.test import Client
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from core.outbox.services import outbox_drain
from events import client
from tests.factories import make_key, make_team, make_user
from tests.support.person_world import ANONYMOUS, OTHER_ID, START, Event, Someone, World, exact, shown

IDS = ["a", "b", ANONYMOUS, "e f/é", "null"]
KEYS = ["plan", "email", "x.y"]

values = st.one_of(st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from(["", "x", "é😀"]), st.just({"n": [1]}))
operations = st.dictionaries(st.sampled_from(KEYS), values, max_size=2)
ids = st.sampled_from(IDS)
events = st.builds(
    Event,
    name=st.sampled_from(["click", "$set", "click", "$set_once", "$exception", "personless", *OTHER_ID, *OTHER_ID]),
    who=ids,
    second=st.integers(0, 3),
    other=ids,
    set=operations,
    set_once=operations,
    unset=st.lists(st.sampled_from(KEYS), max_size=1).map(tuple),
)
picks = st.integers(0, 20)


class Walk(RuleBasedStateMachine):
    """The server and the model side by side."""

    def __init__(self) -> None:
        super().__init__()
        team = make_team()
        self.token = team.api_token
        key = make_key(make_user(team=team))
        self.client = Client(headers={"authorization": f"Bearer {key}"}, raise_request_exception=False)
        self.base = f"/api/projects/{team.id}/persons/"
        self.world = World(team.id)
        self.sent: list[dict[str, Any]] = []
        self.moments = [START + timedelta(seconds=1)]

    def call(self, method: str, path: str, body: Any = None, expected: int = 200) -> Any:
        data = b"" if body is None else orjson.dumps(body)
        answer = self.client.generic(method, path, data, content_type="application/json")
        assert answer.status_code == expected, (method, path, body, answer.status_code, answer.content)
        return orjson.loads(answer.content) if answer.content else None

    def person(self, pick: int) -> Someone:
        return self.world.people[pick % len(self.world.people)]

    def with_ids(self, count: int) -> list[Someone]:
        return [one for one in self.world.people if len(one.ids) >= count]

    def learn(self, person: Someone, uuid: UUID) -> None:
        """Take over what the server chose; a UUID must be one that nobody has."""
        if person.uuid is None:
            assert all(one.uuid != uuid for one in self.world.people)
            person.uuid = uuid
        assert person.uuid == uuid
        if person.created_at is None:
            person.created_at = datetime.fromisoformat(self.call("GET", f"{self.base}{uuid}/")["created_at"])
            assert abs(datetime.now(UTC) - person.created_at) < timedelta(minutes=1)

    @initialize()
    def begin(self) -> None:
        """Let everybody be someone, so that the first merge has two persons to merge."""
        self.capture([Event("click", who, second, who, {}, {}, ()) for second, who in enumerate(IDS)])

    @rule(batch=st.lists(events, min_size=1, max_size=4))
    def capture(self, batch: list[Event]) -> None:
        with_uuids = [(uuid4(), event) for event in batch]
        self.sent = [event.wire(uuid) for uuid, event in with_uuids]
        self.call("POST", "/batch/", {"api_key": self.token, "batch": self.sent})
        for uuid, event in with_uuids:
            self.world.capture(uuid, event)
        for person in [one for one in self.world.people if one.uuid is None]:
            asked = {"distinct_ids": person.ids}
            found = self.call("POST", f"{self.base}batch_by_distinct_ids/", asked)["results"]
            self.learn(person, UUID(found[person.ids[0]]["uuid"]))

    @precondition(lambda self: len(self.with_ids(1)) > 1)
    @rule(pick=picks, other=picks, name=st.sampled_from(["$merge_dangerously", "$merge_dangerously", "$identify"]))
    def merge(self, pick: int, other: int, name: str) -> None:
        people = self.with_ids(1)
        target = people.pop(pick % len(people))
        ids = target.ids[pick % len(target.ids)], people[other % len(people)].ids[0]
        self.capture([Event(name, ids[0], 2, ids[1], {}, {}, ())])

    @precondition(lambda self: self.world.people)
    @rule(pick=picks, key=st.sampled_from(KEYS), value=values, how=st.sampled_from(["PATCH", "update", "delete"]))
    def change(self, pick: int, key: str, value: Any, how: str) -> None:
        person = self.person(pick)
        path = f"{self.base}{person.uuid}/"
        first = next(iter(person.ids), None)
        if how == "delete":
            self.call("POST", f"{path}delete_property/", {"$unset": key})
            self.world.update(person, datetime.now(UTC), first, unset=(key,))
            self.world.log.append([("delete_property", str(person.uuid))])
            return
        if how == "PATCH":
            self.call("PATCH", path, {"properties": {key: value}})
        else:
            self.call("POST", f"{path}update_property/", {"key": key, "value": value})
        self.world.update(person, datetime.now(UTC), first, set={key: value})
        self.world.log.append([("updated", "None")])

    @precondition(lambda self: self.with_ids(2))
    @rule(pick=picks, mode=st.sampled_from(["first", "main", "some"]), chosen=st.lists(picks, min_size=1, max_size=3))
    def split(self, pick: int, mode: str, chosen: list[int]) -> None:
        people = self.with_ids(2)
        person = people[pick % len(people)]
        some = [person.ids[number % len(person.ids)] for number in chosen]
        body: dict[str, Any] = {}
        leaving = set(person.ids[1:])
        if mode == "main":
            body, leaving = {"main_distinct_id": some[0]}, set(person.ids) - {some[0]}
        elif mode == "some":
            body, leaving = {"distinct_ids_to_split": some}, set(some)
        answer = self.call("POST", f"{self.base}{person.uuid}/split/", body)
        made = self.world.split(person, leaving)
        assert [item["distinct_id"] for item in answer["persons"]] == [one.ids[0] for one in made]
        for one, item in zip(made, answer["persons"], strict=True):
            self.learn(one, UUID(item["uuid"]))
        self.world.log.append([("split_person", str(person.uuid))])

    @precondition(lambda self: self.world.people)
    @rule(chosen=st.lists(picks, min_size=1, max_size=2), in_bulk=st.booleans(), events_too=st.booleans())
    def delete(self, chosen: list[int], *, in_bulk: bool, events_too: bool) -> None:
        people = list({id(one): one for one in map(self.person, chosen)}.values())
        if in_bulk:
            body = {"ids": [str(one.uuid) for one in people], "delete_events": events_too}
            answer = self.call("POST", f"{self.base}bulk_delete/", body, expected=202)
            assert answer["persons_deleted"] == len(people)
        else:
            people = people[:1]
            path = f"{self.base}{people[0].uuid}/?delete_events={events_too}"
            self.call("DELETE", path, expected=204)
        self.world.delete(*people)
        self.call("GET", f"{self.base}{people[0].uuid}/", expected=404)

    @rule(what=st.sampled_from(["send again", "reset", "remember"]), who=ids)
    def meanwhile(self, what: str, who: str) -> None:
        if what == "send again":
            self.call("POST", "/batch/", {"api_key": self.token, "batch": self.sent})
        elif what == "reset":
            self.call("POST", f"{self.base}reset_person_distinct_id/", {"distinct_id": who})
        else:
            self.moments = [*self.moments[-2:], datetime.now(UTC)]

    @rule()
    def drain(self) -> None:
        outbox_drain()
        self.the_list_agrees()
        self.the_log_agrees()
        self.the_mirrors_agree()
        self.events_belong_to_whom_they_should()
        self.the_past_agrees()

    def the_list_agrees(self) -> None:
        found = []
        url = f"{self.base}?limit=2"
        while url:
            answer = self.call("GET", url)
            assert len(answer["results"]) == 2 or answer["next"] is None
            found += answer["results"]
            url = answer["next"]
        people = sorted(self.world.people, key=lambda one: str(one.uuid))
        people.sort(key=lambda one: one.created_at or START, reverse=True)
        expected = [
            {
                "id": str(one.uuid),
                "created_at": (one.created_at or START).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                "properties": one.properties,
                "is_identified": one.identified,
                "name": one.properties.get("email") or [*shown(one), str(one.uuid)][0],
                "distinct_ids": shown(one),
            }
            for one in people
        ]
        assert [exact({key: item[key] for key in expected[0]}) for item in found] == [exact(one) for one in expected]
        asked = {"distinct_ids": IDS}
        by_id = self.call("POST", f"{self.base}batch_by_distinct_ids/", asked)["results"]
        assert {who: item["uuid"] for who, item in by_id.items()} == self.owners()

    def the_log_agrees(self) -> None:
        answer = self.call("GET", f"{self.base}activity/?limit=100")
        found = [(entry["activity"], str(entry["detail"]["name"])) for entry in answer["results"]]
        # What one request did to several persons has no order.
        for entries in reversed(self.world.log):
            assert sorted(found[: len(entries)]) == sorted(entries)
            del found[: len(entries)]
        assert not found
        assert answer["total_count"] == sum(map(len, self.world.log))

    def owners(self) -> dict[str, str]:
        return {who: str(one.uuid) for one in self.world.people for who in one.ids}

    def the_mirrors_agree(self) -> None:
        team = {"team": self.world.team_id}
        rows = client.query(
            "SELECT id, properties, is_identified, created_at FROM persons FINAL "
            "WHERE team_id = {team:Int64} AND NOT is_deleted",
            team,
        ).rows
        assert {
            uuid: (exact(orjson.loads(properties)), known, at.replace(tzinfo=UTC))
            for uuid, properties, known, at in rows
        } == {one.uuid: (exact(one.properties), one.identified, one.created_at) for one in self.world.people}
        for table in ("person_distinct_ids", "person_distinct_id_overrides"):
            rows = client.query(
                f"SELECT distinct_id, person_id FROM {table} FINAL WHERE team_id = {{team:Int64}} AND NOT is_deleted",  # noqa: S608
                team,
            ).rows
            mirrored = {who: str(uuid) for who, uuid in rows}
            assert mirrored.items() <= self.owners().items()
            assert table != "person_distinct_ids" or mirrored == self.owners()

    def events_belong_to_whom_they_should(self) -> None:
        """Resolve every event as capture.md 7.8 says; those of ids that name nobody must not be a living person's."""
        rows = client.query(
            "SELECT e.uuid, if(notEmpty(o.distinct_id), o.person_id, e.person_id) FROM events e LEFT JOIN "
            "(SELECT * FROM person_distinct_id_overrides FINAL WHERE team_id = {team:Int64} AND NOT is_deleted) AS o "
            "ON o.distinct_id = e.distinct_id AND o.generation = e.generation WHERE e.team_id = {team:Int64}",
            {"team": self.world.team_id},
        ).rows
        found = {uuid: str(person) for uuid, person in rows}
        owners, alive = self.owners(), {str(one.uuid) for one in self.world.people}
        for uuid, who in self.world.events.items():
            if who in owners:
                assert found[uuid] == owners[who], who
            else:
                assert found[uuid] not in alive, who

    def the_past_agrees(self) -> None:
        for at in self.moments:
            for person in self.world.people:
                for include_set_once in (False, True):
                    params = {"person_id": str(person.uuid), "timestamp": at.isoformat(),
                              "include_set_once": str(include_set_once).lower()}  # fmt: skip
                    answer = self.client.get(f"{self.base}properties_at_time/", params)
                    if not person.ids:
                        assert answer.status_code == 404
                        continue
                    expected = self.world.then(person, at, include_set_once=include_set_once)
                    assert exact(answer.json()["properties"]) == exact(expected)

    def teardown(self) -> None:
        self.drain()


@pytest.mark.timeout(900)
@pytest.mark.django_db
def test_every_walk_agrees_with_the_model(clickhouse: object) -> None:
    run_state_machine_as_test(
        Walk,
        settings=settings(
            max_examples=16,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            # To shrink a failure takes minutes; add Phase.shrink when there is one to look at.
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
        ),
    )
