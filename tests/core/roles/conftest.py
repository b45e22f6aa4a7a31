"""Roles of one organization as one caller sees them, and bodies in every encoding."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
from django.http import HttpResponse
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from tests.core.conftest import Cast
from tests.core.http import Caller, parsed

FORM = "application/x-www-form-urlencoded"
ENCODINGS = ("json", "form", "multipart")


@dataclass(frozen=True)
class Roles:
    """A caller at the roles of one organization; parts of the path go below `roles/`."""

    caller: Caller
    organization_id: Any

    def path(self, *parts: Any) -> str:
        return "/".join(["/api/organizations", str(self.organization_id), "roles", *map(str, parts), ""])

    def send(self, method: str, *parts: Any, body: Any = None, encoding: str = "json") -> HttpResponse:
        data, options = encoded(body, encoding) if body is not None else (None, {})
        return self.caller(method, self.path(*parts), data, **options)

    def read(self, *parts: Any) -> Any:
        answer = self.send("GET", *parts)
        assert answer.status_code == 200, answer.content
        return parsed(answer)

    def make(self, name: str = "Support", **fields: Any) -> Any:
        answer = self.send("POST", body={"name": name, **fields})
        assert answer.status_code == 201, answer.content
        return parsed(answer)

    def join(self, role: Any, user: Any) -> Any:
        answer = self.send("POST", role["id"], "role_memberships", body={"user_uuid": str(user.uuid)})
        assert answer.status_code == 201, answer.content
        return parsed(answer)


def encoded(body: Any, encoding: str) -> tuple[Any, dict[str, str]]:
    if encoding == "form":
        return urlencode(body), {"content_type": FORM}
    if encoding == "multipart":
        assert isinstance(body, Mapping)
        return encode_multipart(BOUNDARY, dict(body)), {"content_type": MULTIPART_CONTENT}
    return body, {}


@pytest.fixture
def roles(cast: Cast) -> Roles:
    """The owner at the roles of the own organization."""
    return Roles(cast.as_owner(), cast.organization.pk)


@pytest.fixture
def as_member(cast: Cast) -> Roles:
    return Roles(cast.as_member(), cast.organization.pk)


@pytest.fixture
def elsewhere(cast: Cast) -> Roles:
    """The stranger at the roles of the other organization."""
    return Roles(cast.as_stranger(), cast.outside.pk)
