"""Settings that must not go together in production, found at start."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register  # noqa: A004 Django's name

MIN_SECRET_LENGTH = 32


@register()
def check_production(app_configs: Any, **_: Any) -> list[CheckMessage]:  # noqa: ANN401 Django's signature
    """Refuse what would be unsafe once PERSONS_API_PRODUCTION is on."""
    del app_configs
    if not settings.PRODUCTION:
        return []
    found: list[CheckMessage] = []
    if settings.DEBUG:
        found.append(Error("DEBUG must be off in production.", id="persons_api.E001"))
    if len(settings.SECRET_KEY) < MIN_SECRET_LENGTH or "not-for-production" in settings.SECRET_KEY:
        found.append(Error("SECRET_KEY must be long, random and your own.", id="persons_api.E002"))
    for name in ("DATABASE_URL", "CLICKHOUSE_URL", "CLICKHOUSE_QUERY_URL", "REDIS_URL"):
        found += _check_store(name, getattr(settings, name))
    if "*" in settings.ALLOWED_HOSTS:
        found.append(Warning("ALLOWED_HOSTS allows every host name.", id="persons_api.W001"))
    return found


@register()
def check_query_user(app_configs: Any, **_: Any) -> list[CheckMessage]:  # noqa: ANN401 Django's signature
    """Refuse a ClickHouse of one's own without the user whose rights hold HogQL statements in."""
    del app_configs
    query, own = urlsplit(settings.CLICKHOUSE_QUERY_URL), urlsplit(settings.CLICKHOUSE_URL)
    hint = "deploy/clickhouse/users.d/persons_api_query.xml makes that user (docs/operations.md)."
    if not settings.CLICKHOUSE_QUERY_URL:
        message = "CLICKHOUSE_URL is set and CLICKHOUSE_QUERY_URL, the user of HogQL statements, is not."
        kind = Error if settings.PRODUCTION else Warning
        return [kind(message, hint=hint, id="persons_api.E004" if settings.PRODUCTION else "persons_api.W002")]
    if not settings.PRODUCTION:
        return []
    found: list[CheckMessage] = []
    if (query.netloc.rpartition("@")[2], query.username) == (own.netloc.rpartition("@")[2], own.username):
        message = "CLICKHOUSE_QUERY_URL must name another user than CLICKHOUSE_URL, one who may only read."
        found.append(Error(message, hint=hint, id="persons_api.E005"))
    if query.path.strip("/") != own.path.strip("/"):
        message = "CLICKHOUSE_QUERY_URL and CLICKHOUSE_URL name different databases."
        found.append(Error(message, id="persons_api.E006"))
    return found


def _check_store(name: str, url: str) -> list[CheckMessage]:
    parts = urlsplit(url)
    is_local = not parts.hostname or parts.hostname in {"127.0.0.1", "::1", "localhost"}
    if is_local or parts.password:
        return []
    message = f"{name} names another machine but has no password."
    return [Error(message, id="persons_api.E003")]
