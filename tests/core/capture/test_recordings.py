import base64
import gzip
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson
import pytest
from django.db import connection, transaction
from django.test import Client

from core.capture import recordings as intake
from core.deletions.models import DeletionRequest
from core.outbox.services import outbox_drain
from core.persons.generations import generations_lock
from core.persons.models import Person
from core.recordings import blocks
from core.recordings.queries import session_snapshots
from core.tenancy.models import Team
from events.recordings import blocks_of_session, sessions_of
from tests.core.capture.helpers import assert_accepted, batch_of, post, rows
from tests.core.persons.conftest import make_api
from tests.factories import make_team

SESSION = "01990000-1111-7222-8333-444444444444"
WINDOW = "01990000-aaaa-7bbb-8ccc-dddddddddddd"
START = 1_760_000_000_000
META = {"type": 4, "data": {"href": "https://example.org/", "width": 1440, "height": 900}, "timestamp": START}
FULL = {"type": 2, "data": {"node": {"id": 1, "childNodes": ["née ☃", '"quoted"\n']}}, "timestamp": START + 10}
CLICK = {"type": 3, "data": {"source": 2, "type": 2, "id": 9, "x": 1.5, "y": 2}, "timestamp": START + 2_000}
TYPED = {"type": 3, "data": {"source": 5, "id": 9, "text": "*", "isChecked": False}, "timestamp": START + 3_000}
MOVE = {"type": 3, "data": {"source": 1, "positions": []}, "timestamp": START + 1_000}
SNAPSHOTS = [META, FULL, MOVE, CLICK, TYPED]


def snapshot(team: Team, items: Any = SNAPSHOTS, **properties: Any) -> dict[str, Any]:
    """One event as posthog-js sends it: token and distinct id inside the properties."""
    return {
        "event": "$snapshot",
        "uuid": str(uuid4()),
        "timestamp": "2026-11-21T10:00:00Z",
        "properties": {
            "token": team.api_token,
            "distinct_id": "ann",
            "$session_id": SESSION,
            "$window_id": WINDOW,
            "$snapshot_source": "web",
            "$snapshot_bytes": 60,
            "$snapshot_data": items,
            "$lib": "web",
        }
        | properties,
    }


def stored(team: Team, session_id: str = SESSION) -> list[Any]:
    outbox_drain()
    return list(session_snapshots(team_id=team.id, session_id=session_id))


def warnings() -> list[tuple[str, dict[str, Any]]]:
    return [(row["type"], orjson.loads(row["details"])) for row in rows("ingestion_warnings")]


@pytest.mark.usefixtures("clickhouse")
class TestStored:
    """What arrives is there, whichever way it came."""

    @pytest.mark.parametrize("shape", ["array", "single", "batch"])
    @pytest.mark.parametrize("wrapped", ["plain", "gzip", "gzip header", "base64 form", "text"])
    def test_every_form_of_body(self, team: Team, shape: str, wrapped: str) -> None:
        event = snapshot(team)
        document = {"array": [event], "single": event, "batch": batch_of(team, event, sent_at="2026-11-21T10:00:01Z")}
        body = orjson.dumps(document[shape])
        if wrapped == "gzip":
            answer = post("/s/?compression=gzip-js&ver=1.430.0", gzip.compress(body), content_type="text/plain")
        elif wrapped == "gzip header":
            answer = post("/s", gzip.compress(body), HTTP_CONTENT_ENCODING="gzip")
        elif wrapped == "base64 form":
            form = b"data=" + base64.b64encode(body).replace(b"+", b"%2B")
            answer = post("/s/", form, content_type="application/x-www-form-urlencoded")
        else:
            answer = post("/s/", body, content_type="text/plain" if wrapped == "text" else "application/json")
        assert_accepted(answer)
        assert stored(team) == SNAPSHOTS

    def test_the_row_says_what_the_block_holds(self, team: Team) -> None:
        assert_accepted(post("/s/", [snapshot(team)]))
        (row,) = rows("session_recordings")
        created = datetime.fromisoformat(row.pop("created_at")).replace(tzinfo=UTC)
        assert abs((datetime.now(UTC) - created).total_seconds()) < 60
        assert row.pop("uuid")
        assert row == {
            "team_id": team.id,
            "session_id": SESSION,
            "window_id": WINDOW,
            "distinct_id": "ann",
            "generation": 0,
            "source": "web",
            "first_timestamp": "2025-10-09 08:53:20.000000",
            "last_timestamp": "2025-10-09 08:53:23.000000",
            "event_count": 5,
            "click_count": 1,
            "keypress_count": 1,
            "size": sum(len(orjson.dumps(item)) + 1 for item in SNAPSHOTS),
            "blob_key": "",
        }
        outbox_drain()
        (session,) = sessions_of(team_id=team.id, ids=[("ann", 0)])
        assert (session.session_id, session.distinct_ids, session.event_count, session.blocks) == (
            SESSION,
            ("ann",),
            5,
            1,
        )
        assert sessions_of(team_id=team.id, ids=[("ann", 1), ("bob", 0)]) == []

    def test_older_names_and_single_snapshots(self, team: Team) -> None:
        assert_accepted(post("/s/", [snapshot(team, META), snapshot(team, None, **{"$snapshot_items": [FULL]})]))
        assert_accepted(post("/s/", [{**snapshot(team, [CLICK]), "event": "$snapshot_items"}]))
        assert stored(team) == [META, FULL, CLICK]

    def test_events_of_one_window_are_one_block_and_others_are_not(self, team: Team) -> None:
        events = [
            snapshot(team, [META]),
            snapshot(team, [FULL]),
            snapshot(team, [MOVE], **{"$window_id": "other"}),
            snapshot(team, [CLICK], distinct_id="bob"),
            snapshot(team, [TYPED], **{"$session_id": "other"}),
        ]
        assert_accepted(post("/s/", events))
        found = [(row["session_id"], row["window_id"], row["distinct_id"], row["event_count"])
                 for row in rows("session_recordings")]  # fmt: skip
        assert found == [
            (SESSION, WINDOW, "ann", 2),
            (SESSION, "other", "ann", 1),
            (SESSION, WINDOW, "bob", 1),
            ("other", WINDOW, "ann", 1),
        ]
        assert stored(team) == [META, FULL, MOVE, CLICK]

    def test_a_request_sent_again_is_stored_once(self, team: Team) -> None:
        events = [snapshot(team)]
        for _ in range(3):
            assert_accepted(post("/s/?retry_count=1", events))
        assert stored(team) == SNAPSHOTS
        assert sessions_of(team_id=team.id, ids=[("ann", 0)])[0].event_count == 5

    def test_a_long_request_is_cut_into_blocks(self, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(blocks, "MAX_BLOCK_BYTES", 200)
        items = [{"type": 3, "timestamp": START + n, "data": {"n": n}} for n in range(20)]
        assert_accepted(post("/s/", [snapshot(team, items)]))
        sizes = [row["size"] for row in rows("session_recordings")]
        assert len(sizes) > 4
        assert max(sizes) <= 250
        assert stored(team) == items

    def test_megabytes_of_snapshots(self, team: Team) -> None:
        items = [{"type": 2, "timestamp": START + n, "data": "x" * 1_000_000 + '"\\☃'} for n in range(7)]
        body = gzip.compress(orjson.dumps([snapshot(team, items)]))
        assert_accepted(post("/s/", body, content_type="text/plain"))
        assert stored(team) == items
        assert len(blocks_of_session(team_id=team.id, session_id=SESSION)) == 2

    def test_a_huge_page_of_nothing_but_quotes(self, team: Team) -> None:
        items = [{"type": 2, "timestamp": START, "data": '"' * 9_000_000}]
        assert_accepted(post("/s/", gzip.compress(orjson.dumps([snapshot(team, items)])), content_type="text/plain"))
        assert stored(team) == items

    def test_odd_times_fall_back_to_the_clock(self, team: Team) -> None:
        odd = [{"type": 3, "timestamp": value} for value in ("x", None, True, 1e300, -1e18)] + [{"type": 3}]
        assert_accepted(post("/s/", [snapshot(team, odd)]))
        (row,) = rows("session_recordings")
        first = datetime.fromisoformat(row["first_timestamp"]).replace(tzinfo=UTC)
        assert abs((datetime.now(UTC) - first).total_seconds()) < 60
        assert stored(team) == odd

    def test_other_projects_see_nothing(self, team: Team) -> None:
        other = make_team()
        assert_accepted(post("/s/", [snapshot(team, [META])]))
        assert_accepted(post("/s/", [snapshot(other, [FULL])]))
        assert stored(team) == [META]
        assert stored(other) == [FULL]

    def test_a_recording_makes_no_person_and_belongs_to_the_life_of_its_id(self, team: Team) -> None:
        assert_accepted(post("/s/", [snapshot(team, [META])]))
        assert not Person.unscoped.exists()
        assert_accepted(post("/e/", {"event": "a", "distinct_id": "ann", "token": team.api_token}))
        assert_accepted(post("/s/", [snapshot(team, [FULL])]))
        person = Person.unscoped.get()
        assert make_api(team).send("DELETE", f"/{person.id}/").status_code == 204
        assert_accepted(post("/s/", [snapshot(team, [CLICK])]))
        assert_accepted(post("/e/", {"event": "a", "distinct_id": "ann", "token": team.api_token}))
        assert_accepted(post("/s/", [snapshot(team, [TYPED])]))
        assert [row["generation"] for row in rows("session_recordings")] == [0, 0, 1, 1]


@pytest.mark.usefixtures("clickhouse")
@pytest.mark.django_db(transaction=True)
def test_two_senders_at_once() -> None:
    team = make_team()
    assert_accepted(post("/e/", {"event": "a", "distinct_id": "ann", "token": team.api_token}))

    def send(number: int) -> int:
        try:
            items = [{"type": 3, "timestamp": START + number * 100 + n} for n in range(10)]
            return int(post("/s/", [snapshot(team, items, **{"$window_id": f"w{number % 2}"})]).status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(send, range(20))) == {200}
    found = stored(team)
    assert sorted(item["timestamp"] for item in found) == [START + n * 100 + k for n in range(20) for k in range(10)]


@pytest.mark.usefixtures("clickhouse")
@pytest.mark.django_db(transaction=True)
def test_a_deletion_waits_for_a_recording_of_the_same_life() -> None:
    team = make_team()
    assert_accepted(post("/e/", {"event": "a", "distinct_id": "ann", "token": team.api_token}))
    api, person = make_api(team), Person.unscoped.get()
    deleted = threading.Event()

    def delete() -> None:
        assert api.send("DELETE", f"/{person.id}/?delete_recordings=true").status_code == 204
        deleted.set()
        connection.close()

    thread = threading.Thread(target=delete)
    with transaction.atomic():
        generations, clock = generations_lock(team_id=team.id, distinct_ids=["ann", "nobody"])
        assert generations == {"ann": 0, "nobody": 0}
        thread.start()
        assert not deleted.wait(0.5)
    thread.join()
    assert deleted.is_set()
    assert DeletionRequest.objects.for_team(team.id).get().requested_at > clock
    with transaction.atomic():
        assert generations_lock(team_id=team.id, distinct_ids=["ann"])[0] == {"ann": 1}


@pytest.mark.django_db
class TestRefused:
    """What cannot be stored is refused as everywhere in v0, or dropped and told."""

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b"", 400),
            (b"{", 400),
            (b"[]", 400),
            (b'"text"', 400),
            (b'{"batch": {}, "api_key": "x"}', 400),
            (b'[{"event": "$snapshot"}]', 401),
            (b'[{"event": "$snapshot", "token": "phc_nobody", "distinct_id": "a"}]', 401),
            (b'[{"event": "$snapshot", "token": "phx_personal", "distinct_id": "a"}]', 401),
            (b"\x1f\x8b\x08broken", 400),
        ],
    )
    def test_bad_requests(self, body: bytes, status: int) -> None:
        answer = post("/s/", body, HTTP_ORIGIN="https://shop.example")
        assert answer.status_code == status
        assert set(answer.json()) == {"type", "code", "detail", "attr"}
        assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.example"

    @pytest.mark.parametrize(
        "broken",
        [
            {"event": "", "uuid": None},
            {"uuid": "no uuid"},
            {"properties": []},
            {"properties": {"$session_id": "s", "$snapshot_data": [META]}},
        ],
    )
    def test_one_bad_event_refuses_all(self, team: Team, broken: dict[str, Any]) -> None:
        events = [snapshot(team), {**snapshot(team), "token": team.api_token, **broken}]
        assert post("/s/", events).status_code == 400
        assert rows("session_recordings") == []

    @pytest.mark.parametrize(
        ("properties", "kind"),
        [
            ({"$session_id": None}, "replay_session_id_invalid"),
            ({"$session_id": 7}, "replay_session_id_invalid"),
            ({"$session_id": ""}, "replay_session_id_invalid"),
            ({"$session_id": "a" * 71}, "replay_session_id_invalid"),
            ({"$session_id": "../../etc"}, "replay_session_id_invalid"),
            ({"$session_id": "é"}, "replay_session_id_invalid"),
            ({"$session_id": "-"}, "replay_session_id_invalid"),
            ({"$snapshot_data": None}, "replay_snapshot_data_invalid"),
            ({"$snapshot_data": []}, "replay_snapshot_data_invalid"),
            ({"$snapshot_data": "text"}, "replay_snapshot_data_invalid"),
            ({"$snapshot_data": [META, 3]}, "replay_snapshot_data_invalid"),
        ],
    )
    def test_unusable_snapshots_are_dropped_with_a_warning(
        self, team: Team, properties: dict[str, Any], kind: str
    ) -> None:
        bad, good = snapshot(team, **properties), snapshot(team)
        assert_accepted(post("/s/", [bad, good]))
        assert [(name, details["eventUuid"]) for name, details in warnings()] == [(kind, bad["uuid"])]
        assert len(rows("session_recordings")) == 1

    def test_other_events_are_no_snapshots(self, team: Team) -> None:
        assert_accepted(post("/s/", [{"event": "click", "distinct_id": "a", "token": team.api_token}]))
        assert [name for name, _ in warnings()] == ["replay_event_is_no_snapshot"]
        assert rows("events") == rows("session_recordings") == []

    def test_a_snapshot_that_is_too_large_is_dropped(self, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(intake, "MAX_ITEM_BYTES", 1000)
        huge = {"type": 2, "data": "x" * 1000}
        assert_accepted(post("/s/", [snapshot(team, [META, huge, CLICK]), snapshot(team, [huge])]))
        assert [(name, details["dropped"]) for name, details in warnings()] == [("replay_message_too_large", 1)] * 2
        assert [row["event_count"] for row in rows("session_recordings")] == [2]

    def test_the_size_limits(self, team: Team, settings: Any) -> None:
        assert post("/s/", b" " * (25 * 1024 * 1024 + 1)).status_code == 413
        settings.CAPTURE_MAX_DECOMPRESSED_BYTES = 10_000
        body = gzip.compress(orjson.dumps([snapshot(team, [{"data": "x" * 20_000}])]))
        assert post("/s/", body, content_type="text/plain").status_code == 413

    def test_methods(self) -> None:
        assert Client().options("/s/").status_code == 200
        assert Client().put("/s/").status_code == 405


class TestRemoteConfig:
    """Browsers record when their project has opted in."""

    @pytest.mark.parametrize("path", ["/array/{}/config", "/array/{}/config.js", "/decide/?v=3&token={}"])
    def test_only_after_opting_in(self, team: Team, path: str) -> None:
        url = path.format(team.api_token)
        assert b'"sessionRecording":false' in Client().get(url).content
        team.settings = {
            "session_recording_opt_in": True,
            "session_recording_sample_rate": "0.50",
            "session_recording_masking_config": {"maskAllInputs": True},
            "session_recording_linked_flag": {"id": 1, "key": "record", "variant": "a"},
        }
        team.save()
        expected = {
            "endpoint": "/s/",
            "consoleLogRecordingEnabled": True,
            "recorderVersion": "v2",
            "sampleRate": "0.50",
            "minimumDurationMilliseconds": None,
            "linkedFlag": {"flag": "record", "variant": "a"},
            "networkPayloadCapture": None,
            "masking": {"maskAllInputs": True},
            "urlTriggers": [],
            "urlBlocklist": [],
            "eventTriggers": [],
            "triggerMatchType": None,
            "scriptConfig": None,
        }
        assert b'"sessionRecording":' + orjson.dumps(expected) in Client().get(url).content

    @pytest.mark.parametrize(("rate", "told"), [("1.00", None), (1, None), ("0.1", "0.1"), ("x", None), (None, None)])
    def test_the_sample_rate(self, team: Team, rate: Any, told: Any) -> None:
        team.settings = {"session_recording_opt_in": True, "session_recording_sample_rate": rate}
        team.save()
        found = Client().get(f"/array/{team.api_token}/config").json()["sessionRecording"]
        assert (found["sampleRate"], found["linkedFlag"]) == (told, None)
