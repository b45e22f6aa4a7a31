"""Queries in the background: put there by a request, run by a worker, told of and cancelled by others.

The message to the worker only names the query. What is to be run, and whether anybody still wants it, is in its status:
one that was cancelled before a worker got to it is not begun.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final, LiteralString

import structlog
from celery import current_app
from django.conf import settings
from django.db import transaction
from kombu.exceptions import OperationalError

from core.api.errors import ApiError, NotFound, ServiceUnavailable
from core.query import status as statuses
from core.query.bodies import QueryRequest
from core.query.calculation import Asker, Question, calculated, question_of, shown_to, stop
from core.query.modes import Mode
from core.query.running import attended
from core.query.status import Status, status_alive, status_find, status_finish, status_pick_up, status_start
from core.redis_store import StoreAwayError
from core.tenancy.context import TEAM_COLUMNS, TeamContext, team_from_row
from core.tenancy.statements import fetch_row
from events import client
from events.errors import EventStoreError

log = structlog.get_logger()

TASK: Final = "tasks.query.query_run"
WAIT_SECONDS: Final = 60
"""How long a worker waits for one of the project's places."""
_SERVER_ERROR: Final = 500
_TEAM: Final[LiteralString] = f"SELECT {TEAM_COLUMNS} FROM core_team t WHERE t.id = %s AND t.deleted_at IS NULL"  # noqa: S608

COMPLETE: Final = "Query already complete"
CANCELLED: Final = "Cancelled query on clickhouse"
DEQUEUED: Final = "Only tried to dequeue, not cancelling query on clickhouse"


@dataclass(frozen=True, slots=True)
class Told:
    """The status of a query for a caller, and the status code that goes with it."""

    answer: Mapping[str, Any]
    status: int


def background_start(question: Question) -> Status | None:
    """Put a query in the background and return its status, or that of one that works out the same answer already.

    None while Redis is away, for then there is nobody to run it.
    """
    context, request = question.context, question.request
    wanted = Status(
        id=context.query_id,
        team_id=context.team.id,
        cache_key=question.key,
        start_time=datetime.now(UTC),
        task_id=context.query_id,
        request={
            "node": request.node,
            "name": request.name,
            "user_id": question.asker.user_id,
            "key_id": question.asker.key_id,
        },
    )
    try:
        status = status_start(wanted, again=request.mode is Mode.FORCE_ASYNC)
        if status.start_time == wanted.start_time:
            transaction.on_commit(lambda: _send(status))
        return statuses.with_results(status) if status.complete else status
    except StoreAwayError:
        log.warning("query_not_queued", team_id=context.team.id)
        return None
    except OperationalError:
        log.warning("query_not_queued", team_id=context.team.id)
        with suppress(StoreAwayError):
            statuses.status_remove(wanted.team_id, wanted.id)
        return None


def _send(status: Status) -> None:
    # Not retried: a caller waits, and the query can be run right here instead.
    current_app.send_task(
        TASK,
        args=[status.team_id, status.id],
        task_id=f"{status.team_id}-{status.task_id}",
        expires=statuses.LIFE.total_seconds(),
        retry=False,
        ignore_result=True,
    )


def background_run(team_id: int, query_id: str) -> None:
    """Run a query that waits, and note its answer or its error; nothing happens when nobody wants it any more."""
    try:
        status = status_pick_up(team_id, query_id)
        if status is not None:
            _run(status)
    except StoreAwayError:
        # The status is away too, so nobody polls; it ends by its age.
        log.warning("query_abandoned", team_id=team_id, query_id=query_id)


def _run(status: Status) -> None:
    row = fetch_row(_TEAM, [status.team_id])
    team = None if row is None else team_from_row(row)
    if team is None:
        statuses.status_remove(status.team_id, status.id)
        return
    try:
        question = _question(status, team)
        with attended([_wanted(status)], on_gone=lambda: stop(question.context)):
            given = calculated(question, wait_seconds=WAIT_SECONDS)
    except ApiError as error:
        status_finish(status, error_message=error.detail if error.status < _SERVER_ERROR else _own_words(error))
    except BaseException:
        status_finish(status)
        raise
    else:
        status_finish(status, answer=given.answer)


def _own_words(error: ApiError) -> str | None:
    """Return the text of an error that says more than that something went wrong here."""
    return error.detail if error.status != _SERVER_ERROR else None


def _question(status: Status, team: TeamContext) -> Question:
    request = status.request
    # What only some may see is kept, and taken out when it is told.
    asker = Asker(team, request["user_id"], request["key_id"], sees_sql=True)
    asked = QueryRequest(node=request["node"], name=request["name"])
    seconds = settings.QUERY_BACKGROUND_TIMEOUT_SECONDS
    return question_of(asker, asked, query_id=status.id, seconds=seconds)


def _wanted(status: Status) -> Callable[[], None]:
    def renew() -> None:
        try:
            wanted = status_alive(status.team_id, status.id)
        except StoreAwayError:
            return
        if not wanted:
            raise LookupError

    return renew


def background_told(asker: Asker, query_id: str, *, show_progress: bool) -> Told:
    """Return how a query stands. Raises NotFound and ServiceUnavailable."""
    team_id = asker.team.id
    with _store():
        status = status_find(team_id, query_id)
        if status is None:
            message = f"Query {query_id[:200]} not found for team {team_id}"
            raise NotFound(message)
        if status.complete and not status.error:
            status = statuses.with_results(status)
    progress = _progress(team_id, query_id) if show_progress and not status.complete else None
    told = status.shown(progress)
    if status.results is not None:
        told["results"] = shown_to(asker, status.results)
    return Told({"query_status": told}, _code(status))


def _code(status: Status) -> int:
    if status.error:
        return _SERVER_ERROR if status.error_message is None else 400
    return 200 if status.complete else 202


def _progress(team_id: int, query_id: str) -> dict[str, Any] | None:
    try:
        found = client.progress_of(team_id, query_id)
    except EventStoreError:
        # How the query stands is known all the same.
        return None
    return None if found is None else asdict(found)


def background_cancel(team_id: int, query_id: str, *, dequeue_only: bool) -> str:
    """Forget a query and stop what runs of it, or only take it out of the queue; return what was done, in words.

    Queries that were never in the background are stopped too. Raises ServiceUnavailable.
    """
    with _store():
        status = status_find(team_id, query_id)
        done = status is not None and status.complete
        runs = status is not None and status.pickup_time is not None and not done
        # One that runs on can still be polled and stopped.
        if not (dequeue_only and runs):
            statuses.status_remove(team_id, query_id)
    if done:
        return COMPLETE
    if dequeue_only:
        return DEQUEUED
    client.stop(team_id, query_id)
    return CANCELLED


@contextmanager
def _store() -> Iterator[None]:
    """Answer 503 while Redis is away: only there is it known how queries stand."""
    try:
        yield
    except StoreAwayError as error:
        raise ServiceUnavailable from error
