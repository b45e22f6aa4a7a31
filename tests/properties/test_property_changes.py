"""The changes of one property: against a naive fold, in both orders, in pages."""

from typing import Any
from uuid import uuid4

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.history_changes import Change, property_changes
from tests.properties.test_point_in_time import KEYS, TEAM, Update, histories, replayed, stored

pytestmark = pytest.mark.usefixtures("clickhouse")


def changes_of(rows: list[Update], key: str) -> list[tuple[str, str, Any, Any]]:
    """Replay update by update and compare before with after."""
    ordered = sorted(rows, key=lambda row: (row.timestamp, row.ingested_at, str(row.uuid)))
    found = []
    before: dict[str, Any] = {}
    for number, row in enumerate(ordered):
        after, _ = replayed(ordered[: number + 1], at=ordered[-1].timestamp, include_set_once=True)
        old, new = ((state[key],) if key in state else () for state in (before, after))
        if as_number(old) != as_number(new):
            operation = "$unset" if key in row.unset else "$set" if key in row.set else "$set_once"
            found.append((str(row.uuid), operation, as_number(old), as_number(new)))
        before = after
    return found


def as_number(value: Any) -> Any:
    """Return JSON text in which whole numbers have one form, for 1 and 1.0 are the same value."""
    if isinstance(value, float) and value.is_integer():
        return as_number(int(value))
    if isinstance(value, list | tuple):
        return "[" + ",".join(as_number(one) for one in value) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{as_number(name)}:{as_number(one)}" for name, one in value.items()) + "}"
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else orjson.dumps(value).decode()


def shown(change: Change) -> tuple[str, str, Any, Any]:
    return change.uuid, change.operation, as_number(change.previous), as_number(change.value)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=histories,
    key=st.sampled_from(KEYS[:4]),
    limit=st.integers(1, 4),
    newest_first=st.booleans(),
    repeated=st.sampled_from([0, 0, 3]),
)
def test_changes_are_those_of_a_naive_fold(
    rows: list[Update], key: str, limit: int, *, newest_first: bool, repeated: int
) -> None:
    prefix = uuid4().hex
    stored(rows, prefix, repeated)
    ids = [(f"{prefix}{person}", 0) for person in range(3)]
    expected = changes_of([row for row in rows if row.generation == 0], key)
    found: list[Change] = []
    more, after = True, None
    while more:
        page, more = property_changes(
            team_id=TEAM, ids=ids, key=key, newest_first=newest_first, limit=limit, after=after
        )
        assert len(page) == limit or not more
        found += page
        after = page[-1].position if page else None
    if newest_first:
        found.reverse()
    assert [shown(change) for change in found] == expected
