"""The actions resource over HTTP: shapes, lists, changes, refusals."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.test.utils import CaptureQueriesContext

from core.actions.models import Action
from core.actions.services import MAX_ACTIONS
from core.activity.models import ActivityLog
from core.projects.deleting import projects_delete
from core.tenancy.models import Team
from tests.core.actions.conftest import STEP, Api, make_api
from tests.factories import make_team

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("clickhouse")]

KEYS = {
    "id", "name", "description", "tags", "post_to_slack", "slack_message_format", "steps", "created_at",
    "created_by", "deleted", "is_calculating", "last_calculated_at", "team_id", "is_action", "bytecode_error",
    "pinned_at", "creation_context",
}  # fmt: skip
NOT_KNOWN = {"id": "7", "name": "old", "isNew": "x", "selection": [], "action": 3}


def refusal(answer: Any) -> tuple[int, str, str | None]:
    body = answer.json()
    # Mistakes in HogQL tell their place too.
    assert set(body) - {"extra"} == {"type", "code", "detail", "attr"}
    return answer.status_code, body["detail"], body["attr"]


@pytest.mark.parametrize("tree", ["projects", "environments"])
def test_a_created_action_has_the_keys_of_posthog(team: Team, tree: str) -> None:
    api = make_api(team, tree=tree)
    steps = [{"event": "$pageview", "url": "/buy"}, {"event": "buy", "properties": [{"key": "plan", "value": "pro"}]}]
    made = api.make(name=" Buys ", description="who buys", tags=["Shop", " shop", "b"], steps=steps)
    assert set(made) == KEYS
    assert (made["name"], made["description"], made["tags"]) == ("Buys", "who buys", ["shop", "b"])
    assert made["steps"] == [{**STEP, **step} for step in steps]
    assert (made["team_id"], made["deleted"], made["is_calculating"], made["is_action"]) == (
        team.id,
        False,
        False,
        True,
    )
    assert made["last_calculated_at"] == made["created_at"]
    assert made["created_by"]["email"]
    assert (made["post_to_slack"], made["slack_message_format"], made["pinned_at"]) == (False, "", None)
    assert api.read(made["id"]) == made
    assert api.get(f"/actions/{made['id']}").json() == made


def test_nothing_needs_to_be_given(api: Api) -> None:
    made = [api.make(), api.make(name=None), api.make()]
    assert [(one["name"], one["description"], one["tags"], one["steps"]) for one in made] == [(None, "", [], [])] * 3


def test_what_a_step_does_not_have_is_left_out(api: Api) -> None:
    assert api.make(steps=[{"event": "buy", **NOT_KNOWN}])["steps"] == [{**STEP, "event": "buy"}]


def test_an_action_may_be_made_deleted(api: Api) -> None:
    assert api.make(name="a", deleted=True)["deleted"] is True
    assert api.get().json()["count"] == 0


def test_the_list_is_newest_first_with_count_and_links(api: Api) -> None:
    ids = [api.make(name=f"a{number}")["id"] for number in range(5)]
    page = api.get(limit=2).json()
    assert set(page) == {"count", "next", "previous", "results"}
    assert (page["count"], [one["id"] for one in page["results"]]) == (5, [ids[4], ids[3]])
    second = api.client.get(page["next"]).json()
    assert [one["id"] for one in second["results"]] == [ids[2], ids[1]]
    assert second["previous"] is not None
    last = api.client.get(second["next"]).json()
    assert ([one["id"] for one in last["results"]], last["next"]) == ([ids[0]], None)
    assert all(set(one) == KEYS for one in page["results"])


def test_the_list_is_narrowed_by_name(api: Api) -> None:
    for name in ("100% Real", "1000 reals", "other"):
        api.make(name=name)

    def names(search: str) -> list[str]:
        return [one["name"] for one in api.get(search=search).json()["results"]]

    assert names("real") == ["1000 reals", "100% Real"]
    assert names("0% r") == ["100% Real"]
    assert names("_") == names("\\") == names("\0") == []
    assert len(names("")) == 3


def test_lists_cost_the_same_for_few_and_for_many(api: Api) -> None:
    api.make()
    with CaptureQueriesContext(connection) as few:
        api.get()
    for _ in range(10):
        api.make()
    with CaptureQueriesContext(connection) as many:
        assert api.get().json()["count"] == 11
    assert len(many) == len(few)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_an_update_changes_only_what_is_given(api: Api, method: str) -> None:
    made = api.make(name="old", description="kept", tags=["a"], steps=[{"event": "buy"}], pinned_at="2024-01-01")
    answer = api.send(method, f"/actions/{made['id']}/", {"name": "new"})
    assert answer.status_code == 200
    assert answer.json() == {**made, "name": "new"}
    changed = api.send(method, f"/actions/{made['id']}/", {"steps": [], "tags": [], "description": None}).json()
    assert changed == {**made, "name": "new", "steps": [], "tags": [], "description": ""}


def test_a_retrieved_object_may_be_sent_back_whole(api: Api) -> None:
    step = {"event": "$autocapture", "text": "Buy", "text_matching": "regex", "selector": "a.b > button", "url": ""}
    for made in (api.make(), api.make(name="a", tags=["b"], steps=[step, {}], pinned_at="2024-01-01T00:00:00Z")):
        for method in ("PUT", "PATCH"):
            answer = api.send(method, f"/actions/{made['id']}/", made)
            assert (answer.status_code, answer.json()) == (200, made)
    assert ActivityLog.objects.filter(team_id=api.team.id, scope="Action", activity="updated").count() == 0


def test_a_pin_keeps_its_time(api: Api) -> None:
    path = f"/actions/{api.make()['id']}/"
    pinned = api.send("PATCH", path, {"pinned_at": "1999-01-01T00:00:00Z"}).json()["pinned_at"]
    assert pinned > "2024"
    assert api.send("PATCH", path, {"pinned_at": "2050-01-01"}).json()["pinned_at"] == pinned
    assert api.send("PATCH", path, {"pinned_at": None}).json()["pinned_at"] is None
    assert api.send("PATCH", path, {"pinned_at": ""}).json()["pinned_at"] is None


def test_nothing_is_posted_to_slack(api: Api) -> None:
    made = api.make(post_to_slack=True, slack_message_format="[event]")
    assert (made["post_to_slack"], made["slack_message_format"]) == (False, "")


def test_delete_hides_and_patch_restores(api: Api) -> None:
    made = api.make(name="a")
    path = f"/actions/{made['id']}/"
    answer = api.send("DELETE", path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert api.get().json()["count"] == 0
    assert api.read(made["id"]) == {**made, "deleted": True}
    assert api.send("DELETE", path).status_code == 404
    assert api.send("PATCH", path, {"deleted": False}).json() == made
    assert api.send("PATCH", path, {"deleted": True}).json()["deleted"] is True


def test_a_name_is_unique_among_living_actions(api: Api, stranger: Api) -> None:
    stranger.make(name="same")
    first = api.make(name="same")
    other = api.make(name="other")
    taken = (400, f"This project already has an action with this name, ID {first['id']}", "name")
    again = api.send("POST", "/actions/", {"name": " same "})
    assert refusal(again) == taken
    assert again.json()["code"] == "unique"
    assert refusal(api.send("PATCH", f"/actions/{other['id']}/", {"name": "same"})) == taken
    assert api.send("PATCH", f"/actions/{first['id']}/", {"name": "same"}).status_code == 200
    api.send("DELETE", f"/actions/{first['id']}/")
    second = api.make(name="same")
    answer = api.send("PATCH", f"/actions/{first['id']}/", {"deleted": False})
    assert refusal(answer) == (400, f"This project already has an action with this name, ID {second['id']}", "name")
    assert api.send("PATCH", f"/actions/{first['id']}/", {"deleted": False, "name": "first"}).status_code == 200


def test_postgres_keeps_names_unique_too(api: Api) -> None:
    api.make(name="same")
    with pytest.raises(IntegrityError), transaction.atomic():
        Action.unscoped.create(team=api.team, name="same")
    Action.unscoped.create(team=api.team, name="same", deleted=True)


def test_of_two_made_at_once_under_one_name_one_is_refused(api: Api) -> None:
    for number in range(5):
        start = threading.Barrier(2)

        def make(number: int = number, start: threading.Barrier = start) -> int:
            start.wait()
            try:
                client = Client(raise_request_exception=False)
                client.defaults = api.client.defaults
                return int(Api(api.team, client).send("POST", "/actions/", {"name": f"a{number}"}).status_code)  # type: ignore[arg-type]
            finally:
                connection.close()

        with ThreadPoolExecutor(2) as pool:
            asked = [pool.submit(make) for _ in range(2)]
        assert sorted(one.result() for one in asked) == [201, 400]


def test_a_create_sent_again_is_answered_alike(api: Api) -> None:
    key = {"Idempotency-Key": "one"}
    first, again = (api.send("POST", "/actions/", {"name": "a"}, **key) for _ in range(2))
    assert (first.status_code, again.status_code, again.content) == (201, 201, first.content)
    assert api.get().json()["count"] == 1


FORM = {"name": "Form", "tags": '["a", "b"]', "steps": '[{"event": "buy"}]', "deleted": "false", "pinned_at": ""}


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", MULTIPART_CONTENT])
def test_forms_are_taken(api: Api, kind: str) -> None:
    def post(fields: dict[str, Any]) -> Any:
        data: Any = encode_multipart(BOUNDARY, fields) if kind == MULTIPART_CONTENT else urlencode(fields, doseq=True)
        return api.client.generic("POST", api.url(), data, content_type=kind)

    made = post(FORM)
    assert made.status_code == 201
    assert (made.json()["tags"], made.json()["steps"]) == (["a", "b"], [{**STEP, "event": "buy"}])
    assert post({"name": "repeated", "tags": ["x", "y"]}).json()["tags"] == ["x", "y"]
    assert post({"name": "none", "tags": "", "steps": "[]"}).json()["tags"] == []
    assert refusal(post({"steps": "[{"})) == (400, "Value must be valid JSON.", "steps")


@pytest.mark.parametrize(
    ("body", "attr"),
    [
        ({"name": 5}, "name"),
        ({"name": ["a"]}, "name"),
        ({"name": "  "}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 401}, "name"),
        ({"description": 5}, "description"),
        ({"description": "x" * 10_001}, "description"),
        ({"tags": "a"}, "tags"),
        ({"tags": {"a": 1}}, "tags"),
        ({"tags": None}, "tags"),
        ({"tags": ["a"] * 101}, "tags"),
        ({"tags": ["a", 5]}, "tags__1"),
        ({"tags": [None]}, "tags__0"),
        ({"tags": ["x" * 256]}, "tags__0"),
        ({"deleted": "perhaps"}, "deleted"),
        ({"deleted": [1]}, "deleted"),
        ({"pinned_at": "soon"}, "pinned_at"),
        ({"pinned_at": 5}, "pinned_at"),
        ({"pinned_at": {}}, "pinned_at"),
        ({"post_to_slack": "perhaps"}, "post_to_slack"),
        ({"slack_message_format": 5}, "slack_message_format"),
        ({"slack_message_format": "x" * 1201}, "slack_message_format"),
        ({"steps": None}, "steps"),
        ({"steps": {}}, "steps"),
        ({"steps": 5}, "steps"),
        ({"steps": "[{"}, "steps"),
        ({"steps": [{}] * 51}, "steps"),
        ({"steps": [5]}, "steps__0"),
        ({"steps": [{}, None]}, "steps__1"),
        ({"steps": [{}, []]}, "steps__1"),
        *(({"steps": [{field: 5}]}, f"steps__0__{field}") for field in sorted(STEP)),
        *(({"steps": [{field: {"a": 1}}]}, f"steps__0__{field}") for field in sorted(STEP)),
        *(({"steps": [{field: "x" * 1001}]}, f"steps__0__{field}") for field in sorted(STEP)),
        *(({"steps": [{field: "like"}]}, f"steps__0__{field}") for field in sorted(STEP) if "matching" in field),
        *(
            ({"steps": [{field: "(", f"{field}_matching": "regex"}]}, f"steps__0__{field}")
            for field in ("url", "text", "href")
        ),
        ({"steps": [{"url": "\\C", "url_matching": "regex"}]}, "steps__0__url"),
        ({"steps": [{"url": "(((x{90}){90}){90})", "url_matching": "regex"}]}, "steps__0__url"),
        ({"steps": [{"selector": "a >"}]}, "steps__0__selector"),
        ({"steps": [{"properties": [5]}]}, "steps__0__properties"),
        ({"steps": [{"properties": [{"key": 5, "value": 1}]}]}, "steps__0__properties"),
        ({"steps": [{"properties": [{"key": "a", "operator": "like", "value": 1}]}]}, "steps__0__properties"),
        ({"steps": [{"properties": [{"key": "a", "operator": "regex", "value": "("}]}]}, "steps__0__properties"),
        ({"steps": [{"properties": [{"key": "a", "value": {}}]}]}, "steps__0__properties"),
        ({"steps": [{"properties": [{"key": "a", "type": "hogql"}]}]}, "steps__0__properties__0__key"),
        ({"steps": [{"properties": [{"key": "a", "value": "b"}] * 51}]}, "steps__0__properties"),
        ({"steps": [{"properties": [{"key": "a", "value": "b"}] * 26}] * 2}, "steps"),
        ({"steps": [{"properties": [{"key": "id", "type": "cohort", "value": 2**62}]}]}, "steps"),
        ({"steps": [{"properties": [{"key": "k" * 100_000, "value": 1}]}]}, "steps"),
    ],
)
def test_bad_bodies_are_refused_with_the_field(api: Api, body: Any, attr: str) -> None:
    assert refusal(api.send("POST", "/actions/", body))[0::2] == (400, attr)
    path = f"/actions/{api.make()['id']}/"
    assert refusal(api.send("PATCH", path, body))[0::2] == (400, attr)
    assert refusal(api.send("PUT", path, body))[0::2] == (400, attr)


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"[]", b"5", b'"x"', b"\xff", b'{"steps": NaN}',
        b'{"steps": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"steps": [{"properties": ' + b'{"values": [' * 100 + b"]}" * 100 + b"}]}",
        b'{"steps": [{"properties": ' + b"[" * 150 + b"]" * 150 + b"}]}",
    ],
)  # fmt: skip
def test_bodies_that_are_no_action_are_refused(api: Api, body: bytes) -> None:
    assert api.send("POST", "/actions/", body).status_code == 400


def test_what_no_store_takes_is_repaired(api: Api) -> None:
    body = (
        b'{"name": "n\\u0000m", "description": "d\\u0000", "tags": ["\\u0000T"], "steps": [{"event": "a\\u0000b",'
        b' "properties": [{"key": "n", "value": 1000000000000000000000000000000}]}]}'
    )
    answer = api.send("POST", "/actions/", body)
    assert answer.status_code == 201, answer.content
    made = answer.json()
    assert (made["name"], made["description"], made["tags"]) == ("n\ufffdm", "d\ufffd", ["\ufffdt"])
    assert made["steps"][0]["event"] == "a\ufffdb"
    assert made["steps"][0]["properties"][0]["value"] == pytest.approx(1e30)
    assert api.read(made["id"]) == made


def test_cohorts_of_others_are_refused(api: Api, stranger: Api) -> None:
    theirs = stranger.send("POST", "/cohorts/", {"name": "x", "is_static": True}).json()["id"]
    mine = api.send("POST", "/cohorts/", {"name": "x", "is_static": True}).json()["id"]
    for number, status in ((theirs, 400), (mine, 201)):
        step = {"properties": [{"key": "id", "type": "cohort", "value": number}]}
        assert api.send("POST", "/actions/", {"steps": [step]}).status_code == status


def test_actions_of_other_teams_are_not_found(api: Api, stranger: Api) -> None:
    theirs = stranger.make(name="theirs")
    for number in (theirs["id"], 2**63, 10**30, "x", "1x", "-1"):
        path = f"/actions/{number}/"
        asked = [
            api.get(path),
            api.send("PATCH", path, {"name": "mine"}),
            api.send("PUT", path, {"name": "mine"}),
            api.send("DELETE", path),
        ]
        assert [refusal(answer) for answer in asked] == [(404, "Not found.", None)] * len(asked)
    assert api.get().json()["count"] == 0
    assert stranger.read(theirs["id"]) == theirs


def test_reading_and_writing_need_their_scopes(team: Team, api: Api) -> None:
    path = f"/actions/{api.make()['id']}/"
    reader = make_api(team, scopes=("action:read",))
    assert reader.get(path).status_code == 200
    for method, at in (("POST", "/actions/"), ("PATCH", path), ("PUT", path), ("DELETE", path)):
        answer = reader.send(method, at, {})
        assert refusal(answer)[:2] == (403, "API key missing required scope 'action:write'")
    writer = make_api(team, scopes=("action:write",))
    assert (writer.get(path).status_code, writer.send("PATCH", path, {}).status_code) == (200, 200)
    assert make_api(team, scopes=("person:read",)).get(path).status_code == 403
    assert make_api(make_team(), scopes=("*",)).client.get(api.url(path)).status_code in {403, 404}


def test_every_change_is_logged_with_what_changed(api: Api) -> None:
    made = api.make(name="Buys", steps=[{"event": "buy"}])
    path = f"/actions/{made['id']}/"
    api.send("PATCH", path, {"name": "Buys"})
    api.send("PATCH", path, {"name": "Pays", "steps": [{"event": "pay"}], "tags": ["t"]})
    api.send("DELETE", path)
    pinned = api.send("PATCH", path, {"deleted": False, "pinned_at": "2024-01-01"}).json()["pinned_at"]
    entries = ActivityLog.objects.filter(team_id=api.team.id, scope="Action").order_by("created_at")
    assert [(one.activity, one.item_id, one.detail["name"]) for one in entries] == [
        ("created", str(made["id"]), "Buys"),
        ("updated", str(made["id"]), "Pays"),
        ("deleted", str(made["id"]), "Pays"),
        ("updated", str(made["id"]), "Pays"),
    ]
    change = {"type": "Action", "action": "changed"}
    assert entries[1].detail["changes"] == [
        {**change, "field": "name", "before": "Buys", "after": "Pays"},
        {**change, "field": "tags", "before": [], "after": ["t"]},
        {**change, "field": "steps", "before": made["steps"], "after": [{**STEP, "event": "pay"}]},
    ]
    assert entries[2].detail["changes"] == [{**change, "field": "deleted", "before": False, "after": True}]
    assert entries[3].detail["changes"] == [
        {**change, "field": "deleted", "before": True, "after": False},
        {**change, "field": "pinned_at", "before": None, "after": pinned},
    ]


def test_a_project_has_a_limit_of_actions(api: Api) -> None:
    Action.unscoped.bulk_create(Action(team_id=api.team.id) for _ in range(MAX_ACTIONS))
    answer = api.send("POST", "/actions/", {"name": "one too many"})
    assert (answer.status_code, answer.json()["code"]) == (400, "limit_reached")
    spare = Action.unscoped.filter(team_id=api.team.id).first()
    assert spare is not None
    assert api.send("DELETE", f"/actions/{spare.id}/").status_code == 204
    assert api.send("POST", "/actions/", {"name": "fits"}).status_code == 201
    assert api.send("PATCH", f"/actions/{spare.id}/", {"deleted": False}).status_code == 400


def test_nothing_is_made_in_a_deleted_project(api: Api) -> None:
    projects_delete(organization_id=api.team.organization_id, team_ids=[api.team.id], user_id=None)
    assert api.send("POST", "/actions/", {"name": "late"}).status_code == 404
    assert not Action.unscoped.filter(team_id=api.team.id).exists()


def test_the_browsable_page_makes_and_shows_steps(api: Api) -> None:
    fields = {
        "_html_form": "",
        "name": "Page",
        "steps": '[{"event": "buy", "text": "a"}]',
        "tags": "a\r\nb",
        "deleted": "",
    }
    made = api.client.post(api.url(), fields, headers={"accept": "application/json"})
    assert made.status_code == 201, made.content
    assert made.json()["steps"] == [{**STEP, "event": "buy", "text": "a"}]
    page = api.client.get(api.url(f"/actions/{made.json()['id']}/"), headers={"accept": "text/html"})
    assert (page.status_code, b"&quot;text&quot;" in page.content) == (200, True)
