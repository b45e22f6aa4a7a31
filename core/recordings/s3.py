"""Blobs in an S3-compatible store, through django-storages; imported only where one is used (boto3 takes a second)."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import batched
from typing import Any, Final

import zstandard
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.core.files.base import ContentFile
from storages.backends.s3 import S3Storage

from core.recordings.errors import BlobMissing, BlobStoreUnavailable

KEYS_PER_REQUEST: Final = 1000
"""What S3 deletes with one request."""
_COMPRESSION_LEVEL: Final = 3
_CLIENT: Final = Config(
    connect_timeout=3,
    read_timeout=20,
    retries={"total_max_attempts": 3, "mode": "standard"},
    signature_version="s3v4",
    # Checksums in trailers are AWS's own; other stores refuse them.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)
# Outside of AWS a bucket seldom has a host name of its own.
_CLIENT_OF_ENDPOINT: Final = _CLIENT.merge(Config(s3={"addressing_style": "path"}))


def blob_put(key: str, lines: bytes) -> None:
    """Store a blob durably under its key, replacing what is there. Raises BlobStoreUnavailable."""
    with _mapped_errors():
        _storage().save(key, ContentFile(zstandard.ZstdCompressor(level=_COMPRESSION_LEVEL).compress(lines)))


def blob_read(key: str) -> bytes:
    """Return the JSON lines of a blob. Raises BlobMissing and BlobStoreUnavailable."""
    with _mapped_errors():
        try:
            with _storage().open(key, "rb") as stored:
                return zstandard.ZstdDecompressor().decompress(stored.read())
        except FileNotFoundError as error:
            raise BlobMissing(key) from error


def blobs_delete(keys: Iterable[str]) -> int:
    """Delete blobs, 1,000 with each request, and return the number of keys; keys without a blob are no error.

    Raises BlobStoreUnavailable when any of them could not be deleted.
    """
    deleted = 0
    for page in batched(keys, KEYS_PER_REQUEST, strict=False):
        with _mapped_errors():
            answer = _client().delete_objects(
                Bucket=settings.RECORDINGS_S3_BUCKET,
                Delete={"Objects": [{"Key": key} for key in page], "Quiet": True},
            )
        if answer.get("Errors"):
            raise BlobStoreUnavailable
        deleted += len(page)
    return deleted


def blobs_present(keys: Iterable[str]) -> list[str]:
    """Return those of the keys that have a blob, by listing their sessions. Raises BlobStoreUnavailable."""
    by_prefix: dict[str, set[str]] = {}
    for key in keys:
        by_prefix.setdefault(key.rpartition("/")[0] + "/", set()).add(key)
    return [key for prefix, wanted in by_prefix.items() for key in keys_below(prefix) if key in wanted]


def keys_below(prefix: str) -> Iterator[str]:
    """Yield every key that begins with a prefix. Raises BlobStoreUnavailable."""
    with _mapped_errors():
        pages = _client().get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=settings.RECORDINGS_S3_BUCKET, Prefix=prefix):
            for found in page.get("Contents", ()):
                yield found["Key"]


def _client() -> Any:  # noqa: ANN401 boto3 makes its clients at run time
    return _storage().connection.meta.client


def _storage() -> S3Storage:
    return _storage_of(
        settings.RECORDINGS_S3_BUCKET,
        settings.RECORDINGS_S3_ENDPOINT_URL,
        settings.RECORDINGS_S3_REGION,
        settings.RECORDINGS_S3_ACCESS_KEY,
        settings.RECORDINGS_S3_SECRET_KEY,
    )


@lru_cache(maxsize=4)
def _storage_of(bucket: str, endpoint_url: str, region: str, access_key: str, secret_key: str) -> S3Storage:
    """Return the storage of these settings; empty ones are left to boto3 (instance roles, AWS's own endpoint)."""
    given: dict[str, Any] = {
        "endpoint_url": endpoint_url or None,
        "region_name": region or None,
        "access_key": access_key or None,
        "secret_key": secret_key or None,
    }
    return S3Storage(
        bucket_name=bucket,
        file_overwrite=True,
        default_acl=None,
        client_config=_CLIENT_OF_ENDPOINT if endpoint_url else _CLIENT,
        **{name: value for name, value in given.items() if value is not None},
    )


@contextmanager
def _mapped_errors() -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise BlobStoreUnavailable from error
