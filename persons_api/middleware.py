"""Around every request: its id, its log line and metrics, sessions only where there are some, JSON errors."""

import re
import time
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from typing import cast
from uuid import uuid4

import structlog
from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware

from core.api.errors import error_response
from persons_api import metrics
from persons_api.logging import AccessLog

type GetResponse = Callable[[HttpRequest], HttpResponseBase]

_GROUP = re.compile(r"\(\?P<(\w+)>(?:[^()]|\([^()]*\))*\)")
_SAFE_ID = re.compile(r"^[A-Za-z0-9._:-]{1,100}$")
# A 304 would tell the length of the answer that is not sent.
_WITHOUT_LENGTH = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
ADMIN_PATH = "/admin"
# django-unfold brings Alpine, whose expressions are compiled in the page, and scripts inside its templates.
ADMIN_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_PAGES_WITH_SESSION = ("/login", "/logout", ADMIN_PATH)


@lru_cache(maxsize=4096)
def route_label(pattern: str) -> str:
    """Return a readable form of a URL pattern, the only path that metrics and logs contain."""
    text = _GROUP.sub(lambda match: "{" + match.group(1) + "}", pattern)
    text = re.sub(r"\\Z|\$|\^|\?:|/\?", "", text).replace("\\.", ".")
    return "/" + text.strip("/")


def label_of(request: HttpRequest) -> str:
    """Return the label of the route that answered."""
    match = request.resolver_match
    if match is None and request.path_info.startswith(settings.STATIC_URL):
        return settings.STATIC_URL
    return route_label(match.route) if match is not None and match.route else "unmatched"


class RequestContextMiddleware:
    """Gives each request an id, one log line and its metrics; no view's exception gets past it."""

    def __init__(self, get_response: GetResponse) -> None:
        """Keep the next layer, and how access is logged."""
        self.get_response = get_response
        self.access_log = AccessLog(level=settings.LOG_LEVEL, as_json=settings.LOG_JSON)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Serve, then tell. Paths and query strings are never told: they can hold secrets and personal data."""
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        request_id = given if _SAFE_ID.match(given) else uuid4().hex
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        begin = time.perf_counter()
        response = self.get_response(request)
        seconds = time.perf_counter() - begin
        if not response.streaming and response.status_code not in _WITHOUT_LENGTH:
            response["Content-Length"] = str(len(response.content))  # type: ignore[attr-defined]  # not streaming
        headers = response.headers
        headers["X-Request-ID"] = request_id
        headers["X-Content-Type-Options"] = "nosniff"
        headers["X-Frame-Options"] = "DENY"
        headers["Referrer-Policy"] = "same-origin"
        if request.path_info.startswith(ADMIN_PATH):
            headers["Content-Security-Policy"] = ADMIN_POLICY
        label = label_of(request)
        method = request.method or ""
        metrics.observe(label, method, response.status_code, seconds)
        known = method if method in metrics.KNOWN_METHODS else "other"
        milliseconds = round(seconds * 1000, 2)
        self.access_log.write(
            method=known, route=label, status=response.status_code, ms=milliseconds, request_id=request_id
        )
        return response

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse:
        """Answer what a view let through; never Django's page, even with DEBUG on."""
        return error_response(error, request)


class LazySessionMiddleware:
    """Sessions, login and messages for browsers; requests without a session cookie skip all of it."""

    def __init__(self, get_response: GetResponse) -> None:
        """Build Django's own chain once."""
        self.get_response = get_response
        inner = MessageMiddleware(get_response)
        self.csrf = CsrfViewMiddleware(inner)
        self.with_session = SessionMiddleware(self._with_csrf_cookie)
        self.with_user = AuthenticationMiddleware(self.csrf)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Take the short way unless there is a session or a page that starts one."""
        if settings.SESSION_COOKIE_NAME in request.COOKIES or request.path_info.startswith(_PAGES_WITH_SESSION):
            return cast("HttpResponseBase", self.with_session(request))
        return self.get_response(request)

    def _with_csrf_cookie(self, request: HttpRequest) -> HttpResponseBase:
        return cast("HttpResponseBase", self.with_user(request))
