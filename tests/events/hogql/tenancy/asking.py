"""One statement asked behind both walls, behind each alone, and of the store in which the other project is not."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from django.conf import settings
from django.test import override_settings

from events import client, query_user
from events.asking import Asked, statement_post
from events.errors import EventStoreError, QueryFailed, QueryMistake
from events.hogql import ast
from events.hogql.compile import Compiled, compile_query
from events.hogql.errors import HogQLError
from events.hogql.parser import parse_select
from events.hogql.printer import print_hogql
from events.hogql.substitution import HogQLFilters, limited, substitute
from tests.events.hogql.corpus.world import CANARY, CANARY_NUMBER, CONTEXT, TEAM
from tests.events.hogql.tenancy.queries import Question
from tests.events.hogql.tenancy.world import twin

GUARD: Final = re.compile(r"\b\w+\.team_id = \{team_id:Int64\}")
_LIMITS: Final = {
    "max_execution_time": 20,
    "max_memory_usage": 1024**3,
    "max_result_rows": 50_001,
    "max_result_bytes": 16 * 1024**2,
    # One thread reads the rows of both stores in the same order.
    "max_threads": 1,
}
_LONGEST: Final = 64 * 1024**2


OTHER_ORDERS: Final[tuple[dict[str, str | int], ...]] = (
    {"max_threads": 4, "max_block_size": 1},
    {"query_plan_enable_optimizations": 0},
    {"join_algorithm": "full_sorting_merge"},
    {"query_plan_join_swap_table": "true", "max_block_size": 3},
    {"query_plan_join_swap_table": "false", "enable_join_runtime_filters": 0},
)
ENGINE: Final = "the engine"


class LeakError(AssertionError):
    """Something of the other project is in an answer, or has changed it."""


@dataclass(slots=True)
class Tally:
    """What became of the statements."""

    examples: int = 0
    ran: int = 0
    returned_rows: int = 0
    unsteady: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    tables: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        share = f"{self.ran} of {self.examples} statements ran, {self.returned_rows} returned rows"
        errors, tables = dict(self.errors.most_common(12)), dict(self.tables.most_common())
        return f"{share}, {self.unsteady} unsteady; errors: {errors}; tables: {tables}"


@contextmanager
def as_the_app() -> Iterator[None]:
    """Have statements asked by the app's own user, for whom there are no row policies."""
    with override_settings(CLICKHOUSE_QUERY_URL=settings.CLICKHOUSE_URL):
        yield


@contextmanager
def in_the_twin() -> Iterator[None]:
    """Have statements asked of the store in which the other project does not exist."""
    url = urlsplit(settings.CLICKHOUSE_URL)._replace(path=f"/{twin()}").geturl()
    with override_settings(CLICKHOUSE_QUERY_URL=url):
        yield


def answer(sql: str, parameters: dict[str, Any], *, app: bool = False, **changes: str | int) -> Asked:
    """Run a compiled statement as whoever CLICKHOUSE_QUERY_URL names."""
    fixed = query_user.FIXED if app else {}
    words = {**fixed, **_LIMITS, **changes, "log_comment": query_user.comment(TEAM, "tenancy")}
    return statement_post(sql, client._bound(parameters), words, seconds=30, longest=_LONGEST)  # noqa: SLF001 its form


def _condition(_: frozenset[str]) -> ast.Expr:
    return ast.RowCondition(
        table="events",
        write=lambda e, person, _: f"({e}.event != 'nothing' AND ({person} IS NOT NULL OR 1))",
        text="event != 'nothing'",
    )


def compiled(question: Question, text: str) -> Compiled:
    """Compile a text in the context of a question."""
    filters = HogQLFilters(condition=_condition) if question.filtered else None
    query = substitute(parse_select(text), values={}, variables={}, filters=filters)
    found = limited(query, default=1000, maximum=50_000)
    context = replace(CONTEXT, person_mode=question.mode, timezone=question.timezone)
    return compile_query(found.query, context)


def check(question: Question, tally: Tally) -> None:
    """Raise LeakError if a wall lets something of the other project through; errors are counted."""
    tally.examples += 1
    tally.tables.update(question.tables)
    try:
        statement = compiled(question, question.text)
        _same_when_printed(question, statement)
        with in_the_twin():
            alone = answer(statement.sql, statement.parameters, app=True)
    except (HogQLError, QueryMistake, QueryFailed) as error:
        tally.errors[_shape(error)] += 1
        _look_for_canaries(question, str(error))
        return
    tally.ran += 1
    tally.returned_rows += bool(alone.rows)
    both = answer(statement.sql, statement.parameters)
    with as_the_app():
        first = answer(statement.sql, statement.parameters, app=True)
    second = answer(GUARD.sub("1", statement.sql), statement.parameters)
    for wall, asked in (("both walls", both), ("the compiler alone", first), ("the row policies alone", second)):
        _look_for_canaries(question, repr(asked.columns) + orjson.dumps(asked.rows).decode())
        if same(asked, alone):
            continue
        if _steady(statement, alone):
            rows = f"{asked.rows[:20]}\n{alone.rows[:20]}"
            message = f"{wall}: another answer with the others there\n{question.text}\n{statement.sql}\n{rows}"
            raise LeakError(message)
        tally.unsteady += 1
    _look_for_canaries(question, repr(statement.columns))


def _steady(statement: Compiled, alone: Asked) -> bool:
    """Whether the project alone gets the same answer in whatever order its rows are read."""
    with in_the_twin():
        for words in OTHER_ORDERS:
            # Not every statement can be run in every way.
            with suppress(EventStoreError):
                if not same(answer(statement.sql, statement.parameters, app=True, **words), alone):
                    return False
    return True


def same(one: Asked, other: Asked) -> bool:
    """Whether two answers have the same columns and, in any order, the same rows."""
    if one.columns != other.columns:
        return False
    return one.rows == other.rows or sorted(map(repr, one.rows)) == sorted(map(repr, other.rows))


def _same_when_printed(question: Question, statement: Compiled) -> None:
    printed = print_hogql(parse_select(question.text))
    again = compiled(question, printed)
    if (again.sql, again.parameters, again.types) != (statement.sql, statement.parameters, statement.types):
        message = f"printed as another statement:\n{question.text}\n{printed}"
        raise AssertionError(message)


def _look_for_canaries(question: Question, text: str) -> None:
    for canary in (CANARY, CANARY.lower(), CANARY[::-1], str(CANARY_NUMBER), "Q0FOQVJZ"):
        if canary in text:
            message = f"{canary} is in the answer\n{question.text}\n{text[:2000]}"
            raise LeakError(message)


def _shape(error: HogQLError | EventStoreError) -> str:
    if isinstance(error, QueryMistake):
        return error.code_name
    if isinstance(error, QueryFailed):
        # The engine's own defects, such as a column that its planner loses.
        return ENGINE
    return str(error).split("'")[0][:60]
