"""Sessions read no more events than a WHERE on their time leaves, and only where that cannot change the answer."""
# ruff: noqa: E501 - a statement and its outcome are one line

import pytest

from tests.events.hogql.compiler.world import compiled


@pytest.mark.parametrize(
    ("text", "bounded"),
    [
        ("SELECT session_id FROM sessions WHERE $start_timestamp > '2024-03-01'", True),
        ("SELECT session_id FROM sessions WHERE '2024-03-01' <= $start_timestamp AND duration > 5", True),
        ("SELECT session.duration FROM events WHERE timestamp > '2024-03-01'", True),
        ("SELECT session.duration FROM events e WHERE e.timestamp BETWEEN '2024-03-01' AND '2024-03-02'", True),
        ("SELECT session.duration, timestamp AS t FROM events e WHERE t > '2024-03-01'", False),
        ("SELECT session_id FROM sessions WHERE $start_timestamp > '2024-03-01' OR duration > 5", False),
        ("SELECT session_id FROM sessions WHERE NOT ($start_timestamp > '2024-03-01')", False),
        ("SELECT session_id FROM sessions WHERE $end_timestamp > '2024-03-01'", False),
        (
            "SELECT s.duration FROM sessions s RIGHT JOIN events e ON 1 = 1 WHERE s.$start_timestamp > '2024-03-01'",
            False,
        ),
        ("SELECT e.event FROM events e JOIN sessions s ON 1 = 1 WHERE s.$start_timestamp > '2024-03-01'", False),
        (
            "SELECT s.duration, toDateTime(1) AS `$start_timestamp` FROM sessions s WHERE $start_timestamp > '2024-03-01'",
            False,
        ),
    ],
)
def test_bound(text: str, *, bounded: bool) -> None:
    assert ("toIntervalDay(1)" in compiled(text).sql.partition(") AS t")[0]) is bounded
