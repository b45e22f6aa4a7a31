"""Where the blobs of recordings lie: in ClickHouse itself, or in an S3-compatible store.

In S3 a blob lies under `recordings/{team id}/{session id}/{block uuid}.jsonl.zst`, zstd-compressed JSON lines.
It is put before the transaction that records it. When that transaction never commits, the blob belongs to no row;
it is found below its session, and the same request sent again puts the same blob and records it.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from importlib import import_module
from typing import Any, Final
from uuid import UUID

from django.conf import settings

PREFIX: Final = "recordings"


def uses_s3() -> bool:
    """Tell whether new blobs go to S3; old ones stay where they are, and are read and erased there."""
    return bool(settings.RECORDINGS_STORAGE == "s3")


def blob_key(*, team_id: int, session_id: str, uuid: UUID) -> str:
    """Return the key of a block's blob in S3."""
    return f"{PREFIX}/{team_id}/{session_id}/{uuid}.jsonl.zst"


def blob_put(key: str, lines: bytes) -> None:
    """Store a blob in S3 durably, replacing what is there. Raises BlobStoreUnavailable."""
    _s3().blob_put(key, lines)


def blob_read(key: str) -> bytes:
    """Return the JSON lines of a blob in S3. Raises BlobMissing and BlobStoreUnavailable."""
    lines: bytes = _s3().blob_read(key)
    return lines


def blobs_delete(keys: Iterable[str]) -> int:
    """Delete blobs from S3, 1,000 with each request; return the number of keys. A key without a blob is no error.

    Raises BlobStoreUnavailable when any of them could not be deleted; deleting again is harmless.
    """
    deleted: int = _s3().blobs_delete(keys)
    return deleted


def blobs_present(keys: Iterable[str]) -> list[str]:
    """Return those of the keys that have a blob in S3, by listing their sessions. Raises BlobStoreUnavailable."""
    present: list[str] = _s3().blobs_present(keys)
    return present


def blobs_of_session(*, team_id: int, session_id: str) -> list[str]:
    """Return the keys of all blobs of a session in S3, also of those that belong to no row."""
    return list(_s3().keys_below(f"{PREFIX}/{team_id}/{session_id}/"))


def blobs_of_team(team_id: int) -> Iterator[str]:
    """Yield the keys of all blobs of a project in S3, also of those that belong to no row; none without a bucket.

    Raises BlobStoreUnavailable.
    """
    if settings.RECORDINGS_S3_BUCKET:
        yield from _s3().keys_below(f"{PREFIX}/{team_id}/")


@cache
def _s3() -> Any:  # noqa: ANN401 the module core.recordings.s3
    # Imported when a blob is there to move: boto3 takes a second and 30 MB, which most installations need not spend.
    return import_module("core.recordings.s3")
