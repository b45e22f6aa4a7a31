"""Which sockets may be a request's client, and a place left for a while."""

import socket
import time
from types import SimpleNamespace
from typing import Any

import pytest

from core.api.leaving import pause_of_place, place_left
from persons_api.clients import ClientSockets, client_sockets
from persons_api.places import Place, Places


def connected(server: socket.socket) -> tuple[socket.socket, socket.socket]:
    client = socket.create_connection(server.getsockname())
    accepted, _ = server.accept()
    return client, accepted


def found(server: socket.socket, address: str = "127.0.0.1", began: float | None = None) -> list[int]:
    """The ports of the clients that are found."""
    environ = {"REMOTE_ADDR": address, "SERVER_PORT": str(server.getsockname()[1])}
    sockets = client_sockets(environ, time.monotonic() if began is None else began)
    ports = [one.getpeername()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def test_who_waits_for_an_answer_is_found_and_who_has_one_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        asking, answering = connected(server)
        time.sleep(0.05)
        asking.send(b"question")
        time.sleep(0.05)
        assert found(server) == [asking.getsockname()[1]]
        answering.recv(100)
        answering.send(b"answer")
        time.sleep(0.05)
        assert found(server) == []
        asking.send(b"another")
        time.sleep(0.05)
        assert found(server) == [asking.getsockname()[1]]
        assert found(server, "127.0.0.2") == []
        assert found(server, "nonsense") == []
        asking.close()
        answering.close()


def test_what_came_long_before_the_request_is_not_its_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("persons_api.clients._SLACK_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        before = time.monotonic()
        asking, answering = connected(server)
        asking.send(b"question")
        time.sleep(0.4)
        assert found(server) == []
        assert found(server, began=before) == [asking.getsockname()[1]]
        asking.close()
        answering.close()


def test_who_has_gone_is_one_that_is_hung_up_unless_nobody_of_its_address_was_seen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        environ = {"REMOTE_ADDR": "127.0.0.3", "SERVER_PORT": str(server.getsockname()[1])}
        assert client_sockets(environ, time.monotonic()) == []
        client = socket.create_connection(server.getsockname(), source_address=("127.0.0.3", 0))
        answering, _ = server.accept()
        client.send(b"question")
        time.sleep(0.05)
        kept = ClientSockets(environ)
        kept.look()
        client.close()
        answering.close()
        with kept.copies()[0] as copy:
            assert copy.recv(100) == b"question"
            assert copy.recv(100) == b""
        kept.close()
        (gone,) = client_sockets(environ, time.monotonic())
        with gone:
            assert gone.recv(1) == b""


class _Counted(Places):
    def __init__(self) -> None:
        super().__init__(1)
        self.free = 1
        self.in_transaction = False

    def take(self) -> Any:
        self.free -= 1
        return SimpleNamespace(in_atomic_block=self.in_transaction)

    def give_back(self, wrapper: Any) -> None:
        del wrapper
        self.free += 1


def test_a_place_is_left_for_a_while_and_taken_again() -> None:
    places = _Counted()
    place = Place(places)
    token = pause_of_place.set(place.paused)
    try:
        with place_left():
            assert places.free == 1
            with place_left():
                assert places.free == 1
            assert places.free == 1
        assert places.free == 0
        place.leave()
        with place_left():
            assert places.free == 1
        assert (places.free, place.left) == (1, True)
    finally:
        pause_of_place.reset(token)
    with place_left():
        assert places.free == 1


def test_a_place_is_kept_within_a_transaction() -> None:
    places = _Counted()
    places.in_transaction = True
    place = Place(places)
    token = pause_of_place.set(place.paused)
    try:
        with place_left():
            assert places.free == 0
    finally:
        pause_of_place.reset(token)
    place.leave()
    assert places.free == 1
