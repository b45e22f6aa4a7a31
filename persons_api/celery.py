"""The Celery application: nothing but nudges travels through Redis, the truth is in Postgres."""

import os
from pathlib import Path

from celery import Celery
from celery.signals import worker_ready

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "persons_api.settings")

TASK_MODULES = (
    "tasks.cohorts",
    "tasks.deletions",
    "tasks.demo",
    "tasks.idempotency",
    "tasks.outbox",
    "tasks.plugins",
    "tasks.query",
)

app = Celery("persons_api", include=TASK_MODULES)
app.config_from_object("tasks.schedule")


@worker_ready.connect
def drain_what_waited(**_: object) -> None:
    """Carry what was committed while no worker ran, and say that this one works now."""
    app.send_task("tasks.outbox.outbox_drain", ignore_result=True)
    marker = os.environ.get("PERSONS_API_WORKER_READY_FILE")
    if marker:
        Path(marker).touch()
