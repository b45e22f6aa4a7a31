"""How many persons hold each value of each property: the deltas that keep the summary right.

The deltas of a change go through the outbox with the change itself, so the summary is exact once drained.
"""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

import orjson

from events.rows import Row, property_value_row
from events.values import property_values

MAX_KEY: Final = 400
MAX_VALUE: Final = 400
"""Characters. Longer keys and values are left out of the summary: nobody picks them from a list."""
VIRTUAL_PREFIX: Final = "$virt"

type Properties = Mapping[str, Any]
type Changes = Iterable[tuple[Properties | None, Properties | None]]
type Counts = dict[tuple[str, str], int]

_MISSING: Final = object()
_NOTHING: Final[Properties] = {}
_INTEGERS: Final = range(-(2**63), 2**64)
# Where orjson's text of a number differs from that of the number once Postgres has stored it.
_RESTATED: Final = re.compile(rb"\de[+-]?\d|-0\.0")


def value_text(value: Any) -> str | None:  # noqa: ANN401 any JSON value
    """Return the text under which a property's value is counted; None when it is not.

    The text is the same before a value was stored and after it was read back from jsonb. Null, the empty text
    and what is longer than MAX_VALUE are not counted.
    """
    if value.__class__ is str:
        text: str = value
    elif value is None:
        return None
    elif value is True:
        return "true"
    elif value is False:
        return "false"
    elif value.__class__ is int:
        return str(value)
    elif value.__class__ is float:
        text = _number_text(value)
    else:
        text = _container_text(value)
    return text if 0 < len(text) <= MAX_VALUE else None


def _number_text(value: float) -> str:
    text = orjson.dumps(value + 0.0)
    return format(Decimal(text.decode()), "f") if b"e" in text else text.decode()


def _container_text(value: Any) -> str:  # noqa: ANN401 a JSON object or array
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    if _RESTATED.search(text):
        text = orjson.dumps(_as_stored(value), option=orjson.OPT_SORT_KEYS)
    return text.decode()


def _as_stored(value: Any) -> Any:  # noqa: ANN401 any JSON value
    """Return the value with its numbers as they come back from jsonb, which keeps decimals and no negative zero."""
    if isinstance(value, dict):
        return {key: _as_stored(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_stored(item) for item in value]
    if isinstance(value, float):
        text = orjson.dumps(value + 0.0)
        if b"e" in text and (exact := Decimal(text.decode())) == exact.to_integral_value() and int(exact) in _INTEGERS:
            return int(exact)
        return value + 0.0
    return value


def property_value_counts(changes: Changes) -> Counts:
    """Return by how much each (key, value) changes in number of persons; pairs that even out count 0.

    A change is (properties before, properties after): None before for a new person, None after for a deleted one.
    """
    counts: Counts = {}
    for before, after in changes:
        if before is not after:
            _count(counts, before or _NOTHING, after or _NOTHING)
    return counts


def _count(counts: Counts, old: Properties, new: Properties) -> None:
    for key, value in new.items():
        had = old.get(key, _MISSING)
        # The copies that ingestion makes share the values that it did not touch.
        if had is value:
            continue
        _add(counts, key, value, 1)
        if had is not _MISSING:
            _add(counts, key, had, -1)
    for key, had in old.items():
        if key not in new:
            _add(counts, key, had, -1)


def _add(counts: Counts, key: str, value: Any, persons: int) -> None:  # noqa: ANN401 any JSON value
    text = value_text(value)
    if text is not None and len(key) <= MAX_KEY:
        pair = (key, text)
        counts[pair] = counts.get(pair, 0) + persons


def property_value_rows(team_id: int, changes: Changes) -> list[Row]:
    """Return the rows of `person_property_values` for changes of one transaction, one per (key, value)."""
    return [
        property_value_row(team_id=team_id, key=key, value=value, persons=persons)
        for (key, value), persons in property_value_counts(changes).items()
        if persons
    ]


def values_answer(*, team_id: int, key: str, part: str) -> dict[str, Any]:
    """Return the body of `persons/values/`: up to 20 values of a property that contain `part`, with their counts.

    Empty without a key and for virtual properties, which no person stores.
    """
    found = (
        property_values(team_id=team_id, key=key, part=part)
        if key and not key.startswith(VIRTUAL_PREFIX) and len(key) <= MAX_KEY and len(part) <= MAX_VALUE
        else []
    )
    return {"results": [{"name": value, "count": count} for value, count in found], "refreshing": False}
