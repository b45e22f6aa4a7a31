"""The Celery application: nothing but nudges travels through Redis, the truth is in Postgres."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "persons_api.settings")

app = Celery("persons_api")
app.config_from_object("tasks.schedule")
app.autodiscover_tasks(["tasks"], related_name="outbox", force=False)
