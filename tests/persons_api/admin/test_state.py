"""The first page tells the truth."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from django.test import Client

from core.deletions.models import DeletionRequest, DeletionRun
from core.outbox.models import OutboxRows
from tests.core.conftest import Cast
from tests.core.http import Caller, parsed
from tests.persons_api.admin.helpers import NOW


def figures(client: Client) -> dict[tuple[str, str], str]:
    response = client.get("/admin/")
    assert response.status_code == 200
    panels = response.context["dashboard"]
    found = {(panel.title, figure.name): figure.value for panel in panels for figure in panel.figures}
    body = response.content.decode()
    assert all(value in body for value in found.values())
    return found


def test_the_depth_of_the_outbox_is_the_truth(cast: Cast, admin: Client) -> None:
    title = "Outbox to ClickHouse"
    assert figures(admin)[(title, "Entries that wait")] == "0"
    for number in range(3):
        event = {"event": "opened", "distinct_id": f"mia{number}", "properties": {"$set": {"plan": "free"}}}
        body = {"api_key": cast.team.api_token, "batch": [event]}
        assert parsed(Caller()("POST", "/batch/", body)) == {"status": 1}
    waiting = OutboxRows.objects.filter(refused_at=None)
    found = figures(admin)
    assert found[(title, "Entries that wait")] == str(waiting.count()) != "0"
    assert found[(title, "Entries refused by ClickHouse")] == "0"
    assert found[(title, "Rows that wait")] == str(sum(waiting.values_list("row_count", flat=True)))
    assert found[(title, "Oldest")].endswith("minutes")
    waiting.filter(pk=waiting.first().pk).update(refused_at=NOW)  # type: ignore[union-attr]
    found = figures(admin)
    assert found[(title, "Entries that wait")] == str(waiting.count())
    assert found[(title, "Entries refused by ClickHouse")] == "1"


def test_the_queue_of_deletions_and_the_last_run_are_told(cast: Cast, admin: Client) -> None:
    assert figures(admin)[("Deletion", "Last run")] == "none yet"
    DeletionRequest.unscoped.create(team=cast.team, kind="events", person_uuid=uuid4(), requested_at=NOW, attempts=2)
    DeletionRun.objects.create(started_at=NOW, finished_at=NOW, requests=5, verified=4, last_error="ClickHouse is away")
    found = figures(admin)
    assert (found["Deletion", "Open requests"], found["Deletion", "Not verified by a run"]) == ("1", "1")
    assert found["Deletion", "Its outcome"] == "ClickHouse is away"


def test_late_cohorts_are_told(cast: Cast, admin: Client) -> None:
    from core.cohorts.models import Cohort

    assert figures(admin)["Cohorts", "Waiting to be calculated"] == "0"
    cohort = Cohort.unscoped.create(team=cast.team, name="late", version_wanted=1, errors_calculating=1)
    Cohort.unscoped.filter(pk=cohort.pk).update(created_at=datetime.now(UTC) - timedelta(seconds=1000))
    found = figures(admin)
    assert (found["Cohorts", "Waiting to be calculated"], found["Cohorts", "Failing"]) == ("1", "1")
    # A hundred seconds, and those since the cohort was made.
    assert 100 <= int(found["Cohorts", "Overdue by"].removesuffix(" s")) < 200


def test_stores_that_are_away_are_told(admin: Client, settings: Any) -> None:
    assert {figures(admin)["Stores", name] for name in ("postgres", "redis")} == {"answers"}
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert figures(admin)["Stores", "redis"] == "away"
