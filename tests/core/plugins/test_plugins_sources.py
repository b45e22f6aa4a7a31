"""The files of plugins: archives, editing, folders and repositories, and compiling for browsers."""

import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.db import connection

from core.activity.models import ActivityLog
from core.encryption.services import decrypt
from core.plugins.installing import compiling
from core.plugins.installing.compiling import sources_compile
from core.plugins.models import Plugin, PluginAttachment, PluginConfig, PluginSourceFile
from core.tenancy.models import Team
from persons_api.celery import app
from tasks.plugins import plugin_sources_compile
from tests.core.conftest import Cast
from tests.core.http import parsed, problem
from tests.core.plugins.plugin_api import CODE, MANIFEST, Plugins, files_of, tarred, zipped
from tests.factories import make_plugin_config

pytestmark = pytest.mark.django_db

NO_COMPILER = "This server has no compiler for browser code: PLUGIN_COMPILE_COMMAND is not set."
SITE = "export function inject() {}"


@pytest.fixture
def plugins(cast: Cast) -> Plugins:
    Plugin.objects.all().delete()
    return Plugins(cast.as_owner(), cast.organization.pk)


def stored(plugin_id: int, name: str = "frontend.tsx") -> tuple[Any, Any, Any]:
    file = PluginSourceFile.objects.get(plugin_id=plugin_id, filename=name)
    return file.status, file.transpiled, file.error


def last_changes() -> Any:
    entry = ActivityLog.objects.filter(scope="Plugin").latest("created_at")
    return entry.activity, [(change["action"], change["field"]) for change in entry.detail["changes"]]


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_plugin_from_an_archive(plugins: Plugins, cast: Cast, pack: Any) -> None:
    archive = pack({**files_of(), "README.md": "#"})
    made = plugins.uploaded(archive, name="ignored", tag="1.2")
    assert made == {
        "id": made["id"], "plugin_type": "custom", "name": "Relay", "description": "Sends events on", "url": None,
        "icon": MANIFEST["icon"], "config_schema": MANIFEST["config"], "tag": "1.2", "latest_tag": None,
        "is_global": False, "organization_id": str(cast.organization.pk), "organization_name": "Acme",
        "capabilities": {"methods": ["onEvent"], "jobs": ["again"]}, "metrics": {},
        "public_jobs": MANIFEST["publicJobs"], "hog_function_migration_available": False,
    }  # fmt: skip
    assert plugins.read(made["id"], "source") == files_of()
    assert bytes(Plugin.objects.get().archive or b"") == archive


@pytest.mark.parametrize(
    ("manifest", "files", "code"),
    [
        ({}, {"index.js": "js", "index.ts": "ts"}, "js"),
        ({"main": "dist/main.js"}, {"dist/main.js": "main", "index.js": "js"}, "main"),
        ({"main": "./main.js"}, {"main.js": "main"}, "main"),
    ],
)
def test_which_file_is_the_code(plugins: Plugins, manifest: Any, files: dict[str, str], code: str) -> None:
    made = plugins.uploaded(zipped({"plugin.json": orjson.dumps({"name": "a", **manifest}), **files}))
    assert plugins.read(made["id"], "source")["index.ts"] == code


def test_a_plugin_for_browsers_alone(plugins: Plugins) -> None:
    files = {"plugin.json": '{"name": "App"}', "frontend.tsx": "<a/>", "site.ts": SITE}
    made = plugins.uploaded(zipped(files))
    assert made["capabilities"] == {}
    assert plugins.read(made["id"], "source") == files


@pytest.mark.parametrize(
    ("files", "detail", "attr"),
    [
        ({"plugin.json": "{"}, "plugin.json is not valid JSON.", "plugin.json"),
        ({"plugin.json": "[]"}, "plugin.json must be an object.", "plugin.json"),
        ({"plugin.json": "[" * 500 + "]" * 500}, "plugin.json is nested too deeply.", "plugin.json"),
        ({"plugin.json": '{"name": 7}'}, "Not a valid string.", "plugin.json__name"),
        ({"plugin.json": '{"name": "a", "main": 7}'}, "Not a valid path.", "plugin.json__main"),
        (
            {"plugin.json": '{"name": "a", "config": ["x"]}'},
            "Expected a list of fields, or an object of fields by key.", "plugin.json__config",
        ),
        (
            {"plugin.json": '{"name": "a", "publicJobs": {"run": 1}}'},
            "Expected an object of jobs by name.", "plugin.json__publicJobs",
        ),
        (
            {"plugin.json": '{"name": "a", "stateless": true, "config": [{"key": "a"}]}'},
            "Stateless plugins cannot have a config!", "plugin.json",
        ),
        ({"plugin.json": '{"name": "a", "main": "x.js"}'}, "Could not find main file x.js", "plugin.json"),
        ({"index.ts": ""}, "Could not find plugin.json in the plugin", "archive"),
        ({"plugin.json": b"\xff"}, "plugin.json is not text in UTF-8.", "archive"),
        ({"../plugin.json": "{}"}, "The archive has a path that leads out of it.", "archive"),
    ],
)  # fmt: skip
def test_archives_that_are_refused(plugins: Plugins, files: Mapping[str, Any], detail: str, attr: str) -> None:
    kept = plugins.uploaded(zipped(files_of()))
    for parts, method in (((), "POST"), ((kept["id"],), "PATCH")):
        answer = plugins.upload(zipped({"index.ts": CODE, **files}), *parts, method=method)
        assert problem(answer) == (400, "validation_error", "invalid_input", detail, attr)
    assert plugins.read()["results"] == [kept]


def test_a_first_archive_says_the_name(plugins: Plugins) -> None:
    nameless = zipped({"plugin.json": "{}", "index.ts": CODE})
    answer = problem(plugins.upload(nameless))
    assert answer[2:] == ("required", "plugin.json must have a name.", "plugin.json__name")
    made = plugins.uploaded(zipped(files_of()))
    assert parsed(plugins.upload(nameless, made["id"], method="PATCH"))["name"] == made["name"]
    assert plugins.uploaded(nameless, name="Said here")["name"] == "Said here"


def test_no_archive_at_all(plugins: Plugins) -> None:
    assert problem(plugins.upload(b"text"))[3:] == ("The file is neither a zip nor a tgz archive.", "archive")
    too_large = problem(plugins.upload(b"PK" + b"x" * 10 * 1024 * 1024))
    assert too_large[2:] == ("max_length", "The archive is larger than 10 MB.", "archive")
    assert problem(plugins.upload(zipped(files_of()), url="https://github.com/a/b"))[4] == "archive"
    assert problem(plugins.upload(zipped(files_of()), plugin_type="source", name="a"))[4] == "archive"
    assert not Plugin.objects.exists()


def test_a_new_version_from_an_archive(plugins: Plugins) -> None:
    made = plugins.uploaded(zipped({**files_of(), "frontend.tsx": "<a/>"}))
    newer = files_of({"name": "Relay 2"}, index_ts="export function processEvent() {}")
    answer = plugins.upload(zipped(newer), made["id"], method="PATCH", tag="2")
    changed = parsed(answer)
    assert changed == {**made, "name": "Relay 2", "tag": "2", "capabilities": {"methods": ["processEvent"]}}
    assert plugins.read(made["id"], "source") == newer
    assert last_changes() == (
        "updated",
        [("changed", "name"), ("created", "tag"), ("deleted", "frontend.tsx"), ("changed", "index.ts"),
         ("changed", "plugin.json")],
    )  # fmt: skip
    source = plugins.make()
    assert problem(plugins.upload(zipped(newer), source["id"], method="PATCH"))[4] == "archive"


def test_editing_files(plugins: Plugins) -> None:
    made = plugins.make(source=CODE)
    changes = {"index.ts": "export function composeWebhook() {}", "lib/more.ts": "// ä", "gone.ts": None}
    answer = plugins.send("PATCH", made["id"], "update_source", body=changes)
    assert parsed(answer) == {"index.ts": "export function composeWebhook() {}", "lib/more.ts": "// ä"}
    assert plugins.read(made["id"])["capabilities"] == {"methods": ["composeWebhook"]}
    assert last_changes() == ("updated", [("changed", "index.ts"), ("created", "lib/more.ts")])
    count = ActivityLog.objects.count()
    assert plugins.send("PATCH", made["id"], "update_source", body=changes).status_code == 200
    assert plugins.send("PATCH", made["id"], "update_source", body={}).status_code == 200
    assert ActivityLog.objects.count() == count
    answer = plugins.send("PATCH", made["id"], "update_source", body={"index.ts": None})
    assert parsed(answer) == {"lib/more.ts": "// ä"} == plugins.read(made["id"], "source")
    assert plugins.read(made["id"])["capabilities"] == {}


def test_texts_of_files_are_not_logged(plugins: Plugins) -> None:
    made = plugins.make(source="const key = 'hidden-1'")
    plugins.send("PATCH", made["id"], "update_source", body={"index.ts": "const key = 'hidden-2'", "a.ts": "hidden-3"})
    assert "hidden" not in str(list(ActivityLog.objects.values_list("detail", flat=True)))


def test_a_manifest_among_the_files_changes_the_plugin(plugins: Plugins) -> None:
    made = plugins.make()
    manifest = orjson.dumps(MANIFEST).decode()
    plugins.send("PATCH", made["id"], "update_source", body={"plugin.json": manifest})
    changed = plugins.read(made["id"])
    assert (changed["name"], changed["config_schema"], changed["public_jobs"]) == (
        "Relay", MANIFEST["config"], MANIFEST["publicJobs"],
    )  # fmt: skip
    partial = plugins.send("PATCH", made["id"], "update_source", body={"plugin.json": '{"name": "Other"}'})
    assert partial.status_code == 200
    assert plugins.read(made["id"]) == {**changed, "name": "Other"}
    for text in ("{", '{"name": ""}', '{"config": 7}'):
        answer = plugins.send("PATCH", made["id"], "update_source", body={"plugin.json": text, "a.ts": "new"})
        assert problem(answer)[:2] == (400, "validation_error")
    assert plugins.read(made["id"], "source") == {"plugin.json": '{"name": "Other"}'}


def test_code_with_a_slip_keeps_what_the_plugin_can_do(plugins: Plugins) -> None:
    made = plugins.make(source=CODE)
    answer = plugins.send("PATCH", made["id"], "update_source", body={"index.ts": "export function ("})
    assert answer.status_code == 200
    assert plugins.read(made["id"]) == made


@pytest.mark.parametrize(
    "name", ["../x.ts", "/x.ts", "a//b", ".hidden", "a b", "ä.ts", "x" * 201, "", "a/../b", "a\x00"]
)
def test_names_of_files(plugins: Plugins, name: str) -> None:
    made = plugins.make()
    answer = problem(plugins.send("PATCH", made["id"], "update_source", body={name: "x", "fine.ts": "x"}))
    assert answer[:4] == (400, "validation_error", "invalid_input", "Not a valid file name.")
    assert plugins.read(made["id"], "source") == {}


@pytest.mark.parametrize("text", [7, True, [], {"a": 1}])
def test_files_are_texts(plugins: Plugins, text: Any) -> None:
    made = plugins.make()
    answer = problem(plugins.send("PATCH", made["id"], "update_source", body={"a.ts": text}))
    assert answer == (400, "validation_error", "invalid_input", "Not a valid string.", "a.ts")


def test_a_plugin_has_so_many_files(plugins: Plugins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.plugins.installing.sources.MAX_FILES", 3)
    monkeypatch.setattr("core.plugins.installing.sources.MAX_TOTAL", 100)
    made = plugins.make()
    for body in ({f"{number}.ts": "x" for number in range(4)}, {"a.ts": "x" * 60, "b.ts": "x" * 60}):
        answer = problem(plugins.send("PATCH", made["id"], "update_source", body=body))
        assert answer[:3] == (400, "validation_error", "limit_reached")
    assert plugins.read(made["id"], "source") == {}


def test_what_a_config_keeps_secret_is_never_shown_by_another_schema(plugins: Plugins, cast: Cast) -> None:
    schema = [{"key": "token", "secret": True}, {"key": "file", "type": "attachment", "secret": True}, {"key": "host"}]
    made = plugins.make(config_schema=schema)
    config = make_plugin_config(cast.team, Plugin.objects.get(), config={"token": "hidden", "host": "a"}, deleted=True)
    other = make_plugin_config(cast.outside_team, Plugin.objects.get(), config={"token": ""})
    PluginAttachment.objects.for_team(cast.outside_team.pk).create(
        team=cast.outside_team, plugin_config=other, key="file", content_type="a/b", file_name="f", file_size=1,
        encrypted_contents=b"",
    )  # fmt: skip
    for shown in ([], [{"key": "token"}, {"key": "file"}], {"host": {"secret": True}}):
        answer = problem(plugins.send("PATCH", made["id"], body={"config_schema": shown, "name": "New"}))
        message = "Configs hold secrets in file, token: these fields must stay secret."
        assert answer == (400, "validation_error", "invalid_input", message, "config_schema")
    manifest = '{"name": "New", "config": []}'
    answer = plugins.send("PATCH", made["id"], "update_source", body={"plugin.json": manifest, "a.ts": "x"})
    assert problem(answer)[4] == "config_schema"
    assert (plugins.read(made["id"]), plugins.read(made["id"], "source")) == (made, {})
    kept: Any = {"token": {"secret": 1, "type": "string"}, "file": {"secret": True}, "more": {"secret": True}}
    assert parsed(plugins.send("PATCH", made["id"], body={"config_schema": kept}))["config_schema"] == kept
    PluginAttachment.unscoped.all().delete()
    PluginConfig.unscoped.filter(pk=config.pk).delete()
    assert parsed(plugins.send("PATCH", made["id"], body={"config_schema": []}))["config_schema"] == []


def test_a_plugin_of_a_folder(plugins: Plugins, settings: Any, tmp_path: Path) -> None:
    url = f"file:{tmp_path}/relay"
    assert problem(plugins.send("POST", body={"url": url}))[2:] == (
        "invalid_input",
        "This server has no folder of plugins; its operator can name one with PLUGINS_LOCAL_DIR.", "url",
    )  # fmt: skip
    settings.PLUGINS_LOCAL_DIR = str(tmp_path)
    (tmp_path / "relay").mkdir()
    assert problem(plugins.send("POST", body={"url": url}))[4] == "plugin.json"
    for name, text in files_of().items():
        (tmp_path / "relay" / name).write_text(text)
    answer = plugins.send("POST", body={"url": url, "plugin_type": "local"})
    made = parsed(answer)
    assert (answer.status_code, made["plugin_type"], made["url"], made["tag"]) == (201, "local", url, None)
    assert made["capabilities"]["methods"] == ["onEvent"]
    assert plugins.read(made["id"], "source") == files_of()
    again = problem(plugins.send("POST", body={"url": f"{url}/", "plugin_type": "local"}))
    assert again == (400, "validation_error", "invalid_input", f'Plugin from URL "{url}" already installed!', None)
    (tmp_path / "relay" / "plugin.json").write_text('{"name": "a", "main": "../../secret"}')
    assert problem(plugins.send("POST", body={"url": f"file:{tmp_path}/relay/../../etc"}))[4] == "url"
    assert Plugin.objects.count() == 1


def test_a_folder_is_read_again(plugins: Plugins, settings: Any, tmp_path: Path) -> None:
    settings.PLUGINS_LOCAL_DIR = str(tmp_path)
    (tmp_path / "relay").mkdir()
    for name, text in files_of().items():
        (tmp_path / "relay" / name).write_text(text)
    made = parsed(plugins.send("POST", body={"url": f"file:{tmp_path}/relay"}))
    assert parsed(plugins.send("POST", made["id"], "upgrade")) == made
    (tmp_path / "relay" / "index.ts").write_text("export function processEvent() {}")
    (tmp_path / "relay" / "frontend.tsx").write_text("<a/>")
    upgraded = parsed(plugins.send("POST", made["id"], "upgrade"))
    assert upgraded == {**made, "capabilities": {"methods": ["processEvent"]}} == plugins.read(made["id"])
    assert last_changes() == ("updated", [("created", "frontend.tsx"), ("changed", "index.ts")])
    (tmp_path / "relay" / "plugin.json").unlink()
    assert problem(plugins.send("POST", made["id"], "upgrade"))[4] == "plugin.json"
    assert plugins.read(made["id"]) == upgraded


def test_what_was_sent_along_has_no_newer_version(plugins: Plugins) -> None:
    for made in (plugins.make(source=CODE), plugins.uploaded(zipped(files_of()))):
        assert parsed(plugins.send("POST", made["id"], "upgrade")) == made


class Host(BaseHTTPRequestHandler):
    """Answers as GitLab does, to those who have the token."""

    commit = "ab" * 20
    archive = zipped(files_of())

    def do_GET(self) -> None:
        allowed = self.headers["Authorization"] == "Bearer hidden-token"
        body = self.archive if "archive.zip" in self.path else orjson.dumps([{"id": self.commit}])
        self.send_response(200 if allowed else 404)
        self.send_header("Content-Length", str(len(body) if allowed else 0))
        self.end_headers()
        if allowed:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def gitlab(settings: Any) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Host)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings.PLUGINS_FETCH = True
    settings.OUTBOUND_ALLOWED_NETWORKS = (ip_network("127.0.0.0/8"),)
    settings.PLUGINS_FETCH_ENDPOINTS = {
        **settings.PLUGINS_FETCH_ENDPOINTS,
        "gitlab": f"http://127.0.0.1:{server.server_port}/api/v4",
    }
    yield
    server.shutdown()
    server.server_close()


def test_a_plugin_of_a_private_repository(plugins: Plugins, gitlab: None) -> None:
    plain = "https://gitlab.com/example/relay"
    missing = problem(plugins.send("POST", body={"url": plain}))
    assert (missing[0], missing[4]) == (400, "url")
    answer = plugins.send("POST", body={"url": f"{plain}?private_token=hidden-token", "plugin_type": "repository"})
    made = parsed(answer)
    assert (answer.status_code, made["plugin_type"], made["url"]) == (201, "repository", plain)
    assert made["tag"] == made["latest_tag"] == Host.commit
    assert plugins.read(made["id"], "source") == files_of()
    kept = Plugin.objects.get()
    assert decrypt(kept.encrypted_query or b"") == b"private_token=hidden-token"
    for url in (plain, f"{plain}?private_token=other", f"{plain}.git/"):
        again = problem(plugins.send("POST", body={"url": url}))
        assert again == (
            400,
            "validation_error",
            "invalid_input",
            f'Plugin from URL "{plain}" already installed!',
            None,
        )
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(p)::text FROM core_plugin p")
        assert "hidden-token" not in str(cursor.fetchall())


def test_a_private_repository_is_fetched_again(
    plugins: Plugins, gitlab: None, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    url = "https://gitlab.com/example/relay"
    made = parsed(plugins.send("POST", body={"url": f"{url}?private_token=hidden-token"}))
    monkeypatch.setattr(Host, "commit", "cd" * 20)
    monkeypatch.setattr(Host, "archive", zipped(files_of({"name": "Relay 2", "config": [{"key": "host"}]})))
    expected = {
        **made, "name": "Relay 2", "config_schema": [{"key": "host"}], "tag": Host.commit, "latest_tag": Host.commit,
    }  # fmt: skip
    answer = plugins.send("POST", made["id"], "upgrade")
    assert parsed(answer) == expected == plugins.read(made["id"])
    assert last_changes() == (
        "updated",
        [("changed", "name"), ("changed", "tag"), ("changed", "config_schema"), ("changed", "plugin.json")],
    )
    assert bytes(Plugin.objects.get().archive or b"") == Host.archive
    settings.SECRET_KEY = "another"
    assert problem(plugins.send("POST", made["id"], "upgrade"))[4] == "url"


def test_nothing_is_fetched_unless_the_operator_allows_it(plugins: Plugins, gitlab: None, settings: Any) -> None:
    settings.PLUGINS_FETCH = False
    answer = problem(plugins.send("POST", body={"url": "https://gitlab.com/example/relay?private_token=hidden-token"}))
    assert (answer[0], answer[4]) == (400, "url")
    assert "PLUGINS_FETCH" in answer[3]
    assert "hidden-token" not in str(answer)
    for url in ("https://example.org/a/b", "nonsense", "http://[::1", "https://github.com/a", "a\x00b"):
        refused = problem(plugins.send("POST", body={"url": url}))
        assert refused[3:] == ("Must be a GitHub/GitLab repository or a npm package URL!", "url")


def test_an_organization_installs_a_url_once_another_may_too(plugins: Plugins, gitlab: None, cast: Cast) -> None:
    body = {"url": "https://gitlab.com/example/relay?private_token=hidden-token"}
    for caller in (plugins, Plugins(cast.as_stranger(), cast.outside.pk)):
        assert caller.send("POST", body=body).status_code == 201


def test_without_a_compiler_browser_code_says_so(plugins: Plugins) -> None:
    made = plugins.uploaded(zipped({**files_of(), "frontend.tsx": "<a/>", "site.ts": SITE}))
    for name in ("frontend.tsx", "site.ts"):
        assert stored(made["id"], name) == ("ERROR", None, NO_COMPILER)
    assert stored(made["id"], "index.ts") == (None, None, None)


@pytest.fixture
def compiler(settings: Any, tmp_path: Path) -> Path:
    """A program in the place of a compiler; what it does is written into it."""
    program = tmp_path / "compiler.sh"
    program.write_text('tr a-z A-Z; echo "// $PLUGIN_FILENAME"')
    settings.PLUGIN_COMPILE_COMMAND = f"sh '{program}'"
    return program


def test_browser_code_is_compiled_by_the_worker(plugins: Plugins, compiler: Path, cast: Cast) -> None:
    made = plugins.make()
    plugins.send("PATCH", made["id"], "update_source", body={"frontend.tsx": "<a>ä</a>", "site.ts": "x", "b.ts": "y"})
    assert stored(made["id"]) == stored(made["id"], "site.ts") == (None, None, None)
    assert sources_compile(seconds=60) is False
    assert stored(made["id"]) == ("TRANSPILED", "<A>ä</A>// frontend.tsx\n", None)
    assert stored(made["id"], "site.ts") == ("TRANSPILED", "X// site.ts\n", None)
    assert stored(made["id"], "b.ts") == (None, None, None)
    plugins.send("PATCH", made["id"], "update_source", body={"frontend.tsx": "<b/>"})
    assert stored(made["id"]) == (None, None, None)
    assert stored(made["id"], "site.ts")[0] == "TRANSPILED"


def test_a_portion_ends_and_says_that_more_waits(plugins: Plugins, compiler: Path) -> None:
    made = plugins.make()
    plugins.send("PATCH", made["id"], "update_source", body={"frontend.tsx": "a", "site.ts": "b"})
    assert sources_compile(seconds=-1) is True
    assert PluginSourceFile.objects.filter(status="TRANSPILED").count() == 1
    assert [sources_compile(seconds=-1), sources_compile(seconds=-1)] == [True, False]
    assert PluginSourceFile.objects.filter(status="TRANSPILED").count() == 2


@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("echo 'line 1: no' >&2; exit 3", "line 1: no\n"),
        ("exit 3", "The compiler ended with status 3."),
        ("kill -9 $$", "The compiler ended with status -9."),
        ("head -c 3000 /dev/zero | tr '\\0' x >&2; exit 1", "x" * 2_000),
        ("printf 'a\\000b' >&2; exit 1", "a\ufffdb"),
    ],
)
def test_what_a_compiler_complains_of(plugins: Plugins, compiler: Path, program: str, error: str) -> None:
    compiler.write_text(program)
    made = plugins.uploaded(zipped({**files_of(), "frontend.tsx": "x"}))
    sources_compile(seconds=60)
    assert stored(made["id"]) == ("ERROR", None, error)


@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("sleep 100", "The compiler took longer than 1 seconds."),
        ("sleep 100 & exit 0", "The compiler took longer than 1 seconds."),
        ("yes", "The compiler's result is larger than 0 MB."),
        ("yes . >&2", ".\n" * 1_000),
    ],
)
def test_a_compiler_that_does_not_end(
    plugins: Plugins, compiler: Path, monkeypatch: pytest.MonkeyPatch, program: str, error: str
) -> None:
    if "longer" in error:
        monkeypatch.setattr(compiling, "SECONDS", 1.0)
    monkeypatch.setattr(compiling, "MAX_OUTPUT", 100_000)
    compiler.write_text(program)
    made = plugins.uploaded(zipped({**files_of(), "frontend.tsx": "x"}))
    sources_compile(seconds=60)
    assert stored(made["id"]) == ("ERROR", None, error)


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("/no/such/compiler", "The compiler of this server cannot be started: No such file or directory."),
        ("sh 'a", "PLUGIN_COMPILE_COMMAND of this server is not a command."),
    ],
)
def test_a_command_that_is_none(plugins: Plugins, settings: Any, command: str, error: str) -> None:
    settings.PLUGIN_COMPILE_COMMAND = command
    made = plugins.uploaded(zipped({**files_of(), "frontend.tsx": "x"}))
    sources_compile(seconds=60)
    assert stored(made["id"]) == ("ERROR", None, error)
    settings.PLUGIN_COMPILE_COMMAND = ""
    PluginSourceFile.objects.filter(filename="frontend.tsx").update(status=None, error=None)
    sources_compile(seconds=60)
    assert stored(made["id"]) == ("ERROR", None, NO_COMPILER)


def test_a_compiler_sees_no_secrets_of_the_server(
    plugins: Plugins, compiler: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "hidden")
    monkeypatch.setenv("DATABASE_URL", "hidden")
    compiler.write_text("env")
    made = plugins.uploaded(zipped({**files_of(), "frontend.tsx": "x"}))
    sources_compile(seconds=60)
    status, transpiled, _ = stored(made["id"])
    assert status == "TRANSPILED"
    assert "PLUGIN_FILENAME=frontend.tsx" in transpiled
    assert "hidden" not in transpiled


def test_what_was_saved_meanwhile_wins(plugins: Plugins, compiler: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = plugins.make()
    plugins.send("PATCH", made["id"], "update_source", body={"frontend.tsx": "old"})
    compiled = compiling._compile  # noqa: SLF001 wrapped, so that something happens meanwhile

    def save_and_compile(claim: Any) -> Any:
        if claim.source == "old":
            assert stored(made["id"])[0] == "LOCKED"
            plugins.send("PATCH", made["id"], "update_source", body={"frontend.tsx": "new"})
        return compiled(claim)

    monkeypatch.setattr(compiling, "_compile", save_and_compile)
    sources_compile(seconds=60)
    assert stored(made["id"])[1] == "NEW// frontend.tsx\n"


def test_a_file_whose_worker_was_killed_is_compiled_later(plugins: Plugins, compiler: Path) -> None:
    made = plugins.make()
    plugins.send("PATCH", made["id"], "update_source", body={"frontend.tsx": "x"})
    PluginSourceFile.objects.update(status="LOCKED")
    assert sources_compile(seconds=60) is False
    assert stored(made["id"])[0] == "LOCKED"
    with connection.cursor() as cursor:
        cursor.execute("UPDATE core_pluginsourcefile SET updated_at = updated_at - interval '3 minutes'")
    sources_compile(seconds=60)
    assert stored(made["id"])[0] == "TRANSPILED"


def test_projects_know_whether_they_have_web_apps(plugins: Plugins, compiler: Path, cast: Cast) -> None:
    def knows() -> Any:
        return Team.objects.get(pk=cast.team.pk).settings.get("inject_web_apps")

    made = plugins.make()
    make_plugin_config(cast.team, Plugin.objects.get(), enabled=True)
    plugins.send("PATCH", made["id"], "update_source", body={"site.ts": SITE})
    sources_compile(seconds=60)
    assert knows() is True
    plugins.send("PATCH", made["id"], "update_source", body={"site.ts": None})
    assert knows() is False
    plugins.send("PATCH", made["id"], "update_source", body={"site.ts": SITE})
    sources_compile(seconds=60)
    assert knows() is True
    assert plugins.send("DELETE", made["id"]).status_code == 204
    assert knows() is False


def test_the_job_compiles_by_the_clock_too(plugins: Plugins, compiler: Path) -> None:
    made = plugins.uploaded(zipped({**files_of(), "frontend.tsx": "x"}))
    assert app.conf.beat_schedule["plugin-sources-compile"]["task"] == plugin_sources_compile.name
    plugin_sources_compile()
    assert stored(made["id"])[0] == "TRANSPILED"
