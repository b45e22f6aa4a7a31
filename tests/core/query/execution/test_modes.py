"""Every value of `refresh` with a fresh answer, an old one and none (query.md B3, D22)."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from core.query.background import background_run
from core.query.modes import MATRIX, Mode, Standing, Work
from core.query.store import query_store
from tests.core.http import parsed
from tests.core.query.execution.conftest import Asking

pytestmark = pytest.mark.django_db

TEXT = "select count() from events"
BEGAN = datetime(2026, 3, 5, 12, tzinfo=UTC)
OLD = timedelta(minutes=6)
LAZILY_OLD = timedelta(minutes=16)

# What each mode does with a fresh, an old and no answer, by hand from the specification.
KEPT, CALCULATED, STARTED, STARTED_WITH_KEPT, STATUS_ONLY, NOTHING = (
    "kept", "calculated", "started", "started, with the kept one", "started, status only", "nothing",
)  # fmt: skip
EXPECTED: dict[Any, tuple[str, str, str]] = {
    "blocking": (KEPT, CALCULATED, CALCULATED),
    "async": (KEPT, STARTED_WITH_KEPT, STARTED),
    "async_except_on_cache_miss": (KEPT, STARTED_WITH_KEPT, CALCULATED),
    "lazy_async": (KEPT, KEPT, STARTED),
    "force_blocking": (CALCULATED, CALCULATED, CALCULATED),
    True: (CALCULATED, CALCULATED, CALCULATED),
    "force_async": (STATUS_ONLY, STATUS_ONLY, STATUS_ONLY),
    "force_cache": (KEPT, KEPT, NOTHING),
    False: (KEPT, CALCULATED, CALCULATED),
    None: (KEPT, CALCULATED, CALCULATED),
    "something else": (KEPT, CALCULATED, CALCULATED),
}
CASES = [
    (refresh, number, expected)
    for refresh, row in EXPECTED.items()
    for number, expected in enumerate(row)
]  # fmt: skip


def observed(response: Any, *, kept_count: int, new_count: int) -> str:
    """Say in the words of EXPECTED what an answer shows to have happened."""
    body = parsed(response)
    status = body.get("query_status")
    if status is not None:
        assert (response.status_code, status["complete"]) == (202, False)
        if "results" not in body:
            return STATUS_ONLY if set(body) == {"query_status"} else STARTED
        assert (body["results"], body["is_cached"]) == ([[kept_count]], True)
        return STARTED_WITH_KEPT
    assert response.status_code == 200
    if "results" not in body:
        assert set(body) == {"cache_key", "query_status"}
        return NOTHING
    assert body["results"] == [[kept_count if body["is_cached"] else new_count]]
    return KEPT if body["is_cached"] else CALCULATED


@pytest.mark.parametrize(("refresh", "number", "expected"), CASES)
def test_the_matrix(asking: Asking, capture: Callable[..., None], refresh: Any, number: int, expected: str) -> None:
    capture()
    with time_machine.travel(BEGAN, tick=True):
        if number < 2:
            assert asking.answer(TEXT)["results"] == [[1]]
            capture()
    with time_machine.travel(BEGAN + (timedelta(seconds=1), OLD, OLD)[number], tick=True):
        response = asking.ask(TEXT, refresh=refresh)
    assert observed(response, kept_count=1, new_count=2 if number < 2 else 1) == expected


def test_lazily_an_answer_ages_after_a_quarter_of_an_hour(asking: Asking, capture: Callable[..., None]) -> None:
    capture()
    with time_machine.travel(BEGAN, tick=True):
        asking.answer(TEXT)
    with time_machine.travel(BEGAN + LAZILY_OLD, tick=True):
        response = asking.ask(TEXT, refresh="lazy_async")
    assert observed(response, kept_count=1, new_count=1) == STARTED_WITH_KEPT


def test_the_old_flag_wins_over_refresh(asking: Asking) -> None:
    body: dict[str, Any] = {"async": True, "refresh": "blocking"}
    assert observed(asking.ask(TEXT, **body), kept_count=0, new_count=0) == STARTED
    body = {"async": False, "refresh": "force_blocking"}
    assert observed(asking.ask(TEXT, **body), kept_count=0, new_count=0) == CALCULATED


def test_a_kept_answer_tells_of_the_job_that_replaces_it(asking: Asking) -> None:
    asking.answer(TEXT)
    started = parsed(asking.ask(TEXT, refresh="force_async", client_query_id="later"))
    assert started["query_status"]["id"] == "later"
    kept = asking.ask(TEXT, refresh="force_cache")
    assert kept.status_code == 202
    assert parsed(kept)["query_status"]["id"] == "later"


def test_the_same_answer_is_worked_out_once(asking: Asking) -> None:
    first = parsed(asking.ask(TEXT, refresh="async", client_query_id="first"))
    second = parsed(asking.ask(TEXT, refresh="async", client_query_id="second"))
    assert [one["query_status"]["id"] for one in (first, second)] == ["first", "first"]
    other = parsed(asking.ask("select 2", refresh="async", client_query_id="third"))
    assert other["query_status"]["id"] == "third"


def test_an_id_that_was_run_is_not_run_again_unless_forced(asking: Asking) -> None:
    asking.ask(TEXT, refresh="async", client_query_id="mine")
    background_run(asking.team.id, "mine")
    query_store().ask(lambda store: store.delete(*store.keys("query:cache_*")))
    again = asking.ask(TEXT, refresh="async", client_query_id="mine")
    assert again.status_code == 200
    assert parsed(again)["query_status"]["results"]["results"] == [[0]]
    forced = asking.ask(TEXT, refresh="force_async", client_query_id="mine")
    assert (forced.status_code, parsed(forced)["query_status"]["results"]) == (202, None)


def test_the_table_says_what_is_done_in_every_mode() -> None:
    assert set(MATRIX) == set(Mode)
    assert all(len(row) == len(Standing) for row in MATRIX.values())
    assert MATRIX[Mode.CACHE_ONLY] == (Work.KEPT,) * 3
