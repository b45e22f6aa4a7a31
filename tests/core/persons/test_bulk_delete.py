"""POST bulk_delete, delete_events, delete_recordings and GET deletion_status over HTTP."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.activity.models import ActivityLog
from core.deletions.models import DeletionRequest
from core.persons.ingest import IngestTeam, NewEvent, events_ingest
from core.persons.models import Person, PersonDistinctId
from tests.core.persons.conftest import Api, make_api

pytestmark = pytest.mark.django_db

type Capture = Callable[..., Person]

NOTHING: dict[str, Any] = {
    "persons_found": 0,
    "persons_deleted": 0,
    "persons_queued_for_deletion": 0,
    "events_queued_for_deletion": False,
    "recordings_queued_for_deletion": False,
    "deletion_errors": [],
    "ids_not_found": [],
    "distinct_ids_not_found": [],
}

RECEIPT: dict[str, Any] = {
    "request_id": 1,
    "requested_at": "2026-01-01T00:00:00.000000Z",
    "requested_by": None,
    "run_id": str(uuid4()),
    "run_started_at": "2026-01-04T05:00:00.000000Z",
    "verified_at": "2026-01-04T05:00:01.000000Z",
    "tables": {"events": {"found": 2, "removed": 2, "remaining": 0}},
    "distinct_ids_sha256": [],
}


def bulk(api: Api, body: Any = None, query: str = "") -> Any:
    return api.send("POST", f"/bulk_delete/{query}", body)


def refusal(answer: Any) -> tuple[int, str, str | None]:
    return answer.status_code, answer.json()["detail"], answer.json()["attr"]


def test_by_uuids_with_events(api: Api, capture: Capture) -> None:
    ann, bob, carol = capture("ann"), capture("bob"), capture("carol")
    answer = bulk(api, {"ids": [str(ann.uuid), str(bob.uuid)], "delete_events": True})
    assert answer.status_code == 202
    assert answer.json() == {
        **NOTHING,
        "persons_found": 2,
        "persons_deleted": 2,
        "events_queued_for_deletion": True,
    }
    assert [person.uuid for person in Person.objects.for_team(api.team.id)] == [carol.uuid]
    kinds = DeletionRequest.objects.for_team(api.team.id).values_list("kind", "person_uuid", "person_deleted")
    assert set(kinds) == {("events", ann.uuid, True), ("events", bob.uuid, True)}
    entries = ActivityLog.objects.filter(activity="deleted").values_list("item_id", "detail__name", "user__email")
    assert {entry[:2] for entry in entries} == {(str(ann.id), str(ann.uuid)), (str(bob.id), str(bob.uuid))}
    assert all(email for *_, email in entries)


def test_by_integers_and_uuids_mixed_each_person_once(api: Api, capture: Capture) -> None:
    ann, bob = capture("ann"), capture("bob")
    answer = bulk(api, {"ids": [ann.id, str(ann.uuid), str(bob.id), str(ann.uuid).upper()]})
    assert (answer.json()["persons_found"], answer.json()["ids_not_found"]) == (2, [])
    assert not Person.objects.for_team(api.team.id).exists()
    assert not DeletionRequest.objects.for_team(api.team.id).exists()


def test_by_distinct_ids_the_owners_each_once(api: Api, capture: Capture) -> None:
    capture("ann", "$identify", merge_with="anon")
    answer = bulk(api, {"distinct_ids": ["ann", "anon", "nobody"], "keep_person": True, "delete_recordings": True})
    assert answer.json() == {
        **NOTHING,
        "persons_found": 1,
        "recordings_queued_for_deletion": True,
        "distinct_ids_not_found": ["nobody"],
    }
    request = DeletionRequest.objects.for_team(api.team.id).get()
    assert (request.kind, request.person_deleted) == ("recordings", False)
    assert Person.objects.for_team(api.team.id).exists()


def test_nothing_matches(api: Api) -> None:
    missing = str(uuid4())
    answer = bulk(api, {"ids": [missing], "delete_events": True, "delete_recordings": True})
    assert (answer.status_code, answer.json()) == (202, {**NOTHING, "ids_not_found": [missing]})
    assert not DeletionRequest.objects.for_team(api.team.id).exists()
    assert not ActivityLog.objects.exists()


def test_persons_of_another_project_do_not_exist(api: Api, capture: Capture, stranger: Api) -> None:
    person = capture("ann")
    for body in ({"ids": [str(person.uuid), person.id]}, {"distinct_ids": ["ann"]}):
        answer = bulk(stranger, {**body, "delete_events": True})
        assert (answer.status_code, answer.json()["persons_found"]) == (202, 0)
    assert Person.objects.for_team(api.team.id).exists()
    assert not DeletionRequest.unscoped.exists()


@pytest.mark.parametrize(
    ("body", "detail", "attr"),
    [
        ({"ids": ["x"], "distinct_ids": ["y"]}, "You must provide either distinct_ids or ids, not both", None),
        ({"distinct_ids": ["a"] * 1001}, "You can only pass 1000 distinct_ids in one call", None),
        ({"ids": [str(number) for number in range(1001)]}, "You can only pass 1000 ids in one call", None),
        ({}, "You need to specify either distinct_ids or ids", None),
        ({"ids": [], "distinct_ids": []}, "You need to specify either distinct_ids or ids", None),
        ({"ids": None}, "You need to specify either distinct_ids or ids", None),
        ({"ids": ["not-a-uuid"]}, '"not-a-uuid" is not a valid UUID.', "ids"),
        ({"ids": "a"}, 'Expected a list of items but got type "str".', "ids"),
        ({"distinct_ids": [["a"]]}, "Not a valid string.", "distinct_ids"),
        ({"ids": [True]}, "Not a valid string.", "ids"),
        ({"distinct_ids": ["a"], "delete_events": "maybe"}, "Must be a valid boolean.", "delete_events"),
        ([], None, None),
    ],
)
def test_refusals(api: Api, capture: Capture, body: Any, detail: str | None, attr: str | None) -> None:
    capture("a")
    answer = bulk(api, body)
    assert answer.status_code == 400
    if detail:
        assert refusal(answer) == (400, detail, attr)
    assert Person.objects.for_team(api.team.id).exists()


def test_a_thousand_are_allowed_and_repetitions_count(api: Api) -> None:
    assert bulk(api, {"distinct_ids": [str(number) for number in range(1000)]}).status_code == 202


def test_the_text_false_is_false(api: Api, capture: Capture) -> None:
    capture("ann")
    answer = bulk(api, {"distinct_ids": ["ann"], "delete_events": "false", "keep_person": "no"})
    assert (answer.json()["persons_deleted"], answer.json()["events_queued_for_deletion"]) == (1, False)


@pytest.mark.parametrize(
    "query",
    [
        "?delete_events=true&distinct_ids[0]=ann&distinct_ids[1]=bob",
        "?delete_events&distinct_ids=ann&distinct_ids=bob",
        '?delete_events=1&distinct_ids=["ann","bob"]',
        "?delete_events=on&distinct_ids[]=ann&distinct_ids[]=bob",
    ],
)
def test_from_the_query_string(api: Api, capture: Capture, query: str) -> None:
    capture("ann")
    capture("bob")
    answer = bulk(api, query=query)
    assert (answer.status_code, answer.json()["persons_deleted"]) == (202, 2)
    assert answer.json()["events_queued_for_deletion"] is True


def test_from_a_form(api: Api, capture: Capture) -> None:
    capture("ann")
    capture("bob")
    answer = api.client.post(api.url("/bulk_delete/"), {"distinct_ids": ["ann", "bob"], "keep_person": "true"})
    assert (answer.status_code, answer.json()["persons_found"], answer.json()["persons_deleted"]) == (202, 2, 0)


def test_needs_the_scope_to_write(api: Api, capture: Capture) -> None:
    person = capture()
    reader = make_api(api.team, scopes=("person:read",))
    assert bulk(reader, {"ids": [str(person.uuid)]}).status_code == 403
    assert reader.get("/deletion_status/").status_code == 200
    for path in ("delete_events", "delete_recordings"):
        assert reader.send("POST", f"/{person.uuid}/{path}/").status_code == 403


def test_a_hundred_persons_take_as_many_statements_as_one(api: Api) -> None:
    def statements(count: int) -> int:
        events_ingest(
            team=IngestTeam(api.team.id),
            events=[
                NewEvent(
                    event="e",
                    distinct_id=f"{count}-{number}",
                    uuid=uuid4(),
                    timestamp=datetime.now(UTC),
                    properties={},
                    set={"n": number},
                )
                for number in range(count)
            ],
        )
        flags = {"delete_events": True, "delete_recordings": True}
        with CaptureQueriesContext(
            connection,
        ) as seen:
            answer = bulk(api, {"distinct_ids": [f"{count}-{number}" for number in range(count)], **flags})
        assert answer.json()["persons_deleted"] == count
        return len(seen)

    statements(2)
    assert statements(1) == statements(100)
    assert not PersonDistinctId.objects.for_team(api.team.id).exists()


@pytest.mark.parametrize("path", ["delete_events", "delete_recordings"])
def test_the_older_calls_keep_the_person_and_log_nothing(api: Api, capture: Capture, path: str) -> None:
    person = capture()
    for key in (person.id, person.uuid):
        answer = api.send("POST", f"/{key}/{path}/")
        assert (answer.status_code, answer.json()) == (200, {"success": True})
    request = DeletionRequest.objects.for_team(api.team.id).get()
    assert (request.kind, request.person_deleted) == (path.removeprefix("delete_"), False)
    assert api.get(f"/{person.uuid}").status_code == 200
    assert not ActivityLog.objects.exists()
    assert api.send("POST", f"/{uuid4()}/{path}/").status_code == 404


def status(api: Api, **params: Any) -> Any:
    answer = api.get("/deletion_status/", **params)
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_status_lists_requests_for_events_newest_first(api: Api, capture: Capture, stranger: Api) -> None:
    persons = [capture(f"p{number}") for number in range(3)]
    for person in persons:
        bulk(api, {"ids": [str(person.uuid)], "delete_events": True, "delete_recordings": True})
    found = status(api)
    assert {key: found[key] for key in ("count", "next", "previous")} == {"count": 3, "next": None, "previous": None}
    assert [item["person_uuid"] for item in found["results"]] == [str(person.uuid) for person in reversed(persons)]
    assert {key: found["results"][0][key] for key in ("status", "delete_verified_at", "kind", "receipt")} == {
        "status": "pending",
        "delete_verified_at": None,
        "kind": "events",
        "receipt": None,
    }
    assert list(found["results"][0])[:4] == ["person_uuid", "created_at", "status", "delete_verified_at"]
    created = datetime.fromisoformat(found["results"][0]["created_at"])
    assert abs(created - datetime.now(UTC)) < timedelta(seconds=30)
    assert status(stranger)["count"] == 0
    assert status(api, kind="all")["count"] == 6
    assert {item["kind"] for item in status(api, kind="recordings")["results"]} == {"recordings"}


def test_status_by_person_and_state_and_page(api: Api, capture: Capture) -> None:
    ann, bob = capture("ann"), capture("bob")
    bulk(api, {"ids": [str(ann.uuid)], "delete_events": True})
    bulk(api, {"ids": [str(bob.uuid)], "delete_events": True})
    DeletionRequest.unscoped.filter(person_uuid=ann.uuid).update(verified_at=datetime.now(UTC), receipt=RECEIPT)
    assert [item["person_uuid"] for item in status(api, status="completed")["results"]] == [str(ann.uuid)]
    assert [item["person_uuid"] for item in status(api, status="pending")["results"]] == [str(bob.uuid)]
    (item,) = status(api, status="all", person_uuid=str(ann.uuid))["results"]
    assert (item["status"], item["receipt"]) == ("completed", RECEIPT)
    assert item["delete_verified_at"].endswith("Z")
    first = status(api, limit=1)
    assert (first["count"], len(first["results"]), first["previous"]) == (2, 1, None)
    second = api.client.get(first["next"]).json()
    assert (second["next"], len(second["results"])) == (None, 1)
    assert {first["results"][0]["person_uuid"], second["results"][0]["person_uuid"]} == {str(ann.uuid), str(bob.uuid)}


def test_status_shows_one_row_per_person_unless_all_are_asked_for(api: Api, capture: Capture) -> None:
    person = capture("ann")
    api.send("POST", f"/{person.uuid}/delete_events/")
    DeletionRequest.unscoped.update(verified_at=datetime.now(UTC), receipt=RECEIPT)
    api.send("POST", f"/{person.uuid}/delete_events/")
    (item,) = status(api, person_uuid=str(person.uuid))["results"]
    assert item["status"] == "pending"
    assert status(api, status="completed")["count"] == 0
    assert [item["status"] for item in status(api, include_repeated=True)["results"]] == ["pending", "completed"]


@pytest.mark.parametrize(
    ("name", "value", "code", "detail"),
    [
        ("status", "done", "invalid_choice", '"done" is not a valid choice.'),
        ("kind", "x", "invalid_choice", '"x" is not a valid choice.'),
        ("person_uuid", "x", "invalid_input", "Must be a valid UUID."),
        ("limit", "x", "invalid_input", "A valid integer is required."),
        ("limit", "0", "min_value", "Ensure this value is greater than or equal to 1."),
        ("offset", "-1", "min_value", "Ensure this value is greater than or equal to 0."),
        ("include_repeated", "x", "invalid_input", "Must be a valid boolean."),
    ],
)
def test_status_refuses_wrong_values(api: Api, name: str, value: str, code: str, detail: str) -> None:
    answer = api.get("/deletion_status/", **{name: value})
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert refusal(answer) == (400, detail, name)


def test_status_takes_any_page(api: Api) -> None:
    assert status(api, limit=10**30, offset=10**30)["results"] == []
