"""Moving windows on a real Valkey: what passes, what is told, and what two at once may do."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.conf import settings
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core.access.windows import Hit, Window, windows_at

pytestmark = pytest.mark.usefixtures("valkey")


def window(name: str, limit: int, seconds: float) -> Window:
    return Window(f"test:{{caller}}:{name}", limit, seconds)


def hit(*asked: Window) -> Hit:
    found = windows_at(settings.REDIS_URL).hit(asked)
    assert found is not None
    return found


def age(store: Any, one: Window, seconds: float) -> None:
    """Let every request that is in a window have come so much earlier; a clock could overtake the test."""
    moments = [int(moment) for moment in store.lrange(one.key, 0, -1)]
    for place, moment in enumerate(moments):
        store.lset(one.key, place, moment - round(seconds * 1_000_000))


def test_a_window_lets_its_limit_through_and_counts_down() -> None:
    three = window("three", 3, 60)
    found = [hit(three) for _ in range(4)]
    assert [one.passes for one in found] == [True, True, True, False]
    assert [one.standings[0].remaining for one in found] == [2, 1, 0, 0]


def test_the_first_request_sees_a_whole_window_before_it() -> None:
    assert hit(window("new", 3, 60)).standings[0].grows_in == 60


def test_the_window_moves_so_it_frees_one_place_when_its_oldest_request_leaves(valkey: Any) -> None:
    two = window("two", 2, 3600)
    assert hit(two).passes
    age(valkey, two, 1800)
    assert hit(two).passes
    refused = hit(two)
    assert not refused.passes
    assert 0 < refused.wait <= 1800
    age(valkey, two, refused.wait)
    assert hit(two).passes, "the wait is long enough"
    assert not hit(two).passes, "and only one place was freed"


def test_a_request_just_before_the_wait_is_over_is_refused(valkey: Any) -> None:
    one = window("one", 1, 3600)
    assert hit(one).passes
    age(valkey, one, 3600 - 60)
    assert not hit(one).passes
    age(valkey, one, 60)
    assert hit(one).passes


def test_refused_requests_are_not_counted(valkey: Any) -> None:
    two = window("two", 2, 60)
    for _ in range(10):
        hit(two)
    assert valkey.llen(two.key) == 2


def test_a_request_refused_by_one_window_counts_in_no_other(valkey: Any) -> None:
    short, long = window("short", 1, 60), window("long", 100, 3600)
    assert hit(short, long).passes
    for order in ((short, long), (long, short)):
        assert not hit(*order).passes
    assert (valkey.llen(short.key), valkey.llen(long.key)) == (1, 1)


def test_a_refusal_tells_how_the_other_windows_stand_and_the_longest_wait() -> None:
    short, long, free = window("short", 1, 2000), window("long", 1, 5000), window("free", 5, 6000)
    hit(short, long, free)
    refused = hit(short, long, free)
    assert refused.wait == refused.standings[1].grows_in
    assert 5000 - 60 < refused.wait <= 5000
    assert [one.remaining for one in refused.standings] == [0, 0, 4]
    assert 2000 - 60 < refused.standings[0].grows_in <= 2000


def test_a_lowered_limit_waits_until_enough_requests_have_left(valkey: Any) -> None:
    for _ in range(3):
        hit(window("lowered", 5, 3600))
        age(valkey, window("lowered", 5, 3600), 600)
    refused, until_oldest_leaves = hit(window("lowered", 2, 3600)), hit(window("lowered", 3, 3600)).wait
    assert not refused.passes
    assert refused.standings[0].remaining == 0
    assert refused.wait > until_oldest_leaves + 599
    age(valkey, window("lowered", 2, 3600), refused.wait)
    assert hit(window("lowered", 2, 3600)).passes


def test_a_raised_limit_counts_from_the_next_request_on() -> None:
    assert hit(window("raised", 1, 60)).passes
    assert not hit(window("raised", 1, 60)).passes
    assert hit(window("raised", 2, 60)).passes


def test_a_clock_that_was_set_back_does_not_keep_callers_out(valkey: Any) -> None:
    one = window("future", 1, 60)
    ahead = int((time.time() + 3600) * 1_000_000)
    valkey.lpush(one.key, ahead, ahead + 1)
    assert hit(one).passes
    assert not hit(one).passes, "and it counts from then on"


def test_nothing_stays_in_the_store_longer_than_its_window(valkey: Any) -> None:
    long, short = window("long", 5, 3600), window("short", 5, 0.2)
    hit(long)
    assert 0 < valkey.pttl(long.key) <= 3_600_001
    hit(short)
    time.sleep(0.25)
    assert not valkey.exists(short.key)


def test_a_full_window_costs_about_ten_bytes_for_each_request(valkey: Any) -> None:
    full = window("full", 4800, 3600)
    asker = windows_at(settings.REDIS_URL)
    for _ in range(4800):
        asker.hit([full])
    assert valkey.memory_usage(full.key, samples=0) < 12 * 4800


def test_many_at_once_at_the_edge_never_pass_beyond_any_limit(valkey: Any) -> None:
    tight, wide = window("tight", 40, 60), window("wide", 60, 60)
    asker = windows_at(settings.REDIS_URL)
    barrier = threading.Barrier(16)

    def ask(number: int) -> int:
        barrier.wait()
        # Half of them name the windows the other way round.
        asked = (tight, wide) if number % 2 else (wide, tight)
        return sum(found.passes for _ in range(10) if (found := asker.hit(asked)) is not None)

    with ThreadPoolExecutor(16) as pool:
        passed = sum(pool.map(ask, range(16)))
    assert passed == 40
    assert (valkey.llen(tight.key), valkey.llen(wide.key)) == (40, 40)


class Twin:
    """The same by a plain list of moments, told the moment of each request."""

    def __init__(self, asked: list[Window]) -> None:
        self.asked = asked
        self.moments: list[list[int]] = [[] for _ in asked]

    def moment_of(self, found: Hit, store: Any) -> int:
        """Return what the script's clock said: only Redis knows, and it tells by what it keeps or lets wait."""
        if found.passes:
            return int(store.lindex(self.asked[-1].key, 0))
        full = next(number for number, one in enumerate(found.standings) if not one.remaining)
        microseconds = round((self.asked[full].seconds - found.standings[full].grows_in) * 1_000_000)
        return self.moments[full][-self.asked[full].limit] + microseconds

    def hit(self, now: int) -> tuple[bool, list[tuple[int, int]]]:
        lengths = [round(one.seconds * 1_000_000) for one in self.asked]
        for moments, length in zip(self.moments, lengths, strict=True):
            moments[:] = [moment for moment in moments if moment + length > now]
        passes = all(len(moments) < one.limit for one, moments in zip(self.asked, self.moments, strict=True))
        told = []
        for one, moments, length in zip(self.asked, self.moments, lengths, strict=True):
            full = len(moments) >= one.limit
            if passes:
                moments.append(now)
            leaves = moments[-one.limit] if full else min(moments, default=now)
            told.append((one.limit - len(moments), leaves + length - now))
        return passes, told


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    limits=st.lists(st.tuples(st.integers(1, 6), st.sampled_from([0.004, 0.01, 0.03, 60])), min_size=1, max_size=3),
    pauses=st.lists(st.sampled_from([0, 0, 0, 0.001, 0.003, 0.008, 0.02]), min_size=1, max_size=25),
)
def test_the_script_agrees_with_a_plain_list(valkey: Any, limits: list[tuple[int, float]], pauses: list[float]) -> None:
    valkey.flushdb()
    asked = [window(str(number), limit, seconds) for number, (limit, seconds) in enumerate(limits)]
    # It never refuses; its newest entry is still there when a short window's is gone.
    asked.append(window("moments", 1000, 60))
    asker, twin = windows_at(settings.REDIS_URL), Twin(asked)
    for pause in pauses:
        time.sleep(pause)
        found = asker.hit(asked)
        assert found is not None
        passes, told = twin.hit(twin.moment_of(found, valkey))
        assert found.passes is passes
        assert [(one.remaining, round(one.grows_in * 1_000_000)) for one in found.standings] == told
        assert found.wait == (0 if passes else max(one.grows_in for one in found.standings if not one.remaining))
