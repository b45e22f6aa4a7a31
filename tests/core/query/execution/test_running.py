"""How many queries of a project run at once, and what frees a place."""

import socket
import threading
import time
from contextlib import ExitStack
from typing import Any

import pytest
from django.db import connections

from core.query import running
from core.query.errors import TooManyRunning
from core.query.running import Clients, alone_with, attended, place_of_project
from core.redis_store import redis_store
from events.errors import QueryStopped, StoreUnavailable
from tests.core.http import problem
from tests.core.query.execution.conftest import Asking, make_asking
from tests.factories import make_team

TEAM, OTHER = 41, 42
WAITED_FOR = 60
"""Seconds, for what takes a moment: the machine may be busy with other things."""


@pytest.mark.usefixtures("valkey")
def test_a_project_has_so_many_places(settings: Any) -> None:
    settings.QUERY_CONCURRENCY_PER_PROJECT = 2
    with place_of_project(TEAM, wait_seconds=0), place_of_project(TEAM, wait_seconds=0):
        with pytest.raises(TooManyRunning), place_of_project(TEAM, wait_seconds=0.2):
            pass
        with place_of_project(OTHER, wait_seconds=0):
            pass
    with place_of_project(TEAM, wait_seconds=0):
        pass


@pytest.mark.usefixtures("valkey")
def test_whoever_waits_gets_the_next_place(settings: Any) -> None:
    settings.QUERY_CONCURRENCY_PER_PROJECT = 1
    got = threading.Event()

    def wait() -> None:
        with place_of_project(TEAM, wait_seconds=WAITED_FOR):
            got.set()

    with place_of_project(TEAM, wait_seconds=0):
        thread = threading.Thread(target=wait)
        thread.start()
        assert not got.wait(0.4)
    assert got.wait(WAITED_FOR)
    thread.join()


@pytest.mark.usefixtures("valkey")
def test_who_hangs_up_does_not_wait_on(settings: Any) -> None:
    settings.QUERY_CONCURRENCY_PER_PROJECT = 1
    ours, theirs = socket.socketpair()
    gone = Clients([ours])
    gone.check()
    with place_of_project(TEAM, wait_seconds=0), alone_with("k", wait_seconds=0):
        theirs.close()
        with pytest.raises(QueryStopped), place_of_project(TEAM, wait_seconds=60, clients=gone):
            pass
        with pytest.raises(QueryStopped), alone_with("k", wait_seconds=60, clients=gone):
            pass
    ours.close()


def test_a_place_whose_process_was_killed_gets_free(
    settings: Any, valkey: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.QUERY_CONCURRENCY_PER_PROJECT = 1
    monkeypatch.setattr(running, "LEASE_SECONDS", 1)
    killed = ExitStack()
    begun = time.monotonic()
    killed.enter_context(place_of_project(TEAM, wait_seconds=0))
    with place_of_project(TEAM, wait_seconds=WAITED_FOR):
        # Not before the lease was over; the two clocks may differ a little.
        assert time.monotonic() - begun > 0.9
    killed.close()


@pytest.mark.usefixtures("valkey")
def test_it_gets_free_although_others_of_the_project_run(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.QUERY_CONCURRENCY_PER_PROJECT = 2
    monkeypatch.setattr(running, "LEASE_SECONDS", 1)
    monkeypatch.setattr(running, "TICK_SECONDS", 0.2)
    killed = ExitStack()
    killed.enter_context(place_of_project(TEAM, wait_seconds=0))
    with (
        place_of_project(TEAM, wait_seconds=0) as renew,
        attended([renew]),
        place_of_project(TEAM, wait_seconds=WAITED_FOR),
    ):
        pass
    killed.close()


def test_a_place_that_is_renewed_is_kept(settings: Any, valkey: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.QUERY_CONCURRENCY_PER_PROJECT = 1
    # So long that the place is lost without renewals only, however slow the machine is.
    monkeypatch.setattr(running, "LEASE_SECONDS", 600)
    monkeypatch.setattr(running, "TICK_SECONDS", 0.2)
    with place_of_project(TEAM, wait_seconds=0) as renew:
        (places,) = valkey.keys("query:*:places")
        ((mine, lease_end),) = valkey.zrange(places, 0, -1, withscores=True)
        # As if most of the lease was over: the place's end, and that of all places.
        valkey.zadd(places, {mine: lease_end - 500})
        valkey.expire(places, 100)
        with attended([renew]):
            deadline = time.monotonic() + WAITED_FOR
            while valkey.zscore(places, mine) < lease_end or valkey.ttl(places) <= 100:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            with pytest.raises(TooManyRunning), place_of_project(TEAM, wait_seconds=0.2):
                pass


def test_without_the_store_everyone_runs(settings: Any) -> None:
    settings.QUERY_CONCURRENCY_PER_PROJECT = 1
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    redis_store.cache_clear()  # the pause of an earlier test would hide the attempt
    with (
        place_of_project(TEAM, wait_seconds=0),
        place_of_project(TEAM, wait_seconds=0),
        alone_with("k", wait_seconds=0),
    ):
        pass


@pytest.mark.django_db
def test_who_finds_no_place_is_told_to_come_back(asking: Asking, settings: Any) -> None:
    settings.QUERY_CONCURRENCY_PER_PROJECT = 1
    settings.QUERY_CONCURRENCY_WAIT_SECONDS = 0
    with place_of_project(asking.team.id, wait_seconds=0):
        response = asking.ask("select 1")
    detail = "Too many queries are running right now — please try again in a moment."
    assert problem(response) == (429, "throttled_error", "throttled", detail, None)
    assert int(response["Retry-After"]) >= 1
    assert asking.ask("select 1").status_code == 200


@pytest.mark.django_db
def test_kept_answers_need_no_place(asking: Asking, settings: Any) -> None:
    asking.answer("select 1")
    settings.QUERY_CONCURRENCY_PER_PROJECT = 1
    settings.QUERY_CONCURRENCY_WAIT_SECONDS = 0
    with place_of_project(asking.team.id, wait_seconds=0):
        assert asking.answer("select 1")["is_cached"] is True


@pytest.mark.django_db(transaction=True)
def test_a_running_query_is_seen_and_stopped(
    clickhouse: object, valkey: object, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from events import client

    settings.QUERY_TIMEOUT_SECONDS = 600
    # The query keeps all CPUs busy while others look for it.
    monkeypatch.setattr(client, "LOOKING_SECONDS", 30)
    asking = make_asking(make_team())
    text = "select count() from numbers(1000000000000) where cityHash64(number) = 1"
    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(asking.ask(text, client_query_id="long"))
        finally:
            connections.close_all()

    thread = threading.Thread(target=ask)
    thread.start()
    deadline = time.monotonic() + WAITED_FOR
    while client.progress_of(asking.team.id, "long") is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert client.stop(asking.team.id + 1, "long") == 0
    assert asking.delete("long/").status_code == 200
    thread.join(WAITED_FOR)
    assert not thread.is_alive()
    assert problem(answers[0])[:3] == (400, "validation_error", "query_was_cancelled")
    # The server sends the error first and then forgets the query.
    deadline = time.monotonic() + WAITED_FOR
    while client.progress_of(asking.team.id, "long") is not None:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_hanging_up_is_noticed_once_all_who_may_be_meant_did() -> None:
    gone: list[float] = []
    pairs = [socket.socketpair() for _ in range(2)]
    with attended([], clients=Clients([ours for ours, _ in pairs]), on_gone=lambda: gone.append(time.monotonic())):
        pairs[0][1].close()
        time.sleep(running.GRACE_SECONDS + 0.3)
        assert gone == []
        pairs[1][1].close()
        deadline = time.monotonic() + WAITED_FOR
        while not gone and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
    assert len(gone) == 1
    for ours, _ in pairs:
        ours.close()


def test_a_client_that_waits_is_not_gone() -> None:
    ours, theirs = socket.socketpair()
    gone: list[int] = []
    with attended([], clients=Clients([ours]), on_gone=lambda: gone.append(1)):
        theirs.send(b"more")
        time.sleep(running.GRACE_SECONDS + 0.3)
    assert gone == []
    ours.close()
    theirs.close()


def test_attendance_ends_when_nobody_wants_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "TICK_SECONDS", 0.05)
    gone = threading.Event()

    def renew() -> None:
        raise LookupError

    with attended([renew], on_gone=gone.set):
        assert gone.wait(WAITED_FOR)


def test_who_lasts_is_attended_beside_many_who_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "TICK_SECONDS", 0.05)
    # No block of those that do nothing lasts so long, even if this thread has to wait for a CPU.
    monkeypatch.setattr(running, "GRACE_SECONDS", 2)
    renewed, threads = threading.Event(), threading.active_count()
    with attended([renewed.set]):
        for _ in range(200):
            with attended([pytest.fail]):
                pass
        assert threading.active_count() <= threads + 2
        assert renewed.wait(WAITED_FOR)
    with attended([]):
        renewed.clear()
        time.sleep(running.GRACE_SECONDS + 0.3)
    assert not renewed.is_set()


def test_stopping_is_tried_again_when_clickhouse_did_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "TICK_SECONDS", 0.05)
    ours, theirs = socket.socketpair()
    tries: list[int] = []
    stopped = threading.Event()

    def stop() -> None:
        tries.append(1)
        if len(tries) < 3:
            raise StoreUnavailable
        stopped.set()

    with attended([], clients=Clients([ours]), on_gone=stop):
        theirs.close()
        assert stopped.wait(WAITED_FOR)
        time.sleep(0.3)
    assert len(tries) == 3
    ours.close()
