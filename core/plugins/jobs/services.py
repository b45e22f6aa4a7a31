"""Jobs that somebody starts or stops through the API: a row each, which the worker finds."""

from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from core.activity.services import activity_log
from core.api.errors import Invalid, NotFound
from core.encryption.services import encrypt_json
from core.plugins.jobs.declared import STOP, WantedJob, job_read
from core.plugins.jobs.nudges import jobs_nudge
from core.plugins.logs.services import LogSource, LogType, PluginLog, logs_append
from core.plugins.models import Plugin, PluginConfig, PluginJob
from core.tenancy.holding import team_hold
from core.tenancy.statements import execute

MAX_WAITING: Final = 1_000
TOO_MANY: Final = f"This plugin config has {MAX_WAITING:,} unfinished jobs; wait for some of them to end."

_HOLD_CONFIG: Final = "SELECT id FROM core_pluginconfig WHERE id = %s AND team_id = %s FOR KEY SHARE"
# The worker that runs a job holds its row FOR KEY SHARE, which lets this update through at once.
_STOP: Final = """
UPDATE core_pluginjob SET state = 'stopped', finished_at = statement_timestamp()
WHERE id IN (SELECT id FROM core_pluginjob
             WHERE plugin_config_id = %s AND type = %s AND state IN ('queued', 'running')
             ORDER BY id FOR NO KEY UPDATE)
RETURNING id
"""


def job_start(  # noqa: PLR0913 one argument per fact of the request
    *, team_id: int, organization_id: UUID, user_id: int | None, config: PluginConfig, plugin: Plugin, job: object
) -> UUID:
    """Queue a job of a config, or stop those of its type; return the id of the row that tells of it.

    `job` is that of the body, unread. Raises Invalid, and NotFound for a config that is gone.
    """
    wanted = job_read(job, plugin.public_jobs)
    with transaction.atomic():
        team_hold(team_id)
        if not execute(_HOLD_CONFIG, [config.pk, team_id]):
            raise NotFound
        made = _stop(config, wanted, user_id) if wanted.operation == STOP else _queue(config, wanted, user_id)
        activity_log(
            team_id=team_id,
            organization_id=organization_id,
            user_id=user_id,
            scope="PluginConfig",
            activity="job_triggered",
            item_id=str(config.pk),
            detail={"name": plugin.name, "changes": [_change(wanted)]},
        )
    return made.pk


def job_line(config: PluginConfig, type_: LogType, message: str) -> PluginLog:
    """Return a line of this server about a job of a config."""
    return PluginLog(
        team_id=config.team_id,
        plugin_id=config.plugin_id,
        plugin_config_id=config.pk,
        source=LogSource.SYSTEM,
        type=type_,
        message=message,
    )


def _queue(config: PluginConfig, wanted: WantedJob, user_id: int | None) -> PluginJob:
    jobs = PluginJob.objects.for_team(config.team_id)
    unfinished = (PluginJob.State.QUEUED, PluginJob.State.RUNNING)
    if jobs.filter(plugin_config=config, state__in=unfinished).count() >= MAX_WAITING:
        raise Invalid(TOO_MANY, attr="job")
    job = jobs.create(
        team_id=config.team_id,
        plugin_config=config,
        type=wanted.type,
        operation=wanted.operation,
        encrypted_payload=encrypt_json(wanted.payload),
        # The worker compares with the clock of Postgres.
        next_attempt_at=Now(),
        created_by_id=user_id,
    )
    logs_append([job_line(config, LogType.INFO, f'Job "{job.type}" is queued ({job.pk}).')])
    transaction.on_commit(jobs_nudge)
    return job


def _stop(config: PluginConfig, wanted: WantedJob, user_id: int | None) -> PluginJob:
    stopped = len(execute(_STOP, [config.pk, wanted.type]))
    # Nothing reads the payload of a stop, so none is kept.
    job = PluginJob.objects.for_team(config.team_id).create(
        team_id=config.team_id,
        plugin_config=config,
        type=wanted.type,
        operation=wanted.operation,
        encrypted_payload=encrypt_json({}),
        state=PluginJob.State.DONE,
        started_at=Now(),
        finished_at=Now(),
        created_by_id=user_id,
    )
    told = f"{stopped} stopped" if stopped else "none was queued or running"
    logs_append([job_line(config, LogType.INFO, f'Jobs "{job.type}" were to stop: {told}.')])
    return job


def _change(wanted: WantedJob) -> dict[str, object]:
    """Return the change as PostHog logs it: the action is the job. The payload may hold secrets and is left out."""
    return {"type": "PluginConfig", "action": wanted.type, "field": None, "before": None, "after": None}
