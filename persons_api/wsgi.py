"""The WSGI application that granian serves."""

import io
import os
from collections.abc import Callable, Iterable
from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from persons_api import celery_app
from persons_api.connections import keep_connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "persons_api.settings")
_django = get_wsgi_application()
keep_connections()
# Loaded now, else the first request that nudges the worker would wait seconds for these imports.
warm = (get_resolver().url_patterns, celery_app.amqp.producer_pool)


def measure_chunked_body(environ: dict[str, Any]) -> None:
    """Give a chunked body its length: Django takes one without for empty and would drop it silently."""
    if "HTTP_TRANSFER_ENCODING" in environ and not environ.get("CONTENT_LENGTH"):
        # One byte over the limit is enough for Django to answer 413.
        body = environ["wsgi.input"].read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
        environ["wsgi.input"] = io.BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer one request."""
    measure_chunked_body(environ)
    return _django(environ, start_response)
