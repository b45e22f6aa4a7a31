"""Whether the HogQL of filters that are to be stored has types that fit, which ClickHouse alone can tell."""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from math import ceil
from time import monotonic
from typing import Final
from uuid import uuid4

from django.conf import settings

from core.api.leaving import place_left
from events import client
from events.errors import QueryMistake, QueryStopped, QueryTimeout, QueryTooBig, QueryUnsupported, StoreUnavailable
from events.filters.row_expressions import RowExpression, types_statement
from events.hogql.errors import HogQLError

MAX_SECONDS: Final = 5
_TOO_SLOW: Final = (
    f"ClickHouse needs more than {MAX_SECONDS} seconds to prepare the HogQL, for example for a subquery that stands"
    " for one value."
)
_PLAN_LINES: Final = 100_000


@dataclass(slots=True)
class _Round:
    """One run of what stores filters: what is wrong with expressions (None: nothing), and which are not known."""

    known: dict[RowExpression, str | None]
    unknown: dict[RowExpression, None] = field(default_factory=dict)


class _TypesUnknown(Exception):  # noqa: N818 the name says what happened
    def __init__(self, expressions: Sequence[RowExpression]) -> None:
        super().__init__()
        self.expressions = expressions


_round: ContextVar[_Round] = ContextVar("storing_filters")


def stores_filters[**P, R](work: Callable[P, R]) -> Callable[P, R]:
    """Let ClickHouse be asked for what `work`, one transaction that reads filters with `storing`, needs to know.

    No lock of `work` waits for ClickHouse: its transaction is rolled back before, and begins anew after.
    """

    @wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        known: dict[RowExpression, str | None] = {}
        while True:
            token = _round.set(_Round(known))
            try:
                return work(*args, **kwargs)
            except _TypesUnknown as found:
                expressions = found.expressions
            finally:
                _round.reset(token)
            with place_left():
                known |= _mistakes(expressions)

    return run


def types_check(expression: RowExpression) -> None:
    """Raise HogQLError for what ClickHouse has said is wrong; note the expression while that is not known."""
    current = _round.get()
    if expression not in current.known:
        current.unknown[expression] = None
    mistake = current.known.get(expression)
    if mistake is not None:
        raise HogQLError(mistake)


def types_known() -> None:
    """End the run, if types are not known yet; to be called when all filters are read, and are right otherwise."""
    current = _round.get(None)
    if current is not None and current.unknown:
        raise _TypesUnknown(tuple(current.unknown))


def _mistakes(expressions: Sequence[RowExpression]) -> dict[RowExpression, str | None]:
    """Ask about all expressions at once and, if something is wrong, for the first one that it is wrong with."""
    until = monotonic() + MAX_SECONDS
    together = _mistake(expressions, MAX_SECONDS)
    if together is None:
        return dict.fromkeys(expressions)
    for expression in expressions if len(expressions) > 1 else ():
        seconds = ceil(until - monotonic())
        if seconds <= 0:
            break
        if (alone := _mistake([expression], seconds)) is not None:
            return {**dict.fromkeys(expressions), expression: alone}
    return dict.fromkeys(expressions, together)


def _mistake(expressions: Sequence[RowExpression], seconds: int) -> str | None:
    """Return what is wrong, in words for the author. Raises StoreUnavailable."""
    try:
        sql, parameters = types_statement(expressions)
        client.ask(
            sql,
            parameters,
            team_id=expressions[0].context.team_id,
            query_id=f"filters-{uuid4()}",
            seconds=seconds,
            memory_mb=settings.QUERY_MEMORY_MB,
            max_rows=_PLAN_LINES,
            max_bytes=settings.QUERY_MAX_RESULT_MB * 1024**2,
        )
    except (HogQLError, QueryMistake) as error:
        return error.message
    except (QueryTooBig, QueryUnsupported) as error:
        return error.text
    except QueryTimeout as error:
        if error.code is None or isinstance(error, QueryStopped):
            raise StoreUnavailable from error
        return _TOO_SLOW
    return None
