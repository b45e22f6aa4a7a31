"""JSON documents as rows of a table: nested values get columns of their own, named by their path."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any


def flattened(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 any JSON value
    """Yield column and value of every scalar inside; empty lists and objects have none."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flattened(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from flattened(inner, (*path, str(index)))
    else:
        yield column_name(path), value


def column_name(path: Sequence[str]) -> str:
    """Return the parts joined by dots; empty ones at the end do not count, as in djangorestframework-csv."""
    last = len(path)
    while last > 1 and not path[last - 1]:
        last -= 1
    return ".".join(path[:last])


def table_line(cells: Iterable[Any]) -> bytes:
    """Return one line of CSV: True and False in Python's words, nothing for null."""
    line = io.StringIO()
    csv.writer(line).writerow(list(cells))
    return line.getvalue().encode()
