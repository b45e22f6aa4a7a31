"""Several workers, their deaths, and requests meanwhile: on real connections, each of its own."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from django.db import connection
from django.utils import timezone

from core.plugins.jobs.working import jobs_run
from core.plugins.models import PluginJob
from core.tenancy.models import Team
from tasks.plugins import plugin_jobs_run
from tests.core.plugins.jobs.acting import PATH
from tests.core.plugins.jobs.conftest import World, due
from tests.support.at_once import at_once

pytestmark = pytest.mark.django_db(transaction=True)

REPOSITORY = Path(__file__).resolve().parents[4]
PROGRAM = """
import django
django.setup()
from core.plugins.jobs.working import jobs_run
jobs_run(seconds=60)
"""


def in_thread(call: Callable[[], Any]) -> threading.Thread:
    def run() -> None:
        try:
            call()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def database_url() -> str:
    found = connection.settings_dict
    return f"postgresql://{found['USER']}@/{found['NAME']}?host={found['HOST']}&port={found['PORT']}"


def state(job: PluginJob) -> tuple[str, int]:
    job.refresh_from_db()
    return job.state, job.attempts


def test_each_job_is_run_by_one_worker(world: World, act: Any) -> None:
    seen: Counter[int] = Counter()

    def does(payload: Any, _context: Any) -> str:
        seen[payload["count"]] += 1
        time.sleep(0.02)
        return ""

    act(does)
    jobs = [world.start(payload={"count": number}) for number in range(15)]
    at_once(*[lambda: jobs_run(seconds=30)] * 4)
    assert seen == Counter(range(15))
    assert [state(job) for job in jobs] == [("done", 1)] * 15


def test_a_job_at_work_is_passed_by_and_can_be_stopped_at_once(world: World, act: Any, lines: Any) -> None:
    begun, end = threading.Event(), threading.Event()
    calls = []

    def does(*_: Any) -> str:
        calls.append(1)
        begun.set()
        assert end.wait(120)
        return ""

    act(does)
    job = world.start()
    worker = in_thread(lambda: jobs_run(seconds=1))
    try:
        assert begun.wait(30)
        assert state(job) == ("running", 1)
        # As if it had been at work for long.
        due(job)
        assert jobs_run(seconds=1) is False
        assert state(job) == ("running", 1)
        at = time.monotonic()
        world.start(operation="stop")
        assert time.monotonic() - at < 60
        assert state(job) == ("stopped", 1)
    finally:
        end.set()
        worker.join()
    assert state(job) == ("stopped", 1)
    assert calls == [1]
    assert lines()[-1][2] == 'Job "act" ended after it was stopped; what it did until then stays done.'


def test_a_job_whose_worker_is_killed_is_taken_up_again(world: World, act: Any, lines: Any, tmp_path: Path) -> None:
    act(lambda *_: "at last")
    job = world.start("wait")
    told = tmp_path / "pid"
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=REPOSITORY,
        env={
            **os.environ,
            "DATABASE_URL": database_url(),
            "DJANGO_SETTINGS_MODULE": "persons_api.settings",
            "PLUGIN_HANDLERS": PATH,
            "PLUGIN_TEST_FILE": str(told),
        },
    )
    try:
        deadline = time.monotonic() + 180
        while not told.exists() or not told.read_text():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert state(job) == ("running", 1)
        due(job)
        assert jobs_run(seconds=1) is False
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    deadline = time.monotonic() + 60
    while state(job)[0] == "running" and time.monotonic() < deadline:
        due(job)
        jobs_run(seconds=1)
    assert state(job) == ("done", 2)
    assert [message.partition(" (")[0] for _, _, message in lines()] == [
        'Job "wait" is queued', 'Job "wait" runs, attempt 1', 'Job "wait" runs, attempt 2',
        'Job "wait" is done: at last',
    ]  # fmt: skip


def test_a_project_that_is_deleted_while_its_job_runs_gets_nothing_more(world: World, act: Any, lines: Any) -> None:
    def does(*_: Any) -> str:
        # By somebody else, and it does not wait for the job.
        at_once(lambda: Team.objects.filter(pk=world.cast.team.pk).update(deleted_at=timezone.now()))
        return "ran"

    act(does)
    job = world.start()
    assert jobs_run(seconds=5) is False
    assert state(job) == ("running", 1)
    assert "ran" not in str([message for _, _, message in lines()][2:])
    assert jobs_run(seconds=5) is False
    assert state(job) == ("running", 1)


def test_the_worker_is_told_after_the_commit_and_reads_the_queue_of_plugins(
    world: World, act: Any, valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An unread nudge that got old is followed by another, and one that failed is the last for a while.
    monkeypatch.setattr("core.outbox.services.NUDGE_LIFETIME_MS", 600_000)
    monkeypatch.setattr("core.plugins.jobs.nudges._nudger._paused_until", 0.0)
    act(lambda *_: "")
    job = world.start()
    assert valkey.llen("plugins") == 1
    world.start()
    assert valkey.llen("plugins") == 1
    plugin_jobs_run()
    assert state(job) == ("done", 1)
    world.start()
    assert valkey.llen("plugins") == 2
