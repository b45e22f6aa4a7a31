"""Cohorts of those of whom a HogQL expression on persons is true."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from core.cohorts import calculation
from core.cohorts.models import Cohort
from core.outbox.services import outbox_drain
from core.persons.models import Person
from tests.core.cohorts.conftest import Api, calculate, in_cohort, members

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("clickhouse")]

type Maker = Callable[..., Person]


def hogql(text: Any, *more: dict[str, Any]) -> dict[str, Any]:
    return {"properties": {"type": "AND", "values": [{"type": "hogql", "key": text}, *more]}}


def refresh() -> None:
    """Calculate as if the last calculation were long ago."""
    outbox_drain()
    Cohort.unscoped.update(last_calculation=datetime(2020, 1, 1, tzinfo=UTC))
    calculate()


@pytest.mark.parametrize("portion", [1, 2, 5000])
def test_who_it_is_true_of_joins_and_leaves(
    api: Api, stranger: Api, person: Maker, monkeypatch: pytest.MonkeyPatch, portion: int
) -> None:
    monkeypatch.setattr(calculation, "PORTION", portion)
    ann, bob, cid = (person(who, age=age) for who, age in (("ann", 20), ("bob", 30), ("cid", 40)))
    person("ann", team_id=stranger.team.id, age=50)
    outbox_drain()
    made = api.make(filters=hogql("toFloat(properties.age) > 25"))
    calculate()
    assert members(made["id"]) == {bob.uuid, cid.uuid}
    person("ann", age=33)
    person("bob", age=3)
    refresh()
    assert members(made["id"]) == {ann.uuid, cid.uuid}


def test_hogql_stands_beside_other_filters_and_names_cohorts(api: Api, person: Maker) -> None:
    ann, bob = person("ann", plan="paid", age=1), person("bob", plan="free", age=1)
    person("cid", plan="paid", age=9)
    outbox_drain()
    first = api.make(filters=hogql("toFloat(properties.age) < 5"))
    second = api.make(filters=hogql(f"id in cohort {first['id']} and properties.plan = 'paid'"))
    third = api.make(filters=hogql("properties.plan = 'free'", in_cohort(first["id"])))
    assert Cohort.unscoped.get(id=second["id"]).depends_on == [first["id"]]
    calculate()
    refresh()
    assert (members(second["id"]), members(third["id"])) == ({ann.uuid}, {bob.uuid})
    loop = api.send("PATCH", f"/cohorts/{first['id']}/", {"filters": hogql(f"id in cohort {second['id']}")})
    assert (loop.status_code, loop.json()["attr"]) == (400, "filters")


@pytest.mark.parametrize("text", ["nope = 1", "properties.age <", "count() > 1", "properties.city", 1, "*"])
def test_a_wrong_expression_is_refused_by_name(api: Api, text: Any) -> None:
    answer = api.send("POST", "/cohorts/", {"name": "some", "filters": hogql(text)})
    attr = "filters__properties__values__0__key" if isinstance(text, str) else "filters"
    assert (answer.status_code, answer.json()["attr"]) == (400, attr), answer.content


def test_what_fails_when_it_is_calculated_is_told(api: Api, person: Maker) -> None:
    person("ann", age=1)
    outbox_drain()
    made = api.make(filters=hogql("intDiv(1, toInt(properties.age) - 1) = 0"))
    calculation.cohorts_calculate(seconds=5)
    found = Cohort.unscoped.get(id=made["id"])
    assert found.errors_calculating == 1
    assert found.last_error
    assert "DB::" not in found.last_error
