"""The deletion job with what it needs of other resources."""

from collections.abc import Iterable, Iterator

from core.deletions import job
from core.deletions.job import (
    BusyError,
    DeletionStoppedError,
    OutOfTimeError,
    Reporter,
    RunResult,
    deletions_count,
)
from core.recordings import storage
from core.recordings.errors import BlobStoreUnavailable

__all__ = [
    "BusyError",
    "DeletionStoppedError",
    "OutOfTimeError",
    "Reporter",
    "RunResult",
    "deletions_count",
    "deletions_run",
]

STORE_AWAY = "The store of recordings is not available right now."


class RecordingBlobs:
    """The objects of recordings in S3."""

    def blobs_delete(self, keys: Iterable[str]) -> int:
        """Delete objects. Raises DeletionStoppedError when the store is away."""
        try:
            return storage.blobs_delete(keys)
        except BlobStoreUnavailable as error:
            raise DeletionStoppedError(STORE_AWAY) from error

    def blobs_present(self, keys: Iterable[str]) -> list[str]:
        """Return those of the keys that still have an object. Raises DeletionStoppedError likewise."""
        try:
            return storage.blobs_present(keys)
        except BlobStoreUnavailable as error:
            raise DeletionStoppedError(STORE_AWAY) from error

    def blobs_of_team(self, team_id: int) -> Iterator[str]:
        """Yield the keys of all objects of a project. Raises DeletionStoppedError likewise."""
        try:
            yield from storage.blobs_of_team(team_id)
        except BlobStoreUnavailable as error:
            raise DeletionStoppedError(STORE_AWAY) from error


def deletions_run(
    *, reporter: Reporter | None = None, seconds: float | None = None, begin: bool = True
) -> list[RunResult]:
    """Run `core.deletions.job.deletions_run` with the store of recordings."""
    return job.deletions_run(blobs=RecordingBlobs(), reporter=reporter, seconds=seconds, begin=begin)
