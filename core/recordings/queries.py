"""Reads of recordings, wherever their blobs lie."""

from collections.abc import Iterator
from typing import Any

import orjson

from core.recordings import storage
from events import recordings


def session_snapshots(*, team_id: int, session_id: str) -> Iterator[dict[str, Any]]:
    """Yield the snapshots of a session as they were sent, block by block in the order of their first timestamps.

    Raises BlobStoreUnavailable, and BlobMissing when a blob was erased meanwhile.
    """
    for block in recordings.blocks_of_session(team_id=team_id, session_id=session_id):
        lines = (
            storage.blob_read(block.blob_key)
            if block.blob_key
            else recordings.block_lines(team_id=team_id, session_id=session_id, uuid=block.uuid).encode()
        )
        for line in lines.splitlines():
            yield orjson.loads(line)
