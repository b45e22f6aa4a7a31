"""What can go wrong with blobs."""


class BlobStoreUnavailable(Exception):  # noqa: N818 the names say what happened
    """The S3-compatible store is away or refuses us. Trying again later can help."""


class BlobMissing(LookupError):  # noqa: N818 the names say what happened
    """There is no blob with this key."""
