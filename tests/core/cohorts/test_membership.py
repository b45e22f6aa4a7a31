"""Who is in a cohort, in Postgres and in ClickHouse, after calculations, merges, deletions and uploads."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext, override_settings

from core.cohorts import calculation
from core.cohorts.models import Cohort, CohortPerson, CohortUpload
from core.outbox.services import outbox_drain
from core.persons.models import Person
from tests.core.cohorts.conftest import Api, all_of, calculate, in_cohort, members, where

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("clickhouse")]

type Maker = Callable[..., Person]


def merge(api: Api, target: str, source: str) -> None:
    """Merge two persons by capturing `$merge_dangerously`."""
    body = {
        "api_key": api.team.api_token,
        "event": "$merge_dangerously",
        "distinct_id": target,
        "properties": {"alias": source},
    }
    assert api.client.post("/capture/", body, content_type="application/json").status_code == 200


def test_a_dynamic_cohort_has_those_who_match(api: Api, person: Maker) -> None:
    ann, _, cid = person("ann", plan="paid"), person("bob", plan="free"), person("cid", plan="paid")
    made = api.make(filters=all_of(where("plan", "paid")))
    calculate()
    assert members(made["id"]) == {ann.uuid, cid.uuid}
    found = api.read(made["id"])
    assert (found["count"], found["is_calculating"], found["version"]) == (2, False, 1)
    assert found["last_calculation"] is not None


def test_who_stops_matching_leaves_and_who_begins_joins(api: Api, person: Maker) -> None:
    ann, bob = person("ann", plan="paid"), person("bob", plan="free")
    made = api.make(filters=all_of(where("plan", "paid")))
    calculate()
    person("ann", plan="free")
    person("bob", plan="paid")
    calculate()
    assert members(made["id"]) == {ann.uuid}
    refresh()
    assert members(made["id"]) == {bob.uuid}
    person("ann", plan="paid")
    refresh()
    assert members(made["id"]) == {ann.uuid, bob.uuid}


def refresh() -> None:
    """Calculate as if the last calculation were long ago."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE core_cohort SET last_calculation = now() - interval '1 day'")
    calculate()


def test_changed_filters_change_the_members(api: Api, person: Maker) -> None:
    ann, bob = person("ann", plan="paid"), person("bob", plan="free")
    made = api.make(filters=all_of(where("plan", "paid")))
    calculate()
    api.send("PATCH", f"/cohorts/{made['id']}/", {"filters": all_of(where("plan", ["paid", "free"]))})
    calculate()
    assert members(made["id"]) == {ann.uuid, bob.uuid}
    assert api.read(made["id"])["version"] == 2


def test_a_cohort_without_conditions_has_nobody(api: Api, person: Maker) -> None:
    person("ann", plan="paid")
    made = api.make()
    calculate()
    assert members(made["id"]) == set()
    assert api.read(made["id"])["count"] == 0


def test_persons_of_other_teams_are_never_members(api: Api, stranger: Api, person: Maker) -> None:
    ann = person("ann", plan="paid")
    theirs = person("ann", stranger.team.id, plan="paid")
    mine, other = (one.make(filters=all_of(where("plan", "paid"))) for one in (api, stranger))
    calculate()
    assert members(mine["id"]) == {ann.uuid}
    assert members(other["id"]) == {theirs.uuid}


def test_large_teams_are_compared_in_portions(api: Api, person: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calculation, "PORTION", 3)
    persons = [person(f"p{number}", even=number % 2 == 0) for number in range(10)]
    made = api.make(filters=all_of(where("even", "true")))
    calculate()
    assert members(made["id"]) == {one.uuid for one in persons[::2]}
    api.send("DELETE", f"/cohorts/{made['id']}/")
    calculate()
    assert members(made["id"]) == set()
    api.send("PATCH", f"/cohorts/{made['id']}/", {"deleted": False})
    calculate()
    assert members(made["id"]) == {one.uuid for one in persons[::2]}


def test_a_calculation_whose_worker_died_is_taken_up_where_it_stopped(
    api: Api, person: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calculation, "PORTION", 2)
    persons = [person(f"p{number}", plan="paid") for number in range(6)]
    made = api.make(filters=all_of(where("plan", "paid")))
    claim = calculation.cohort_claim()
    assert claim is not None
    assert calculation.portion_calculate(claim)
    assert CohortPerson.objects.filter(cohort_id=made["id"]).count() == 2
    assert calculation.cohort_claim() is None, "two workers had the same cohort"
    assert api.read(made["id"])["is_calculating"] is True
    Cohort.unscoped.filter(id=made["id"]).update(lease_until="2020-01-01T00:00:00Z")
    second = calculation.cohort_claim()
    assert second is not None
    assert second.progress == claim.progress is not None
    with pytest.raises(calculation.LeaseLostError):
        calculation.portion_calculate(claim)
    while calculation.portion_calculate(second):
        pass
    outbox_drain()
    assert members(made["id"]) == {one.uuid for one in persons}


def test_a_change_of_filters_stops_the_calculation_under_way(
    api: Api, person: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calculation, "PORTION", 1)
    _, bob = person("ann", plan="paid"), person("bob", plan="free")
    made = api.make(filters=all_of(where("plan", "paid")))
    claim = calculation.cohort_claim()
    assert claim is not None
    calculation.portion_calculate(claim)
    api.send("PATCH", f"/cohorts/{made['id']}/", {"filters": all_of(where("plan", "free"))})
    with pytest.raises(calculation.LeaseLostError):
        calculation.portion_calculate(claim)
    calculate()
    assert members(made["id"]) == {bob.uuid}


def test_a_failed_calculation_is_told_and_tried_again_later(
    api: Api, person: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = person("ann", plan="paid")
    made = api.make(filters=all_of(where("plan", "paid")))
    other = api.make(filters=all_of(where("plan", "paid")))
    with monkeypatch.context() as patched:
        patched.setattr(calculation, "_PORTION_END", "SELECT 1 / 0, %s, %s, %s")
        assert calculation.cohorts_calculate(seconds=5) is False
    for one in (made, other):
        found = api.read(one["id"])
        assert (found["errors_calculating"], found["is_calculating"]) == (1, False)
        assert found["last_error_message"] == "The calculation failed: DataError"
    calculate()
    assert members(made["id"]) == set(), "tried again at once"
    Cohort.unscoped.update(retry_at="2020-01-01T00:00:00Z")
    calculate()
    assert members(made["id"]) == members(other["id"]) == {ann.uuid}
    found = api.read(made["id"])
    assert (found["errors_calculating"], found["last_error_message"]) == (0, None)


def test_cohorts_that_name_others_follow_them(api: Api, person: Maker) -> None:
    ann, bob = person("ann", plan="paid", city="rome"), person("bob", plan="paid")
    listed = api.make(is_static=True, _create_static_person_ids=[str(bob.uuid)])
    top = api.make()
    payers = api.make(filters=all_of(where("plan", "paid")))
    middle = api.make(filters=all_of(in_cohort(payers["id"]), in_cohort(listed["id"], negation=True)))
    api.send("PATCH", f"/cohorts/{top['id']}/", {"filters": all_of(in_cohort(middle["id"]))})
    calculate()
    assert members(middle["id"]) == members(top["id"]) == {ann.uuid}
    api.send("PATCH", f"/cohorts/{listed['id']}/remove_person_from_static_cohort/", {"person_id": str(bob.uuid)})
    calculate()
    assert members(top["id"]) == {ann.uuid, bob.uuid}
    api.send("PATCH", f"/cohorts/{payers['id']}/", {"filters": all_of(where("city", "rome"))})
    calculate()
    assert members(top["id"]) == {ann.uuid}


def test_persons_are_added_to_and_removed_from_static_cohorts(api: Api, person: Maker) -> None:
    ann, bob = person("ann"), person("bob")
    made = api.make(is_static=True, _create_static_person_ids=[str(ann.uuid), str(ann.uuid), str(uuid4())])
    assert made["count"] == 1
    path = f"/cohorts/{made['id']}/"
    for method in ("PATCH", "POST"):
        answer = api.send(
            method, f"{path}add_persons_to_static_cohort/", {"person_ids": [str(ann.uuid), str(bob.uuid)]}
        )
        assert (answer.status_code, answer.json()) == (200, {"success": True})
    outbox_drain()
    assert members(made["id"]) == {ann.uuid, bob.uuid}
    assert api.read(made["id"])["count"] == 2
    answer = api.send("PATCH", f"{path}remove_person_from_static_cohort/", {"person_id": str(ann.uuid)})
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    outbox_drain()
    assert members(made["id"]) == {bob.uuid}
    answer = api.send("POST", f"{path}add_persons_to_static_cohort/", {"person_ids": [str(ann.uuid)]})
    outbox_drain()
    assert members(made["id"]) == {ann.uuid, bob.uuid}


def test_bad_changes_of_static_members_are_refused(api: Api, stranger: Api, person: Maker) -> None:
    theirs = person("ann", stranger.team.id)
    mine = person("ann")
    static, dynamic = api.make(is_static=True)["id"], api.make()["id"]

    def asked(cohort: int, verb: str, **body: Any) -> tuple[int, str, str | None]:
        answer = api.send("PATCH", f"/cohorts/{cohort}/{verb}_static_cohort/", body)
        problem = answer.json()
        return answer.status_code, problem["detail"], problem["attr"]

    add, remove = "add_persons_to", "remove_person_from"
    assert asked(dynamic, add, person_ids=[str(mine.uuid)]) == (400, "Can only add users to static cohorts", None)
    assert asked(static, add) == (400, "person_ids must be a list", "person_ids")
    assert asked(static, add, person_ids=[]) == (400, "person_ids cannot be empty", "person_ids")
    assert asked(static, add, person_ids=[5]) == (400, "One or more UUIDs are invalid.", "person_ids")
    assert asked(static, add, person_ids=["x"] * 10_001)[0::2] == (400, "person_ids")
    unknown = (400, "No valid users to add to cohort", "person_ids")
    assert asked(static, add, person_ids=[str(theirs.uuid)]) == unknown
    assert asked(dynamic, remove, person_id=str(mine.uuid)) == (400, "Can only remove users from static cohorts", None)
    assert asked(static, remove) == (400, "This field is required.", "person_id")
    assert asked(static, remove, person_id=5) == (400, "person_id must be a string", "person_id")
    assert asked(static, remove, person_id="x") == (400, "person_id must be a valid UUID", "person_id")
    assert asked(static, remove, person_id=str(mine.uuid)) == (404, "Person is not part of the cohort", None)
    foreign = (404, "Person with this UUID does not exist in the cohort's team", None)
    assert asked(static, remove, person_id=str(theirs.uuid)) == foreign


@pytest.mark.parametrize("form", ["plain", "distinct_id", "person_id", "email", "columns", "export"])
def test_an_uploaded_list_fills_a_static_cohort(api: Api, person: Maker, form: str) -> None:
    ann, bob, _ = person("ann", email="ann@x.org"), person("b,b", email="bob@x.org"), person("cid")
    text = {
        "plain": f'ann\n"b,b"\n{bob.uuid}\n\nnobody\n',
        "distinct_id": '\ufeffdistinct_id\r\nann\r\n"b,b"\r\n',
        "person_id": f"person_id\n{ann.uuid}\n{bob.uuid}\nann\n",
        "email": "Email\nann@x.org\nbob@x.org\n",
        "columns": 'name,distinct-id\nAnn,ann\nshort\nBob,"b,b"\n',
        "export": f"id,email,Person .id\n1,cid,{ann.uuid}\n2,cid,{bob.uuid}\n",
    }[form]
    answer = api.upload(text)
    assert answer.status_code == 201, answer.content
    made = answer.json()
    assert made["is_calculating"] is True
    calculate()
    assert members(made["id"]) == {ann.uuid, bob.uuid}
    found = api.read(made["id"])
    assert (found["count"], found["is_calculating"]) == (2, False)
    assert not CohortUpload.objects.exists()


def test_a_long_list_is_added_in_parts_and_more_may_follow(
    api: Api, person: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.cohorts.services.UPLOAD_PART", 2)
    persons = [person(f"p{number}") for number in range(5)]
    made = api.upload("\n".join(f"p{number}" for number in range(5))).json()
    assert CohortUpload.objects.count() == 3
    calculate()
    assert members(made["id"]) == {one.uuid for one in persons}


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("", "file is empty"),
        ("\n\n ,\n", "is empty"),
        ("distinct_id\n\n", "no valid person IDs"),
        ("name,age\nann,3\n", "Found columns: name, age"),
        (b"\xff\xfe\x00a", "encoding is not supported"),
        ("x" * 200_000, "format is invalid"),
    ],
)
def test_a_bad_list_is_refused_and_leaves_nothing(api: Api, text: str | bytes, detail: str) -> None:
    answer = api.upload(text)
    assert answer.status_code == 400, answer.content
    assert answer.json()["attr"] == "csv"
    assert detail in answer.json()["detail"]
    assert not Cohort.unscoped.exists()


def test_a_list_for_a_dynamic_cohort_is_refused(api: Api) -> None:
    answer = api.upload("ann\n", is_static="false")
    assert (answer.status_code, answer.json()["attr"]) == (400, "csv")


def test_a_merge_moves_static_memberships_and_ends_dynamic_ones(api: Api, person: Maker) -> None:
    ann, bob, cid = person("ann", plan="free"), person("bob", vip="yes"), person("cid")
    lists = [
        api.make(is_static=True, _create_static_person_ids=[str(one.uuid) for one in listed])["id"]
        for listed in ([bob], [ann, bob], [ann], [cid])
    ]
    vips = api.make(filters=all_of(where("vip", "yes")))["id"]
    calculate()
    assert members(vips) == {bob.uuid}
    merge(api, "ann", "bob")
    outbox_drain()
    assert [members(one) for one in lists] == [{ann.uuid}, {ann.uuid}, {ann.uuid}, {cid.uuid}]
    assert members(vips) == set()
    refresh()
    assert members(vips) == {ann.uuid}
    assert api.read(lists[1])["count"] == 1


def test_a_deleted_person_leaves_and_may_come_back(api: Api, person: Maker) -> None:
    ann, bob = person("ann", plan="paid"), person("bob", plan="paid")
    listed = api.make(is_static=True, _create_static_person_ids=[str(ann.uuid), str(bob.uuid)])["id"]
    payers = api.make(filters=all_of(where("plan", "paid")))["id"]
    calculate()
    assert api.send("DELETE", f"/persons/{ann.uuid}/").status_code == 204
    outbox_drain()
    assert members(listed) == members(payers) == {bob.uuid}
    again = person("ann", plan="paid")
    assert again.uuid == ann.uuid
    refresh()
    assert members(payers) == {ann.uuid, bob.uuid}
    assert members(listed) == {bob.uuid}
    assert api.read(listed)["count"] == 1


def test_ending_and_moving_cost_the_same_for_one_and_for_many(api: Api, person: Maker) -> None:
    from core.cohorts.membership import memberships_end, memberships_move

    persons = [person(f"p{number}") for number in range(9)]
    made = api.make(is_static=True, _create_static_person_ids=[str(one.uuid) for one in persons])["id"]
    keys = [(one.id, one.uuid) for one in persons]
    with CaptureQueriesContext(connection) as queries:
        rows = memberships_move(team_id=api.team.id, merges=[(source, keys[0]) for source in keys[1:4]])
    assert (len(queries), len(rows["cohort_people"])) == (1, 3)
    with CaptureQueriesContext(connection) as queries:
        rows = memberships_end(team_id=api.team.id, persons=dict(keys))
    assert (len(queries), len(rows["cohort_people"])) == (1, 6)
    assert not CohortPerson.objects.filter(cohort_id=made).exists()


def test_nobody_is_removed_from_the_cohorts_of_another_team(api: Api, stranger: Api, person: Maker) -> None:
    from core.cohorts.membership import memberships_end

    ann = person("ann")
    made = api.make(is_static=True, _create_static_person_ids=[str(ann.uuid)])["id"]
    memberships_end(team_id=stranger.team.id, persons={ann.id: ann.uuid})
    outbox_drain()
    assert members(made) == {ann.uuid}


@override_settings(COHORT_REFRESH_EVERY_SECONDS=600)
def test_nothing_is_calculated_before_it_is_due(api: Api) -> None:
    api.make()
    calculate()
    assert calculation.cohort_claim() is None
    Cohort.unscoped.update(last_calculation="2020-01-01T00:00:00Z")
    assert calculation.cohort_claim() is not None
