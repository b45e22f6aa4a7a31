"""Split: who keeps what, where events go, and what remains possible afterwards."""

from collections.abc import Callable
from datetime import UTC, datetime
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4

import pytest

from core.activity.models import ActivityLog
from core.outbox.services import outbox_drain
from core.persons.identity import person_uuid
from core.persons.ingest import IngestTeam, NewEvent, events_ingest
from core.persons.models import Person, PersonDistinctId, PersonTombstone
from core.tenancy.models import Team
from tests.core.persons.conftest import Api, make_api
from tests.core.persons.test_concurrency import new_event

Capture = Callable[..., Person]


@pytest.fixture
def abc(capture: Capture) -> Person:
    """A person made by `a` who is also `b` and `c`."""
    capture("a", set={"plan": "pro"})
    capture("a", "$identify", merge_with="b", set={"email": "a@x.y"})
    return capture("a", "$identify", merge_with="c")


def owners(team: Team) -> dict[str, UUID]:
    rows = PersonDistinctId.objects.for_team(team.id).values_list("distinct_id", "person__uuid")
    return dict(rows)


def split(api: Api, person: Person, body: Any = None) -> dict[str, UUID]:
    answer = api.send("POST", f"/{person.uuid}/split/", body)
    assert answer.status_code == 200, answer.content
    assert set(answer.json()) == {"success", "persons"}
    assert answer.json()["success"] is True
    return {item["distinct_id"]: UUID(item["uuid"]) for item in answer.json()["persons"]}


@pytest.mark.parametrize(
    ("body", "leaving"),
    [
        (None, ["b", "c"]),
        ({}, ["b", "c"]),
        ("null", ["b", "c"]),
        ({"main_distinct_id": None, "distinct_ids_to_split": None}, ["b", "c"]),
        ({"properties": {"x": 1}}, ["b", "c"]),
        ({"main_distinct_id": "b"}, ["a", "c"]),
        ({"distinct_ids_to_split": ["c"]}, ["c"]),
        ({"distinct_ids_to_split": ["c", "b", "c"]}, ["b", "c"]),
        ({"distinct_ids_to_split": ["a", "b", "c"]}, ["a", "b", "c"]),
    ],
)
def test_each_leaving_id_gets_a_new_person_and_the_rest_stays(
    api: Api, team: Team, abc: Person, body: Any, leaving: list[str]
) -> None:
    moved = split(api, abc, body.encode() if isinstance(body, str) else body)

    assert list(moved) == leaving
    assert owners(team) == {**dict.fromkeys("abc", abc.uuid), **moved}
    for distinct_id, uuid in moved.items():
        assert uuid != abc.uuid
        assert (uuid == person_uuid(team.id, distinct_id)) is (distinct_id != "a")
        person = Person.objects.for_team(team.id).get(uuid=uuid)
        assert (person.properties, person.is_identified) == ({}, False)
        assert person.version == abc.version + 101
    abc.refresh_from_db()
    assert {"plan", "email"} < set(abc.properties)


def test_versions_rise_by_101_and_generations_stay(api: Api, team: Team, abc: Person) -> None:
    before = dict(PersonDistinctId.objects.for_team(team.id).values_list("distinct_id", "version"))
    split(api, abc)
    after = PersonDistinctId.objects.for_team(team.id).values_list("distinct_id", "version", "generation")
    assert sorted(after) == [("a", before["a"], 0), ("b", before["b"] + 101, 0), ("c", before["c"] + 101, 0)]


def test_the_first_id_is_the_one_that_came_first_even_within_a_batch(api: Api, team: Team) -> None:
    merges = [new_event("z", "$identify", merge_with="m"), new_event("z", "$identify", merge_with="a")]
    events_ingest(team=IngestTeam(team.id), events=merges)
    person = Person.objects.for_team(team.id).get()
    assert person.uuid == person_uuid(team.id, "z")
    assert api.get(f"/{person.id}").json()["distinct_ids"] == ["z", "m", "a"]
    assert list(split(api, person)) == ["m", "a"]


def test_a_person_with_one_id_stays_as_it_is(api: Api, team: Team, capture: Capture) -> None:
    person = capture("a")
    for body in ({}, {"main_distinct_id": "a"}, {"distinct_ids_to_split": ["a"]}):
        assert split(api, person, body) == {}
    assert owners(team) == {"a": person.uuid}
    assert not ActivityLog.objects.exists()


def test_a_person_without_ids_stays_as_it_is(api: Api, abc: Person) -> None:
    split(api, abc, {"distinct_ids_to_split": ["a", "b", "c"]})
    assert api.get(f"/{abc.id}").json()["distinct_ids"] == []
    assert split(api, abc) == {}
    assert api.send("PATCH", f"/{abc.id}", {"properties": {"k": 1}}).json()["properties"]["k"] == 1


@pytest.mark.parametrize(
    ("body", "detail", "attr"),
    [
        ({"distinct_ids_to_split": "b"}, "must be a list of strings", "distinct_ids_to_split"),
        ({"distinct_ids_to_split": {}}, "must be a list of strings", "distinct_ids_to_split"),
        ({"distinct_ids_to_split": 7}, "must be a list of strings", "distinct_ids_to_split"),
        ({"distinct_ids_to_split": False}, "must be a list of strings", "distinct_ids_to_split"),
        ({"distinct_ids_to_split": ["b", 1]}, "must be a list of strings", "distinct_ids_to_split"),
        ({"distinct_ids_to_split": ["b", None]}, "must be a list of strings", "distinct_ids_to_split"),
        ({"distinct_ids_to_split": []}, "must not be empty", "distinct_ids_to_split"),
        ({"distinct_ids_to_split": ["y", "b", "x"]}, "not on this person: ['x', 'y']", "distinct_ids_to_split"),
        ({"distinct_ids_to_split": ["other"]}, "not on this person: ['other']", "distinct_ids_to_split"),
        ({"distinct_ids_to_split": [""]}, "not on this person: ['']", "distinct_ids_to_split"),
        (
            {"distinct_ids_to_split": ["b"], "main_distinct_id": "a"},
            "main_distinct_id cannot be combined with distinct_ids_to_split",
            None,
        ),
        ({"main_distinct_id": "nobody"}, "not on this person: ['nobody']", "main_distinct_id"),
        ({"main_distinct_id": "other"}, "not on this person: ['other']", "main_distinct_id"),
        ({"main_distinct_id": 7}, "Not a valid string.", "main_distinct_id"),
        ([1], "Invalid data. Expected a dictionary, but got list.", None),
    ],
)
def test_bad_requests_move_nothing(
    api: Api, team: Team, abc: Person, capture: Capture, body: Any, detail: str, attr: str | None
) -> None:
    capture("other")
    before = owners(team)
    answer = api.send("POST", f"/{abc.id}/split", body)
    assert answer.status_code == 400
    assert answer.json() == {"type": "validation_error", "code": "invalid_input", "detail": detail, "attr": attr}
    assert owners(team) == before
    assert not ActivityLog.objects.exists()


def test_huge_lists_are_refused_with_short_texts(api: Api, abc: Person) -> None:
    strangers = [f"s{number}" for number in range(10_000)]
    answer = api.send("POST", f"/{abc.id}/split", {"distinct_ids_to_split": strangers})
    assert answer.status_code == 400
    assert len(answer.content) < 2000
    answer = api.send("POST", f"/{abc.id}/split", {"distinct_ids_to_split": [*strangers, "b"]})
    assert (answer.status_code, answer.json()["code"]) == (400, "max_length")


def test_forms_and_queries_are_read_too(api: Api, abc: Person) -> None:
    form = "application/x-www-form-urlencoded"
    url = api.url(f"/{abc.id}/split/")
    moved = api.client.generic("POST", url, b"distinct_ids_to_split=%5B%22b%22%5D", content_type=form).json()
    assert [item["distinct_id"] for item in moved["persons"]] == ["b"]
    moved = api.client.generic("POST", f"{url}?main_distinct_id=c").json()
    assert [item["distinct_id"] for item in moved["persons"]] == ["a"]


def test_ids_are_compared_as_ingestion_stores_them(api: Api, capture: Capture) -> None:
    person = capture("x�", "$identify", merge_with="y")
    assert list(split(api, person, {"distinct_ids_to_split": ["x\x00"]})) == ["x�"]


def test_who_may_split(api: Api, abc: Person, team: Team, stranger: Api) -> None:
    assert stranger.client.post(api.url(f"/{abc.id}/split/")).status_code == 403
    assert stranger.send("POST", f"/{abc.uuid}/split/", {}).status_code == 404
    reader = make_api(team, scopes=("person:read",))
    assert reader.send("POST", f"/{abc.uuid}/split/", {}).status_code == 403
    assert api.send("POST", f"/{uuid4()}/split/", {}).status_code == 404
    assert api.send("POST", "/ann/split/", {}).status_code == 400
    assert set(owners(team).values()) == {abc.uuid}


def test_both_prefixes_split(team: Team, abc: Person) -> None:
    assert list(split(make_api(team, tree="environments"), abc, {"main_distinct_id": "a"})) == ["b", "c"]


def test_the_entry_names_the_ids_of_before(api: Api, abc: Person) -> None:
    split(api, abc, {"distinct_ids_to_split": ["c", "b", "c"]})
    entry = ActivityLog.objects.get()
    assert (entry.activity, entry.scope, entry.item_id) == ("split_person", "Person", str(abc.id))
    after = {"distinct_ids": ["a", "b", "c"], "distinct_ids_to_split": ["c", "b"]}
    change = {"type": "Person", "action": "split", "field": None, "before": None, "after": after}
    assert (entry.detail["name"], entry.detail["changes"]) == (str(abc.uuid), [change])


def test_without_a_list_the_entry_has_no_list(api: Api, abc: Person) -> None:
    split(api, abc, {"main_distinct_id": "b"})
    (change,) = ActivityLog.objects.get().detail["changes"]
    assert change["after"] == {"distinct_ids": ["a", "b", "c"]}


def test_reads_agree_after_a_split(api: Api, abc: Person) -> None:
    moved = split(api, abc, {"main_distinct_id": "b"})
    for distinct_id, uuid in moved.items():
        listed = api.get(distinct_id=distinct_id).json()["results"]
        assert [(item["id"], item["distinct_ids"], item["properties"]) for item in listed] == [
            (str(uuid), [distinct_id], {})
        ]
        detail = api.get(f"/{uuid}").json()
        assert (detail["distinct_ids"], detail["name"]) == ([distinct_id], distinct_id)
    assert api.get(f"/{abc.uuid}").json()["distinct_ids"] == ["b"]
    assert len(api.get().json()["results"]) == 3


def mirror(clickhouse: ModuleType, team: Team, table: str = "person_distinct_ids") -> dict[str, tuple[str, bool]]:
    rows = clickhouse.query(
        f"SELECT distinct_id, person_id, is_deleted FROM {table} FINAL WHERE team_id = {{team:Int64}}",  # noqa: S608
        {"team": team.id},
    ).rows
    return {distinct_id: (str(person_id), bool(deleted)) for distinct_id, person_id, deleted in rows}


def test_events_follow_the_moved_id_through_the_overrides(
    api: Api, team: Team, abc: Person, capture: Capture, clickhouse: ModuleType
) -> None:
    capture("b", "before")
    moved = split(api, abc, {"main_distinct_id": "c"})
    capture("b", "after")
    outbox_drain()

    expected = {key: (str(uuid), False) for key, uuid in {**moved, "c": abc.uuid}.items()}
    assert mirror(clickhouse, team) == expected
    assert mirror(clickhouse, team, "person_distinct_id_overrides") == expected
    rows = clickhouse.query(
        "SELECT event, e.person_id, o.person_id FROM events e "
        "JOIN (SELECT * FROM person_distinct_id_overrides FINAL) AS o USING (team_id, distinct_id) "
        "WHERE team_id = {team:Int64} AND event IN ('before', 'after')",
        {"team": team.id},
    ).rows
    found = {event: (stored, now) for event, stored, now in rows}
    assert found == {"before": (abc.uuid, moved["b"]), "after": (moved["b"], moved["b"])}
    living = clickhouse.query("SELECT id, properties FROM persons FINAL WHERE is_deleted = 0").rows
    assert {str(uuid) for uuid, _ in living} == {str(abc.uuid), *(str(uuid) for uuid in moved.values())}
    assert "pro" in dict(living)[abc.uuid]


def test_the_past_follows_the_moved_id(api: Api, abc: Person, capture: Capture, clickhouse: ModuleType) -> None:
    capture("b", "$set", set={"own": "b"})
    split(api, abc)
    outbox_drain()

    def past(who: str) -> dict[str, Any]:
        answer = api.get("/properties_at_time/", distinct_id=who, timestamp="2999-01-01")
        return dict(answer.json()["properties"])

    assert past("b") == {"own": "b"}
    assert past("a") == {"plan": "pro", "email": "a@x.y"}


def test_new_events_go_to_the_new_person(api: Api, abc: Person, capture: Capture) -> None:
    moved = split(api, abc, {"main_distinct_id": "b"})
    person = capture("a", "$set", set={"k": 1})
    assert person.uuid == moved["a"]
    assert person.properties == {"k": 1}
    abc.refresh_from_db()
    assert "k" not in abc.properties


def test_split_ids_can_be_merged_back_and_split_again(
    api: Api, team: Team, abc: Person, capture: Capture, clickhouse: ModuleType
) -> None:
    for _ in range(2):
        moved = split(api, abc, {"main_distinct_id": "b"})
        for distinct_id in moved:
            capture("b", "$identify", merge_with=distinct_id)
        outbox_drain()
        assert owners(team) == dict.fromkeys("abc", abc.uuid)
        assert mirror(clickhouse, team) == dict.fromkeys("abc", (str(abc.uuid), False))
        assert mirror(clickhouse, team, "person_distinct_id_overrides") == mirror(clickhouse, team)
        living = clickhouse.query("SELECT id FROM persons FINAL WHERE is_deleted = 0 AND version >= 0").rows
        assert living == [(abc.uuid,)]


def test_a_uuid_that_was_merged_away_lives_again_above_its_tombstone(
    api: Api, team: Team, capture: Capture, clickhouse: ModuleType
) -> None:
    born = capture("b", "$set", set={"x": 1})
    for number in range(300):
        capture("b", "$set", set={"x": number})
    capture("a")
    target = capture("a", "$merge_dangerously", merge_with="b")
    buried = PersonTombstone.objects.get(team_id=team.id, person_uuid=born.uuid).version
    # A target whose own version would leave the new person below the tombstone.
    Person.objects.for_team(team.id).filter(id=target.id).update(version=3)

    assert split(api, target, {"main_distinct_id": "a"}) == {"b": born.uuid}
    outbox_drain()

    assert Person.objects.for_team(team.id).get(uuid=born.uuid).version > buried
    assert clickhouse.query(
        "SELECT is_deleted FROM persons FINAL WHERE id = {id:UUID}", {"id": str(born.uuid)}
    ).rows == [(False,)]


def test_a_uuid_taken_by_a_living_person_is_not_taken_twice(
    api: Api, team: Team, abc: Person, capture: Capture
) -> None:
    random = split(api, abc, {"distinct_ids_to_split": ["a"]})["a"]
    capture("z")
    other = capture("z", "$merge_dangerously", merge_with="a")
    again = split(api, other, {"distinct_ids_to_split": ["a"]})["a"]
    assert len({again, random, abc.uuid, other.uuid}) == 4
    assert Person.objects.for_team(team.id).filter(uuid=random).count() == 0


def test_deleting_the_original_leaves_the_split_off(
    api: Api, team: Team, abc: Person, capture: Capture, clickhouse: ModuleType
) -> None:
    moved = split(api, abc, {"main_distinct_id": "b"})
    assert api.send("DELETE", f"/{abc.uuid}/").status_code == 204
    outbox_drain()
    assert owners(team) == moved
    living = {key: owner for key, (owner, deleted) in mirror(clickhouse, team).items() if not deleted}
    assert living == {key: str(uuid) for key, uuid in moved.items()}
    reborn = capture("b")
    assert reborn.uuid == person_uuid(team.id, "b")
    assert owners(team)["a"] == moved["a"] != abc.uuid


def test_a_split_beats_earlier_deletions_of_the_same_ids(
    api: Api, team: Team, abc: Person, capture: Capture, clickhouse: ModuleType
) -> None:
    for _ in range(2):
        person = capture("a", "$identify", merge_with="b")
        moved = split(api, person)
        outbox_drain()
        living = {key: owner for key, (owner, deleted) in mirror(clickhouse, team).items() if not deleted}
        assert living == {key: str(uuid) for key, uuid in owners(team).items()}
        assert clickhouse.query(
            "SELECT count() FROM persons FINAL WHERE is_deleted = 0 AND id IN {ids:Array(UUID)}",
            {"ids": [str(uuid) for uuid in owners(team).values()]},
        ).rows == [(len(owners(team)),)]
        for uuid in {*moved.values(), person.uuid}:
            api.send("DELETE", f"/{uuid}/")


def test_personless_events_of_an_id_without_a_person_are_not_a_living_persons(
    api: Api, team: Team, abc: Person, capture: Capture, clickhouse: ModuleType
) -> None:
    moved = split(api, abc, {"distinct_ids_to_split": ["a"]})
    api.send("DELETE", f"/{moved['a']}/")
    lone = NewEvent(
        uuid=uuid4(), event="lone", distinct_id="a", timestamp=datetime.now(UTC), properties={}, person_processing=False
    )
    events_ingest(team=IngestTeam(team.id), events=[lone])
    outbox_drain()
    (row,) = clickhouse.query("SELECT person_id FROM events WHERE event = 'lone'").rows
    assert row[0] not in {abc.uuid, moved["a"]}

    reborn = capture("a", "$set", set={"k": 1})
    outbox_drain()
    assert mirror(clickhouse, team, "person_distinct_id_overrides")["a"] == (str(reborn.uuid), False)


def test_ids_that_came_in_one_batch_keep_their_order_when_they_meet_later(api: Api, team: Team) -> None:
    clicks = [new_event(who) for who in ("n", "z", "a")]
    merges = [new_event("z", "$merge_dangerously", merge_with=who) for who in ("a", "n")]
    for batch in (clicks, merges):
        events_ingest(team=IngestTeam(team.id), events=batch)
    person = Person.objects.for_team(team.id).get()
    assert api.get(f"/{person.id}").json()["distinct_ids"] == ["n", "z", "a"]
