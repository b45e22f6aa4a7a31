"""`numbers(n)` and `numbers(start, n)`: the only function that stands for a table."""

from collections.abc import Sequence
from typing import Final

from events.hogql.errors import HogQLResolutionError

COLUMN: Final = "number"
_MOST_ARGUMENTS: Final = 2


def numbers(arguments: Sequence[str] | None) -> str:
    """Return the subquery, in parentheses, whose column is `number`: whole numbers from 0 or from `start` on.

    `arguments` are constants of ClickHouse's SQL; None when the table was named without parentheses.
    """
    if arguments is None:
        message = "Table function 'numbers' requires arguments"
    elif not arguments:
        message = "Table function 'numbers' requires at least 1 argument"
    elif len(arguments) > _MOST_ARGUMENTS:
        message = "Table function 'numbers' requires at most 2 arguments"
    else:
        return f"(SELECT {COLUMN} FROM numbers({', '.join(arguments)}))"  # noqa: S608 constants
    raise HogQLResolutionError(message)
