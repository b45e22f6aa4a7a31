"""The entries of a tar archive in memory: ustar with the long paths of GNU and POSIX, which is what tools write.

Python's own reader follows more extensions, and goes round in circles on crafted sizes (CVE-2025-8194).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_BLOCK: Final = 512
_MAX_LONG: Final = 64 * 1024
_FILES: Final = frozenset({b"0", b"\0", b"7"})
_FOLDER: Final = b"5"
_GNU_LONG_PATH: Final = b"L"
_POSIX_NEXT: Final = b"x"
_POSIX_ALL: Final = b"g"


class TarError(ValueError):
    """The bytes are no tar archive, or one with extensions that are not read."""


@dataclass(frozen=True, slots=True)
class TarEntry:
    """A file, a folder (its path ends in a slash), or, if not `is_plain`, a link or device. `begin` is an offset."""

    path: str
    begin: int
    size: int
    is_plain: bool


def tar_entries(data: bytes) -> Iterator[TarEntry]:
    """Yield the entries in their order; raises TarError."""
    position, long_path = 0, None
    while position + _BLOCK <= len(data):
        header = data[position : position + _BLOCK]
        if not any(header):
            return
        size = _size(header)
        begin = position + _BLOCK
        if begin + size > len(data):
            raise TarError
        position = begin + (size + _BLOCK - 1) // _BLOCK * _BLOCK
        kind = header[156:157]
        if kind in {_GNU_LONG_PATH, _POSIX_NEXT}:
            if size > _MAX_LONG:
                raise TarError
            content = data[begin : begin + size]
            long_path = _text(content) if kind == _GNU_LONG_PATH else (_posix_path(content) or long_path)
        elif kind != _POSIX_ALL:
            path, long_path = long_path or _path(header), None
            is_folder = kind == _FOLDER
            is_plain = is_folder or kind in _FILES
            yield TarEntry(f"{path.rstrip('/')}/" if is_folder else path, begin, 0 if is_folder else size, is_plain)
    # Some tools leave out the empty block at the end.
    if not 0 < position >= len(data):
        raise TarError


def _size(header: bytes) -> int:
    """Return the size in a header whose checksum is right."""
    wanted = _octal(header[148:156])
    if sum(header) - sum(header[148:156]) + 8 * 0x20 != wanted:
        raise TarError
    return _octal(header[124:136])


def _octal(field: bytes) -> int:
    text = field.partition(b"\0")[0].strip(b" ")
    if not text or text.strip(b"01234567"):
        raise TarError
    return int(text, 8)


def _path(header: bytes) -> str:
    name = _text(header[:100])
    prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _text(field: bytes) -> str:
    try:
        return field.partition(b"\0")[0].decode()
    except UnicodeDecodeError:
        raise TarError from None


def _posix_path(records: bytes) -> str | None:
    """Return the path among records (length, blank, key, `=`, value, line feed), or None.

    A size there would be another word than the header's, so it is refused.
    """
    path = None
    while records:
        length, blank, _ = records.partition(b" ")
        if not blank or not length.isdigit() or not len(length) + 3 <= int(length[:9]) <= len(records):
            raise TarError
        record, records = records[len(length) + 1 : int(length)], records[int(length) :]
        key, equals, value = record.removesuffix(b"\n").partition(b"=")
        if not equals or record[-1:] != b"\n" or key == b"size" or key.startswith(b"GNU.sparse"):
            raise TarError
        if key == b"path":
            if b"\0" in value:
                raise TarError
            path = _text(value)
    return path
