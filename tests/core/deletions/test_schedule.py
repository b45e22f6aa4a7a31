"""When the job runs: the cron line, and turns of the worker."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command

from core.deletions import job
from core.deletions.models import DeletionRequest, DeletionRun
from core.persons.models import Person
from persons_api import env
from tasks import deletions as tasks
from tests.core.deletions.conftest import Api, Store

NAME = "CLEAR_CLICKHOUSE_REMOVED_DATA_SCHEDULE_CRON"
REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("0 5 * * 0", ("0", "5", "*", "*", "0")),
        ("0 5 * * SUN", ("0", "5", "*", "*", "0")),
        ("0 5 * * 7", ("0", "5", "*", "*", "0")),
        ("*/20 1-3 1,15 jan mon-wed", ("0,20,40", "1,2,3", "1,15", "1", "1,2,3")),
    ],
)
def test_cron_lines(monkeypatch: pytest.MonkeyPatch, line: str, expected: tuple[str, ...]) -> None:
    monkeypatch.setenv(NAME, line)
    found = env.cron(NAME, "")
    assert found is not None
    assert tuple(found.values()) == expected


@pytest.mark.parametrize("line", ["", "   "])
def test_an_empty_line_switches_off(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.setenv(NAME, line)
    assert env.cron(NAME, "0 5 * * 0") is None


@pytest.mark.parametrize(
    "line",
    [
        "weekly",
        "@weekly",
        "0 5 * *",
        "0 5 * * * *",
        "60 5 * * *",
        "0 0 31 2 *",
        "0 5 * * sun#1",
        "0 5 l * *",
        "R R * * *",
        "0 5 15W * *",
    ],
)
def test_a_bad_line_is_refused(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.setenv(NAME, line)
    with pytest.raises(ImproperlyConfigured, match=f"^{NAME}: expected a cron line"):
        env.cron(NAME, "0 5 * * 0")


def beat(line: str | None) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if name != NAME}
    program = "from tasks.schedule import beat_schedule as b; print({n: str(e['schedule']) for n, e in b.items()})"
    return subprocess.run(
        [sys.executable, "-c", f"import django; django.setup(); {program}"],
        cwd=REPOSITORY,
        env={**environment, "DJANGO_SETTINGS_MODULE": "persons_api.settings"} | ({} if line is None else {NAME: line}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_clock_of_the_worker_follows_it() -> None:
    assert "'deletions-run-by-day_of_week': '<crontab: 0 5 * * 0 (m/h/dM/MY/d)>'" in beat(None).stdout
    assert "deletions" not in beat("").stdout
    both = beat("0 5 13 * 5").stdout
    assert "<crontab: 0 5 13 * * " in both
    assert "<crontab: 0 5 * * 5 " in both


def test_a_bad_line_stops_the_start_and_names_the_variable() -> None:
    ended = beat("every sunday")
    assert ended.returncode != 0
    assert f"{NAME}: expected a cron line of five fields" in ended.stderr
    assert "'every sunday'" in ended.stderr


@pytest.fixture
def asked(api: Api, capture: Callable[..., Person], store: Store) -> Api:
    capture("ann")
    api.send("POST", "/bulk_delete/", {"distinct_ids": ["ann"], "delete_events": True})
    return api


@pytest.mark.django_db
def test_a_turn_of_the_worker_carries_requests_out(asked: Api, store: Store) -> None:
    tasks.deletions_continue()
    assert DeletionRequest.unscoped.get().verified_at is None
    tasks.deletions_run()
    assert DeletionRequest.unscoped.get().verified_at is not None
    assert store.count("events") == 0


@pytest.mark.django_db
def test_a_run_takes_as_many_turns_as_it_needs(asked: Api, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "TURN_SECONDS", -1.0)
    tasks.deletions_run()
    assert DeletionRun.objects.get().finished_at is None
    monkeypatch.setattr(tasks, "TURN_SECONDS", 240.0)
    tasks.deletions_continue()
    assert DeletionRequest.unscoped.get().verified_at is not None
    assert DeletionRun.objects.filter(finished_at=None).count() == 0


@pytest.mark.django_db
def test_a_second_run_leaves_while_the_first_is_at_work(asked: Api, store: Store) -> None:
    with job.only_one():
        tasks.deletions_run()
        with pytest.raises(CommandError, match="another run is at work") as error:
            call_command("run_deletions")
    assert error.value.returncode == 3
    assert DeletionRequest.unscoped.get().verified_at is None


@pytest.mark.django_db
def test_the_command_tells_what_it_would_do_and_what_it_did(
    asked: Api, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert store.count("events") == 1
    call_command("run_deletions", "--dry-run")
    told = capsys.readouterr().out
    assert "waiting requests: 1; a run would erase" in told
    assert "events                                       1 rows" in told
    call_command("run_deletions")
    told = capsys.readouterr()
    assert "1 of 1 requests verified" in told.out
    assert ", events of " in told.out
    assert "verifying (9)" in told.err
    call_command("run_deletions")
    assert capsys.readouterr().out == "No requests wait.\n"
