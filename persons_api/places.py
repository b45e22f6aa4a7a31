"""The few places of a web process: who has one works on a request, with a database connection that stays.

Threads are many, because senders who stall hold one each; places are few, because more workers would only
take turns at the interpreter lock. A place keeps its connection between requests: giving it back to the pool
and taking it out again costs more than a look-up by key.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.cache import close_caches
from django.core.signals import request_finished, request_started
from django.db import DEFAULT_DB_ALIAS, close_old_connections, connections, reset_queries
from django.db.backends.base.base import BaseDatabaseWrapper
from django.http.response import HttpResponseBase


def leave_connections_alone() -> None:
    """Take out what Django does to connections around each request: places do it."""
    for receiver in (close_old_connections, reset_queries):
        request_started.disconnect(receiver)
    for receiver in (close_old_connections, close_caches):
        request_finished.disconnect(receiver)


class Places:
    """Hands out places; whoever comes when all are taken waits."""

    def __init__(self, count: int) -> None:
        """Begin with all places free and no connection."""
        self._turn = threading.Semaphore(count)
        self._free: list[BaseDatabaseWrapper] = []

    def take(self) -> BaseDatabaseWrapper:
        """Wait for a place and make its connection this thread's own."""
        self._turn.acquire()
        try:
            wrapper = self._free.pop()
        except IndexError:
            wrapper = connections.create_connection(DEFAULT_DB_ALIAS)
            wrapper.inc_thread_sharing()
        connections[DEFAULT_DB_ALIAS] = wrapper
        return wrapper

    def give_back(self, wrapper: BaseDatabaseWrapper) -> None:
        """Free the place; a connection that failed or was left inside a transaction is replaced."""
        try:
            broken = wrapper.errors_occurred or wrapper.in_atomic_block or not wrapper.autocommit
            if wrapper.connection is not None and broken:
                wrapper.close_if_unusable_or_obsolete()
        finally:
            del connections[DEFAULT_DB_ALIAS]
            self._free.append(wrapper)
            self._turn.release()


class Place:
    """The place of one request, which it leaves once: at its end, or before a long answer that needs none."""

    def __init__(self, places: Places) -> None:
        """Wait for a place."""
        self._places = places
        self._wrapper: BaseDatabaseWrapper | None = places.take()

    @property
    def left(self) -> bool:
        """Tell whether the place has been given back."""
        return self._wrapper is None

    def leave(self) -> None:
        """Give the place back. The request may not use the database through Django from here on."""
        wrapper, self._wrapper = self._wrapper, None
        if wrapper is not None:
            self._places.give_back(wrapper)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Give the place back for the block, and wait for one after it; within a transaction the place is kept."""
        if self._wrapper is None or self._wrapper.in_atomic_block:
            yield
            return
        self.leave()
        try:
            yield
        finally:
            self._wrapper = self._places.take()


class HeldPlace:
    """A streamed answer: it may read from the database until its last byte."""

    def __init__(self, response: HttpResponseBase, place: Place) -> None:
        """Hold the place of the request that began it."""
        self._response = response
        self._place = place

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._response)

    def close(self) -> None:
        """End the answer and free the place, once."""
        try:
            self._response.close()
        finally:
            self._place.leave()
