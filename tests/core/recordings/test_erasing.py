from typing import Any
from uuid import uuid4

import pytest

from core.capture import recordings
from core.deletions.job import deletions_run
from core.deletions.models import DeletionRequest
from core.outbox.services import outbox_drain
from core.persons.models import Person
from core.projects.deleting import projects_delete
from core.recordings import storage
from core.recordings.queries import session_snapshots
from events.recordings import sessions_of
from tests.core.capture.helpers import assert_accepted, post
from tests.core.capture.test_recordings import SESSION, SNAPSHOTS, snapshot
from tests.core.persons.conftest import make_api
from tests.core.recordings.conftest import BUCKET
from tests.factories import make_team

pytestmark = [pytest.mark.usefixtures("clickhouse"), pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("kept_in", ["s3", "clickhouse"])
def test_what_was_asked_for_is_gone_from_every_place_and_the_rest_is_there(
    s3: Any, settings: Any, kept_in: str
) -> None:
    settings.RECORDINGS_STORAGE = kept_in
    team = make_team()
    api = make_api(team)
    for who in ("ann", "bob"):
        assert_accepted(post("/e/", {"event": "a", "distinct_id": who, "token": team.api_token}))
        assert_accepted(post("/s/", [snapshot(team, distinct_id=who, **{"$session_id": f"{SESSION}-{who}"})]))
    ann = Person.unscoped.get(distinct_id_rows__distinct_id="ann")
    assert api.send("POST", f"/{ann.id}/delete_recordings/").status_code == 200
    assert_accepted(post("/s/", [snapshot(team, **{"$session_id": f"{SESSION}-later"})]))
    outbox_drain()
    assert len(sessions_of(team_id=team.id, ids=[("ann", 0)])) == 2
    deletions_run(blobs=storage)
    assert DeletionRequest.objects.for_team(team.id).get().verified_at is not None
    left = [session.session_id for session in sessions_of(team_id=team.id, ids=[("ann", 0), ("bob", 0)])]
    assert sorted(left) == [f"{SESSION}-bob", f"{SESSION}-later"]
    for session_id in left:
        assert list(session_snapshots(team_id=team.id, session_id=session_id)) == SNAPSHOTS
    objects = [found["Key"].split("/")[2] for found in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]
    assert sorted(objects) == (sorted(left) if kept_in == "s3" else [])
    assert storage.blobs_of_session(team_id=team.id, session_id=f"{SESSION}-ann") == []


@pytest.mark.parametrize("kept_in", ["s3", "clickhouse"])
def test_a_deleted_project_leaves_no_blobs_behind(s3: Any, settings: Any, kept_in: str) -> None:
    settings.RECORDINGS_STORAGE = kept_in
    gone, stays = make_team(), make_team()
    for team in (gone, stays):
        assert_accepted(post("/s/", [snapshot(team)]))
        # An upload whose request failed afterwards: no row points at it.
        storage.blob_put(storage.blob_key(team_id=team.id, session_id="lost", uuid=uuid4()), b"{}")
    projects_delete(organization_id=gone.organization_id, team_ids=[gone.id], user_id=None)
    deletions_run(blobs=storage)
    request = DeletionRequest.objects.for_team(gone.id).get()
    assert request.verified_at is not None, request.last_error
    expected = 2 if kept_in == "s3" else 1
    assert request.receipt["tables"]["s3.recordings"] == {"found": expected, "removed": expected, "remaining": 0}
    assert list(storage.blobs_of_team(gone.id)) == []
    assert len(list(storage.blobs_of_team(stays.id))) == expected
    assert list(session_snapshots(team_id=stays.id, session_id=SESSION)) == SNAPSHOTS


def test_blobs_of_a_request_that_came_too_late_are_taken_back(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    team = make_team()
    put = recordings.blobs_put

    def late(**arguments: Any) -> Any:
        projects_delete(organization_id=team.organization_id, team_ids=[team.id], user_id=None)
        deletions_run(blobs=storage)
        return put(**arguments)

    monkeypatch.setattr(recordings, "blobs_put", late)
    assert post("/s/", [snapshot(team)]).status_code == 401
    assert list(storage.blobs_of_team(team.id)) == []
