"""The cohorts resource over HTTP: shapes, lists, changes, refusals."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from core.activity.models import ActivityLog
from core.cohorts.services import MAX_COHORTS
from core.tenancy.models import Team
from tests.core.cohorts.conftest import Api, all_of, in_cohort, make_api, where
from tests.factories import make_team

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("clickhouse")]

KEYS = {
    "id", "name", "description", "groups", "deleted", "filters", "query", "version", "pending_version",
    "is_calculating", "created_by", "created_at", "last_calculation", "errors_calculating", "last_error_message",
    "count", "is_static", "cohort_type", "experiment_set",
}  # fmt: skip
USER_KEYS = {
    "id", "uuid", "distinct_id", "first_name", "last_name", "email", "is_email_verified", "hedgehog_config",
    "role_at_organization",
}  # fmt: skip


def refusal(answer: Any) -> tuple[int, str, str | None]:
    body = answer.json()
    assert set(body) == {"type", "code", "detail", "attr"}
    return answer.status_code, body["detail"], body["attr"]


@pytest.mark.parametrize("tree", ["projects", "environments"])
def test_a_created_cohort_has_exactly_the_keys_of_posthog(team: Team, tree: str) -> None:
    api = make_api(team, tree=tree)
    made = api.make(name="Payers", description="who pay", filters=all_of(where("plan", "paid")))
    assert set(made) == KEYS
    assert set(made["created_by"]) == USER_KEYS
    assert made["filters"] == all_of(where("plan", "paid"))
    assert (made["name"], made["description"], made["deleted"], made["is_static"]) == (
        "Payers",
        "who pay",
        False,
        False,
    )
    assert (made["is_calculating"], made["count"], made["last_calculation"], made["version"]) == (
        True,
        None,
        None,
        None,
    )
    assert (made["query"], made["groups"], made["errors_calculating"]) == (None, [], 0)
    assert api.read(made["id"]) == made
    assert api.get(f"/cohorts/{made['id']}").json() == made


def test_a_static_cohort_begins_empty_and_needs_no_calculation(api: Api) -> None:
    made = api.make(is_static=True)
    assert (made["is_static"], made["count"], made["is_calculating"], made["cohort_type"]) == (True, 0, False, "static")


def test_the_list_is_newest_first_with_count_and_links(api: Api) -> None:
    ids = [api.make(name=f"c{number}")["id"] for number in range(5)]
    page = api.get(limit=2).json()
    assert set(page) == {"count", "next", "previous", "results"}
    assert (page["count"], [one["id"] for one in page["results"]]) == (5, [ids[4], ids[3]])
    second = api.client.get(page["next"]).json()
    assert [one["id"] for one in second["results"]] == [ids[2], ids[1]]
    assert second["previous"] is not None
    last = api.client.get(second["next"]).json()
    assert ([one["id"] for one in last["results"]], last["next"]) == ([ids[0]], None)
    assert all(set(one) == KEYS for one in page["results"])


def test_the_list_is_narrowed_by_name_type_and_creator(api: Api, team: Team) -> None:
    api.make(name="100% Real", is_static=True)
    api.make(name="1000 reals")
    other = make_api(team)
    theirs = other.make(name="theirs")

    def names(**params: Any) -> list[str]:
        return [one["name"] for one in api.get(**params).json()["results"]]

    assert names(search="real") == ["1000 reals", "100% Real"]
    assert names(search="0% r") == ["100% Real"]
    assert names(search="_") == []
    assert names(type="static") == ["100% Real"]
    assert names(type="dynamic") == ["theirs", "1000 reals"]
    assert names(created_by_id=theirs["created_by"]["id"]) == ["theirs"]
    assert refusal(api.get(created_by_id="x")) == (400, "A valid integer is required.", "created_by_id")


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_an_update_changes_only_what_is_given(api: Api, method: str) -> None:
    made = api.make(name="old", description="kept", filters=all_of(where("plan", "paid")))
    answer = api.send(method, f"/cohorts/{made['id']}/", {"name": "new"})
    assert answer.status_code == 200
    assert answer.json() == {**made, "name": "new"}


def test_a_retrieved_object_may_be_sent_back_whole(api: Api) -> None:
    for made in (api.make(filters=all_of(where("plan", "paid"))), api.make(is_static=True)):
        answer = api.send("PUT", f"/cohorts/{made['id']}/", made)
        assert (answer.status_code, answer.json()) == (200, made)


def test_new_filters_wish_for_a_calculation_and_a_new_name_does_not(api: Api) -> None:
    made = api.make(filters=all_of(where("plan", "paid")))
    assert made["pending_version"] == 1
    renamed = api.send("PATCH", f"/cohorts/{made['id']}/", {"name": "new"}).json()
    assert renamed["pending_version"] == 1
    changed = api.send("PATCH", f"/cohorts/{made['id']}/", {"filters": all_of(where("plan", "free"))}).json()
    assert (changed["pending_version"], changed["is_calculating"]) == (2, True)


def test_legacy_groups_become_an_or_of_ands(api: Api) -> None:
    groups = [
        {"properties": [where("plan", "paid"), where("age", 3, "gt")]},
        {"properties": {"city__icontains": "ber"}},
    ]
    made = api.make(groups=groups)
    assert made["groups"] == groups
    assert made["filters"] == {
        "properties": {
            "type": "OR",
            "values": [
                {"type": "AND", "values": [where("plan", "paid"), where("age", 3, "gt")]},
                {"type": "AND", "values": [where("city", "ber", "icontains")]},
            ],
        }
    }


def test_delete_hides_and_patch_restores(api: Api) -> None:
    made = api.make(is_static=True)
    path = f"/cohorts/{made['id']}/"
    answer = api.send("DELETE", path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert api.get().json()["count"] == 0
    assert api.read(made["id"])["deleted"] is True
    assert api.send("DELETE", path).status_code == 404
    assert api.send("PATCH", path, {"deleted": False}).json()["deleted"] is False
    assert api.send("PATCH", path, {"deleted": True}).json()["deleted"] is True


def test_a_cohort_that_others_name_is_not_deleted(api: Api) -> None:
    base = api.make(name="base", is_static=True)
    user = api.make(name="user", filters=all_of(in_cohort(base["id"])))
    text = f"This cohort is used by other cohorts: user ({user['id']}). Remove it from them before deleting it."
    assert refusal(api.send("DELETE", f"/cohorts/{base['id']}/")) == (400, text, "deleted")
    assert refusal(api.send("PATCH", f"/cohorts/{base['id']}/", {"deleted": True})) == (400, text, "deleted")
    assert api.send("DELETE", f"/cohorts/{user['id']}/").status_code == 204
    assert api.send("DELETE", f"/cohorts/{base['id']}/").status_code == 204
    answer = api.send("PATCH", f"/cohorts/{user['id']}/", {"deleted": False})
    assert refusal(answer)[0::2] == (400, "deleted")


def test_cohorts_may_not_name_each_other_in_a_loop(api: Api) -> None:
    first = api.make()
    second = api.make(filters=all_of(in_cohort(first["id"])))
    third = api.make(filters=all_of(in_cohort(second["id"])))
    for target in (first, second, third):
        answer = api.send("PATCH", f"/cohorts/{first['id']}/", {"filters": all_of(in_cohort(target["id"]))})
        assert refusal(answer) == (400, "Cohorts cannot reference other cohorts in a loop.", "filters")


def test_two_changes_at_once_cannot_close_a_loop(api: Api) -> None:
    for _ in range(5):
        first, second = api.make()["id"], api.make()["id"]
        start = threading.Barrier(2)

        def name(cohort: int, other: int, start: threading.Barrier = start) -> int:
            start.wait()
            try:
                body = {"filters": all_of(in_cohort(other))}
                return int(make_client(api).send("PATCH", f"/cohorts/{cohort}/", body).status_code)
            finally:
                connection.close()

        with ThreadPoolExecutor(2) as pool:
            asked = [pool.submit(name, *pair) for pair in ((first, second), (second, first))]
        assert sorted(one.result() for one in asked) == [200, 400]


def make_client(api: Api) -> Api:
    """A client of the same key for another thread."""
    client = Client(raise_request_exception=False)
    client.defaults = api.client.defaults
    return Api(api.team, client)


def test_lists_cost_the_same_for_few_and_for_many(api: Api) -> None:
    api.make()
    with CaptureQueriesContext(connection) as few:
        api.get()
    for _ in range(10):
        api.make(is_static=True)
    with CaptureQueriesContext(connection) as many:
        assert api.get().json()["count"] == 11
    assert len(many) == len(few)


def test_filters_on_unknown_foreign_and_deleted_cohorts_are_refused(api: Api, stranger: Api) -> None:
    deleted = api.make(is_static=True)["id"]
    api.send("DELETE", f"/cohorts/{deleted}/")
    for number in (deleted, stranger.make()["id"], 2**62):
        answer = api.send("POST", "/cohorts/", {"filters": all_of(in_cohort(number))})
        assert refusal(answer)[0::2] == (400, "filters")


BEHAVIORAL = {"type": "behavioral", "key": "$pageview", "value": "performed_event", "event_type": "events"}


@pytest.mark.parametrize(
    ("body", "attr"),
    [
        ({"filters": all_of(BEHAVIORAL)}, "filters"),
        ({"filters": all_of({"type": "OR", "values": [where("a", "b"), BEHAVIORAL]})}, "filters"),
        ({"groups": [{"action_id": 3, "days": 7}]}, "groups"),
        ({"groups": [{"event_id": "$pageview", "days": 7}]}, "groups"),
    ],
)
def test_filters_on_events_are_refused_plainly(api: Api, body: Any, attr: str) -> None:
    status, detail, named = refusal(api.send("POST", "/cohorts/", body))
    assert (status, named) == (400, attr)
    assert "filters on events" in detail


@pytest.mark.parametrize(
    ("body", "attr"),
    [
        ({"name": 5}, "name"),
        ({"name": "x" * 401}, "name"),
        ({"description": "x" * 1001}, "description"),
        ({"is_static": "perhaps"}, "is_static"),
        ({"filters": "{"}, "filters"),
        ({"filters": {"values": []}}, "filters"),
        ({"filters": [where("a", "b")]}, "filters"),
        ({"filters": {"properties": {"type": "AND", "values": [5]}}}, "filters"),
        ({"filters": {"properties": {"type": "XOR", "values": []}}}, "filters"),
        ({"filters": {"properties": [where("a", "b")]}}, "filters"),
        ({"filters": all_of(where("k" * 100_001, "b"))}, "filters"),
        ({"groups": {"a": 1}}, "groups"),
        ({"groups": [{}]}, "groups"),
        ({"query": {"kind": "HogQLQuery"}}, "query"),
        ({"is_static": True, "csv": "a,b"}, "csv"),
        ({"is_static": True, "_create_static_person_ids": ["nobody"]}, "_create_static_person_ids"),
        ({"is_static": True, "_create_static_person_ids": {"a": 1}}, "_create_static_person_ids"),
        ({"_create_static_person_ids": ["018f0000-0000-0000-0000-000000000001"]}, None),
    ],
)
def test_bad_bodies_are_refused_with_the_field(api: Api, body: Any, attr: str | None) -> None:
    assert refusal(api.send("POST", "/cohorts/", body))[0::2] == (400, attr)


def test_a_cohort_stays_static_or_dynamic(api: Api) -> None:
    made = api.make(is_static=True)
    answer = api.send("PATCH", f"/cohorts/{made['id']}/", {"is_static": False})
    assert refusal(answer) == (400, "A cohort cannot change between static and dynamic.", "is_static")


def test_cohorts_of_other_teams_are_not_found(api: Api, stranger: Api) -> None:
    theirs = stranger.make(is_static=True)["id"]
    person = "018f0000-0000-0000-0000-000000000001"
    for number in (theirs, 2**63, 10**30, "x", "1x"):
        path = f"/cohorts/{number}/"
        asked = [
            api.get(path),
            api.send("PATCH", path, {"name": "mine"}),
            api.send("PUT", path, {"name": "mine"}),
            api.send("DELETE", path),
            api.send("PATCH", f"{path}add_persons_to_static_cohort/", {"person_ids": [person]}),
            api.send("PATCH", f"{path}remove_person_from_static_cohort/", {"person_id": person}),
        ]
        assert [refusal(answer) for answer in asked] == [(404, "Not found.", None)] * len(asked)
    assert api.get().json()["count"] == 0


def test_reading_and_writing_need_their_scopes(team: Team, api: Api) -> None:
    made = api.make()
    path = f"/cohorts/{made['id']}/"
    reader = make_api(team, scopes=("cohort:read",))
    assert reader.get(path).status_code == 200
    for method, at in (("POST", "/cohorts/"), ("PATCH", path), ("PUT", path), ("DELETE", path)):
        answer = reader.send(method, at, {})
        assert refusal(answer)[:2] == (403, "API key missing required scope 'cohort:write'")
    writer = make_api(team, scopes=("cohort:write",))
    assert (writer.get(path).status_code, writer.send("PATCH", path, {}).status_code) == (200, 200)
    assert make_api(team, scopes=("person:read",)).get(path).status_code == 403
    assert make_api(make_team(), scopes=("*",)).client.get(api.url(path)).status_code in {403, 404}


def test_every_change_is_logged_with_what_changed(api: Api) -> None:
    made = api.make(name="Payers", filters=all_of(where("plan", "paid")))
    path = f"/cohorts/{made['id']}/"
    api.send("PATCH", path, {"name": "Payers"})
    api.send("PATCH", path, {"name": "Buyers", "filters": all_of(where("plan", "free"))})
    api.send("DELETE", path)
    entries = ActivityLog.objects.filter(team_id=api.team.id, scope="Cohort").order_by("created_at")
    assert [(one.activity, one.item_id, one.detail["name"]) for one in entries] == [
        ("created", str(made["id"]), "Payers"),
        ("updated", str(made["id"]), "Buyers"),
        ("deleted", str(made["id"]), "Buyers"),
    ]
    change = {"type": "Cohort", "action": "changed"}
    assert entries[1].detail["changes"] == [
        {**change, "field": "name", "before": "Payers", "after": "Buyers"},
        {**change, "field": "filters", "before": made["filters"], "after": all_of(where("plan", "free"))},
    ]
    assert entries[2].detail["changes"] == [{**change, "field": "deleted", "before": False, "after": True}]


def test_a_project_has_a_limit_of_cohorts(api: Api) -> None:
    from core.cohorts.models import Cohort

    Cohort.unscoped.bulk_create(Cohort(team_id=api.team.id, is_static=True) for _ in range(MAX_COHORTS))
    answer = api.send("POST", "/cohorts/", {"name": "one too many"})
    assert (answer.status_code, answer.json()["code"]) == (400, "limit_reached")
    spare = Cohort.unscoped.filter(team_id=api.team.id).first()
    assert spare is not None
    assert api.send("DELETE", f"/cohorts/{spare.id}/").status_code == 204
    assert api.send("POST", "/cohorts/", {"name": "fits"}).status_code == 201
    assert api.send("PATCH", f"/cohorts/{spare.id}/", {"deleted": False}).status_code == 400
