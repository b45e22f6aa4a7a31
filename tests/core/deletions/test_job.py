"""What a run erases, what it leaves, and what it writes about it."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from core.activity.models import ActivityLog
from core.cohorts.membership import members_add
from core.cohorts.models import Cohort, CohortPerson
from core.deletions.models import DeletionRequest, DeletionRun
from core.outbox.models import OutboxRows
from core.outbox.services import outbox_add, outbox_drain
from core.persons.deleting import Deletion, PersonChoice, persons_delete
from core.persons.erasing import deletions_count, deletions_run
from core.persons.models import Person
from events.rows import Table, recording_blob_row, recording_row, warning_row
from tests.core.deletions.conftest import Api, Store, nonzero, receipt_of

pytestmark = pytest.mark.django_db

type Capture = Callable[..., Person]
type Run = Callable[[], list[Any]]


def delete(api: Api, who: str, **flags: bool) -> None:
    answer = api.send("POST", "/bulk_delete/", {"distinct_ids": [who], "delete_events": True, **flags})
    assert (answer.status_code, answer.json()["persons_found"]) == (202, 1), answer.content


def later(**parts: int) -> datetime:
    return datetime.now(UTC) + timedelta(**parts)


def test_everything_of_a_deleted_person_goes_and_nothing_of_others(
    api: Api, capture: Capture, store: Store, run: Run
) -> None:
    capture("ann@example.org", "$identify", merge_with="anon-1", set={"email": "ann@example.org"})
    capture("anon-1", "page")
    capture("bob", "$set", set={"email": "bob@example.org"})
    assert store.holds("ann@example.org") >= {"events", "persons", "person_distinct_ids", "person_property_values"}

    delete(api, "anon-1")
    (result,) = run()

    assert (result.requests, result.verified) == (1, 1)
    assert store.holds("ann@example.org") == store.holds("anon-1") == set()
    assert store.count("events") == 1
    assert store.count("persons", "is_deleted AND properties = '{}'") >= 1
    assert store.holds("bob@example.org") == {"events", "person_property_updates", "persons", "person_property_values"}
    assert nonzero(receipt_of(api.team.id))["events"] == (2, 2, 0)


def test_the_rows_are_gone_from_the_parts_and_not_only_hidden(
    api: Api, capture: Capture, store: Store, run: Run
) -> None:
    capture("ann")
    capture("bob")
    delete(api, "ann")
    run()
    parts = store.client.query(
        "SELECT sum(has_lightweight_delete), sumIf(rows, table = 'events') FROM system.parts"
        " WHERE database = currentDatabase() AND active"
    ).rows
    assert parts == [(0, 1)]
    left = "SELECT count() FROM system.parts WHERE database = currentDatabase() AND active AND table LIKE 'deletion_%'"
    assert store.client.query(left).rows == [(0,)]


def test_without_a_request_nothing_is_erased(api: Api, capture: Capture, store: Store, run: Run) -> None:
    person = capture("ann")
    api.send("DELETE", f"/{person.id}")
    before = store.count("events"), store.count("persons"), store.count("person_distinct_ids")
    assert run() == []
    assert (store.count("events"), store.count("persons"), store.count("person_distinct_ids")) == before
    assert not DeletionRun.objects.exists()


def test_a_kept_person_loses_its_events_and_history_only(api: Api, capture: Capture, store: Store, run: Run) -> None:
    person = capture("ann", "$set", set={"plan": "pro"})
    assert api.send("POST", f"/{person.uuid}/delete_events/").json() == {"success": True}
    run()
    assert store.count("events") == store.count("person_property_updates") == 0
    assert store.count("persons") == store.count("person_distinct_ids") == 1
    assert store.count("person_property_values") > 0
    assert api.get(f"/{person.uuid}").json()["properties"]["plan"] == "pro"


def test_events_after_the_request_stay(api: Api, capture: Capture, store: Store, run: Run) -> None:
    capture("ann", "before")
    capture("ann", "dated in the future", timestamp=later(hours=5))
    delete(api, "ann", keep_person=True)
    capture("ann", "after")
    capture("ann", "after, about the past", timestamp=later(days=-30))
    run()
    events = {name for (name,) in store.client.query("SELECT event FROM events").rows}
    assert events == {"dated in the future", "after", "after, about the past"}
    assert nonzero(receipt_of(api.team.id))["events"] == (1, 1, 0)


def test_what_hides_a_dead_id_stays_while_events_of_it_do(api: Api, capture: Capture, store: Store, run: Run) -> None:
    capture("ann", "dated in the future", timestamp=later(hours=5))
    capture("ann", "now")
    delete(api, "ann")
    run()
    assert store.count("events") == 1
    assert store.count("person_distinct_ids", "is_deleted") == 1


def test_a_new_life_of_the_ids_is_left_alone(api: Api, capture: Capture, store: Store, run: Run) -> None:
    first = capture("ann", "old", set={"old": "yes"})
    delete(api, "ann")
    second = capture("ann", "new", set={"new": "yes"})
    assert second.uuid == first.uuid
    run()
    assert store.client.query("SELECT event, generation FROM events").rows == [("new", 1)]
    assert store.client.query("SELECT DISTINCT generation FROM person_distinct_ids").rows == [(1,)]
    assert store.holds("old") == set()
    person = api.get(f"/{second.uuid}").json()
    assert person["properties"].get("new") == "yes"
    at = api.get("/properties_at_time", distinct_id="ann", timestamp=later(minutes=1).isoformat()).json()
    assert "new" in at["properties"]


def test_a_repeated_request_before_the_run_is_one_with_a_later_bound(
    api: Api, capture: Capture, store: Store, run: Run
) -> None:
    capture("ann", "one")
    delete(api, "ann", keep_person=True)
    capture("ann", "two")
    delete(api, "ann", keep_person=True)
    capture("ann", "three")
    assert DeletionRequest.objects.for_team(api.team.id).count() == 1
    run()
    assert store.client.query("SELECT event FROM events").rows == [("three",)]


def test_a_repeated_request_does_not_reach_for_ids_that_left_in_between(
    api: Api, capture: Capture, store: Store, run: Run
) -> None:
    capture("ann", "$identify", merge_with="bob")
    capture("bob", "before")
    delete(api, "ann", keep_person=True)
    person = Person.objects.for_team(api.team.id).get()
    assert api.send("POST", f"/{person.uuid}/split/", {"distinct_ids_to_split": ["bob"]}).status_code == 200
    capture("bob", "of the new person")
    capture("ann", "between")
    delete(api, "ann", keep_person=True)
    run()
    assert store.client.query("SELECT event FROM events").rows == [("of the new person",)]


def test_a_request_for_a_kept_person_after_its_deletion_and_return_keeps_its_mirrors(
    api: Api, capture: Capture, store: Store, run: Run
) -> None:
    capture("ann", "first life")
    delete(api, "ann")
    capture("ann", "second life")
    delete(api, "ann", keep_person=True)
    run()
    assert store.count("events") == 0
    assert store.client.query("SELECT generation, is_deleted FROM person_distinct_ids FINAL").rows == [(1, False)]
    assert store.client.query("SELECT is_deleted FROM persons FINAL").rows == [(False,)]


def test_a_request_after_a_verified_one_is_new(api: Api, capture: Capture, store: Store, run: Run) -> None:
    capture("ann")
    delete(api, "ann", keep_person=True)
    run()
    capture("ann")
    delete(api, "ann", keep_person=True)
    assert [
        request.verified_at is None for request in DeletionRequest.objects.for_team(api.team.id).order_by("id")
    ] == [
        False,
        True,
    ]
    run()
    assert store.count("events") == 0
    assert nonzero(receipt_of(api.team.id))["events"] == (1, 1, 0)


def test_ids_that_merge_away_after_the_request_are_still_erased(
    api: Api, capture: Capture, store: Store, run: Run
) -> None:
    capture("anon", "asked for")
    delete(api, "anon", keep_person=True)
    capture("ann", "$identify", merge_with="anon")
    run()
    assert store.client.query("SELECT event FROM events").rows == [("$identify",)]


def test_another_team_with_the_same_ids_is_left_alone(
    api: Api, stranger: Api, capture: Capture, store: Store, run: Run
) -> None:
    from core.persons.ingest import IngestTeam, NewEvent, events_ingest

    capture("ann")
    other = NewEvent(event="theirs", distinct_id="ann", uuid=uuid4(), timestamp=datetime.now(UTC), properties={})
    events_ingest(team=IngestTeam(stranger.team.id), events=[other])
    delete(api, "ann")
    run()
    assert store.client.query("SELECT event FROM events").rows == [("theirs",)]
    assert store.count("person_distinct_ids") == store.count("persons", "NOT is_deleted") == 1


def test_an_event_of_someone_else_with_the_same_uuid_is_left_alone(
    api: Api, capture: Capture, store: Store, run: Run
) -> None:
    from core.persons.models import SeenEvent

    uuid = uuid4()
    capture("ann", uuid=uuid)
    SeenEvent.objects.all().delete()
    capture("bob", uuid=uuid)
    delete(api, "ann")
    run()
    assert store.client.query("SELECT distinct_id FROM events").rows == [("bob",)]


def test_rows_that_wait_in_the_outbox_are_erased_too(api: Api, capture: Capture, run: Run, store: Store) -> None:
    capture("ann")
    delete(api, "ann")
    assert OutboxRows.objects.exists()
    run()
    assert store.count("events") == 0
    assert nonzero(receipt_of(api.team.id))["events"] == (1, 1, 0)


def test_rows_that_clickhouse_refused_are_taken_out_of_what_is_kept(
    api: Api, capture: Capture, run: Run, clickhouse: Any
) -> None:
    import zstandard

    capture("ann")
    capture("bob")
    delete(api, "ann")
    entries = OutboxRows.objects.filter(table="events")
    payloads = [zstandard.decompress(bytes(entry.payload)) for entry in entries]
    OutboxRows.objects.all().delete()
    lines = b"".join(payloads)
    OutboxRows.objects.create(
        table="events", row_count=2, payload=zstandard.compress(lines), refused_at=datetime.now(UTC)
    )
    run()
    (kept,) = OutboxRows.objects.filter(refused_at__isnull=False)
    rows = [orjson.loads(line) for line in zstandard.decompress(bytes(kept.payload)).splitlines()]
    assert ([row["distinct_id"] for row in rows], kept.row_count) == (["bob"], 1)
    assert nonzero(receipt_of(api.team.id))["outbox"] == (1, 1, 0)


def test_warnings_and_the_log_of_splits_name_the_ids_no_more(
    api: Api, capture: Capture, store: Store, run: Run
) -> None:
    person = capture("ann@example.org", "$identify", merge_with="bob")
    for who in ("ann@example.org", "carol"):
        details = orjson.dumps({"eventUuid": "x", "distinctId": who, "otherDistinctId": who}).decode()
        row = warning_row(team_id=api.team.id, source="s", type="t", details=details, timestamp=datetime.now(UTC))
        outbox_add({Table.INGESTION_WARNINGS: [row]})
    api.send("POST", f"/{person.uuid}/split/", {"distinct_ids_to_split": ["bob"]})
    delete(api, "ann@example.org")
    run()
    assert store.client.query("SELECT JSONExtractString(details, 'distinctId') FROM ingestion_warnings").rows == [
        ("carol",)
    ]
    entry = ActivityLog.objects.get(activity="split_person")
    hashed = f"sha256:{hashlib.sha256(b'ann@example.org').hexdigest()}"
    assert sorted(entry.detail["changes"][0]["after"]["distinct_ids"]) == ["bob", hashed]
    found = nonzero(receipt_of(api.team.id))
    assert (found["ingestion_warnings"], found["activity_log"]) == ((1, 1, 0), (1, 1, 0))


def test_memberships_of_the_dead_go_and_those_of_a_new_life_stay(
    api: Api, capture: Capture, store: Store, run: Run
) -> None:
    cohorts = [Cohort.unscoped.create(team=api.team, name=name, is_static=True) for name in ("left", "joined again")]

    def join(person: Person, into: Sequence[Cohort]) -> None:
        for cohort in into:
            members = [(person.id, person.uuid)]
            outbox_add({Table.COHORT_PEOPLE: members_add(team_id=api.team.id, cohort_id=cohort.id, persons=members)})

    join(capture("ann"), cohorts)
    delete(api, "ann")
    assert not CohortPerson.objects.exists()
    join(capture("ann"), cohorts[1:])
    run()
    rows = store.client.query("SELECT cohort_id, is_deleted FROM cohort_people").rows
    assert rows == [(cohorts[1].id, False)]


def recorded(api: Api, who: str, uuid: UUID, created_at: datetime, key: str = "") -> None:
    common = {
        "team_id": api.team.id, "session_id": "s", "uuid": uuid, "distinct_id": who,
        "generation": 0, "created_at": created_at,
    }  # fmt: skip
    outbox_add({
        Table.SESSION_RECORDINGS: [recording_row(
            **common, window_id="w", source="web", first_timestamp=created_at, last_timestamp=created_at,
            event_count=1, click_count=0, keypress_count=0, size=2, blob_key=key,
        )],
        Table.SESSION_RECORDING_BLOBS: [recording_blob_row(**common, lines="{}")],
    })  # fmt: skip


def test_recordings_go_only_when_asked_and_events_stay_then(api: Api, capture: Capture, store: Store, run: Run) -> None:
    person = capture("ann")
    recorded(api, "ann", uuid4(), datetime.now(UTC))
    recorded(api, "bob", uuid4(), datetime.now(UTC))
    delete(api, "ann", keep_person=True)
    run()
    assert store.count("session_recordings") == store.count("session_recording_blobs") == 2

    capture("ann")
    assert api.send("POST", f"/{person.uuid}/delete_recordings/").json() == {"success": True}
    recorded(api, "ann", uuid4(), later(seconds=5))
    run()

    assert store.count("session_recordings", "distinct_id = 'ann'") == 1
    assert store.count("session_recordings") == store.count("session_recording_blobs") == 2
    assert store.count("events") == 1
    assert nonzero(receipt_of(api.team.id)) == {
        "session_recordings": (1, 1, 0),
        "session_recording_blobs": (1, 1, 0),
    }
    assert "events" not in receipt_of(api.team.id)["tables"]


def test_a_deleted_person_whose_recordings_alone_are_to_go_keeps_its_events_and_mirrors(
    api: Api, capture: Capture, store: Store, run: Run
) -> None:
    capture("ann", "$set", set={"plan": "pro"})
    recorded(api, "ann", uuid4(), datetime.now(UTC))
    before = {table: store.count(table) for table in ("events", "persons", "person_distinct_ids")}
    delete(api, "ann", delete_events=False, delete_recordings=True)
    run()
    assert store.count("session_recordings") == 0
    assert store.count("events") == before["events"]
    # Beside their tombstones, unless ClickHouse has merged those with them.
    assert store.count("persons") >= before["persons"]
    assert store.count("person_distinct_ids") >= before["person_distinct_ids"]
    assert nonzero(receipt_of(api.team.id)).keys() == {"session_recordings", "session_recording_blobs"}


def test_the_receipt_says_who_asked_and_keeps_hashes_for_ids(api: Api, capture: Capture, run: Run) -> None:
    person = capture("ann@example.org")
    delete(api, "ann@example.org")
    (result,) = run()
    request = DeletionRequest.objects.for_team(api.team.id).get()
    receipt = receipt_of(api.team.id)
    assert request.requested_by is not None
    assert receipt["requested_by"] == {"id": request.requested_by.id, "email": request.requested_by.email}
    assert (receipt["request_id"], receipt["run_id"]) == (request.id, str(result.id))
    assert receipt["run_started_at"] < receipt["verified_at"]
    assert receipt["requested_at"] < receipt["run_started_at"]
    digest = hashlib.sha256(b"ann@example.org").hexdigest()
    assert receipt["distinct_ids_sha256"] == [digest]
    assert request.distinct_ids == [{"sha256": digest, "generation": 0}]
    assert "ann" not in orjson.dumps([request.receipt, request.distinct_ids, request.tombstones]).decode()
    (shown,) = api.get("/deletion_status/", status="completed", person_uuid=str(person.uuid)).json()["results"]
    assert shown["receipt"] == receipt
    assert shown["delete_verified_at"] == receipt["verified_at"]


def test_one_row_counts_for_every_request_that_means_it(api: Api, capture: Capture, run: Run) -> None:
    capture("ann")
    delete(api, "ann", keep_person=True)
    capture("bob")
    capture("bob", "$merge_dangerously", merge_with="ann")
    delete(api, "bob", keep_person=True)
    run()
    found = {
        len(request.receipt["distinct_ids_sha256"]): request.receipt["tables"]["events"]["removed"]
        for request in DeletionRequest.objects.for_team(api.team.id)
    }
    assert found == {1: 1, 2: 3}


def test_the_total_of_a_run_counts_each_row_once(api: Api, capture: Capture, run: Run) -> None:
    capture("ann")
    delete(api, "ann")
    capture("bob")
    capture("bob", "$identify", merge_with="ann")
    delete(api, "bob")
    outbox_drain()
    assert DeletionRequest.objects.for_team(api.team.id).count() == 2
    expected = deletions_count()[1]["events"]
    (result,) = run()
    assert expected == result.found["events"] == 3


def test_keys_that_a_killed_count_left_are_removed_by_the_next_run(
    api: Api, capture: Capture, store: Store, run: Run
) -> None:
    capture("secret-ann")
    delete(api, "secret-ann")
    store.client.insert_json_rows(
        "deletion_keys",
        orjson.dumps(
            {
                "run_id": str(uuid4()), "request_id": 1, "kind": "events", "team_id": api.team.id,
                "distinct_id": "secret-ann", "generation": 0, "deleted_generation": -1, "until": "2026-01-01 00:00:00",
            }
        ),
        token=str(uuid4()),
    )  # fmt: skip
    assert "deletion_keys" in store.holds("secret-ann")
    run()
    assert store.holds("secret-ann") == set()


def test_the_clock_removes_what_a_killed_count_left(api: Api, store: Store) -> None:
    row = {"run_id": str(uuid4()), "place": "events", "request_id": 1, "row_hash": "-" * 16, "team_id": api.team.id}
    store.client.insert_json_rows("deletion_targets", orjson.dumps(row), token=str(uuid4()))
    assert deletions_run(begin=False) == []
    assert store.count("deletion_targets") == 0


def test_a_dry_run_counts_and_changes_nothing(api: Api, capture: Capture, store: Store, run: Run) -> None:
    capture("ann")
    capture("ann")
    delete(api, "ann")
    before = store.count("events"), store.count("persons")
    assert deletions_count()[0] == 1
    assert deletions_count()[1]["events"] == 2
    assert (store.count("events"), store.count("persons")) == before
    request = DeletionRequest.objects.for_team(api.team.id).get()
    assert (request.verified_at, request.run_id, DeletionRun.objects.count()) == (None, None, 0)


def test_old_receipts_are_forgotten_and_waiting_requests_never(api: Api, capture: Capture, run: Run) -> None:
    capture("ann")
    delete(api, "ann", keep_person=True)
    run()
    DeletionRequest.unscoped.update(verified_at=later(days=-89))
    run()
    assert DeletionRequest.unscoped.count() == 1
    DeletionRequest.unscoped.update(verified_at=later(days=-91))
    run()
    assert DeletionRequest.unscoped.count() == 0


def test_a_thousand_requests_take_as_many_statements_as_ten(
    api: Api, capture: Capture, store: Store, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def statements(count: int) -> int:
        for number in range(count):
            capture(f"{count}-{number}", "page")
        ids = [f"{count}-{number}" for number in range(count)]
        deletion = Deletion(api.team.id, uuid4(), None, delete_events=True)
        assert persons_delete(deletion=deletion, choice=PersonChoice(distinct_ids=ids)).deleted == count
        seen = 0
        command = store.client.command

        def counted(sql: str, *args: Any, **options: Any) -> None:
            nonlocal seen
            seen += 1
            command(sql, *args, **options)

        with monkeypatch.context() as patch:
            patch.setattr(store.client, "command", counted)
            (result,) = run()
        assert result.verified == count
        return seen

    assert statements(10) == statements(150)
