"""Celery's settings and the table of when jobs run. Messages are nudges: what is due is found in Postgres."""

from celery.schedules import crontab
from django.conf import settings

broker_url = settings.CELERY_BROKER_URL
broker_connection_retry_on_startup = True
broker_transport_options = {"visibility_timeout": 3600}
task_ignore_result = True
task_acks_late = True
task_reject_on_worker_lost = True
worker_prefetch_multiplier = 1
worker_hijack_root_logger = False
task_time_limit = 900
task_soft_time_limit = 870
timezone = "UTC"

# Receivers of strangers may be slow: what talks to them has a worker of its own, so that the outbox never waits.
# Queries in the background may take minutes, so they have one too.
task_routes = {"tasks.plugins.*": {"queue": "plugins"}, "tasks.query.*": {"queue": "queries"}}

beat_schedule = {
    "outbox-drain": {
        "task": "tasks.outbox.outbox_drain",
        "schedule": float(settings.OUTBOX_DRAIN_EVERY_SECONDS),
        "options": {"expires": settings.OUTBOX_DRAIN_EVERY_SECONDS},
    },
    "cohorts-calculate": {
        "task": "tasks.cohorts.cohorts_calculate",
        "schedule": float(settings.COHORTS_CALCULATE_EVERY_SECONDS),
        "options": {"expires": settings.COHORTS_CALCULATE_EVERY_SECONDS},
    },
    "plugins-deliver": {
        "task": "tasks.plugins.plugins_deliver",
        "schedule": float(settings.PLUGIN_WORK_EVERY_SECONDS),
        "options": {"expires": settings.PLUGIN_WORK_EVERY_SECONDS},
    },
    "plugin-jobs-run": {
        "task": "tasks.plugins.plugin_jobs_run",
        "schedule": float(settings.PLUGIN_WORK_EVERY_SECONDS),
        "options": {"expires": settings.PLUGIN_WORK_EVERY_SECONDS},
    },
    "plugin-sources-compile": {
        "task": "tasks.plugins.plugin_sources_compile",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "plugins-prune": {
        "task": "tasks.plugins.plugins_prune",
        "schedule": crontab(minute=37),
        "options": {"expires": 3600},
    },
    "demo-generate": {
        "task": "tasks.demo.demo_generate",
        "schedule": 15.0,
        "options": {"expires": 15},
    },
    "seen-events-prune": {
        "task": "tasks.outbox.seen_events_prune",
        "schedule": crontab(minute=17),
        "options": {"expires": 3600},
    },
    "idempotent-answers-prune": {
        "task": "tasks.idempotency.answers_prune",
        "schedule": crontab(minute=27),
        "options": {"expires": 3600},
    },
}

# Cron fires when either day matches, Celery when both do: two entries say what cron means.
_cron = settings.CLEAR_CLICKHOUSE_REMOVED_DATA_SCHEDULE_CRON
if _cron is not None:
    _days = [name for name in ("day_of_month", "day_of_week") if _cron[name] != "*"] or ["day_of_week"]
    _others = {name: value for name, value in _cron.items() if name not in {"day_of_month", "day_of_week"}}
    beat_schedule |= {
        f"deletions-run-by-{day}": {
            "task": "tasks.deletions.deletions_run",
            "schedule": crontab(**_others, **{day: _cron[day]}),
            "options": {"expires": 3600},
        }
        for day in _days
    }
    beat_schedule["deletions-continue"] = {
        "task": "tasks.deletions.deletions_continue",
        "schedule": 60.0,
        "options": {"expires": 60},
    }
