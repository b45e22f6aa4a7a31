"""A project with one person, and callers who send keys."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import pytest
from django.http import HttpResponse
from django.utils import timezone

from core.persons.ingest import IngestTeam, NewEvent, events_ingest
from core.persons.models import Person
from core.tenancy.models import Team
from tests.core.http import Caller
from tests.factories import make_key, make_team, make_user


@dataclass(frozen=True)
class Keyed:
    """A caller of one team that sends an Idempotency-Key with each request, unless told another or none."""

    team: Team
    caller: Caller
    key: str | None = "key-1"

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> HttpResponse:
        if self.key is not None:
            headers["Idempotency-Key"] = self.key
        return self.caller(method, f"/api/projects/{self.team.id}/persons/{path}", body, headers=headers)

    def with_key(self, key: str | None) -> "Keyed":
        return replace(self, key=key)

    def properties(self, person: Person) -> Any:
        return Person.objects.for_team(self.team.id).get(pk=person.pk).properties


def keyed_of(team: Team) -> Keyed:
    return Keyed(team, Caller(make_key(make_user(team=team))))


def ingest(team: Team, who: str = "ann", **fields: Any) -> Person:
    fields = {"properties": {}, "timestamp": timezone.now(), **fields}
    events_ingest(team=IngestTeam(team.id), events=[NewEvent(uuid=uuid4(), event="click", distinct_id=who, **fields)])
    return Person.objects.for_team(team.id).get(distinct_id_rows__distinct_id=who)


@pytest.fixture
def team(db: None) -> Team:
    return make_team()


@pytest.fixture
def keyed(team: Team) -> Keyed:
    return keyed_of(team)


@pytest.fixture
def person(team: Team) -> Person:
    return ingest(team, set={"plan": "free"})


@pytest.fixture
def answers() -> Callable[[], int]:
    """How many answers are kept."""
    from core.idempotency.models import IdempotentAnswer

    return IdempotentAnswer.objects.count
