"""Typed readers for environment variables; a wrong value stops the start and names the variable."""

import os
import re
from collections.abc import Collection
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson
from croniter import croniter
from croniter.croniter import CroniterError
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

from core.access.rates import read_rate

_TRUE = {"1", "true", "yes", "y", "t", "on"}
_FALSE = {"0", "false", "no", "n", "f", "off", ""}
MAX_DIGITS: Final = 18


def text(name: str, default: str = "") -> str:
    """Return NAME, or the content of the file that NAME_FILE points at, or the default."""
    value = os.environ.get(name)
    if value is not None:
        return value
    path = os.environ.get(f"{name}_FILE")
    if path is None:
        return default
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        message = f"{name}_FILE: cannot read {path}: {error.strerror}"
        raise ImproperlyConfigured(message) from error


def boolean(name: str, *, default: bool = False) -> bool:
    """Read a flag; anything but a known word for yes or no is refused."""
    raw = os.environ.get(name)
    if raw is None:
        return default
    if raw.lower() in _TRUE:
        return True
    if raw.lower() in _FALSE:
        return False
    message = f"{name}: expected a boolean such as 'true' or 'false', got {raw!r}"
    raise ImproperlyConfigured(message)


def integer(name: str, default: int, *, minimum: int = 0, maximum: int = 2**31 - 1) -> int:
    """Read a whole number within its bounds."""
    raw = os.environ.get(name, "").strip()
    if not raw:
        return default
    try:
        value = int(raw)
    except ValueError as error:
        message = f"{name}: expected a whole number, got {raw!r}"
        raise ImproperlyConfigured(message) from error
    if not minimum <= value <= maximum:
        message = f"{name}: expected a number from {minimum} to {maximum}, got {value}"
        raise ImproperlyConfigured(message)
    return value


def choice(name: str, default: str, *, among: Collection[str]) -> str:
    """Read one of a few words."""
    value = text(name, default)
    if value not in among:
        message = f"{name}: expected one of {', '.join(among)}, got {value!r}"
        raise ImproperlyConfigured(message)
    return value


def words(name: str, default: str = "") -> list[str]:
    """Read a comma-separated list."""
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


def integers(name: str) -> frozenset[int]:
    """Read a comma-separated list of ids."""
    found = words(name)
    if not all(word.isascii() and word.isdigit() and len(word) <= MAX_DIGITS for word in found):
        message = f"{name}: expected whole numbers with commas between them, such as '1,2', got {','.join(found)!r}"
        raise ImproperlyConfigured(message)
    return frozenset(int(word) for word in found)


def rate(name: str, default: str) -> str:
    """Read a rate limit such as `480/minute`, or `none`; empty is the default."""
    value = text(name).strip() or default
    try:
        read_rate(value)
    except ValueError as error:
        message = f"{name}: {error}"
        raise ImproperlyConfigured(message) from error
    return value


CRON_FIELDS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")


_NAMES: Final = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|sun|mon|tue|wed|thu|fri|sat"
_CRON_LINE: Final = re.compile(rf"(?:{_NAMES}|[0-9*,/ \t-])+")
"""Numbers, names and the signs of plain cron: the library knows extensions, some of them random."""


def cron(name: str, default: str) -> dict[str, str] | None:
    """Read a cron line of five fields as CRON_FIELDS, each `*` or numbers with commas, Sunday 0; None when empty."""
    raw = text(name, default).strip()
    if not raw:
        return None
    message = (
        f"{name}: expected a cron line of five fields such as '0 5 * * 0', or nothing to switch it off, got {raw!r}"
    )
    if len(raw.split()) != len(CRON_FIELDS) or not _CRON_LINE.fullmatch(raw.lower()):
        raise ImproperlyConfigured(message)
    try:
        fields, nth_weekdays = croniter.expand(raw)
        croniter(raw, datetime.now(UTC)).get_next()
    except (CroniterError, ValueError, KeyError) as error:
        raise ImproperlyConfigured(message) from error
    if nth_weekdays or any(not isinstance(item, int) and item != "*" for field in fields for item in field):
        raise ImproperlyConfigured(message)
    return {field: ",".join(map(str, items)) for field, items in zip(CRON_FIELDS, fields, strict=True)}


def postgres(name: str, url: str) -> dict[str, object]:
    """Turn a postgres URL into Django's DATABASES fields; a Unix socket folder goes in `?host=`."""
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        message = f"{name}: expected a URL that begins with postgresql://"
        raise ImproperlyConfigured(message)
    try:
        port = parts.port
    except ValueError as error:
        message = f"{name}: the port is not a number"
        raise ImproperlyConfigured(message) from error
    options: dict[str, object] = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")) or "persons_api",
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": str(options.pop("host", parts.hostname or "")),
        "PORT": str(options.pop("port", port or "")),
        "OPTIONS": options,
    }


def store_urls(data_dir: Path) -> dict[str, str]:
    """Return the URLs of the embedded stores that `manage.py up` wrote down, or nothing."""
    try:
        found = orjson.loads((data_dir / "run" / "stores.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def decimal(name: str, default: float, *, minimum: float) -> float:
    """Read a number that need not be whole."""
    raw = os.environ.get(name, "").strip()
    try:
        value = float(raw) if raw else default
    except ValueError:
        value = float("nan")
    if not minimum <= value < float("inf"):
        message = f"{name}: expected a number from {minimum} on, got {raw!r}"
        raise ImproperlyConfigured(message)
    return value


def networks(name: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Read a comma-separated list of networks such as 10.1.0.0/16; a single address is one too."""
    try:
        return tuple(ip_network(word) for word in words(name))
    except ValueError as error:
        message = f"{name}: expected networks such as '10.1.0.0/16', with commas between them: {error}"
        raise ImproperlyConfigured(message) from error


def fernet_keys(name: str) -> tuple[str, ...]:
    """Read a comma-separated list of Fernet keys; what is wrong with one is told without showing it."""
    found = tuple(words(name))
    for number, key in enumerate(found, 1):
        try:
            Fernet(key)
        except ValueError:
            message = f"{name}: key {number} is not 32 random bytes in URL-safe base64"
            raise ImproperlyConfigured(message) from None
    return found
