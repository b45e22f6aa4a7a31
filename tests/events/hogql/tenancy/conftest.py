from collections.abc import Iterator

import pytest

from tests.events.hogql.tenancy.world import two_worlds


@pytest.fixture(scope="module")
def worlds(clickhouse_schema: None) -> Iterator[None]:
    """Both projects, and the twin in which only the one that asks exists."""
    with two_worlds():
        yield
