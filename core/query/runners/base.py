"""What every kind of query is to those who run, cache and answer it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Literal
from uuid import UUID

from core.insights.project import InsightProject
from core.tenancy.context import TeamContext

type Interval = Literal["minute", "hour", "day", "week", "month"]
type Json = Any


@dataclass(frozen=True, slots=True)
class QueryContext:
    """Who asks, about which project, when, and how far an answer may go.

    `user_id` and `key_id` are for the log. `query_id` names the statements in ClickHouse so that they can be stopped.
    `seconds` and `max_rows` are the limits of this run (background runs get more). `debug` says whether the asking
    user may see ClickHouse's SQL.
    """

    team: TeamContext
    project: InsightProject
    now: datetime
    query_id: str
    seconds: int
    max_rows: int
    user_id: int | None = None
    key_id: UUID | None = None
    debug: bool = False


class Runner:
    """One query of one kind. Reading a node checks all of it, so that a bad one never reaches a queue.

    Subclasses say their `kind`, read `node` in `__init__` (raising core.api.errors.Invalid or
    events.hogql.errors.HogQLError) and answer in `run`.
    """

    kind: ClassVar[str]

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

    def run(self) -> dict[str, Json]:
        """Ask ClickHouse and Postgres; return the kind's own members of the answer, in their order.

        Raises HogQLError, Invalid, and the errors of events.errors.
        """
        raise NotImplementedError
