"""HogQL in filters that are stored: ClickHouse is asked about its types first, over HTTP, for all that stores some."""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from structlog.testing import capture_logs

from core.cohorts.calculation import cohorts_calculate
from core.cohorts.models import Cohort
from core.filters import storing
from core.outbox.services import outbox_drain
from core.persons.ingest import IngestTeam, NewEvent, events_ingest
from events import client
from tests.core.conftest import Cast
from tests.core.http import parsed, problem
from tests.factories import make_team

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("clickhouse")]

PLAIN = {"type": "person", "key": "plan", "operator": "exact", "value": "pro"}
ILLEGAL = "An argument of a function has a type that it does not take."


@dataclass(frozen=True)
class Resource:
    """What stores filters: where, in which body, and the attr of the filter of a number."""

    name: str
    path: str
    body: Callable[[list[dict[str, Any]]], dict[str, Any]]
    attr: str
    wrong: str
    right: str

    def url(self, team_id: int, number: int) -> str:
        return f"/api/projects/{team_id}/{self.path}{f'{number}/' if self.path else ''}"

    def make(self, cast: Cast) -> str:
        """Return the URL of one that has no filters."""
        if not self.path:
            return self.url(cast.team.pk, 0)
        made = cast.as_owner()("POST", f"/api/projects/{cast.team.pk}/{self.path}", {"name": "some"})
        return self.url(cast.team.pk, parsed(made)["id"])


RESOURCES = [
    Resource(
        "projects",
        "",
        lambda filters: {"test_account_filters": filters},
        "test_account_filters__{}__key",
        "toInt(event) + 'a' = 1",
        "toFloat(properties.price) > 5",
    ),
    Resource(
        "actions",
        "actions/",
        lambda filters: {"name": "one", "steps": [{"event": "a"}, {"properties": filters}]},
        "steps__1__properties__{}__key",
        "dateDiff('day', event, timestamp) > 1",
        "person_id in (select person_id from events where event = 'a')",
    ),
    Resource(
        "cohorts",
        "cohorts/",
        lambda filters: {"name": "one", "filters": {"properties": {"type": "AND", "values": filters}}},
        "filters__properties__values__{}__key",
        "created_at + 'a' = 1",
        "pdi.distinct_id = 'a' or id in (select person_id from events)",
    ),
]
each = pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.name)


def hogql(text: str) -> dict[str, Any]:
    return {"type": "hogql", "key": text}


def nobody() -> str:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://u:p@127.0.0.1:{unused.getsockname()[1]}/any"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each question to ClickHouse read; none is asked within a transaction."""
    found: list[int] = []
    ask = client.ask

    def noted(*args: Any, **kwargs: Any) -> Any:
        assert not connection.in_atomic_block
        found.append(-1)
        answer = ask(*args, **kwargs)
        # The lines of a plan count as rows too.
        found[-1] = answer.rows_read - len(answer.rows)
        return answer

    monkeypatch.setattr(client, "ask", noted)
    return found


@each
@pytest.mark.parametrize("before", [0, 1, 3])
def test_types_that_do_not_fit_are_refused_with_their_place(cast: Cast, resource: Resource, before: int) -> None:
    url, caller = resource.make(cast), cast.as_owner()
    stored = parsed(caller.get(url))
    # One name in two expressions is no mistake.
    others = [PLAIN, hogql(f"{resource.right} as same"), hogql("1 = 1 as same")]
    body = resource.body([*others[:before], hogql(resource.wrong), hogql(resource.right)])
    answers = [caller("PATCH", url, body)]
    if resource.path:
        answers.append(caller("POST", f"/api/projects/{cast.team.pk}/{resource.path}", body))
    for answer in answers:
        status, kind, code, detail, attr = problem(answer)
        assert (status, kind, code, attr) == (400, "validation_error", "invalid_input", resource.attr.format(before))
        assert detail.startswith(ILLEGAL), detail
        metadata = parsed(answer)["extra"]["hogql_metadata"]
        assert (metadata["query"], metadata["errors"][0]["message"]) == (resource.wrong, detail)
    assert parsed(caller.get(url)) == stored


@each
def test_types_that_fit_are_stored_and_one_question_reads_no_row(
    cast: Cast, resource: Resource, asked: list[int]
) -> None:
    new = NewEvent(event="a", distinct_id="ann", uuid=uuid4(), timestamp=cast.team.created_at, properties={}, set={})
    events_ingest(team=IngestTeam(cast.team.pk), events=[new])
    outbox_drain()
    url, caller = resource.make(cast), cast.as_owner()
    body = resource.body([hogql(resource.right), hogql("1 = 1"), PLAIN, hogql(resource.right)])
    answer = caller("PATCH", url, body)
    assert answer.status_code == 200, answer.content
    assert asked == [0]
    again = parsed(caller.get(url))
    field = next(name for name in body if name != "name")
    assert resource.right in str(again[field])
    assert asked == [0], "reading does not ask"


@each
def test_clickhouse_away_is_a_503_for_hogql_only(cast: Cast, resource: Resource, settings: Any) -> None:
    url, caller = resource.make(cast), cast.as_owner()
    stored = parsed(caller.get(url))
    settings.CLICKHOUSE_QUERY_URL = settings.CLICKHOUSE_URL = nobody()
    answer = caller("PATCH", url, resource.body([PLAIN, hogql(resource.right)]))
    assert (problem(answer)[0], problem(answer)[2]) == (503, "service_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert parsed(caller.get(url)) == stored
    # What is wrong by its name needs no ClickHouse.
    assert caller("PATCH", url, resource.body([hogql("nope = 1")])).status_code == 400
    assert caller("PATCH", url, resource.body([PLAIN])).status_code == 200
    assert caller("PATCH", url, {"name": "another"}).status_code == 200


def test_what_takes_long_to_prepare_is_refused_and_what_hangs_is_away(
    cast: Cast, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storing, "MAX_SECONDS", 1)
    resource, caller = RESOURCES[0], cast.as_owner()
    url = resource.make(cast)
    slow = resource.body([hogql("1 = 1"), hogql("(select count() from numbers(100000000000)) > 1")])
    status, _, _, detail, attr = problem(caller("PATCH", url, slow))
    assert status == 400
    assert "seconds" in detail
    assert attr in {resource.attr.format(0), resource.attr.format(1)}, "there may be no time left to tell which"
    monkeypatch.setattr(client, "RECEIVE_MARGIN_SECONDS", 0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.CLICKHOUSE_QUERY_URL = f"http://u:p@127.0.0.1:{silent.getsockname()[1]}/any"
        assert caller("PATCH", url, resource.body([hogql("1 = 1")])).status_code == 503


def test_filters_of_test_accounts_that_are_stored_are_not_checked_again(cast: Cast, asked: list[int]) -> None:
    url, caller = RESOURCES[0].make(cast), cast.as_owner()
    cast.team.settings = RESOURCES[0].body([hogql(RESOURCES[0].wrong)])
    cast.team.save()
    assert caller("PUT", url, {**parsed(caller.get(url)), "name": "another"}).status_code == 200
    assert asked == []


def test_a_new_project_is_refused_as_well(cast: Cast) -> None:
    body = {"name": "new", **RESOURCES[0].body([hogql(RESOURCES[0].wrong)])}
    answer = cast.as_owner()("POST", "/api/projects/", body)
    assert (problem(answer)[0], problem(answer)[4]) == (400, "test_account_filters__0__key")


def test_groups_of_old_clients_are_named_as_they_were_sent(cast: Cast) -> None:
    body = {"name": "old", "groups": [{"properties": [hogql(RESOURCES[2].wrong)]}]}
    answer = cast.as_owner()("POST", f"/api/projects/{cast.team.pk}/cohorts/", body)
    assert (problem(answer)[0], problem(answer)[4]) == (400, "groups")


def test_a_cohort_that_is_wrong_all_the_same_is_one_line_in_the_log(db: None) -> None:
    team = make_team()
    filters = RESOURCES[2].body([hogql(RESOURCES[2].wrong)])["filters"]
    made = Cohort.objects.for_team(team.pk).create(team_id=team.pk, name="wrong", filters=filters, version_wanted=1)
    with capture_logs() as lines:
        cohorts_calculate(seconds=5)
    found = Cohort.unscoped.get(id=made.pk)
    assert found.errors_calculating == 1
    assert found.last_error.startswith(ILLEGAL)
    line = {"cohort": made.pk, "error": "QueryMistake", "event": "cohort_filters_wrong", "log_level": "warning"}
    assert lines == [line]
