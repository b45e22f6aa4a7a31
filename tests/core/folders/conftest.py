"""Persisted folders of one project as one caller sees them."""

from dataclasses import dataclass
from typing import Any

import pytest
from django.http import HttpResponse

from core.tenancy.models import Team, User
from tests.core.conftest import Cast
from tests.core.http import Caller, parsed
from tests.core.roles.conftest import encoded

KEYS = {"id", "type", "protocol", "path", "created_at", "updated_at"}


@dataclass(frozen=True)
class Folders:
    """A caller at the folders of one project."""

    caller: Caller
    team: Team
    user: User
    tree: str = "projects"

    def path(self, folder_id: Any = None) -> str:
        below = "" if folder_id is None else f"{folder_id}/"
        return f"/api/{self.tree}/{self.team.id}/persisted_folder/{below}"

    def send(self, method: str, folder_id: Any = None, body: Any = None, encoding: str = "json") -> HttpResponse:
        data, options = encoded(body, encoding) if body is not None else (None, {})
        return self.caller(method, self.path(folder_id), data, **options)

    def make(self, type: str = "pinned", **fields: Any) -> Any:  # noqa: A002 the field's name
        answer = self.send("POST", body={"type": type, **fields})
        assert answer.status_code == 201, answer.content
        return parsed(answer)

    def read(self, folder_id: Any) -> Any:
        answer = self.send("GET", folder_id)
        assert answer.status_code == 200, answer.content
        return parsed(answer)

    def types(self) -> list[str]:
        answer = self.send("GET")
        assert answer.status_code == 200, answer.content
        return [folder["type"] for folder in parsed(answer)["results"]]


@pytest.fixture(params=["projects", "environments"])
def folders(cast: Cast, request: pytest.FixtureRequest) -> Folders:
    """The owner at the own project, once by each prefix."""
    return Folders(cast.as_owner(), cast.team, cast.owner, request.param)


@pytest.fixture
def as_member(cast: Cast) -> Folders:
    return Folders(cast.as_member(), cast.team, cast.member)


@pytest.fixture
def elsewhere(cast: Cast) -> Folders:
    """The owner at the other project of the same organization."""
    return Folders(cast.as_owner(), cast.other_team, cast.owner)
