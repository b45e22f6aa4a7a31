"""Which addresses a request may reach that somebody's input caused: public ones, and what the operator allows.

Whoever can name a URL could otherwise make this server speak to its own neighbours: stores, admin ports, the metadata
service of a cloud. A name is judged by every address that it has, at the moment when one of them is connected to.
"""

import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from queue import Empty, SimpleQueue
from threading import BoundedSemaphore, Thread
from time import monotonic
from typing import Final
from urllib.parse import SplitResult, quote, urlsplit

from django.conf import settings

type Address = IPv4Address | IPv6Address

MAX_URL: Final = 2_000
_PORTS: Final = {"http": 80, "https": 443}
_CHECK_SECONDS: Final = 3.0
_NOT_ALLOWED: Final = "This address is not allowed: it is private, reserved or otherwise not on the public Internet."

# What IANA lists as not globally reachable, and what only routers and clouds use.
_NOT_PUBLIC_4: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
        # The platform service of Azure, a public number that is answered inside of its hosts.
        "168.63.129.16/32",
    )
)  # fmt: skip
# Of IPv6 only this is handed out for the public; IPv4 in IPv6, NAT64, site-local and the like all lie outside of it.
_PUBLIC_6: Final = IPv6Network("2000::/3")
_NOT_PUBLIC_6: Final = tuple(
    # Protocol assignments with Teredo, documentation, 6to4, documentation.
    IPv6Network(network)
    for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)

# The replacement character is what is left of a NUL.
_STRAY: Final = re.compile("[ \\\\\ufffd]")
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*", re.ASCII)
# A host that ends so is a number to the system's resolver, in one of the many notations of inet_aton.
_NUMBER_AT_END: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)", re.ASCII)

# A lookup cannot be called off, so those that hang are at least few.
_lookups: Final = BoundedSemaphore(32)


class UrlRefusedError(ValueError):
    """A URL that may not be requested; the text is for whoever wrote it and tells nothing that was looked up."""


class UnresolvedError(OSError):
    """A name that has no address, or none in time."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL in the parts that a request is made of; `path` is percent-encoded and has the query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> str:
        """Return what may be shown in logs: the path and the query may be secrets."""
        return f"{self.scheme}://{f'[{self.host}]' if ':' in self.host else self.host}"

    def __repr__(self) -> str:
        """Keep path and query out of tracebacks too."""
        return f"Target({self.origin})"


def url_read(url: object) -> Target:
    """Take a URL apart without asking the network; raises UrlRefusedError."""
    if not isinstance(url, str) or not url:
        message = "A URL is needed, such as https://example.com/hook."
        raise UrlRefusedError(message)
    if len(url) > MAX_URL:
        message = f"The URL is longer than {MAX_URL} characters."
        raise UrlRefusedError(message)
    # What parsers read differently, such as a backslash, must not be there at all.
    if not url.isprintable() or _STRAY.search(url):
        message = "The URL must not contain spaces, backslashes or control characters."
        raise UrlRefusedError(message)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        message = "This is not a URL."
        raise UrlRefusedError(message) from None
    if parts.scheme not in _PORTS:
        message = "The URL must begin with http:// or https://."
        raise UrlRefusedError(message)
    if "@" in parts.netloc:
        message = "The URL must not contain a user name or a password."
        raise UrlRefusedError(message)
    if port == 0:
        message = "The URL has no usable port."
        raise UrlRefusedError(message)
    return Target(parts.scheme, _host(parts), port or _PORTS[parts.scheme], _path(parts))


def url_check(url: object) -> None:
    """Raise UrlRefusedError for a URL that may not be kept; a name that does not resolve now is judged when used."""
    target = url if isinstance(url, Target) else url_read(url)
    try:
        addresses_of(target.host, seconds=_CHECK_SECONDS)
    except UnresolvedError:
        return


def address_allowed(address: Address) -> bool:
    """Say whether an address is public, or within OUTBOUND_ALLOWED_NETWORKS."""
    if any(address in network for network in settings.OUTBOUND_ALLOWED_NETWORKS):
        return True
    if isinstance(address, IPv6Address):
        return address in _PUBLIC_6 and not any(address in network for network in _NOT_PUBLIC_6)
    return not any(address in network for network in _NOT_PUBLIC_4)


def addresses_of(host: str, *, seconds: float) -> Sequence[Address]:
    """Return all addresses of a target's host, each of them allowed; raises UrlRefusedError and UnresolvedError.

    One address that is not allowed condemns the name: a mix is how somebody would try their luck.
    """
    try:
        found: Sequence[Address] = (ip_address(host),)
    except ValueError:
        found = _look_up(host, seconds)
    if not all(map(address_allowed, found)):
        raise UrlRefusedError(_NOT_ALLOWED)
    return found


def _host(parts: SplitResult) -> str:
    """Return a name, or an address as it is usually written; raises UrlRefusedError."""
    host = parts.hostname or ""
    if "[" in parts.netloc:
        try:
            if "%" not in host:
                return str(IPv6Address(host))
        except ValueError:
            pass
        message = "The URL has a broken IPv6 address."
        raise UrlRefusedError(message)
    name = host.removesuffix(".")
    if not _NAME.fullmatch(name):
        message = "The URL has no usable host name; names of other alphabets are written in their xn-- form."
        raise UrlRefusedError(message)
    if _NUMBER_AT_END.fullmatch(name):
        try:
            return str(IPv4Address(name))
        except ValueError:
            message = "An IPv4 address is written as four decimal numbers."
            raise UrlRefusedError(message) from None
    return name


def _path(parts: SplitResult) -> str:
    path = quote(parts.path or "/", safe="/%:=&~+!$,;'@()*[]")
    return f"{path}?{quote(parts.query, safe="/%:=&?~+!$,;'@()*[]")}" if parts.query else path


def _look_up(host: str, seconds: float) -> Sequence[Address]:
    """Ask the system's resolver, in a thread because it knows no deadline."""
    ends_at = monotonic() + seconds
    if not _lookups.acquire(timeout=max(seconds, 0)):
        raise UnresolvedError
    answer: SimpleQueue[list[str] | None] = SimpleQueue()

    def ask() -> None:
        found = None
        try:
            found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
        except (OSError, UnicodeError):
            pass
        finally:
            _lookups.release()
            answer.put(found)

    Thread(target=ask, name="outbound-lookup", daemon=True).start()
    try:
        found = answer.get(timeout=max(ends_at - monotonic(), 0))
    except Empty:
        raise UnresolvedError from None
    if not found:
        raise UnresolvedError
    return tuple(dict.fromkeys(map(ip_address, found)))
