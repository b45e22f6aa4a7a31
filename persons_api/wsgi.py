"""The WSGI application that granian serves."""

import io
import os
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from persons_api import celery_app
from persons_api.connections import keep_connections

MAX_BODY_BYTES: Final = 28 * 1024 * 1024
"""More than any path takes: a longer body is left unread, and refused for its length."""
CHUNK_BYTES: Final = 256 * 1024
AT_ONCE: Final = 4
"""Requests that a process works on at a time: more would only take turns at the interpreter lock."""

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "persons_api.settings")
_django = get_wsgi_application()
keep_connections()
# Loaded now, else the first request that nudges the worker would wait seconds for these imports.
warm = (get_resolver().url_patterns, celery_app.amqp.producer_pool)
_places = threading.Semaphore(AT_ONCE)


def receive_body(environ: dict[str, Any]) -> None:
    """Read the whole body before a place is taken, so that senders who stall hold nobody up but themselves.

    A chunked body gets its length here: Django takes one without for empty and would drop it silently.
    """
    chunked = "HTTP_TRANSFER_ENCODING" in environ
    announced = environ.get("CONTENT_LENGTH") or ""
    length = int(announced) if announced.isascii() and announced.isdigit() else None
    if (length is None and not chunked) or (length is not None and not 0 < length <= MAX_BODY_BYTES):
        return
    wanted = MAX_BODY_BYTES + 1 if length is None else length
    source, body = environ["wsgi.input"], io.BytesIO()
    while body.tell() < wanted and (chunk := source.read(min(CHUNK_BYTES, wanted - body.tell()))):
        body.write(chunk)
    if length is None:
        environ["CONTENT_LENGTH"] = str(body.tell())
    body.seek(0)
    environ["wsgi.input"] = body


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer one request."""
    receive_body(environ)
    with _places:
        return _django(environ, start_response)
