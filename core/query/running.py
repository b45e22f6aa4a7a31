"""Who runs right now: the places of a project, one calculation per answer, and someone to attend to a run.

Places are leases in Redis: who has one renews it, so that one whose process was killed is free again soon. While Redis
is away everyone runs.
"""

import secrets
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import structlog
from django.conf import settings

from core.query.errors import TooManyRunning
from core.query.store import query_store
from core.redis_store import RedisStore, StoreAwayError
from events.errors import EventStoreError, QueryStopped
from events.mistakes import CANCELLED

log = structlog.get_logger()

LEASE_SECONDS: Final = 20
TICK_SECONDS: Final = 5.0
GRACE_SECONDS: Final = 0.2
LOOK_AGAIN_SECONDS: Final = 0.1
_GONE: Final = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR | select.POLLNVAL

_TAKE: Final = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""
_RENEW: Final = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
redis.call('ZADD', KEYS[1], 'XX', now + tonumber(ARGV[2]), ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
"""
_RELEASE: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end"

type Renew = Callable[[], None]


class Clients:
    """Copies of the sockets of which one is the client's; it has gone when all of them are hung up."""

    def __init__(self, sockets: Sequence[socket.socket] = ()) -> None:
        """Take the sockets, none where nobody can know; they are the caller's to close."""
        self.sockets = sockets

    def check(self) -> None:
        """Raise QueryStopped when nobody waits for the answer any more."""
        poll = select.poll()
        for one in self.sockets:
            poll.register(one, _GONE)
        if self.sockets and len(poll.poll(0)) == len(self.sockets):
            raise QueryStopped(CANCELLED)


NOBODY_KNOWS: Final = Clients()


@contextmanager
def place_of_project(team_id: int, *, wait_seconds: float, clients: Clients = NOBODY_KNOWS) -> Iterator[Renew]:
    """Hold one of the project's places during the block, whose attendant is to call what this yields.

    Raises TooManyRunning when none is free in time, and QueryStopped when the client does not wait so long.
    """
    store, name, token = query_store(), f"query:{{{team_id}}}:places", secrets.token_hex(8)
    if not _taken(store, name, token, wait_seconds, clients):
        raise TooManyRunning
    try:
        yield lambda: _quietly(store, lambda client: client.eval(_RENEW, 1, name, token, LEASE_SECONDS))
    finally:
        _quietly(store, lambda client: client.zrem(name, token))


def _taken(store: RedisStore, name: str, token: str, wait_seconds: float, clients: Clients) -> bool:
    deadline = time.monotonic() + wait_seconds
    most = settings.QUERY_CONCURRENCY_PER_PROJECT
    while True:
        clients.check()
        try:
            if store.ask(lambda client: client.eval(_TAKE, 1, name, token, most, LEASE_SECONDS)):
                return True
        except StoreAwayError:
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(LOOK_AGAIN_SECONDS)


@contextmanager
def alone_with(cache_key: str, *, wait_seconds: float, clients: Clients = NOBODY_KNOWS) -> Iterator[Renew]:
    """Yield once nobody else works out the same answer, or somebody does for too long.

    Others may have ended right before. Raises QueryStopped when the client does not wait so long.
    """
    store, name, token = query_store(), f"query:{cache_key}:calculated", secrets.token_hex(8)
    deadline = time.monotonic() + wait_seconds
    with suppress(StoreAwayError):
        while not store.ask(lambda client: client.set(name, token, ex=LEASE_SECONDS, nx=True)):
            clients.check()
            if time.monotonic() >= deadline:
                break
            time.sleep(LOOK_AGAIN_SECONDS)
    try:
        yield lambda: _quietly(store, lambda client: client.expire(name, LEASE_SECONDS))
    finally:
        _quietly(store, lambda client: client.eval(_RELEASE, 1, name, token))


def _quietly(store: RedisStore, work: Callable[[Any], Any]) -> None:
    store.tried(work)


@contextmanager
def attended(
    renewals: Sequence[Renew], *, clients: Clients = NOBODY_KNOWS, on_gone: Callable[[], None] | None = None
) -> Iterator[None]:
    """Renew what the block holds while it lasts, and call `on_gone` once when the client has gone.

    A renewal that raises LookupError ends the attendance with `on_gone`: nobody wants the answer any more. It begins
    after GRACE_SECONDS: most queries are done before, and a thread for each costs them more than their places do.
    """
    with ATTENDANTS.later(lambda ended: _attend(ended, renewals, clients.sockets, on_gone)):
        yield


class Attendants:
    """Starts a thread for each block that lasts for longer than GRACE_SECONDS, from one thread that sees to it."""

    def __init__(self) -> None:
        """Begin with no thread."""
        self._changed = threading.Condition()
        self._waiting: deque[_Attendant] = deque()
        self._starter: threading.Thread | None = None

    @contextmanager
    def later(self, attend: Callable[[socket.socket], None]) -> Iterator[None]:
        """Call `attend` in a thread if the block lasts; the socket given to it is hung up when the block ends."""
        attendant = _Attendant(attend, due=time.monotonic() + GRACE_SECONDS)
        with self._changed:
            if self._starter is None or not self._starter.is_alive():
                self._starter = threading.Thread(target=self._start, daemon=True, name="query-attendants")
                self._starter.start()
            elif not self._waiting:
                self._changed.notify()
            self._waiting.append(attendant)
        try:
            yield
        finally:
            with self._changed:
                attendant.over = True
            attendant.end()

    def _start(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                first = self._waiting[0].due
            time.sleep(max(first - time.monotonic(), 0))
            with self._changed:
                while self._waiting and (self._waiting[0].over or self._waiting[0].due <= time.monotonic()):
                    attendant = self._waiting.popleft()
                    if not attendant.over:
                        attendant.begin()


class _Attendant:
    """The thread of one block."""

    def __init__(self, attend: Callable[[socket.socket], None], *, due: float) -> None:
        self.due = due
        self.over = False
        self._attend = attend
        self._sockets: tuple[socket.socket, socket.socket] | None = None
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        self._sockets = pair = socket.socketpair()
        self._thread = threading.Thread(target=self._attend, args=pair[1:], daemon=True, name="query-attendant")
        self._thread.start()

    def end(self) -> None:
        if self._sockets is not None and self._thread is not None:
            ours, theirs = self._sockets
            ours.close()
            self._thread.join()
            theirs.close()


ATTENDANTS: Final = Attendants()


def _attend(
    ended: socket.socket,
    renewals: Sequence[Renew],
    sockets: Sequence[socket.socket],
    on_gone: Callable[[], None] | None,
) -> None:
    poll = select.poll()
    poll.register(ended, select.POLLIN | _GONE)
    there = {one.fileno() for one in sockets}
    for number in there:
        poll.register(number, _GONE)
    while True:
        events = {number for number, _ in poll.poll(TICK_SECONDS * 1000)}
        if ended.fileno() in events:
            return
        for number in events & there:
            poll.unregister(number)
        there -= events
        # Tried again with the next tick where ClickHouse does not answer.
        if sockets and not there and on_gone is not None and _done(on_gone):
            on_gone = None
        try:
            for renew in renewals:
                renew()
        except LookupError:
            if on_gone is None or _done(on_gone):
                return


def _done(work: Callable[[], None]) -> bool:
    try:
        work()
    except EventStoreError:
        log.warning("query_not_stopped")
        return False
    return True
