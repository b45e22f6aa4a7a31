"""What every kind of query is to those who run, cache and answer it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from time import perf_counter
from typing import Any, ClassVar, Literal

from core.insights.project import InsightProject
from core.tenancy.context import TeamContext

type Interval = Literal["minute", "hour", "day", "week", "month"]
type Json = Any


@dataclass(slots=True)
class Record:
    """What a run has cost so far; runners fill it in, the answer and the log of queries tell it.

    `timings` are seconds by step, such as `./parse`; `memory` is in bytes, the highest of the run's statements.
    """

    timings: dict[str, float] = field(default_factory=dict)
    rows_read: int = 0
    bytes_read: int = 0
    memory: int = 0
    result_rows: int = 0

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Add the time of the block to a step."""
        began = perf_counter()
        try:
            yield
        finally:
            name = f"./{step}"
            self.timings[name] = self.timings.get(name, 0.0) + perf_counter() - began


@dataclass(frozen=True, slots=True)
class QueryContext:
    """Who asks, about which project, when, and how far an answer may go.

    `user_id` and `key_id` are for the log. `query_id` names the statements in ClickHouse so that they can be stopped.
    `seconds` and `max_rows` are the limits of this run (background runs get more). `debug` says whether the asking
    user may see ClickHouse's SQL: runners put it in `clickhouse` always, for an answer is kept for all users, and it
    is taken out for those who may not.
    """

    team: TeamContext
    project: InsightProject
    now: datetime
    query_id: str
    seconds: int
    max_rows: int
    user_id: int | None = None
    key_id: str | None = None
    debug: bool = False
    path: tuple[str | int, ...] = ("query",)
    """Where the node stands in the body, but for those that only show it."""
    record: Record = field(default_factory=Record)


class Runner(ABC):
    """One query of one kind. Reading a node checks all of it, so that a bad one never reaches a queue.

    Subclasses say their `kind`, read `node` in `__init__` (raising core.api.errors.Invalid or
    events.hogql.errors.HogQLError) and answer in `run`.
    """

    kind: ClassVar[str]
    immediate: ClassVar[bool] = False
    """Whether the answer needs no statement in ClickHouse: such answers are never kept, queued, logged or limited."""

    def __init__(self, node: Mapping[str, Json], context: QueryContext) -> None:
        """Keep what `run` needs."""
        self.node = node
        self.context = context

    interval: Interval | None = "minute"
    """How long an answer is fresh (query.md B4); None as a day."""
    date_to: datetime | None = None
    """Where the asked range ends, if anywhere: an answer about the past does not grow old."""

    def cache_identity(self) -> Json:
        """Return what the answer depends on beside project and time: JSON. By default the node without its `tags`."""
        return {name: value for name, value in self.node.items() if name != "tags"}

    @abstractmethod
    def run(self) -> dict[str, Json]:
        """Ask ClickHouse and Postgres; return the kind's own members of the answer, in their order.

        Raises HogQLError, Invalid, and the errors of events.errors.
        """
