"""One scenario that does everything that may be done with secrets of configs, and keeps every answer."""

import base64
import io
import secrets
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar, Final
from urllib.parse import quote

import orjson
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.test import Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.urls import reverse

from core.plugins.deliveries.working import deliver
from core.plugins.handlers.base import HandlerContext, PluginHandler, Result, Sender
from core.plugins.jobs.working import jobs_run
from core.plugins.models import Plugin, PluginDestination, PluginJob
from core.tenancy.models import Team, User
from tests.core.http import Caller, parsed
from tests.factories import make_key, make_plugin, make_team, make_user
from tests.persons_api.admin.helpers import registered

PLACEHOLDER: Final = "**************** POSTHOG SECRET FIELD ****************"
LONG_AGO: Final = datetime(2020, 1, 1, tzinfo=UTC)
PLUGIN_PAGES: Final = ("plugin", "pluginconfig", "pluginjob", "plugindestination", "plugindelivery")


def secret(name: str) -> str:
    return f"{name}-{secrets.token_hex(12)}"


class LeakyHandler(PluginHandler):
    """Raises whatever it knows, as careless code does."""

    key = "leaky"
    name = "Leaky"
    description = "For this test."
    config_schema = ({"key": "apiToken", "type": "string", "secret": True},)
    methods = ("onEvent",)
    public_jobs: ClassVar[Mapping[str, Mapping[str, Any]]] = {"export": {"payload": {"apiKey": {"type": "string"}}}}

    def check(self, config: Mapping[str, Any], *, enabled: bool) -> None:
        if str(config.get("apiToken", "")).startswith("crash"):
            raise RuntimeError(repr(config), enabled)

    @contextmanager
    def connect(self, context: HandlerContext) -> Iterator[Sender]:
        yield LeakySender(context)

    def run_job(self, job: str, payload: Mapping[str, Any], context: HandlerContext) -> str:
        raise RuntimeError(job, payload, context.config, context)


class LeakySender(Sender):
    def __init__(self, context: HandlerContext) -> None:
        self.context = context

    def send(self, events: Sequence[Mapping[str, Any]]) -> Result:
        raise RuntimeError(events, self.context.config, self.context)


class Echo(BaseHTTPRequestHandler):
    """A receiver that tells everybody what it was told, in every way it can."""

    protocol_version = "HTTP/1.1"
    seen: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        told = " ".join(f"{name}: {value}" for name, value in self.headers.items())
        self.seen.append(f"{self.path} {told} {body.decode()}")
        status = int(self.path.strip("/").partition("?")[0])
        self.send_response(status, told[:500])
        self.send_header("Location", f"http://example.org/{quote(told)}")
        self.send_header("X-Told", told)
        answer = told.encode()
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_GET(self) -> None:
        """Answer as the hosts of repositories do, with an archive."""
        self.seen.append(f"{self.path} {self.headers}")
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("relay/plugin.json", '{"name": "Relay", "main": "index.js"}')
            archive.writestr("relay/index.js", "export function onEvent(event) {}")
        self.send_response(200)
        self.send_header("Content-Length", str(len(file.getvalue())))
        self.end_headers()
        self.wfile.write(file.getvalue())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the name of the base
        pass


class Scenario:
    """An owner who does everything, and an operator who looks at every page; all answers are kept."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.team: Team = make_team()
        self.caller = Caller(make_key(make_user(team=self.team)))
        self.secrets: dict[str, str] = {}
        self.answers: list[str] = []
        self.project = f"/api/projects/{self.team.pk}"
        self.plugins = f"/api/organizations/{self.team.organization_id}/plugins"

    def new(self, name: str) -> str:
        """Return a new secret, which is looked for in the end."""
        self.secrets[name] = secret(name.replace(" ", "-"))
        return self.secrets[name]

    def keep(self, what: str, response: HttpResponse) -> HttpResponse:
        text = response.content.decode(errors="replace")
        self.answers.append(f"{what} {response.status_code} {dict(response.headers)} {text}")
        return response

    def call(self, method: str, path: str, body: Any = None, *, status: int | None = 200, **extra: Any) -> Any:
        response = self.keep(f"{method} {path}", self.caller(method, path, body, **extra))
        assert status is None or response.status_code == status, (method, path, response.content)
        return parsed(response) if "json" in response.headers.get("Content-Type", "") else response.content

    def form(self, method: str, path: str, fields: Mapping[str, Any], *, status: int | None = 200) -> Any:
        data = encode_multipart(BOUNDARY, fields)
        return self.call(method, path, data, content_type=MULTIPART_CONTENT, status=status)

    def webhook(self, path: str, **config: Any) -> Any:
        """Make a webhook whose receiver answers the status that is its path."""
        plugin = Plugin.objects.get(url="inline://webhook")
        config = {
            "url": f"http://127.0.0.1:{self.port}/{path}",
            "headers": {"X-Api-Key": self.new(f"header {path[:3]}")},
            "signing_secret": self.new_signing_secret(path[:3]),
            **config,
        }
        body = {"plugin": plugin.pk, "enabled": True, "order": 1, "config": config}
        return self.call("POST", f"{self.project}/pipeline_destination_configs/", body, status=201)

    def new_signing_secret(self, name: str) -> str:
        value = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        self.secrets[f"signing secret {name}"] = value.removeprefix("whsec_").rstrip("=")
        return value

    def capture(self, count: int) -> None:
        batch = [
            {"event": "bought", "distinct_id": f"person-{number}", "properties": {"visible": "known event"}}
            for number in range(count)
        ]
        body = {"api_key": self.team.api_token, "batch": batch}
        response = Caller()("POST", "/batch/", body)
        assert response.status_code == 200, response.content


def webhooks(do: Scenario) -> list[int]:
    """Make webhooks that fare in every way, change one in every way, and deliver."""
    configs = [
        do.webhook(path)["id"]
        for path in ("200", "400", "503", f"302?key={do.new('302 in the url')}", f"418?{do.new('418 in the url')}")
    ]
    first = f"{do.project}/pipeline_destination_configs/{configs[0]}/"
    url = f"http://127.0.0.1:{do.port}/200"
    kept = {"url": url, "headers": PLACEHOLDER, "signing_secret": PLACEHOLDER}
    do.call("PATCH", first, {"config": kept})
    do.call("PATCH", first, {"config": {**kept, "headers": {"X-Api-Key": do.new("other header")}}})
    do.call("PUT", first, {"order": 3, "config": {"url": url, "signing_secret": do.new_signing_secret("put")}})
    do.form(
        "PATCH", first, {"config": orjson.dumps({**kept, "signing_secret": do.new_signing_secret("form")}).decode()}
    )
    do.call("PATCH", first, {"enabled": False})
    do.call("PATCH", first, {"enabled": True})
    for config in ({"headers": do.new("header as text")}, {"headers": [do.new("header in a list")]},
                   {"headers": {"X-Key": {"a": do.new("nested header")}}}, {"headers": {do.new("name"): "x\r\ny"}},
                   {"headers": {"X-Key": do.new("broken header") + "\r\nHost: x"}},
                   {"signing_secret": {"a": do.new("signing object")}}, {"signing_secret": do.new("no base64")},
                   {"url": f"http://user:{do.new('password in the url')}@127.0.0.1:{do.port}/"},
                   {"url": f"http://10.0.0.1/{do.new('private url')}"},
                   {"url": f"gopher://{do.new('url of another scheme')}/"}):  # fmt: skip
        do.call("PATCH", first, {"config": {"url": url, **config}}, status=None)
    do.call("PATCH", first, {"config": {**kept, "signing_secret": do.new_signing_secret("last")}})
    for headers in ({"Accept": "text/html"}, {"Idempotency-Key": "once"}):
        again = {**kept, "headers": {"X-Api-Key": do.new(f"header sent with {headers}")}}
        for _ in range(2):
            do.call("PATCH", first, {"config": again}, headers=headers)
        do.call("GET", first, headers=headers)
    wrong = {"config": {"url": [do.new("url sent for a page")]}}
    do.call("PATCH", first, wrong, status=400, headers={"Accept": "text/html"})
    do.call("PATCH", f"{do.project}/pipeline_destination_configs/rearrange/", {"orders": {str(configs[0]): 8}})
    gone = do.webhook("410", url=f"http://127.0.0.1:1/{do.new('refused url')}")["id"]
    named = do.webhook("411", url=f"https://127.0.0.1:{do.port}/{do.new('url without tls')}")["id"]
    return [*configs, gone, named]


def broken_bodies(do: Scenario) -> None:
    """Send secrets in bodies that cannot be read: the error is about the body, and does not repeat it."""
    plugin = Plugin.objects.get(url="inline://webhook").pk
    path = f"{do.project}/plugin_configs/"
    texts = (
        f'{{"apiToken": "{do.new("unfinished json")}"',
        f'["{do.new("list")}"]',
        f'"{do.new("text")}"',
        do.new("no json"),
    )
    for text in texts:
        do.form("POST", path, {"plugin": str(plugin), "order": "1", "config": text}, status=400)
        do.call("POST", path, {"plugin": plugin, "order": 1, "config": text}, status=400)
    do.call("POST", path, f'{{"config": {{"headers": "{do.new("unfinished body")}"'.encode(), status=400)


def stored_plugins(do: Scenario) -> list[int]:
    """Configure plugins of the organization, with attachments; jobs of theirs have nobody to do them."""
    listed = [
        {"key": "host", "type": "string"},
        {"key": "apiToken", "type": "string", "secret": True},
        {"key": "keyFile", "type": "attachment", "secret": True},
    ]
    mapped = {entry["key"]: {name: value for name, value in entry.items() if name != "key"} for entry in listed}
    made = []
    for name, schema in (("listed", listed), ("mapped", mapped)):
        plugin = make_plugin(
            do.team.organization, name=name, config_schema=schema, capabilities={"methods": ["onEvent"]}
        )
        sent = {"host": "visible.example.org", "apiToken": do.new(f"{name} token")}
        fields: dict[str, Any] = {"plugin": str(plugin.pk), "order": "1", "enabled": "true"}
        fields["config"] = orjson.dumps(sent).decode()
        fields["add_attachment[keyFile]"] = attachment(do, name)
        config = do.form("POST", f"{do.project}/plugin_configs/", fields, status=201)
        path = f"{do.project}/plugin_configs/{config['id']}/"
        assert config["config"]["apiToken"] == config["config"]["keyFile"]["name"] == PLACEHOLDER
        do.form("PATCH", path, {"add_attachment[keyFile]": attachment(do, f"second {name}")})
        do.form("PATCH", path, {"add_attachment[other]": attachment(do, f"unknown {name}")}, status=400)
        for payload in ({"apiKey": do.new(f"{name} payload")}, {do.new(f"{name} field"): 1}):
            do.call("POST", f"{path}job/", {"job": {"type": "export", "payload": payload}})
        do.call("POST", f"{path}job/", {"job": {"type": "export", "payload": do.new(f"{name} no object")}}, status=400)
        do.call("POST", f"{path}job/", {"job": {"payload": {"apiKey": do.new(f"{name} no type")}}}, status=400)
        do.form("PATCH", path, {"remove_attachment[keyFile]": "1"})
        do.form("PATCH", path, {"add_attachment[keyFile]": attachment(do, f"third {name}")})
        made.append(config["id"])
    return made


def attachment(do: Scenario, name: str) -> SimpleUploadedFile:
    return SimpleUploadedFile(
        do.new(f"{name} file name"), do.new(f"{name} contents").encode(), "application/x-pem-file"
    )


def leaking_handler(do: Scenario) -> int:
    """Configure a handler that raises its secrets on every occasion."""
    plugin = Plugin.objects.get(url="inline://leaky").pk
    config = {"apiToken": do.new("leaked token")}
    path = f"{do.project}/pipeline_destination_configs/"
    body = {"plugin": plugin, "order": 1, "enabled": True, "config": config}
    made: int = do.call("POST", path, body, status=201)["id"]
    do.call("POST", path, {**body, "config": {"apiToken": "crash " + do.new("crashing check")}}, status=400)
    job = {"type": "export", "payload": {"apiKey": do.new("leaked payload")}}
    do.call("POST", f"{path}{made}/job/", {"job": job})
    return made


def installing(do: Scenario) -> int:
    """Install plugins from addresses with private tokens, and fail to; return the one that is there."""
    for number, host in enumerate(("github.com/example/relay", "gitlab.com/example/relay", "example.org")):
        url = f"https://user:{do.new(f'password of repository {number}')}@{host}"
        do.call("POST", f"{do.plugins}/", {"plugin_type": "repository", "url": url}, status=400)
    url = f"https://example.org/?private_token={do.new('token of no repository')}"
    do.call("POST", f"{do.plugins}/", {"plugin_type": "repository", "url": url}, status=400)
    url = f"https://github.com/example/relay?private_token={do.new('token of a failing repository')}"
    do.call("POST", f"{do.plugins}/", {"plugin_type": "repository", "url": url}, status=400)
    url = f"https://github.com/example/relay/commit/{'0a' * 20}?private_token={do.new('token of repository')}"
    plugin: int = do.call("POST", f"{do.plugins}/", {"plugin_type": "repository", "url": url}, status=201)["id"]
    do.call("POST", f"{do.plugins}/", {"plugin_type": "repository", "url": url}, status=400)
    do.call("PATCH", f"{do.plugins}/{plugin}/", {"name": "Other"})
    do.call("GET", f"{do.plugins}/{plugin}/source/")
    return plugin


def work(do: Scenario) -> None:
    """Deliver what waits and run the jobs that do, until no more is to be done at once."""
    for _ in range(20):
        more = [deliver(seconds=2), jobs_run(seconds=2)]
        PluginDestination.unscoped.update(next_attempt_at=LONG_AGO)
        PluginJob.unscoped.update(next_attempt_at=LONG_AGO)
        if not any(more) and not PluginJob.unscoped.filter(state="queued").exists():
            return


def look(do: Scenario, configs: Sequence[int]) -> None:
    """Read all that tells of the configs."""
    for base in ("plugin_configs", "pipeline_destination_configs"):
        assert do.call("GET", f"{do.project}/{base}/")["count"] > 0
    for config in configs:
        path = f"{do.project}/plugin_configs/{config}"
        assert do.call("GET", f"{path}/")["id"] == config
        assert do.call("GET", f"{path}/logs/?limit=100")["count"] > 0
        assert do.call("GET", f"{path}/activity/?limit=100")["total_count"] > 0
        do.call("GET", f"{path}/frontend/")
    do.call("GET", f"{do.plugins}/")
    do.call("GET", f"{do.plugins}/activity/")
    do.call("GET", f"/api/organizations/{do.team.organization_id}/activity/?limit=100")
    do.call("GET", f"/api/projects/{do.team.pk}/activity/?limit=100")
    assert do.keep("metrics", Client().get("/metrics/")).status_code == 200


def look_as_operator(do: Scenario) -> int:
    """Read the pages of the admin; return how many there were."""
    browser = Client()
    browser.force_login(User.objects.create_superuser("operator@example.org", "correct horse battery staple"))
    pages = ["/admin/"]
    for name in (*PLUGIN_PAGES, "activitylog", "outboxrows"):
        rows = registered()[f"core_{name}"]._base_manager.order_by("pk")[:50]  # noqa: SLF001
        pages.append(reverse(f"admin:core_{name}_changelist"))
        pages += [reverse(f"admin:core_{name}_change", args=[row.pk]) for row in rows]
    for page in pages:
        assert do.keep(page, browser.get(page)).status_code == 200, page
    return len(pages)
