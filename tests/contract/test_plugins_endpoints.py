"""Every endpoint of plugins, their configs and logs, and persisted folders: status, full key set, schema, operation id.

`PUBLISHED` is the list of the published pages for these resources. `CALLS` says how each endpoint is called and what it
answers; that the answer fits its schema is checked by the client.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from types import ModuleType
from typing import Any, Final
from urllib.parse import urlencode
from uuid import uuid4

import orjson
import pytest
from django.core.management import call_command
from django.http import HttpResponse
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from core import routes
from core.activity.models import ActivityLog
from core.outbox.services import outbox_drain
from core.plugins.models import Plugin, PluginConfig
from tests.core.http import Caller, parsed, problem
from tests.factories import make_key, make_plugin, make_team, make_user
from tests.support.contract import document

pytestmark = pytest.mark.django_db

PROJECT: Final = "projects/{project_id}"
ENVIRONMENT: Final = "environments/{project_id}"
ORGANIZATION: Final = "organizations/{organization_id}"
# Each base with what a plugin of its family can do.
BASES: Final[dict[str, dict[str, Any]]] = {
    "plugin_configs": {"methods": ["processEvent", "onEvent"]},
    "pipeline_destination_configs": {"methods": ["onEvent"]},
    "pipeline_frontend_apps_configs": {},
    "pipeline_transformation_configs": {"methods": ["processEvent"]},
    "pipeline_import_apps_configs": {"scheduled_tasks": ["runEveryMinute"]},
}
# Method and path; the name on the page, where it has one; the name that generated clients use.
PUBLISHED = """
    GET {}/pipeline_destination_configs
        Pipelinedestinationconfigs_getList pipeline_destination_configs_list
    POST {}/pipeline_destination_configs
        Pipelinedestinationconfigs_createOrUpdate pipeline_destination_configs_create
    PATCH {}/pipeline_destination_configs/rearrange
        Pipelinedestinationconfigs_rearrangePartialUpdate pipeline_destination_configs_rearrange_partial_update
    DELETE {}/pipeline_destination_configs/{id}
        Pipelinedestinationconfigs_deleteById pipeline_destination_configs_destroy
    GET {}/pipeline_destination_configs/{id}
        Pipelinedestinationconfigs_get pipeline_destination_configs_retrieve
    PATCH {}/pipeline_destination_configs/{id}
        Pipelinedestinationconfigs_patchById pipeline_destination_configs_partial_update
    PUT {}/pipeline_destination_configs/{id}
        Pipelinedestinationconfigs_updateById pipeline_destination_configs_update
    GET {}/pipeline_destination_configs/{id}/frontend
        Pipelinedestinationconfigs_getFrontend pipeline_destination_configs_frontend_retrieve
    POST {}/pipeline_destination_configs/{id}/job
        Pipelinedestinationconfigs_createJob pipeline_destination_configs_job_create
    GET {}/pipeline_frontend_apps_configs
        Pipelinefrontendappsconfigs_get pipeline_frontend_apps_configs_list
    POST {}/pipeline_frontend_apps_configs
        Pipelinefrontendappsconfigs_createOrUpdate pipeline_frontend_apps_configs_create
    GET {}/plugin_configs/{plugin_config_id}/logs - plugin_configs_logs_list
    DELETE {}/persisted_folder/{id} - persisted_folder_destroy
    """
SCHEMA = [
    {"key": "host", "name": "Host", "type": "string", "required": True},
    {"key": "apiToken", "name": "Token", "type": "string", "secret": True},
    {"key": "mapping", "name": "Mapping", "type": "attachment"},
]
PAGE = {"count", "next", "previous", "results"}
PLUGIN = {
    "id", "plugin_type", "name", "description", "url", "icon", "config_schema", "tag", "latest_tag", "is_global",
    "organization_id", "organization_name", "capabilities", "metrics", "public_jobs",
    "hog_function_migration_available",
}  # fmt: skip
CONFIG = {
    "id", "plugin", "enabled", "order", "config", "error", "team_id", "plugin_info", "delivery_rate_24h",
    "created_at", "updated_at", "name", "description", "deleted",
}  # fmt: skip
LOG_LINE = {
    "id", "team_id", "plugin_id", "plugin_config_id", "timestamp", "source", "type", "message", "instance_id",
}  # fmt: skip
LOG_PAGE = {
    "": {"next", "previous", "results", "total_count"},
    "results.0": {"id", "user", "activity", "scope", "item_id", "detail", "created_at"},
    "results.0.user": {"first_name", "email"},
    "results.0.detail": {"changes", "trigger", "type", "name", "short_id"},
}
CHANGE = {"type", "action", "field", "before", "after"}
FOLDER = {"id", "type", "protocol", "path", "created_at", "updated_at"}
WHOLE_CONFIG = {"": CONFIG, "config": {"host", "apiToken"}, "plugin_info": PLUGIN, "plugin_info.config_schema.0": set(
    SCHEMA[0])}  # fmt: skip
BODY = {"plugin": "{plugin}", "order": 4, "enabled": True, "config": {"host": "example.org", "apiToken": "t0ken"}}


@dataclass(frozen=True)
class Call:
    """One request, and the exact keys of its answer by place: `""` is the whole, `results.0` the first result.

    `text` is what an answer that is no JSON begins with.
    """

    keys: dict[str, set[str]] = field(default_factory=dict)
    status: int = 200
    body: Any = None
    verb: str = ""
    text: str | None = None


CONFIG_CALLS = {
    ("GET", ""): Call({"": PAGE, "results.0": CONFIG, "results.0.config": {"host", "apiToken"}}, verb="list"),
    ("POST", ""): Call(WHOLE_CONFIG, status=201, body=BODY, verb="create"),
    ("GET", "/{id}"): Call(WHOLE_CONFIG, verb="retrieve"),
    ("PUT", "/{id}"): Call(WHOLE_CONFIG, body=BODY, verb="update"),
    ("PATCH", "/{id}"): Call(WHOLE_CONFIG, body={"name": "Other"}, verb="partial_update"),
    ("DELETE", "/{id}"): Call(status=204, verb="destroy"),
    ("PATCH", "/rearrange"): Call({"0": CONFIG}, body={"orders": {"{id}": 9}}, verb="rearrange_partial_update"),
    ("GET", "/{id}/frontend"): Call(text="export function getFrontendApp () ", verb="frontend_retrieve"),
    ("POST", "/{id}/job"): Call(
        {"": {"success", "job_id"}}, body={"job": {"type": "export", "payload": {}}}, verb="job_create"
    ),
    ("GET", "/{id}/activity"): Call({**LOG_PAGE, "results.0.detail.changes.0": CHANGE}, verb="activity_retrieve"),
}
LOGS_CALL = Call({"": PAGE, "results.0": LOG_LINE}, verb="logs_list")
FOLDER_BODY = {"type": "home", "protocol": "products://", "path": "Team"}
FOLDER_CALLS = {
    ("GET", ""): Call({"": PAGE, "results.0": FOLDER}, verb="list"),
    ("POST", ""): Call({"": FOLDER}, status=201, body=FOLDER_BODY, verb="create"),
    ("GET", "/{id}"): Call({"": FOLDER}, verb="retrieve"),
    ("PUT", "/{id}"): Call({"": FOLDER}, body=FOLDER_BODY, verb="update"),
    ("PATCH", "/{id}"): Call({"": FOLDER}, body={"path": "Team"}, verb="partial_update"),
    ("DELETE", "/{id}"): Call(status=204, verb="destroy"),
}
PLUGIN_CALLS = {
    ("GET", ""): Call({"": PAGE, "results.0": PLUGIN}, verb="list"),
    ("POST", ""): Call({"": PLUGIN}, status=201, body={"plugin_type": "source", "name": "Mine"}, verb="create"),
    ("GET", "/activity"): Call(LOG_PAGE, verb="activity_retrieve"),
    ("GET", "/{id}"): Call({"": PLUGIN}, verb="retrieve"),
    ("PUT", "/{id}"): Call({"": PLUGIN}, body={"name": "Other"}, verb="update"),
    ("PATCH", "/{id}"): Call({"": PLUGIN}, body={"name": "Other"}, verb="partial_update"),
    ("DELETE", "/{id}"): Call(status=204, verb="destroy"),
    ("POST", "/{id}/upgrade"): Call({"": PLUGIN}, verb="upgrade_create"),
    ("GET", "/{id}/source"): Call({"": {"index.ts"}}, verb="source_retrieve"),
    ("PATCH", "/{id}/update_source"): Call(
        {"": {"index.ts"}}, body={"index.ts": "export {}"}, verb="update_source_partial_update"
    ),
}
CALLS: dict[tuple[str, str], Call] = {
    **{
        (method, f"{tree}/{base}{path}"): call
        for (tree, base), ((method, path), call) in product(
            product((PROJECT, ENVIRONMENT), BASES), CONFIG_CALLS.items()
        )
    },
    **{("GET", f"{tree}/plugin_configs/{{plugin_config_id}}/logs"): LOGS_CALL for tree in (PROJECT, ENVIRONMENT)},
    **{
        (method, f"{tree}/persisted_folder{path}"): call
        for tree, ((method, path), call) in product((PROJECT, ENVIRONMENT), FOLDER_CALLS.items())
    },
    **{(method, f"{ORGANIZATION}/plugins{path}"): call for (method, path), call in PLUGIN_CALLS.items()},
}
FAMILY_OF = {path: next((base for base in BASES if f"/{base}" in path), "") for _, path in CALLS}


class World:
    """A project with a config of every family, a folder, and plugins, as an owner sees them."""

    def __init__(self) -> None:
        self.team = make_team()
        self.caller = Caller(make_key(make_user(team=self.team)))
        self.ids = {"project_id": str(self.team.pk), "organization_id": str(self.team.organization_id)}
        self.plugins: dict[str, int] = {}
        self.configs: dict[str, int] = {}
        for base, capabilities in BASES.items():
            fields = {"capabilities": capabilities, "config_schema": SCHEMA, "name": base}
            self.plugins[base] = make_plugin(self.team.organization, **fields).pk
            body = {**BODY, "plugin": self.plugins[base], "order": 1}
            self.configs[base] = self.made(f"{PROJECT}/{base}", body)["id"]
        self.folder = self.made(f"{PROJECT}/persisted_folder", FOLDER_BODY)["id"]
        own = make_plugin(self.team.organization, name="Own")
        own.source_files.create(filename="index.ts", source="export {}")
        self.plugin = own.pk

    def made(self, path: str, body: Any) -> Any:
        response = self.caller("POST", f"/api/{self.filled(path)}/", body)
        assert response.status_code == 201, response.content
        return parsed(response)

    def own(self, path: str) -> dict[str, str]:
        """The ids for an address: that of the config of its base, of the folder or of the plugin."""
        family = FAMILY_OF.get(path, "")
        if family:
            config, plugin = str(self.configs[family]), str(self.plugins[family])
            return {"id": config, "plugin_config_id": config, "plugin": plugin}
        return {"id": str(self.folder if "persisted_folder" in path else self.plugin)}

    def filled(self, text: str, path: str = "") -> str:
        for name, value in {**self.ids, **(self.own(path) if path else {})}.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def body(self, method: str, path: str) -> Any:
        call = CALLS[method, path]
        return None if call.body is None else orjson.loads(self.filled(orjson.dumps(call.body).decode(), path))

    def send(
        self,
        method: str,
        path: str,
        *,
        slash: str = "/",
        caller: Caller | None = None,
        content_type: str = "",
        **extra: Any,
    ) -> HttpResponse:
        address, body = f"/api/{self.filled(path, path)}{slash}", self.body(method, path)
        if content_type and body is not None:
            return (caller or self.caller)(
                method, address, encoded(body, content_type), content_type=content_type, **extra
            )
        return (caller or self.caller)(method, address, body, **extra)

    def add_log_line(self, config: int) -> None:
        plugin = PluginConfig.objects.for_team(self.team.pk).get(pk=config).plugin_id
        line = {
            "team_id": self.team.pk, "plugin_id": plugin, "plugin_config_id": config, "source": "CONSOLE",
            "type": "WARN", "message": "slow response",
        }  # fmt: skip
        call_command("plugin_log", json=orjson.dumps([line]).decode())
        outbox_drain()


def encoded(body: dict[str, Any], content_type: str) -> bytes:
    """Return a body as forms send it: objects as JSON text in one field."""
    flat = {
        name: orjson.dumps(value).decode() if isinstance(value, dict | list) else value for name, value in body.items()
    }
    return encode_multipart(BOUNDARY, flat) if content_type == MULTIPART_CONTENT else urlencode(flat).encode()


@pytest.fixture
def world(db: None, clickhouse: ModuleType) -> World:
    return World()


def dig(body: Any, place: str) -> Any:
    for step in place.split(".") if place else ():
        body = body[int(step)] if isinstance(body, list) else body[step]
    return body


every_call = pytest.mark.parametrize(("method", "path"), sorted(CALLS))
# The views of `projects` once more: who is let in has been tried there.
UNDER_ONE_PREFIX = [key for key in sorted(CALLS) if not key[1].startswith(ENVIRONMENT)]
under_one_prefix = pytest.mark.parametrize(("method", "path"), UNDER_ONE_PREFIX)
every_object = pytest.mark.parametrize(("method", "path"), [key for key in UNDER_ONE_PREFIX if "{id}" in key[1]])
every_change = pytest.mark.parametrize(("method", "path"), [key for key in UNDER_ONE_PREFIX if key[0] != "GET"])
# Orders and jobs are objects, and source files are many: forms have one level of names.
every_form = pytest.mark.parametrize(
    ("method", "path"),
    [
        key
        for key in UNDER_ONE_PREFIX
        if CALLS[key].body is not None and not key[1].endswith(("rearrange", "job", "update_source"))
    ],
)
WRONG_IDS = ("999999999", "99999999999999999999999", "abc", "-1", "1%00", "%F0%9F%92%A9", str(uuid4()))


@pytest.mark.parametrize("slash", ["/", ""])
@every_call
def test_endpoint(slash: str, method: str, path: str, world: World) -> None:
    if path.endswith("logs"):
        world.add_log_line(int(world.own(path)["id"]))
    response = world.send(method, path, slash=slash)
    call = CALLS[method, path]
    assert response.status_code == call.status, response.content
    if call.status == 204:
        assert response.content == b""
        return
    if call.text is not None:
        assert response.headers["Content-Type"].lower() == "application/javascript; charset=utf-8"
        assert response.content.decode().startswith(call.text)
        return
    body = orjson.loads(response.content)
    for place, keys in call.keys.items():
        assert sorted(dig(body, place)) == sorted(keys), place or "the answer"


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", MULTIPART_CONTENT])
@every_form
def test_every_body_may_be_a_form(content_type: str, method: str, path: str, world: World) -> None:
    response = world.send(method, path, content_type=content_type)
    assert response.status_code == CALLS[method, path].status, response.content
    answer, sent = orjson.loads(response.content), world.body(method, path)
    kept = {name: value for name, value in sent.items() if name in answer and name not in {"config", "plugin"}}
    assert {name: answer[name] for name in kept} == kept
    if "config" in sent:
        assert answer["config"]["host"] == sent["config"]["host"]


@under_one_prefix
def test_endpoint_without_a_key(method: str, path: str, world: World) -> None:
    assert problem(world.send(method, path, caller=Caller()))[:2] == (401, "authentication_error")


@under_one_prefix
def test_endpoint_for_a_stranger(method: str, path: str, world: World) -> None:
    stranger = Caller(make_key(make_user(team=make_team())))
    assert problem(world.send(method, path, caller=stranger))[:2] == (403, "authentication_error")


@every_object
def test_an_object_of_another_tenant(method: str, path: str, world: World) -> None:
    """Whoever owns both sees in each what is its own."""
    other = make_team() if path.startswith(ORGANIZATION) else make_team(world.team.organization)
    owner = make_user(other.organization, team=other)
    rows = PluginConfig.unscoped.count(), Plugin.objects.count(), ActivityLog.objects.count()
    path_of_other = path.replace("{project_id}", str(other.pk)).replace("{organization_id}", str(other.organization_id))
    address = f"/api/{world.filled(path_of_other, path)}/"
    answer = problem(Caller(make_key(owner))(method, address, world.body(method, path)))
    assert answer == (404, "invalid_request", "not_found", "Not found.", None)
    assert (PluginConfig.unscoped.count(), Plugin.objects.count(), ActivityLog.objects.count()) == rows


@every_object
def test_an_object_that_is_not_there(method: str, path: str, world: World) -> None:
    for wrong in WRONG_IDS:
        address = f"/api/{world.filled(path.replace('{id}', wrong), path)}/"
        answer = problem(world.caller(method, address, world.body(method, path)))
        assert answer == (404, "invalid_request", "not_found", "Not found.", None), wrong


@every_change
def test_a_change_sent_again_is_answered_alike(method: str, path: str, world: World) -> None:
    key = {"Idempotency-Key": "a key"}
    first = world.send(method, path, headers=key)
    logged = ActivityLog.objects.count()
    again = world.send(method, path, headers=key)
    assert first.status_code == CALLS[method, path].status
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers.get("Idempotent-Replayed") == "true"
    assert ActivityLog.objects.count() == logged


def routed() -> Iterator[tuple[str, str]]:
    resources = {*BASES, "plugins", "persisted_folder"}
    for route, _, actions in routes.routes():
        path = route.template.removeprefix("/api/").strip("/")
        if resources & set(path.split("/")):
            yield from ((method.upper(), path) for method in actions)


def test_the_table_is_the_route_table() -> None:
    assert set(routed()) == set(CALLS)


def published() -> dict[tuple[str, str], tuple[str, str]]:
    words = PUBLISHED.split()
    rows = [words[start : start + 4] for start in range(0, len(words), 4)]
    return {(method, path.replace("{}", PROJECT)): (name, exposed) for method, path, name, exposed in rows}


def test_nothing_published_is_missing() -> None:
    assert len(published()) == 13
    assert set(published()) <= set(CALLS)


@every_call
def test_operations_have_the_names_that_clients_know(method: str, path: str) -> None:
    operation = document()["paths"][f"/api/{path}/"][method.lower()]
    prefix = "environments_" if path.startswith(ENVIRONMENT) else ""
    resource = path.split("/")[2]
    assert operation["operationId"] == f"{prefix}{resource}_{CALLS[method, path].verb}"
    documented, exposed = published().get((method, path), ("-", operation["operationId"]))
    assert operation["operationId"] == exposed
    assert operation.get("x-documented-operation-id", "-") == documented
