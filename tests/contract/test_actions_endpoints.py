"""Every endpoint of saved actions, under both prefixes: status, full key set, schema, operation id."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from django.http import HttpResponse

from core import routes
from core.access.routing import Tree
from core.activity.models import ActivityLog
from core.tenancy.models import Team
from tests.core.http import Caller, parsed, problem
from tests.factories import make_key, make_team, make_user
from tests.support.contract import document

pytestmark = pytest.mark.django_db

TREES = {"projects": Tree.PROJECT, "environments": Tree.ENVIRONMENT}
ACTION = {
    "id", "name", "description", "tags", "post_to_slack", "slack_message_format", "steps", "created_at",
    "created_by", "deleted", "is_calculating", "last_calculated_at", "team_id", "is_action", "bytecode_error",
    "pinned_at", "creation_context",
}  # fmt: skip
STEP = {
    "event", "properties", "selector", "tag_name", "text", "text_matching", "href", "href_matching", "url",
    "url_matching",
}  # fmt: skip
USER = {
    "id", "uuid", "distinct_id", "first_name", "last_name", "email", "is_email_verified", "hedgehog_config",
    "role_at_organization",
}  # fmt: skip
WHOLE = {"": ACTION, "steps.0": STEP, "created_by": USER}
BODY = {"name": "Other", "steps": [{"event": "buy", "url": "/cart", "properties": [{"key": "plan", "value": "pro"}]}]}


@dataclass(frozen=True)
class Call:
    """One request, and the exact keys of its answer by place: `""` is the whole, `results.0` the first result."""

    keys: dict[str, set[str]] = field(default_factory=dict)
    status: int = 200
    body: Any = None
    operation: str = ""


CALLS: dict[tuple[str, str], Call] = {
    ("GET", ""): Call(
        {"": {"count", "next", "previous", "results"}, "results.0": ACTION, "results.0.steps.0": STEP},
        operation="actions_list",
    ),
    ("POST", ""): Call(WHOLE, status=201, body=BODY, operation="actions_create"),
    ("GET", "{id}"): Call(WHOLE, operation="actions_retrieve"),
    ("PUT", "{id}"): Call(WHOLE, body=BODY, operation="actions_update"),
    ("PATCH", "{id}"): Call(WHOLE, body={"name": "Other"}, operation="actions_partial_update"),
    ("DELETE", "{id}"): Call(status=204, operation="actions_destroy"),
}


@pytest.fixture
def team(db: None) -> Team:
    return make_team()


@pytest.fixture
def caller(team: Team) -> Caller:
    return Caller(make_key(make_user(team=team)))


@pytest.fixture
def action(team: Team, caller: Caller) -> int:
    made = caller("POST", f"/api/projects/{team.id}/actions/", {"name": "Buys", "steps": [{"event": "buy"}]})
    return int(parsed(made)["id"])


def send(
    caller: Caller, tree: str, team: Team, method: str, path: str, action: int, *, slash: str = "/", **headers: str
) -> HttpResponse:
    address = "/".join(["/api", tree, str(team.id), "actions", *([str(action)] if path else [])])
    return caller(method, address + slash, CALLS[method, path].body, headers=headers)


def dig(body: Any, place: str) -> Any:
    for step in place.split(".") if place else ():
        body = body[int(step)] if isinstance(body, list) else body[step]
    return body


every_call = pytest.mark.parametrize(("method", "path"), sorted(CALLS), ids=lambda part: part or "actions")
both_trees = pytest.mark.parametrize("tree", sorted(TREES))


@pytest.mark.parametrize(("tree", "slash"), [("projects", "/"), ("projects", ""), ("environments", "/")])
@every_call
def test_endpoint(tree: str, slash: str, method: str, path: str, caller: Caller, team: Team, action: int) -> None:
    response = send(caller, tree, team, method, path, action, slash=slash)
    call = CALLS[method, path]
    assert response.status_code == call.status, response.content
    if call.status == 204:
        assert response.content == b""
        return
    for place, keys in call.keys.items():
        assert set(dig(orjson.loads(response.content), place)) == keys, place or "the answer"


@both_trees
@every_call
def test_endpoint_without_a_key(tree: str, method: str, path: str, team: Team, action: int) -> None:
    assert problem(send(Caller(), tree, team, method, path, action))[:2] == (401, "authentication_error")


@both_trees
@every_call
def test_endpoint_for_a_stranger(tree: str, method: str, path: str, team: Team, action: int) -> None:
    stranger = Caller(make_key(make_user(team=make_team())))
    assert problem(send(stranger, tree, team, method, path, action))[:2] == (403, "authentication_error")


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_endpoint_from_another_project(method: str, caller: Caller, team: Team, action: int) -> None:
    other = make_team(team.organization)
    assert problem(send(caller, "projects", other, method, "{id}", action))[0] == 404
    assert parsed(caller.get(f"/api/projects/{team.id}/actions/{action}/"))["name"] == "Buys"


@pytest.mark.parametrize(("method", "path"), sorted(key for key in CALLS if key[0] != "GET"))
def test_a_change_sent_again_is_answered_alike(method: str, path: str, caller: Caller, team: Team, action: int) -> None:
    key = {"Idempotency-Key": "a key"}
    first = send(caller, "projects", team, method, path, action, **key)
    logged = ActivityLog.objects.count()
    again = send(caller, "projects", team, method, path, action, **key)
    assert first.status_code == CALLS[method, path].status
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers.get("Idempotent-Replayed") == "true"
    assert ActivityLog.objects.count() == logged


def routed(tree: Tree) -> Iterator[tuple[str, str]]:
    for route, _, actions in routes.routes():
        prefix = f"/api/{tree.value}/actions/"
        if route.template.startswith(prefix):
            path = route.template.removeprefix(prefix).strip("/")
            yield from ((method.upper(), path) for method in actions)


@both_trees
def test_the_table_is_the_route_table(tree: str) -> None:
    assert set(routed(TREES[tree])) == set(CALLS)


@every_call
def test_operations_have_the_names_that_clients_use(method: str, path: str) -> None:
    paths = document()["paths"]
    below = f"{path}/" if path else ""
    operation = paths[f"/api/projects/{{project_id}}/actions/{below}"][method.lower()]
    assert operation["operationId"] == CALLS[method, path].operation
    assert f"/api/environments/{{project_id}}/actions/{below}" in paths
