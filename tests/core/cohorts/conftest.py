"""A team, a key for its cohorts and persons, and the two steps that bring members into both stores."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from core.cohorts.models import CohortPerson
from core.outbox.services import outbox_drain
from core.persons.ingest import IngestTeam, NewEvent, events_ingest
from core.persons.models import Person
from core.tenancy.models import Team
from events import client as clickhouse_client
from tasks.cohorts import cohorts_calculate
from tests.factories import make_key, make_team, make_user
from tests.support.contract import CheckedClient


@dataclass(frozen=True)
class Api:
    """A client of one key on one team; paths are below the project."""

    team: Team
    client: CheckedClient
    tree: str = "projects"

    def url(self, path: str = "/cohorts/") -> str:
        return f"/api/{self.tree}/{self.team.id}{path}"

    def get(self, path: str = "/cohorts/", **params: Any) -> Any:
        return self.client.get(self.url(path), params)

    def send(self, method: str, path: str, body: Any = None) -> Any:
        data = b"" if body is None else orjson.dumps(body)
        return self.client.generic(method, self.url(path), data, content_type="application/json")

    def upload(self, text: str | bytes, **fields: Any) -> Any:
        from django.core.files.uploadedfile import SimpleUploadedFile

        body = text if isinstance(text, bytes) else text.encode()
        file = SimpleUploadedFile("members.csv", body, content_type="text/csv")
        return self.client.post(self.url(), {"is_static": "true", "name": "list", **fields, "csv": file})

    def make(self, **fields: Any) -> dict[str, Any]:
        """Create a cohort and return it."""
        answer = self.send("POST", "/cohorts/", {"name": "some", **fields})
        assert answer.status_code == 201, answer.content
        made: dict[str, Any] = answer.json()
        return made

    def read(self, cohort_id: int) -> dict[str, Any]:
        answer = self.get(f"/cohorts/{cohort_id}/")
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
def person(team: Team) -> Callable[..., Person]:
    """Set properties of the person with this distinct id, who is made when new; return the person."""

    def send(who: str, team_id: int = 0, event: str = "$set", **properties: Any) -> Person:
        team_id = team_id or team.id
        new = NewEvent(
            event=event, distinct_id=who, uuid=uuid4(), timestamp=datetime.now(UTC), properties={}, set=properties
        )
        events_ingest(team=IngestTeam(team_id), events=[new])
        return Person.objects.for_team(team_id).get(distinct_id_rows__distinct_id=who)

    return send


def where(key: str, value: Any, operator: str = "exact") -> dict[str, Any]:
    return {"type": "person", "key": key, "value": value, "operator": operator}


def all_of(*values: dict[str, Any]) -> dict[str, Any]:
    return {"properties": {"type": "AND", "values": list(values)}}


def in_cohort(cohort_id: int, **also: Any) -> dict[str, Any]:
    return {"type": "cohort", "key": "id", "value": cohort_id, **also}


def calculate() -> None:
    """Run the job until nothing is due, then carry the rows to ClickHouse."""
    from core.cohorts.calculation import cohorts_calculate as portion

    cohorts_calculate()
    while portion(seconds=5):
        pass
    outbox_drain()


def members(cohort_id: int) -> set[UUID]:
    """Return the members in Postgres, after seeing that ClickHouse has the same."""
    ids = CohortPerson.objects.filter(cohort_id=cohort_id).values_list("person_id", flat=True)
    stored = set(Person.unscoped.filter(id__in=list(ids)).values_list("uuid", flat=True))
    assert len(stored) == len(ids), "a membership without its person"
    assert mirrored(clickhouse_client, cohort_id) == stored
    return stored


def mirrored(client: ModuleType, cohort_id: int) -> set[UUID]:
    sql = "SELECT person_id FROM cohort_people FINAL WHERE cohort_id = {cohort:Int64} AND NOT is_deleted"
    return {row[0] for row in client.query(sql, {"cohort": cohort_id}).rows}
