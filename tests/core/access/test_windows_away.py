"""Rate limits without Redis: killed, hanging, unreachable, refusing. Requests pass, fast, and it is counted."""

import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import structlog
from prometheus_client import REGISTRY

from core.access import windows
from core.access.windows import MovingWindows, Window
from persons_api.embedded import valkey as embedded
from persons_api.embedded.valkey import Valkey
from tests.core.conftest import Cast

ONE = Window("test:{caller}:one", 1, 60)
QUARTER = 0.25


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Valkey]:
    """A Valkey that a test may kill."""
    (tmp_path / "run" / "logs").mkdir(parents=True)
    made = Valkey(tmp_path)
    made.start()
    made.wait()
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.send_signal(signal.SIGCONT)
    made.stop()


@pytest.fixture
def asker(server: Valkey) -> Iterator[MovingWindows]:
    """Knows who is away by a refused connection, never by the time that an answer takes."""
    made = MovingWindows(server.url)
    yield made
    made.close()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be as impatient as the server is, but ask once only, however long the test takes."""
    monkeypatch.setattr(windows, "CONNECT_SECONDS", QUARTER)
    monkeypatch.setattr(windows, "ANSWER_SECONDS", QUARTER)
    monkeypatch.setattr(windows, "PAUSE_SECONDS", 600)


@pytest.fixture
def hasty_asker(hasty: None, server: Valkey) -> Iterator[MovingWindows]:
    """Gives a store up that does not answer within a quarter of a second."""
    made = MovingWindows(server.url)
    yield made
    made.close()


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


def unchecked(reason: str) -> float:
    return REGISTRY.get_sample_value("persons_api_rate_limit_unchecked_total", {"reason": reason}) or 0


def kill(server: Valkey) -> None:
    assert server.process is not None
    server.process.kill()
    server.process.wait()


@contextmanager
def black_hole() -> Iterator[int]:
    """A port on which nobody ever answers, not even to say that nobody is there: its queue is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0)
            filler.connect_ex(address)
        time.sleep(0.05)
        yield address[1]


def test_without_redis_requests_pass_and_are_counted_and_it_is_logged_once(
    server: Valkey, asker: MovingWindows, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "PAUSE_SECONDS", 600)
    assert asker.hit([ONE]) is not None
    kill(server)
    before = unchecked("failed"), unchecked("paused")
    assert [asker.hit([ONE]) for _ in range(100)] == [None] * 100
    # Who is paused does not even ask.
    assert (unchecked("failed"), unchecked("paused")) == (before[0] + 1, before[1] + 99)
    assert [line["event"] for line in logged] == ["rate_limits_off"]
    assert logged[0]["error"] == "ConnectionError"


def test_a_redis_that_hangs_costs_a_quarter_of_a_second_once(
    server: Valkey, hasty_asker: MovingWindows, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(windows, "PAUSE_SECONDS", 0)
        # A busy machine may not answer in time either, as long as nobody has stopped anything.
        assert any(hasty_asker.hit([ONE]) is not None for _ in range(100))
    logged.clear()
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    before = unchecked("failed"), unchecked("paused")
    begun = time.monotonic()
    assert [hasty_asker.hit([ONE]) for _ in range(50)] == [None] * 50
    assert 0.2 < time.monotonic() - begun < 50 * QUARTER
    assert (unchecked("failed"), unchecked("paused")) == (before[0] + 1, before[1] + 49)
    assert [line["error"] for line in logged] == ["TimeoutError"]


@pytest.mark.usefixtures("hasty")
def test_an_address_that_swallows_everything_costs_a_quarter_of_a_second_once(logged: list[Any]) -> None:
    with black_hole() as port:
        asker = MovingWindows(f"redis://127.0.0.1:{port}/0")
        before = unchecked("failed"), unchecked("paused")
        begun = time.monotonic()
        assert [asker.hit([ONE]) for _ in range(50)] == [None] * 50
        assert 0.2 < time.monotonic() - begun < 50 * QUARTER
        assert (unchecked("failed"), unchecked("paused")) == (before[0] + 1, before[1] + 49)
    assert [line["event"] for line in logged] == ["rate_limits_off"]


def test_of_many_at_once_only_those_under_way_wait(
    server: Valkey, hasty_asker: MovingWindows, logged: list[Any]
) -> None:
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    barrier = threading.Barrier(8)
    before = unchecked("failed"), unchecked("paused")

    def ask(_: int) -> None:
        barrier.wait()
        assert [hasty_asker.hit([ONE]) for _ in range(20)] == [None] * 20

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(8)))
    failed, paused = unchecked("failed") - before[0], unchecked("paused") - before[1]
    assert 1 <= failed <= 8, "each of the eight waits once at most"
    assert failed + paused == 8 * 20
    assert [line["event"] for line in logged] == ["rate_limits_off"], "eight failures, one outage"


def test_counting_goes_on_when_redis_is_back(
    server: Valkey, asker: MovingWindows, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "PAUSE_SECONDS", 0.2)
    asker.hit([ONE])
    port = int(server.url.rpartition(":")[2].partition("/")[0])
    kill(server)
    for _ in range(3):
        assert asker.hit([ONE]) is None
        time.sleep(0.21)
    monkeypatch.setattr(embedded, "free_port", lambda: port)
    server.start()
    server.wait()
    time.sleep(0.21)
    found = asker.hit([ONE])
    assert found is not None
    assert found.passes, "a new Valkey remembers nothing"
    refused = asker.hit([ONE])
    assert refused is not None
    assert not refused.passes
    assert [line["event"] for line in logged] == ["rate_limits_off", "rate_limits_on_again"]


def test_a_redis_restarted_between_requests_is_no_outage(
    server: Valkey, asker: MovingWindows, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asker.hit([ONE])
    port = int(server.url.rpartition(":")[2].partition("/")[0])
    kill(server)
    monkeypatch.setattr(embedded, "free_port", lambda: port)
    server.start()
    server.wait()
    assert asker.hit([ONE]) is not None
    assert logged == []


def test_scripts_forgotten_by_redis_are_sent_again(server: Valkey, asker: MovingWindows) -> None:
    asker.hit([ONE])
    with redis.Redis.from_url(server.url) as store:
        store.script_flush()
    found = asker.hit([ONE])
    assert found is not None
    assert not found.passes


@pytest.mark.parametrize("state", ["full", "locked"])
def test_a_redis_that_refuses_counts_as_away(
    state: str, server: Valkey, asker: MovingWindows, logged: list[Any]
) -> None:
    with redis.Redis.from_url(server.url) as store:
        if state == "full":
            store.config_set("maxmemory", "1")
        else:
            store.config_set("requirepass", "another")
    assert asker.hit([ONE]) is None
    assert [line["event"] for line in logged] == ["rate_limits_off"]


@pytest.mark.django_db
def test_over_http_callers_notice_nothing(
    server: Valkey, cast: Cast, limit: Any, settings: Any, logged: list[Any]
) -> None:
    limit(burst="1/minute")
    settings.REDIS_URL = server.url
    # A Valkey of an earlier test may have had the same port, and its asker may be in a pause.
    windows.windows_at.cache_clear()
    assert cast.as_owner().get("/api/users/@me/").status_code == 200
    assert cast.as_owner().get("/api/users/@me/").status_code == 429
    kill(server)
    before = unchecked("failed") + unchecked("paused")
    for _ in range(5):
        response = cast.as_owner().get("/api/users/@me/")
        assert response.status_code == 200
        assert not {"RateLimit", "RateLimit-Policy", "Retry-After"} & set(response.headers)
    assert unchecked("failed") + unchecked("paused") == before + 5
    assert [line["event"] for line in logged].count("rate_limits_off") == 1
    windows.windows_at(server.url).close()
