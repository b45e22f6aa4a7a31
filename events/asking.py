"""How a statement of the query user reaches ClickHouse: checked, sent, and its answer or error read.

Plain HTTP and not the driver, which asks for settings and tables of the server first and has defaults that this user
may not set.
"""

import json  # noqa: TID251 orjson rounds whole numbers of more than 64 bits
import logging
import os
import re
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlencode, urlsplit

import orjson
import urllib3
from django.conf import settings as django_settings

from events import query_guard
from events.errors import EventStoreError, QueryMistake, QueryTimeout, StoreUnavailable
from events.mistakes import error_of, too_many_bytes

CONNECT_TIMEOUT_SECONDS: Final = 2
# Longer parameters travel in a form, as proxies and servers cut URLs.
MOST_URL_BYTES: Final = 4 * 1024
# What a server takes in one form field (http_max_field_value_size).
LONGEST_FIELD_BYTES: Final = 128 * 1024
HTTP_OK: Final = 200
# Where nothing answers: what an unset CLICKHOUSE_QUERY_URL stands for.
NOBODY: Final = "http://127.0.0.1:1/"
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_CODE: Final = "X-ClickHouse-Exception-Code"
_IN_TEXT: Final = re.compile(r"Code: (\d{1,4})\. DB::Exception")
_TAIL: Final = 16 * 1024
CHUNK_BYTES: Final = 256 * 1024
_SUMMARY: Final = "X-ClickHouse-Summary"

logger = logging.getLogger(__name__)


class Abandoned(Exception):  # noqa: N818 the name says what happened
    """The server may still be busy with a statement that nobody waits for any more; `error` says why."""

    def __init__(self, error: EventStoreError) -> None:
        """Keep what the caller is told."""
        super().__init__()
        self.error = error


@dataclass(frozen=True, slots=True)
class Asked:
    """The answer to a caller's statement: (name, ClickHouse's type) of each column, rows as JSON has them.

    Times are ISO text in UTC, NaN and infinities None. `elapsed` is in seconds, `memory` in bytes and 0 where the
    server does not tell.
    """

    columns: tuple[tuple[str, str], ...]
    rows: list[list[Any]]
    rows_read: int
    bytes_read: int
    elapsed: float
    memory: int


class _PerThread(threading.local):
    pool: urllib3.PoolManager | None = None


_per_thread = _PerThread()


def _forget() -> None:
    # A forked child must not talk on its parent's sockets.
    _per_thread.pool = None


os.register_at_fork(after_in_child=_forget)


def statement_post(
    sql: str, bound: Mapping[str, str], settings: Mapping[str, str | int], *, seconds: float, longest: int
) -> Asked:
    """Send a SELECT with its `param_...` texts and settings; wait for so many seconds, read so many bytes of JSON.

    Raises Abandoned, and everything of events.errors that a statement can meet.
    """
    word = query_guard.forbidden(sql)
    if word is not None:
        logger.error("a HogQL statement was refused by the guard: %s", word)
        raise QueryMistake("query_is_prohibited", "The query asks for something that is not allowed.")
    try:
        answer = _post(sql, bound, settings, seconds)
        body, whole = _body(answer, longest)
    except urllib3.exceptions.ReadTimeoutError as error:
        raise Abandoned(QueryTimeout()) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise StoreUnavailable from error
    if answer.status == HTTP_OK and _CODE not in answer.headers and whole:
        with suppress(orjson.JSONDecodeError):
            return _asked(body, answer.headers.get(_SUMMARY) or "{}")
    # An error that came when a part of the answer was on its way already stands at its end. Others are all there is,
    # and quote the statement behind what they say.
    text = (body[-_TAIL:] if answer.status == HTTP_OK else body[:_TAIL]).decode(errors="replace")
    code = answer.headers.get(_CODE) or next(iter(_IN_TEXT.findall(text)[-1:]), "")
    raise error_of(int(code), text) if code.isdecimal() else StoreUnavailable


def _body(answer: urllib3.BaseHTTPResponse, longest: int) -> tuple[bytes, bool]:
    """Return what arrived, and whether that is all."""
    body = bytearray()
    try:
        # As much as is there: of a connection that breaks, what came before counts.
        while chunk := answer.read1(CHUNK_BYTES):
            body += chunk
            # Constant columns count once for ClickHouse's own limit, and stand in every row of the JSON.
            if len(body) > longest:
                raise Abandoned(too_many_bytes())
    except urllib3.exceptions.ProtocolError:
        return bytes(body), False
    finally:
        # One that was read to its end is back in the pool by then, and keeps its connection.
        answer.close() if len(body) > longest else answer.release_conn()
    return bytes(body), True


def _post(
    sql: str, bound: Mapping[str, str], settings: Mapping[str, str | int], seconds: float
) -> urllib3.BaseHTTPResponse:
    parts = urlsplit(django_settings.CLICKHOUSE_QUERY_URL or NOBODY)
    words: dict[str, Any] = {**settings, "database": unquote(parts.path.strip("/")) or "default"}
    words["default_format"] = "JSONCompact"
    fits = sum(map(len, bound.values())) <= MOST_URL_BYTES
    form = None if fits else {"query": sql, **bound}
    body = sql.encode() if fits else None
    if any(len(value.encode()) > LONGEST_FIELD_BYTES for value in (form or {}).values()):
        raise QueryMistake("query_is_too_large", "The query is too long.")
    server = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    target = f"/?{urlencode({**words, **(bound if fits else {})})}"
    timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT_SECONDS, read=seconds)
    if _per_thread.pool is None:
        _per_thread.pool = urllib3.PoolManager(num_pools=2, maxsize=1, retries=False)
    # A whole URL would be taken apart and encoded twice, which takes longer than sending it.
    return _per_thread.pool.connection_from_url(server).request(
        "POST", target, body=body, fields=form, headers=_headers(parts), timeout=timeout, preload_content=False
    )


def _headers(parts: SplitResult) -> dict[str, str]:
    login = urllib3.make_headers(basic_auth=f"{unquote(parts.username or '')}:{unquote(parts.password or '')}")
    return login if parts.hostname in LOOPBACK else {**login, "Accept-Encoding": "gzip"}


_WIDE: Final = re.compile(r"Int(?:128|256)")


def _exact(text: str) -> int | str:
    """Return a whole number; as text if JSON's readers would round it."""
    number = int(text)
    return number if -(2**63) <= number < 2**64 else text


def _asked(body: bytes, summary: str) -> Asked:
    found = orjson.loads(body)
    columns = tuple((column["name"], column["type"]) for column in found["meta"])
    if any(_WIDE.search(kind) for _, kind in columns):
        # orjson reads what does not fit into 64 bits as a rounded float.
        found = json.loads(body, parse_int=_exact)
    statistics = found["statistics"]
    return Asked(
        columns=columns,
        rows=found["data"],
        rows_read=statistics["rows_read"],
        bytes_read=statistics["bytes_read"],
        elapsed=statistics["elapsed"],
        memory=int(orjson.loads(summary).get("memory_usage", 0)),
    )
