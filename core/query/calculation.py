"""One query from request to answer: kept, worked out now, or given to the background (query.md B3 to B5)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from socket import socket
from time import perf_counter
from typing import Any, Final

from django.conf import settings

from core.api.errors import Invalid
from core.api.leaving import place_left
from core.api.uuids import new_uuid
from core.insights.project import InsightProject, project_of
from core.query.bodies import QueryRequest
from core.query.cache import Kept, cache_key, kept_find, kept_put
from core.query.errors import answered_errors
from core.query.log import Logged, logged_text, run_log
from core.query.modes import NEXT_REFRESH, Freshness, Mode, Standing, Work, work_of
from core.query.reading import Fields
from core.query.runners.base import QueryContext, Runner
from core.query.runners.nodes import unwrapped
from core.query.runners.registry import runner_of
from core.query.running import Clients, Renew, alone_with, attended, place_of_project
from core.query.status import Status, status_of_key
from core.tenancy.context import TeamContext
from events import client
from events.hogql.context import MAX_LIMIT

FOR_DEBUGGING: Final = ("clickhouse", "explain")
"""Members of answers that only admins of the organization may see."""

type Json = Any
type Answer = dict[str, Json]


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks about which project; `sees_sql` is for admins. `key_id` is of the personal API key, if one was used."""

    team: TeamContext
    user_id: int
    key_id: str | None = None
    sees_sql: bool = False
    sockets: Callable[[], Sequence[socket]] = tuple
    """Copies of the sockets of which one is the client's; all hung up, nobody waits for the answer any more."""

    @contextmanager
    def clients(self) -> Iterator[Clients]:
        """Look for the client during the block."""
        with ExitStack() as stack:
            yield Clients([stack.enter_context(one) for one in self.sockets()])


@dataclass(frozen=True, slots=True)
class Given:
    """An answer with its status code, and what working it out read."""

    answer: Answer
    status: int = 200
    bytes_read: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """A request that was read and checked as a whole."""

    asker: Asker
    request: QueryRequest
    runner: Runner
    key: str

    @property
    def context(self) -> QueryContext:
        """The context of the run."""
        return self.runner.context

    @property
    def freshness(self) -> Freshness:
        """What decides how long an answer is fresh."""
        return Freshness(self.runner.interval, self.runner.date_to)


def question_of(
    asker: Asker, request: QueryRequest, *, query_id: str | None = None, seconds: int | None = None
) -> Question:
    """Check a request: its kind, and all of its node. Raises Invalid, BadNode and what stores raise."""
    node = unwrapped(request.node)
    kind = str(node.get("kind"))
    runner_type = runner_of(kind)
    if runner_type is None:
        message = f"Unsupported query kind: {kind[:100]}"
        raise Invalid(message)
    context = QueryContext(
        team=asker.team,
        project=_project(asker.team, node),
        now=datetime.now(UTC),
        query_id=query_id or request.client_query_id or new_uuid().hex,
        seconds=seconds or settings.QUERY_TIMEOUT_SECONDS,
        max_rows=MAX_LIMIT,
        user_id=asker.user_id,
        key_id=asker.key_id,
        debug=asker.sees_sql,
    )
    Fields(node).mapping("tags")
    with answered_errors(_text(node)):
        runner = runner_type(node, context)
    key = "" if runner.immediate else cache_key(runner)
    return Question(asker, replace(request, node=node), runner, key)


def _project(team: TeamContext, node: Mapping[str, Json]) -> InsightProject:
    """Return the project as the query sees it: in UTC if a modifier says that times are not to be converted."""
    project, modifiers = project_of(team), node.get("modifiers")
    converts = modifiers.get("convertToProjectTimezone") if isinstance(modifiers, Mapping) else None
    return replace(project, timezone="UTC") if converts is False else project


def answer_of(question: Question, *, start: Callable[[Question], Status | None]) -> Given:
    """Answer in the mode that was asked for. `start` puts a query in the background, or returns None if it cannot."""
    runner, mode = question.runner, question.request.mode
    if runner.immediate:
        with answered_errors(_text(runner.node)):
            return Given(runner.run())
    kept = None if mode in {Mode.FORCE_BLOCKING, Mode.FORCE_ASYNC} else kept_find(question.key)
    work = work_of(mode, _standing(question, kept))
    if work is Work.BACKGROUND:
        status = start(question)
        if status is not None:
            return _in_background(question, kept, status)
        work = Work.CALCULATE
    if work is Work.KEPT:
        return _from_cache(question, kept)
    if mode is Mode.FORCE_BLOCKING:
        return calculated(question)
    return _calculated_once(question)


def calculated(
    question: Question,
    *,
    renewals: Sequence[Renew] = (),
    wait_seconds: float | None = None,
    clients: Clients | None = None,
) -> Given:
    """Work an answer out, keep it, and log the run; `clients` are looked for unless given. Raises errors of the API."""
    context = question.context
    began = perf_counter()
    error: BaseException | None = None
    wait = settings.QUERY_CONCURRENCY_WAIT_SECONDS if wait_seconds is None else wait_seconds
    try:
        with answered_errors(_text(question.runner.node)), ExitStack() as stack:
            if clients is None:
                clients = stack.enter_context(question.asker.clients())
            place = place_of_project(context.team.id, wait_seconds=wait, clients=clients)
            with place_left():
                renew = stack.enter_context(place)
            clients.check()
            stack.enter_context(attended([renew, *renewals], clients=clients, on_gone=lambda: stop(context)))
            members = question.runner.run()
    except BaseException as raised:
        error = raised
        raise
    finally:
        if error is None:
            context.record.result_rows = _row_count(members)
        run_log(_logged(question), context, began=began, error=error)
    context.record.timings["."] = perf_counter() - began
    answer = _whole(question, members)
    kept_put(question.key, answer)
    return Given(shown_to(question.asker, answer), bytes_read=context.record.bytes_read)


def stop(context: QueryContext) -> None:
    """Stop what runs of a query in ClickHouse."""
    client.stop(context.team.id, context.query_id)


def shown_to(asker: Asker, answer: Mapping[str, Json]) -> Answer:
    """Return an answer without what the asker may not see."""
    if asker.sees_sql:
        return dict(answer)
    return {name: None if name in FOR_DEBUGGING else value for name, value in answer.items()}


def _calculated_once(question: Question) -> Given:
    """Work an answer out unless somebody else does so right now: then wait for theirs."""
    with ExitStack() as stack:
        clients = stack.enter_context(question.asker.clients())
        with answered_errors(), place_left():
            alone = alone_with(question.key, wait_seconds=question.context.seconds, clients=clients)
            renew = stack.enter_context(alone)
        kept = kept_find(question.key)
        if kept is not None and _standing(question, kept) is Standing.FRESH:
            return _from_cache(question, kept)
        return calculated(question, renewals=[renew], clients=clients)


def _standing(question: Question, kept: Kept | None) -> Standing:
    if kept is None:
        return Standing.MISSING
    now = question.context.now
    return question.freshness.standing(kept.last_refresh, now=now, mode=question.request.mode)


def _from_cache(question: Question, kept: Kept | None) -> Given:
    running = status_of_key(question.context.team.id, question.key)
    status, code = (None, 200) if running is None else (running.shown(), 202)
    if kept is None:
        return Given({"cache_key": question.key, "query_status": status}, code)
    return Given(shown_to(question.asker, {**kept.answer, "is_cached": True, "query_status": status}), code)


def _in_background(question: Question, kept: Kept | None, status: Status) -> Given:
    code = 200 if status.complete else 202
    told = status.shown()
    if status.results is not None:
        told["results"] = shown_to(question.asker, status.results)
    if question.request.mode is Mode.FORCE_ASYNC:
        return Given({"query_status": told}, code)
    if kept is None:
        return Given({"cache_key": question.key, "query_status": told}, code)
    answer = shown_to(question.asker, {**kept.answer, "is_cached": True, "query_status": told})
    return Given(answer, code)


def _whole(question: Question, members: Mapping[str, Json]) -> Answer:
    """Return an answer with the members that those of all kinds have."""
    context, refreshed = question.context, datetime.now(UTC)
    return {
        "results": None,
        **members,
        "error": None,
        "timings": [{"k": name, "t": round(seconds, 6)} for name, seconds in context.record.timings.items()],
        "modifiers": members.get("modifiers") or dict(question.runner.node.get("modifiers") or {}),
        "query_status": None,
        "resolved_date_range": members.get("resolved_date_range"),
        "cache_key": question.key,
        "is_cached": False,
        "last_refresh": refreshed,
        "cache_target_age": question.freshness.until(refreshed),
        "next_allowed_client_refresh": refreshed + NEXT_REFRESH,
        "timezone": context.project.timezone,
        "calculation_trigger": None,
    }


def _row_count(members: Mapping[str, Json]) -> int:
    results = members.get("results")
    return len(results) if isinstance(results, list) else 0


def _logged(question: Question) -> Logged:
    node = question.runner.node
    return Logged(question.runner.kind, logged_text(node), question.request.name or "")


def _text(node: Mapping[str, Json]) -> str | None:
    text = node.get("query")
    return text if isinstance(text, str) else None
