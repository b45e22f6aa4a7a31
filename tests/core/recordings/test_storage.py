from datetime import UTC, datetime, timedelta
from io import StringIO
from types import ModuleType
from typing import Any
from unittest.mock import patch
from uuid import UUID

import orjson
import pytest
import zstandard
from django.core.management import call_command
from django.test import override_settings

from core.outbox.services import outbox_drain
from core.recordings import storage
from core.recordings.errors import BlobMissing, BlobStoreUnavailable
from core.recordings.queries import session_snapshots
from events.recordings import blob_keys_of, blocks_of_session, counts_of, existing_sessions, sessions_of
from tests.core.capture.helpers import assert_accepted, post, rows
from tests.core.capture.test_recordings import CLICK, META, SESSION, SNAPSHOTS, START, TYPED, snapshot
from tests.core.recordings.conftest import BUCKET
from tests.factories import make_team

pytestmark = [pytest.mark.usefixtures("clickhouse"), pytest.mark.django_db]
LATER = datetime(2100, 1, 1, tzinfo=UTC)


def keys_in(s3: Any) -> list[str]:
    return [found["Key"] for found in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def test_blobs_go_to_s3_and_come_back_equal(s3: Any) -> None:
    team = make_team()
    assert_accepted(post("/s/", [snapshot(team)]))
    (row,) = rows("session_recordings")
    assert rows("session_recording_blobs") == []
    assert row["blob_key"] == f"recordings/{team.id}/{SESSION}/{row['uuid']}.jsonl.zst"
    (key,) = keys_in(s3)
    assert key == row["blob_key"]
    body = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    lines = zstandard.ZstdDecompressor().decompress(body)
    assert [orjson.loads(line) for line in lines.splitlines()] == SNAPSHOTS
    assert row["size"] == len(lines)
    outbox_drain()
    assert list(session_snapshots(team_id=team.id, session_id=SESSION)) == SNAPSHOTS


def test_blobs_of_both_storages_are_read_side_by_side(s3: Any) -> None:
    team = make_team()
    with override_settings(RECORDINGS_STORAGE="clickhouse"):
        assert_accepted(post("/s/", [snapshot(team, [META])]))
    assert keys_in(s3) == []
    assert_accepted(post("/s/", [snapshot(team, [CLICK])]))
    outbox_drain()
    assert list(session_snapshots(team_id=team.id, session_id=SESSION)) == [META, CLICK]
    assert [bool(block.blob_key) for block in blocks_of_session(team_id=team.id, session_id=SESSION)] == [False, True]


def test_without_s3_nothing_is_promised(s3: Any) -> None:
    team = make_team()
    with override_settings(RECORDINGS_S3_ENDPOINT_URL="http://127.0.0.1:9"):
        answer = post("/s/", [snapshot(team)])
    assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
    assert answer.headers["Retry-After"] == "1"
    assert rows("session_recordings") == []
    with override_settings(RECORDINGS_S3_BUCKET="no-such-bucket"):
        assert post("/s/", [snapshot(team)]).status_code == 503
    assert keys_in(s3) == []


def test_a_blob_whose_row_was_never_committed_is_taken_up_by_the_next_try(s3: Any) -> None:
    team = make_team()
    events = [snapshot(team)]
    with patch("core.capture.recordings.outbox_add", side_effect=ZeroDivisionError):
        assert post("/s/", events).status_code == 500
    (orphan,) = keys_in(s3)
    assert storage.blobs_of_session(team_id=team.id, session_id=SESSION) == [orphan]
    assert rows("session_recordings") == []
    assert_accepted(post("/s/", events))
    assert keys_in(s3) == [row["blob_key"] for row in rows("session_recordings")] == [orphan]


def test_blobs_are_deleted_by_pages_and_proved_gone(s3: Any) -> None:
    keys = [storage.blob_key(team_id=1, session_id=f"s{n % 3}", uuid=UUID(int=n)) for n in range(1_203)]
    kept = storage.blob_key(team_id=1, session_id="s1", uuid=UUID(int=5_000))
    for key in (*keys[:5], *keys[-5:], kept):
        storage.blob_put(key, b"{}\n")
    assert sorted(storage.blobs_present([*keys, "recordings/1/none/x"])) == sorted([*keys[:5], *keys[-5:]])
    assert storage.blobs_delete(keys) == 1_203
    assert storage.blobs_present(keys) == []
    assert keys_in(s3) == [kept]
    assert storage.blobs_delete(keys) == 1_203
    assert storage.blobs_delete([]) == 0
    assert storage.blob_read(kept) == b"{}\n"
    with pytest.raises(BlobMissing):
        storage.blob_read(keys[0])


def test_a_deletion_that_s3_refuses_is_an_error(s3: Any) -> None:
    with override_settings(RECORDINGS_S3_BUCKET="no-such-bucket"), pytest.raises(BlobStoreUnavailable):
        storage.blobs_delete(["recordings/1/s/x"])


def test_keys_and_counts_are_those_of_the_ids_and_the_time(s3: Any) -> None:
    team, other = make_team(), make_team()
    for number in range(3):
        assert_accepted(post("/s/", [snapshot(team, **{"$session_id": f"s{number}"})]))
    with override_settings(RECORDINGS_STORAGE="clickhouse"):
        assert_accepted(post("/s/", [snapshot(team, **{"$session_id": "s3"})]))
    assert_accepted(post("/s/", [snapshot(team, distinct_id="bob")]))
    assert_accepted(post("/s/", [snapshot(other)]))
    created = [datetime.fromisoformat(row["created_at"]).replace(tzinfo=UTC) for row in rows("session_recordings")]
    outbox_drain()
    ann = [("ann", 0), ("nobody", 3)]
    assert len(list(blob_keys_of(team_id=team.id, ids=ann, until=LATER))) == 3
    assert list(blob_keys_of(team_id=team.id, ids=[("ann", 1)], until=LATER)) == []
    assert list(blob_keys_of(team_id=team.id, ids=[], until=LATER)) == []
    (first,) = blob_keys_of(team_id=team.id, ids=ann, until=created[0])
    assert "/s0/" in first
    counts = counts_of(team_id=team.id, ids=ann, until=LATER)
    assert (counts.rows, counts.blob_rows, counts.keys) == (4, 1, 3)
    counts = counts_of(team_id=team.id, ids=ann, until=created[0] - timedelta(microseconds=1))
    assert (counts.rows, counts.blob_rows, counts.keys) == (0, 0, 0)
    assert counts_of(team_id=team.id, ids=[], until=LATER).rows == 0
    storage.blobs_delete(blob_keys_of(team_id=team.id, ids=ann, until=LATER))
    assert len(keys_in(s3)) == 2


def test_keys_come_in_pages(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("events.recordings.PAGE", 2)
    team = make_team()
    for number in range(5):
        assert_accepted(post("/s/", [snapshot(team, **{"$session_id": f"s{number}"})]))
    outbox_drain()
    found = list(blob_keys_of(team_id=team.id, ids=[("ann", 0)], until=LATER))
    assert found == sorted(keys_in(s3))
    assert len(found) == 5


def test_which_sessions_exist(db: None) -> None:
    team, other = make_team(), make_team()
    assert_accepted(post("/s/", [snapshot(team, [META]), snapshot(team, [TYPED], distinct_id="bob")]))
    assert_accepted(post("/s/", [snapshot(other, [CLICK], **{"$session_id": "elsewhere"})]))
    outbox_drain()
    found = existing_sessions(team_id=team.id, session_ids=[SESSION, SESSION, "elsewhere", "none"])
    start = datetime.fromtimestamp(START / 1000, UTC)
    times = (start, start + timedelta(seconds=3))
    assert {key: tuple(at.replace(tzinfo=UTC) for at in value) for key, value in found.items()} == {SESSION: times}
    assert existing_sessions(team_id=team.id, session_ids=[]) == {}
    (session,) = sessions_of(team_id=team.id, ids=[("ann", 0), ("bob", 0)])
    assert (session.distinct_ids, session.click_count, session.keypress_count) == (("ann", "bob"), 0, 1)
    assert sessions_of(team_id=team.id, ids=[]) == []


def test_a_repeated_block_counts_once_in_summaries(db: None) -> None:
    team = make_team()
    events = [snapshot(team)]
    for _ in range(2):
        assert_accepted(post("/s/", events))
        outbox_drain()
    (session,) = sessions_of(team_id=team.id, ids=[("ann", 0)])
    assert (session.event_count, session.blocks) == (5, 1)


def test_the_retention_is_applied_and_lifted(clickhouse: ModuleType, settings: Any) -> None:
    def rules() -> list[str]:
        found = clickhouse.query(
            "SELECT extract(create_table_query, 'TTL [^\\n]*') FROM system.tables "
            "WHERE database = currentDatabase() AND name LIKE 'session_recording%' ORDER BY name"
        )
        return [row[0] for row in found.rows]

    told = StringIO()
    try:
        for days in (30, 30, 7):
            settings.RECORDINGS_RETENTION_DAYS = days
            call_command("migrate_events", stdout=told)
            assert all(f"toIntervalDay({days})" in rule for rule in rules()), rules()
        call_command("migrate_events", to="0007", stdout=told)
        team = make_team()
        assert_accepted(post("/s/", [snapshot(team)]))
        outbox_drain()
        assert list(session_snapshots(team_id=team.id, session_id=SESSION)) == SNAPSHOTS
    finally:
        settings.RECORDINGS_RETENTION_DAYS = 0
        call_command("migrate_events", stdout=told)
    assert rules() == ["", ""]
    lines = [line for line in told.getvalue().splitlines() if line.startswith("Recordings")]
    assert lines == [
        "Recordings are kept for 30 days.",
        "Recordings are kept for 7 days.",
        "Recordings are kept until they are erased.",
    ]
