"""Calls that begin at the same moment, each in its own thread and database connection."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

SECONDS = 60
WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND pid != pg_backend_pid()"""


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Return what each call returned; raises what one of them raised."""
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        try:
            start.wait(SECONDS)
            return call()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as threads:
        return [one.result(SECONDS) for one in [threads.submit(run, call) for call in calls]]


def wait_for_a_lock(seconds: int = 5) -> None:
    """Return once another connection waits for a lock of this one."""
    for _ in range(seconds * 100):
        with connection.cursor() as cursor:
            # Within a transaction Postgres shows what it showed first.
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute(WAITING)
            if cursor.fetchone()[0]:
                return
            cursor.execute("SELECT pg_sleep(0.01)")
    pytest.fail("nobody waits for a lock")
