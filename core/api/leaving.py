"""How a long answer gives back what its request holds of the server, before it has ended."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from socket import socket
from typing import Final

LEAVE_PLACE: Final = "persons_api.leave_place"
"""Key of the WSGI environment: a function that frees the request's place and its database connection."""
CLIENT_SOCKETS: Final = "persons_api.client_sockets"
"""Key of the WSGI environment: a function that returns copies of the sockets of which one is the client's."""

pause_of_place: ContextVar[Callable[[], AbstractContextManager[None]] | None] = ContextVar("pause", default=None)
"""How the request that this thread works on leaves its place for a while; None where there are no places."""


@contextmanager
def place_left() -> Iterator[None]:
    """Let other requests be worked on while this one waits for another store; within a transaction it keeps its place.

    The block may not use the database through Django.
    """
    pause = pause_of_place.get()
    if pause is None:
        yield
        return
    with pause():
        yield


def sockets_of(environment: dict[str, object]) -> list[socket]:
    """Return copies of the sockets of which one is the client's: all hung up, it is gone. The caller closes them."""
    found = environment.get(CLIENT_SOCKETS)
    return list(found()) if callable(found) else []
