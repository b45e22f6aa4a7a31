"""Plugins of an organization: who sees and changes them, and what installing and uninstalling does."""

from typing import Any
from uuid import uuid4

import orjson
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.activity.models import ActivityLog
from core.plugins.handlers.inline import inline_plugins_sync
from core.plugins.models import Plugin, PluginConfig, PluginDelivery, PluginSourceFile
from tests.core.conftest import Cast
from tests.core.http import Caller, parsed, problem
from tests.core.plugins.plugin_api import CODE, FORM, Plugins
from tests.factories import make_key, make_organization, make_plugin, make_plugin_config, make_team

pytestmark = pytest.mark.django_db

INSUFFICIENT = (
    403, "authentication_error", "permission_denied", "Your organization's plugin access level is insufficient.", None,
)  # fmt: skip
MISSING = (404, "invalid_request", "not_found", "Not found.", None)
ANOTHERS = "This plugin installation is managed by another organization"
NOT_GLOBAL = "This organization can't manage global plugins!"
KEYS = {
    "id", "plugin_type", "name", "description", "url", "icon", "config_schema", "tag", "latest_tag", "is_global",
    "organization_id", "organization_name", "capabilities", "metrics", "public_jobs",
    "hog_function_migration_available",
}  # fmt: skip


@pytest.fixture
def plugins(cast: Cast) -> Plugins:
    """The owner at the plugins of the own organization; the server itself has none."""
    Plugin.objects.all().delete()
    return Plugins(cast.as_owner(), cast.organization.pk)


@pytest.fixture
def elsewhere(cast: Cast) -> Plugins:
    return Plugins(cast.as_stranger(), cast.outside.pk)


def at_level(cast: Cast, level: int) -> None:
    cast.organization.plugins_access_level = level
    cast.organization.save()


def log(cast: Cast) -> list[tuple[str, str, Any]]:
    entries = ActivityLog.objects.filter(scope="Plugin", organization_id=cast.organization.pk).order_by("created_at")
    assert {(entry.team_id, entry.user_id) for entry in entries} <= {(None, cast.owner.pk)}
    return [(entry.activity, entry.detail["name"], entry.detail["changes"]) for entry in entries]


def change(field: str, before: Any, after: Any, action: str = "changed") -> dict[str, Any]:
    return {"type": "Plugin", "action": action, "field": field, "before": before, "after": after}


def test_a_source_plugin_from_text(plugins: Plugins, cast: Cast) -> None:
    schema = [{"key": "host", "type": "string"}]
    made = plugins.make(
        name=" Relay ", description="Sends on", source=CODE, config_schema=schema, icon="i.png", tag="1"
    )
    assert set(made) == KEYS
    assert made == {
        "id": made["id"], "plugin_type": "source", "name": "Relay", "description": "Sends on", "url": None,
        "icon": "i.png", "config_schema": schema, "tag": "1", "latest_tag": None, "is_global": False,
        "organization_id": str(cast.organization.pk), "organization_name": "Acme",
        "capabilities": {"methods": ["onEvent"], "jobs": ["again"]}, "metrics": {}, "public_jobs": {},
        "hog_function_migration_available": False,
    }  # fmt: skip
    assert plugins.read(made["id"]) == made
    assert plugins.read() == {"count": 1, "next": None, "previous": None, "results": [made]}
    assert plugins.read(made["id"], "source") == {"index.ts": CODE}
    assert log(cast) == [("installed", "Relay", None)]


@pytest.mark.parametrize("encoding", ["json", "form", "multipart"])
def test_every_kind_of_body(plugins: Plugins, encoding: str) -> None:
    schema: Any = [{"key": "a", "secret": True}]
    fields = {
        "plugin_type": "source",
        "name": "Relay",
        "config_schema": schema if encoding == "json" else orjson.dumps(schema).decode(),
        "is_global": "true",
        "source": CODE,
    }
    answer = plugins.send("POST", body=fields, encoding=encoding)
    assert answer.status_code == 201, answer.content
    made = parsed(answer)
    assert (made["config_schema"], made["is_global"], made["capabilities"]["methods"]) == (schema, True, ["onEvent"])
    answer = plugins.send("PATCH", made["id"], body={"description": "New"}, encoding=encoding)
    assert parsed(answer) == {**made, "description": "New"}


def test_plugins_of_a_page(plugins: Plugins, elsewhere: Plugins) -> None:
    ids = [plugins.make(name=name)["id"] for name in ("c", "a", "b")]
    elsewhere.make()
    first = parsed(plugins.caller.get(plugins.path() + "?limit=2"))
    assert ([one["id"] for one in first["results"]], first["count"]) == (ids[:2], 3)
    second = parsed(plugins.caller.get(first["next"].removeprefix("http://testserver")))
    assert ([one["id"] for one in second["results"]], second["next"]) == (ids[2:], None)
    beyond = parsed(plugins.caller.get(plugins.path() + f"?offset={10**18}"))
    assert (beyond["results"], beyond["count"]) == ([], 3)


def test_a_page_takes_three_statements_however_long(plugins: Plugins) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as captured:
            plugins.read()
        return len(captured)

    plugins.make()
    few = statements()
    for _ in range(4):
        plugins.make()
    assert statements() == few == 3


def test_the_archive_is_never_read_for_an_answer(plugins: Plugins) -> None:
    made = plugins.make()
    for path in ((), (made["id"],)):
        with CaptureQueriesContext(connection) as captured:
            plugins.read(*path)
        assert not any("archive" in query["sql"] or "encrypted_query" in query["sql"] for query in captured)


def test_what_an_organization_sees(plugins: Plugins, elsewhere: Plugins, cast: Cast) -> None:
    own, theirs, unseen = plugins.make(), elsewhere.make(name="Theirs"), elsewhere.make(name="Unseen")
    everybodys = elsewhere.make(name="Everybody's", is_global=True)
    config = make_plugin_config(cast.team, Plugin.objects.get(pk=theirs["id"]))
    seen = [own["id"], theirs["id"], everybodys["id"]]
    assert [one["id"] for one in plugins.read()["results"]] == seen
    assert plugins.read(theirs["id"]) == {**theirs, "organization_name": "Elsewhere"}
    assert problem(plugins.send("GET", unseen["id"])) == MISSING
    PluginConfig.objects.for_team(cast.team.pk).filter(pk=config.pk).update(deleted=True)
    assert [one["id"] for one in plugins.read()["results"]] == [own["id"], everybodys["id"]]
    assert problem(plugins.send("GET", theirs["id"])) == MISSING
    cast.outside.deleted_at = cast.outside.created_at
    cast.outside.save()
    assert [one["id"] for one in plugins.read()["results"]] == [own["id"]]


def test_plugins_of_the_server_itself(plugins: Plugins) -> None:
    inline_plugins_sync()
    (found,) = plugins.read()["results"]
    assert (found["url"], found["plugin_type"], found["is_global"]) == ("inline://webhook", "inline", True)
    assert (found["organization_id"], found["organization_name"]) == (None, None)
    for method, parts in (
        ("PATCH", ()),
        ("PUT", ()),
        ("DELETE", ()),
        ("PATCH", ("update_source",)),
        ("POST", ("upgrade",)),
    ):
        answer = plugins.send(method, found["id"], *parts, body={"name": "Mine"})
        assert problem(answer) == (403, "authentication_error", "permission_denied", ANOTHERS, None)
    assert problem(plugins.send("GET", found["id"], "source")) == MISSING
    assert plugins.read()["results"] == [found]


@pytest.mark.parametrize("level", [0, 3])
def test_levels_below_install_may_not_change(plugins: Plugins, cast: Cast, level: int) -> None:
    made = plugins.make()
    at_level(cast, level)
    for method, parts in (
        ("POST", ()), ("PUT", (made["id"],)), ("PATCH", (made["id"],)), ("DELETE", (made["id"],)),
        ("GET", (made["id"], "source")), ("PATCH", (made["id"], "update_source")), ("DELETE", (0,)),
        ("POST", (made["id"], "upgrade")),
    ):  # fmt: skip
        assert problem(plugins.send(method, *parts, body=None if method == "GET" else {})) == INSUFFICIENT
    for parts in ((), (made["id"],), ("activity",)):
        answer = plugins.send("GET", *parts)
        assert problem(answer) == INSUFFICIENT if level == 0 else answer.status_code == 200
    assert Plugin.objects.get().name == "Relay"


def test_only_root_makes_plugins_global(plugins: Plugins, cast: Cast) -> None:
    at_level(cast, 6)
    refused = (403, "authentication_error", "permission_denied", NOT_GLOBAL, None)
    body = {"plugin_type": "source", "name": "Relay"}
    assert problem(plugins.send("POST", body={**body, "is_global": True})) == refused
    made = plugins.make(is_global=False)
    for is_global in (True, False):
        assert problem(plugins.send("PATCH", made["id"], body={"is_global": is_global})) == refused
    at_level(cast, 9)
    for is_global in (True, False):
        assert parsed(plugins.send("PATCH", made["id"], body={"is_global": is_global}))["is_global"] is is_global


def test_a_plugin_of_another_organization_stays_as_it_is(plugins: Plugins, elsewhere: Plugins, cast: Cast) -> None:
    unseen, everybodys = elsewhere.make(), elsewhere.make(is_global=True, source=CODE)
    configured = elsewhere.make()
    make_plugin_config(cast.team, Plugin.objects.get(pk=configured["id"]))
    for one, expected in (
        (unseen, MISSING),
        (everybodys, (403, "authentication_error", "permission_denied", ANOTHERS, None)),
        (configured, (403, "authentication_error", "permission_denied", ANOTHERS, None)),
    ):
        for method, parts in (
            ("PUT", ()), ("PATCH", ()), ("DELETE", ()), ("PATCH", ("update_source",)), ("POST", ("upgrade",)),
        ):  # fmt: skip
            assert problem(plugins.send(method, one["id"], *parts, body={"name": "Mine"})) == expected
        assert problem(plugins.send("GET", one["id"], "source")) == MISSING
        assert elsewhere.read(one["id"]) == one
    assert log(cast) == []


def test_what_is_changed_is_told(plugins: Plugins, cast: Cast) -> None:
    made = plugins.make()
    schema = {"host": {"type": "string"}}
    fields = {"name": "Other", "description": "d", "icon": "i", "tag": "2", "config_schema": schema, "is_global": True}
    jobs = {"run": {"payload": {}}}
    body = {**fields, "public_jobs": jobs, "metrics": {"a": "sum"}}
    changed = parsed(plugins.send("PATCH", made["id"], body=body))
    assert changed == {**made, **body} == plugins.read(made["id"])
    assert plugins.send("PATCH", made["id"], body=body).status_code == 200
    assert parsed(plugins.send("PUT", made["id"], body=changed)) == changed
    cleared = parsed(plugins.send("PATCH", made["id"], body={"icon": None, "tag": "", "description": ""}))
    assert cleared == {**changed, "icon": None, "tag": None, "description": ""}
    assert log(cast)[1:] == [
        (
            "updated", "Other",
            [
                change("name", "Relay", "Other"), change("description", "", "d"), change("icon", None, "i", "created"),
                change("tag", None, "2", "created"), change("config_schema", [], schema),
                change("public_jobs", {}, jobs), change("metrics", {}, {"a": "sum"}),
                change("is_global", before=False, after=True),
            ],
        ),
        (
            "updated", "Other",
            [
                change("description", "d", ""), change("icon", "i", None, "deleted"),
                change("tag", "2", None, "deleted"),
            ],
        ),
    ]  # fmt: skip


def test_what_only_the_server_sets_is_ignored(plugins: Plugins, cast: Cast) -> None:
    nonsense = {
        "id": 1, "organization_id": str(cast.outside.pk), "organization_name": "x", "latest_tag": "9",
        "capabilities": {"methods": ["onEvent"]}, "hog_function_migration_available": True, "is_preinstalled": True,
    }  # fmt: skip
    made = plugins.make(**nonsense)
    assert made == {**made, "capabilities": {}, "latest_tag": None, "organization_name": "Acme"}
    answer = plugins.send("PATCH", made["id"], body={**nonsense, "plugin_type": "local", "url": "file:/etc"})
    assert parsed(answer) == made


@pytest.mark.parametrize(
    ("fields", "code", "attr"),
    [
        ({"name": ""}, "blank", "name"),
        ({"name": None}, "null", "name"),
        ({"name": 7}, "invalid_input", "name"),
        ({"name": "n" * 201}, "max_length", "name"),
        ({"description": ["d"]}, "invalid_input", "description"),
        ({"description": "d" * 10_001}, "max_length", "description"),
        ({"icon": "i" * 801}, "max_length", "icon"),
        ({"tag": {"a": 1}}, "invalid_input", "tag"),
        ({"config_schema": "{"}, "invalid_input", "config_schema"),
        ({"config_schema": 7}, "invalid_input", "config_schema"),
        ({"config_schema": ["a"]}, "invalid_input", "config_schema"),
        ({"config_schema": {"a": "b"}}, "invalid_input", "config_schema"),
        ({"config_schema": [{"key": 7}]}, "invalid_input", "config_schema"),
        ({"config_schema": [{"key": "k" * 201}]}, "invalid_input", "config_schema"),
        ({"config_schema": [{}] * 501}, "max_length", "config_schema"),
        ({"config_schema": [{"key": "a", "hint": "h" * 300_000}]}, "max_length", "config_schema"),
        ({"public_jobs": []}, "not_a_dict", "public_jobs"),
        ({"public_jobs": {"a": 1}}, "invalid_input", "public_jobs"),
        ({"metrics": "[]"}, "not_a_dict", "metrics"),
        ({"is_global": "maybe"}, "invalid_input", "is_global"),
    ],
)
def test_bad_fields_are_refused_with_nothing_saved(plugins: Plugins, fields: Any, code: str, attr: str) -> None:
    kept = plugins.make(name="Kept")
    body = {"name": "New", "description": "New", **fields}
    for method, parts, more in (("POST", (), {"plugin_type": "source"}), ("PATCH", (kept["id"],), {})):
        answer = problem(plugins.send(method, *parts, body={**body, **more}))
        assert (answer[0], answer[1], answer[2], answer[4]) == (400, "validation_error", code, attr)
    assert plugins.read()["results"] == [kept]


@pytest.mark.parametrize(
    "body", [b"[]", b'"text"', b"{", b"7", b'{"name": "\\ud800"}', b'{"name": 1' + b"0" * 5000 + b"}"]
)
def test_bodies_that_are_no_plugin(plugins: Plugins, body: bytes) -> None:
    for method, parts in (("POST", ()), ("PATCH", (plugins.make()["id"],))):
        assert plugins.caller(method, plugins.path(*parts), body).status_code == 400


def test_deep_and_odd_values_are_no_server_errors(plugins: Plugins) -> None:
    made = plugins.make()
    deep = b'{"config_schema": [{"a": ' + b"[" * 900 + b"]" * 900 + b"}]}"
    assert problem(plugins.caller("PATCH", plugins.path(made["id"]), deep))[2:] == (
        "invalid_input", "The value is nested too deeply.", "config_schema",
    )  # fmt: skip
    odd = b'{"description": "a\\u0000b", "config_schema": [{"key": "a\\u0000", "default": 18446744073709551616}]}'
    changed = parsed(plugins.caller("PATCH", plugins.path(made["id"]), odd))
    assert changed["description"] == "a\ufffdb"
    assert changed["config_schema"] == [{"key": "a\ufffd", "default": float(2**64)}]


@pytest.mark.parametrize(
    ("fields", "code", "attr"),
    [
        ({}, "required", "url"),
        ({"plugin_type": "custom"}, "required", "url"),
        ({"plugin_type": "source"}, "required", "name"),
        ({"plugin_type": "inline", "url": "inline://webhook"}, "invalid_choice", "plugin_type"),
        ({"plugin_type": ["source"], "name": "a"}, "invalid_choice", "plugin_type"),
        ({"plugin_type": 7}, "invalid_choice", "plugin_type"),
        ({"plugin_type": "custom", "archive": "text"}, "invalid_input", "archive"),
        ({"plugin_type": "local", "url": "https://github.com/a/b"}, "invalid_input", "url"),
        ({"plugin_type": "repository", "url": "file:/tmp"}, "invalid_input", "url"),
        ({"plugin_type": "source", "name": "a", "source": 7}, "invalid_input", "source"),
        ({"plugin_type": "source", "name": "a", "source": "x" * (2 * 1024 * 1024 + 1)}, "max_length", "source"),
        ({"plugin_type": "source", "name": "a", "source": "(a," * 400_000}, "invalid_input", "index.ts"),
    ],
)
def test_what_cannot_be_installed(plugins: Plugins, fields: Any, code: str, attr: str) -> None:
    answer = problem(plugins.send("POST", body=fields))
    assert (answer[0], answer[2], answer[4]) == (400, code, attr)
    assert not Plugin.objects.exists()
    assert not ActivityLog.objects.exists()


def test_an_organization_has_so_many_plugins(plugins: Plugins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.plugins.installing.services.MAX_PLUGINS", 2)
    plugins.make()
    plugins.make()
    answer = plugins.send("POST", body={"plugin_type": "source", "name": "third"})
    assert problem(answer)[:3] == (400, "validation_error", "limit_reached")


def test_uninstalling_takes_everything_along(plugins: Plugins, elsewhere: Plugins, cast: Cast) -> None:
    made, other = plugins.make(source=CODE), plugins.make()
    plugin = Plugin.objects.get(pk=made["id"])
    configs = [make_plugin_config(team, plugin) for team in (cast.team, cast.other_team)]
    kept = make_plugin_config(cast.team, Plugin.objects.get(pk=other["id"]))
    for config in (*configs, kept):
        PluginDelivery.objects.for_team(config.team_id).create(
            team_id=config.team_id, plugin_config_id=config.pk, distinct_id="a", generation=0, event_uuid=uuid4(),
            event="e", payload="{}", captured_at=config.created_at,
        )  # fmt: skip
    answer = plugins.send("DELETE", made["id"])
    assert (answer.status_code, answer.content) == (204, b"")
    assert problem(plugins.send("GET", made["id"])) == problem(plugins.send("DELETE", made["id"])) == MISSING
    assert [one.pk for one in PluginConfig.unscoped.all()] == [kept.pk]
    assert [one.plugin_config_id for one in PluginDelivery.unscoped.all()] == [kept.pk]
    assert not PluginSourceFile.objects.exists()
    assert log(cast)[2:] == [("uninstalled", "Relay", None)]


def test_uninstalling_leaves_others_what_they_configured(plugins: Plugins, elsewhere: Plugins, cast: Cast) -> None:
    made = plugins.make(source=CODE)
    plugin = Plugin.objects.get(pk=made["id"])
    make_plugin_config(cast.team, plugin)
    theirs = make_plugin_config(cast.outside_team, plugin)
    assert plugins.send("DELETE", made["id"]).status_code == 204
    assert problem(plugins.send("GET", made["id"])) == MISSING
    assert [one.pk for one in PluginConfig.unscoped.all()] == [theirs.pk]
    left = elsewhere.read(made["id"])
    assert (left["name"], left["organization_id"], left["is_global"]) == (made["name"], None, False)
    assert problem(elsewhere.send("DELETE", made["id"]))[0] in {403, 404}
    assert PluginSourceFile.objects.filter(plugin=plugin).exists()


def test_a_global_plugin_is_not_uninstalled(plugins: Plugins) -> None:
    made = plugins.make(is_global=True)
    refusal = "This plugin is marked as global! Make it local before uninstallation"
    assert problem(plugins.send("DELETE", made["id"])) == (400, "validation_error", "invalid_input", refusal, None)
    assert plugins.read(made["id"]) == made
    assert plugins.send("PATCH", made["id"], body={"is_global": False}).status_code == 200
    assert plugins.send("DELETE", made["id"]).status_code == 204


def test_uninstalling_while_a_project_is_being_deleted(plugins: Plugins, cast: Cast) -> None:
    made = plugins.make()
    team = make_team(cast.organization)
    make_plugin_config(team, Plugin.objects.get(pk=made["id"]))
    team.deleted_at = team.created_at
    team.save()
    assert plugins.send("DELETE", made["id"]).status_code == 204
    assert not PluginConfig.unscoped.exists()


def test_the_activity_of_plugins_and_their_configs(plugins: Plugins, elsewhere: Plugins, cast: Cast) -> None:
    elsewhere.make()
    made = plugins.make()
    path = f"/api/projects/{cast.team.pk}/plugin_configs/"
    answer = plugins.caller("POST", path, {"plugin": made["id"], "order": 1, "enabled": True})
    assert answer.status_code == 201, answer.content
    assert plugins.send("PATCH", made["id"], body={"name": "New"}).status_code == 200
    page = plugins.read("activity")
    expected = [("Plugin", "updated"), ("PluginConfig", "enabled"), ("Plugin", "installed")]
    assert [(entry["scope"], entry["activity"]) for entry in page["results"]] == expected
    assert (page["total_count"], page["next"], page["previous"]) == (3, None, None)
    second = parsed(plugins.caller.get(plugins.path("activity") + "?limit=2&page=2"))
    assert [(entry["scope"], entry["activity"]) for entry in second["results"]] == expected[2:]
    assert second["total_count"] == 3
    assert problem(plugins.caller.get(plugins.path("activity") + "?page=x"))[4] == "page"


@pytest.mark.parametrize("plugin_id", ["x", "-1", "0", "9" * 30, "%00", "1.0"])
def test_what_is_no_plugin_is_not_found(plugins: Plugins, plugin_id: str) -> None:
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        assert problem(plugins.send(method, plugin_id, body=None if method == "GET" else {"name": "a"})) == MISSING
    assert problem(plugins.send("GET", plugin_id, "source")) == MISSING
    assert problem(plugins.send("PATCH", plugin_id, "update_source", body={})) == MISSING


def test_members_may_strangers_may_not(plugins: Plugins, cast: Cast) -> None:
    made = plugins.make()
    member, stranger = (
        Plugins(cast.as_member(), cast.organization.pk),
        Plugins(cast.as_stranger(), cast.organization.pk),
    )
    assert member.read(made["id"]) == made
    assert member.send("PATCH", made["id"], body={"name": "Ours"}).status_code == 200
    for method, parts in (("GET", ()), ("POST", ()), ("GET", (made["id"],)), ("DELETE", (made["id"],))):
        assert problem(stranger.send(method, *parts))[:3] == (403, "authentication_error", "permission_denied")


def test_keys_need_the_scopes_of_plugins(plugins: Plugins, cast: Cast) -> None:
    made = plugins.make()
    reader = Plugins(Caller(make_key(cast.owner, scopes=["plugin:read"])), cast.organization.pk)
    assert reader.read(made["id"]) == made
    assert reader.read(made["id"], "source") == {}
    assert reader.send("GET", "activity").status_code == 200
    for method, parts in (("POST", ()), ("PATCH", (made["id"],)), ("PATCH", (made["id"], "update_source"))):
        assert problem(reader.send(method, *parts, body={}))[3] == "API key missing required scope 'plugin:write'"


def test_an_install_sent_again_happens_once(plugins: Plugins) -> None:
    body = {"plugin_type": "source", "name": "Relay", "source": CODE}
    answers = [plugins.caller("POST", plugins.path(), body, headers={"Idempotency-Key": "install-1"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert parsed(answers[0]) == parsed(answers[1])
    assert Plugin.objects.count() == 1


def test_plugins_go_with_their_organization(plugins: Plugins) -> None:
    organization = make_organization()
    make_plugin(organization)
    organization.delete()
    assert not Plugin.objects.exists()


def test_a_form_is_read_as_the_browsable_pages_send_it(plugins: Plugins) -> None:
    body = "_html_form=&plugin_type=source&name=Relay&config_schema=%5B%5D&icon="
    answer = plugins.caller("POST", plugins.path(), body, content_type=FORM)
    assert answer.status_code == 201, answer.content
    assert parsed(answer)["icon"] is None
