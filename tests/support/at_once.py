"""Calls that begin at the same moment, each in its own thread and database connection."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connection

SECONDS = 60


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
