import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st

from core.definitions import services
from core.definitions.models import PropertyDefinition
from core.definitions.queries import property_types
from core.definitions.services import Known, property_definitions_add
from core.persons.ingest import IngestTeam, NewEvent, events_ingest
from core.tenancy.models import Team
from tests.core.persons.conftest import Api
from tests.factories import make_team


def defined(team: Team) -> dict[tuple[str, int | None, str], str | None]:
    rows = PropertyDefinition.objects.for_team(team.id).values_list("type", "group_type_index", "name", "property_type")
    return {row[:3]: row[3] for row in rows}


def test_keys_of_events_and_persons_are_defined(team: Team, capture: Callable[..., Any]) -> None:
    capture(
        properties={"price": 3, "tags": ["a"], "$set": {"plan": "pro"}, "$groups": {}, "$unset": []},
        set={"plan": "pro", "age": 30},
        set_once={"joined": "2024-03-05"},
    )
    assert defined(team) == {
        ("event", None, "price"): "Numeric",
        ("event", None, "tags"): None,
        ("person", None, "plan"): "String",
        ("person", None, "age"): "Numeric",
        ("person", None, "joined"): "DateTime",
    }


def test_group_identify_defines_the_properties_of_its_kind_of_group_only(
    team: Team, capture: Callable[..., Any]
) -> None:
    for kind, properties in (("company", {"size": 5}), ("office", {"size": "big"})):
        given = {"$group_type": kind, "$group_key": "x", "$group_set": properties}
        capture(name="$groupidentify", properties=given)
    assert defined(team) == {("group", 0, "size"): "Numeric", ("group", 1, "size"): "String"}
    types = property_types(team.id, ["size"])
    assert types == {("group_0", "size"): "Numeric", ("group_1", "size"): "String"}


def test_first_type_stays(team: Team, capture: Callable[..., Any]) -> None:
    capture(properties={"price": "cheap"})
    capture(properties={"price": 3})
    assert defined(team) == {("event", None, "price"): "String"}


def test_null_tells_no_type_and_the_next_value_does(team: Team, capture: Callable[..., Any]) -> None:
    capture(properties={"price": None})
    assert defined(team) == {("event", None, "price"): None}
    capture(properties={"price": 3})
    assert defined(team) == {("event", None, "price"): "Numeric"}
    assert property_types(team.id, ["price", "other"]) == {("event", "price"): "Numeric"}


def test_within_a_batch_the_first_value_with_a_type_counts(team: Team) -> None:
    assert property_definitions_add(team.id, [("event", {"a": None}), ("event", {"a": 1}), ("event", {"a": "x"})]) == 1
    assert defined(team) == {("event", None, "a"): "Numeric"}


def test_types_of_another_project_are_not_seen(team: Team, capture: Callable[..., Any]) -> None:
    capture(properties={"price": 3})
    assert property_types(make_team().id, ["price"]) == {}


def test_names_that_cannot_be_stored_are_left_out(team: Team) -> None:
    longest = "x" * 400
    property_definitions_add(team.id, [("event", {"": 1, "a\x00b": 1, "y" * 401: 1, longest: 1, "ü😀`'": 1})])
    assert set(defined(team)) == {("event", None, longest), ("event", None, "ü😀`'")}


def test_types_are_found_over_http_too(team: Team, api: Api) -> None:
    body = {
        "api_key": team.api_token,
        "event": "buy",
        "distinct_id": "ann",
        "properties": {"price": 3, "$set": {"a": True}},
    }
    assert api.client.post("/capture/", body, content_type="application/json").status_code == 200
    assert property_types(team.id, ["price", "a"]) == {("event", "price"): "Numeric", ("person", "a"): "Boolean"}


@contextmanager
def statements() -> Iterator[Callable[[], int]]:
    """Count the statements on definitions."""
    with CaptureQueriesContext(connection) as captured:
        yield lambda: sum("core_propertydefinition" in query["sql"] for query in captured.captured_queries)


@pytest.mark.django_db(transaction=True)
def test_known_keys_cost_no_statement_and_new_ones_one() -> None:
    team, known = make_team(), Known()

    def add(properties: dict[str, Any]) -> None:
        with transaction.atomic():
            property_definitions_add(team.id, [("event", properties)], known=known)

    with statements() as count:
        add({"a": 1, "b": [1]})
        assert count() == 1
        add({"a": 2, "b": None, "$set": {}})
        assert count() == 1
        add({"a": 2, "b": "typed now"})
        assert count() == 2
        add({"b": "again"})
        assert count() == 2
    assert defined(team)["event", None, "b"] == "String"


@pytest.mark.django_db(transaction=True)
def test_what_is_rolled_back_is_defined_by_the_next_who_brings_it() -> None:
    team, known = make_team(), Known()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        property_definitions_add(team.id, [("event", {"a": 1})], known=known)
        _ = 1 / 0
    assert defined(team) == {}
    with transaction.atomic():
        property_definitions_add(team.id, [("event", {"a": 1})], known=known)
    assert defined(team) == {("event", None, "a"): "Numeric"}


@pytest.mark.django_db(transaction=True)
def test_project_has_a_bounded_number_of_definitions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MAX_DEFINITIONS", 5)
    team, known = make_team(), Known()
    for start in range(0, 20, 4):
        with transaction.atomic():
            sightings = [("event", {f"k{number:02}": 1 for number in range(start, start + 4)})]
            property_definitions_add(team.id, sightings, known=known)  # type: ignore[arg-type]
    assert [name for _, _, name in sorted(defined(team))] == ["k00", "k01", "k02", "k03", "k04"]
    with statements() as count, transaction.atomic():
        property_definitions_add(team.id, [("event", {"another": 1})], known=known)
        assert count() == 0
    other = make_team()
    with transaction.atomic():
        property_definitions_add(other.id, [("event", {"another": 1})], known=known)
    assert defined(other) == {("event", None, "another"): "Numeric"}


@pytest.mark.django_db(transaction=True)
def test_batches_with_the_same_new_keys_in_other_orders_do_not_deadlock() -> None:
    team = make_team()
    names = [f"k{number}" for number in range(200)]
    failures: list[BaseException] = []
    start = threading.Barrier(4)

    def run(number: int) -> None:
        try:
            start.wait(60)
            for part in range(20):
                keys = names[part * 10 : part * 10 + 10]
                properties = dict.fromkeys(keys if number % 2 else reversed(keys), part)
                event = NewEvent(
                    uuid=uuid4(),
                    event="click",
                    distinct_id=f"who-{threading.get_ident()}",
                    timestamp=datetime.now(UTC),
                    properties=properties,
                )
                events_ingest(team=IngestTeam(team.id), events=[event])
        except BaseException as error:  # noqa: BLE001 - reported by the test
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    assert not failures
    assert len(defined(team)) == 200


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), st.dictionaries(st.sampled_from("abcdefgh"), st.just(1))), max_size=30))
def test_known_names_are_bounded_and_forget_the_oldest_project(batches: list[tuple[int, dict[str, int]]]) -> None:
    known = Known(most=12)
    for team_id, properties in batches:
        unseen = known.unseen(team_id, [("person", properties)])
        known.remember(team_id, unseen, full=False)
        # What was just remembered is known, unless it is more than all of it may be.
        assert not known.unseen(team_id, [("person", properties)])
        assert len(known) <= 12
