"""A team with persons in both stores, and what to ask of them."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from core.deletions.models import DeletionRequest
from core.outbox.services import outbox_drain
from core.persons.erasing import RunResult, deletions_run
from tests.core.persons.conftest import Api, api, capture, make_api, stranger, team

__all__ = ["Api", "api", "capture", "make_api", "stranger", "team"]

TABLES = ("events", "person_property_updates", "person_distinct_ids", "person_distinct_id_overrides", "persons")


class Store:
    """Counts in ClickHouse."""

    def __init__(self, client: ModuleType) -> None:
        self.client = client

    def count(self, table: str, condition: str = "1") -> int:
        outbox_drain()
        sql = f"SELECT count() FROM {table} WHERE {condition}"  # noqa: S608 words of the tests
        return int(self.client.query(sql).rows[0][0])

    def holds(self, text: str) -> set[str]:
        """Return the tables of which any column of any row has this text in it."""
        outbox_drain()
        tables = self.client.query(
            "SELECT name FROM system.tables WHERE database = currentDatabase() AND name != 'schema_migrations'"
        ).rows
        return {
            name
            for (name,) in tables
            if self.client.query(
                f"SELECT count() FROM `{name}` WHERE position(toString(tuple(*)), {{text:String}}) > 0",  # noqa: S608 names of the store
                {"text": text},
            ).rows[0][0]
        }


@pytest.fixture
def store(clickhouse: ModuleType) -> Store:
    return Store(clickhouse)


@pytest.fixture
def run(clickhouse: ModuleType) -> Callable[[], list[RunResult]]:
    return deletions_run


def receipt_of(team_id: int) -> dict[str, Any]:
    request = DeletionRequest.objects.for_team(team_id).latest("id")
    assert request.verified_at is not None, request.last_error
    return dict(request.receipt)


def nonzero(receipt: dict[str, Any]) -> dict[str, tuple[int, int, int]]:
    return {
        place: (counts["found"], counts["removed"], counts["remaining"])
        for place, counts in receipt["tables"].items()
        if any(counts.values())
    }
