"""How queries in the background stand, in Redis: by project and query, forgotten 20 minutes after the last change.

Who runs a query says so every few seconds. A query that somebody picked up and of whom nothing was heard since has
failed: its worker died, and whoever polls is told at the next look.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

from core.query.cache import packed, unpacked
from core.query.store import query_store

LIFE: Final = timedelta(minutes=20)
ALIVE_SECONDS: Final = 20
"""For how long a word of a worker counts."""
MAX_RESULT_BYTES: Final = 16 * 1024**2
MAX_ATTEMPTS: Final = 3
"""A query that ends its worker is not given to another for ever."""
TOO_LARGE: Final = "The answer is too large to be kept. Ask for fewer rows or columns, or wait for it with `blocking`."


@dataclass(frozen=True, slots=True)
class Status:
    """One query in the background.

    `request` is what a worker needs to run it. `error_message` is for the caller; a failure without any is the
    server's. `results` is the whole answer.
    """

    id: str
    team_id: int
    cache_key: str
    start_time: datetime
    request: Mapping[str, Any] = field(default_factory=dict)
    task_id: str = ""
    complete: bool = False
    error: bool = False
    error_message: str | None = None
    pickup_time: datetime | None = None
    end_time: datetime | None = None
    changed_at: datetime | None = None
    attempts: int = 0
    results: Mapping[str, Any] | None = None

    def shown(self, progress: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the object that callers get."""
        return {
            "id": self.id,
            "team_id": self.team_id,
            "complete": self.complete,
            "error": self.error,
            "error_message": self.error_message,
            "results": self.results,
            "start_time": self.start_time,
            "pickup_time": self.pickup_time,
            "end_time": self.end_time,
            "expiration_time": (self.changed_at or self.start_time) + LIFE,
            "task_id": self.task_id,
            "query_async": True,
            "insight_id": None,
            "dashboard_id": None,
            "labels": None,
            "query_progress": progress,
        }


def status_find(team_id: int, query_id: str) -> Status | None:
    """Return how a query stands, without its results; StoreAwayError while the store is away."""
    name = _name(team_id, query_id)
    found, alive = query_store().ask(lambda store: store.mget(name, _alive(name)))
    status = _read(found)
    if status is not None and status.pickup_time is not None and not status.complete and alive is None:
        return status_finish(status)
    return status


def with_results(status: Status) -> Status:
    """Return a status with the answer of its query, if there is one."""
    body = query_store().ask(lambda store: store.get(_results(_name(status.team_id, status.id))))
    return replace(status, results=unpacked(body))


def status_start(status: Status, *, again: bool) -> Status:
    """Put a query in the background and return its status; the one that is there already unless it is `again`.

    Another id's is returned when that one works out the same answer. Raises StoreAwayError.
    """
    running = None if again else _running(status)
    if running is not None:
        return running
    name = _name(status.team_id, status.id)
    status = replace(status, changed_at=status.start_time)

    def write(store: Any) -> bool:  # noqa: ANN401 redis.Redis, whose types are loose
        if not store.set(name, _written(status), ex=LIFE, nx=not again):
            return False
        pipe = store.pipeline(transaction=False)
        pipe.delete(_results(name), _alive(name))
        pipe.set(_by_key(status.team_id, status.cache_key), status.id, ex=LIFE)
        pipe.execute()
        return True

    if query_store().ask(write):
        return status
    return status_find(status.team_id, status.id) or status


def status_pick_up(team_id: int, query_id: str) -> Status | None:
    """Note that a worker begins; None when there is nothing to do any more. Raises StoreAwayError."""
    name = _name(team_id, query_id)
    status = _read(query_store().ask(lambda store: store.get(name)))
    if status is None or status.complete:
        return None
    if status.attempts >= MAX_ATTEMPTS:
        status_finish(status)
        return None
    now = datetime.now(UTC)
    begun = replace(status, pickup_time=now, changed_at=now, attempts=status.attempts + 1)
    status_alive(team_id, query_id)
    return begun if _rewrite(begun) else None


def status_alive(team_id: int, query_id: str) -> bool:
    """Say that a query is being worked on; return whether anybody still wants it. Raises StoreAwayError."""
    name = _name(team_id, query_id)

    def say(store: Any) -> bool:  # noqa: ANN401 as above
        store.set(_alive(name), b"1", ex=ALIVE_SECONDS)
        return bool(store.exists(name))

    return query_store().ask(say)


def status_finish(
    status: Status, *, answer: Mapping[str, Any] | None = None, error_message: str | None = None
) -> Status:
    """Note that a query has ended: with an answer, or with an error. One that was cancelled stays forgotten."""
    body = None if answer is None else packed(answer, longest=MAX_RESULT_BYTES)
    if answer is not None and body is None:
        error_message = TOO_LARGE
    now = datetime.now(UTC)
    ended = replace(
        status, complete=True, error=body is None, error_message=error_message, end_time=now, changed_at=now
    )
    name = _name(status.team_id, status.id)

    def write(store: Any) -> None:  # noqa: ANN401 as above
        if body is not None:
            store.set(_results(name), body, ex=LIFE)
        if not store.set(name, _written(ended), ex=LIFE, xx=True):
            store.delete(_results(name))
        by_key = _by_key(status.team_id, status.cache_key)
        if store.get(by_key) == status.id.encode():
            store.delete(by_key)

    query_store().ask(write)
    return ended


def status_remove(team_id: int, query_id: str) -> None:
    """Forget a query: polling finds nothing any more, and a worker does not begin it. Raises StoreAwayError."""
    name = _name(team_id, query_id)
    query_store().ask(lambda store: store.delete(name, _results(name), _alive(name)))


def status_of_key(team_id: int, cache_key: str) -> Status | None:
    """Return the status of the query that works out an answer right now; None while the store is away."""
    found = query_store().tried(lambda store: store.get(_by_key(team_id, cache_key)))
    status = None if found is None else status_find(team_id, found.decode())
    return status if status is not None and not status.complete else None


def _running(status: Status) -> Status | None:
    found = status_find(status.team_id, status.id)
    return found if found is not None else status_of_key(status.team_id, status.cache_key)


def _rewrite(status: Status) -> bool:
    name = _name(status.team_id, status.id)
    return bool(query_store().ask(lambda store: store.set(name, _written(status), ex=LIFE, xx=True)))


def _name(team_id: int, query_id: str) -> str:
    return f"query:{{{team_id}}}:status:{query_id}"


def _results(name: str) -> str:
    return f"{name}:results"


def _alive(name: str) -> str:
    return f"{name}:alive"


def _by_key(team_id: int, cache_key: str) -> str:
    return f"query:{{{team_id}}}:running:{cache_key}"


_TIMES: Final = ("start_time", "pickup_time", "end_time", "changed_at")


def _written(status: Status) -> bytes:
    return orjson.dumps(replace(status, results=None))


def _read(body: bytes | None) -> Status | None:
    if body is None:
        return None
    values = orjson.loads(body)
    times = {name: datetime.fromisoformat(values[name]) for name in _TIMES if values[name] is not None}
    return Status(**{**values, **times})
