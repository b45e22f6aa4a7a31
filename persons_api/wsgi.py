"""The WSGI application that granian serves."""

import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from persons_api import celery_app

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "persons_api.settings")
application = get_wsgi_application()
# Loaded now, else the first request that nudges the worker would wait seconds for these imports.
warm = (get_resolver().url_patterns, celery_app.amqp.producer_pool)
