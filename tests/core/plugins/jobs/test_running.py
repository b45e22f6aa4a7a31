"""What the worker does with jobs: every end that one can come to, and what the log says of it."""

import logging
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet
from django.db import IntegrityError
from django.utils import timezone

from core.encryption.services import encrypt
from core.plugins.handlers.base import ConfigRefusedError, HandlerContext, JobFailedError, RetryJobError
from core.plugins.jobs import working
from core.plugins.jobs.pruning import KEPT_DAYS, prune
from core.plugins.jobs.working import jobs_run
from core.plugins.models import PluginAttachment, PluginConfig, PluginDelivery, PluginJob
from core.tenancy.models import Team
from tests.core.plugins.jobs.acting import ActingHandler
from tests.core.plugins.jobs.conftest import World, due, raising, ran
from tests.factories import make_plugin, make_plugin_config

SECRET = "s3cret-of-the-payload"


def test_a_job_without_a_runtime_is_skipped_and_the_log_says_why(world: World, lines: Any) -> None:
    config = make_plugin_config(world.cast.team, make_plugin(world.cast.organization))
    job = ran(world.start("export", config))
    assert (job.state, job.attempts, job.last_error) == ("skipped", 1, "no runtime")
    assert job.finished_at is not None
    source, type_, message = lines()[-1]
    assert (source, type_) == ("SYSTEM", "WARN")
    assert 'Job "export" was skipped: this server runs no plugin code.' in message


def test_a_job_that_the_handler_no_longer_has_fails(world: World, lines: Any, monkeypatch: Any) -> None:
    job = world.start()
    monkeypatch.setattr(ActingHandler, "public_jobs", {"other": {}})
    assert ran(job).state == "failed"
    assert lines()[-1] == ("SYSTEM", "ERROR", 'Job "act" failed: the plugin has no such job')


@pytest.mark.parametrize("error", [JobFailedError("no such day"), ConfigRefusedError("token", "no such day")])
def test_a_job_that_can_never_succeed_fails_at_once(world: World, act: Any, lines: Any, error: Any) -> None:
    act(raising(error))
    job = ran(world.start())
    assert (job.state, job.attempts, job.last_error) == ("failed", 1, "no such day")
    assert lines()[-1] == ("SYSTEM", "ERROR", 'Job "act" failed: no such day')


def test_retries_pause_twice_as_long_each_time_and_end(world: World, act: Any, lines: Any, settings: Any) -> None:
    settings.PLUGIN_RETRY_SECONDS, settings.PLUGIN_RETRY_LONGEST_SECONDS = 1_000.0, 2_500
    settings.PLUGIN_RETRY_ATTEMPTS = 4
    act(raising(RetryJobError("busy\x00")))
    job = world.start()
    for attempt, pause in ((1, 1_000), (2, 2_000), (3, 2_500)):
        before = timezone.now()
        assert ran(job).state == "queued"
        assert (job.attempts, job.last_error, job.finished_at) == (attempt, "busy\ufffd", None)
        least, most = timedelta(seconds=0.75 * pause), timedelta(seconds=pause)
        assert before + least <= job.next_attempt_at <= timezone.now() + most
        assert ran(job).attempts == attempt, "it ran before its pause was over"
        due(job)
    assert ran(job).state == "failed"
    assert (job.attempts, job.last_error) == (4, "busy\ufffd (after 4 attempts)")
    said = [(type_, message) for _, type_, message in lines() if "failed" in message]
    assert [type_ for type_, _ in said] == ["WARN", "WARN", "WARN", "ERROR"]
    assert all("busy\ufffd" in message for _, message in said)


@pytest.mark.parametrize(("after", "expected"), [(120.0, 120), (90_000.0, 3_600), (-5.0, 0)])
def test_a_handler_says_when_to_try_again(world: World, act: Any, settings: Any, after: float, expected: float) -> None:
    settings.PLUGIN_RETRY_SECONDS = 0.5
    act(raising(RetryJobError("busy", after=after)))
    job = world.start()
    before = timezone.now()
    # With no pause at all it would run again and again within the time.
    jobs_run(seconds=0)
    job.refresh_from_db()
    assert job.attempts == 1
    assert before + timedelta(seconds=expected) <= job.next_attempt_at
    assert job.next_attempt_at <= timezone.now() + timedelta(seconds=max(expected, 0.5))


def test_a_handler_that_raises_is_tried_again_and_its_text_goes_nowhere(
    world: World, act: Any, lines: Any, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    act(raising(KeyError(SECRET)))
    with caplog.at_level(logging.DEBUG):
        job = ran(world.start(payload={"note": SECRET}))
    assert (job.state, job.last_error) == ("queued", "the handler raised KeyError")
    said = lines()
    assert said[-1][1] == "WARN"
    assert "the handler raised KeyError" in said[-1][2]
    printed = capsys.readouterr()
    written = caplog.text + printed.out + printed.err
    assert "plugin_job_raised" in written
    assert f"at={__file__.rpartition('/')[0]}/conftest.py:" in written
    assert SECRET not in written + str(said)


def test_what_a_failed_attempt_did_in_postgres_is_undone(world: World, act: Any, lines: Any) -> None:
    team = world.cast.team
    tries = []

    def does(_payload: Any, context: HandlerContext) -> str:
        assert context.redeliver(2) == 2
        tries.append(PluginDelivery.unscoped.filter(dead_at=None).count())
        if len(tries) == 1:
            raise RetryJobError("once more", after=0)
        return ""

    act(does)
    other = make_plugin_config(team, world.plugin)
    dead = [_dead_letter(world.config, number) for number in range(3)]
    theirs = _dead_letter(other, 9)
    job = world.start()
    assert ran(job).state == "queued"
    due(job)
    ran(job)
    assert (job.state, job.attempts, tries) == ("done", 2, [2, 2])
    left = set(PluginDelivery.unscoped.filter(dead_at__isnull=False).values_list("id", flat=True))
    assert left == {dead[2].id, theirs.id}
    assert lines()[-1] == ("SYSTEM", "INFO", 'Job "act" is done.')


def _dead_letter(config: PluginConfig, number: int) -> PluginDelivery:
    at = timezone.now() - timedelta(hours=5 - number / 10)
    return PluginDelivery.objects.for_team(config.team_id).create(
        team_id=config.team_id, plugin_config_id=config.id, distinct_id="p", generation=0, event_uuid=uuid4(),
        event="e", payload="{}", captured_at=at, dead_at=at, error="refused",
    )  # fmt: skip


def test_a_handler_whose_statement_fails_does_not_take_the_job_with_it(world: World, act: Any) -> None:
    def does(_payload: Any, _context: HandlerContext) -> str:
        PluginAttachment.unscoped.create(team_id=world.cast.team.id, file_size=-1)
        return "never"

    act(does)
    job = ran(world.start())
    assert (job.state, job.last_error) == ("queued", f"the handler raised {IntegrityError.__name__}")


def test_a_talkative_handler_is_cut_short(world: World, act: Any, lines: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(working, "MAX_LINES", 3)

    def does(_payload: Any, context: HandlerContext) -> str:
        for number in range(10):
            context.log("DEBUG", f"line {number}")
        return ""

    act(does)
    ran(world.start())
    said = [message for _, _, message in lines()]
    assert said[2:] == ["line 0", "line 1", "line 2", "7 further lines of the job are left out.", 'Job "act" is done.']


def test_a_config_that_no_key_reads_waits_for_the_key(world: World, act: Any, settings: Any) -> None:
    act(lambda _payload, context: context.config["token"])
    job = world.start()
    settings.ENCRYPTION_KEYS = (Fernet.generate_key().decode(),)
    token = encrypt(b'{"token": "other"}')
    readable, world.config.encrypted_config = world.config.encrypted_config, token
    world.config.save(update_fields=["encrypted_config"])
    settings.ENCRYPTION_KEYS = ()
    assert ran(job).state == "queued"
    assert "ENCRYPTION_KEYS" in job.last_error
    world.config.encrypted_config = readable
    world.config.save(update_fields=["encrypted_config"])
    due(job)
    assert ran(job).state == "done"


def test_a_job_that_is_stopped_while_it_runs_stays_stopped(world: World, act: Any, lines: Any) -> None:
    act(lambda *_: str(world.start(operation="stop").pk)[:0])
    job = world.start()
    jobs_run(seconds=5)
    job.refresh_from_db()
    assert (job.state, job.attempts) == ("stopped", 1)
    assert lines()[-1][2] == 'Job "act" ended after it was stopped; what it did until then stays done.'


def test_jobs_of_deleted_projects_are_left_alone(world: World, act: Any) -> None:
    act(lambda *_: "ran")
    job = world.start()
    Team.with_deleted.filter(pk=world.cast.team.pk).update(deleted_at=timezone.now())
    assert ran(job).state == "queued"


def test_a_job_that_never_ends_is_given_up(world: World, act: Any, lines: Any, settings: Any) -> None:
    settings.PLUGIN_RETRY_ATTEMPTS = 3
    ends = []
    act(lambda *_: ends.append(1) or "")
    job = world.start()
    PluginJob.unscoped.filter(pk=job.pk).update(state="running", attempts=3)
    due(job)
    assert ran(job).state == "failed"
    assert not ends
    assert lines()[-1][1:] == ("ERROR", 'Job "act" failed: it was begun too often without coming to an end')


class Unspeakable:
    def __str__(self) -> str:
        raise ValueError(SECRET)


def test_a_broken_job_does_not_stop_the_others(
    world: World, act: Any, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    act(lambda payload, _context: Unspeakable() if "note" in payload else "ran")
    broken, fine = world.start(payload={"note": "x"}), world.start()
    with caplog.at_level(logging.DEBUG):
        assert ran(fine).state == "done"
    broken.refresh_from_db()
    assert (broken.state, broken.attempts) == ("running", 1)
    assert broken.next_attempt_at > timezone.now()
    printed = capsys.readouterr()
    written = caplog.text + printed.out + printed.err
    assert "plugin_job_broken" in written
    assert SECRET not in written


def test_the_time_is_kept_and_the_rest_is_told_of(world: World, act: Any) -> None:
    act(lambda *_: "ran")
    for _ in range(3):
        world.start()
    assert jobs_run(seconds=0) is True
    assert PluginJob.unscoped.filter(state="done").count() == 1
    assert jobs_run(seconds=5) is False
    assert PluginJob.unscoped.filter(state="done").count() == 3


def test_old_jobs_are_forgotten_and_unfinished_ones_never(world: World) -> None:
    past, recent = timezone.now() - timedelta(days=KEPT_DAYS, hours=1), timezone.now() - timedelta(days=KEPT_DAYS - 1)
    jobs = [world.start() for _ in range(4)]
    for job, state, at in zip(jobs, ("done", "failed", "queued", "skipped"), (past, recent, past, past), strict=True):
        PluginJob.unscoped.filter(pk=job.pk).update(state=state, finished_at=at)
    assert prune() == 2
    assert set(PluginJob.unscoped.values_list("id", flat=True)) == {jobs[1].pk, jobs[2].pk}
    assert prune() == 0
