"""Rows kept in Redis: what an entry depends on, and what happens without Redis."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import orjson
import pytest
import time_machine

from core.actions.models import Action
from core.actions.steps import steps_read
from core.insights import cache
from core.insights.cache import cache_name, rows_cached
from core.insights.parameters import Parameters
from core.insights.project import InsightProject
from core.outbox.services import outbox_drain
from core.tenancy.models import Team
from events.insights.rows import ActorRow, MatchedEvent
from tests.core.insights.asking import MAY, NOON, Capture, configure, people, steps, texts, who
from tests.core.persons.conftest import Api, make_api
from tests.factories import make_team

pytestmark = pytest.mark.usefixtures("clickhouse", "valkey")
NOW = datetime(2024, 5, 2, 12, 30, tzinfo=UTC)
VIEW = {"events": steps("view"), "funnel_step": 1, **MAY}
ROWS = [
    ActorRow("a", 1.5),
    ActorRow("é", None, (MatchedEvent(uuid4(), NOON.replace(tzinfo=None, microsecond=7), "s", "w"),)),
]


@pytest.fixture
def project(team: Team) -> InsightProject:
    return InsightProject(team_id=team.id, timezone="UTC")


def name(project: InsightProject, *, endpoint: str = "funnel", now: datetime = NOW, **given: Any) -> str:
    return cache_name(Parameters(given), project, endpoint=endpoint, now=now)


class Counting:
    """Computes rows and counts how often."""

    def __init__(self, rows: list[ActorRow] = ROWS) -> None:
        self.rows, self.calls = rows, 0

    def __call__(self) -> list[ActorRow]:
        self.calls += 1
        return self.rows


def test_rows_come_back_as_they_were(project: InsightProject) -> None:
    compute = Counting()
    params = Parameters({"a": 1})
    first = rows_cached(params, project, endpoint="funnel", now=NOW, compute=compute)
    again = rows_cached(params, project, endpoint="funnel", now=NOW + timedelta(minutes=2), compute=compute)
    assert (first.is_cached, again.is_cached, compute.calls) == (False, True, 1)
    assert again.rows == first.rows == ROWS
    assert again.last_refresh == first.last_refresh == NOW


def test_an_entry_lives_for_the_seconds_of_the_setting(project: InsightProject, valkey: Any, settings: Any) -> None:
    settings.INSIGHT_CACHE_SECONDS = 77
    rows_cached(Parameters({}), project, endpoint="funnel", now=NOW, compute=Counting())
    (key,) = valkey.keys("insight:*")
    assert 70 < valkey.ttl(key) <= 77
    assert f":{project.team_id}:".encode() in key


def test_refresh_computes_and_keeps(project: InsightProject) -> None:
    compute = Counting()
    for refresh in ({}, {"refresh": True}, {"refresh": "true"}, {"refresh": ""}):
        found = rows_cached(Parameters(refresh), project, endpoint="funnel", now=NOW, compute=compute)
        assert found.is_cached is False
    assert compute.calls == 4
    for refresh in ({}, {"refresh": False}, {"refresh": "false"}, {"refresh": None}):
        found = rows_cached(Parameters(refresh), project, endpoint="funnel", now=NOW, compute=compute)
        assert found.is_cached is True


def test_nothing_is_kept_when_off(project: InsightProject, valkey: Any, settings: Any) -> None:
    settings.INSIGHT_CACHE_SECONDS = 0
    for _ in range(2):
        found = rows_cached(Parameters({}), project, endpoint="funnel", now=NOW, compute=Counting())
        assert (found.is_cached, found.rows) == (False, ROWS)
    assert valkey.keys("insight:*") == []


def test_too_many_rows_are_not_kept(project: InsightProject, valkey: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAX_BYTES", 50)
    compute = Counting([ActorRow(str(uuid4())) for _ in range(100)])
    for _ in range(2):
        found = rows_cached(Parameters({}), project, endpoint="funnel", now=NOW, compute=compute)
        assert found.rows == compute.rows
    assert compute.calls == 2
    assert valkey.keys("insight:*") == []


@pytest.mark.parametrize("entry", [b"", b"junk", b"\x78\x9c\x03\x00", b'["a"]'])
def test_an_entry_that_is_not_readable_is_computed_again(project: InsightProject, valkey: Any, entry: bytes) -> None:
    valkey.set(name(project), entry)
    found = rows_cached(Parameters({}), project, endpoint="funnel", now=NOW, compute=Counting())
    assert (found.is_cached, found.rows) == (False, ROWS)


def test_without_redis_rows_are_computed(project: InsightProject, settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    compute = Counting()
    for _ in range(3):
        assert rows_cached(Parameters({}), project, endpoint="funnel", now=NOW, compute=compute).rows == ROWS
    assert compute.calls == 3


def test_what_has_no_name_is_computed(project: InsightProject) -> None:
    deep: Any = []
    for _ in range(400):
        deep = [deep]
    for _ in range(2):
        found = rows_cached(Parameters({"unknown": deep}), project, endpoint="funnel", now=NOW, compute=Counting())
        assert (found.is_cached, found.rows) == (False, ROWS)


def test_what_an_entry_is_named_by(project: InsightProject) -> None:
    same = name(project, events=[{"id": "a", "order": 1}], limit=10)
    assert same == name(project, limit=10, events='[{"order": 1, "id": "a"}]', format="csv", refresh="true")
    assert same == name(project, limit=10, events=[{"id": "a", "order": 1}], now=NOW.replace(minute=59))
    others = [
        name(project, events=[{"id": "a", "order": 1}], limit=10, endpoint="path"),
        name(project, events=[{"id": "a", "order": 1}], limit=10, now=NOW + timedelta(minutes=30)),
        name(project, events=[{"id": "a", "order": 1}], limit=11),
        name(project, events=[{"id": "a", "order": 1}], limit=10, offset=10),
        name(project, events=[{"id": "a", "order": 2}], limit=10),
        name(project, events=[{"id": "a", "order": 1}], limit=10, cache_invalidation_key="x"),
        name(project, events=[{"id": "a", "order": 1}], limit=10, include_recordings=True),
    ]
    for more in (
        {"timezone": "Asia/Tokyo"},
        {"week_start_day": 1},
        {"test_account_filters": [1]},
        {"newest_erasure": 1},
        {"team_id": -1},
    ):
        changed = InsightProject(**{"team_id": project.team_id, "timezone": "UTC", **more})
        others.append(name(changed, events=[{"id": "a", "order": 1}], limit=10))
    assert len({same, *others}) == 1 + len(others)
    named = InsightProject(team_id=project.team_id, timezone="UTC", display_properties=("nick",))
    assert same == name(named, events=[{"id": "a", "order": 1}], limit=10)


def test_the_steps_of_actions_count(project: InsightProject, team: Team) -> None:
    action = Action.objects.for_team(team.id).create(team=team, name="a", steps=steps_read([], team_id=team.id))
    plain, before = name(project, events=["a"]), name(project, actions=[{"id": action.id}])
    action.steps = steps_read([{"event": "b"}], team_id=team.id)
    action.save()
    assert before != name(project, actions=[{"id": action.id}])
    assert plain == name(project, events=["a"])


@pytest.mark.parametrize("changed", [{"name": "b"}, {"deleted": True}, {"steps": [{"event": "b"}]}])
def test_actions_that_hogql_names_count(project: InsightProject, team: Team, changed: dict[str, Any]) -> None:
    steps = steps_read([{"event": "a"}], team_id=team.id)
    action = Action.objects.for_team(team.id).create(team=team, name="a", steps=steps)
    asked = {"events": ["a"], "properties": [{"key": "matchesAction('a')", "type": "hogql"}]}
    before = name(project, **asked)
    Action.objects.for_team(team.id).filter(id=action.id).update(**changed)
    assert before != name(project, **asked)


class TestOverHTTP:
    @pytest.fixture(autouse=True)
    def early_in_an_hour(self) -> Iterator[None]:
        """What is kept is kept for the rest of the hour at most."""
        with time_machine.travel(datetime.now(UTC).replace(minute=5), tick=True):
            yield

    def test_a_change_of_owners_is_seen_at_once(self, api: Api, capture: Capture) -> None:
        capture("ann", "view", timestamp=NOON)
        capture("phone", "view", timestamp=NOON)
        outbox_drain()
        question = texts(VIEW)
        assert who(api.get("/funnel/", **question)) == "ann phone"
        capture("ann", "$identify", merge_with="phone")
        outbox_drain()
        merged = api.get("/funnel/", **question)
        assert (who(merged), merged.json()["missing_persons"], merged.json()["is_cached"]) == ("ann", 0, False)
        (ann,) = people(merged)
        assert api.send("POST", f"/{ann['uuid']}/split/", {"distinct_ids_to_split": ["phone"]}).status_code == 200
        outbox_drain()
        assert who(api.get("/funnel/", **question)) == "ann phone"

    def test_pages_and_endpoints_are_kept_apart(self, api: Api, capture: Capture) -> None:
        for number in range(3):
            capture(f"p{number}", "view", timestamp=NOON)
        outbox_drain()
        question = texts({**VIEW, "limit": 2})
        found = [api.get("/funnel/", **question, offset=offset) for offset in (0, 2, 0)]
        assert [len(people(answer)) for answer in found] == [2, 1, 2]
        assert [answer.json()["is_cached"] for answer in found] == [False, False, True]
        assert found[2].json()["next"] == found[0].json()["next"]

    def test_get_and_post_and_both_prefixes_share_entries(self, api: Api, capture: Capture) -> None:
        capture("ann", "view", timestamp=NOON)
        outbox_drain()
        environment = make_api(api.team, tree="environments")
        found = [
            api.get("/funnel/", **texts(VIEW)),
            environment.get("/funnel/", **texts(VIEW)),
            api.send("POST", "/funnel/", {**VIEW, "funnel_step": "1"}),
        ]
        assert [answer.json()["is_cached"] for answer in found] == [False, True, True]
        assert (
            found[1].json()["initial"].startswith(f"http://testserver/api/environments/{api.team.id}/persons/funnel/?")
        )

    def test_another_project_has_entries_of_its_own(self, api: Api, capture: Capture) -> None:
        capture("ann", "view", timestamp=NOON)
        outbox_drain()
        question = texts(VIEW)
        assert who(api.get("/funnel/", **question)) == "ann"
        second = make_api(make_team(api.team.organization))
        answer = second.get("/funnel/", **question)
        assert (people(answer), answer.json()["is_cached"]) == ([], False)

    def test_new_test_accounts_count_at_once(self, api: Api, capture: Capture) -> None:
        capture("ann", "view", timestamp=NOON, properties={"agent": "bot"})
        outbox_drain()
        question = texts({**VIEW, "filter_test_accounts": True})
        assert who(api.get("/funnel/", **question)) == "ann"
        configure(api, test_account_filters=[{"key": "agent", "value": "bot", "operator": "is_not"}])
        assert people(api.get("/funnel/", **question)) == []

    def test_times_of_an_answer(self, api: Api) -> None:
        body = api.get("/funnel/", **texts(VIEW)).json()
        assert body["last_refresh"].endswith("Z")
        assert abs(datetime.fromisoformat(body["last_refresh"]) - datetime.now(UTC)) < timedelta(minutes=1)
        again = api.get("/funnel/", **texts(VIEW))
        assert orjson.loads(again.content)["last_refresh"] == body["last_refresh"]

    def test_refusals_are_not_kept(self, api: Api) -> None:
        for _ in range(2):
            assert api.get("/funnel/", **texts({**VIEW, "funnel_step": -1})).status_code == 400
