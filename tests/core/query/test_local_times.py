"""Times of rows get the offset of the zone that ClickHouse's type of their column names."""

from typing import Any

import pytest

from core.query.local_times import local_rows
from core.query.type_names import type_parts

STORED = "2024-07-05T08:00:00Z"
BERLIN = "2024-07-05T10:00:00+02:00"
ZONE = "DateTime('Europe/Berlin')"


@pytest.mark.parametrize(
    ("kind", "name", "parts"),
    [
        ("String", "String", []),
        ("DateTime64(6, 'Asia/Tokyo')", "DateTime64", ["6", "'Asia/Tokyo'"]),
        ("Map(String, Array(Tuple(UInt8, String)))", "Map", ["String", "Array(Tuple(UInt8, String))"]),
        ("Tuple(day Date, `a, (b` String)", "Tuple", ["Date", "String"]),
        (r"Tuple(Enum8('x\'), (' = 1), UInt8)", "Tuple", [r"Enum8('x\'), (' = 1)", "UInt8"]),
    ],
)
def test_parts_of_a_type(kind: str, name: str, parts: list[str]) -> None:
    assert type_parts(kind) == (name, parts)


@pytest.mark.parametrize(
    ("kind", "value", "local"),
    [
        (ZONE, STORED, BERLIN),
        (f"Nullable({ZONE})", None, None),
        ("DateTime64(3, 'Europe/Berlin')", "2024-07-05T08:00:00.120Z", "2024-07-05T10:00:00.120+02:00"),
        ("DateTime64(6, 'Europe/Berlin')", "2024-01-05T08:00:00.000001Z", "2024-01-05T09:00:00.000001+01:00"),
        ("DateTime('UTC')", STORED, STORED),
        ("DateTime('Europe/London')", "2024-01-05T08:00:00Z", "2024-01-05T08:00:00Z"),
        ("DateTime('Fixed/UTC+02:00:00')", STORED, STORED),
        ("DateTime64(0, 'Asia/Tokyo')", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
        ("DateTime64(0, 'America/New_York')", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("String", STORED, STORED),
        (f"Array(Nullable({ZONE}))", [STORED, None], [BERLIN, None]),
        (f"Map(String, {ZONE})", {STORED: STORED}, {STORED: BERLIN}),
        (f"Map(String, Tuple({ZONE}, String))", {"a": [STORED, STORED]}, {"a": [BERLIN, STORED]}),
        (f"Tuple(`a, b` {ZONE}, c String, DateTime('UTC'))", [STORED, STORED, STORED], [BERLIN, STORED, STORED]),
        (f"Array(Array(Tuple(LowCardinality(String), {ZONE})))", [[[STORED, STORED]], []], [[[STORED, BERLIN]], []]),
    ],
)
def test_a_value(kind: str, value: Any, local: Any) -> None:
    assert local_rows([[1, value], [2, value]], ["UInt8", kind]) == [[1, local], [2, local]]
