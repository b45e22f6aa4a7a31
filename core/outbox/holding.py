"""Stops drains for a moment, for jobs that must know exactly what ClickHouse has and what still waits."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import orjson
import zstandard

from core.outbox.services import batch_finish
from core.tenancy.statements import execute
from events.rows import Row

_PAGE: Final = 200


@contextmanager
def drains_held() -> Iterator[None]:
    """Let no drain begin during the block; one that had begun is finished first.

    Within the block every row is either in ClickHouse or waits in the outbox, never both. The lock belongs to the
    connection, so a transaction may begin in the block and outlive it. Raises StoreUnavailable when a batch was
    begun that cannot be finished because ClickHouse is away.
    """
    execute("SELECT pg_advisory_lock(hashtext('outbox_drain'))")
    try:
        for (batch_id,) in execute("SELECT DISTINCT batch_id FROM core_outboxrows WHERE batch_id IS NOT NULL"):
            batch_finish(batch_id)
        yield
    finally:
        execute("SELECT pg_advisory_unlock(hashtext('outbox_drain'))")


def outbox_waiting(table: str) -> Iterator[Row]:
    """Yield the rows of a table that wait, as this transaction sees them; refused ones are left out."""
    decompressor = zstandard.ZstdDecompressor()
    last = 0
    while entries := execute(
        'SELECT id, payload FROM core_outboxrows WHERE "table" = %s AND refused_at IS NULL AND id > %s '
        "ORDER BY id LIMIT %s",
        [table, last, _PAGE],
    ):
        last = entries[-1][0]
        for _, payload in entries:
            for line in decompressor.decompress(bytes(payload)).splitlines():
                yield orjson.loads(line)
