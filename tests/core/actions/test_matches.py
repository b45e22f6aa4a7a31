"""Which events an action matches: its steps on ClickHouse, over events as they were captured."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.actions.models import Action
from core.actions.queries import action_matches
from core.api.errors import Invalid
from core.outbox.services import outbox_drain
from core.tenancy.models import Team
from events.filters.tree import NOTHING
from events.insights.entities import Entity, EventMatch
from events.insights.source import EventScope, Source
from events.insights.statement import Statement
from tests.core.actions.conftest import Api

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("clickhouse")]

type Capture = Callable[..., str]

BUY = {"tag_name": "button", "$el_text": "Buy now", "attr__class": "btn big", "attr__id": "buy", "nth_child": 2}
LINK = {"tag_name": "a", "$el_text": "Read", "attr__href": "/docs/intro?x=1", "attr__class": "nav"}
BODY = {"tag_name": "body", "attr__class": "page"}


def matched(api: Api, *steps: Any) -> set[str]:
    """Make an action of these steps and return the uuids of the events that it matches."""
    outbox_drain()
    number = api.make(steps=list(steps))["id"]
    matches = action_matches(team_id=api.team.id, ids=[number])[number]
    assert len(matches) == len(steps)
    statement = Statement()
    entity = Entity("actions", number, matches)
    source = Source(EventScope(api.team.id, None, None, "UTC"), statement)
    where = source.condition(entity)
    sql = source.select({"uuid": "toString(e.uuid)"}, entities=[entity], where=where)
    return {uuid for (uuid,) in statement.rows(f"SELECT uuid FROM ({sql})")}  # noqa: S608 values are bound


def test_an_event_matches_by_name(api: Api, capture: Capture) -> None:
    buy, sell = capture("buy"), capture("sell")
    assert matched(api, {"event": "buy"}) == {buy}
    assert matched(api, {"event": "buy"}, {"event": "sell"}, {"event": "other"}) == {buy, sell}
    assert matched(api, {}) == matched(api, {"event": ""}) == {buy, sell}
    assert matched(api) == set()


URLS = ("https://a.example/Shop/cart?x=1", "https://a.example/shop/50%25_off", "https://b.example/", "", None)


@pytest.mark.parametrize(
    ("url", "matching", "expected"),
    [
        ("/shop", None, {1}),
        ("/shop", "contains", {1}),
        ("a.example", "contains", {0, 1}),
        ("a_example", "contains", {0, 1}),
        ("a.example/%cart", "contains", {0}),
        ("example%%off", "contains", {1}),
        ("(", "contains", set()),
        ("cart?x=1", "contains", {0}),
        ("https://b.example/", "exact", {2}),
        ("https://b.example", "exact", set()),
        (r"^https://[ab]\.example/[sS]", "regex", {0, 1}),
        ("cart?x=1", "regex", set()),
        ("", "exact", {0, 1, 2, 3, 4}),
        (None, "regex", {0, 1, 2, 3, 4}),
    ],
)
def test_an_event_matches_by_url(
    api: Api, capture: Capture, url: str | None, matching: str, expected: set[int]
) -> None:
    uuids = [capture("$pageview", **({} if one is None else {"$current_url": one})) for one in URLS]
    found = matched(api, {"event": "$pageview", "url": url, "url_matching": matching})
    assert found == {uuids[number] for number in expected}


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ({"text": "Buy now"}, {"buy"}),
        ({"text": "buy now"}, set()),
        ({"text": "Buy"}, set()),
        ({"text": "buy", "text_matching": "contains"}, {"buy"}),
        ({"text": "^(Buy|Read)", "text_matching": "regex"}, {"buy", "link"}),
        ({"href": "/docs/intro?x=1"}, {"link"}),
        ({"href": "/DOCS", "href_matching": "contains"}, {"link"}),
        ({"href": "docs", "href_matching": "exact"}, set()),
        ({"href": r"intro\?", "href_matching": "regex"}, {"link"}),
        ({"tag_name": "button"}, {"buy"}),
        ({"tag_name": "body"}, {"buy", "link"}),
        ({"selector": ".page .btn"}, {"buy"}),
        ({"selector": "#buy"}, {"buy"}),
        ({"selector": "body > a.nav"}, {"link"}),
        ({"selector": "button.btn.big:nth-child(2)"}, {"buy"}),
        ({"selector": "button", "text": "Read"}, set()),
        ({"selector": "button", "text": "Buy now", "tag_name": "body"}, {"buy"}),
        ({"event": "$autocapture", "text": "Buy now"}, {"buy"}),
        ({"event": "click", "text": "Buy now"}, set()),
    ],
)
def test_an_event_matches_by_its_elements(api: Api, capture: Capture, step: dict[str, Any], expected: set[str]) -> None:
    uuids = {
        "buy": capture("$autocapture", **{"$elements": [BUY, BODY]}),
        "link": capture("$autocapture", **{"$elements": [LINK, BODY]}),
        "none": capture("click", text="Buy now"),
    }
    assert matched(api, step) == {uuids[name] for name in expected}


def test_all_of_a_step_and_any_of_the_steps_must_hold(api: Api, capture: Capture) -> None:
    plan = {"key": "plan", "value": ["pro", "team"]}
    size = {"key": "size", "value": 3, "operator": "gt", "type": "event"}
    a = capture("buy", plan="pro", size=5, **{"$current_url": "/x"})
    b = capture("buy", plan="pro", size=2, **{"$current_url": "/x"})
    c = capture("sell", plan="free", size=9, **{"$current_url": "/y"})
    whole = {"event": "buy", "properties": [plan, size], "url": "/x"}
    assert matched(api, whole) == {a}
    assert matched(api, whole, {"url": "/y", "url_matching": "exact"}) == {a, c}
    either = {"type": "OR", "values": [plan, size]}
    assert matched(api, {"properties": [either]}) == {a, b, c}
    assert matched(api, {"properties": [either], "event": "sell"}) == {c}
    assert matched(api, {"properties": []}) == {a, b, c}


def test_persons_and_cohorts_may_be_asked_for(api: Api, capture: Capture) -> None:
    from core.persons.models import Person

    ann, ben = capture("buy"), capture("buy", "ben")
    cohort = api.send("POST", "/cohorts/", {"name": "x", "is_static": True}).json()["id"]
    person = Person.objects.for_team(api.team.id).get(distinct_id_rows__distinct_id="ben")
    path = f"/cohorts/{cohort}/add_persons_to_static_cohort/"
    assert api.send("PATCH", path, {"person_ids": [str(person.uuid)]}).status_code == 200
    path = f"/persons/{person.pk}/"
    assert api.send("PATCH", path, {"properties": {"plan": "pro"}}).status_code == 200
    by_cohort = {"event": "buy", "properties": [{"key": "id", "type": "cohort", "value": cohort}]}
    by_person = {
        "event": "buy",
        "properties": [{"key": "plan", "type": "person", "value": "pro", "operator": "is_not"}],
    }
    assert matched(api, by_cohort) == {ben}
    assert matched(api, by_person) == {ann}
    number = api.make(steps=[by_cohort, {"event": "buy"}])["id"]
    assert api.send("DELETE", f"/cohorts/{cohort}/").status_code == 204
    matches = action_matches(team_id=api.team.id, ids=[number])[number]
    assert matches == (EventMatch("buy", NOTHING), EventMatch("buy"))


def test_actions_that_are_not_there_have_no_entry(api: Api, stranger: Api) -> None:
    mine, empty, deleted = (api.make(steps=steps)["id"] for steps in ([{"event": "a"}], [], [{}]))
    api.send("DELETE", f"/actions/{deleted}/")
    theirs = stranger.make(steps=[{}])["id"]
    ids = [mine, empty, deleted, theirs, 2**62, 2**64, -1, mine]
    assert action_matches(team_id=api.team.id, ids=ids) == {mine: (EventMatch("a"),), empty: ()}
    assert action_matches(team_id=api.team.id, ids=[]) == {}


def test_one_statement_reads_all(api: Api) -> None:
    path = {"key": "p", "operator": "is_cleaned_path_exact", "value": "/a/1"}
    ids = [api.make(steps=[{"url": "x", "text": "y", "properties": [path]}] * 3)["id"] for _ in range(5)]
    with CaptureQueriesContext(connection) as asked:
        assert len(action_matches(team_id=api.team.id, ids=ids)) == 5
    assert len(asked) == 1


def test_relative_dates_count_from_now(api: Api, capture: Capture) -> None:
    now = datetime.now(UTC)
    recent, _ = (capture("buy", at=(now - timedelta(days=days)).isoformat()) for days in (1, 3))
    step = {"properties": [{"key": "at", "operator": "is_date_after", "value": "-2d"}]}
    assert matched(api, step) == {recent}


def test_cleaned_paths_follow_the_rules_of_the_project(api: Api, team: Team, capture: Capture) -> None:
    team.settings = {**team.settings, "path_cleaning_filters": [{"regex": r"\d+", "alias": "<n>"}, "odd"]}
    team.save()
    one, _ = capture("buy", p="/a/1"), capture("buy", p="/b/1")
    step = {"properties": [{"key": "p", "operator": "is_cleaned_path_exact", "value": "/a/2"}]}
    assert matched(api, step) == {one}
    number = api.make(steps=[step])["id"]
    team.settings["path_cleaning_filters"] = [{"regex": "a", "alias": "\\1"}]
    team.save()
    with pytest.raises(Invalid) as refused:
        action_matches(team_id=team.id, ids=[number])
    assert (refused.value.attr, f"Action {number} cannot be used" in refused.value.detail) == ("actions", True)


def test_fifty_steps_with_a_condition_fit_a_statement(api: Api, capture: Capture) -> None:
    uuid = capture("buy", **{"$current_url": "/49/"})
    assert matched(api, *({"event": "buy", "url": f"/{number}/"} for number in range(50))) == {uuid}
    selectors = [{"selector": ".a > .b .c > .d .e"}] * 50
    assert matched(api, *selectors) == set()


def test_what_is_stored_can_be_read_again(api: Api) -> None:
    """Every action that the API accepts is usable: nothing is checked on writing that would differ on reading."""
    steps = [
        {"event": "a" * 1000, "tag_name": "Ж", "text": "\"'\\", "href": "{x:String}", "url": "%(a)s%%_\\"},
        {"url": "a" * 900 + "%" * 100, "selector": '[data-x="\\"q"]', "properties": [{"key": "\0", "value": "\0"}]},
    ]
    assert matched(api, *steps) == set()
    assert Action.unscoped.filter(team_id=api.team.id).count() == 1
