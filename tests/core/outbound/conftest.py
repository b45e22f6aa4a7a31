"""Names that resolve as a test says, and networks that the operator allows."""

import socket
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

type Answers = list[list[str] | Exception]


@pytest.fixture
def allowed(settings: Any) -> Callable[..., None]:
    """Allow networks, as OUTBOUND_ALLOWED_NETWORKS does; none without it."""

    def allow(*networks: str) -> None:
        settings.OUTBOUND_ALLOWED_NETWORKS = tuple(map(ip_network, networks))

    allow()
    return allow


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, Answers]:
    """What the system's resolver says of a name: its answers in turn, the last one for ever."""
    known: dict[str, Answers] = {}

    def getaddrinfo(host: str, port: Any, *_: Any, **__: Any) -> list[Any]:
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        answers = known[host]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port or 0, 0, 0))
            if ip_address(address).version == 6
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port or 0))
            for address in answer
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known
