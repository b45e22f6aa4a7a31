import time
from typing import Any

import pytest

from core.definitions.detection import property_type_of


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("price", 3, "Numeric"),
        ("price", 3.5, "Numeric"),
        ("price", "3", "String"),
        ("paid", True, "Boolean"),
        ("paid", False, "Boolean"),
        ("paid", " true ", "Boolean"),
        ("paid", "FALSE", "Boolean"),
        ("paid", "True", "String"),
        ("seen", "2024-03-05", "DateTime"),
        ("seen", "2024/03/05", "DateTime"),
        ("seen", "05-03-2024", "DateTime"),
        ("seen", "2024-03-05T10:20:30Z", "DateTime"),
        ("seen", "2024-03-05 10:20:30.123+01:00", "DateTime"),
        ("seen", "2024-03-05 in the morning", "String"),
        ("seen", "20240305", "String"),
        ("seen", "2024-03-05\nand more", "String"),
        pytest.param("created_at", time.time(), "DateTime", id="seconds"),
        pytest.param("created_at", int(time.time() * 1000), "DateTime", id="milliseconds"),
        pytest.param("updateDate", int(time.time()) + 100, "DateTime", id="seconds to come"),
        ("created_at", 12, "Numeric"),
        pytest.param("created_at", time.time() - 20_000_000, "Numeric", id="seconds long ago"),
        pytest.param("count", int(time.time()), "Numeric", id="no name of a time"),
        ("utm_source", 5, "String"),
        ("$initial_utm_campaign", 5, "String"),
        ("$feature/beta", True, "String"),
        ("$feature_flag_response", True, "String"),
        ("$survey_response_2", 5, "String"),
        ("anything", "", "String"),
        ("anything", None, None),
        ("anything", [1], None),
        ("anything", {"a": 1}, None),
    ],
)
def test_type_follows_from_name_and_value(name: str, value: Any, expected: str | None) -> None:
    assert property_type_of(name, value) == expected
