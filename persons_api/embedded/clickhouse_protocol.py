"""ClickHouse's HTTP interface without sockets and without an engine: statements, settings, bodies, error codes."""

import gzip
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import IO, Protocol

import lz4.frame
import zstandard

HEAD_BYTES = 256 * 1024
MAX_BODY_BYTES = 512 * 1024 * 1024
MAX_SQL_BYTES = 4 * 1024 * 1024

_TOKEN = re.compile(
    rb"\s+|--[^\n]*|\#[! ][^\n]*|/\*.*?\*/"
    rb"|'(?:[^'\\]++|\\.|'')*+'|\"(?:[^\"\\]++|\\.|\"\")*+\"|`(?:[^`\\]++|\\.|``)*+`"
    rb"|[A-Za-z_][A-Za-z0-9_]*+|.",
    re.DOTALL,
)
_AFTER_FORMAT = re.compile(rb"[ \t\f]*\r?\n?")
_TAIL_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*(?:SETTINGS\b[^;]*)?;?\s*$", re.IGNORECASE)
_SETTING_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_CODE = re.compile(r"Code: (\d+)")

READING = frozenset({"SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN", "CHECK", "FROM", "VALUES"})

# Transport words of the HTTP interface: known to clients, without meaning for one engine in one process.
_IGNORED = frozenset(
    {
        "session_id", "session_timeout", "session_check", "buffer_size", "quota_key", "client_protocol_version",
        "role", "wait_end_of_query", "stacktrace", "send_progress_in_http_headers", "enable_http_compression",
        "http_headers_progress_interval_ms", "cancel_http_readonly_queries_on_client_close", "user", "password",
        "http_zlib_compression_level", "http_response_buffer_size", "add_http_cors_header",
    }
)  # fmt: skip

SYNTAX_ERROR = 62
TOO_LARGE = 307
NOT_IMPLEMENTED = 48
UNKNOWN_COMPRESSION = 89
READONLY = 164
TOO_MANY_QUERIES = 202
QUERY_IS_PROHIBITED = 392
QUERY_WAS_CANCELLED = 394
ACCESS_DENIED = 497
AUTHENTICATION_FAILED = 516
INCORRECT_DATA = 117

_STATUS = {
    **dict.fromkeys((6, 25, 26, 27, 36, 38, 41, 49, 50, 53, 62, 72, 117, 167, 168, 321, 376, 427, 457, 675, 676), 400),
    **dict.fromkeys((46, 47, 56, 60, 63, 73, 78, 81, 115, 336), 404),
    ACCESS_DENIED: HTTPStatus.FORBIDDEN,
    AUTHENTICATION_FAILED: HTTPStatus.FORBIDDEN,
    TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    NOT_IMPLEMENTED: HTTPStatus.NOT_IMPLEMENTED,
    UNKNOWN_COMPRESSION: HTTPStatus.BAD_REQUEST,
    TOO_MANY_QUERIES: HTTPStatus.SERVICE_UNAVAILABLE,
    159: HTTPStatus.REQUEST_TIMEOUT,
    209: HTTPStatus.SERVICE_UNAVAILABLE,
    439: HTTPStatus.SERVICE_UNAVAILABLE,
}


class FrontError(Exception):
    """An answer in the server's own form: numeric code, HTTP status by code, text."""

    def __init__(self, code: int, text: str) -> None:
        """Keep the code for the header and the text for the body."""
        super().__init__(text)
        self.code = code
        self.text = text if text.startswith("Code:") else f"Code: {code}. DB::Exception: {text}"

    @property
    def status(self) -> int:
        """HTTP status that the real server gives to this code."""
        return int(_STATUS.get(self.code, HTTPStatus.INTERNAL_SERVER_ERROR))


def engine_error(error: Exception) -> FrontError:
    """Take the engine's code out of its message, dropping the wrapper that streaming inserts put before it."""
    text = str(error)
    found = _CODE.search(text)
    if found is None:
        return FrontError(1001, text)
    return FrontError(int(found[1]), text[found.start() :])


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement: its SQL, and for an INSERT with data the format and where in the body the data begins."""

    sql: str
    keyword: str
    insert_format: str | None = None
    data_at: int = 0


@dataclass(frozen=True, slots=True)
class Options:
    """What a request says beside its statement."""

    database: str = ""
    default_format: str = "TabSeparated"
    query_id: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)


def read_options(pairs: Mapping[str, str], headers: Mapping[str, str]) -> Options:
    """Split URL and form fields into parameters, settings and transport words."""
    settings: dict[str, str] = {}
    parameters: dict[str, str] = {}
    for name, value in pairs.items():
        if name.startswith("param_"):
            parameters[name[6:]] = value
        elif name in {"compress", "decompress"}:
            if value not in {"", "0"}:
                raise FrontError(NOT_IMPLEMENTED, f"{name}=1 (native block compression) is not spoken here")
        elif name in {"query", "database", "default_format", "query_id"} or name in _IGNORED:
            continue
        elif not _SETTING_NAME.fullmatch(name):
            raise FrontError(115, f"Unknown setting '{name[:100]}'")
        else:
            settings[name] = value
    return Options(
        database=pairs.get("database") or headers.get("X-ClickHouse-Database", ""),
        default_format=pairs.get("default_format") or headers.get("X-ClickHouse-Format") or "TabSeparated",
        query_id=pairs.get("query_id", ""),
        settings=settings,
        parameters=parameters,
    )


def _words(text: bytes) -> Iterator[tuple[bytes, int, int, int]]:
    """Tokens that are neither space nor comment, with start, end and depth of parentheses; lazy, data may follow."""
    depth = 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token[:1].isspace() or token[:2] in {b"--", b"/*", b"#!", b"# "}:
            continue
        if token == b"(":
            depth += 1
        elif token == b")":
            depth -= 1
        yield token, match.start(), match.end(), depth


def _first_word(text: bytes) -> str:
    for token, *_ in _words(text):
        if token != b"(":
            return token.decode().upper() if token[:1].isalpha() else ""
    return ""


def _insert(head: bytes) -> Statement | None:
    """Find where the data of an INSERT begins; None when all of it is SQL."""
    format_at = -1
    for token, start, end, depth in _words(head):
        if format_at >= 0 and token[:1].isalpha():
            data = _AFTER_FORMAT.match(head, end)
            return Statement(head[:format_at].decode(), "INSERT", token.decode(), data.end() if data else end)
        format_at = -1
        if depth == 0 and token.upper() == b"VALUES":
            return Statement(head[:start].decode(), "INSERT", "Values", end)
        if depth == 0 and token.upper() == b"FORMAT":
            format_at = start
    return None


def read_statement(text: bytes, *, complete: bool = True) -> Statement:
    """Read the statement at the start of a request; unless `complete`, more bytes follow `text`."""
    keyword = _first_word(text)
    if not text.strip():
        raise FrontError(SYNTAX_ERROR, "Syntax error: Empty query")
    try:
        if keyword == "INSERT":
            found = _insert(text[:HEAD_BYTES])
            # Short VALUES are left to the engine, which also knows parameters and expressions there.
            if found is not None and not (found.insert_format == "Values" and complete):
                return found
        if not complete:
            raise FrontError(SYNTAX_ERROR, f"Syntax error: Max query size exceeded ({MAX_SQL_BYTES} bytes)")
        return Statement(text.decode(), keyword)
    except UnicodeDecodeError as error:
        raise FrontError(SYNTAX_ERROR, "Syntax error: the statement is not UTF-8") from error


def refuse_several(sql: str) -> None:
    """Refuse a second statement, which the embedded engine would run and the server would not."""
    if ";" not in sql.rstrip("; \t\r\n"):
        return
    ended = False
    for token, *_ in _words(sql.encode()):
        if ended and token != b";":
            raise FrontError(SYNTAX_ERROR, "Syntax error (Multi-statements are not allowed)")
        ended = token == b";"


def answer_format(statement: Statement, options: Options) -> str | None:
    """Name the format of the answer, or None for statements that answer nothing."""
    if statement.keyword not in READING:
        return None
    found = _TAIL_FORMAT.search(statement.sql[-2000:])
    return found[1] if found else options.default_format


class Readable(Protocol):
    """What an insert reads its bytes from."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, empty at the end."""


class _Deflated:
    """Reads zlib or raw deflate from a file without ever inflating more than asked for."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._inflate = zlib.decompressobj()

    def read(self, size: int = -1, /) -> bytes:
        while not self._inflate.eof:
            data = self._inflate.unconsumed_tail or self._source.read(65536)
            out = self._inflate.decompress(data, max(size, 0))
            if out:
                return out
            if not data:
                break
        return b""


def decoded(source: IO[bytes], encoding: str) -> Readable:
    """Undo Content-Encoding while reading; memory stays bounded whatever the ratio."""
    if encoding in {"", "identity"}:
        return source
    if encoding == "gzip":
        return gzip.GzipFile(fileobj=source, mode="rb")
    if encoding == "deflate":
        return _Deflated(source)
    if encoding == "zstd":
        reader: Readable = zstandard.ZstdDecompressor().stream_reader(source, read_across_frames=True)
        return reader
    if encoding == "lz4":
        frame: Readable = lz4.frame.LZ4FrameFile(source, mode="rb")
        return frame
    raise FrontError(UNKNOWN_COMPRESSION, f"Unknown Content-Encoding '{encoding[:40]}'; use gzip, deflate, zstd or lz4")
