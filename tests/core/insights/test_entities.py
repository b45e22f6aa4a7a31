"""Series, steps and targets of a request."""

from typing import Any

import orjson
import pytest

from core.actions.models import Action
from core.actions.steps import steps_read
from core.api.errors import Invalid
from core.insights.entities import (
    MAX_ENTITIES,
    NO_ENTITY,
    NO_ID_AND_TYPE,
    group_type_index,
    read_entities,
    read_entity,
    read_entity_list,
    target_entity,
)
from core.insights.filters import MIXED, UNPARSABLE
from core.insights.parameters import Parameters
from core.insights.project import InsightProject
from core.tenancy.models import Team
from events.filters.grammar import PropertyFilter
from events.insights.entities import Entity, EventMatch
from tests.factories import make_team

PROJECT = InsightProject(team_id=1, timezone="UTC")


@pytest.fixture
def team(db: None) -> Team:
    return make_team()


def action(team: Team, *events: str | None) -> Action:
    steps = steps_read([{"event": event} for event in events], team_id=team.id)
    return Action.objects.for_team(team.id).create(team=team, name=" ".join(map(str, events)), steps=steps)


def ids(project: InsightProject = PROJECT, **given: Any) -> list[Any]:
    return [entity.id for entity in read_entities(Parameters(given), project)]


def refused(given: dict[str, Any], project: InsightProject = PROJECT, read: Any = read_entities) -> tuple[str, Any]:
    with pytest.raises(Invalid) as caught:
        read(Parameters(given), project)
    return caught.value.detail, caught.value.attr


def event(name: str | None, **fields: Any) -> dict[str, Any]:
    return {"id": name, **fields}


def test_events_come_in_their_order() -> None:
    assert ids(events=[event("c", order=2), event("a", order=0), event("b", order=1)]) == ["a", "b", "c"]
    assert ids(events=[event("b", order=1), event("a"), event("z", order=None)]) == ["a", "z", "b"]
    assert ids(events=[event("b", order="1"), event("a", order=-1)]) == ["a", "b"]
    assert ids(events=orjson.dumps([event("a"), event(None)]).decode()) == ["a", None]
    assert ids() == ids(events=[]) == ids(events="") == []


def test_an_action_comes_before_an_event_of_the_same_order(team: Team) -> None:
    found = action(team, "sign up", "sign in")
    project = InsightProject(team_id=team.id, timezone="UTC")
    actions = [{"id": str(found.id), "order": 0}, {"id": found.id, "order": 1}]
    given = {"events": [event("a", order=0), event("b", order=1)], "actions": actions}
    assert ids(project, **given) == [found.id, "a", found.id, "b"]
    first = read_entities(Parameters(given), project)[0]
    assert first == Entity("actions", found.id, (EventMatch("sign up"), EventMatch("sign in")))


def test_actions_are_of_the_project(team: Team, django_assert_num_queries: Any) -> None:
    mine, other = action(team, "a"), action(make_team(), "a")
    gone = action(team, "b")
    Action.objects.for_team(team.id).filter(id=gone.id).update(deleted=True)
    project = InsightProject(team_id=team.id, timezone="UTC")
    for number in (other.id, gone.id, 10**15, -1):
        detail, attr = refused({"actions": [{"id": mine.id}, {"id": number}]}, project)
        assert (detail, attr) == (f"There is no action {number} in this project.", "actions")
    with django_assert_num_queries(1):
        assert len(read_entities(Parameters({"actions": [{"id": mine.id}] * 20}), project)) == 20


def test_what_an_entity_says() -> None:
    (entity,) = read_entities(Parameters({"events": [event(
        "a", math="sum", math_property="price", math_group_type_index="2", custom_name="x",
        properties=[{"key": "k", "value": "v"}],
    )]}), PROJECT)  # fmt: skip
    assert (entity.math, entity.math_property, entity.math_group_type_index) == ("sum", "price", 2)
    assert isinstance(entity.filter, PropertyFilter)
    assert (entity.filter.key, entity.filter.type) == ("k", "event")
    assert entity.matches == (EventMatch("a"),)
    assert read_entities(Parameters({"events": [event("a", math=None, properties=None)]}), PROJECT)[0].math == "total"


@pytest.mark.parametrize(
    "entity",
    [
        {}, {"type": "events"}, {"id": 7}, {"id": ["a"]}, {"id": {}}, {"id": True}, "a", None, 3, [],
        {"id": "a", "order": "first"}, {"id": "a", "order": [1]}, {"id": "a", "math": 3},
        {"id": "a", "math": "m" * 500}, {"id": "a", "math_group_type_index": 5},
        {"id": "a", "math_group_type_index": "x"},
        {"id": "a", "properties": [{"key": "k", "value": "(", "operator": "regex"}]},
        {"id": "a", "properties": [{"key": "k", "value": "v", "operator": "like"}]},
    ],
)  # fmt: skip
def test_what_is_no_entity(entity: Any) -> None:
    detail, attr = refused({"events": [entity]})
    assert attr == "events"
    assert detail


@pytest.mark.parametrize("number", [None, "a", 1.5, True, [], 10**20])
def test_what_is_no_action(number: Any) -> None:
    assert refused({"actions": [{"id": number}]})[1] == "actions"


def test_lists_that_are_none() -> None:
    assert refused({"events": "[{"})[1] == "events"
    assert refused({"events": {"id": "a"}})[0] == 'Expected a list of items but got type "dict".'
    assert refused({"events": [event("a")] * (MAX_ENTITIES + 1)})[1] == "events"
    assert refused({"events": [event("a", properties="[{")]})[:2] == (UNPARSABLE, None)
    mixed = {"type": "AND", "values": [{"key": "k", "value": 1}, {"type": "OR", "values": []}]}
    assert refused({"events": [event("a", properties=mixed)]})[:2] == (MIXED, None)


def test_single_entities_and_lists_in_their_own_order() -> None:
    assert read_entity('{"id": "a"}', attr="target_entity", project=PROJECT).id == "a"
    assert read_entity({"id": None, "type": "events"}, attr="target_entity", project=PROJECT).id is None
    for value in (None, "", "[]", {"type": "events"}, {"id": "a", "type": "table"}, "{"):
        with pytest.raises(Invalid) as caught:
            read_entity(value, attr="target_entity", project=PROJECT)
        assert caught.value.attr == "target_entity"
    given = [event("b", order=2, extra=1), event("a", order=1)]
    found = read_entity_list(given, attr="exclusions", project=PROJECT)
    assert [(entity.id, sent) for entity, sent in found] == [("b", given[0]), ("a", given[1])]
    assert read_entity_list(None, attr="exclusions", project=PROJECT) == []


SERIES = {"events": [event("a", order=1), event("a", math="dau", order=2), event(None, order=3), event("b", order=0)]}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"entity_order": 0}, ("b", "total")),
        ({"entity_order": "2"}, ("a", "dau")),
        ({"entity_order": 0, "entity_id": "a", "entity_type": "events"}, ("b", "total")),
        ({"entity_id": "a"}, ("a", "total")),
        ({"entity_id": "a", "entity_type": "events", "entity_math": "dau"}, ("a", "dau")),
        ({"entityId": "a", "type": "events"}, ("a", "total")),
        ({"entity_type": "events"}, (None, "total")),
        ({"entity_id": "new", "entity_type": "events", "entity_math": "sum"}, ("new", "sum")),
    ],
)
def test_targets(given: dict[str, Any], found: tuple[Any, str]) -> None:
    entity = target_entity(Parameters({**SERIES, **given}), PROJECT)
    assert (entity.id, entity.math) == found


def test_a_target_has_the_properties_of_its_series() -> None:
    series = {"events": [event("a", properties=[{"key": "k", "value": "v"}])]}
    assert target_entity(Parameters({**series, "entity_id": "a"}), PROJECT).filter is not None
    assert target_entity(Parameters({"entity_id": "a", "entity_type": "events"}), PROJECT).filter is None


def test_a_target_may_be_an_action(team: Team) -> None:
    found = action(team, "x")
    project = InsightProject(team_id=team.id, timezone="UTC")
    entity = target_entity(Parameters({"entity_id": str(found.id), "entity_type": "actions"}), project)
    assert entity.matches == (EventMatch("x"),)
    same = Parameters({"actions": [{"id": found.id, "math": "dau"}], "entity_id": found.id, "entity_type": "actions"})
    assert target_entity(same.replaced(entity_math="dau"), project).math == "dau"


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        ({}, (NO_ID_AND_TYPE, None)),
        ({"entity_id": "unknown"}, (NO_ENTITY, None)),
        ({"entity_type": "actions"}, (NO_ID_AND_TYPE, None)),
        ({"entity_id": "x", "entity_type": "tables"}, ('"tables" is not a valid choice.', "entity_type")),
        ({"entity_id": "x", "entity_type": "actions"}, ("A valid integer is required.", "entity_id")),
        ({"entity_order": 4}, ("There is no entity at position 4.", "entity_order")),
        ({"entity_order": -1}, ("There is no entity at position -1.", "entity_order")),
        ({"entity_order": "first"}, ("A valid integer is required.", "entity_order")),
    ],
)
def test_no_target(given: dict[str, Any], refusal: tuple[str, Any]) -> None:
    assert refused({**SERIES, **given}, read=target_entity) == refusal


def test_group_types() -> None:
    assert [group_type_index(value, attr="it") for value in (None, "", 0, "4")] == [None, None, 0, 4]
    for value in (5, -1, "x", True, []):
        with pytest.raises(Invalid):
            group_type_index(value, attr="it")
