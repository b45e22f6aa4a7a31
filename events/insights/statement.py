"""One ClickHouse statement of an insight: its bound values, and how it is run within limits."""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from django.conf import settings as django_settings

from events import client
from events.errors import TOO_BIG, QueryMistake, QueryTimeout, QueryTooBig, StoreUnavailable
from events.json_rows import read_rows

# A hundred and fifty conditions of the largest kind; more would take ClickHouse longer to plan than to run.
MAX_STATEMENT_BYTES: Final = 512 * 1024
_SIZES: Final[dict[str, str | int]] = {
    "max_query_size": MAX_STATEMENT_BYTES,
    "max_ast_elements": 500_000,
    "max_expanded_ast_elements": 500_000,
}
# The planner takes many conditions for few events, and would look up overrides in a table of all events.
_PLAN: Final[dict[str, str | int]] = {"query_plan_join_swap_table": "false"}
LOOK_UP_SECONDS: Final = 5
MOST_ROWS: Final = 1_000_000
"""Of an answer to a statement with HogQL in it."""
_KINDS: Final = {bool: "Bool", int: "Int64", float: "Float64", str: "String"}


@dataclass(frozen=True, slots=True)
class _Run:
    """Statements of one question: when (by the monotonic clock) they must be done, and what marks them."""

    deadline: float
    mark: str


_run: ContextVar[_Run | None] = ContextVar("insight_run", default=None)


@contextmanager
def one_run(*, seconds: int, mark: str) -> Iterator[None]:
    """Give all statements inside so many seconds together, and `mark` as their `log_comment` in ClickHouse.

    Without it each statement has INSIGHT_QUERY_TIMEOUT_SECONDS of its own.
    """
    token = _run.set(_Run(time.monotonic() + seconds, mark))
    try:
        yield
    finally:
        _run.reset(token)


@dataclass(slots=True)
class Statement:
    """Collects the values of a statement while its text is written.

    `foreign` says that part of it is a caller's HogQL: then it is the query user's, who may only read one team's rows.
    """

    parameters: dict[str, Any] = field(default_factory=dict)
    foreign: bool = False

    def bind(self, value: Any, kind: str = "") -> str:  # noqa: ANN401 what ClickHouse can have
        """Return the placeholder of a value; `kind` is a ClickHouse type, not needed for plain scalars."""
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return f"{{{name}:{kind or _KINDS[type(value)]}}}"

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Run the statement within the limits of insights.

        Raises QueryTimeout, QueryTooBig and the other errors of `events.errors`; QueryMistake for what HogQL does.
        """
        if len(sql.encode()) >= MAX_STATEMENT_BYTES:
            # ClickHouse would call it a syntax error.
            raise QueryTooBig
        limits = {**_SIZES, **_PLAN, "max_memory_usage": django_settings.INSIGHT_MEMORY_MB * 1024**2}
        seconds, run = django_settings.INSIGHT_QUERY_TIMEOUT_SECONDS, _run.get()
        if run is not None:
            seconds = math.ceil(run.deadline - time.monotonic())
            if seconds <= 0:
                raise QueryTimeout
            limits["log_comment"] = run.mark
        if self.foreign:
            query_id = str(uuid4()) if run is None else run.mark.split(":", 2)[2]
            return foreign_rows(sql, self.parameters, query_id=query_id, seconds=seconds)
        return client.query(sql, self.parameters, settings=limits, seconds=seconds).rows


def foreign_rows(sql: str, parameters: Mapping[str, Any], *, query_id: str, seconds: int) -> list[tuple[Any, ...]]:
    """Run a statement that has HogQL of a caller in it as the query user; its parameters have the `team_id`.

    Rows are as `client.query` gives them. Raises QueryMistake and the other errors of `events.errors`.
    """
    try:
        found = client.ask(
            sql,
            parameters,
            team_id=parameters["team_id"],
            query_id=query_id,
            seconds=seconds,
            memory_mb=django_settings.INSIGHT_MEMORY_MB,
            max_rows=MOST_ROWS,
            max_bytes=django_settings.QUERY_MAX_RESULT_MB * 1024**2,
        )
    except QueryMistake as error:
        if error.code in TOO_BIG:
            raise QueryTooBig(error.code) from error
        raise
    return read_rows(found)


def look_up(sql: str, parameters: client.Parameters) -> list[tuple[Any, ...]]:
    """Ask one of the small questions that come before a statement; a store too slow for them is not available."""
    try:
        return client.query(sql, parameters, seconds=LOOK_UP_SECONDS).rows
    except QueryTimeout as error:
        raise StoreUnavailable from error
