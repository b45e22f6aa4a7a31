"""The deletion job killed anywhere, run twice, at once, without ClickHouse: what was asked goes, nothing else."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from core.deletions import job
from core.deletions.models import DeletionRequest, DeletionRun
from core.outbox.services import outbox_add, outbox_drain
from core.persons.deleting import Deletion, PersonChoice, persons_delete
from core.persons.ingest import IngestTeam, NewEvent, events_ingest
from events.rows import Table, recording_row
from tests.factories import make_team
from tests.support.processes import REPOSITORY

pytestmark = [pytest.mark.faults, pytest.mark.django_db(transaction=True), pytest.mark.timeout(900)]

STEPS = [step.__name__ for step in job.STEPS]
COUNTED = ("events", "person_property_updates", "person_distinct_ids", "session_recordings")


class World:
    """Three persons: ann is to go whole, bob's recordings are to go, carol is not to be touched."""

    def __init__(self, client: ModuleType) -> None:
        self.client = client
        self.team = IngestTeam(make_team().id)
        for who in ("ann", "bob", "carol"):
            self.capture(who, "$identify", merge_with=f"{who}-anonymous", set={"name": who})
            self.capture(f"{who}-anonymous", "page")
            self._record(who)
        self.request("ann", delete_events=True)
        self.request("bob", keep_person=True, delete_recordings=True)
        self.capture("ann", "of a new life")

    def capture(self, who: str, name: str, **fields: Any) -> None:
        event = NewEvent(
            event=name, distinct_id=who, uuid=uuid4(), timestamp=datetime.now(UTC), properties={}, **fields
        )
        events_ingest(team=self.team, events=[event])

    def _record(self, who: str) -> None:
        now = datetime.now(UTC)
        row = recording_row(
            team_id=self.team.id, session_id=who, window_id="w", distinct_id=who, generation=0, uuid=uuid4(),
            source="web", first_timestamp=now, last_timestamp=now, event_count=1, click_count=0, keypress_count=0,
            size=2, blob_key="", created_at=now,
        )  # fmt: skip
        outbox_add({Table.SESSION_RECORDINGS: [row]})

    def request(self, who: str, **flags: bool) -> None:
        deletion = Deletion(self.team.id, uuid4(), None, **flags)
        assert persons_delete(deletion=deletion, choice=PersonChoice(distinct_ids=[who])).found == 1

    def start(self, *words: str, **environment: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "tests.support.deletion_process", *words],
            cwd=REPOSITORY,
            env={**os.environ, "DATABASE_URL": database_url(), "DJANGO_SETTINGS_MODULE": "persons_api.settings"}
            | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str, **environment: str) -> tuple[int, str]:
        process = self.start(*words, **environment)
        output, _ = process.communicate(timeout=300)
        return process.returncode, output

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        outbox_drain()
        return sorted(self.client.query(sql).rows)

    def assert_untouched(self) -> None:
        """Nothing that was not asked for is gone."""
        assert self.rows("SELECT distinct_id, event FROM events WHERE distinct_id NOT LIKE 'ann%'") == [
            ("bob", "$identify"), ("bob-anonymous", "page"), ("carol", "$identify"), ("carol-anonymous", "page"),
        ]  # fmt: skip
        assert self.rows("SELECT event FROM events WHERE event = 'of a new life'") == [("of a new life",)]
        assert self.rows("SELECT distinct_id FROM session_recordings WHERE distinct_id = 'carol'") == [("carol",)]
        assert self.rows("SELECT distinct_id FROM person_distinct_ids FINAL WHERE NOT is_deleted") == [
            ("ann",), ("bob",), ("bob-anonymous",), ("carol",), ("carol-anonymous",),
        ]  # fmt: skip

    def assert_done(self) -> None:
        """All that was asked for is gone for good, and the receipts add up."""
        self.assert_untouched()
        assert self.rows("SELECT event FROM events WHERE distinct_id LIKE 'ann%'") == [("of a new life",)]
        assert self.rows("SELECT distinct_id FROM session_recordings") == [("ann",), ("carol",)]
        assert (
            self.rows("SELECT distinct_id FROM person_distinct_ids WHERE generation = 0 AND distinct_id LIKE 'ann%'")
            == []
        )
        assert self.rows(
            "SELECT sum(has_lightweight_delete) FROM system.parts WHERE active AND database = currentDatabase()"
        ) == [(0,)]
        assert self.rows("SELECT count() FROM system.mutations WHERE database = currentDatabase() AND NOT is_done") == [
            (0,)
        ]
        events, recordings = DeletionRequest.objects.for_team(self.team.id).order_by("kind")
        for request, places in ((events, COUNTED[:3]), (recordings, COUNTED[3:])):
            assert request.verified_at is not None, request.last_error
            for place in places:
                counts = request.receipt["tables"][place]
                assert counts["found"] == counts["removed"], (place, counts)
                assert counts["found"] > 0, place
                assert counts["remaining"] == 0
        assert events.receipt["tables"]["events"]["removed"] == 2
        assert recordings.receipt["tables"]["session_recordings"]["removed"] == 1
        assert not DeletionRun.objects.filter(finished_at=None).exists()


def database_url() -> str:
    from django.db import connection

    found = connection.settings_dict
    host, port = found["HOST"], found["PORT"]
    login = f"{found['USER']}:{found['PASSWORD']}" if found["PASSWORD"] else found["USER"]
    return f"postgresql://{login}@/{found['NAME']}?host={host}" + (f"&port={port}" if port else "")


@pytest.fixture
def world(clickhouse: ModuleType) -> World:
    return World(clickhouse)


@pytest.mark.parametrize("step", STEPS)
def test_killed_before_a_step_and_run_again(world: World, step: str) -> None:
    code, output = world.run("step", step)
    assert code == -9, output
    world.assert_untouched()
    if STEPS.index(step) <= STEPS.index("erase"):
        assert len(world.rows("SELECT 1 FROM events WHERE distinct_id LIKE 'ann%' AND generation = 0")) == 2
    if STEPS.index(step) <= STEPS.index("verify"):
        assert not DeletionRequest.unscoped.filter(verified_at__isnull=False).exists()
    code, output = world.run()
    assert code == 0, output
    world.assert_done()


@pytest.mark.parametrize("first", [4, 11, 17, 26, 33])
def test_killed_at_any_statement_again_and_again(world: World, first: int) -> None:
    """Each process dies a few statements after it began, until one comes to the end."""
    for number in range(first, 200, 7):
        code, output = world.run("call", str(number))
        world.assert_untouched()
        if code == 0:
            break
        assert code == -9, output
    world.assert_done()


def test_run_twice(world: World) -> None:
    assert world.run()[0] == 0
    before = list(DeletionRequest.unscoped.order_by("id").values_list("receipt", flat=True))
    code, output = world.run()
    assert (code, "No requests wait." in output) == (0, True)
    assert list(DeletionRequest.unscoped.order_by("id").values_list("receipt", flat=True)) == before
    world.assert_done()


def test_several_at_once_while_events_arrive(world: World) -> None:
    processes = [world.start() for _ in range(3)]
    while any(process.poll() is None for process in processes):
        world.capture("carol", "meanwhile")
        world.capture("ann", "meanwhile")
    codes = {process.returncode: process.communicate()[0] for process in processes}
    assert set(codes) <= {0, job_busy()}, codes
    assert 0 in codes
    world.client.query("SELECT 1")
    counted = world.rows("SELECT distinct_id, count() FROM events WHERE event = 'meanwhile' GROUP BY distinct_id")
    assert len({count for _, count in counted}) == 1
    world.rows("SELECT 1")
    world.client.command("ALTER TABLE events DELETE WHERE event = 'meanwhile'", settings={"mutations_sync": 1})
    world.assert_done()


def job_busy() -> int:
    from core.management.commands.run_deletions import BUSY

    return BUSY


class Cable:
    """Forwards connections to ClickHouse until it is cut."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pairs: list[socket.socket] = []
        self.requests = 0
        self.cut_at: int | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                self._pairs += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._forward, args=(one, other, one is near), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, asks: bool) -> None:  # noqa: FBT001
        with suppress(OSError):
            while data := source.recv(65536):
                self.requests += asks and data.startswith((b"POST", b"GET"))
                if self.cut_at is not None and self.requests > self.cut_at:
                    self.cut()
                    return
                target.sendall(data)

    def cut(self) -> None:
        """End every connection and refuse new ones."""
        self._listener.close()
        for end in self._pairs:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@pytest.fixture
def cable() -> Iterator[Callable[[], Cable]]:
    made: list[Cable] = []

    def make() -> Cable:
        url = urlsplit(os.environ["CLICKHOUSE_URL"])
        made.append(Cable(str(url.hostname), int(url.port or 8123)))
        return made[-1]

    yield make
    for one in made:
        one.cut()


@pytest.mark.parametrize("cut_at", [0, 3, 12, 20, 30])
def test_clickhouse_goes_away_in_the_middle_and_comes_back(
    world: World, cable: Callable[[], Cable], cut_at: int
) -> None:
    through = cable()
    through.cut_at = cut_at
    url = urlsplit(os.environ["CLICKHOUSE_URL"])
    away = url._replace(netloc=f"{url.netloc.rpartition(':')[0]}:{through.port}").geturl()

    code, output = world.run(CLICKHOUSE_URL=away)

    assert (code, "Run the same command again" in output or "run the same command again" in output) == (1, True), output
    world.assert_untouched()
    for request in DeletionRequest.unscoped.all():
        assert (request.verified_at, request.attempts) == (None, 1)
        assert request.last_error == "The event store is not available right now. Try again shortly."
    code, output = world.run()
    assert code == 0, output
    world.assert_done()
    assert not DeletionRequest.unscoped.exclude(last_error="").exists()
