"""The size of what the ClickHouse compiler writes: the largest filter is a statement that the server reads."""

from typing import Any

import pytest

from events import client
from events.filters.clickhouse import condition
from events.filters.grammar import MAX_FILTERS, read_filters
from events.filters.operators import OPERATORS

OPERANDS = {
    "between": [1, 2],
    "not_between": [1, 2],
    "in": ["[1]"],
    "not_in": ["[1]"],
    "is_set": None,
    "is_not_set": None,
}


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_largest_filter_is_a_statement_that_clickhouse_reads(clickhouse_schema: None, operator: str) -> None:
    value = OPERANDS.get(operator, "2024-01-01" if "date" in operator else "1.2" if "semver" in operator else "[1]")
    wanted = read_filters([{"key": f"k{n}", "operator": operator, "value": value} for n in range(MAX_FILTERS)])
    assert wanted is not None
    parameters: dict[str, Any] = {"properties": '{"k0":[{"b":1,"a":2}]}'}
    text = condition(wanted, parameters, properties="{properties:String}")
    assert client.query(f"SELECT {text}", parameters).rows[0][0] in {0, 1}
