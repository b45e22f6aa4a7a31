"""A team with its owner's key, a stranger with a team of their own, and events to fill them with."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from core.persons.ingest import IngestTeam, NewEvent, events_ingest
from core.persons.models import Person
from core.tenancy.models import Team
from tests.factories import make_key, make_team, make_user
from tests.support.contract import CheckedClient


@dataclass(frozen=True)
class Api:
    """A client of one key on one team; paths are below the persons resource."""

    team: Team
    client: CheckedClient
    tree: str = "projects"

    def url(self, path: str = "") -> str:
        return f"/api/{self.tree}/{self.team.id}/persons{path}"

    def get(self, path: str = "", **params: Any) -> Any:
        return self.client.get(self.url(path), params)

    def send(self, method: str, path: str, body: Any = None) -> Any:
        return self.client.generic(
            method, self.url(path), b"" if body is None else _json(body), content_type="application/json"
        )


def _json(body: Any) -> bytes:
    import orjson

    return body if isinstance(body, bytes) else orjson.dumps(body)


def make_api(team: Team, *, scopes: tuple[str, ...] = ("*",), tree: str = "projects") -> Api:
    key = make_key(make_user(team=team), scopes=scopes)
    return Api(team, CheckedClient(headers={"authorization": f"Bearer {key}"}, raise_request_exception=False), tree)


@pytest.fixture
def team(db: None) -> Team:
    return make_team()


@pytest.fixture
def api(team: Team) -> Api:
    return make_api(team)


@pytest.fixture
def stranger(db: None) -> Api:
    return make_api(make_team())


@pytest.fixture
def capture(team: Team) -> Callable[..., Person]:
    """Ingest one event and return the person it belongs to."""

    def send(who: str = "ann", name: str = "click", **fields: Any) -> Person:
        fields = {"uuid": uuid4(), "timestamp": datetime.now(UTC), "properties": {}, **fields}
        events_ingest(team=IngestTeam(team.id), events=[NewEvent(event=name, distinct_id=who, **fields)])
        return Person.objects.for_team(team.id).get(distinct_id_rows__distinct_id=who)

    return send
