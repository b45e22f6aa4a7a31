"""Plugin configs: what an organization's level allows, what may be switched on, and what follows from a change."""

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from core.activity.models import ActivityLog
from core.encryption.services import decrypt
from core.plugins.configs import services
from core.plugins.configs.planning import NOT_CHECKED
from core.plugins.handlers.base import ConfigRefusedError, PluginHandler
from core.plugins.handlers.inline import inline_plugins_sync
from core.plugins.handlers.registry import handlers
from core.plugins.models import Plugin, PluginAttachment, PluginConfig, PluginDestination, PluginSourceFile
from core.plugins.views.configs import NOT_AVAILABLE
from core.tenancy.models import Organization, Team
from tests.core.http import parsed, problem
from tests.core.plugins.config_api import ConfigApi, make_api, make_schemed
from tests.factories import make_plugin, make_team

pytestmark = pytest.mark.django_db

WEBHOOK = "core.plugins.handlers.webhook.WebhookHandler"
NOT_THERE = (404, "invalid_request", "not_found", "Not found.", None)


class CheckingHandler(PluginHandler):
    """Refuses the name `bad`, and others once it is switched on; keeps what it was asked."""

    key = "checking"
    name = "Checking"
    description = ""
    methods: ClassVar = ["onEvent"]
    asked: ClassVar[list[tuple[Mapping[str, Any], bool]]] = []
    during: ClassVar[Any] = None

    def check(self, config: Mapping[str, Any], *, enabled: bool) -> None:
        type(self).asked.append((config, enabled))
        if type(self).during is not None:
            type(self).during()
        if config.get("name") == "broken":
            raise RuntimeError(config["token"])
        if config.get("name") == "bad" or (enabled and not config.get("name")):
            raise ConfigRefusedError("name", "Not this name.")


@pytest.fixture
def api(db: None) -> ConfigApi:
    return make_api()


@pytest.fixture
def plugin(api: ConfigApi) -> Plugin:
    return make_schemed(api.team)


@pytest.fixture
def checking(api: ConfigApi, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Plugin:
    settings.PLUGIN_HANDLERS = [WEBHOOK, "tests.core.plugins.test_configs_rules.CheckingHandler"]
    monkeypatch.setattr(type(handlers()["checking"]), "asked", [])
    inline_plugins_sync()
    return Plugin.objects.get(url="inline://checking")


def asked() -> list[tuple[Mapping[str, Any], bool]]:
    found: list[tuple[Mapping[str, Any], bool]] = type(handlers()["checking"]).asked  # type: ignore[attr-defined]
    return found


def allow(api: ConfigApi, level: int) -> None:
    Organization.objects.filter(pk=api.team.organization_id).update(plugins_access_level=level)


# The level of the organization


def test_below_the_level_nothing_is_there(api: ConfigApi, plugin: Plugin) -> None:
    made = api.made(plugin, enabled=True, config={"host": "a"})
    allow(api, 0)
    before = ActivityLog.objects.count()
    assert api.listed() == {"count": 0, "next": None, "previous": None, "results": []}
    for method, path, body in (
        ("GET", "", None), ("PUT", "", {"order": 9}), ("PATCH", "", {"order": 9}), ("DELETE", "", None),
        ("GET", "frontend/", None), ("GET", "activity/", None),
    ):  # fmt: skip
        assert problem(api(method, f"{made['id']}/{path}", body)) == NOT_THERE
    refused = (400, "validation_error", "invalid_input", NOT_AVAILABLE, None)
    assert problem(api("POST", "", {})) == refused
    assert problem(api("PATCH", "rearrange/", {"orders": {str(made["id"]): 9}})) == refused
    assert problem(api("POST", f"{made['id']}/job/", {"job": {"type": "x"}})) == refused
    assert problem(api("POST", "999999/job/", {})) == refused
    assert ActivityLog.objects.count() == before
    allow(api, 3)
    found = api.read(made["id"])
    assert (found["enabled"], found["order"]) == (True, 1)


@pytest.mark.parametrize("level", [3, 6, 9])
def test_from_the_level_of_configuration_on_all_may(api: ConfigApi, plugin: Plugin, level: int) -> None:
    allow(api, level)
    made = api.made(plugin)
    assert api("PATCH", f"{made['id']}/", {"order": 2}).status_code == 200
    assert api("DELETE", f"{made['id']}/").status_code == 204


# What may be switched on


@pytest.mark.parametrize(
    ("entry", "good", "bad"),
    [
        ({"type": "string"}, ["x", "", None], [1, True, ["x"], {}]),
        ({"type": "string", "required": True}, ["x"], ["", None]),
        ({"type": "choice", "choices": ["a", "b", 1]}, ["a", 1, ""], ["c", True, 1.0, ["a"]]),
        ({"type": "choice"}, ["anything"], []),
        ({"type": "number"}, [1, 1.5, 0], ["1", True, [1]]),
        ({"type": "number", "required": True}, [0], [None]),
        ({"type": "boolean", "required": True}, [False, True], ["true", 1, None]),
        ({"type": "json"}, ['{"a": 1}', {"a": 1}, [1], 7], ["{oops", "a"]),
        ({"type": "attachment"}, [], []),
        ({"type": "unheard of"}, [1, "x", [1]], []),
        ({}, [1, "x"], []),
    ],
)
def test_what_is_switched_on_must_fit_the_schema(
    api: ConfigApi, entry: dict[str, Any], good: list[Any], bad: list[Any]
) -> None:
    for schema in ([{"key": "field", **entry}], {"field": entry}):
        plugin = make_plugin(api.team.organization, config_schema=schema)
        for value in good:
            made = api.made(plugin, enabled=True, config={"field": value, "other": [1]})
            assert made["enabled"] is True
        for value in bad:
            answer = problem(
                api("POST", "", {"plugin": plugin.pk, "order": 1, "enabled": True, "config": {"field": value}})
            )
            assert (answer[0], answer[4]) == (400, "config__field"), value
            made = api.made(plugin, config={"field": value})
            answer = problem(api("PATCH", f"{made['id']}/", {"enabled": True}))
            assert (answer[0], answer[4]) == (400, "config__field"), value
            assert api.read(made["id"])["enabled"] is False


@pytest.mark.parametrize("beside", [{"default": "a"}, {"visible_if": [["host", "x"]]}])
def test_a_required_field_with_a_default_or_a_condition_may_be_missing(
    api: ConfigApi, plugin: Plugin, beside: dict[str, Any]
) -> None:
    field = {"key": "zone", "type": "string", "required": True, **beside}
    Plugin.objects.filter(pk=plugin.pk).update(config_schema=[field])
    assert api("POST", "", {"plugin": plugin.pk, "order": 1, "enabled": True, "config": {}}).status_code == 201


def test_what_was_shown_of_the_plugin_goes_on_following_it(api: ConfigApi, plugin: Plugin) -> None:
    made = api.made(plugin)
    Plugin.objects.filter(pk=plugin.pk).update(description="Old words")
    shown = parsed(api("GET", f"{made['id']}/"))
    assert api("PUT", f"{made['id']}/", shown).status_code == 200
    Plugin.objects.filter(pk=plugin.pk).update(name="Renamed", description="New words")
    found = parsed(api("GET", f"{made['id']}/"))
    assert (found["name"], found["description"]) == ("Renamed", "New words")
    assert api("PATCH", f"{made['id']}/", {"name": "Mine"}).status_code == 200
    assert parsed(api("PATCH", f"{made['id']}/", {"name": "Renamed"}))["name"] == "Renamed"


def test_a_required_field_that_is_missing(api: ConfigApi, plugin: Plugin) -> None:
    body = {"plugin": plugin.pk, "order": 1, "enabled": True}
    expected = (400, "validation_error", "required", "This field is required.", "config__host")
    assert problem(api("POST", "", body)) == expected
    assert problem(api("POST", "", {**body, "config": {}})) == expected
    made = api.made(plugin, enabled=True, config={"host": "a"})
    assert problem(api("PATCH", f"{made['id']}/", {"config": {}})) == expected
    assert api.changed(made["id"], config={}, enabled=False)["config"] == {}
    assert problem(api("PATCH", f"{made['id']}/", {"enabled": True})) == expected


def test_a_config_that_no_longer_fits_may_be_moved_and_switched_off(api: ConfigApi, plugin: Plugin) -> None:
    made = api.made(plugin, enabled=True, config={"host": "a"})
    Plugin.objects.filter(pk=plugin.pk).update(config_schema=[{"key": "new", "type": "string", "required": True}])
    assert api.changed(made["id"], order=4, name="x", enabled=True)["order"] == 4
    assert api.changed(made["id"], enabled=False)["enabled"] is False
    assert problem(api("PATCH", f"{made['id']}/", {"enabled": True}))[4] == "config__new"


def test_the_operator_may_let_any_config_be_switched_on(api: ConfigApi, plugin: Plugin, settings: Any) -> None:
    settings.PLUGIN_CONFIG_VALIDATION = False
    assert api.made(plugin, enabled=True, config={"host": 1})["enabled"] is True


def test_a_handler_judges_every_config_of_its_plugin(api: ConfigApi, checking: Plugin) -> None:
    body = {"plugin": checking.pk, "order": 1}
    refused = (400, "validation_error", "invalid_input", "Not this name.", "config__name")
    assert problem(api("POST", "", {**body, "config": {"name": "bad"}})) == refused
    assert problem(api("POST", "", {**body, "enabled": True})) == refused
    assert PluginConfig.unscoped.count() == 0
    made = api.made(checking)
    assert problem(api("PATCH", f"{made['id']}/", {"enabled": True})) == refused
    assert api.changed(made["id"], enabled=True, config={"name": "good"})["enabled"] is True
    asked().clear()
    api.changed(made["id"], order=2, name="Other", description="x")
    api.changed(made["id"], enabled=False)
    assert asked() == []
    api.changed(made["id"], config={"name": "good"})
    assert asked() == [({"name": "good"}, False)]


def test_a_handler_that_fails_is_no_fault_of_ours_and_tells_no_secret(
    api: ConfigApi, checking: Plugin, capsys: pytest.CaptureFixture[str]
) -> None:
    body = {"plugin": checking.pk, "order": 1, "config": {"name": "broken", "token": "sh-h-h"}}
    assert problem(api("POST", "", body)) == (400, "validation_error", "invalid_input", NOT_CHECKED, "config")
    said = "".join(capsys.readouterr())
    assert "plugin_handler_failed" in said
    assert "RuntimeError" in said
    assert "sh-h-h" not in said
    assert PluginConfig.unscoped.count() == 0


def test_a_webhook_to_a_private_address_is_refused(api: ConfigApi, settings: Any) -> None:
    settings.OUTBOUND_ALLOWED_NETWORKS = []
    webhook = Plugin.objects.get(url="inline://webhook")
    body = {"plugin": webhook.pk, "order": 1}
    for url in ("http://127.0.0.1/", "http://169.254.169.254/", "https://[::1]/", "ftp://example.org/", "x"):
        for enabled in (True, False):
            answer = problem(api("POST", "", {**body, "enabled": enabled, "config": {"url": url}}))
            assert (answer[0], answer[4]) == (400, "config__url"), url
    assert problem(api("POST", "", {**body, "enabled": True}))[2:] == (
        "required", "This field is required.", "config__url",
    )  # fmt: skip
    assert PluginConfig.unscoped.count() == 0
    made = api.made(webhook, base="pipeline_destination_configs", config={"url": "http://93.184.216.34/"}, enabled=True)
    assert api.changed(made["id"], order=2)["enabled"] is True
    assert problem(api("PATCH", f"{made['id']}/", {"config": {"url": "http://10.0.0.1/"}}))[4] == "config__url"
    assert api.read(made["id"])["config"] == {"url": "http://93.184.216.34/"}


# Changes that meet


def test_a_change_that_was_judged_on_an_older_state_is_judged_again(
    api: ConfigApi, checking: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = api.made(checking, config={"name": "one", "kept": 1})

    def meanwhile() -> None:
        monkeypatch.setattr(kind, "during", None)
        api.changed(made["id"], config={"name": "bad but stored", "kept": 2})

    kind = type(handlers()["checking"])
    monkeypatch.setattr(kind, "during", meanwhile)
    asked().clear()
    assert api.changed(made["id"], enabled=True)["enabled"] is True
    assert [config["kept"] for config, enabled in asked() if enabled] == [1, 2]
    assert api.stored(made["id"]) == {"name": "bad but stored", "kept": 2}


def test_a_file_is_whole_after_it_was_judged_again(
    api: ConfigApi, checking: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    Plugin.objects.filter(pk=checking.pk).update(config_schema=[{"key": "map", "type": "attachment"}])
    made = api.made(checking, config={"name": "one"})

    def meanwhile() -> None:
        monkeypatch.setattr(kind, "during", None)
        api.changed(made["id"], order=7)

    kind = type(handlers()["checking"])
    monkeypatch.setattr(kind, "during", meanwhile)
    answer = parsed(api.form("PATCH", f"{made['id']}/", **{"add_attachment[map]": b"content"}))
    assert (answer["order"], answer["config"]["map"]["size"]) == (7, 7)
    assert decrypt(PluginAttachment.unscoped.get().encrypted_contents) == b"content"


def test_a_secret_is_one_by_the_schema_that_is_there_when_it_is_stored(
    api: ConfigApi, checking: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = api.made(checking, config={"name": "one"})
    kind = type(handlers()["checking"])
    for method, path in (("PATCH", f"{made['id']}/"), ("POST", "")):
        Plugin.objects.filter(pk=checking.pk).update(config_schema=[{"key": "token", "secret": True}])

        def meanwhile() -> None:
            monkeypatch.setattr(kind, "during", None)
            plugin = Plugin.objects.get(pk=checking.pk)
            plugin.config_schema = [{"key": "token", "type": "attachment"}]
            plugin.save()

        monkeypatch.setattr(kind, "during", meanwhile)
        body = {"plugin": checking.pk, "order": 1, "config": {"name": "one", "token": "sh-h-h"}}
        assert parsed(api(method, path, body))["config"] == {"name": "one"}


def test_a_crowd_is_asked_to_come_back(api: ConfigApi, checking: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    made = api.made(checking, config={"name": "one"})
    numbers = iter(range(100))

    def meanwhile() -> None:
        api.changed(made["id"], order=next(numbers))

    monkeypatch.setattr(type(handlers()["checking"]), "during", meanwhile)
    answer = problem(api("PATCH", f"{made['id']}/", {"config": {"name": "two"}}))
    assert answer[:1] + answer[3:] == (409, services.CHANGED_MEANWHILE, None)
    assert api.stored(made["id"]) == {"name": "one"}


# What follows from a change


def destination(config_id: int) -> bool | None:
    return PluginDestination.unscoped.filter(pk=config_id).values_list("is_active", flat=True).first()


def test_events_are_delivered_while_a_config_is_switched_on(api: ConfigApi, checking: Plugin) -> None:
    made = api.made(checking, config={"name": "x"})
    assert not destination(made["id"])
    steps: list[tuple[dict[str, Any], bool]] = [
        ({"enabled": True}, True), ({"enabled": False}, False), ({"enabled": True}, True), ({"deleted": True}, False),
        ({"deleted": False}, False), ({"deleted": False, "enabled": True}, True),
    ]  # fmt: skip
    for fields, active in steps:
        api.changed(made["id"], **fields)
        assert destination(made["id"]) is active, fields
    api("DELETE", f"{made['id']}/")
    assert destination(made["id"]) is False


def test_the_project_says_whether_its_pages_need_plugin_code(api: ConfigApi, plugin: Plugin) -> None:
    def flag() -> Any:
        return Team.objects.get(pk=api.team.pk).settings.get("inject_web_apps", "never set")

    api.made(plugin, enabled=True, config={"host": "a"})
    assert flag() == "never set"
    app = make_plugin(api.team.organization)
    file = PluginSourceFile.objects.create(plugin=app, filename="site.ts", status="LOCKED")
    made = api.made(app, enabled=True)
    assert flag() == "never set"
    PluginSourceFile.objects.filter(pk=file.pk).update(status="TRANSPILED")
    api.changed(made["id"], order=2)
    assert flag() is True
    other = make_api(make_team(api.team.organization))
    other.made(app)
    assert "inject_web_apps" not in Team.objects.get(pk=other.team.pk).settings
    api("DELETE", f"{made['id']}/")
    assert flag() is False
    Team.objects.filter(pk=api.team.pk).update(settings={"inject_web_apps": None, "surveys_opt_in": True})
    api.changed(made["id"], order=3)
    assert flag() is None
    api.changed(made["id"], enabled=True)
    assert Team.objects.get(pk=api.team.pk).settings == {"inject_web_apps": True, "surveys_opt_in": True}
