"""A team with events, its owner's key, a way to ask, and a stranger."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from django.http import HttpResponse

from core.outbox.services import outbox_drain
from core.persons.ingest import IngestTeam, NewEvent, events_ingest
from core.tenancy.models import Level, Team
from tests.core.http import Caller, parsed
from tests.factories import make_key, make_team, make_user

NOON = datetime(2024, 3, 5, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Asking:
    """One key on one project."""

    team: Team
    key: str
    tree: str = "projects"

    def url(self, path: str = "") -> str:
        return f"/api/{self.tree}/{self.team.id}/query/{path}"

    def post(self, body: Any, path: str = "") -> HttpResponse:
        return Caller(self.key)("POST", self.url(path), body)

    def ask(self, query: str, node: dict[str, Any] | None = None, **body: Any) -> HttpResponse:
        return self.post({"query": {"kind": "HogQLQuery", "query": query, **(node or {})}, **body})

    def answer(self, query: str, node: dict[str, Any] | None = None, **body: Any) -> Any:
        response = self.ask(query, node, **body)
        assert response.status_code == 200, response.content
        return parsed(response)

    def get(self, path: str) -> HttpResponse:
        return Caller(self.key).get(self.url(path))

    def delete(self, path: str) -> HttpResponse:
        return Caller(self.key)("DELETE", self.url(path))


def make_asking(team: Team, *, level: int = Level.OWNER, **key: Any) -> Asking:
    return Asking(team, make_key(make_user(team.organization, level=level, team=team), **key))


@pytest.fixture
def team(db: None) -> Team:
    return make_team()


@pytest.fixture
def asking(team: Team, clickhouse: object, valkey: object) -> Asking:
    return make_asking(team)


@pytest.fixture
def stranger(db: None) -> Asking:
    return make_asking(make_team())


@pytest.fixture
def capture(team: Team, clickhouse: object) -> Callable[..., None]:
    """Ingest events of one name; they are in ClickHouse at once."""

    def send(name: str = "click", *, count: int = 1, who: str = "ann", of: Team = team, **properties: Any) -> None:
        events = [
            NewEvent(uuid=uuid4(), event=name, distinct_id=who, timestamp=NOON, properties=properties)
            for _ in range(count)
        ]
        events_ingest(team=IngestTeam(of.id), events=events)
        outbox_drain()

    return send
