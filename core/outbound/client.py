"""The one client for requests to URLs that users name.

It connects to checked addresses only (core.outbound.addresses), follows no redirect, knows no proxy, cookie or
password file, decodes nothing, and ends in time with few bytes read (core.outbound.sockets).
"""

import select
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from types import TracebackType
from typing import Final, Self

from core.outbound.addresses import Target, UnresolvedError, url_read
from core.outbound.sockets import Limits, TooManyBytesError, connect, connect_tls

USER_AGENT: Final = "persons-api"
# Room for the headers, and as much again as the body for the frames of a chunked one.
_BYTES_BESIDES: Final = 128 * 1024
_FINAL: Final = 200
_REASONS: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (UnresolvedError, "The host name does not resolve."),
    (TooManyBytesError, "The answer is too large."),
    (ssl.SSLError, "There is no TLS connection to be had."),
    (ConnectionRefusedError, "The connection was refused."),
    (HTTPException, "The answer is not HTTP, or broke off."),
)


class OutboundError(RuntimeError):
    """A request without a whole answer; the text is for the URL's owner and shows nothing of request or answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer; names of headers are in lower case. `is_whole` is false when the body was cut at the limit."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    is_whole: bool


class OutboundSession:
    """Sends requests, one at a time, over connections that it keeps; not for several threads at once."""

    def __init__(self, *, seconds: float, max_bytes: int) -> None:
        """Give each request so many seconds from its begin to the end of its answer, and a body so many bytes."""
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._limits = Limits()
        self._connections: dict[tuple[str, str, int], _Connection] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def request(
        self, method: str, url: str | Target, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        """Send a request and return its answer, of whatever status; raises UrlRefusedError and OutboundError.

        Names of headers must be tokens, and values printable latin-1.
        """
        target = url if isinstance(url, Target) else url_read(url)
        self._limits.begin(seconds=self._seconds, max_bytes=2 * self._max_bytes + _BYTES_BESIDES)
        connection = self._connection(target)
        try:
            return self._exchange(connection, method, target.path, {"User-Agent": USER_AGENT, **(headers or {})}, body)
        except BaseException as error:
            connection.close()
            if isinstance(error, OSError | HTTPException):
                raise OutboundError(self._reason(error)) from None
            raise

    def _connection(self, target: Target) -> "_Connection":
        key = (target.scheme, target.host, target.port)
        if key not in self._connections:
            self._connections[key] = _Connection(target, self._limits)
        connection = self._connections[key]
        connection.close_if_stale()
        return connection

    def _exchange(
        self, connection: "_Connection", method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        # A receiver may answer before it has read everything, and close; what it said then still counts.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        try:
            read = response.read(self._max_bytes + 1)
        except ValueError as error:
            message = "a chunk of a negative size"
            raise HTTPException(message) from error
        is_whole = len(read) <= self._max_bytes
        if is_whole and response.length:
            message = "fewer bytes than announced"
            raise HTTPException(message)
        response.close()
        if not is_whole or response.status < _FINAL:
            connection.close()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, read[: self._max_bytes], is_whole)

    def _reason(self, error: OSError | HTTPException) -> str:
        if isinstance(error, TimeoutError):
            return f"There was no whole answer within {self._seconds:g} seconds."
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"The certificate is not accepted: {error.verify_message}."
        return next((text for kinds, text in _REASONS if isinstance(error, kinds)), "The connection failed or broke.")


class _Connection(HTTPConnection):
    """A connection that is made anew whenever it is used after its end."""

    def __init__(self, target: Target, limits: Limits) -> None:
        super().__init__(target.host, target.port)
        # What the Host header may leave out.
        self.default_port = 443 if target.scheme == "https" else 80
        self._open = connect_tls if target.scheme == "https" else connect
        self._limits = limits

    def connect(self) -> None:
        """Connect to a checked address."""
        self.sock = self._open(self.host, self.port, self._limits)

    def close_if_stale(self) -> None:
        """Close what the other side closed, or filled with what nobody asked for."""
        if self.sock is None:
            return
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        if poll.poll(0):
            self.close()
