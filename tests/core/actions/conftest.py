"""A team, a key for its actions, and events to match."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson
import pytest

from core.persons.ingest import IngestTeam, NewEvent, events_ingest
from core.tenancy.models import Team
from tests.factories import make_key, make_team, make_user
from tests.support.contract import CheckedClient

STEP = {
    "event": None, "properties": None, "selector": None, "tag_name": None, "text": None, "text_matching": None,
    "href": None, "href_matching": None, "url": None, "url_matching": "contains",
}  # fmt: skip


@dataclass(frozen=True)
class Api:
    """A client of one key on one team; paths are below the project."""

    team: Team
    client: CheckedClient
    tree: str = "projects"

    def url(self, path: str = "/actions/") -> str:
        return f"/api/{self.tree}/{self.team.id}{path}"

    def get(self, path: str = "/actions/", **params: Any) -> Any:
        return self.client.get(self.url(path), params)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        data = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        return self.client.generic(method, self.url(path), data, content_type="application/json", headers=headers)

    def make(self, **fields: Any) -> dict[str, Any]:
        """Create an action and return it."""
        answer = self.send("POST", "/actions/", fields)
        assert answer.status_code == 201, answer.content
        made: dict[str, Any] = answer.json()
        return made

    def read(self, action_id: int) -> dict[str, Any]:
        answer = self.get(f"/actions/{action_id}/")
        assert answer.status_code == 200, answer.content
        found: dict[str, Any] = answer.json()
        return found


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
def capture(team: Team) -> Callable[..., str]:
    """Ingest one event of a person and return its uuid."""

    def send(name: str = "click", who: str = "ann", **properties: Any) -> str:
        new = NewEvent(uuid=uuid4(), event=name, distinct_id=who, timestamp=datetime.now(UTC), properties=properties)
        events_ingest(team=IngestTeam(team.id), events=[new])
        return str(new.uuid)

    return send
