"""Moving windows in Redis: which requests a caller had let through of late, over all web processes."""

import hashlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, cast

import redis
import structlog
from prometheus_client import Counter
from redis.backoff import NoBackoff
from redis.retry import Retry

log = structlog.get_logger()

CONNECT_SECONDS: Final = 0.25
ANSWER_SECONDS: Final = 0.25
PAUSE_SECONDS: Final = 5.0
"""How long nobody asks after a failure; then one request tries."""

# With labels, for such a metric opens no file before it counts: the folder of the files may not be there yet.
UNCHECKED = Counter(
    "persons_api_rate_limit_unchecked", "Requests let through uncounted: Redis failed, or had failed lately", ["reason"]
)

_MICROSECONDS: Final = 1_000_000
_HIT: Final = """
-- Each key is a list of moments, newest first; each has two arguments, its limit and its length in microseconds.
-- First all windows are looked at, then either all of them get this moment or none does.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local counts, oldests, answer, passes = {}, {}, {}, 1
for i, key in ipairs(KEYS) do
    local limit, length = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
    local oldest = tonumber(redis.call('LINDEX', key, -1))
    while oldest and now - oldest >= length do
        redis.call('RPOP', key)
        oldest = tonumber(redis.call('LINDEX', key, -1))
    end
    if oldest and oldest > now then
        -- All are still to come: they were written before the clock was set back, and would stay for too long.
        redis.call('DEL', key)
        oldest = nil
    end
    counts[i] = oldest and redis.call('LLEN', key) or 0
    oldests[i] = oldest or now
    if counts[i] >= limit then
        passes = 0
        -- More than the limit when it was lowered: then more than the oldest has to leave.
        oldests[i] = tonumber(redis.call('LINDEX', key, limit - 1))
    end
end
for i, key in ipairs(KEYS) do
    local length = tonumber(ARGV[2 * i])
    if passes == 1 then
        redis.call('LPUSH', key, string.format('%.0f', now))
        -- One more, for this clock has no parts of a millisecond.
        redis.call('PEXPIRE', key, math.ceil(length / 1000) + 1)
    end
    answer[2 * i] = counts[i] + passes
    answer[2 * i + 1] = oldests[i] + length - now
end
answer[1] = passes
return answer
"""

_HIT_NAME: Final = hashlib.sha1(_HIT.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Window:
    """At most `limit` requests in any `seconds`; `key` is the name of its list in Redis."""

    key: str
    limit: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Standing:
    """How a window stands after a request: what is left of it, and the seconds until it grows."""

    remaining: int
    grows_in: float


@dataclass(frozen=True, slots=True)
class Hit:
    """Whether a request passes, and how each window stands; refused for `wait` seconds, 0 when it passes."""

    passes: bool
    wait: float
    standings: tuple[Standing, ...]


class MovingWindows:
    """Asks one Redis. While it is away nothing is counted, and nearly nobody waits to find that out.

    The package `limits` has this kind of window too, but counts each in a script of its own: a request refused
    by one would use up room in another, and two windows with their standings would take four round trips. Here one
    script looks at all windows, decides, counts and tells. Its clock is Redis's, so hosts need not agree on the time.
    """

    def __init__(self, url: str) -> None:
        """Take the URL of the store; nothing connects yet."""
        self._pool = redis.ConnectionPool.from_url(
            url,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=ANSWER_SECONDS,
            protocol=2,  # whose connections greet in fewer round trips
            retry=Retry(NoBackoff(), 0),
        )
        self._lock = threading.Lock()
        self._is_away = False
        self._next_try = 0.0

    def hit(self, windows: Sequence[Window]) -> Hit | None:
        """Count a request in all windows if all have room, else in none; None when Redis cannot tell.

        The windows' keys must share a hash tag, `{...}`, so that they lie on one node of a cluster.
        """
        if self._is_away and not self._may_try():
            UNCHECKED.labels("paused").inc()
            return None
        try:
            answer = self._ask(windows)
        except (redis.RedisError, OSError) as error:
            self._failed(error)
            return None
        if self._is_away:
            self._is_back()
        return _read(windows, answer)

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        self._pool.disconnect()

    def _ask(self, windows: Sequence[Window]) -> Sequence[int]:
        """Run the script on a connection of the pool; the way through redis.Redis takes nearly twice the time."""
        keys = [window.key for window in windows]
        sizes = [part for one in windows for part in (one.limit, round(one.seconds * _MICROSECONDS))]
        connection: Any = self._pool.get_connection()
        try:
            try:
                connection.send_command("EVALSHA", _HIT_NAME, len(keys), *keys, *sizes)
                answer = connection.read_response()
            except redis.exceptions.NoScriptError:
                connection.send_command("EVAL", _HIT, len(keys), *keys, *sizes)
                answer = connection.read_response()
        finally:
            self._pool.release(connection)
        return cast("Sequence[int]", answer)

    def _may_try(self) -> bool:
        with self._lock:
            now = time.monotonic()
            if now < self._next_try:
                return False
            self._next_try = now + PAUSE_SECONDS
            return True

    def _failed(self, error: Exception) -> None:
        UNCHECKED.labels("failed").inc()
        with self._lock:
            self._next_try = time.monotonic() + PAUSE_SECONDS
            was_away, self._is_away = self._is_away, True
        if not was_away:
            log.warning("rate_limits_off", error=type(error).__name__, reason=str(error)[:200])

    def _is_back(self) -> None:
        with self._lock:
            was_away, self._is_away = self._is_away, False
        if was_away:
            log.info("rate_limits_on_again")


def _read(windows: Sequence[Window], answer: Sequence[int]) -> Hit:
    passes = answer[0] == 1
    standings = tuple(
        Standing(max(window.limit - count, 0), microseconds / _MICROSECONDS)
        for window, count, microseconds in zip(windows, answer[1::2], answer[2::2], strict=True)
    )
    wait = 0.0 if passes else max(one.grows_in for one in standings if one.remaining == 0)
    return Hit(passes, wait, standings)


@lru_cache(maxsize=8)
def windows_at(url: str) -> MovingWindows:
    """Return the process's one asker of a store, with the connections that all its threads share."""
    return MovingWindows(url)
