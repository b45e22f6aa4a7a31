"""Kept answers: whose they are, when they age, and what happens without the store (query.md B4)."""

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connections

from core.deletions.models import DeletionRequest
from core.query import running
from core.query.cache import MAX_BYTES, kept_find, packed, unpacked
from core.query.modes import Freshness, Mode, Standing
from core.query.runners.base import Interval
from core.query.running import place_of_project
from core.redis_store import RedisStore, redis_store
from core.tenancy.models import Level, Team
from tests.core.http import parsed
from tests.core.query.execution.conftest import Asking, make_asking
from tests.factories import make_team

TEXT = "select count() from events"
NOW = datetime(2026, 3, 5, 12, tzinfo=UTC)


@pytest.mark.django_db
def test_equal_queries_of_different_users_share_an_answer(asking: Asking, team: Team) -> None:
    first = asking.answer(TEXT)
    other = make_asking(team, level=Level.MEMBER)
    second = other.answer(TEXT, {"tags": {"scene": "board"}}, name="mine", client_query_id="abc")
    assert (first["is_cached"], second["is_cached"]) == (False, True)
    assert first["cache_key"] == second["cache_key"]
    assert first["last_refresh"] == second["last_refresh"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "node",
    [
        {"values": {"a": 1}},
        {"filters": {"filterTestAccounts": True}},
        {"modifiers": {"personsOnEventsMode": "disabled"}},
    ],
)
def test_queries_that_differ_do_not(asking: Asking, node: dict[str, Any]) -> None:
    assert asking.answer(TEXT)["cache_key"] != asking.answer(TEXT, node)["cache_key"]


@pytest.mark.django_db
def test_a_key_names_the_project(asking: Asking, stranger: Asking) -> None:
    ours, theirs = asking.answer(TEXT)["cache_key"], stranger.answer(TEXT)["cache_key"]
    assert ours.startswith(f"cache_{asking.team.id}_")
    assert theirs.startswith(f"cache_{stranger.team.id}_")
    assert stranger.answer(TEXT)["is_cached"] is True


@pytest.mark.django_db
@pytest.mark.parametrize("change", [{"timezone": "Asia/Tokyo"}, {"week_start_day": 1}])
def test_the_settings_of_the_project_are_part_of_the_key(asking: Asking, change: dict[str, Any]) -> None:
    before = asking.answer(TEXT)["cache_key"]
    Team.objects.filter(pk=asking.team.pk).update(**change)
    assert asking.answer(TEXT)["cache_key"] != before


@pytest.mark.django_db
def test_what_was_kept_before_a_wish_to_erase_is_never_shown(asking: Asking) -> None:
    asking.answer(TEXT)
    uuid = "00000000-0000-4000-8000-000000000001"
    DeletionRequest.objects.for_team(asking.team.id).create(
        team_id=asking.team.id, kind="events", person_uuid=uuid, requested_at=datetime.now(UTC)
    )
    response = asking.ask(TEXT, refresh="force_cache")
    assert set(parsed(response)) == {"cache_key", "query_status"}


@pytest.mark.django_db
def test_a_wish_that_is_repeated_hides_what_was_kept_too(asking: Asking) -> None:
    wishes = DeletionRequest.objects.for_team(asking.team.id)
    uuids = [f"00000000-0000-4000-8000-00000000000{number}" for number in range(2)]
    for uuid in (*uuids, uuids[0], uuids[0]):
        wishes.update_or_create(
            {"requested_at": datetime.now(UTC)}, team_id=asking.team.id, kind="events", person_uuid=uuid
        )
        assert asking.answer(TEXT)["is_cached"] is False
        assert asking.answer(TEXT)["is_cached"] is True


@pytest.mark.django_db
def test_events_of_the_past_age_because_their_persons_change(asking: Asking) -> None:
    body = {
        "query": {"kind": "EventsQuery", "select": ["*"], "after": "2024-01-01", "before": "2024-02-01"},
        "refresh": "blocking",
    }
    for later, cached in ((timedelta(), False), (timedelta(minutes=4), True), (timedelta(minutes=6), False)):
        with time_machine.travel(NOW + later, tick=False):
            assert parsed(asking.post(body))["is_cached"] is cached


@pytest.mark.django_db
def test_times_of_an_answer(asking: Asking) -> None:
    with time_machine.travel(NOW, tick=False):
        answer = asking.answer(TEXT)
    assert answer["last_refresh"] == "2026-03-05T12:00:00.000000Z"
    assert answer["cache_target_age"] == "2026-03-05T12:05:00.000000Z"
    assert answer["next_allowed_client_refresh"] == "2026-03-05T12:01:00.000000Z"


FRESH: dict[Interval | None, tuple[timedelta, timedelta]] = {
    "minute": (timedelta(minutes=5), timedelta(minutes=15)),
    "hour": (timedelta(hours=1), timedelta(hours=2)),
    "day": (timedelta(hours=6), timedelta(hours=12)),
    None: (timedelta(hours=6), timedelta(hours=12)),
    "week": (timedelta(days=1), timedelta(days=1)),
    "month": (timedelta(days=2), timedelta(days=2)),
}


@pytest.mark.parametrize("interval", FRESH)
@pytest.mark.parametrize("mode", [Mode.BLOCKING, Mode.LAZY_ASYNC])
def test_how_long_an_answer_is_fresh(interval: Interval | None, mode: Mode) -> None:
    limit = FRESH[interval][mode is Mode.LAZY_ASYNC]
    freshness = Freshness(interval, None)
    moment = timedelta(seconds=1)
    assert freshness.standing(NOW - limit + moment, now=NOW, mode=mode) is Standing.FRESH
    assert freshness.standing(NOW - limit, now=NOW, mode=mode) is Standing.STALE
    assert freshness.until(NOW) == NOW + FRESH[interval][0]


def test_an_answer_about_the_past_does_not_age() -> None:
    refreshed = NOW - timedelta(days=30)
    for seconds, standing in ((11, Standing.FRESH), (10, Standing.STALE)):
        freshness = Freshness("minute", refreshed - timedelta(seconds=seconds))
        assert freshness.standing(refreshed, now=NOW, mode=Mode.BLOCKING) is standing


def test_answers_that_are_too_large_are_not_kept() -> None:
    assert packed({"results": ["x" * 100]}, longest=MAX_BYTES) is not None
    assert packed({"results": ["x" * 100]}, longest=10) is None
    assert unpacked(packed({"results": [["é", None, 1.5]]}, longest=MAX_BYTES)) == {"results": [["é", None, 1.5]]}


@pytest.mark.parametrize("body", [None, b"", b"junk", b"\x28\xb5\x2f\xfd\x00"])
def test_entries_that_cannot_be_read_count_as_none(body: bytes | None) -> None:
    assert unpacked(body) is None


@pytest.mark.django_db
def test_a_broken_entry_is_worked_out_again(asking: Asking, valkey: Any) -> None:
    key = asking.answer(TEXT)["cache_key"]
    assert valkey.ttl(f"query:{key}") > 6 * 24 * 3600
    valkey.set(f"query:{key}", b"junk")
    assert asking.answer(TEXT)["is_cached"] is False


@pytest.mark.django_db
def test_nothing_is_kept_where_the_life_is_zero(asking: Asking, settings: Any) -> None:
    settings.QUERY_CACHE_SECONDS = 0
    asking.answer(TEXT)
    assert asking.answer(TEXT)["is_cached"] is False


@pytest.mark.django_db
def test_without_the_store_answers_are_worked_out(asking: Asking, settings: Any) -> None:
    asking.answer(TEXT)
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    redis_store.cache_clear()  # the pause of an earlier test would hide the attempt
    for refresh in ("blocking", "async", "force_async", "lazy_async"):
        answer = asking.answer(TEXT, refresh=refresh)
        assert (answer["results"], answer["is_cached"]) == ([[0]], False), refresh
    assert set(asking.answer(TEXT, refresh="force_cache")) == {"cache_key", "query_status"}
    assert asking.get("anything/").status_code == 503
    assert asking.delete("anything/").status_code == 503


@pytest.mark.django_db
def test_an_answer_that_is_kept_right_after_the_look_for_it_is_not_worked_out_again(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    others: list[Any] = []

    def look(key: str) -> Any:
        found = kept_find(key)
        if not others:
            others.append(None)
            others.append(asking.answer(TEXT))
        return found

    monkeypatch.setattr("core.query.calculation.kept_find", look)
    answer = asking.answer(TEXT)
    assert (others[1]["is_cached"], answer["is_cached"]) == (False, True)
    assert answer["last_refresh"] == others[1]["last_refresh"]


@pytest.mark.django_db(transaction=True)
def test_many_who_ask_at_once_have_it_worked_out_once(
    clickhouse: object, valkey: object, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.QUERY_CONCURRENCY_PER_PROJECT = 1
    settings.QUERY_CONCURRENCY_WAIT_SECONDS = 100
    settings.QUERY_TIMEOUT_SECONDS = 200
    monkeypatch.setattr(running, "LEASE_SECONDS", 600)
    asking = make_asking(make_team())
    text = "select count(), sleepy.x from (select max(number) as x from numbers(30000000)) as sleepy group by x"
    answers: list[Any] = []
    looked: list[str] = []

    def look(key: str) -> Any:
        found = kept_find(key)
        looked.append(key)
        return found

    monkeypatch.setattr("core.query.calculation.kept_find", look)

    def ask() -> None:
        try:
            answers.append(asking.answer(text))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=ask) for _ in range(6)]
    # Nobody has an answer before all have looked for one in vain: one of them waits for this place, the others for it.
    with place_of_project(asking.team.id, wait_seconds=0):
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 60
        while len(looked) < len(threads):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(0.5)
    for thread in threads:
        thread.join()
    assert sorted(one["is_cached"] for one in answers) == [False] + [True] * 5
    assert len({one["last_refresh"] for one in answers}) == 1


def test_a_store_that_failed_is_left_alone_for_a_while() -> None:
    store = RedisStore("redis://127.0.0.1:1/0", answer_seconds=1)
    calls: list[int] = []

    def work(client: Any) -> Any:
        calls.append(1)
        return client.get("x")

    assert store.tried(work) is None
    assert store.tried(work) is None
    assert calls == [1]
