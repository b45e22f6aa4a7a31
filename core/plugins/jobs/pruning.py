"""Forgets jobs that ended long ago, with their payloads."""

from typing import Final

from core.tenancy.statements import execute

KEPT_DAYS: Final = 30
_BATCH: Final = 1_000
_FORGET: Final = """
DELETE FROM core_pluginjob WHERE id IN (
    SELECT id FROM core_pluginjob
    WHERE state NOT IN ('queued', 'running') AND finished_at < statement_timestamp() - %s * interval '1 day'
    ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED)
RETURNING id
"""


def prune() -> int:
    """Delete jobs that ended more than KEPT_DAYS ago, in small transactions; return how many."""
    count = 0
    while forgotten := len(execute(_FORGET, [KEPT_DAYS, _BATCH])):
        count += forgotten
    return count
