"""Demo projects: marked from the moment they are made until the worker has told their story, once."""

from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings

from core.capture import demo, demo_projects
from core.capture.demo_projects import demo_generate
from core.capture.importer import ImportStoppedError
from core.outbox.services import outbox_drain
from core.persons.models import Person
from core.tenancy.models import Team
from tasks import demo as job
from tests.core.conftest import Cast
from tests.core.http import parsed
from tests.core.projects.helpers import PREFIXES

pytestmark = pytest.mark.usefixtures("clickhouse")

PERSONS = 40


def make(cast: Cast, **fields: Any) -> int:
    return int(parsed(cast.as_owner()("POST", "/api/projects/", {"is_demo": True, **fields}))["id"])


def is_generating(cast: Cast, team_id: int) -> bool:
    answers = [parsed(cast.as_owner().get(f"{prefix}/{team_id}/is_generating_demo_data/")) for prefix in PREFIXES]
    assert answers.count(answers[0]) == len(PREFIXES)
    assert set(answers[0]) == {"is_generating_demo_data"}
    return bool(answers[0]["is_generating_demo_data"])


def events_of(clickhouse: ModuleType, team_id: int) -> tuple[int, int]:
    outbox_drain()
    found: tuple[int, int] = clickhouse.query(
        "SELECT count(), uniqExact(uuid) FROM events WHERE team_id = {id:Int64}", {"id": team_id}
    ).rows[0]
    return found


def test_demo_project_is_filled_and_then_says_so(cast: Cast, clickhouse: ModuleType) -> None:
    team_id = make(cast)
    assert is_generating(cast, team_id)
    assert not is_generating(cast, cast.team.pk)
    assert demo_generate(persons=PERSONS) == 1
    assert not is_generating(cast, team_id)
    assert Person.unscoped.filter(team_id=team_id).count() == PERSONS
    assert not Person.unscoped.exclude(team_id=team_id).exists()
    stored, different = events_of(clickhouse, team_id)
    assert stored == different > 5 * PERSONS
    assert parsed(cast.as_owner().get(f"/api/projects/{team_id}/"))["ingested_event"] is True
    assert demo_generate(persons=PERSONS) == 0


def test_plain_projects_and_later_changes_bring_no_data(cast: Cast) -> None:
    assert not is_generating(cast, make(cast, is_demo=False))
    answer = parsed(cast.as_owner()("PATCH", f"/api/projects/{cast.team.pk}/", {"is_demo": True}))
    assert answer["is_demo"] is True
    assert not is_generating(cast, cast.team.pk)
    assert demo_generate() == 0


def test_story_that_broke_off_is_told_again_without_doubles(
    cast: Cast, clickhouse: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    team_id = make(cast)
    ingest, calls = demo.events_ingest, 0

    def dies_later(**arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise SystemExit
        return ingest(**arguments)

    monkeypatch.setattr(demo, "BATCH_SIZE", 100)
    monkeypatch.setattr(demo, "events_ingest", dies_later)
    with pytest.raises(SystemExit):
        demo_generate(persons=PERSONS)
    assert is_generating(cast, team_id)
    assert events_of(clickhouse, team_id)[0] == 100
    assert demo_generate(persons=PERSONS) == 1
    stored, different = events_of(clickhouse, team_id)
    assert stored == different > 5 * PERSONS
    assert Person.unscoped.filter(team_id=team_id).count() == PERSONS


def test_store_that_is_away_leaves_the_project_waiting(cast: Cast) -> None:
    team_id = make(cast)
    with override_settings(CLICKHOUSE_URL="http://127.0.0.1:1/none"):
        with pytest.raises(ImportStoppedError):
            demo_generate(persons=PERSONS)
        job.demo_generate()
    assert is_generating(cast, team_id)
    assert demo_generate(persons=PERSONS) == 1
    assert not is_generating(cast, team_id)


def test_story_that_fails_ends_the_waiting_and_hinders_no_other(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = make(cast), make(cast)
    load = demo.demo_load

    def fails_once(**arguments: Any) -> Any:
        if arguments["team"].id == bad:
            raise ValueError
        return load(**arguments)

    monkeypatch.setattr(demo_projects, "demo_load", fails_once)
    assert demo_generate(persons=PERSONS) == 1
    assert not is_generating(cast, bad)
    assert not is_generating(cast, good)
    assert set(Person.unscoped.values_list("team_id", flat=True)) == {good}


def test_deleted_project_is_not_filled(cast: Cast) -> None:
    team_id = make(cast)
    assert cast.as_owner()("DELETE", f"/api/projects/{team_id}/").status_code == 204
    assert demo_generate(persons=PERSONS) == 0
    assert not Person.unscoped.filter(team_id=team_id).exists()


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_fill_it_once(cast: Cast, clickhouse: ModuleType) -> None:
    team_id = make(cast)

    def work(_: int) -> int:
        try:
            return demo_generate(persons=PERSONS)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(work, range(2))) == [0, 1]
    stored, different = events_of(clickhouse, team_id)
    assert stored == different
    assert Team.objects.get(pk=team_id).is_generating_demo_data is False
