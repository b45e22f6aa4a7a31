"""ClickHouse's HTTP interface on loopback over one chDB folder: `python -m persons_api.embedded.clickhouse_front`."""

import argparse
import asyncio
import base64
import binascii
import hmac
import io
import itertools
import logging
import os
import re
import signal
import socket
import sys
import tempfile
import uuid
import zlib
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import IO

import orjson
import zstandard
from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage

from events import query_guard, query_user
from persons_api.embedded import clickhouse_protocol as protocol
from persons_api.embedded.clickhouse_engine import WAITING, Answer, Engine, Job
from persons_api.embedded.process import loopback_socket

CHUNK = 1024 * 1024
SMALL = 64 * 1024
SILENCE_SECONDS = 60
KEEPALIVE_SECONDS = 90
STOP_SECONDS = 8
_HOST = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::\d+)?", re.IGNORECASE)

logger = logging.getLogger("clickhouse_front")


class Front:
    """Turns HTTP requests into engine jobs and engine answers into HTTP answers."""

    def __init__(self, engine: Engine, *, password: str, query_password: str, spool: Path) -> None:
        """Serve `engine`; with a password every statement needs it. Without `query_password` there is no query user."""
        self._engine = engine
        self._password = password
        self._query_password = query_password
        self._spool = spool
        self._running = 0
        self.silent: set[web.RequestHandler] = set()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        self.silent.discard(request.protocol)
        query_id = request.query.get("query_id") or str(uuid.uuid4())
        try:
            refused = self._refused(request)
            if refused is not None:
                return refused
            if request.path == "/ping" or (request.path in {"/", "/replicas_status"} and _asks_nothing(request)):
                return web.Response(body=b"Ok.\n", content_type="text/html", charset="UTF-8")
            if request.path != "/":
                return web.Response(status=HTTPStatus.NOT_FOUND, text=f"There is no handle {request.path[:200]}\n")
            as_query_user = self._authenticate(request)
            return await self._statement(request, query_id, as_query_user=as_query_user)
        except protocol.FrontError as error:
            return _error(error, query_id, self._engine.version)
        except TimeoutError:
            return _error(protocol.FrontError(209, "Timeout exceeded while reading the request"), query_id, "")

    def _refused(self, request: web.BaseRequest) -> web.Response | None:
        """Keep out web pages: a foreign Host means DNS rebinding, an Origin means a script in a browser."""
        if _HOST.fullmatch(request.headers.get("Host", "")) is None:
            return web.Response(status=HTTPStatus.FORBIDDEN, text="Only loopback host names are served.\n")
        if "Origin" in request.headers:
            return web.Response(status=HTTPStatus.FORBIDDEN, text="Requests from web pages are not served.\n")
        if request.method not in {"GET", "POST", "HEAD"}:
            return web.Response(status=HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "GET, POST"})
        return None

    def _authenticate(self, request: web.BaseRequest) -> bool:
        """Return whether it is the query user who asks; any other name is the application's."""
        user = request.headers.get("X-ClickHouse-User") or request.query.get("user") or ""
        given = request.headers.get("X-ClickHouse-Key") or request.query.get("password") or ""
        kind, _, value = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() == "basic":
            with suppress(binascii.Error, ValueError):
                user, _, given = base64.b64decode(value, validate=True).decode().partition(":")
        as_query_user = user == query_user.USER
        password = self._query_password if as_query_user else self._password
        if (password or as_query_user) and not (password and hmac.compare_digest(given.encode(), password.encode())):
            text = "Authentication failed: password is incorrect, or there is no user with such name."
            raise protocol.FrontError(protocol.AUTHENTICATION_FAILED, text)
        return as_query_user

    async def _statement(self, request: web.BaseRequest, query_id: str, *, as_query_user: bool) -> web.Response:
        fields = dict(request.query)
        if request.content_type == "multipart/form-data":
            fields.update(await _form(request))
            options = protocol.read_options(fields, request.headers)
            statement = protocol.read_statement(fields.get("query", "").encode())
            return await self._run(request, Job(statement, options, as_query_user=as_query_user), query_id)
        options = protocol.read_options(fields, request.headers)
        encoding = request.headers.get("Content-Encoding", "").lower()
        query = fields.get("query", "")
        if (request.content_length or 0) <= SMALL and not request.headers.get("Transfer-Encoding"):
            small = io.BytesIO()
            await _receive(request, small)
            small.seek(0)
            job = _read_job(encoding, query, options, small)
            job.as_query_user = as_query_user
            return await self._run(request, job, query_id)
        with tempfile.SpooledTemporaryFile(max_size=16 * CHUNK, dir=str(self._spool)) as spooled:
            await _receive(request, spooled)
            spooled.seek(0)
            job = await asyncio.to_thread(_read_job, encoding, query, options, spooled)
            job.as_query_user = as_query_user
            return await self._run(request, job, query_id)

    async def _run(self, request: web.BaseRequest, job: Job, query_id: str) -> web.Response:
        reading = job.statement.keyword in protocol.READING
        if request.method != "POST" and not reading:
            text = "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly."
            raise protocol.FrontError(protocol.READONLY, text)
        if job.data is None:
            protocol.refuse_several(job.statement.sql)
        if job.as_query_user:
            _narrow(job)
        if self._running >= WAITING:
            raise protocol.FrontError(protocol.TOO_MANY_QUERIES, "Too many simultaneous queries")
        self._running += 1
        future = self._engine.submit(job)
        waiting = asyncio.wrap_future(future)
        waiting.add_done_callback(self._done)
        try:
            answer = await asyncio.shield(waiting)
        except asyncio.CancelledError:
            if reading:
                self._engine.cancel(job)
            # A write goes on without its client, and its body must stay open until the engine has read it.
            with suppress(protocol.FrontError):
                await waiting
            raise
        return self._answer(job, answer, query_id)

    def _done(self, _: object) -> None:
        self._running -= 1

    def _answer(self, job: Job, answer: Answer, query_id: str) -> web.Response:
        summary = {
            "read_rows": str(answer.read_rows),
            "read_bytes": str(answer.read_bytes),
            "written_rows": str(answer.written_rows),
            "written_bytes": str(answer.written_bytes),
            "result_rows": str(answer.result_rows),
            "result_bytes": str(len(answer.body)),
            "elapsed_ns": str(int(answer.elapsed * 1e9)),
        }
        headers = {
            "X-ClickHouse-Query-Id": query_id,
            "X-ClickHouse-Timezone": self._engine.timezone,
            "X-ClickHouse-Server-Display-Name": "embedded",
            "X-ClickHouse-Summary": orjson.dumps(summary).decode(),
        }
        shape = protocol.answer_format(job.statement, job.options)
        if shape is not None:
            headers["X-ClickHouse-Format"] = shape
        return web.Response(body=answer.body, headers=headers, content_type=_content_type(shape))


def _narrow(job: Job) -> None:
    """Refuse what the query user may not say or set; the engine's rules hold the rest."""
    word = query_guard.forbidden(job.statement.sql)
    if word is not None or job.data is not None:
        raise protocol.FrontError(protocol.QUERY_IS_PROHIBITED, f"This user cannot run: {word}")
    for name, value in job.options.settings.items():
        limit = query_user.LIMITS.get(name)
        if name == "log_comment" or query_user.FIXED.get(name) == value:
            continue
        if limit is None or not value.isdecimal() or not limit.minimum <= int(value) <= limit.maximum:
            raise protocol.FrontError(protocol.READONLY, f"Cannot modify '{name[:100]}' setting in readonly mode")


def _content_type(shape: str | None) -> str:
    if shape is None or shape.startswith(("TabSeparated", "TSV", "Pretty")):
        return "text/plain"
    if shape.startswith("JSON"):
        return "application/x-ndjson" if "EachRow" in shape else "application/json"
    return "text/csv" if shape.startswith("CSV") else "application/octet-stream"


def _asks_nothing(request: web.BaseRequest) -> bool:
    return request.method in {"GET", "HEAD"} and "query" not in request.query


def _error(error: protocol.FrontError, query_id: str, version: str) -> web.Response:
    ending = "" if "(version" in error.text else f" (version {version})"
    headers = {"X-ClickHouse-Exception-Code": str(error.code), "X-ClickHouse-Query-Id": query_id}
    return web.Response(status=error.status, text=f"{error.text}{ending}\n", headers=headers)


async def _receive(request: web.BaseRequest, target: IO[bytes]) -> None:
    """Spool the body as it was sent, bounded in size and in silence between two chunks."""
    if not request.can_read_body:
        return
    if (request.content_length or 0) > protocol.MAX_BODY_BYTES:
        raise protocol.FrontError(protocol.TOO_LARGE, f"The body is larger than {protocol.MAX_BODY_BYTES} bytes")
    received = 0
    while True:
        async with asyncio.timeout(SILENCE_SECONDS):
            chunk = await request.content.readany()
        if not chunk:
            return
        received += len(chunk)
        if received > protocol.MAX_BODY_BYTES:
            raise protocol.FrontError(protocol.TOO_LARGE, f"The body is larger than {protocol.MAX_BODY_BYTES} bytes")
        target.write(chunk)


async def _form(request: web.BaseRequest) -> dict[str, str]:
    """Read query and parameters that were sent as a form because they are too long for a URL."""
    fields: dict[str, str] = {}
    total = 0
    try:
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            name = getattr(part, "name", None)
            if name is None or getattr(part, "filename", None):
                raise protocol.FrontError(protocol.NOT_IMPLEMENTED, "External tables are not spoken here")
            async with asyncio.timeout(SILENCE_SECONDS):
                text = bytes(await part.read(decode=False))  # type: ignore[union-attr]  # nested readers have no name
            total += len(text)
            if total > protocol.MAX_SQL_BYTES * 4:
                raise protocol.FrontError(protocol.TOO_LARGE, "The form is too large")
            fields[name] = text.decode()
    except (ValueError, AssertionError) as error:
        raise protocol.FrontError(protocol.INCORRECT_DATA, f"The form cannot be read: {error}") from error
    return fields


def _pieces(source: protocol.Readable) -> Iterator[bytes]:
    """Decompressed chunks of a body, bounded in total; a broken stream is the client's fault."""
    total = 0
    while True:
        try:
            chunk = source.read(CHUNK)
        except (OSError, EOFError, ValueError, RuntimeError, zlib.error, zstandard.ZstdError) as error:
            raise protocol.FrontError(protocol.INCORRECT_DATA, f"The body cannot be decompressed: {error}") from error
        if not chunk:
            return
        total += len(chunk)
        if total > protocol.MAX_BODY_BYTES:
            raise protocol.FrontError(protocol.TOO_LARGE, f"The body is larger than {protocol.MAX_BODY_BYTES} bytes")
        yield chunk


def _read_job(encoding: str, query: str, options: protocol.Options, body: IO[bytes]) -> Job:
    """Tell statement from data: the statement is in the URL or the body, or begins in one and ends in the other."""
    pieces = _pieces(protocol.decoded(body, encoding))
    text = bytearray(query.encode())
    if query:
        text += b"\n"
    complete = False
    while len(text) <= protocol.MAX_SQL_BYTES and not complete:
        chunk = next(pieces, b"")
        complete = not chunk
        text += chunk
    statement = protocol.read_statement(bytes(text), complete=complete)
    if statement.insert_format is None:
        return Job(statement, options)
    return Job(statement, options, itertools.chain([bytes(text[statement.data_at :])], pieces))


def _request(
    message: RawRequestMessage,
    payload: StreamReader,
    handler: web.RequestHandler,
    writer: AbstractStreamWriter,
    task: "asyncio.Task[None]",
) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, handler, writer, task, loop, client_max_size=protocol.MAX_BODY_BYTES)


class _Server(web.Server):
    """Closes connections that never send a request; aiohttp itself only watches them between requests."""

    def __init__(self, front: Front) -> None:
        super().__init__(
            front,
            request_factory=_request,
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=KEEPALIVE_SECONDS,
            auto_decompress=False,
            max_line_size=1024 * 1024,
            max_field_size=64 * 1024,
        )
        self._front = front

    def __call__(self) -> web.RequestHandler:
        handler = super().__call__()
        self._front.silent.add(handler)
        asyncio.get_running_loop().call_later(SILENCE_SECONDS, self._close_silent, handler)
        return handler

    def _close_silent(self, handler: web.RequestHandler) -> None:
        if handler in self._front.silent:
            self._front.silent.discard(handler)
            handler.force_close()


async def serve(front: Front, listening: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT, then let running statements finish."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    runner = web.ServerRunner(_Server(front))
    await runner.setup()
    await web.SockSite(runner, listening, shutdown_timeout=STOP_SECONDS).start()
    print(f"listening on port {listening.getsockname()[1]}", flush=True)  # noqa: T201 read by whoever started us
    await stop.wait()
    await runner.cleanup()


def main() -> None:
    """Open the folder and serve it."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--data-dir", type=Path, required=True)
    reader.add_argument("--host", default="127.0.0.1")
    reader.add_argument("--port", type=int, default=0)
    reader.add_argument("--fd", type=int, help="an inherited listening socket instead of host and port")
    reader.add_argument("--query-database", action="append", default=[], help="one that the query user may read")
    reader.add_argument("--throwaway", action="store_true", help="do not wait for the disk; for tests")
    given = reader.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        listening = socket.socket(fileno=given.fd) if given.fd else loopback_socket(given.host, given.port)
    except (OSError, ValueError) as error:
        sys.exit(f"clickhouse_front: {error}")
    folder = given.data_dir.absolute()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    spool = folder.with_name(f"{folder.name}.spool")
    spool.mkdir(exist_ok=True, mode=0o700)
    os.environ["TZ"] = "UTC"
    try:
        engine = Engine(folder, durable=not given.throwaway, query_databases=given.query_database)
    except RuntimeError as error:
        sys.exit(f"clickhouse_front: cannot open {folder}: {error}")
    passwords = {
        "password": os.environ.get("CLICKHOUSE_FRONT_PASSWORD", ""),
        "query_password": os.environ.get("CLICKHOUSE_FRONT_QUERY_PASSWORD", ""),
    }
    asyncio.run(serve(Front(engine, spool=spool, **passwords), listening))
    engine.close()
    logging.shutdown()
    # The engine's background threads outlive its connections and must not delay the end.
    os._exit(0)


if __name__ == "__main__":
    main()
