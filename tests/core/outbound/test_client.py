"""The client against receivers that are polite, broken and hostile."""

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.outbound.addresses import UrlRefusedError
from core.outbound.client import OutboundError, OutboundSession
from tests.core.outbound.conftest import Answers
from tests.core.outbound.receivers import Authority, Receiver, answer, answering, dripping

SECONDS = 0.6
PATIENCE = 120
MAX_BYTES = 10_000


@pytest.fixture
def session() -> Iterator[OutboundSession]:
    """A session that waits for what comes, however slow the machine is."""
    with OutboundSession(seconds=PATIENCE, max_bytes=MAX_BYTES) as made:
        yield made


@pytest.fixture
def hasty() -> Iterator[OutboundSession]:
    """A session for what does not come in time."""
    with OutboundSession(seconds=SECONDS, max_bytes=MAX_BYTES) as made:
        yield made


@pytest.fixture
def local(allowed: Callable[..., None]) -> None:
    allowed("127.0.0.1/32")


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Authority:
    """An authority that this process trusts."""
    made = Authority()
    monkeypatch.setenv("SSL_CERT_FILE", str(made.write(tmp_path)))
    return made


@contextmanager
def in_time() -> Iterator[None]:
    """Within the time of a hasty session, and what a slow machine adds; these receivers go on for ever."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < SECONDS + 30


@pytest.mark.usefixtures("local")
def test_a_request_and_its_answer(session: OutboundSession) -> None:
    with Receiver(answering(answer(201, b"hello", "X-One: 1", "Set-Cookie: a=b"))) as receiver:
        got = session.request(
            "POST", f"http://127.0.0.1:{receiver.port}/in?x=1#part", headers={"X-Key": "k"}, body=b'{"a":1}'
        )
        session.request("GET", f"http://127.0.0.1:{receiver.port}/again")
    assert (got.status, got.body, got.is_whole, got.headers["x-one"]) == (201, b"hello", True, "1")
    head, body = receiver.requests[0]
    first, *rest = head.decode().split("\r\n")
    assert (first, body) == ("POST /in?x=1 HTTP/1.1", b'{"a":1}')
    assert set(rest) == {
        f"Host: 127.0.0.1:{receiver.port}",
        "Accept-Encoding: identity",
        "User-Agent: persons-api",
        "X-Key: k",
        "Content-Length: 7",
    }
    assert b"ookie" not in receiver.requests[1][0]
    assert "hello" not in repr(got)
    assert receiver.connections == 1


@pytest.mark.usefixtures("local")
def test_a_connection_that_the_receiver_closed_is_made_anew(session: OutboundSession) -> None:
    def once(accepted: socket.socket, receiver: Receiver) -> None:
        receiver.read_request(accepted)
        accepted.sendall(answer(200, b"x"))

    with Receiver(once) as receiver:
        for _ in range(3):
            assert session.request("GET", f"http://127.0.0.1:{receiver.port}/").status == 200
            # Then it is closed: the first thread accepts, the others serve a connection each.
            for serving in receiver.threads[1:]:
                serving.join(60)
    assert receiver.connections == 3


@pytest.mark.usefixtures("local")
def test_what_nobody_asked_for_is_no_answer_to_the_next_request(session: OutboundSession) -> None:
    said = threading.Semaphore(0)

    def script(accepted: socket.socket, receiver: Receiver) -> None:
        receiver.read_request(accepted)
        accepted.sendall(answer(200, b"x"))
        time.sleep(0.02)
        accepted.sendall(answer(500, b"y"))
        said.release()
        receiver.closing.wait()

    with Receiver(script) as receiver:
        for _ in range(2):
            assert session.request("GET", f"http://127.0.0.1:{receiver.port}/").status == 200
            assert said.acquire(timeout=60)
    assert receiver.connections == 2


@pytest.mark.usefixtures("local")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_answers(session: OutboundSession, status: int) -> None:
    with Receiver(answering(answer(200))) as other:
        location = f"Location: http://127.0.0.1:{other.port}/"
        with Receiver(answering(answer(status, b"", location))) as receiver:
            assert session.request("POST", f"http://127.0.0.1:{receiver.port}/", body=b"x").status == status
            assert session.request("GET", f"http://127.0.0.1:{receiver.port}/").status == status
    assert (len(receiver.requests), other.connections) == (2, 0)


def test_private_addresses_are_not_connected_to(session: OutboundSession, allowed: Callable[..., None]) -> None:
    with Receiver(answering(answer(200))) as receiver:
        for allow in ((), ("127.0.0.2/32",), ("127.0.0.0/32", "::1/128")):
            allowed(*allow)
            for host in ("127.0.0.1", "localhost"):
                with pytest.raises(UrlRefusedError, match="not allowed"):
                    session.request("GET", f"http://{host}:{receiver.port}/")
    assert receiver.connections == 0


def test_a_name_that_changes_its_address_between_check_and_use(
    session: OutboundSession, allowed: Callable[..., None], names: dict[str, Answers]
) -> None:
    allowed("127.0.0.2/32")
    names["changing.example"] = [["127.0.0.2"], ["127.0.0.1"]]
    with _twins(answering(answer(200, b"", "Connection: close"))) as (good, bad):
        assert session.request("GET", f"http://changing.example:{good.port}/").status == 200
        with pytest.raises(UrlRefusedError, match="not allowed"):
            session.request("GET", f"http://changing.example:{good.port}/")
        bad.settimeout(0.1)
        with pytest.raises(TimeoutError):
            bad.accept()
    assert f"Host: changing.example:{good.port}".encode() in good.requests[0][0]


@contextmanager
def _twins(script: Callable[..., None]) -> Iterator[tuple[Receiver, socket.socket]]:
    """A receiver on 127.0.0.2, and a listener on the same port of 127.0.0.1, where others may have it."""
    for _ in range(20):
        good = Receiver(script, address="127.0.0.2")
        try:
            bad = socket.create_server(("127.0.0.1", good.port))
        except OSError:
            good.listener.close()
            continue
        with good, bad:
            yield good, bad
        return
    pytest.fail("no port is free on both addresses")


def test_the_address_that_was_checked_is_the_one_connected_to(
    session: OutboundSession, allowed: Callable[..., None], names: dict[str, Answers]
) -> None:
    """A second look-up would find another address, and nobody makes one."""
    allowed("127.0.0.2/32")
    names["once.example"] = [["127.0.0.2"], AssertionError("looked up twice")]
    with Receiver(answering(answer(200)), address="127.0.0.2") as receiver:
        for _ in range(3):
            assert session.request("GET", f"http://once.example:{receiver.port}/").status == 200
    assert receiver.connections == 1


def test_a_dead_address_leaves_time_for_the_next(allowed: Callable[..., None], names: dict[str, Answers]) -> None:
    allowed("127.0.0.0/8", "::1/128")
    names["several.example"] = [["::1", "127.0.0.2", "127.0.0.1"]]
    with (
        Receiver(answering(answer(200))) as receiver,
        _full("127.0.0.2", receiver.port),
        # Half of it is for the dead address, the other half for a slow machine.
        OutboundSession(seconds=6, max_bytes=MAX_BYTES) as session,
    ):
        assert session.request("GET", f"http://several.example:{receiver.port}/").status == 200


@pytest.mark.usefixtures("local")
def test_a_receiver_that_never_accepts(hasty: OutboundSession) -> None:
    with _full("127.0.0.1", 0) as port, in_time(), pytest.raises(OutboundError, match="within"):
        hasty.request("GET", f"http://127.0.0.1:{port}/")


@contextmanager
def _full(address: str, port: int) -> Iterator[int]:
    """A port whose queue is full, so that connecting to it hangs."""
    with socket.create_server((address, port), backlog=0) as listener:
        port = listener.getsockname()[1]
        waiting = []
        for _ in range(4):
            caller = socket.socket()
            caller.settimeout(0)
            caller.connect_ex((address, port))
            waiting.append(caller)
        try:
            yield port
        finally:
            for caller in waiting:
                caller.close()


def _silent(accepted: socket.socket, receiver: Receiver) -> None:
    receiver.read_request(accepted)
    receiver.closing.wait()


def _deaf(_: socket.socket, receiver: Receiver) -> None:
    receiver.closing.wait()


DRIPPING = {
    "status line": dripping(b"HTTP/1.1 200 O", b"k"),
    "headers": dripping(b"HTTP/1.1 200 OK\r\n", b"X-More: 1\r\n"),
    "one header": dripping(b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
    "continues": dripping(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", b"x"),
    "chunks": dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "body without an end": dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
    "trailers": dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: 1\r\n"),
    "nothing": _silent,
}


@pytest.mark.usefixtures("local")
@pytest.mark.parametrize("script", DRIPPING.values(), ids=DRIPPING.keys())
def test_slow_answers_end_with_the_deadline(hasty: OutboundSession, script: Callable[..., None]) -> None:
    with Receiver(script) as receiver, in_time(), pytest.raises(OutboundError, match="within"):
        hasty.request("POST", f"http://127.0.0.1:{receiver.port}/", body=b"x")


@pytest.mark.usefixtures("local")
def test_a_receiver_that_does_not_read(hasty: OutboundSession) -> None:
    with Receiver(_deaf) as receiver, in_time(), pytest.raises(OutboundError, match="within"):
        hasty.request("POST", f"http://127.0.0.1:{receiver.port}/", body=b"x" * 50_000_000)


@pytest.mark.usefixtures("local")
def test_huge_answers_are_cut(session: OutboundSession) -> None:
    body = b"y" * 5_000_000
    with Receiver(answering(answer(200, body))) as receiver, in_time():
        got = session.request("GET", f"http://127.0.0.1:{receiver.port}/")
        assert (got.status, got.is_whole, got.body) == (200, False, body[:MAX_BYTES])
        assert session.request("GET", f"http://127.0.0.1:{receiver.port}/").status == 200
    assert receiver.connections == 2


@pytest.mark.usefixtures("local")
def test_the_rest_of_a_cut_answer_is_no_answer_to_the_next_request(session: OutboundSession) -> None:
    def script(accepted: socket.socket, receiver: Receiver) -> None:
        receiver.read_request(accepted)
        accepted.sendall(answer(200, b"y" * 2 * MAX_BYTES)[: -MAX_BYTES + 1])
        receiver.read_request(accepted)
        accepted.sendall(b"y" * (MAX_BYTES - 1))

    with Receiver(script) as receiver:
        for _ in range(2):
            assert session.request("GET", f"http://127.0.0.1:{receiver.port}/").is_whole is False
    assert receiver.connections == 2


def _nibbling(accepted: socket.socket, receiver: Receiver) -> None:
    while not receiver.closing.wait(0.02):
        accepted.recv(2_000)


@pytest.mark.usefixtures("local")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_receiver_that_reads_slowly(
    hasty: OutboundSession, authority: Authority, tmp_path: Path, scheme: str
) -> None:
    context = authority.context(tmp_path, "127.0.0.1") if scheme == "https" else None
    with Receiver(_nibbling, context=context) as receiver, in_time(), pytest.raises(OutboundError, match="within"):
        hasty.request("POST", f"{scheme}://127.0.0.1:{receiver.port}/", body=b"x" * 50_000_000)


@pytest.mark.usefixtures("local")
def test_a_body_of_just_the_limit_is_whole(session: OutboundSession) -> None:
    with Receiver(answering(answer(200, b"y" * MAX_BYTES), answer(200, b"y" * (MAX_BYTES + 1)))) as receiver:
        url = f"http://127.0.0.1:{receiver.port}/"
        assert [session.request("GET", url).is_whole for _ in range(2)] == [True, False]


def _flood(prefix: bytes, part: bytes) -> Callable[..., None]:
    def script(accepted: socket.socket, receiver: Receiver) -> None:
        receiver.read_request(accepted)
        accepted.sendall(prefix)
        while not receiver.closing.is_set():
            accepted.sendall(part)

    return script


FLOODS = {
    "headers": _flood(b"HTTP/1.1 200 OK\r\n", b"X-More: " + b"x" * 60_000 + b"\r\n"),
    "many headers": _flood(b"HTTP/1.1 200 OK\r\n", b"X: 1\r\n" * 1_000),
    "one header": _flood(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 10_000),
    "continues": _flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000),
    "tiny chunks with extensions": _flood(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1;" + b"x" * 1_000 + b"\r\nx\r\n"
    ),
    "trailers": _flood(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: 1\r\n" * 1_000),
}


@pytest.mark.usefixtures("local")
@pytest.mark.parametrize("script", FLOODS.values(), ids=FLOODS.keys())
def test_floods_beside_the_body_are_refused(script: Callable[..., None]) -> None:
    began = time.monotonic()
    with (
        Receiver(script) as receiver,
        OutboundSession(seconds=PATIENCE, max_bytes=MAX_BYTES) as session,
        pytest.raises(OutboundError, match=r"too large|not HTTP"),
    ):
        session.request("GET", f"http://127.0.0.1:{receiver.port}/")
    assert time.monotonic() - began < PATIENCE / 2


@pytest.mark.usefixtures("local")
def test_a_gzip_bomb_stays_packed(session: OutboundSession) -> None:
    packed = gzip.compress(b"\x00" * 8_000_000)
    with Receiver(answering(answer(200, packed, "Content-Encoding: gzip"))) as receiver:
        got = session.request("GET", f"http://127.0.0.1:{receiver.port}/")
    assert (got.body, got.is_whole, got.headers["content-encoding"]) == (packed, True, "gzip")


BROKEN = {
    "closed": b"",
    "no http": b"SSH-2.0-OpenSSH_9.9\r\n",
    "http 0.9": b"<html>hello</html>\r\n\r\n",
    "no status": b"HTTP/1.1\r\n\r\n",
    "odd status": b"HTTP/1.1 99999 x\r\n\r\n",
    "http 2": b"HTTP/2 200\r\n\r\n",
    "short body": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
    "short chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    "odd chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabcde\r\n0\r\n\r\n",
    "no last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
}


@pytest.mark.usefixtures("local")
@pytest.mark.parametrize("said", BROKEN.values(), ids=BROKEN.keys())
def test_broken_answers(session: OutboundSession, said: bytes) -> None:
    def script(accepted: socket.socket, receiver: Receiver) -> None:
        receiver.read_request(accepted)
        accepted.sendall(said)

    with Receiver(script) as receiver, pytest.raises(OutboundError, match="not HTTP, or broke off") as failed:
        session.request("GET", f"http://127.0.0.1:{receiver.port}/secret-path")
    assert "secret" not in str(failed.value)
    assert failed.value.__cause__ is None


@pytest.mark.usefixtures("local")
def test_headers_that_say_nothing_sensible_about_the_length(session: OutboundSession) -> None:
    def script(accepted: socket.socket, receiver: Receiver) -> None:
        receiver.read_request(accepted)
        lengths = ("-1", "x", "9" * 5_000)
        accepted.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Length: %b\r\n\r\nabc" % lengths[receiver.connections - 1].encode()
        )

    with Receiver(script) as receiver:
        for _ in range(3):
            assert session.request("GET", f"http://127.0.0.1:{receiver.port}/").body == b"abc"


@pytest.mark.usefixtures("local")
def test_an_answer_that_comes_before_the_body_was_read(session: OutboundSession) -> None:
    def script(accepted: socket.socket, _: Receiver) -> None:
        accepted.recv(1_000)
        accepted.sendall(answer(413, b"", "Connection: close"))
        accepted.shutdown(socket.SHUT_RDWR)

    with Receiver(script) as receiver:
        assert session.request("POST", f"http://127.0.0.1:{receiver.port}/", body=b"x" * 5_000_000).status == 413


@pytest.mark.usefixtures("local")
def test_a_port_that_nobody_listens_on(session: OutboundSession) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(OutboundError, match="connection was refused"):
        session.request("GET", f"http://127.0.0.1:{port}/")


def test_a_name_that_does_not_resolve(session: OutboundSession, names: dict[str, Answers]) -> None:
    with pytest.raises(OutboundError, match="does not resolve"):
        session.request("GET", "http://unknown.example/")


def test_a_resolver_that_hangs_is_within_the_deadline(hasty: OutboundSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(1.5) or [])
    with in_time(), pytest.raises(OutboundError, match=r"does not resolve|within"):
        hasty.request("GET", "http://slow.example/")
    time.sleep(1.5)


@pytest.mark.usefixtures("local")
def test_the_environment_names_no_proxy(
    session: OutboundSession, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login user password secret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    with Receiver(answering(answer(502))) as proxy, Receiver(answering(answer(200))) as receiver:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            monkeypatch.setenv(name.upper(), f"http://127.0.0.1:{proxy.port}")
        assert session.request("GET", f"http://127.0.0.1:{receiver.port}/").status == 200
    assert proxy.connections == 0
    assert b"uthorization" not in receiver.requests[0][0]


def test_tls_with_a_certificate_for_the_name(
    session: OutboundSession,
    authority: Authority,
    allowed: Callable[..., None],
    names: dict[str, Answers],
    tmp_path: Path,
) -> None:
    allowed("127.0.0.0/8")
    names["good.example"] = names["bad.example"] = [["127.0.0.1"]]
    with Receiver(answering(answer(200, b"ok")), context=authority.context(tmp_path, "good.example")) as receiver:
        for _ in range(2):
            assert session.request("GET", f"https://good.example:{receiver.port}/").body == b"ok"
        for host in ("bad.example", "127.0.0.1"):
            with pytest.raises(OutboundError, match="certificate is not accepted"):
                session.request("GET", f"https://{host}:{receiver.port}/")
    assert len(receiver.requests) == 2
    with Receiver(answering(answer(200)), context=authority.context(tmp_path, "127.0.0.1")) as receiver:
        assert session.request("GET", f"https://127.0.0.1:{receiver.port}/").status == 200


@pytest.mark.usefixtures("local")
def test_tls_with_an_unknown_authority(session: OutboundSession, tmp_path: Path) -> None:
    context = Authority().context(tmp_path, "127.0.0.1")
    with (
        Receiver(answering(answer(200)), context=context) as receiver,
        pytest.raises(OutboundError, match="certificate is not accepted"),
    ):
        session.request("GET", f"https://127.0.0.1:{receiver.port}/")
    assert receiver.requests == []


@pytest.mark.usefixtures("local")
def test_slow_answers_under_tls(hasty: OutboundSession, authority: Authority, tmp_path: Path) -> None:
    context = authority.context(tmp_path, "127.0.0.1")
    for script in (DRIPPING["headers"], DRIPPING["body"], _silent):
        with Receiver(script, context=context) as receiver, in_time(), pytest.raises(OutboundError, match="within"):
            hasty.request("GET", f"https://127.0.0.1:{receiver.port}/")


@pytest.mark.usefixtures("local")
def test_a_receiver_that_does_not_read_under_tls(hasty: OutboundSession, authority: Authority, tmp_path: Path) -> None:
    context = authority.context(tmp_path, "127.0.0.1")
    with Receiver(_deaf, context=context) as receiver, in_time(), pytest.raises(OutboundError, match="within"):
        hasty.request("POST", f"https://127.0.0.1:{receiver.port}/", body=b"x" * 50_000_000)


@pytest.mark.usefixtures("local")
def test_a_handshake_that_drips(hasty: OutboundSession) -> None:
    def script(accepted: socket.socket, receiver: Receiver) -> None:
        accepted.recv(1_000)
        # The head of a record of 16 kB, and then hardly any of it.
        accepted.sendall(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc")
        while not receiver.closing.wait(0.05):
            accepted.sendall(b"\x00")

    with Receiver(script) as receiver, in_time(), pytest.raises(OutboundError, match="within"):
        hasty.request("GET", f"https://127.0.0.1:{receiver.port}/")


@pytest.mark.usefixtures("local")
def test_plain_http_where_tls_was_asked_for(session: OutboundSession) -> None:
    def script(accepted: socket.socket, _: Receiver) -> None:
        accepted.recv(1_000)
        accepted.sendall(answer(200, b"plain"))

    with Receiver(script) as receiver, pytest.raises(OutboundError, match="no TLS connection"):
        session.request("GET", f"https://127.0.0.1:{receiver.port}/")
