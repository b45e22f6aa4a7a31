"""Actors of an answer: persons and groups as they are now, their order, their recordings."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from core.api.errors import Invalid
from core.deletions.models import DeletionRequest
from core.insights import people as loading
from core.insights.answers import Shown, actors_of, envelope
from core.insights.project import InsightProject, project_of
from core.outbox.services import outbox_drain
from core.persons.date_range import DateRange
from core.persons.models import Group, Person
from core.tenancy.context import TeamContext
from core.tenancy.models import Team
from events.insights.rows import ActorRow, MatchedEvent
from tests.core.capture.helpers import assert_accepted, post
from tests.core.capture.test_recordings import snapshot
from tests.core.insights.asking import DAY, MAY, NOON, Capture, asked, configure, journey, people, steps, texts, who
from tests.core.persons.conftest import Api
from tests.factories import make_team

MILLISECOND = timedelta(milliseconds=1)
RANGE = DateRange(datetime(2024, 5, 1, tzinfo=UTC), datetime(2024, 5, 31, tzinfo=UTC))
VIEW = {"events": steps("view"), "funnel_step": 1}


@pytest.fixture
def project(team: Team) -> InsightProject:
    return InsightProject(team_id=team.id, timezone="UTC")


def person(team: Team, number: int, *, created: datetime = NOON) -> str:
    uuid = UUID(int=number)
    Person.objects.for_team(team.id).create(team=team, uuid=uuid, created_at=created)
    return str(uuid)


def shown(project: InsightProject, *rows: ActorRow, **more: Any) -> list[Any]:
    return actors_of(Shown(rows=rows, **more), project=project)


class TestOrder:
    def test_the_newest_first_then_by_id(self, team: Team, project: InsightProject) -> None:
        old, new = person(team, 9, created=NOON - DAY), person(team, 8, created=NOON + DAY)
        same = [person(team, number) for number in (3, 1, 2)]
        found = shown(project, *(ActorRow(uuid) for uuid in [old, *same, new]))
        assert [one["id"] for one in found] == [new, *sorted(same), old]
        assert {one["value_at_data_point"] for one in found} == {None}

    def test_the_largest_value_first(self, team: Team, project: InsightProject) -> None:
        low, high = person(team, 1, created=NOON + DAY), person(team, 2, created=NOON - DAY)
        middle = [person(team, 3), person(team, 4, created=NOON + DAY), person(team, 5)]
        rows = [ActorRow(low, -1.5), *(ActorRow(uuid, 0) for uuid in middle), ActorRow(high, 7)]
        found = shown(project, *rows)
        assert [one["id"] for one in found] == [high, middle[1], middle[0], middle[2], low]
        assert [one["value_at_data_point"] for one in found] == [7, 0, 0, 0, -1.5]


class TestMissing:
    def test_who_is_no_more_is_counted(self, team: Team, project: InsightProject) -> None:
        rows = [ActorRow(person(team, 1)), ActorRow(str(uuid4())), ActorRow(str(UUID(int=0)))]
        found = shown(project, *rows)
        answer = envelope(found, rows=len(rows), following=None, first="here")
        assert (answer["missing_persons"], answer["results"][0]["count"]) == (2, 1)

    def test_persons_of_other_teams_are_missing(self, project: InsightProject) -> None:
        assert shown(project, ActorRow(person(make_team(), 1))) == []

    def test_a_page_is_one_statement(self, team: Team, project: InsightProject, django_assert_num_queries: Any) -> None:
        rows = [ActorRow(person(team, number)) for number in range(1, 40)]
        with django_assert_num_queries(1):
            assert len(shown(project, *rows)) == 39
        with django_assert_num_queries(0):
            assert shown(project) == []


def test_a_large_page_is_read_in_parts_and_bounded(
    team: Team, project: InsightProject, django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "AT_ONCE", 3)
    rows = [ActorRow(person(team, number)) for number in range(1, 9)]
    with django_assert_num_queries(3):
        assert len(shown(project, *rows)) == 8
    Person.objects.for_team(team.id).filter(uuid=UUID(int=8)).update(properties={"text": "x" * 100})
    monkeypatch.setattr(loading, "MAX_BYTES", 100)
    with pytest.raises(Invalid) as caught:
        shown(project, *rows)
    assert caught.value.attr == "limit"


def test_names_are_those_of_the_project(team: Team) -> None:
    uuid = person(team, 1)
    Person.objects.for_team(team.id).update(properties={"email": "a@b.c", "nick": "Al"})
    (plain,) = shown(InsightProject(team_id=team.id, timezone="UTC"), ActorRow(uuid))
    (named,) = shown(InsightProject(team_id=team.id, timezone="UTC", display_properties=("nick",)), ActorRow(uuid))
    assert (plain["name"], named["name"]) == ("a@b.c", "Al")


@pytest.mark.usefixtures("clickhouse")
class TestGroups:
    @pytest.fixture
    def companies(self, capture: Capture) -> None:
        """Acme and Umbrella are described, Initech is not; a view of Ann's belongs to none."""
        for key, fields in (("acme", {"name": "Acme Inc"}), ("umbrella", {"slug": "red-white"})):
            properties = {"$group_type": "company", "$group_key": key, "$group_set": fields}
            capture("admin", "$groupidentify", properties=properties)
        for who_, key in (("ann", "acme"), ("ben", "acme"), ("cleo", "umbrella"), ("dan", "initech"), ("eve", "")):
            capture(who_, "view", timestamp=NOON, properties={"$groups": {"company": key}})
        capture("ann", "view", timestamp=NOON)

    @pytest.mark.usefixtures("companies")
    def test_groups_are_actors(self, api: Api) -> None:
        answer = asked(api, **VIEW, aggregation_group_type_index=0)
        found = {one["id"]: one for one in people(answer)}
        assert sorted(found) == ["acme", "umbrella"]
        assert answer.json()["missing_persons"] == 1
        stored = Group.objects.for_team(api.team.id).get(group_key="acme")
        acme = dict(found["acme"])
        assert datetime.fromisoformat(acme.pop("created_at")) == stored.created_at
        assert acme == {
            "id": "acme",
            "type": "group",
            "group_type_index": 0,
            "group_key": "acme",
            "matched_recordings": [],
            "properties": {"name": "Acme Inc"},
            "value_at_data_point": None,
        }

    @pytest.mark.usefixtures("companies")
    @pytest.mark.parametrize(("text", "found"), [("ACME", ["acme"]), ("d-white", ["umbrella"]), ("nobody", [])])
    def test_search_looks_at_their_names_and_slugs(self, api: Api, text: str, found: list[str]) -> None:
        answer = asked(api, **VIEW, aggregation_group_type_index=0, search=text)
        assert [one["id"] for one in people(answer)] == found

    @pytest.mark.usefixtures("companies")
    def test_of_another_type_or_none(self, api: Api) -> None:
        assert people(asked(api, **VIEW, aggregation_group_type_index=1)) == []
        for index in (5, -1, "x"):
            answer = asked(api, **VIEW, aggregation_group_type_index=index)
            assert (answer.status_code, answer.json()["attr"]) == (400, "aggregation_group_type_index")


@pytest.mark.usefixtures("clickhouse")
class TestWho:
    @pytest.mark.parametrize(
        ("text", "found"),
        [("EXAMPLE.org", "ann@example.org"), ("zoe", "Zoe B"), ("EN-1", "ben-1"), ("%", ""), ("_", ""), (" ", None)],
    )
    def test_search(self, api: Api, capture: Capture, text: str, found: str | None) -> None:
        capture("u1", "view", timestamp=NOON, set={"email": "ann@example.org"})
        capture("u2", "view", timestamp=NOON, set={"name": "Zoe B"})
        capture("ben-1", "view", timestamp=NOON)
        expected = "Zoe B ann@example.org ben-1" if found is None else found
        assert who(asked(api, **VIEW, search=text)) == expected

    def test_without_test_accounts(self, api: Api, capture: Capture) -> None:
        capture("ann", "view", timestamp=NOON, set={"email": "ann@example.org"})
        capture("dev", "view", timestamp=NOON, set={"email": "dev@shop.test"})
        capture("bot", "view", timestamp=NOON, properties={"agent": "bot"})
        accounts = [
            {"key": "email", "value": "@shop.test", "operator": "not_icontains", "type": "person"},
            {"key": "agent", "value": "bot", "operator": "is_not"},
        ]
        configure(api, test_account_filters=accounts)
        assert who(asked(api, **VIEW, filter_test_accounts="true")) == "ann@example.org"
        assert who(asked(api, **VIEW)) == "ann@example.org bot dev@shop.test"

    def test_bad_searches(self, api: Api) -> None:
        for text in ("x" * 1001, "[1"):
            answer = asked(api, **VIEW, search=text)
            assert answer.status_code in {200, 400}, answer.content
        assert asked(api, **VIEW, search="a\0b").status_code == 200


@pytest.mark.usefixtures("clickhouse")
class TestRecordings:
    SESSION = "01990000-1111-7222-8333-444444444444"

    def record(self, team: Team, who_: str, session: str, at: datetime, *, seconds: int = 1) -> None:
        stamp = int(at.timestamp() * 1000)
        items = [
            {"type": 4, "data": {}, "timestamp": stamp},
            {"type": 3, "data": {}, "timestamp": stamp + seconds * 1000},
        ]
        assert_accepted(post("/s/", [snapshot(team, items, distinct_id=who_, **{"$session_id": session})]))
        outbox_drain()

    def matched(self, project: InsightProject, actor: str, *events: MatchedEvent, dates: DateRange = RANGE) -> Any:
        (found,) = shown(project, ActorRow(actor, events=events), dates=dates)
        return [(one["session_id"], len(one["events"])) for one in found["matched_recordings"]]

    def event(self, session: str = SESSION, at: datetime = NOON) -> MatchedEvent:
        return MatchedEvent(uuid4(), at.replace(tzinfo=None), session, "window")

    def test_events_by_session(self, api: Api, project: InsightProject) -> None:
        uuid = person(api.team, 1)
        other = "01990000-1111-7222-8333-555555555555"
        for session in (self.SESSION, other):
            self.record(api.team, "ann", session, NOON)
        first, second, third = self.event(), self.event(other), self.event(at=NOON + MILLISECOND)
        nowhere = (self.event(""), self.event("01990000-1111-7222-8333-666666666666"))
        (found,) = shown(project, ActorRow(uuid, events=(first, second, *nowhere, third)), dates=RANGE)
        assert found["matched_recordings"] == [
            {"session_id": self.SESSION, "events": [
                {"uuid": one.uuid, "timestamp": one.timestamp.replace(tzinfo=UTC), "window_id": "window"}
                for one in (first, third)
            ]},
            {"session_id": other, "events": [
                {"uuid": second.uuid, "timestamp": second.timestamp.replace(tzinfo=UTC), "window_id": "window"}
            ]},
        ]  # fmt: skip
        (found,) = shown(project, ActorRow(uuid, events=(first,)))
        assert found["matched_recordings"] == []

    @pytest.mark.parametrize(
        ("begin", "seconds", "count"),
        [
            (RANGE.since - DAY, 1, 1),
            (RANGE.since - DAY - MILLISECOND, 1, 0),
            (RANGE.until + DAY - timedelta(seconds=5), 5, 1),
            (RANGE.until + DAY - timedelta(seconds=5), 6, 0),
        ],
    )
    def test_sessions_lie_within_the_dates_and_a_day(
        self, api: Api, project: InsightProject, begin: datetime, seconds: int, count: int
    ) -> None:
        uuid = person(api.team, 1)
        self.record(api.team, "ann", self.SESSION, begin, seconds=seconds)
        assert len(self.matched(project, uuid, self.event())) == count

    def test_of_the_team_only(self, project: InsightProject, team: Team) -> None:
        self.record(make_team(), "ann", self.SESSION, NOON)
        assert self.matched(project, person(team, 1), self.event()) == []

    def test_recordings_to_be_erased_are_not_shown(self, api: Api, capture: Capture) -> None:
        properties = {"$session_id": self.SESSION, "$window_id": "w"}
        ann = capture("ann", "view", timestamp=NOON, properties=properties)
        capture("ben", "view", timestamp=NOON, properties=properties)
        self.record(api.team, "ann", self.SESSION, NOON)
        question = {**VIEW, "include_recordings": "true"}

        def sessions() -> dict[str, list[str]]:
            found = people(asked(api, **question))
            return {one["name"]: [two["session_id"] for two in one["matched_recordings"]] for one in found}

        assert sessions() == {"ann": [self.SESSION], "ben": [self.SESSION]}
        assert api.send("POST", f"/{ann.uuid}/delete_recordings/").status_code == 200
        assert DeletionRequest.objects.for_team(api.team.id).exists()
        assert sessions() == {"ann": [], "ben": [self.SESSION]}


@pytest.mark.usefixtures("clickhouse")
def test_a_person_that_goes_is_not_shown_from_the_cache(api: Api, capture: Capture, valkey: object) -> None:
    ann = capture("ann", "view", timestamp=NOON)
    capture("ben", "view", timestamp=NOON)
    outbox_drain()
    question = texts({**MAY, **VIEW})
    assert who(api.get("/funnel/", **question)) == "ann ben"
    assert api.send("DELETE", f"/{ann.uuid}/").status_code == 204
    answer = api.get("/funnel/", **question)
    assert who(answer) == "ben"
    journey(capture, "cleo", "other")
    assert api.send("PATCH", f"/{capture('ben', 'other').uuid}/", {"properties": {"name": "Ben"}}).status_code == 200
    assert who(api.get("/funnel/", **question)) == "Ben"


def test_the_settings_of_a_project(api: Api) -> None:
    accounts = [{"key": "email", "value": "x", "type": "person", "operator": "exact"}]
    rules = [{"regex": "a", "alias": "b"}]
    configure(api, timezone="Asia/Tokyo", week_start_day=1, test_account_filters=accounts, path_cleaning_filters=rules)
    team = Team.objects.get(id=api.team.id)
    context = TeamContext(
        id=team.id,
        organization_id=team.organization_id,
        api_token=team.api_token,
        name=team.name,
        timezone=team.timezone,
        person_display_name_properties=("nick",),
        person_processing_opt_out=False,
        anonymize_ips=False,
        ingested_event=True,
        rate_limits=None,
    )
    found = project_of(context)
    assert (found.timezone, found.week_start_day, found.display_properties) == ("Asia/Tokyo", 1, ("nick",))
    assert (found.test_account_filters, found.path_cleaning_filters) == (accounts, tuple(rules))
