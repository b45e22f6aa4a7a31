"""Sockets that end by themselves: whatever the other side does, a request has one deadline and one budget of bytes."""

import socket
import ssl
from functools import lru_cache
from ipaddress import IPv6Address
from time import monotonic
from typing import Any, cast

from core.outbound.addresses import Address, addresses_of


class TooManyBytesError(OSError):
    """The other side sent more than a request may read."""


class Limits:
    """What is left of the present request, for all sockets of a session."""

    __slots__ = ("_bytes_left", "_ends_at")

    def __init__(self) -> None:
        self.begin(seconds=0, max_bytes=0)

    def begin(self, *, seconds: float, max_bytes: int) -> None:
        """Begin a request."""
        self._ends_at = monotonic() + seconds
        self._bytes_left = max_bytes

    def seconds_left(self) -> float:
        """Return the time that is left, more than none; raises TimeoutError."""
        left = self._ends_at - monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def count(self, received: int) -> None:
        """Count bytes that came; raises TooManyBytesError."""
        self._bytes_left -= received
        if self._bytes_left < 0:
            raise TooManyBytesError


class LimitedSocket(socket.socket):
    """A socket whose every call waits no longer than the whole request may."""

    limits: Limits

    def recv_into(self, *args: Any, **kwargs: Any) -> int:  # noqa: ANN401 as the socket's
        """Receive, as all readers of `makefile` do."""
        self.settimeout(self.limits.seconds_left())
        received = super().recv_into(*args, **kwargs)
        self.limits.count(received)
        return received

    def sendall(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 as the socket's
        """Send everything, as http.client does; under TLS too this is one call with one timeout."""
        self.settimeout(self.limits.seconds_left())
        super().sendall(*args, **kwargs)


class LimitedTLSSocket(LimitedSocket, ssl.SSLSocket):
    """The same under TLS."""


def connect(host: str, port: int, limits: Limits) -> LimitedSocket:
    """Connect to an address that was just checked; raises UrlRefusedError, UnresolvedError and OSError."""
    addresses = addresses_of(host, seconds=limits.seconds_left())
    failure: OSError | None = None
    for place, address in enumerate(addresses):
        try:
            # A dead address must not use up the time of those after it.
            return _connect(address, port, limits, seconds=limits.seconds_left() / (len(addresses) - place))
        except OSError as error:
            failure = error
    raise failure or TimeoutError


def connect_tls(host: str, port: int, limits: Limits) -> LimitedSocket:
    """Connect with TLS and check the certificate against the name; raises ssl.SSLError besides."""
    plain = connect(host, port, limits)
    try:
        # The handshake is one call, which the socket's timeout limits as a whole.
        plain.settimeout(limits.seconds_left())
        context = _context(ssl.get_default_verify_paths())
        secured = cast(LimitedTLSSocket, context.wrap_socket(plain, server_hostname=host))
    except BaseException:
        plain.close()
        raise
    secured.limits = limits
    return secured


def _connect(address: Address, port: int, limits: Limits, *, seconds: float) -> LimitedSocket:
    family = socket.AF_INET6 if isinstance(address, IPv6Address) else socket.AF_INET
    made = LimitedSocket(family, socket.SOCK_STREAM)
    try:
        made.limits = limits
        made.settimeout(seconds)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.connect((str(address), port))
    except BaseException:
        made.close()
        raise
    return made


@lru_cache(maxsize=4)
def _context(_paths: ssl.DefaultVerifyPaths) -> ssl.SSLContext:
    """Return a context that trusts the system's roots, or those that SSL_CERT_FILE and SSL_CERT_DIR name."""
    context = ssl.create_default_context()
    context.sslsocket_class = LimitedTLSSocket
    context.set_alpn_protocols(["http/1.1"])
    return context
