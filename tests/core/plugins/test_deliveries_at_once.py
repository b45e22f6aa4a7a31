"""Deliveries while others capture, deliver, switch off, uninstall, delete and die."""

import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError, connection, transaction

from core.persons.ingest import IngestTeam, NewEvent, events_ingest
from core.plugins.deliveries.services import deliveries_forget
from core.plugins.deliveries.working import deliver
from core.plugins.handlers.base import Event, HandlerContext, Result
from core.plugins.models import PluginDelivery, PluginDestination
from core.projects.deleting import projects_delete
from core.tenancy.models import Team
from core.tenancy.statements import execute
from tasks.plugins import plugins_deliver
from tests.core.plugins.delivering import (
    DELIVERED,
    TOLD,
    ToldHandler,
    capture,
    counts,
    destination,
    lines,
    make_destination,
    queue,
    received,
    sync,
    tried,
)
from tests.factories import make_team
from tests.support.at_once import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("told")]
SECONDS = 30


@pytest.fixture
def told(settings: Any) -> Iterator[None]:
    settings.PLUGIN_HANDLERS = [TOLD]
    settings.PLUGIN_RETRY_SECONDS = 0.001
    ToldHandler.forget()
    yield
    ToldHandler.forget()


@pytest.fixture
def one_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no turn end before all that waits was sent, however slow the machine is."""
    monkeypatch.setattr("core.plugins.deliveries.working.TURN_SECONDS", 600.0)


@pytest.fixture
def nudges(monkeypatch: pytest.MonkeyPatch, valkey: Any) -> Any:
    """The broker of nudges that do not get old, after which none waits for Redis to come back."""
    monkeypatch.setattr("core.outbox.services.NUDGE_LIFETIME_MS", 600_000)
    monkeypatch.setattr("core.plugins.deliveries.nudges._nudger._paused_until", 0.0)
    return valkey


@pytest.fixture
def team() -> Team:
    return make_team()


def on_attempt(number: int, act: Any) -> None:
    """Do something in the middle of the attempt with this number, the first being 1.

    There, only what is no Exception comes through: pytest.fail, not assert.
    """
    made = iter(range(1, 1_000_000))

    def answer(_context: HandlerContext, _events: Sequence[Event]) -> Result:
        if next(made) == number:
            act()
        return DELIVERED

    ToldHandler.answer = staticmethod(answer)


def in_thread(call: Any) -> threading.Thread:
    def run() -> None:
        try:
            call()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def waits_for_lock() -> bool:
    # Within a transaction Postgres shows what it showed first.
    execute("SELECT pg_stat_clear_snapshot()")
    return bool(
        execute("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")
    )


def until_someone_waits(thread: threading.Thread) -> None:
    deadline = time.monotonic() + SECONDS
    while not waits_for_lock():
        if not thread.is_alive() or time.monotonic() > deadline:
            pytest.fail("it did not wait")


def test_workers_at_once_deliver_every_event_once_and_in_order(team: Team) -> None:
    def take_time(_context: HandlerContext, _events: Sequence[Event]) -> Result:
        time.sleep(0.002)
        return DELIVERED

    ToldHandler.answer = staticmethod(take_time)
    configs = [make_destination(team, together=7) for _ in range(3)]
    names = [f"e{number}" for number in range(300)]

    def work() -> None:
        while deliver(seconds=0.5):
            pass

    def write() -> None:
        for start in range(0, 300, 10):
            capture(team, *names[start : start + 10])

    at_once(write, work, work, work)
    while deliver(seconds=5):
        pass
    for config in configs:
        assert received(config) == names
        assert counts(config) == (300, 0, 0)


def test_receivers_that_take_their_time_leave_room_for_the_others(
    team: Team, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.plugins.deliveries.turns.SLOW_SECONDS", 0.05)
    settings.PLUGIN_SLOW_AT_ONCE = 1
    slow = [make_destination(team) for _ in range(3)]
    at_work: list[int] = []
    most = 0

    def take_time(context: HandlerContext, _events: Sequence[Event]) -> Result:
        nonlocal most
        if context.plugin_config_id in {config.pk for config in slow}:
            at_work.append(context.plugin_config_id)
            most = max(most, len(at_work))
            time.sleep(0.3)
            at_work.pop()
        return DELIVERED

    ToldHandler.answer = staticmethod(take_time)
    capture(team, "first")
    while deliver(seconds=5):
        pass
    assert {destination(config).is_slow for config in slow} == {True}
    quick = make_destination(team)
    assert not destination(quick).is_slow
    capture(team, "second", "third")
    most = 0
    at_once(*[lambda: deliver(seconds=3)] * 3)
    assert most == 1
    assert received(quick) == ["second", "third"]
    while deliver(seconds=5):
        pass
    assert [received(config) for config in slow] == [["first", "second", "third"]] * 3
    # Quick is whoever takes less than that: however slow the machine is, these do.
    monkeypatch.setattr("core.plugins.deliveries.turns.SLOW_SECONDS", 60.0)
    ToldHandler.answer = staticmethod(lambda _context, _events: DELIVERED)
    capture(team, "fourth")
    while deliver(seconds=5):
        pass
    assert {destination(config).is_slow for config in slow} == {False}


def test_clients_at_once_queue_the_events_of_a_person_in_the_order_in_which_they_were_applied(team: Team) -> None:
    config = make_destination(team)

    def write(client: int) -> None:
        for number in range(10):
            capture(team, f"{client}-{number}", properties={"$set": {"last": f"{client}-{number}"}})

    at_once(*(lambda client=client: write(client) for client in range(4)))
    while deliver(seconds=5):
        pass
    assert len(received(config)) == 40
    for event in ToldHandler.events:
        assert event["person"]["properties"]["last"] == event["event"]
    for client in range(4):
        assert [name for name in received() if name[0] == str(client)] == [f"{client}-{number}" for number in range(10)]


def test_capture_does_not_wait_for_a_delivery_at_work(team: Team) -> None:
    config = make_destination(team)
    capture(team, "one")

    def more() -> None:
        thread = in_thread(lambda: capture(team, "two"))
        thread.join(SECONDS)
        if thread.is_alive():
            pytest.fail("capture waits")

    on_attempt(1, more)
    while deliver(seconds=5):
        pass
    assert received(config) == ["one", "two"]


def test_after_a_config_was_switched_off_nothing_more_is_sent(team: Team) -> None:
    config = make_destination(team)
    capture(team, *"abcdefgh")
    sent_before: list[int] = []
    threads: list[threading.Thread] = []

    def off() -> None:
        sync(config, enabled=False)
        sent_before.append(len(received()))

    def switch_off() -> None:
        threads.append(in_thread(off))
        until_someone_waits(threads[0])

    on_attempt(3, switch_off)
    deliver(seconds=30)
    threads[0].join(SECONDS)
    assert sent_before == [len(received())]
    assert received() + queue(config) == list("abcdefgh")


def test_an_uninstall_waits_for_a_capture_and_takes_what_it_added(team: Team) -> None:
    config = make_destination(team)
    threads: list[threading.Thread] = []

    def uninstall() -> None:
        with transaction.atomic():
            deliveries_forget(team_id=team.id, plugin_config_ids=[config.pk])

    with transaction.atomic():
        event = NewEvent(uuid=uuid4(), event="late", distinct_id="ann", timestamp=datetime.now(UTC), properties={})
        events_ingest(team=IngestTeam(team.id), events=[event])
        threads.append(in_thread(uninstall))
        until_someone_waits(threads[0])
    threads[0].join(SECONDS)
    assert not PluginDelivery.objects.for_team(team.id).exists()
    assert not PluginDestination.objects.for_team(team.id).exists()


def test_a_project_is_deleted_after_the_turn_at_work_and_nothing_is_sent_after_that(team: Team) -> None:
    make_destination(team)
    capture(team, *"abc")
    sent_before: list[int] = []
    threads: list[threading.Thread] = []

    def delete() -> None:
        projects_delete(organization_id=team.organization_id, team_ids=[team.id], user_id=None)
        sent_before.append(len(received()))

    def begin() -> None:
        threads.append(in_thread(delete))
        until_someone_waits(threads[0])

    on_attempt(2, begin)
    deliver(seconds=30)
    threads[0].join(SECONDS)
    deliver(seconds=1)
    assert sent_before == [len(received())]


def test_an_event_that_is_being_erased_is_neither_sent_nor_waited_for(team: Team) -> None:
    config = make_destination(team)
    capture(team, "secret", "other")
    with transaction.atomic():
        PluginDelivery.objects.for_team(team.id).filter(event="secret").delete()
        thread = in_thread(lambda: deliver(seconds=1))
        thread.join(SECONDS)
        assert not thread.is_alive()
    assert received(config) == ["other"]
    assert queue(config) == []


def test_all_events_being_erased_the_worker_rests(team: Team) -> None:
    config = make_destination(team)
    capture(team, "secret")
    before = PluginDestination.objects.for_team(team.id).get()
    with transaction.atomic():
        PluginDelivery.objects.for_team(team.id).delete()
        thread = in_thread(lambda: deliver(seconds=1))
        thread.join(SECONDS)
        assert not thread.is_alive()
    after = PluginDestination.objects.for_team(team.id).get()
    assert (tried(), queue(config)) == ([], [])
    assert after.next_attempt_at > before.next_attempt_at


@pytest.mark.parametrize("at", [1, 5, 8])
@pytest.mark.usefixtures("one_turn")
def test_a_worker_that_dies_in_a_turn_repeats_that_turn_and_loses_nothing(team: Team, at: int) -> None:
    config = make_destination(team)
    names = list("abcdefgh")
    capture(team, *names)

    def die() -> None:
        raise SystemExit

    on_attempt(at, die)
    with pytest.raises(SystemExit):
        deliver(seconds=30)
    assert received() == names[: at - 1]
    assert (queue(config), counts(config), lines(config)) == (names, (0, 0, 0), [])
    deliver(seconds=30)
    assert received() == names[: at - 1] + names
    assert (queue(config), counts(config)) == ([], (8, 0, 0))


@pytest.mark.usefixtures("one_turn")
def test_a_worker_whose_connection_to_postgres_breaks_repeats_its_turn(team: Team) -> None:
    config = make_destination(team)
    capture(team, *"abc")
    pids: list[int] = []

    def work() -> None:
        with pytest.raises(OperationalError):
            deliver(seconds=30)

    def cut() -> None:
        pids.append(execute("SELECT pg_backend_pid()")[0][0])
        ender = in_thread(lambda: execute("SELECT pg_terminate_backend(%s)", pids))
        ender.join(SECONDS)

    on_attempt(2, cut)
    at_once(work)
    assert (received(), queue(config)) == (["a", "b", "c"], ["a", "b", "c"])
    deliver(seconds=30)
    assert received()[3:] == ["a", "b", "c"]


def test_capture_tells_the_worker_and_the_task_delivers(team: Team, nudges: Any) -> None:
    config = make_destination(team)
    nudges.flushdb()
    capture(team, "one")
    assert nudges.exists("persons-api:deliveries:nudged")
    assert nudges.llen("plugins") == 1
    plugins_deliver()
    assert not nudges.exists("persons-api:deliveries:nudged")
    assert received(config) == ["one"]


def test_several_destinations_call_for_another_worker(team: Team, nudges: Any) -> None:
    make_destination(team)
    capture(team, "one")
    nudges.flushdb()
    deliver(seconds=30)
    assert nudges.llen("plugins") == 0
    make_destination(team)
    capture(team, "two")
    nudges.flushdb()
    deliver(seconds=30)
    assert nudges.llen("plugins") == 1
