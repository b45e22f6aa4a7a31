from collections.abc import Iterator
from types import ModuleType

import pytest

from tests.events.hogql.compiler.world import TABLES, fill


@pytest.fixture(scope="module")
def world(clickhouse_schema: None) -> Iterator[ModuleType]:
    """The store with the rows of two projects; no test of a module changes them."""
    from events import client

    fill(client)
    yield client
    for table in TABLES:
        client.command("TRUNCATE TABLE {name:Identifier}", {"name": table.value})
