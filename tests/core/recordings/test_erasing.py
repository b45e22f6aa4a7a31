from typing import Any

import pytest

from core.deletions.job import deletions_run
from core.deletions.models import DeletionRequest
from core.outbox.services import outbox_drain
from core.persons.models import Person
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
