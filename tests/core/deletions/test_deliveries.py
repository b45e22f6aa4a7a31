"""Events that wait for destinations of plugins, and dead letters, go with the events of their person."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, connections, transaction

from core.deletions import deliveries, job
from core.deletions.models import DeletionRequest
from core.encryption.services import encrypt_json
from core.persons.models import Person
from core.plugins.models import Plugin, PluginConfig, PluginDelivery, PluginDestination
from core.tenancy.models import Team
from tests.core.deletions.conftest import Api, nonzero, receipt_of
from tests.support.at_once import wait_for_a_lock

type Capture = Callable[..., Person]
type Run = Callable[[], list[Any]]
PLACE = "plugin_deliveries"


@pytest.fixture
def destination(team: Team) -> PluginDestination:
    return destination_of(team)


def destination_of(team: Team) -> PluginDestination:
    plugin = Plugin.objects.get(url="inline://webhook")
    config = PluginConfig.unscoped.create(
        team=team, plugin=plugin, enabled=True, order=1, encrypted_config=encrypt_json({"url": "https://example.org"})
    )
    return PluginDestination.unscoped.create(plugin_config=config, team=team)


def waits(destination: PluginDestination, who: str, **fields: Any) -> PluginDelivery:
    """Let an event wait that was captured now."""
    fields = {"captured_at": datetime.now(UTC), "generation": 0, "event": "page", "payload": "{}", **fields}
    return PluginDelivery.unscoped.create(
        team_id=destination.team_id, plugin_config_id=destination.pk, distinct_id=who, event_uuid=uuid4(), **fields
    )


def delete(api: Api, who: str, **flags: bool) -> None:
    answer = api.send("POST", "/bulk_delete/", {"distinct_ids": [who], "delete_events": True, **flags})
    assert (answer.status_code, answer.json()["persons_found"]) == (202, 1), answer.content


def left() -> list[str]:
    return sorted(PluginDelivery.unscoped.values_list("event", flat=True))


@pytest.mark.django_db
def test_what_capture_queued_goes_with_its_person(
    api: Api, capture: Capture, run: Run, destination: PluginDestination
) -> None:
    capture("ann@example.org", "identified", merge_with="anon-1", set={"email": "ann@example.org"})
    capture("anon-1", "before")
    capture("bob", "of another")
    dead = PluginDelivery.unscoped.get(event="before")
    dead.dead_at, dead.error = datetime.now(UTC), "Refused: 400"
    dead.save()
    assert left() == ["before", "identified", "of another"]
    delete(api, "anon-1")
    requests, found = job.deletions_count()
    assert (requests, found[PLACE]) == (1, 2)
    (result,) = run()
    assert left() == ["of another"]
    assert result.found[PLACE] == 2
    assert nonzero(receipt_of(api.team.id))[PLACE] == nonzero(receipt_of(api.team.id))["events"] == (2, 2, 0)


@pytest.mark.django_db
def test_only_the_lives_and_times_that_are_meant_go(
    api: Api, capture: Capture, run: Run, destination: PluginDestination
) -> None:
    capture("ann")
    PluginDelivery.unscoped.all().delete()
    future = (datetime.now(UTC) + timedelta(hours=5)).isoformat()
    waits(destination, "ann", event="meant")
    waits(destination, "ann", event="dated in the future", payload=f'{{"timestamp": "{future}"}}')
    waits(destination, "ann", event="of the next life", generation=1)
    waits(destination, "bob", event="of another")
    elsewhere = destination_of(Team.objects.create(**_team_like(api.team)))
    waits(elsewhere, "ann", event="of another team")
    delete(api, "ann")
    waits(destination, "ann", event="later", captured_at=datetime.now(UTC) + timedelta(seconds=1))
    run()
    assert left() == ["later", "of another", "of another team", "of the next life"]
    assert nonzero(receipt_of(api.team.id))[PLACE] == (2, 2, 0)


def _team_like(team: Team) -> dict[str, Any]:
    from core.tenancy.models import Project

    project = Project.objects.create(organization=team.organization, name="Second")
    return {"id": project.id, "project": project, "organization": team.organization, "name": "Second"}


@pytest.mark.django_db
def test_deleting_recordings_or_a_person_alone_leaves_them(
    api: Api, capture: Capture, run: Run, destination: PluginDestination
) -> None:
    person = capture("ann")
    assert api.send("POST", f"/{person.uuid}/delete_recordings/").json() == {"success": True}
    assert api.send("DELETE", f"/{person.uuid}/").status_code == 204
    run()
    assert left() == ["click"]
    assert PLACE not in receipt_of(api.team.id)["tables"]


@pytest.mark.django_db
def test_a_kept_person_loses_them_too(api: Api, capture: Capture, run: Run, destination: PluginDestination) -> None:
    person = capture("ann")
    assert api.send("POST", f"/{person.uuid}/delete_events/").json() == {"success": True}
    capture("ann", "after")
    run()
    assert left() == ["after"]


@pytest.mark.django_db
def test_batches_of_any_size_take_all_and_every_request_counts_its_own(
    api: Api, capture: Capture, run: Run, destination: PluginDestination, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "BATCH", 2)
    for who, count in (("ann", 5), ("bob", 4), ("carol", 1)):
        for _ in range(count):
            capture(who)
    delete(api, "ann")
    delete(api, "bob")
    (result,) = run()
    assert (left(), result.found[PLACE]) == (["click"], 9)
    counted = [request.receipt["tables"][PLACE] for request in DeletionRequest.objects.for_team(api.team.id)]
    assert sorted(tables["removed"] for tables in counted) == [4, 5]
    assert all(tables["found"] == tables["removed"] for tables in counted)


@pytest.mark.django_db
def test_a_run_that_is_killed_after_a_batch_counts_it_once(
    api: Api, capture: Capture, run: Run, destination: PluginDestination, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "BATCH", 2)
    for _ in range(5):
        capture("ann")
    delete(api, "ann")
    batches = _killed_after(1)
    with monkeypatch.context() as patch:
        patch.setattr(deliveries, "execute", batches)
        with pytest.raises(KeyboardInterrupt):
            run()
    assert PluginDelivery.unscoped.count() == 3
    run()
    assert left() == []
    assert nonzero(receipt_of(api.team.id))[PLACE] == (5, 5, 0)


def _killed_after(whole: int) -> Callable[..., Any]:
    """Return an `execute` that dies before the delete that follows so many whole batches."""
    done = 0
    real = deliveries.execute

    def execute(sql: str, *arguments: Any) -> Any:
        nonlocal done
        if sql == deliveries._DELETE:  # noqa: SLF001
            done += 1
            if done > whole:
                raise KeyboardInterrupt
        return real(sql, *arguments)  # type: ignore[arg-type]

    return execute


@pytest.mark.django_db
def test_what_is_still_there_when_counted_again_leaves_the_request_open(
    api: Api, capture: Capture, run: Run, destination: PluginDestination, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture("ann")
    delete(api, "ann")

    def missed(_: Any) -> int:
        return 0

    with monkeypatch.context() as patch:
        patch.setattr(deliveries, "deliveries_erase", missed)
        (result,) = run()
    assert (result.requests, result.verified) == (1, 0)
    request = DeletionRequest.objects.for_team(api.team.id).get()
    assert (request.attempts, request.last_error) == (1, job.STILL_THERE)
    assert request.receipt["tables"][PLACE] == {"found": 0, "removed": 0, "remaining": 1}
    (result,) = run()
    assert (result.verified, left()) == (1, [])
    assert nonzero(receipt_of(api.team.id))[PLACE] == (1, 1, 0)


@pytest.fixture
def thread() -> Iterator[Callable[[Callable[[], Any]], threading.Thread]]:
    started: list[threading.Thread] = []

    def start(call: Callable[[], Any]) -> threading.Thread:
        def work() -> None:
            try:
                call()
            finally:
                connections.close_all()

        started.append(threading.Thread(target=work))
        started[-1].start()
        return started[-1]

    yield start
    for one in started:
        one.join(120)


@pytest.mark.django_db(transaction=True)
def test_it_waits_for_a_delivery_at_work_and_counts_only_what_it_took(
    api: Api, capture: Capture, run: Run, destination: PluginDestination, thread: Callable[..., threading.Thread]
) -> None:
    """Nothing may be on its way to a receiver any more when the receipt is written."""
    for name in ("sent meanwhile", "waits"):
        capture("ann", name)
    delete(api, "ann")
    with transaction.atomic():
        PluginDestination.unscoped.select_for_update(no_key=True).get(pk=destination.pk)
        worker = thread(run)
        # Before that, the run waits for ClickHouse.
        wait_for_a_lock(seconds=60)
        assert left() == ["sent meanwhile", "waits"]
        PluginDelivery.unscoped.filter(event="sent meanwhile").delete()
    worker.join(120)
    assert left() == []
    assert nonzero(receipt_of(api.team.id))[PLACE] == (1, 1, 0)


_EVENTS = """
INSERT INTO core_plugindelivery (team_id, plugin_config_id, distinct_id, generation, event_uuid, event, payload,
    captured_at, alone, attempts, error)
SELECT coalesce(%s, -n), %s, 'person-' || n, 0, gen_random_uuid(), 'e', '{}', now(), false, 0, ''
FROM generate_series(1, %s) AS n
"""
_REQUESTS = """
INSERT INTO core_deletionrequest (team_id, kind, person_uuid, person_deleted, distinct_ids, tombstones, requested_at,
    requested_by_email, attempts, last_error, project_name)
SELECT %s, 'events', gen_random_uuid(), true, jsonb_agg(jsonb_build_object('distinct_id', 'person-' || n,
    'generation', 0, 'until', clock_timestamp(), 'deleted', true)), '[]', now(), '', 0, '', ''
FROM generate_series(1, %s) AS n
"""


@pytest.mark.django_db
def test_what_waits_is_read_once_however_many_ids_are_asked_for(api: Api, destination: PluginDestination) -> None:
    """By statistics of a time when every team had one event, a look at the team's events for each id seems cheap."""
    with connection.cursor() as cursor:
        cursor.execute(_EVENTS, [None, destination.pk, 2_000])
        cursor.execute("ANALYZE core_plugindelivery")
        cursor.execute(_EVENTS, [api.team.id, destination.pk, 100_000])
        cursor.execute(_REQUESTS, [api.team.id, 500])
        before = _rows_read(cursor)
        assert deliveries.deliveries_count(None) == 500
        # All rows, those of before included, and not once for each id.
        assert _rows_read(cursor) - before < 3 * 102_000


def _rows_read(cursor: Any) -> int:
    """Return how many rows of the queue this transaction has read so far, by whatever plan."""
    cursor.execute(
        "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'core_plugindelivery'"
    )
    return int(cursor.fetchone()[0])
