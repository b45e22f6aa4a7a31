"""The WSGI application that granian serves."""

import io
import os
from collections.abc import Callable, Iterable
from typing import Any, Final

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from core.api.leaving import CLIENT_SOCKETS, LEAVE_PLACE, pause_of_place
from persons_api import celery_app
from persons_api.clients import ClientSockets
from persons_api.places import HeldPlace, Place, Places, leave_connections_alone

MAX_BODY_BYTES: Final = 28 * 1024 * 1024
"""More than any path takes: a longer body is left unread, and refused for its length."""
CHUNK_BYTES: Final = 256 * 1024

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "persons_api.settings")
_django = get_wsgi_application()
leave_connections_alone()
# Loaded now, else the first request that nudges the worker would wait seconds for these imports.
warm = (get_resolver().url_patterns, celery_app.amqp.producer_pool)
_places = Places(settings.WEB_REQUESTS_AT_ONCE)


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
    clients = ClientSockets(environ)
    environ[CLIENT_SOCKETS] = clients.copies
    if environ.get("REQUEST_METHOD") == "POST" and "/query" in str(environ.get("PATH_INFO")):
        clients.look()
    place = Place(_places)
    environ[LEAVE_PLACE] = place.leave
    pause_of_place.set(place.paused)
    held = False
    try:
        response = _django(environ, start_response)
        held = getattr(response, "streaming", False) and not place.left
        return HeldPlace(response, place) if held else response
    finally:
        clients.close()
        if not held:
            place.leave()
