"""Rows of JSON are what the driver gives for the same statement."""

import pytest

from events import client
from events.json_rows import read_rows

pytestmark = pytest.mark.usefixtures("clickhouse")
VALUES = [
    "1", "toUInt64(18446744073709551615)", "-1.5", "'tex''t, (with) \"marks\"'", "NULL", "toNullable('x')",
    "toUUID('0f0e0d0c-0b0a-0908-0706-050403020100')", "toDateTime64('2024-05-02 12:00:00.123456', 6, 'UTC')",
    "toDateTime('2024-05-02 12:00:00', 'UTC')", "toDate('2024-05-02')",
    "CAST(NULL, 'Nullable(DateTime64(6, \\'UTC\\'))')", "toLowCardinality('low')",
    "[toUUID('0f0e0d0c-0b0a-0908-0706-050403020100')]", "[]", "[[1, 2], []]", "(1, 'a, b', toDate('2024-05-02'))",
    "[(toUUID('0f0e0d0c-0b0a-0908-0706-050403020100'), toDateTime64('2024-05-02 12:00:00', 6, 'UTC'), ['s'], 'w')]",
    "true",
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES)
def test_a_value_is_what_the_driver_gives(value: str) -> None:
    sql = f"SELECT {value} AS v, 2 AS other"
    asked = client.ask(sql, team_id=1, query_id="q", seconds=5, memory_mb=100, max_rows=10, max_bytes=10_000)
    assert [tuple(map(repr, row)) for row in read_rows(asked)] == [
        tuple(map(repr, row)) for row in client.query(sql).rows
    ]
