"""Answers of queries kept in Redis, by project: equal queries of different users share one (query.md B4).

The name of an entry is a hash of all that an answer depends on beside the data and the time: the kind, the node, the
project and its settings, and the newest wish to erase something of it, so that what was kept before is never shown
again. While Redis is away nothing is kept or found.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
import zstandard
from django.conf import settings

from core.api.json import dumps
from core.query.runners.base import Runner
from core.query.store import query_store

MAX_BYTES: Final = 4 * 1024**2
MAX_PLAIN_BYTES: Final = 64 * 1024**2
_VERSION: Final = 2


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer and when it was worked out."""

    answer: Mapping[str, Any]
    last_refresh: datetime


def cache_key(runner: Runner) -> str:
    """Return the name of a query's answer, which is shown to callers."""
    project = runner.context.project
    team_id = project.team_id
    parts = [
        _VERSION,
        runner.kind,
        runner.cache_identity(),
        project.timezone,
        project.week_start_day,
        project.test_account_filters,
        project.path_cleaning_filters,
        project.newest_erasure,
    ]
    text = orjson.dumps(parts, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    return f"cache_{team_id}_{hashlib.sha256(text).hexdigest()[:32]}"


def kept_find(key: str) -> Kept | None:
    """Return what is kept under a key; what cannot be read counts as nothing."""
    if not settings.QUERY_CACHE_SECONDS:
        return None
    packed = query_store().tried(lambda store: store.get(_name(key)))
    answer = unpacked(packed)
    if not isinstance(answer, dict):
        return None
    try:
        return Kept(answer, datetime.fromisoformat(answer["last_refresh"]))
    except (KeyError, TypeError, ValueError):
        return None


def kept_put(key: str, answer: Mapping[str, Any]) -> None:
    """Keep an answer unless it is too large, or tells of an error."""
    if answer.get("error") or not settings.QUERY_CACHE_SECONDS:
        return
    body = packed(answer, longest=MAX_BYTES)
    if body is not None:
        query_store().tried(lambda store: store.set(_name(key), body, ex=settings.QUERY_CACHE_SECONDS))


def packed(value: Any, *, longest: int) -> bytes | None:  # noqa: ANN401 any JSON value
    """Return a value as compressed JSON; None when it is too long."""
    plain = dumps(value)
    if len(plain) > MAX_PLAIN_BYTES:
        return None
    body = zstandard.ZstdCompressor(level=1).compress(plain)
    return body if len(body) <= longest else None


def unpacked(body: bytes | None) -> Any:  # noqa: ANN401 any JSON value
    """Return the value of compressed JSON; None for what is not readable."""
    if body is None:
        return None
    try:
        return orjson.loads(zstandard.ZstdDecompressor().decompress(body, max_output_size=MAX_PLAIN_BYTES))
    except (zstandard.ZstdError, orjson.JSONDecodeError):
        return None


def _name(key: str) -> str:
    return f"query:{key}"
