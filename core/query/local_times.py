"""Times of rows with the offset of their column's zone: ClickHouse writes each as UTC, whatever zone it is in."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from core.query.type_names import type_parts

_ZONE: Final = re.compile(r"DateTime(?:64\(\d, |\()'([^']+)'\)")
_UTC: Final = "UTC"
_NO_OFFSET: Final = "+00:00"

type Json = Any
type Change = Callable[[Json], Json]
type Members = Sequence[Change | None]


def local_rows(rows: list[list[Json]], types: Sequence[str]) -> list[list[Json]]:
    """Return rows whose times have the offset of the zone that ClickHouse's type of their column names.

    `2024-05-06T10:00:00Z` of `DateTime('Europe/Berlin')` becomes `2024-05-06T12:00:00+02:00`, as PostHog writes it;
    times in UTC stay as they are, with `Z`. Members of arrays, tuples and maps count too.
    """
    changes = {place: change for place, kind in enumerate(types) if (change := _change(kind)) is not None}
    for row in rows if changes else ():
        for place, change in changes.items():
            row[place] = change(row[place])
    return rows


def _change(kind: str) -> Change | None:
    """Return what makes a value of a type local; None where there is nothing to do."""
    if all(zone == _UTC for zone in _ZONE.findall(kind)):
        return None
    name, parts = type_parts(kind)
    if name in {"DateTime", "DateTime64"}:
        return _local(parts[-1].strip("'"))
    wrap = _WRAPPED.get(name)
    return None if wrap is None else wrap([_change(part) for part in parts])


def _local(name: str) -> Change | None:
    try:
        zone = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        # ClickHouse knows zones of its own, such as Fixed/UTC+02:00:00.
        return None

    def change(value: Json) -> Json:
        if not isinstance(value, str):
            return value
        fraction = value.partition(".")[2]
        precision = "seconds" if not fraction else "milliseconds" if len(fraction) == len("123Z") else "microseconds"
        try:
            text = datetime.fromisoformat(value).astimezone(zone).isoformat(timespec=precision)
        except OverflowError:
            # In the years 1 and 9999 it may be in a year that is none here.
            return value
        return f"{text.removesuffix(_NO_OFFSET)}Z" if text.endswith(_NO_OFFSET) else text

    return change


def _same(changes: Members) -> Change | None:
    return changes[0]


def _each(changes: Members) -> Change | None:
    (change,) = changes
    if change is None:
        return None
    return lambda value: [change(one) for one in value] if isinstance(value, list) else value


def _values(changes: Members) -> Change | None:
    _, change = changes
    if change is None:
        return None
    return lambda value: {key: change(one) for key, one in value.items()} if isinstance(value, dict) else value


def _tuple(changes: Members) -> Change | None:
    def change(value: Json) -> Json:
        if not isinstance(value, list):
            return value
        return [one if by is None else by(one) for by, one in zip(changes, value, strict=True)]

    return change


_WRAPPED: Final[Mapping[str, Callable[[Members], Change | None]]] = {
    "Nullable": _same,
    "LowCardinality": _same,
    "Array": _each,
    "Map": _values,
    "Tuple": _tuple,
}
