"""The outbox carries each committed row into ClickHouse once, whatever dies in between."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
from django.db import connection, transaction
from django.test import override_settings

from core.outbox import services
from core.outbox.models import OutboxRows
from events import client
from events.errors import StoreUnavailable
from events.rows import event_row, warning_row
from tests.support.at_once import WAITING

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("clickhouse")]
NOW = datetime(2024, 5, 1, tzinfo=UTC)


def add(*uuids: UUID, table: str = "events") -> None:
    rows = [
        event_row(
            team_id=1,
            uuid=uuid,
            event="click",
            distinct_id="ann",
            timestamp=NOW,
            created_at=NOW,
            properties="{}",
            person_id=uuid,
            person_created_at=NOW,
        )
        for uuid in uuids
    ]
    with transaction.atomic():
        services.outbox_add({table: rows})


def stored() -> list[Any]:
    return [row[0] for row in client.query("SELECT uuid FROM events ORDER BY toString(uuid)").rows]


class CrashError(Exception):
    pass


def test_rows_arrive_and_the_outbox_is_empty() -> None:
    uuids = sorted((uuid4() for _ in range(5)), key=str)
    add(*uuids[:3])
    add(*uuids[3:])
    assert services.outbox_drain() == 5
    assert stored() == uuids
    assert not OutboxRows.objects.exists()
    assert services.outbox_drain() == 0


def test_a_drain_that_died_after_the_insert_doubles_nothing() -> None:
    first, later = uuid4(), uuid4()
    add(first)
    batch = services.batch_begin()
    assert batch is not None
    with pytest.raises(CrashError), transaction.atomic():
        services.batch_finish(batch.id)
        raise CrashError
    assert stored() == [first]
    add(later)

    assert services.outbox_drain() == 2

    assert sorted(stored(), key=str) == sorted([first, later], key=str)


def test_a_drain_that_died_before_the_insert_loses_nothing() -> None:
    uuid = uuid4()
    add(uuid)
    services.batch_begin()
    services.outbox_drain()
    assert stored() == [uuid]


def test_drains_at_the_same_time_do_no_harm() -> None:
    uuids = [uuid4() for _ in range(40)]
    for uuid in uuids:
        add(uuid)

    threads = [threading.Thread(target=in_thread, args=[services.outbox_drain]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    services.outbox_drain()

    assert sorted(stored(), key=str) == sorted(uuids, key=str)


def test_a_batch_is_never_carried_in_halves() -> None:
    """Rows that somebody else has locked must not be left out of the insert that their token stands for."""
    uuids = sorted((uuid4() for _ in range(3)), key=str)
    for uuid in uuids:
        add(uuid)
    batch = services.batch_begin()
    assert batch is not None
    drain = threading.Thread(target=in_thread, args=[lambda: services.batch_finish(batch.id)])

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM core_outboxrows ORDER BY id LIMIT 1 FOR UPDATE")
        drain.start()
        until_it_waits(drain)
    drain.join()
    services.outbox_drain()

    assert stored() == uuids


def until_it_waits(thread: threading.Thread) -> bool:
    """Return whether the thread waits for a lock, once it does or has ended; other databases have waiters too."""
    while thread.is_alive():
        with connection.cursor() as cursor:
            # Within a transaction Postgres shows what it showed first.
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute(WAITING)
            if cursor.fetchone()[0]:
                return True
        time.sleep(0.01)
    return False


def in_thread(job: Callable[[], object]) -> None:
    try:
        job()
    finally:
        connection.close()


def test_without_clickhouse_everything_waits() -> None:
    uuid = uuid4()
    add(uuid)
    with override_settings(CLICKHOUSE_URL="http://127.0.0.1:1/none"), pytest.raises(StoreUnavailable):
        services.outbox_drain()
    assert services.outbox_depth() == 1
    services.outbox_drain()
    assert stored() == [uuid]


def test_rows_that_clickhouse_refuses_are_set_aside_and_stop_nobody() -> None:
    good = uuid4()
    with transaction.atomic():
        services.outbox_add({"events": [{"uuid": "no uuid"}]})
    add(good)
    services.outbox_drain()
    assert stored() == [good]
    aside = OutboxRows.objects.get()
    assert aside.refused_at is not None
    assert services.outbox_depth() == 0


def test_rows_of_a_rolled_back_change_never_leave() -> None:
    with pytest.raises(CrashError), transaction.atomic():
        warning = warning_row(team_id=1, source="t", type="t", details="{}", timestamp=NOW)
        services.outbox_add({"ingestion_warnings": [warning]})
        raise CrashError
    assert services.outbox_drain() == 0


def test_many_nudges_become_one_message_until_it_is_read(valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    # That of the process may rest after a failure, or have met settings of another test first.
    monkeypatch.setattr(services, "_nudger", services.Nudger())
    monkeypatch.setattr(services, "NUDGE_LIFETIME_MS", 600_000)
    for _ in range(5):
        services.outbox_nudge()
    assert valkey.llen("celery") == 1
    services.outbox_drain_paced()
    services.outbox_nudge()
    assert valkey.llen("celery") == 2


def test_drains_that_follow_each_other_wait_so_that_portions_grow(
    valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "_nudger", services.Nudger())
    begin = time.monotonic()
    services.outbox_drain_paced()
    services.outbox_drain_paced()
    # From the begin of the first, which itself takes a part of the time.
    assert time.monotonic() - begin >= services.PACE_MS / 1000 - 0.05


def test_all_that_waits_is_carried_even_if_it_takes_many_batches(settings: Any) -> None:
    settings.OUTBOX_BATCH_ENTRIES = 2
    uuids = sorted((uuid4() for _ in range(6)), key=str)
    for uuid in uuids:
        add(uuid)
    assert services.outbox_drain() == 6
    assert stored() == uuids


def test_a_row_that_comes_while_a_batch_is_carried_is_not_forgotten() -> None:
    first, second = sorted((uuid4(), uuid4()), key=str)
    add(first)
    batch = services.batch_begin()
    assert batch is not None
    drain = threading.Thread(target=in_thread, args=[services.outbox_drain])
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [str(batch.id)])
        drain.start()
        assert until_it_waits(drain)
        writer = threading.Thread(target=in_thread, args=[lambda: add(second)])
        writer.start()
        writer.join()
    drain.join()
    assert stored() == [first, second]


def test_a_nudge_without_redis_is_lost_quietly_and_quickly() -> None:
    nudger = services.Nudger()
    with override_settings(REDIS_URL="redis://127.0.0.1:1/0"):
        for _ in range(100):
            nudger.nudge()
    assert nudger.is_paused
