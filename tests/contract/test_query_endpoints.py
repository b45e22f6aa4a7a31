"""Every endpoint of queries, under both prefixes: status, full key set, scope, operation id; the shapes are checked by
the client. Each kind of query is asked once.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from django.http import HttpResponse

from core.query.background import background_run
from core.query.runners.registry import KNOWN_KINDS, SUPPORTED_KINDS, WRAPPERS, runner_of
from core.routes import routes
from tests.core.http import Caller, parsed, problem
from tests.core.query.execution.conftest import Asking, make_asking
from tests.core.query.execution.test_background import STATUS
from tests.core.query.execution.test_hogql_answer import KEYS
from tests.factories import make_key, make_team, make_user
from tests.support.contract import document

pytestmark = pytest.mark.django_db

TREES: Final = ("projects", "environments")
LOGGED: Final = {
    "results", "columns", "types", "query", "hogql", "clickhouse", "error", "explain", "metadata", "warnings",
    "hasMore", "limit", "offset", "modifiers", "query_metadata",
}  # fmt: skip
HOGQL: Final = {"kind": "HogQLQuery", "query": "select 1"}


@dataclass(frozen=True)
class Call:
    """One request, and the exact keys of its answer by place: `""` is the whole."""

    keys: dict[str, set[str]] = field(default_factory=dict)
    status: int = 200
    body: Any = None
    path: str = ""
    verb: str = ""


CALLS: dict[tuple[str, str], Call] = {
    ("POST", ""): Call({"": set(KEYS)}, body={"query": HOGQL}, verb="create"),
    ("POST", "check_auth_for_async/"): Call({"": {"user"}}, verb="check_auth_for_async_create"),
    ("POST", "upgrade/"): Call({"": {"query"}}, body={"query": HOGQL}, verb="upgrade_create"),
    ("POST", "{id}/"): Call({"": set(KEYS)}, body={"query": HOGQL}, path="HogQLQuery/", verb="create_2"),
    ("GET", "{id}/"): Call(
        {"": {"query_status"}, "query_status": STATUS, "query_status.results": set(KEYS)}, path="done/", verb="retrieve"
    ),
    ("DELETE", "{id}/"): Call({"": {"message"}}, path="done/", verb="destroy"),
    ("GET", "{id}/log/"): Call({"": LOGGED}, path="done/log/", verb="log_retrieve"),
}
every_call = pytest.mark.parametrize(("method", "path"), sorted(CALLS))
every_tree = pytest.mark.parametrize("tree", TREES)


@pytest.fixture
def owner(clickhouse: object, valkey: object) -> Asking:
    return make_asking(make_team())


def send(asking: Asking, tree: str, method: str, path: str, *, slash: bool = True) -> HttpResponse:
    call = CALLS[method, path]
    address = Asking(asking.team, asking.key, tree).url(call.path or path)
    return Caller(asking.key)(method, address if slash else address.rstrip("/"), call.body)


def finished(asking: Asking) -> None:
    asking.ask("select 1", refresh="force_async", client_query_id="done")
    background_run(asking.team.id, "done")


def dig(body: Any, place: str) -> Any:
    for step in place.split(".") if place else ():
        body = body[step]
    return body


def documented() -> Iterator[tuple[str, str, str, Any]]:
    for path, item in document()["paths"].items():
        for tree in TREES:
            prefix = f"/api/{tree}/{{project_id}}/query/"
            if path.startswith(prefix):
                for method, operation in item.items():
                    yield tree, method.upper(), path.removeprefix(prefix), operation


def test_the_table_is_the_route_table() -> None:
    found = {
        (route.template.split("/")[2], method.upper(), route.template.partition("/query/")[2])
        for route, _, actions in routes()
        if route.resource == "query"
        for method in actions
    }
    assert found == {(tree, method, path) for tree in TREES for method, path in CALLS}


@every_tree
@every_call
def test_status_and_keys(owner: Asking, tree: str, method: str, path: str) -> None:
    finished(owner)
    response = send(owner, tree, method, path)
    call = CALLS[method, path]
    assert response.status_code == call.status, response.content
    for place, keys in call.keys.items():
        assert set(dig(parsed(response), place)) == keys, place


@every_call
def test_without_the_slash(owner: Asking, method: str, path: str) -> None:
    finished(owner)
    assert send(owner, "projects", method, path, slash=False).status_code == CALLS[method, path].status


@every_tree
@every_call
def test_strangers_and_keys_without_the_scope(owner: Asking, tree: str, method: str, path: str) -> None:
    stranger = Asking(owner.team, make_key(make_user(team=make_team())))
    assert problem(send(stranger, tree, method, path))[0] == 403
    user = make_user(owner.team.organization, team=owner.team)
    without = Asking(owner.team, make_key(user, scopes=["person:read"]))
    status, kind, code, detail, _ = problem(send(without, tree, method, path))
    assert (status, kind, code) == (403, "authentication_error", "permission_denied")
    assert detail == "API key missing required scope 'query:read'"
    finished(owner)
    assert send(Asking(owner.team, make_key(user, scopes=["query:read"])), tree, method, path).status_code == 200


def test_operation_ids_tags_and_scopes() -> None:
    seen = set()
    for tree, method, path, operation in documented():
        verb = CALLS[method, path].verb
        name = f"query_{verb}"
        assert operation["operationId"] == (name if tree == "projects" else f"environments_{name}")
        assert operation["tags"] == (["query"] if tree == "projects" else ["environments"])
        assert operation["security"] == [{"PersonalAPIKeyAuth": ["query:read"]}]
        assert "Idempotency-Key" not in {found["name"] for found in operation.get("parameters", ())}
        seen.add((tree, method, path))
    assert seen == {(tree, method, path) for tree in TREES for method, path in CALLS}


def test_the_document_tells_the_kinds_apart() -> None:
    schemas = document()["components"]["schemas"]
    node = schemas["QueryNodeRequest"]
    assert node["discriminator"]["propertyName"] == "kind"
    assert set(node["discriminator"]["mapping"]) == set(SUPPORTED_KINDS)
    refresh = schemas["QueryRequestRequest"]["properties"]["refresh"]["description"]
    for word in ("blocking", "async", "lazy_async", "force_async", "force_blocking", "force_cache"):
        assert f"`{word}`" in refresh


@pytest.mark.parametrize("kind", sorted(set(SUPPORTED_KINDS) - WRAPPERS))
def test_every_kind_that_is_listed_has_a_runner(kind: str) -> None:
    runner = runner_of(kind)
    assert runner is not None
    assert runner.kind == kind


def test_kinds_are_known_once() -> None:
    assert len(set(KNOWN_KINDS)) == len(KNOWN_KINDS)
    assert set(SUPPORTED_KINDS) <= set(KNOWN_KINDS)
