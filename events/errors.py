"""What can go wrong when ClickHouse is asked: a handful of exceptions, decided by named error codes.

Their text is safe to show to anyone: never SQL, addresses or values. The driver's own error is the `__cause__`.
"""

from enum import IntEnum


class Code(IntEnum):
    """ClickHouse error codes that decide between the exceptions below."""

    CANNOT_PARSE_TEXT = 6
    CANNOT_PARSE_ESCAPE_SEQUENCE = 25
    CANNOT_PARSE_QUOTED_STRING = 26
    CANNOT_PARSE_INPUT_ASSERTION_FAILED = 27
    CANNOT_PARSE_DATE = 38
    CANNOT_PARSE_DATETIME = 41
    TYPE_MISMATCH = 53
    UNKNOWN_TABLE = 60
    ARGUMENT_OUT_OF_BOUND = 69
    CANNOT_CONVERT_TYPE = 70
    CANNOT_PARSE_NUMBER = 72
    UNKNOWN_DATABASE = 81
    INCORRECT_DATA = 117
    TOO_MANY_ROWS = 158
    TIMEOUT_EXCEEDED = 159
    TOO_SLOW = 160
    TOO_DEEP_AST = 167
    TOO_BIG_AST = 168
    SET_SIZE_LIMIT_EXCEEDED = 191
    TOO_MANY_SIMULTANEOUS_QUERIES = 202
    SOCKET_TIMEOUT = 209
    NETWORK_ERROR = 210
    ABORTED = 236
    MEMORY_LIMIT_EXCEEDED = 241
    TABLE_IS_READ_ONLY = 242
    NOT_ENOUGH_SPACE = 243
    TOO_MANY_PARTS = 252
    UNEXPECTED_ZOOKEEPER_ERROR = 244
    ALL_CONNECTION_TRIES_FAILED = 279
    LIMIT_EXCEEDED = 290
    TOO_MANY_BYTES = 307
    CANNOT_PARSE_UUID = 376
    QUERY_WAS_CANCELLED = 394
    TOO_MANY_ROWS_OR_BYTES = 396
    CANNOT_COMPILE_REGEXP = 427
    BAD_QUERY_PARAMETER = 457
    AUTHENTICATION_FAILED = 516
    KEEPER_EXCEPTION = 999


CALLERS_FAULT = frozenset(
    {
        Code.CANNOT_PARSE_TEXT,
        Code.CANNOT_PARSE_ESCAPE_SEQUENCE,
        Code.CANNOT_PARSE_QUOTED_STRING,
        Code.CANNOT_PARSE_INPUT_ASSERTION_FAILED,
        Code.CANNOT_PARSE_DATE,
        Code.CANNOT_PARSE_DATETIME,
        Code.TYPE_MISMATCH,
        Code.ARGUMENT_OUT_OF_BOUND,
        Code.CANNOT_CONVERT_TYPE,
        Code.CANNOT_PARSE_NUMBER,
        Code.INCORRECT_DATA,
        Code.CANNOT_PARSE_UUID,
        Code.CANNOT_COMPILE_REGEXP,
        Code.BAD_QUERY_PARAMETER,
    }
)
OUT_OF_TIME = frozenset({Code.TIMEOUT_EXCEEDED, Code.TOO_SLOW, Code.QUERY_WAS_CANCELLED})
TOO_BIG = frozenset(
    {
        Code.TOO_MANY_ROWS,
        Code.TOO_DEEP_AST,
        Code.TOO_BIG_AST,
        Code.SET_SIZE_LIMIT_EXCEEDED,
        Code.MEMORY_LIMIT_EXCEEDED,
        Code.LIMIT_EXCEEDED,
        Code.TOO_MANY_BYTES,
        Code.TOO_MANY_ROWS_OR_BYTES,
    }
)
# A missing table or database is a store that is not migrated yet: trying again later helps.
STORE_IS_SICK = frozenset(
    {
        Code.UNKNOWN_TABLE,
        Code.UNKNOWN_DATABASE,
        Code.TOO_MANY_SIMULTANEOUS_QUERIES,
        Code.SOCKET_TIMEOUT,
        Code.NETWORK_ERROR,
        Code.ABORTED,
        Code.TABLE_IS_READ_ONLY,
        Code.NOT_ENOUGH_SPACE,
        Code.TOO_MANY_PARTS,
        Code.UNEXPECTED_ZOOKEEPER_ERROR,
        Code.ALL_CONNECTION_TRIES_FAILED,
        Code.AUTHENTICATION_FAILED,
        Code.KEEPER_EXCEPTION,
    }
)


class EventStoreError(Exception):
    """Base of everything that this package raises about ClickHouse; `code` is ClickHouse's, when it answered."""

    text = "The event store could not answer."

    def __init__(self, code: int | None = None) -> None:
        """Keep the code for logs; the text is fixed by the class."""
        super().__init__(self.text)
        self.code = code


class StoreUnavailable(EventStoreError):  # noqa: N818 the names say what happened
    """ClickHouse is down, overloaded, or not migrated yet. Trying again later can help."""

    text = "The event store is not available right now. Try again shortly."


class QueryRefused(EventStoreError):  # noqa: N818
    """A value or row was refused: the caller's fault, and trying again cannot help."""

    text = "The event store refused a value in this request."


class QueryTimeout(EventStoreError):  # noqa: N818
    """The query ran out of time."""

    text = "The query took too long."


class QueryTooBig(EventStoreError):  # noqa: N818
    """The query needed more memory or rows than it may use."""

    text = "The query needs more rows or memory than it may use."


class QueryStopped(QueryTimeout):
    """Someone stopped the query."""

    text = "The query was cancelled."


class QueryMistake(EventStoreError):  # noqa: N818
    """A HogQL statement that ClickHouse refuses for its own fault; `code_name` is ClickHouse's, in lower case.

    `column` is what ClickHouse complains of, as the compiled statement calls it: not to be shown.
    """

    def __init__(self, code_name: str, message: str, code: int | None = None, *, column: str | None = None) -> None:
        """Keep a message that holds neither stored values nor our SQL."""
        super().__init__(code)
        self.args = (message,)
        self.code_name = code_name
        self.message = message
        self.column = column


class QueryFailed(EventStoreError):  # noqa: N818
    """ClickHouse refused our own SQL: a defect of this server."""

    text = "The event store could not answer."


class QueryUnsupported(QueryFailed):
    """A HogQL statement that is right, and that ClickHouse cannot run: a defect of its planner."""

    text = (
        "The query is valid, but the database cannot run it in this form. Write it differently, for example with a"
        " subquery in FROM instead of one in an expression."
    )


def error_for_code(code: int) -> EventStoreError:
    """Return the exception for a ClickHouse error code."""
    for codes, kind in (
        (CALLERS_FAULT, QueryRefused),
        (OUT_OF_TIME, QueryTimeout),
        (TOO_BIG, QueryTooBig),
        (STORE_IS_SICK, StoreUnavailable),
    ):
        if code in codes:
            return kind(code)
    return QueryFailed(code)
