"""Rows of JSON, which the query user gets, as the values that the driver would give for them."""

from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from events.asking import Asked

type Reader = Callable[[Any], Any]

_READERS: Final[Mapping[str, Reader]] = {
    "DateTime": lambda text: datetime.fromisoformat(text).replace(tzinfo=None),
    "DateTime64": lambda text: datetime.fromisoformat(text).replace(tzinfo=None),
    "Date": date.fromisoformat,
    "Date32": date.fromisoformat,
    "UUID": UUID,
}


def read_rows(asked: Asked) -> list[tuple[Any, ...]]:
    """Return the rows with times as naive UTC datetimes, days as dates, UUIDs as such, and tuples as tuples.

    Members of tuples may not have names.
    """
    readers = [_reader(kind) for _, kind in asked.columns]
    return [
        tuple(value if reader is None else reader(value) for value, reader in zip(row, readers, strict=True))
        for row in asked.rows
    ]


def _reader(kind: str) -> Reader | None:
    """Return what reads a value of one of ClickHouse's types; None where JSON has it already."""
    name, _, inner = kind.partition("(")
    members = list(_members(inner.removesuffix(")")))
    match name:
        case "Nullable" | "LowCardinality":
            return _reader(members[0])
        case _ if name in _READERS:
            return _known(_READERS[name])
        case "Array":
            return _array(_reader(members[0]))
        case "Tuple":
            return _tuple([_reader(member) for member in members])
        case _:
            return None


def _members(inner: str) -> Iterator[str]:
    """Yield the types between the commas of a type's parentheses."""
    depth, start = 0, 0
    for place, letter in enumerate(inner):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            yield inner[start:place].strip()
            start = place + 1
    yield inner[start:].strip()


def _known(read: Reader) -> Reader:
    return lambda value: None if value is None else read(value)


def _array(item: Reader | None) -> Reader | None:
    return None if item is None else lambda values: [item(value) for value in values]


def _tuple(items: list[Reader | None]) -> Reader:
    return lambda values: tuple(
        value if item is None else item(value) for value, item in zip(values, items, strict=True)
    )
