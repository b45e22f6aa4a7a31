"""The deletion of a project killed anywhere, raced by writers, without ClickHouse: it goes whole, others stay."""

import os
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from django.db import connection, transaction

from core.capture import recordings as recordings_intake
from core.capture import v1, views
from core.cohorts import services as cohorts
from core.deletions import job
from core.deletions.models import DeletionRequest, DeletionRun
from core.folders import services as folders
from core.persons import deleting, services
from core.persons.erasing import deletions_run
from core.plugins.configs import services as configs
from core.plugins.jobs import services as jobs
from core.projects.deleting import projects_delete
from core.tenancy.models import Project, Team
from tests.core.deletions.test_projects import Street, street
from tests.faults.test_deletions import Cable, World, cable, job_busy
from tests.support.contract import CheckedClient
from tests.support.shop import rows_by_table, tables_with

__all__ = ["cable", "street"]

pytestmark = [pytest.mark.faults, pytest.mark.django_db(transaction=True), pytest.mark.timeout(900)]

STEPS = [step.__name__ for step in job.STEPS]


class Case:
    """A street whose first project is deleted, and what stood in the others."""

    def __init__(self, street: Street, client: ModuleType) -> None:
        self.street, self.client = street, client
        self.team = street.gone.team
        # Requests of persons in the other projects would change those.
        DeletionRequest.unscoped.exclude(team_id=self.team.id).delete()
        self.others = rows_by_table(client, self.team.id, others=True)
        street.delete()

    run = World.run
    start = World.start

    def assert_untouched(self) -> None:
        assert rows_by_table(self.client, self.team.id, others=True) == self.others

    def assert_done(self) -> None:
        self.assert_untouched()
        assert set(rows_by_table(self.client, self.team.id)) == {"core_activitylog"}
        assert tables_with(self.client, "qqgone") == set()
        assert not Team.with_deleted.filter(id=self.team.id).exists()
        assert not Project.objects.filter(id=self.team.id).exists()
        assert not DeletionRequest.unscoped.filter(verified_at=None).exists()
        assert not DeletionRun.objects.filter(finished_at=None).exists()
        tables = self.street.deleted(f"{self.team.id}/")["receipt"]["tables"]
        for place, counts in tables.items():
            assert counts["found"] == counts["removed"], (place, counts)
            assert counts["remaining"] == 0
        for place in ("events", "persons", "groups", "postgres.persons", "postgres.seen_events", "postgres.cohorts"):
            assert tables[place]["removed"] > 0, place
        left = self.client.query(
            "SELECT count() FROM system.mutations WHERE database = currentDatabase() AND NOT is_done"
        ).rows
        assert left == [(0,)]


@pytest.fixture
def case(street: Street, clickhouse: ModuleType) -> Case:
    return Case(street, clickhouse)


@pytest.mark.parametrize("step", STEPS)
def test_killed_before_a_step_and_run_again(case: Case, step: str) -> None:
    code, output = case.run("step", step)
    assert code == -9, output
    case.assert_untouched()
    if STEPS.index(step) <= STEPS.index("verify"):
        assert Team.with_deleted.filter(id=case.team.id).exists()
        assert not DeletionRequest.unscoped.filter(verified_at__isnull=False).exists()
    code, output = case.run()
    assert code == 0, output
    case.assert_done()


@pytest.mark.parametrize("first", [9, 23, 38, 52, 67])
def test_killed_at_any_statement_again_and_again(case: Case, first: int) -> None:
    """Each process dies some statements to either store after it began, until one comes to the end."""
    for number in range(first, 900, 41):
        code, output = case.run("statement", str(number))
        if code == 0:
            break
        assert code == -9, output
    case.assert_done()


def test_run_twice_and_several_at_once_while_events_arrive(case: Case) -> None:
    processes = [case.start() for _ in range(3)]
    while any(process.poll() is None for process in processes):
        assert case.street.gone.capture(case.street.gone.event("late")).status_code == 401
        assert case.street.second.capture(case.street.second.event("meanwhile", "meanwhile")).status_code == 200
    codes = {process.returncode: process.communicate()[0] for process in processes}
    assert set(codes) <= {0, job_busy()}, codes
    assert 0 in codes
    case.others = rows_by_table(case.client, case.team.id, others=True)
    receipt = case.street.deleted(f"{case.team.id}/")["receipt"]
    code, output = case.run()
    assert (code, "No requests wait." in output) == (0, True)
    assert case.street.deleted(f"{case.team.id}/")["receipt"] == receipt
    case.assert_done()


@pytest.mark.parametrize("cut_at", [2, 14, 30, 45, 62])
def test_clickhouse_goes_away_in_the_middle_and_comes_back(case: Case, cable: Callable[[], Cable], cut_at: int) -> None:
    through = cable()
    through.cut_at = cut_at
    url = urlsplit(os.environ["CLICKHOUSE_URL"])
    away = url._replace(netloc=f"{url.netloc.rpartition(':')[0]}:{through.port}").geturl()
    code, output = case.run(CLICKHOUSE_URL=away)
    assert code == 1, output
    case.assert_untouched()
    found = case.street.deleted(f"{case.team.id}/")
    assert (found["status"], found["attempts"]) == ("pending", 1), output
    assert found["last_error"] == "The event store is not available right now. Try again shortly."
    code, output = case.run()
    assert code == 0, output
    case.assert_done()


def delete_now(street: Street) -> None:
    projects_delete(organization_id=street.organization.id, team_ids=[street.gone.team.id], user_id=street.owner.id)


def send_v1(street: Street) -> Any:
    return CheckedClient(raise_request_exception=False).post(
        "/i/v1/analytics/events",
        {
            "created_at": "2026-11-21T10:00:00Z",
            "batch": [{
                "event": "late", "uuid": str(uuid4()), "distinct_id": "qqgone-late", "timestamp": "2026-11-21T10:00:00Z"
            }],
        },
        content_type="application/json",
        headers={
            "Authorization": f"Bearer {street.gone.team.api_token}",
            "User-Agent": "test",
            "PostHog-Sdk-Info": "test/1",
            "PostHog-Attempt": "1",
            "PostHog-Request-Id": str(uuid4()),
            "PostHog-Request-Timestamp": "2026-11-21T10:00:00Z",
        },
    )  # fmt: skip


@pytest.mark.parametrize("version", ["v0", "v1"])
def test_deleted_between_the_look_at_the_token_and_the_write(
    street: Street, clickhouse: ModuleType, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    """The request found the project, and writes after the whole erasure: it is refused and leaves nothing."""
    module: Any = views if version == "v0" else v1
    ingest = module.events_ingest

    def late(**arguments: Any) -> Any:
        delete_now(street)
        deletions_run()
        return ingest(**arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, "events_ingest", late)
        answer = street.gone.capture(street.gone.event("late")) if version == "v0" else send_v1(street)
    assert answer.status_code == 401
    assert answer.json().get("code", answer.json().get("error")) == (
        "invalid_api_key" if version == "v0" else "invalid_api_token"
    )
    assert set(rows_by_table(clickhouse, street.gone.team.id)) == {"core_activitylog"}


def test_a_write_that_was_first_is_waited_for_and_erased(street: Street, clickhouse: ModuleType) -> None:
    """The batch holds the project when the deletion comes: the deletion waits for its commit, and takes its rows."""
    written, deleted = threading.Event(), threading.Event()

    def delete() -> None:
        try:
            written.wait(120)
            delete_now(street)
            deleted.set()
        finally:
            connection.close()

    thread = threading.Thread(target=delete)
    thread.start()
    with transaction.atomic():
        assert street.gone.capture(street.gone.event("early")).status_code == 200
        written.set()
        assert not deleted.wait(1.0), "the deletion waits for the batch"
    thread.join(120)
    assert deleted.is_set()
    deletions_run()
    assert set(rows_by_table(clickhouse, street.gone.team.id)) == {"core_activitylog"}
    assert tables_with(clickhouse, "qqgone") == set()


def test_recordings_that_come_too_late_are_refused(
    street: Street, clickhouse: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = recordings_intake.blobs_put

    def late(**arguments: Any) -> Any:
        delete_now(street)
        return put(**arguments)

    snapshot = {
        "event": "$snapshot",
        "uuid": str(uuid4()),
        "properties": {
            "token": street.gone.team.api_token, "distinct_id": "qqgone-ann", "$session_id": "s-late",
            "$snapshot_data": [{"type": 4, "data": {}, "timestamp": 1_760_000_000_000}],
        },
    }  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(recordings_intake, "blobs_put", late)
        answer = CheckedClient(raise_request_exception=False).post("/s/", [snapshot], content_type="application/json")
    assert answer.status_code == 401
    deletions_run()
    assert set(rows_by_table(clickhouse, street.gone.team.id)) == {"core_activitylog"}


@pytest.mark.parametrize("call", ["update_property", "delete", "cohort", "add", "keyed", "config", "job", "folder"])
def test_api_calls_that_come_too_late_are_404_and_leave_nothing(
    street: Street, clickhouse: ModuleType, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """The permission check let the call pass, then the project was deleted and erased."""
    shop = street.gone
    person = shop.send("GET", f"/persons/?distinct_id={shop.mark}-ann").json()["results"][0]["id"]
    cohort = next(found for found in shop.send("GET", "/cohorts/").json()["results"] if found["is_static"])
    config = shop.send("GET", "/plugin_configs/").json()["results"][0]
    job = {"job": {"type": "send_test_event", "payload": {}}}
    headers = {"Idempotency-Key": "late-1"} if call == "keyed" else {}
    path = f"/cohorts/{cohort['id']}/add_persons_to_static_cohort/"
    target: Any
    target, path, body = {
        "update_property": (services, f"/persons/{person}/update_property/", {"key": "a", "value": "qqgone"}),
        "keyed": (services, f"/persons/{person}/update_property/", {"key": "a", "value": "qqgone"}),
        "delete": (deleting, "/persons/bulk_delete/", {"distinct_ids": ["qqgone-ann"]}),
        "cohort": (cohorts, "/cohorts/", {"name": "qqgone late", "is_static": True}),
        "add": (cohorts, path, {"person_ids": [person]}),
        "config": (configs, "/plugin_configs/", {"plugin": config["plugin"], "order": 3, "name": "qqgone late"}),
        "job": (jobs, f"/plugin_configs/{config['id']}/job/", job),
        "folder": (folders, "/persisted_folder/", {"type": "home", "path": "qqgone"}),
    }[call]
    held = target.team_hold

    def late(team_id: int) -> None:
        if Team.objects.filter(id=team_id).exists():
            elsewhere = threading.Thread(target=erase_elsewhere, args=(street,))
            elsewhere.start()
            elsewhere.join()
        held(team_id)

    with monkeypatch.context() as patch:
        patch.setattr(target, "team_hold", late)
        answer = shop.send("POST", path, body, **headers)
    assert (answer.status_code, answer.json()["detail"]) == (404, "Project not found."), answer.content
    assert set(rows_by_table(clickhouse, shop.team.id)) == {"core_activitylog"}
    assert tables_with(clickhouse, "qqgone") == set()


def erase_elsewhere(street: Street) -> None:
    """Delete and erase the project on a connection of its own, as another process would."""
    try:
        delete_now(street)
        deletions_run()
    finally:
        connection.close()
