"""Queries in the background: their status, their answer, cancelling, and workers that die (query.md C)."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any
from uuid import uuid4

import pytest

from core.outbox.services import outbox_drain
from core.projects.deleting import projects_delete
from core.query import status as statuses
from core.query.background import background_run
from core.query.status import Status, status_find, status_finish, status_pick_up, status_start
from core.tenancy.models import Level, Team
from tests.core.http import parsed, problem
from tests.core.query.execution.conftest import Asking, make_asking

pytestmark = pytest.mark.django_db

TEXT = "select count() from events"
STATUS = {
    "id", "team_id", "complete", "error", "error_message", "results", "start_time", "pickup_time", "end_time",
    "expiration_time", "task_id", "query_async", "insight_id", "dashboard_id", "labels", "query_progress",
}  # fmt: skip


def start(asking: Asking, text: str = TEXT, **body: Any) -> str:
    response = asking.ask(text, **{"refresh": "async", **body})
    assert response.status_code == 202, response.content
    return str(parsed(response)["query_status"]["id"])


def told(asking: Asking, query_id: str, *, status: int = 200) -> Any:
    response = asking.get(f"{query_id}/?show_progress=true")
    assert response.status_code == status, response.content
    return parsed(response)["query_status"]


def test_from_start_to_answer(asking: Asking, capture: Callable[..., None]) -> None:
    capture(count=3)
    query_id = start(asking, client_query_id="my-query")
    assert query_id == "my-query"
    waiting = told(asking, query_id, status=202)
    assert set(waiting) == STATUS
    assert (waiting["complete"], waiting["error"], waiting["results"]) == (False, False, None)
    assert (waiting["team_id"], waiting["pickup_time"], waiting["query_progress"]) == (asking.team.id, None, None)

    background_run(asking.team.id, query_id)
    done = told(asking, query_id)
    assert (done["complete"], done["error"], done["error_message"]) == (True, False, None)
    assert done["results"]["results"] == [[3]]
    assert done["results"]["columns"] == ["count()"]
    assert done["start_time"] <= done["pickup_time"] <= done["end_time"] < done["expiration_time"]
    # It is kept for others too.
    assert asking.answer(TEXT)["is_cached"] is True


def test_ids_are_made_where_none_is_given(asking: Asking) -> None:
    query_id = start(asking)
    assert len(query_id) == 32
    assert query_id[12] == "7"


def test_errors_of_the_caller_are_told(asking: Asking) -> None:
    query_id = start(asking, "select intDiv(1, number) from numbers(3)")
    background_run(asking.team.id, query_id)
    failed = told(asking, query_id, status=400)
    assert (failed["complete"], failed["error"], failed["results"]) == (True, True, None)
    assert failed["error_message"]
    assert "Exception" not in failed["error_message"]


def test_what_is_wrong_is_refused_before_it_is_queued(asking: Asking) -> None:
    response = asking.ask("select from where", refresh="async", client_query_id="bad")
    assert problem(response)[:3] == (400, "validation_error", "invalid_input")
    assert asking.get("bad/").status_code == 404


def test_failures_of_the_server_have_no_text(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    query_id = start(asking)

    def broken(*_: object, **__: object) -> None:
        message = "secret"
        raise RuntimeError(message)

    monkeypatch.setattr("core.query.calculation.run_log", broken)
    with pytest.raises(RuntimeError):
        background_run(asking.team.id, query_id)
    failed = told(asking, query_id, status=500)
    assert (failed["error"], failed["error_message"]) == (True, None)


def test_nobody_else_sees_a_query(asking: Asking, stranger: Asking) -> None:
    query_id = start(asking)
    detail = f"Query {query_id} not found for team {stranger.team.id}"
    assert problem(stranger.get(f"{query_id}/")) == (404, "invalid_request", "not_found", detail, None)
    assert parsed(stranger.delete(f"{query_id}/")) == {"message": "Cancelled query on clickhouse"}
    assert told(asking, query_id, status=202)["complete"] is False
    assert Asking(asking.team, stranger.key).get(f"{query_id}/").status_code == 403


def test_a_cancelled_query_is_gone_and_is_not_begun(asking: Asking) -> None:
    query_id = start(asking)
    assert parsed(asking.delete(f"{query_id}/?dequeue_only=true")) == {
        "message": "Only tried to dequeue, not cancelling query on clickhouse"
    }
    assert asking.get(f"{query_id}/").status_code == 404
    background_run(asking.team.id, query_id)
    assert asking.get(f"{query_id}/").status_code == 404
    assert parsed(asking.ask(TEXT, refresh="force_cache"))["query_status"] is None


def test_a_query_that_is_cancelled_while_it_runs_stays_gone(asking: Asking, valkey: Any) -> None:
    query_id = start(asking)
    running = status_pick_up(asking.team.id, query_id)
    assert running is not None
    asking.delete(f"{query_id}/")
    status_finish(running, answer={"results": [[1]]})
    assert asking.get(f"{query_id}/").status_code == 404
    assert valkey.keys(f"query:*{query_id}*") == []


def test_a_query_that_runs_is_not_dequeued(asking: Asking) -> None:
    query_id = start(asking)
    assert status_pick_up(asking.team.id, query_id) is not None
    asking.delete(f"{query_id}/?dequeue_only=true")
    assert told(asking, query_id, status=202)["complete"] is False
    asking.delete(f"{query_id}/")
    assert asking.get(f"{query_id}/").status_code == 404


def test_a_flag_that_is_none_is_refused(asking: Asking) -> None:
    assert problem(asking.delete("abc/?dequeue_only=x"))[:2] == (400, "validation_error")


@pytest.mark.parametrize("query_id", [".", "..", "upgrade", "a/b", "a" * 129])
def test_ids_that_cannot_stand_in_a_url_are_refused(asking: Asking, query_id: str) -> None:
    assert problem(asking.ask(TEXT, client_query_id=query_id))[:2] == (400, "invalid_request")


def test_a_query_that_is_complete_is_not_cancelled(asking: Asking) -> None:
    query_id = start(asking)
    background_run(asking.team.id, query_id)
    assert parsed(asking.delete(f"{query_id}/")) == {"message": "Query already complete"}
    assert asking.get(f"{query_id}/").status_code == 404
    assert parsed(asking.delete("never-heard-of/")) == {"message": "Cancelled query on clickhouse"}


@pytest.mark.parametrize("path", ["a%20b/", "a'b/", "x" * 200 + "/"])
def test_ids_that_no_query_can_have(asking: Asking, path: str) -> None:
    assert asking.get(path).status_code == 404
    assert asking.delete(path).status_code == 400
    assert parsed(asking.get(f"{path}log/"))["results"] == []


def test_members_see_the_answer_without_the_sql(asking: Asking, team: Team) -> None:
    query_id = start(asking)
    background_run(asking.team.id, query_id)
    assert "FROM" in told(asking, query_id)["results"]["clickhouse"]
    member = make_asking(team, level=Level.MEMBER)
    assert told(member, query_id)["results"]["clickhouse"] is None


def test_a_query_whose_worker_died_has_failed(asking: Asking, valkey: Any) -> None:
    query_id = start(asking)
    assert status_pick_up(asking.team.id, query_id) is not None
    assert told(asking, query_id, status=202)["pickup_time"] is not None
    # Nobody says any more that it is worked on.
    valkey.delete(f"query:{{{asking.team.id}}}:status:{query_id}:alive")
    failed = told(asking, query_id, status=500)
    assert (failed["complete"], failed["error"], failed["error_message"]) == (True, True, None)
    # And who asks again has a new one.
    assert start(asking, client_query_id="another") == "another"


def test_a_query_that_ends_its_workers_is_given_up(asking: Asking) -> None:
    query_id = start(asking)
    for _ in range(statuses.MAX_ATTEMPTS):
        assert status_pick_up(asking.team.id, query_id) is not None
    assert status_pick_up(asking.team.id, query_id) is None
    assert told(asking, query_id, status=500)["error"] is True


def test_a_status_is_forgotten_after_twenty_minutes(asking: Asking, valkey: Any) -> None:
    query_id = start(asking)
    background_run(asking.team.id, query_id)
    for key in valkey.keys("query:*status:*"):
        if not key.endswith(b":alive"):
            assert 19 * 60 < valkey.ttl(key) <= 20 * 60, key


def test_answers_too_large_for_a_status_say_so(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statuses, "MAX_RESULT_BYTES", 50)
    query_id = start(asking)
    background_run(asking.team.id, query_id)
    assert told(asking, query_id, status=400)["error_message"] == statuses.TOO_LARGE


def test_the_log_has_each_run_of_a_query(asking: Asking, stranger: Asking) -> None:
    asking.answer(TEXT, client_query_id="seen", name="weekly")
    asking.ask("select intDiv(1, number) from numbers(3)", client_query_id="seen")
    stranger.answer(TEXT, client_query_id="seen")
    outbox_drain()
    answer = parsed(asking.get("seen/log/"))
    rows = [dict(zip(answer["columns"], row, strict=True)) for row in answer["results"]]
    assert [row["status"] for row in rows] == ["error", "success"]
    assert {row["query_id"] for row in rows} == {"seen"}
    assert rows[1]["query"] == TEXT
    assert rows[1]["name"] == "weekly"
    assert rows[1]["is_personal_api_key_request"]
    assert rows[0]["exception_code"] > 0
    assert rows[1]["exception_code"] == 0


@pytest.mark.parametrize(("seconds", "nudges"), [(3600.0, 1), (0.0, 3)])
def test_the_runs_of_a_burst_wake_the_worker_once(
    asking: Asking,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
    seconds: float,
    nudges: int,
) -> None:
    nudged: list[None] = []
    monkeypatch.setattr("core.query.log.outbox_nudge", lambda: nudged.append(None))
    monkeypatch.setattr("core.query.log.NUDGE_SECONDS", seconds)
    monkeypatch.setattr("core.query.log._pace._last", -inf)
    with django_capture_on_commit_callbacks(execute=True):
        for _ in range(3):
            asking.answer(TEXT, refresh="force_blocking")
    assert len(nudged) == nudges


def test_a_project_that_was_deleted_meanwhile(asking: Asking) -> None:
    query_id = start(asking)
    projects_delete(organization_id=asking.team.organization_id, team_ids=[asking.team.pk], user_id=None)
    background_run(asking.team.id, query_id)
    assert status_find(asking.team.id, query_id) is None


def test_a_status_that_is_there_is_returned() -> None:
    now = datetime.now(UTC)
    first = Status(uuid4().hex, 1, cache_key=f"cache_1_{uuid4().hex}", start_time=now)
    assert status_start(first, again=False).id == first.id
    later = Status(first.id, 1, cache_key="other", start_time=now + timedelta(seconds=1))
    assert status_start(later, again=False).start_time == now
    assert status_start(later, again=True).start_time == later.start_time
