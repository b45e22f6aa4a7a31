"""A Redis that may be away: what is kept there can be done without, or asked for again."""

import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

log = structlog.get_logger()

CONNECT_SECONDS: Final = 0.25
PAUSE_SECONDS: Final = 5.0
"""How long nobody asks after a failure."""


class StoreAwayError(Exception):
    """Redis does not answer, or did not a moment ago."""


class RedisStore:
    """One Redis. While it is away nearly nobody waits to learn that."""

    def __init__(self, url: str, *, answer_seconds: float) -> None:
        """Take the URL of the store; nothing connects yet."""
        self._redis: Any = redis.Redis.from_url(
            url,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=answer_seconds,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
        )
        self._lock = threading.Lock()
        self._next_try = 0.0

    def ask[T](self, work: Callable[[Any], T]) -> T:
        """Return what `work` makes of the client. Raises StoreAwayError."""
        with self._lock:
            if time.monotonic() < self._next_try:
                raise StoreAwayError
        try:
            return work(self._redis)
        except (redis.RedisError, OSError) as error:
            with self._lock:
                self._next_try = time.monotonic() + PAUSE_SECONDS
            log.warning("redis_store_away", error=type(error).__name__, reason=str(error)[:200])
            raise StoreAwayError from error

    def tried[T](self, work: Callable[[Any], T]) -> T | None:
        """Return what `work` makes of the client, None while the store is away."""
        try:
            return self.ask(work)
        except StoreAwayError:
            return None


@lru_cache(maxsize=8)
def redis_store(url: str, *, answer_seconds: float) -> RedisStore:
    """Return the process's one store at a URL, with the connections that all its threads share."""
    return RedisStore(url, answer_seconds=answer_seconds)
