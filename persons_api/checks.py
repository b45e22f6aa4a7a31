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
    for name in ("DATABASE_URL", "CLICKHOUSE_URL", "REDIS_URL"):
        found += _check_store(name, getattr(settings, name))
    if "*" in settings.ALLOWED_HOSTS:
        found.append(Warning("ALLOWED_HOSTS allows every host name.", id="persons_api.W001"))
    return found


def _check_store(name: str, url: str) -> list[CheckMessage]:
    parts = urlsplit(url)
    is_local = not parts.hostname or parts.hostname in {"127.0.0.1", "::1", "localhost"}
    if is_local or parts.password:
        return []
    message = f"{name} names another machine but has no password."
    return [Error(message, id="persons_api.E003")]
