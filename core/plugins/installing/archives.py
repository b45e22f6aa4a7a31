"""Archives of plugins, zip or tgz, read in memory: nothing is ever unpacked, and what is not plain is refused.

Refused are archives with links, devices, encrypted files, paths that lead out of them, or more than the limits below
say. An archive in an archive is a file like any other, and is not opened.
"""

import gzip
import io
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from core.plugins.installing.tars import TarError, tar_entries

MAX_BYTES: Final = 10 * 1024 * 1024
"""Of the archive as it comes."""
MAX_ENTRIES: Final = 5_000
MAX_UNPACKED: Final = 50 * 1024 * 1024
MAX_RATIO: Final = 100
"""How much larger the files may be than the archive, once they are more than RATIO_FREE bytes together."""
RATIO_FREE: Final = 1024 * 1024
MAX_FILE: Final = 2 * 1024 * 1024
"""Of a file that is read."""
MAX_DEPTH: Final = 20
MAX_PATH: Final = 500

_NO_ARCHIVE: Final = "The file is neither a zip nor a tgz archive."
_TOO_LARGE: Final = "The archive is too large when unpacked."
_CENTRAL_ENTRY: Final = b"PK\x01\x02"
_ZIP64_END: Final = b"PK\x06\x07"
_GZIP: Final = b"\x1f\x8b"
_ENCRYPTED: Final = 0x1
_METHODS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_UNIX: Final = 3
# Left by macOS beside the files that were meant.
_IGNORED_FOLDERS: Final = frozenset({"__MACOSX"})


class ArchiveRefusedError(ValueError):
    """An archive that is not read; the text says why, for the one who sent it."""


@dataclass(frozen=True, slots=True)
class _Entry:
    path: str
    size: int
    read: Callable[[], bytes]


class PluginArchive:
    """The files of a plugin, by their path below the folder that has `plugin.json`."""

    def __init__(self, data: bytes, folder: str = "") -> None:
        """Look through an archive, or in a folder below its only one; raises ArchiveRefusedError."""
        if len(data) > MAX_BYTES:
            message = f"The archive is larger than {MAX_BYTES // 1024 // 1024} MB."
            raise ArchiveRefusedError(message)
        entries = _tgz_entries(data) if data.startswith(_GZIP) else _zip_entries(data)
        self._files = _checked(entries, len(data))
        self._root = _root(self._files, folder)

    def text(self, name: str) -> str | None:
        """Return a file as text, or None; raises ArchiveRefusedError when it is too large or no UTF-8."""
        entry = self._files.get(self._root + name)
        if entry is None:
            return None
        if entry.size > MAX_FILE:
            message = f"{name} is larger than {MAX_FILE // 1024 // 1024} MB."
            raise ArchiveRefusedError(message)
        try:
            return entry.read().decode("utf-8-sig")
        except UnicodeDecodeError:
            message = f"{name} is not text in UTF-8."
            raise ArchiveRefusedError(message) from None


def _checked(entries: Iterator[_Entry], packed: int) -> dict[str, _Entry]:
    files: dict[str, _Entry] = {}
    unpacked = 0
    for number, entry in enumerate(entries, 1):
        if number > MAX_ENTRIES:
            message = f"The archive has more than {MAX_ENTRIES} entries."
            raise ArchiveRefusedError(message)
        path = _path(entry.path)
        unpacked += entry.size
        if unpacked > MAX_UNPACKED or (unpacked > RATIO_FREE and unpacked > packed * MAX_RATIO):
            raise ArchiveRefusedError(_TOO_LARGE)
        if path.endswith("/"):
            continue
        if path in files:
            message = "The archive has a path twice."
            raise ArchiveRefusedError(message)
        files[path] = entry
    return files


def _path(path: str) -> str:
    """Return a path of an entry without `./`; raises ArchiveRefusedError for one that could mean another place."""
    path = path.removeprefix("./")
    parts = path.removesuffix("/").split("/")
    windows = "\\" in path or ":" in parts[0]
    if path.startswith("/") or windows or ".." in parts or not path.isprintable():
        message = "The archive has a path that leads out of it."
        raise ArchiveRefusedError(message)
    if len(parts) > MAX_DEPTH or len(path) > MAX_PATH:
        message = "The archive has a path that is too long or too deep."
        raise ArchiveRefusedError(message)
    return path


def _root(files: dict[str, _Entry], wanted: str) -> str:
    """Return the folder of the plugin, with a slash: the top of the archive, or the one folder that is there."""
    manifest = f"{wanted}/plugin.json" if wanted else "plugin.json"
    if manifest in files:
        return manifest.removesuffix("plugin.json")
    folders = {
        folder
        for folder, _, rest in (path.partition("/") for path in files)
        if rest == manifest and folder not in _IGNORED_FOLDERS
    }
    if not folders:
        message = "Could not find plugin.json in the plugin"
        raise ArchiveRefusedError(message)
    if len(folders) > 1:
        message = "The archive has more than one folder with a plugin.json."
        raise ArchiveRefusedError(message)
    return f"{folders.pop()}/{manifest.removesuffix('plugin.json')}"


def _zip_entries(data: bytes) -> Iterator[_Entry]:
    # Python's reader makes an object of each entry before anyone can count them; each begins with this signature.
    if data.count(_CENTRAL_ENTRY) > MAX_ENTRIES:
        message = f"The archive has more than {MAX_ENTRIES} entries."
        raise ArchiveRefusedError(message)
    if _ZIP64_END in data[-70_000:]:
        raise ArchiveRefusedError(_NO_ARCHIVE)
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        raise ArchiveRefusedError(_NO_ARCHIVE) from None
    for info in archive.infolist():
        _refuse_special(info)
        yield _Entry(info.filename, info.file_size, lambda info=info: _zip_read(archive, info))  # type: ignore[misc]  # bound at once


def _refuse_special(info: zipfile.ZipInfo) -> None:
    if info.flag_bits & _ENCRYPTED:
        message = "The archive has encrypted files."
        raise ArchiveRefusedError(message)
    kind = stat.S_IFMT(info.external_attr >> 16)
    if info.create_system == _UNIX and kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        message = "The archive has links or special files."
        raise ArchiveRefusedError(message)
    if info.compress_type not in _METHODS:
        message = "The archive is compressed in an unusual way; use deflate."
        raise ArchiveRefusedError(message)


def _zip_read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    try:
        with archive.open(info) as file:
            found = file.read(MAX_FILE + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError, OSError):
        message = "The archive is damaged."
        raise ArchiveRefusedError(message) from None
    if len(found) != info.file_size:
        raise ArchiveRefusedError(_TOO_LARGE if len(found) > info.file_size else "The archive is damaged.")
    return found


def _tgz_entries(data: bytes) -> Iterator[_Entry]:
    most = min(MAX_UNPACKED, max(RATIO_FREE, len(data) * MAX_RATIO))
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            # Headers and padding of the entries come to the files.
            unpacked = file.read(most + MAX_ENTRIES * 1024 + 1)
    except (OSError, EOFError, zlib.error):
        raise ArchiveRefusedError(_NO_ARCHIVE) from None
    if len(unpacked) > most + MAX_ENTRIES * 1024:
        raise ArchiveRefusedError(_TOO_LARGE)
    try:
        for entry in tar_entries(unpacked):
            if not entry.is_plain:
                message = "The archive has links or special files."
                raise ArchiveRefusedError(message)
            begin = entry.begin
            yield _Entry(
                entry.path,
                entry.size,
                lambda begin=begin, size=entry.size: unpacked[begin : begin + size],  # type: ignore[misc]  # bound at once
            )
    except TarError:
        raise ArchiveRefusedError(_NO_ARCHIVE) from None
