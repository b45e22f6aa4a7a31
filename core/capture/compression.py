"""Decompression that stops as soon as a limit is passed, so that a small bomb never becomes a large memory."""

import io
import zlib

import brotli  # type: ignore[import-untyped]  # ships no stubs
import zstandard

GZIP_MAGIC = b"\x1f\x8b\x08"
_ZSTD_MAX_WINDOW_BYTES = 8 * 1024 * 1024
_ZSTD_STEP_BYTES = 256
_GZIP_WINDOW, _ZLIB_WINDOW, _RAW_DEFLATE_WINDOW = 31, 15, -15


class OutputTooLarge(ValueError):  # noqa: N818 reads as the reason
    """The decompressed data would pass the limit."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"decompressed data is larger than {limit} bytes")


def gunzip(data: bytes, limit: int) -> bytes:
    """Decompress one or more gzip members; ValueError when broken or cut short."""
    return _inflate(data, limit, _GZIP_WINDOW)


def inflate(data: bytes, limit: int) -> bytes:
    """Decompress HTTP's deflate: zlib, or the headerless form some clients send under that name."""
    try:
        return _inflate(data, limit, _ZLIB_WINDOW)
    except OutputTooLarge:
        raise
    except ValueError:
        return _inflate(data, limit, _RAW_DEFLATE_WINDOW)


def _inflate(data: bytes, limit: int, window: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while data:
        stream = zlib.decompressobj(window)
        try:
            part = stream.decompress(data, limit - size + 1)
        except zlib.error as error:
            raise ValueError(str(error)) from error
        size += len(part)
        if size > limit:
            raise OutputTooLarge(limit)
        if not stream.eof:
            message = "compressed data ends too early"
            raise ValueError(message)
        parts.append(part)
        # Zeros after a member are padding (RFC 1952 leaves room for it), anything else is the next member.
        data = stream.unused_data.lstrip(b"\0")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def brotli_decode(data: bytes, limit: int) -> bytes:
    """Decompress brotli."""
    stream = brotli.Decompressor()
    parts: list[bytes] = []
    size = 0
    try:
        part = stream.process(data, output_buffer_limit=limit + 1)
        while True:
            parts.append(part)
            size += len(part)
            if size > limit:
                raise OutputTooLarge(limit)
            if stream.is_finished():
                return b"".join(parts)
            if stream.can_accept_more_data():
                message = "compressed data ends too early"
                raise ValueError(message)
            part = stream.process(b"", output_buffer_limit=limit - size + 1)
    except brotli.error as error:
        raise ValueError(str(error)) from error


def zstd_decode(data: bytes, limit: int) -> bytes:
    """Decompress zstandard, with a bound on the window that the sender may ask for."""
    stream = zstandard.ZstdDecompressor(max_window_size=_ZSTD_MAX_WINDOW_BYTES).decompressobj(read_across_frames=False)
    parts: list[bytes] = []
    size = 0
    source = io.BytesIO(data)
    try:
        # The object form has no output limit, but a block holds at most 128 KiB and takes at least 4 bytes,
        # so that one step of this size makes at most 8 MiB.
        while chunk := source.read(_ZSTD_STEP_BYTES):
            part = stream.decompress(chunk)
            parts.append(part)
            size += len(part)
            if size > limit:
                raise OutputTooLarge(limit)
            if stream.eof:
                return b"".join(parts)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error
    message = "compressed data ends too early"
    raise ValueError(message)
