"""Stores blocks of session replay: blobs first, then their rows with the transaction of the request."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from core.recordings import storage
from core.recordings.blocks import Block
from events.rows import Row, Table, recording_blob_row, recording_row

__all__ = ["blobs_drop", "blobs_put", "recording_rows"]


def blobs_put(*, team_id: int, blocks: Sequence[Block]) -> dict[UUID, str]:
    """Put the blobs into S3 when that is where they go, and return the key of each block.

    In ClickHouse blobs are rows like others and have no key. Call it before the transaction begins, so that no
    lock waits for S3. Raises BlobStoreUnavailable.
    """
    if not storage.uses_s3():
        return {}
    keys = {
        block.uuid: storage.blob_key(team_id=team_id, session_id=block.session_id, uuid=block.uuid) for block in blocks
    }
    for block in blocks:
        storage.blob_put(keys[block.uuid], block.lines)
    return keys


def blobs_drop(keys: Mapping[UUID, str]) -> None:
    """Take back the blobs that were put for blocks which are not recorded after all. Raises BlobStoreUnavailable."""
    if keys:
        storage.blobs_delete(keys.values())


def recording_rows(
    *,
    team_id: int,
    blocks: Sequence[Block],
    keys: Mapping[UUID, str],
    generations: Mapping[str, int],
    created_at: datetime,
) -> dict[str, list[Row]]:
    """Return the outbox rows of blocks; those without a key carry their blob along.

    `generations` says of each distinct id which of its lives this is, `created_at` is the database's clock.
    """
    rows: dict[str, list[Row]] = {Table.SESSION_RECORDINGS: [], Table.SESSION_RECORDING_BLOBS: []}
    for block in blocks:
        key = keys.get(block.uuid, "")
        rows[Table.SESSION_RECORDINGS].append(
            recording_row(
                team_id=team_id,
                session_id=block.session_id,
                window_id=block.window_id,
                distinct_id=block.distinct_id,
                generation=generations[block.distinct_id],
                uuid=block.uuid,
                source=block.source,
                first_timestamp=block.first_timestamp,
                last_timestamp=block.last_timestamp,
                event_count=block.event_count,
                click_count=block.click_count,
                keypress_count=block.keypress_count,
                size=len(block.lines),
                blob_key=key,
                created_at=created_at,
            )
        )
        if not key:
            rows[Table.SESSION_RECORDING_BLOBS].append(
                recording_blob_row(
                    team_id=team_id,
                    session_id=block.session_id,
                    uuid=block.uuid,
                    distinct_id=block.distinct_id,
                    generation=generations[block.distinct_id],
                    created_at=created_at,
                    lines=block.lines.decode(),
                )
            )
    return rows
