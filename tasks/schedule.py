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

beat_schedule = {
    "outbox-drain": {
        "task": "tasks.outbox.outbox_drain",
        "schedule": float(settings.OUTBOX_DRAIN_EVERY_SECONDS),
        "options": {"expires": settings.OUTBOX_DRAIN_EVERY_SECONDS},
    },
    "seen-events-prune": {
        "task": "tasks.outbox.seen_events_prune",
        "schedule": crontab(minute=17),
        "options": {"expires": 3600},
    },
}
