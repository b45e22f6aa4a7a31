"""What can go wrong with a query, as it is answered (query.md B10)."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

from core.api.errors import UNSUPPORTED, ApiError, Invalid, ServiceUnavailable
from core.filters.problems import invalid_hogql
from events import errors as event_errors
from events.errors import Code
from events.hogql.errors import HogQLBusyError, HogQLError


class TooManyRunning(ApiError):  # noqa: N818 as the other errors of the API
    """The project's places are taken, and none got free in time."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    type = "throttled_error"
    code = "throttled"
    detail = "Too many queries are running right now — please try again in a moment."
    retry_after = 1


class OutOfTime(ApiError):  # noqa: N818
    """The query was stopped at its time limit."""

    status = HTTPStatus.GATEWAY_TIMEOUT
    type = "server_error"
    code = "error"
    detail = (
        "Query has hit the max execution time before completing. See our docs for how to improve your query "
        "performance. You may need to materialize."
    )


class OutOfMemory(ApiError):  # noqa: N818
    """The query was stopped at its memory limit."""

    status = 513
    type = "server_error"
    code = "clickhouse_memory_limit_exceeded"
    detail = event_errors.QueryTooBig.text


class TooBusy(ServiceUnavailable):
    """ClickHouse has too much to do."""

    code = "error"
    detail = "Queries are a little too busy right now. We're working to free up resources. Please try again later."


class Broken(ApiError):  # noqa: N818
    """ClickHouse refused what this server made of the query: a defect of the server."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    type = "server_error"
    code = "error"
    detail = "ClickHouse error while executing query."


CANCELLED: Final = "Query was cancelled."


@contextmanager
def answered_errors(text: str | None = None) -> Iterator[None]:
    """Turn what the block raises about a query into errors of the API; `text` is the HogQL, if it is one."""
    try:
        yield
    except HogQLBusyError as error:
        raise TooBusy from error
    except HogQLError as error:
        attr = None if error.source is None else error.source.attr
        wrong = text if error.source is None else error.source.text
        raise invalid_hogql(error, wrong, attr=attr) from error
    except event_errors.EventStoreError as error:
        raise _store_problem(error) from error


def _store_problem(error: event_errors.EventStoreError) -> Exception:
    if error.code == Code.TOO_MANY_SIMULTANEOUS_QUERIES:
        return TooBusy()
    match error:
        case event_errors.QueryMistake():
            return Invalid(error.message, code=error.code_name)
        case event_errors.QueryStopped():
            return Invalid(CANCELLED, code="query_was_cancelled")
        case event_errors.QueryUnsupported():
            return Invalid(error.text, code=UNSUPPORTED)
    others = {
        event_errors.QueryTimeout: OutOfTime,
        event_errors.QueryTooBig: OutOfMemory,
        event_errors.QueryFailed: Broken,
    }
    return next((made() for kind, made in others.items() if isinstance(error, kind)), error)
