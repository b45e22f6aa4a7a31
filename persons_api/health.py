"""Liveness and readiness, answered before any other middleware."""

from collections.abc import Callable
from typing import Any, Final

import psycopg
import redis
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from core.api.json import dumps
from events import client
from events.errors import EventStoreError

TIMEOUT_SECONDS: Final = 2


def _postgres() -> bool:
    parts: dict[str, Any] = settings.DATABASES["default"]
    try:
        with psycopg.connect(
            dbname=parts["NAME"],
            user=parts["USER"] or None,
            password=parts["PASSWORD"] or None,
            host=parts["HOST"] or None,
            port=parts["PORT"] or None,
            connect_timeout=TIMEOUT_SECONDS,
            options=f"-c statement_timeout={TIMEOUT_SECONDS * 1000}",
        ) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.Error:
        return False


def _redis() -> bool:
    store = redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS
    )
    try:
        return bool(store.ping())
    except redis.RedisError:
        return False
    finally:
        store.close()


def _clickhouse() -> bool:
    try:
        return client.ping(TIMEOUT_SECONDS) is not False
    except EventStoreError:
        return False


CHECKS: Final[dict[str, Callable[[], bool]]] = {"postgres": _postgres, "redis": _redis, "clickhouse": _clickhouse}
# Capture and persons work without ClickHouse (the outbox waits), so its loss must not take the web away.
ROLES: Final[dict[str, tuple[str, ...]]] = {
    "web": ("postgres", "redis"),
    "worker": ("postgres", "redis", "clickhouse"),
}


class HealthMiddleware:
    """Answers `/_livez` and `/_readyz?role=web|worker&exclude=redis`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        """Keep the next layer."""
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Look at the path first: every request passes here."""
        if request.path_info.startswith("/_"):
            path = request.path_info.rstrip("/")
            if path == "/_livez":
                return _answer(200, {"http": True})
            if path == "/_readyz":
                return readiness(request)
        return self.get_response(request)


def readiness(request: HttpRequest) -> HttpResponse:
    """Ask each store of the role; 503 says in the body which one failed."""
    role = request.GET.get("role", "web")
    names = ROLES.get(role)
    if names is None:
        return _answer(400, {"error": f"role must be one of {', '.join(sorted(ROLES))}"})
    excluded = {word for value in request.GET.getlist("exclude") for word in value.split(",")}
    results = {"http": True, **{name: CHECKS[name]() for name in names if name not in excluded}}
    return _answer(200 if all(results.values()) else 503, results)


def _answer(status: int, body: dict[str, Any]) -> HttpResponse:
    return HttpResponse(
        dumps(body), status=status, content_type="application/json", headers={"Cache-Control": "no-store"}
    )
