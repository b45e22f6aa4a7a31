"""Which sockets of this process may be the one of a request's client, so that its hanging up can be seen.

The WSGI server tells the client's address and not its port, and does not tell when it hangs up. But a connection on
which a request waits for its answer received something after it last sent something, which the kernel knows.
"""

import os
import socket
import stat
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from typing import Any, Final

_FOLDER: Final = "/proc/self/fd"
_INFO_BYTES: Final = 104
_LAST_SENT: Final = 44
_LAST_RECEIVED: Final = 52
"""Places of tcpi_last_data_sent and tcpi_last_data_recv, milliseconds ago, in Linux's struct tcp_info."""
_SLACK_SECONDS: Final = 10.0
"""A request may have lain in the server for a while before it came to the application."""
_MOST_SEEN: Final = 10_000
_SEEN: Final[set[str]] = set()
"""Addresses that sockets were found of: where a proxy or the like gives others, nobody is taken for gone."""


class ClientSockets:
    """Copies of the sockets of which one is a request's client, looked for when they are wanted or before."""

    def __init__(self, environ: Mapping[str, Any]) -> None:
        """Take the environment of a request that has come in now."""
        self._environ = environ
        self._began = time.monotonic()
        self._found: list[socket.socket] | None = None

    def look(self) -> None:
        """Look for them now: the sooner, the surer, as the server forgets who has hung up."""
        self._found = client_sockets(self._environ, self._began)

    def copies(self) -> list[socket.socket]:
        """Return copies, which the caller closes."""
        if self._found is None:
            return client_sockets(self._environ, self._began)
        return [one.dup() for one in self._found]

    def close(self) -> None:
        """Forget them, at the end of the request."""
        for one in self._found or ():
            one.close()
        self._found = None


def client_sockets(environ: Mapping[str, Any], began: float) -> list[socket.socket]:
    """Return copies of the sockets on which a client with the request's address waits for an answer.

    One of them is the client's; others belong to requests that it, or a proxy, made at the same time. `began` is when
    the application got the request (time.monotonic). None are found where the system is not Linux, or the request came
    another way than by TCP. A client that has gone already has no socket any more: then it is one that is hung up.
    """
    address = _plain(str(environ.get("REMOTE_ADDR", "")))
    port = str(environ.get("SERVER_PORT", ""))
    if not address or not os.path.isdir(_FOLDER) or not hasattr(socket, "TCP_INFO"):  # noqa: PTH112 hot
        return []
    oldest = (time.monotonic() - began + _SLACK_SECONDS) * 1000
    found, is_there = [], False
    for one in _sockets():
        if _is_of(one, address, port):
            is_there = True
            if _waits(one, oldest):
                found.append(one)
                continue
        one.close()
    if is_there:
        if len(_SEEN) < _MOST_SEEN:
            _SEEN.add(address)
    elif address in _SEEN:
        return [_hung_up()]
    return found


def _hung_up() -> socket.socket:
    ours, theirs = socket.socketpair()
    theirs.close()
    return ours


def _sockets() -> Iterator[socket.socket]:
    numbers = [number for name in os.listdir(_FOLDER) if _is_socket(number := int(name))]  # noqa: PTH208 hot
    for number in numbers:
        with suppress(OSError):
            copy = os.dup(number)
            # Another thread may have closed the first, and its number may be another file's by now.
            if _is_socket(copy):
                yield socket.socket(fileno=copy)
            else:
                os.close(copy)


def _is_socket(number: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(number).st_mode)
    except OSError:
        return False


def _is_of(one: socket.socket, address: str, port: str) -> bool:
    try:
        if one.family not in {socket.AF_INET, socket.AF_INET6} or str(one.getsockname()[1]) != port:
            return False
        return _plain(one.getpeername()[0]) == address
    except OSError:
        return False


def _waits(one: socket.socket, oldest: float) -> bool:
    try:
        info = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    except OSError:
        return False
    sent, received = (struct.unpack_from("I", info, place)[0] for place in (_LAST_SENT, _LAST_RECEIVED))
    return bool(received <= sent and received <= oldest)


def _plain(text: str) -> str:
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(found)
