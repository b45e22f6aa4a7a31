"""Files of events as a stream of records: JSONL or CSV, plain or gzip, in bounded memory."""

import csv
import gzip
import hashlib
import io
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, BinaryIO, Final, Self, cast

from django.conf import settings

from core.capture.documents import read_document, repaired
from core.capture.refusals import Refusal

STDIN: Final = "-"
_GZIP: Final = b"\x1f\x8b"
_UNREADABLE: Final = {b"PAR1": "Parquet; export as JSONLines instead", b"\x28\xb5\x2f\xfd": "zstd; decompress it first"}
_BUFFER: Final = 1 << 20
_BLANK: Final = b"\xef\xbb\xbf \t\r\n"
_REQUIRED_COLUMNS: Final = ("event", "distinct_id", "timestamp")
_DELIMITERS: Final = ",;\t"
# Objects that the protocol knows: their own keys are further parts of a column's name.
_NESTED: Final = frozenset({"$set", "$set_once", "$groups", "$group_set"})
_JSON_PROPERTIES: Final = _NESTED | {"$unset", "$elements"}
_FLAGS: Final = frozenset(
    {"$process_person_profile", "$ignore_sent_at", "$cookieless_mode", "$is_server", "$geoip_disable"}
)


class FileRefusedError(Exception):
    """A whole file cannot be read; the text says why."""


class RowRefusedError(ValueError):
    """One row, or one event of it, cannot be imported; the text says why."""


class Format(StrEnum):
    """How the records of a file are told apart."""

    AUTO = "auto"
    JSONL = "jsonl"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class Record:
    """One line of JSONL or one row of CSV, not looked into yet."""

    line: int
    content: bytes | dict[str, str]
    problem: str = ""

    def document(self) -> Any:  # noqa: ANN401 any JSON value
        """Return the JSON value of a line, or a row's cells as the event they describe."""
        if self.problem:
            raise RowRefusedError(self.problem)
        if isinstance(self.content, bytes):
            return read_json(self.content)
        return _event_of_cells(self.content)

    @property
    def size(self) -> int:
        """Characters or bytes, as a hint of how large its events can be."""
        return len(self.content) if isinstance(self.content, bytes) else sum(map(len, self.content.values()))


def read_json(text: bytes | str) -> Any:  # noqa: ANN401 any JSON value
    """Parse JSON that came from a file."""
    try:
        return read_document(text.encode() if isinstance(text, str) else text)
    except Refusal as refusal:
        raise RowRefusedError(refusal.detail.removeprefix("failed to parse request: ")) from refusal


class EventFile:
    """An open file of events. `digest` names its content; standard input has none."""

    def __init__(self, name: str, raw: io.BufferedReader, form: Format) -> None:
        self.name = name
        self.digest: str | None = None
        self.size: int | None = None
        self._raw = raw
        if name != STDIN:
            self.digest = hashlib.file_digest(raw, "sha256").hexdigest()
            self.size = raw.tell()
            raw.seek(0)
        self._stream = self._decompressed()
        self._format = form if form is not Format.AUTO else self._guessed()

    @classmethod
    @contextmanager
    def open(cls, name: str, form: Format = Format.AUTO) -> Iterator[Self]:
        """Open a path, or standard input for `-`."""
        if name == STDIN:
            yield cls(name, cast("io.BufferedReader", sys.stdin.buffer), form)
            return
        try:
            raw: io.BufferedReader = io.BufferedReader(io.FileIO(name), _BUFFER)
        except OSError as error:
            message = f"{name}: {error.strerror}"
            raise FileRefusedError(message) from error
        with raw:
            try:
                opened = cls(name, raw, form)
            except OSError as error:
                message = f"{name}: {error.strerror}"
                raise FileRefusedError(message) from error
            yield opened

    def position(self) -> int:
        """Return how many bytes of the file have been read."""
        return self._raw.tell() if self.size is not None else 0

    def records(self) -> Iterator[Record]:
        """Yield every record that is not blank; FileRefusedError when the rest cannot be read."""
        try:
            yield from self._csv() if self._format is Format.CSV else self._lines()
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            message = f"{self.name}: broken gzip: {error}"
            raise FileRefusedError(message) from error

    def _decompressed(self) -> io.BufferedReader:
        start = self._raw.peek(4)[:4]
        if start in _UNREADABLE:
            message = f"{self.name}: this is {_UNREADABLE[start]}"
            raise FileRefusedError(message)
        if start.startswith(_GZIP):
            unpacked: Any = gzip.GzipFile(fileobj=self._raw, mode="rb")
            return io.BufferedReader(unpacked, _BUFFER)
        return self._raw

    def _guessed(self) -> Format:
        try:
            start = self._stream.peek(1).lstrip(_BLANK)[:1]
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            message = f"{self.name}: broken gzip: {error}"
            raise FileRefusedError(message) from error
        return Format.JSONL if start in (b"{", b"[", b"") else Format.CSV

    def _lines(self) -> Iterator[Record]:
        limit = settings.CAPTURE_MAX_DECOMPRESSED_BYTES
        number = 0
        while line := self._stream.readline(limit + 1):
            number += 1
            if len(line) > limit:
                _skip_line(self._stream, line)
                yield Record(number, b"", f"longer than {limit} bytes")
            elif content := line.strip():
                yield Record(number, content)

    def _csv(self) -> Iterator[Record]:
        csv.field_size_limit(settings.CAPTURE_MAX_DECOMPRESSED_BYTES)
        first = self._stream.peek(1).split(b"\n", 1)[0].decode(errors="replace")
        text = io.TextIOWrapper(self._stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
        reader = csv.reader(text, delimiter=max(_DELIMITERS, key=first.count))
        try:
            header = [name.strip().removeprefix("*.") for name in next(reader, [])]
            missing = [name for name in _REQUIRED_COLUMNS if name not in header]
            if missing:
                message = f"{self.name}: no column {', '.join(missing)} in the first row"
                raise FileRefusedError(message)
            yield from _csv_records(reader, header)
        finally:
            text.detach()


def _skip_line(stream: BinaryIO, line: bytes) -> None:
    while line and not line.endswith(b"\n"):
        line = stream.readline(_BUFFER)


def _csv_records(reader: Any, header: Sequence[str]) -> Iterator[Record]:  # noqa: ANN401 csv names no public type
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Record(line, {}, str(error))
            continue
        if not cells:
            continue
        if len(cells) != len(header):
            yield Record(line, {}, f"{len(cells)} cells, but {len(header)} columns")
            continue
        yield Record(line, {name: cell for name, cell in zip(header, cells, strict=True) if cell})


def _event_of_cells(cells: dict[str, str]) -> dict[str, Any]:
    """Fold the cells of a row into one event; cells are text, except where the protocol wants an object or a flag."""
    try:
        "".join(cells.values()).encode()
    except UnicodeEncodeError as error:
        raise RowRefusedError("not UTF-8") from error
    event: dict[str, Any] = {}
    folded: dict[str, Any] = {}
    for name, cell in cells.items():
        first, _, rest = name.partition(".")
        if first == "properties" and rest:
            _put_property(folded, rest, cell)
        elif first in {"$set", "$set_once", "set", "set_once"} and rest:
            _put_property(folded, f"${name.removeprefix('$')}", cell)
        else:
            event[name] = cell
    if folded:
        whole = read_json(event["properties"]) if "properties" in event else {}
        if not isinstance(whole, dict):
            raise RowRefusedError("properties is not a JSON object")
        event["properties"] = {**whole, **folded}
    return repaired(event) if any("\x00" in cell for cell in cells.values()) else event


def _put_property(properties: dict[str, Any], name: str, cell: str) -> None:
    outer, _, inner = name.partition(".")
    if outer in _NESTED and inner:
        nested = properties.setdefault(outer, {})
        if not isinstance(nested, dict):
            message = f"{outer} is both an object and a value"
            raise RowRefusedError(message)
        nested[inner] = cell
    elif name in _JSON_PROPERTIES:
        properties[name] = read_json(cell)
    elif name in _FLAGS and cell.lower() in {"true", "false"}:
        properties[name] = cell.lower() == "true"
    else:
        properties[name] = cell
