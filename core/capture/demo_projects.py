"""Fills projects that were made with demo data; the projects themselves say in Postgres which still wait.

One worker at a time fills a project, under a lock that ends with its connection. One that is killed leaves the
project marked, and the next run tells the same story again: its events have the same uuids, so none is stored twice.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.db import InterfaceError, OperationalError

from core.capture.demo import demo_load
from core.capture.importer import ImportStoppedError
from core.persons.ingest import IngestTeam
from core.tenancy.holding import TeamGoneError
from core.tenancy.statements import execute
from events.errors import StoreUnavailable

log = structlog.get_logger(__name__)

PERSONS: Final = 500
DAYS: Final = 30
SECONDS_TO_WAIT: Final = 2.0
"""For a ClickHouse that is away; other jobs want the worker too."""
_LOCK: Final = "SELECT pg_try_advisory_lock(hashtextextended('demo_data', %s))"
_UNLOCK: Final = "SELECT pg_advisory_unlock(hashtextextended('demo_data', %s))"
_WAITING: Final = """
SELECT id, created_at, person_processing_opt_out, anonymize_ips, ingested_event FROM core_team
WHERE is_generating_demo_data AND deleted_at IS NULL AND id > %s ORDER BY id LIMIT 1
"""
_STILL_WAITING: Final = "SELECT 1 FROM core_team WHERE id = %s AND is_generating_demo_data AND deleted_at IS NULL"
_DONE: Final = "UPDATE core_team SET is_generating_demo_data = false WHERE id = %s"
POSTPONED: Final = (StoreUnavailable, ImportStoppedError, OperationalError, InterfaceError, SoftTimeLimitExceeded)
"""Nothing is wrong with the project when one of these comes: the next run goes on."""


def demo_generate(*, persons: int = PERSONS, days: float = DAYS) -> int:
    """Fill every project that waits and that no other worker fills; return how many are filled now.

    The story ends when the project was made. A project whose story fails is left as it is and waits no longer;
    raises what says that a store is away, and then all that are left go on waiting.
    """
    filled, after = 0, 0
    while waiting := execute(_WAITING, [after]):
        ((after, created_at, opt_out, anonymize_ips, ingested),) = waiting
        with _only_here(after) as is_ours:
            # The one who held the lock may have filled it since the look above.
            if is_ours and execute(_STILL_WAITING, [after]):
                filled += _fill(IngestTeam(after, opt_out, anonymize_ips, ingested), created_at, persons, days)
    return filled


def _fill(team: IngestTeam, now: datetime, persons: int, days: float) -> bool:
    """Load the story of one project; return whether that went well."""
    try:
        summary = demo_load(team=team, persons=persons, days=days, now=now, seconds_to_wait=SECONDS_TO_WAIT)
    except POSTPONED:
        raise
    except TeamGoneError:
        log.info("demo_data_of_deleted_project", team=team.id)
        return False
    except Exception:
        log.exception("demo_data_failed", team=team.id)
        execute(_DONE, [team.id])
        return False
    execute(_DONE, [team.id])
    log.info("demo_data_done", team=team.id, stored=summary.stored, repeated=summary.repeated)
    return True


@contextmanager
def _only_here(team_id: int) -> Iterator[bool]:
    is_ours = bool(execute(_LOCK, [team_id])[0][0])
    try:
        yield is_ours
    finally:
        if is_ours:
            execute(_UNLOCK, [team_id])
