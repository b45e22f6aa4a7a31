"""How the erasing of all projects goes, for whoever watches over the server."""

from dataclasses import dataclass
from datetime import datetime

from core.tenancy.statements import fetch_rows

_OPEN = """
SELECT count(*), min(requested_at), count(*) FILTER (WHERE attempts > 0)
FROM core_deletionrequest WHERE verified_at IS NULL
"""
_LAST_RUN = """
SELECT started_at, finished_at, step, requests, verified, last_error
FROM core_deletionrun ORDER BY started_at DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class LastRun:
    """The run of the deletion job that began last; `step` is the last one it completed."""

    started_at: datetime
    finished_at: datetime | None
    step: str
    requests: int
    verified: int
    last_error: str


@dataclass(frozen=True, slots=True)
class DeletionState:
    """Open requests, since when the oldest waits, how many of them a run could not verify, and the last run if any."""

    open: int
    oldest_at: datetime | None
    tried: int
    last_run: LastRun | None


def deletion_state() -> DeletionState:
    """Look at the queue and at the last run."""
    ((count, oldest_at, tried),) = fetch_rows(_OPEN)
    runs = fetch_rows(_LAST_RUN)
    return DeletionState(count, oldest_at, tried, LastRun(*runs[0]) if runs else None)
