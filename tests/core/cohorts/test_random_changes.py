"""Random changes of persons beside calculations: in the end both stores have exactly those who match."""

import threading
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError, connection

from core.cohorts import calculation
from core.cohorts.models import Cohort, CohortPerson
from core.persons.ingest import MergeRaceError
from core.persons.models import Person
from tests.core.cohorts.conftest import Api, all_of, calculate, in_cohort, members, where
from tests.core.cohorts.test_membership import merge, refresh

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("clickhouse")]

type Maker = Callable[..., Person]

PLANS = ["paid", "free", "trial"]


def matching(team_id: int, holds: Callable[[dict[str, Any]], bool]) -> set[UUID]:
    found = Person.unscoped.filter(team_id=team_id).values_list("uuid", "properties")
    return {uuid for uuid, properties in found if holds(properties)}


def random_change(random: Random, api: Api, person: Maker) -> None:
    who = f"p{random.randrange(25)}"
    uuids = list(Person.unscoped.filter(team_id=api.team.id).values_list("uuid", flat=True))
    match random.randrange(10):
        case 0 if uuids:
            api.send("DELETE", f"/persons/{random.choice(uuids)}/")
        case 1:
            person(who)
            merge(api, who, f"p{random.randrange(25)}")
        case 2 if uuids:
            chosen = [str(uuid) for uuid in random.sample(uuids, min(3, len(uuids)))]
            cohort = Cohort.unscoped.get(name="listed").id
            api.send("POST", f"/cohorts/{cohort}/add_persons_to_static_cohort/", {"person_ids": chosen})
        case 3:
            calculate()
        case _:
            person(who, plan=random.choice(PLANS), size=random.randrange(4))


@pytest.mark.parametrize("seed", range(4))
def test_after_any_changes_the_members_are_those_who_match(
    api: Api, person: Maker, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    random = Random(seed)  # noqa: S311 the same changes on every run
    monkeypatch.setattr(calculation, "PORTION", 7)
    payers = api.make(name="payers", filters=all_of(where("plan", "paid")))["id"]
    others = api.make(filters=all_of(in_cohort(payers, negation=True), where("size", 2, "gte")))["id"]
    listed = api.make(name="listed", is_static=True)["id"]
    for _ in range(120):
        random_change(random, api, person)
    refresh()
    refresh()
    assert members(payers) == matching(api.team.id, lambda has: has.get("plan") == "paid")
    assert members(others) == matching(
        api.team.id, lambda has: has.get("plan") != "paid" and int(has.get("size", 0)) >= 2
    )
    members(listed)


def in_thread(stop: threading.Event, work: Callable[[], Any]) -> threading.Thread:
    def loop() -> None:
        try:
            while not stop.is_set():
                # The person may be gone before the helper that made it reads it.
                with suppress(MergeRaceError, OperationalError, Person.DoesNotExist):
                    work()
        finally:
            connection.close()

    thread = threading.Thread(target=loop)
    thread.start()
    return thread


def test_merges_and_deletions_during_calculations_leave_no_membership_behind(
    api: Api, person: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calculation, "PORTION", 5)
    for number in range(25):
        person(f"p{number}", plan=PLANS[number % 3], size=number % 4)
    payers = api.make(name="payers", filters=all_of(where("plan", "paid")))["id"]
    listed = api.make(name="listed", is_static=True)["id"]
    stop = threading.Event()

    def recalculate() -> None:
        Cohort.unscoped.update(last_calculation="2020-01-01T00:00:00Z")
        calculation.cohorts_calculate(seconds=1)

    randoms = [Random(seed) for seed in range(2)]  # noqa: S311 the same changes on every run
    threads = [in_thread(stop, recalculate) for _ in range(2)]
    threads += [in_thread(stop, lambda random=random: random_change(random, api, person)) for random in randoms]  # type: ignore[misc]
    stop.wait(12)
    stop.set()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    assert set(Cohort.unscoped.values_list("errors_calculating", flat=True)) == {0}
    Cohort.unscoped.update(lease_until=None)
    refresh()
    refresh()
    assert members(payers) == matching(api.team.id, lambda has: has.get("plan") == "paid")
    members(listed)
    assert CohortPerson.objects.exists()
