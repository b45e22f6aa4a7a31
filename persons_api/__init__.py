"""The Django project. Importing it makes its Celery application the current one, so that any process can nudge."""

from persons_api.celery import app as celery_app

__all__ = ["celery_app"]
