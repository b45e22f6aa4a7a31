"""reset_person_distinct_id: a mirror that holds something newer than Postgres is put right."""

import socket
from collections.abc import Callable
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from core.outbox.models import OutboxRows
from core.outbox.services import outbox_drain
from core.persons.models import Person, PersonDistinctId
from core.tenancy.models import Team
from events.rows import Row, Table, distinct_id_row, person_row
from tests.core.persons.conftest import Api, make_api

Capture = Callable[..., Person]
REQUIRED = {
    "type": "validation_error",
    "code": "required",
    "detail": "distinct_id is required",
    "attr": "distinct_id",
}


def reset(api: Api, body: Any = None, query: str = "") -> Any:
    return api.send("POST", f"/reset_person_distinct_id/{query}", body)


def damage(clickhouse: ModuleType, table: Table, row: Row) -> None:
    clickhouse.insert_json_rows(table, orjson.dumps(row), token=str(uuid4()))


def current(clickhouse: ModuleType, table: str, column: str, key: str) -> tuple[Any, ...]:
    (row,) = clickhouse.query(
        f"SELECT * FROM {table} FINAL WHERE {column} = {{key:String}}",  # noqa: S608
        {"key": key},
    ).rows
    return tuple(row)


@pytest.mark.parametrize("by_query", [False, True])
def test_a_stray_tombstone_is_beaten(
    api: Api, team: Team, capture: Capture, clickhouse: ModuleType, *, by_query: bool
) -> None:
    person = capture("ann", set={"plan": "pro"})
    outbox_drain()
    mapping = distinct_id_row(
        team_id=team.id, distinct_id="ann", person_id=uuid4(), version=5000, generation=3, is_deleted=True
    )
    damage(clickhouse, Table.PERSON_DISTINCT_IDS, mapping)
    damage(clickhouse, Table.PERSON_DISTINCT_ID_OVERRIDES, {**mapping, "version": 6000})
    gone = person_row(
        team_id=team.id, id=person.uuid, created_at=person.created_at, properties="{}", is_identified=False,
        version=7000, is_deleted=True,
    )  # fmt: skip
    damage(clickhouse, Table.PERSONS, gone)

    answer = reset(api, None, "?distinct_id=ann") if by_query else reset(api, {"distinct_id": "ann"})

    assert (answer.status_code, answer.json()) == (200, {"success": True})
    outbox_drain()
    expected = (team.id, "ann", person.uuid, False, 6100, 0)
    assert current(clickhouse, "person_distinct_ids", "distinct_id", "ann") == expected
    assert current(clickhouse, "person_distinct_id_overrides", "distinct_id", "ann") == expected
    (row,) = clickhouse.query("SELECT properties, is_deleted, version FROM persons FINAL").rows
    assert (orjson.loads(row[0])["plan"], *row[1:]) == ("pro", False, 7100)
    assert Person.objects.for_team(team.id).get().version == 7100
    assert PersonDistinctId.objects.for_team(team.id).get().version == 6100


def test_after_a_reset_changes_reach_the_mirror_again(
    api: Api, team: Team, capture: Capture, clickhouse: ModuleType
) -> None:
    person = capture("ann")
    gone = person_row(
        team_id=team.id, id=person.uuid, created_at=person.created_at, properties="{}", is_identified=False,
        version=900, is_deleted=True,
    )  # fmt: skip
    damage(clickhouse, Table.PERSONS, gone)
    reset(api, {"distinct_id": "ann"})
    capture("ann", set={"k": 1})
    capture("ann", "$identify", merge_with="bob")
    outbox_drain()
    (row,) = clickhouse.query("SELECT properties, is_deleted FROM persons FINAL").rows
    assert (orjson.loads(row[0])["k"], row[1]) == (1, False)
    assert current(clickhouse, "person_distinct_ids", "distinct_id", "bob")[2:4] == (person.uuid, False)


def test_a_lost_mirror_is_written_anew(api: Api, team: Team, capture: Capture, clickhouse: ModuleType) -> None:
    person = capture("ann", "$identify", merge_with="bob")
    OutboxRows.objects.all().delete()
    reset(api, {"distinct_id": "bob"})
    outbox_drain()
    assert current(clickhouse, "person_distinct_ids", "distinct_id", "bob")[2:4] == (person.uuid, False)
    assert clickhouse.query("SELECT id FROM persons FINAL").rows == [(person.uuid,)]


def test_nothing_else_changes(api: Api, team: Team, capture: Capture, clickhouse: ModuleType) -> None:
    person = capture("ann", "$identify", merge_with="bob", set={"k": 1})
    before = api.get(f"/{person.id}").json()
    for _ in range(3):
        assert reset(api, {"distinct_id": "ann"}).status_code == 200
    assert api.get(f"/{person.id}").json() == before
    assert dict(PersonDistinctId.objects.for_team(team.id).values_list("distinct_id", "version"))["bob"] == 1
    assert api.get("/activity/").json()["results"] == []


def test_an_unused_id_is_left_alone(api: Api, team: Team, capture: Capture, clickhouse: ModuleType) -> None:
    person = capture("ann")
    api.send("DELETE", f"/{person.uuid}/")
    outbox_drain()
    for distinct_id in ("ann", "never", "nul\x00", "x" * 1000):
        answer = reset(api, {"distinct_id": distinct_id})
        assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert not OutboxRows.objects.exists()
    assert not Person.objects.for_team(team.id).exists()


def test_a_reused_id_works_without_a_reset(api: Api, team: Team, capture: Capture, clickhouse: ModuleType) -> None:
    api.send("DELETE", f"/{capture('ann').uuid}/")
    reborn = capture("ann")
    outbox_drain()
    assert current(clickhouse, "person_distinct_ids", "distinct_id", "ann")[2:4] == (reborn.uuid, False)
    assert clickhouse.query("SELECT id FROM persons FINAL WHERE NOT is_deleted").rows == [(reborn.uuid,)]


@pytest.mark.parametrize("body", [None, {}, {"distinct_id": None}, {"distinct_id": ""}, {"distinct_id": 7},
                                  {"distinct_id": ["ann"]}, {"distinct_id": {}}])  # fmt: skip
def test_the_id_is_required(api: Api, body: Any) -> None:
    answer = reset(api, body)
    assert (answer.status_code, answer.json()) == (400, REQUIRED)


def test_clickhouse_away_is_a_503_and_changes_nothing(api: Api, team: Team, capture: Capture, settings: Any) -> None:
    person = capture("ann")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        settings.CLICKHOUSE_URL = f"http://127.0.0.1:{unused.getsockname()[1]}/any"
        answer = reset(api, {"distinct_id": "ann"})
    assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
    assert "Retry-After" in answer.headers
    assert Person.objects.for_team(team.id).get().version == person.version


def test_who_may_reset(api: Api, team: Team, stranger: Api, capture: Capture, clickhouse: ModuleType) -> None:
    person = capture("ann")
    assert reset(make_api(team, scopes=("person:read",)), {"distinct_id": "ann"}).status_code == 403
    assert stranger.client.post(api.url("/reset_person_distinct_id/")).status_code == 403
    assert reset(stranger, {"distinct_id": "ann"}).status_code == 200
    assert reset(make_api(team, tree="environments"), {"distinct_id": "ann"}).status_code == 200
    assert Person.objects.for_team(team.id).get(uuid=UUID(str(person.uuid))).version == person.version + 100
