"""Runs the jobs that are due, one after the other, each at least once.

A worker first commits that a job runs, then holds the row FOR KEY SHARE for as long as it does. So others pass the
job by (they look FOR UPDATE), while a request may still mark it as stopped. When a worker dies its lock goes with
it, and the job is taken up again once the moment between the two transactions is over for sure.
"""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction

from core.api.values import json_repaired
from core.encryption.services import UnreadableError, decrypt_json
from core.plugins.deliveries.couriers import raised_at
from core.plugins.deliveries.pacing import pause_seconds
from core.plugins.deliveries.working import dead_letters_redeliver
from core.plugins.handlers.base import ConfigRefusedError, JobFailedError, PluginHandler, RetryJobError
from core.plugins.handlers.contexts import context_of
from core.plugins.handlers.registry import handler_of
from core.plugins.jobs.services import job_line
from core.plugins.logs.services import LogSource, LogType, PluginLog, logs_append
from core.plugins.models import PluginConfig, PluginJob
from core.tenancy.holding import TeamGoneError, team_hold
from core.tenancy.statements import execute

log = structlog.get_logger(__name__)

TAKEN_SECONDS: Final = 10
"""How long a job is left alone after a worker took it: far longer than until it holds the row."""
MAX_LINES: Final = 200
_LONGEST_ERROR: Final = 400

NO_RUNTIME: Final = (
    "was skipped: this server runs no plugin code. It keeps the plugin, its config and this job, and carries out only "
    "plugins that a Python handler of the server stands for (docs/plugins.md)."
)

_CLAIM: Final = """
UPDATE core_pluginjob SET state = 'running', attempts = attempts + 1,
    started_at = coalesce(started_at, statement_timestamp()),
    next_attempt_at = statement_timestamp() + %s * interval '1 second'
WHERE id = (
    SELECT job.id FROM core_pluginjob job
    WHERE job.state IN ('queued', 'running') AND job.next_attempt_at <= statement_timestamp()
      AND NOT EXISTS (SELECT FROM core_team team WHERE team.id = job.team_id AND team.deleted_at IS NOT NULL)
    ORDER BY job.next_attempt_at, job.id
    LIMIT 1 FOR UPDATE OF job SKIP LOCKED
)
RETURNING id, team_id, plugin_config_id, type, attempts
"""
_HOLD: Final = """
SELECT encrypted_payload FROM core_pluginjob WHERE id = %s AND state = 'running' AND attempts = %s FOR KEY SHARE
"""
_END: Final = """
UPDATE core_pluginjob SET state = %(state)s::text, last_error = %(error)s,
    next_attempt_at = statement_timestamp() + %(pause)s * interval '1 second',
    finished_at = CASE WHEN %(state)s::text <> 'queued' THEN statement_timestamp() END
WHERE id = %(id)s AND state = 'running'
RETURNING id
"""
_COLUMNS: Final = (
    "team_id", "plugin_id", "encrypted_config", "plugin__plugin_type", "plugin__url", "plugin__organization_id",
)  # fmt: skip


@dataclass(slots=True)
class Claim:
    """A job that this worker runs, and what it has to say so far."""

    id: UUID
    team_id: int
    plugin_config_id: int
    type: str
    attempts: int
    lines: list[PluginLog] = field(default_factory=list)
    unsaid: int = 0


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended; a job that is queued again waits for `pause` seconds."""

    state: PluginJob.State
    type: LogType
    text: str
    error: str = ""
    pause: float = 0.0


def jobs_run(*, seconds: float) -> bool:
    """Run what is due, the longest due first, until the time is up; return whether something may be left.

    A job that began is waited for. What goes wrong with one is told in its log, and the others go on; raises only
    what Postgres does when it is away.
    """
    deadline = time.monotonic() + seconds
    while (claim := _claim()) is not None:
        try:
            _run(claim)
        except TeamGoneError:
            log.info("plugin_job_dropped", job=str(claim.id))
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:  # noqa: BLE001 one job may not stop the others
            # Its row still says that it runs: it is taken up again, and given up after so many attempts.
            log.warning("plugin_job_broken", job=str(claim.id), error=type(error).__name__, at=raised_at(error))
        if time.monotonic() > deadline:
            return True
    return False


def _claim() -> Claim | None:
    while True:
        try:
            with transaction.atomic():
                rows = execute(_CLAIM, [TAKEN_SECONDS])
                if not rows:
                    return None
                claim = Claim(*rows[0])
                team_hold(claim.team_id)
                config = _config(claim)
                told = f'Job "{claim.type}" runs, attempt {claim.attempts} ({claim.id}).'
                logs_append([job_line(config, LogType.INFO, told)])
                return claim
        except TeamGoneError:
            # Committed between the reading of the statement and now: the next claim does not see its jobs.
            continue


def _run(claim: Claim) -> None:
    """Run a job and write down how it ended, together with what its handler did in Postgres."""
    with transaction.atomic():
        held = execute(_HOLD, [claim.id, claim.attempts])
        if not held:
            return
        config = _config(claim)
        ending = _attempt(claim, config, held[0][0])
        team_hold(claim.team_id)
        parameters = {"id": claim.id, "state": ending.state.value, "error": ending.error, "pause": ending.pause}
        text = f'Job "{claim.type}" {ending.text}'
        if not execute(_END, parameters):
            text = f'Job "{claim.type}" ended after it was stopped; what it did until then stays done.'
        if claim.unsaid:
            claim.lines.append(job_line(config, LogType.WARN, f"{claim.unsaid} further lines of the job are left out."))
        logs_append([*claim.lines, job_line(config, ending.type, text)])


def _attempt(claim: Claim, config: PluginConfig, payload: bytes) -> Ending:
    handler = handler_of(config.plugin)
    if handler is None:
        return Ending(PluginJob.State.SKIPPED, LogType.WARN, NO_RUNTIME, "no runtime")
    if claim.type not in handler.public_jobs:
        return _failed("the plugin has no such job")
    if claim.attempts > settings.PLUGIN_RETRY_ATTEMPTS:
        return _failed("it was begun too often without coming to an end")
    try:
        with transaction.atomic():
            told = _call(handler, claim, config, payload)
    except (JobFailedError, ConfigRefusedError) as error:
        return _failed(str(error))
    except Exception as error:  # noqa: BLE001 a handler is a stranger's code
        return _again(claim, _why(claim, error), error.after if isinstance(error, RetryJobError) else None)
    return Ending(PluginJob.State.DONE, LogType.INFO, f"is done: {told}" if told else "is done.")


def _why(claim: Claim, error: Exception) -> str:
    """Say why an attempt failed; the texts of other errors than our own may hold secrets."""
    if isinstance(error, RetryJobError | UnreadableError):
        return str(error)
    log.warning("plugin_job_raised", job=str(claim.id), error=type(error).__name__, at=raised_at(error))
    return f"the handler raised {type(error).__name__}"


def _call(handler: PluginHandler, claim: Claim, config: PluginConfig, payload: bytes) -> str:
    def say(type_: str, message: str) -> None:
        line = PluginLog(
            team_id=claim.team_id,
            plugin_id=config.plugin_id,
            plugin_config_id=config.pk,
            source=LogSource.CONSOLE,
            type=type_,
            message=message,
            timestamp=datetime.now(UTC),
        )
        if len(claim.lines) < MAX_LINES:
            claim.lines.append(line)
        else:
            claim.unsaid += 1

    def redeliver(limit: int) -> int:
        return dead_letters_redeliver(team_id=claim.team_id, plugin_config_id=config.pk, limit=limit)

    context = context_of(config, say, redeliver=redeliver)
    return handler.run_job(claim.type, decrypt_json(payload), context)


def _again(claim: Claim, why: str, after: float | None) -> Ending:
    """Queue a job again after a pause that doubles, or after a longer one that its handler asks for."""
    if claim.attempts >= settings.PLUGIN_RETRY_ATTEMPTS:
        return _failed(f"{why} (after {claim.attempts} attempts)")
    pause = pause_seconds(claim.attempts, after)
    text = f"failed and is tried again in {pause:.1f} s: {why}"
    return Ending(PluginJob.State.QUEUED, LogType.WARN, text, _error(why), pause)


def _failed(why: str) -> Ending:
    return Ending(PluginJob.State.FAILED, LogType.ERROR, f"failed: {why}", _error(why))


def _error(why: str) -> str:
    repaired: str = json_repaired(why)
    return repaired[:_LONGEST_ERROR]


def _config(claim: Claim) -> PluginConfig:
    configs = PluginConfig.objects.for_team(claim.team_id).select_related("plugin").only(*_COLUMNS)
    return configs.get(pk=claim.plugin_config_id)
