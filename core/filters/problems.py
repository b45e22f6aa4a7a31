"""What is wrong with a filter, as it is answered; mistakes in HogQL with their place."""

from collections.abc import Sequence
from typing import Any

from core.api.errors import Invalid
from events.filters.errors import FilterError
from events.hogql.errors import HogQLError
from events.hogql.parser import MAX_CHARACTERS


def invalid_filter(
    error: FilterError, *, attr: str | None, inside: Sequence[str] | None = (), placed: bool = False
) -> Invalid:
    """Return the error to raise for filters in `attr`.

    One in HogQL names the key that it is in, below `attr` and `inside`, unless that is None: then the caller wrote the
    filters in another form than they were read in. Others name `attr`, with `placed` the filter below it.
    """
    if error.place is None and not placed:
        return Invalid(error.message, attr=attr)
    path = () if inside is None else (*inside, *error.path)
    where = attr if attr is None else "__".join((attr, *path))
    if error.place is None:
        return Invalid(error.message, attr=where)
    text, start, end = error.place
    return invalid_hogql(HogQLError(error.message, start=start, end=end), text, attr=where)


def invalid_hogql(error: HogQLError, text: str | None, *, attr: str | None) -> Invalid:
    """Return the error to raise for a mistake in a HogQL text, which stands in `attr`."""
    return Invalid(error.message, code=error.code, attr=attr, extra={"hogql_metadata": _metadata_of(error, text)})


def _metadata_of(error: HogQLError, text: str | None) -> dict[str, Any]:
    """Return the answer of HogQLMetadata for a text with one error; positions count characters."""
    return {
        # What is too long to be parsed is not sent back.
        "query": text if text is None or len(text) <= MAX_CHARACTERS else None,
        "isValid": False,
        "errors": [{"message": error.message, "start": error.start, "end": error.end, "fix": None}],
        "warnings": [],
        "notices": [],
        "table_names": None,
        "ch_table_names": None,
        "isUsingIndices": None,
    }
