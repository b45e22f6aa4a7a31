"""The activity log of persons: shapes, order, pages, and whose it is."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.activity import queries
from core.activity.models import ActivityLog
from core.persons.models import Person
from core.tenancy.models import Team, User
from tests.core.persons.conftest import Api, make_api

Capture = Callable[..., Person]
CHANGED = {"type": "Person", "action": "changed", "field": "properties", "before": None, "after": None}


def entries(api: Api, path: str = "/activity/", **params: Any) -> list[dict[str, Any]]:
    answer = api.get(path, **params)
    assert answer.status_code == 200, answer.content
    return list(answer.json()["results"])


def fill(team: Team, count: int, **fields: Any) -> None:
    """Write entries of one single moment."""
    at = fields.pop("created_at", datetime(2024, 3, 1, 10, 0, 0, 250_000, UTC))
    fields = {"scope": "Person", "activity": "updated", "item_id": "1", "is_system": True, **fields}
    made = ActivityLog.objects.bulk_create(ActivityLog(team_id=team.id, **fields) for _ in range(count))
    ActivityLog.objects.filter(id__in=[entry.id for entry in made]).update(created_at=at)


def test_an_entry_has_the_documented_shape(api: Api, capture: Capture) -> None:
    person = capture("ann")
    User.objects.update(first_name="Ada")
    api.send("PATCH", f"/{person.uuid}/", {"properties": {"plan": "pro"}})

    answer = api.get(f"/{person.uuid}/activity/").json()

    (entry,) = answer.pop("results")
    assert answer == {"next": None, "previous": None, "total_count": 1}
    UUID(entry.pop("id"))
    datetime.strptime(entry.pop("created_at"), "%Y-%m-%dT%H:%M:%S.%f%z")
    assert entry == {
        "user": {"first_name": "Ada", "email": User.objects.get().email},
        "activity": "updated",
        "scope": "Person",
        "item_id": str(person.id),
        "detail": {"changes": [CHANGED], "trigger": None, "type": None, "name": None, "short_id": None},
    }


def test_every_kind_of_change_is_logged_newest_first(api: Api, capture: Capture) -> None:
    person = capture("ann", "$identify", merge_with="bob")
    api.send("PUT", f"/{person.id}/", {"properties": {"a": 1}})
    api.send("POST", f"/{person.id}/update_property/", {"key": "b", "value": 2})
    api.send("POST", f"/{person.id}/delete_property/", {"$unset": "a"})
    api.send("POST", f"/{person.id}/split/", {})
    api.send("POST", f"/{person.id}/delete_events/")
    own = entries(api, f"/{person.id}/activity")
    assert [entry["activity"] for entry in own] == ["split_person", "delete_property", "updated", "updated"]
    uuid = str(person.uuid)
    assert [(entry["item_id"], entry["detail"]["name"]) for entry in own] == [
        (str(person.id), name) for name in (uuid, uuid, None, None)
    ]
    assert own[1]["detail"]["changes"] == [{**CHANGED, "field": None}]

    api.send("DELETE", f"/{person.id}/")
    assert api.get(f"/{person.id}/activity/").status_code == 404
    newest, *others = entries(api)
    assert (newest["activity"], newest["item_id"]) == ("deleted", str(person.id))
    assert newest["detail"] == {"changes": None, "trigger": None, "type": None, "name": uuid, "short_id": None}
    assert others == own


def test_a_persons_log_has_only_its_own(api: Api, capture: Capture) -> None:
    ann, bob = capture("ann"), capture("bob")
    for person in (ann, bob, ann):
        api.send("PATCH", f"/{person.id}/", {"properties": {"k": str(uuid4())}})
    assert len(entries(api)) == 3
    assert {entry["item_id"] for entry in entries(api, f"/{ann.uuid}/activity/")} == {str(ann.id)}
    assert entries(api, f"/{ann.uuid}/activity/") == entries(api, f"/{ann.id}/activity/")
    assert len(entries(api, f"/{bob.id}/activity/")) == 1


def test_system_and_deleted_users(api: Api, team: Team) -> None:
    fill(team, 1, detail=None)
    fill(team, 1, is_system=False, created_at=datetime(2025, 1, 1, tzinfo=UTC))
    deleted, system = entries(api)
    assert deleted["user"] == {"first_name": "", "email": ""}
    assert system["user"] == {"first_name": "System", "email": None, "is_system": True}
    assert system["detail"] is None
    assert system["created_at"] == "2024-03-01T10:00:00.250000Z"


def test_a_user_that_is_deleted_leaves_the_entry(api: Api, team: Team, capture: Capture) -> None:
    person = capture("ann")
    other = make_api(team)
    author = User.objects.exclude(personal_api_keys=None).order_by("-id").first()
    assert author is not None
    other.send("PATCH", f"/{person.id}/", {"properties": {"k": 1}})
    assert entries(api)[0]["user"]["email"] == author.email
    author.delete()
    assert entries(api)[0]["user"] == {"first_name": "", "email": ""}


def test_following_next_sees_each_entry_once_even_of_one_moment(api: Api, team: Team) -> None:
    fill(team, 25)
    url, seen, pages = api.url("/activity/?limit=4&extra=a%26b"), [], []
    while url:
        answer = api.client.get(url).json()
        pages.append((len(answer["results"]), answer["total_count"], answer["previous"] is None))
        seen += [entry["id"] for entry in answer["results"]]
        url = answer["next"]
    assert sorted(seen) == sorted(str(key) for key in ActivityLog.objects.values_list("id", flat=True))
    assert pages == [(4, 25, True), *[(4, 25, False)] * 5, (1, 25, False)]


def test_links_are_absolute_and_keep_the_other_parameters(api: Api, team: Team) -> None:
    fill(team, 5)
    answer = api.get("/activity/", limit=2, page=2, format="json", x="a b&c").json()
    for name, page in (("next", "3"), ("previous", "1")):
        parts = urlsplit(answer[name])
        assert (parts.scheme, parts.netloc, parts.path) == ("http", "testserver", api.url("/activity/"))
        assert parse_qs(parts.query) == {"limit": ["2"], "page": [page], "format": ["json"], "x": ["a b&c"]}
    assert parse_qs(urlsplit(api.get("/activity/", limit=4).json()["next"]).query) == {"limit": ["4"], "page": ["2"]}


@pytest.mark.parametrize(
    ("params", "shown"),
    [
        ({}, 10),
        ({"limit": ""}, 10),
        ({"limit": "+3"}, 3),
        ({"limit": 1000}, 100),
        ({"limit": "9" * 5000}, 100),
        ({"page": 2}, 10),
    ],
)
def test_limits(api: Api, team: Team, params: dict[str, Any], shown: int) -> None:
    fill(team, 120)
    assert len(entries(api, **params)) == shown


@pytest.mark.parametrize("name", ["limit", "page"])
@pytest.mark.parametrize(
    ("text", "code", "detail"),
    [
        *[(text, "invalid_input", "A valid integer is required.") for text in ("x", "1.5", "1e3", "٣", "--1", "1_0")],
        *[
            (text, "min_value", "Ensure this value is greater than or equal to 1.")
            for text in ("0", "-1", "-" + "9" * 50)
        ],
    ],
)
def test_numbers_that_are_none_are_refused(api: Api, name: str, text: str, code: str, detail: str) -> None:
    answer = api.get("/activity/", **{name: text})
    assert answer.status_code == 400
    assert answer.json() == {"type": "validation_error", "code": code, "detail": detail, "attr": name}


@pytest.mark.parametrize("page", ["2", "99", "9" * 30])
def test_a_page_beyond_the_end_is_not_found(api: Api, team: Team, page: str) -> None:
    fill(team, 3)
    answer = api.get("/activity/", page=page)
    assert (answer.status_code, answer.json()["detail"]) == (404, "Invalid page.")


def test_an_empty_log_is_an_empty_page(api: Api) -> None:
    assert api.get("/activity/").json() == {"results": [], "next": None, "previous": None, "total_count": 0}


def test_counting_stops_at_its_bound(api: Api, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "MAX_COUNTED", 7)
    fill(team, 25)
    answer = api.get("/activity/", page=2).json()
    assert (answer["total_count"], len(answer["results"]), answer["next"] is None) == (7, 10, False)


def test_other_scopes_and_projects_stay_out(api: Api, team: Team, stranger: Api, capture: Capture) -> None:
    person = capture("ann")
    fill(team, 1, scope="Team", item_id=str(person.id))
    fill(stranger.team, 1, item_id=str(person.id))
    assert entries(api) == entries(api, f"/{person.id}/activity/") == []
    assert stranger.get(f"/{person.uuid}/activity/").status_code == 404
    assert stranger.get(f"/{person.id}/activity/").status_code == 404
    assert stranger.client.get(api.url("/activity/")).status_code == 403


def test_the_scope_of_the_log(team: Team, capture: Capture) -> None:
    person = capture("ann")
    for scopes, status in ((("activity_log:read",), 200), (("person:write",), 403)):
        api = make_api(team, scopes=scopes, tree="environments")
        assert api.get("/activity").status_code == api.get(f"/{person.uuid}/activity").status_code == status
    assert api.get("/ann/activity").status_code in {400, 403}


def test_a_page_takes_a_fixed_number_of_statements_and_its_index(api: Api, team: Team) -> None:
    fill(team, 60)
    api.get("/activity/")
    with CaptureQueriesContext(connection) as statements:
        assert len(entries(api, limit=50)) == 50
    assert len(statements) == 3
    values = {"team_id": team.id, "scope": "Person", "scopes": ["Person", "Cohort"], "item_id": "1"}
    values |= {"limit": 10, "offset": 0, "reach": 10, "most": 10}
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off")
        for sql, index in (
            (queries._PAGES[False, False], "activity_scope_idx"),  # noqa: SLF001
            (queries._PAGES[False, True], "activity_"),  # noqa: SLF001
            (queries._PAGES[True, False], "activity_scope_idx"),  # noqa: SLF001
            (queries._PAGES[True, True], "activity_"),  # noqa: SLF001
            (queries._COUNTS[False], "activity_"),  # noqa: SLF001
        ):
            cursor.execute("EXPLAIN " + sql, values)
            assert index in str(cursor.fetchall())
