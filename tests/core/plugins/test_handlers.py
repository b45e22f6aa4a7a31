"""Handlers: which there are, the rows of plugins that they become, and what they get of a config."""

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from cryptography.fernet import Fernet
from django.apps import apps
from django.apps.registry import Apps
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db.models.signals import post_migrate

from core.encryption.services import UnreadableError, encrypt, encrypt_json
from core.plugins.handlers.base import Attachment, HandlerContext, PluginHandler
from core.plugins.handlers.contexts import context_of
from core.plugins.handlers.inline import inline_plugins_sync
from core.plugins.handlers.registry import handler_of, handlers
from core.plugins.handlers.webhook import WebhookHandler
from core.plugins.models import Plugin, PluginAttachment, PluginConfig
from tests.core.plugins.jobs.acting import PATH, ActingHandler
from tests.factories import make_organization, make_plugin, make_plugin_config, make_team
from tests.support.at_once import at_once

WEBHOOK = "core.plugins.handlers.webhook.WebhookHandler"
HERE = "tests.core.plugins.test_handlers"


class _Checked(PluginHandler):
    key = "checked"
    name = "Checked"
    description = ""

    def check(self, config: Mapping[str, Any], *, enabled: bool) -> None:
        pass


class Renamed(_Checked):
    key = "acting"
    name = "Another name"
    methods: ClassVar = ["onEvent"]


class BadKey(_Checked):
    key = "a/b"


class LongName(_Checked):
    name = "x" * 201


class LongJob(_Checked):
    public_jobs: ClassVar = {"x" * 201: {}}


class NoJSON(_Checked):
    config_schema: ClassVar = [{"key": object()}]


class NoName(PluginHandler):
    key = "nameless"


class Abstract(PluginHandler):
    key, name, description = "abstract", "Abstract", ""


NOT_A_CLASS = 1


def inline() -> dict[str, Plugin]:
    return {plugin.url or "": plugin for plugin in Plugin.objects.filter(plugin_type="inline")}


def test_the_webhook_is_there_without_a_setting(db: None) -> None:
    assert list(handlers()) == ["webhook"]
    plugin = inline()["inline://webhook"]
    assert handler_of(plugin) is handlers()["webhook"]
    assert isinstance(handler_of(plugin), WebhookHandler)
    assert (plugin.organization_id, plugin.is_global, plugin.is_preinstalled) == (None, True, True)
    assert plugin.capabilities["methods"] == ["composeWebhook", "onEvent"]
    assert set(plugin.capabilities["jobs"]) == set(plugin.public_jobs) == set(WebhookHandler.public_jobs)
    assert "scheduled_tasks" not in plugin.capabilities


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("core.plugins.nothing.There", "cannot be imported"),
        ("nonsense", "cannot be imported"),
        (f"{HERE}.NOT_A_CLASS", "no PluginHandler"),
        ("django.db.models.Model", "no PluginHandler"),
        (f"{HERE}.BadKey", "the key"),
        (f"{HERE}.LongName", "the name"),
        (f"{HERE}.LongJob", "names of jobs"),
        (f"{HERE}.NoJSON", "JSON"),
        (f"{HERE}.NoName", "must be texts"),
        (f"{HERE}.Abstract", "cannot be made"),
    ],
)
def test_a_wrong_handler_stops_and_is_named(settings: Any, path: str, why: str) -> None:
    settings.PLUGIN_HANDLERS = [WEBHOOK, path]
    with pytest.raises(ImproperlyConfigured, match=why) as refused:
        handlers()
    assert f"PLUGIN_HANDLERS: {path}" in str(refused.value)


def test_two_handlers_cannot_have_one_key(settings: Any) -> None:
    settings.PLUGIN_HANDLERS = [PATH, f"{HERE}.Renamed"]
    with pytest.raises(ImproperlyConfigured, match="another one has already"):
        handlers()


def test_rows_follow_the_handlers_and_stay_as_they_are_when_nothing_changed(db: None, settings: Any) -> None:
    settings.PLUGIN_HANDLERS = [WEBHOOK, PATH]
    inline_plugins_sync()
    first = inline()
    assert set(first) == {"inline://webhook", "inline://acting"}
    made = first["inline://acting"]
    assert (made.name, made.description) == (ActingHandler.name, ActingHandler.description)
    assert (made.config_schema, made.public_jobs) == (ActingHandler.config_schema, ActingHandler.public_jobs)
    assert made.capabilities == {"jobs": ["act", "needing", "wait"]}
    inline_plugins_sync()
    assert {url: (plugin.id, plugin.updated_at) for url, plugin in inline().items()} == {
        url: (plugin.id, plugin.updated_at) for url, plugin in first.items()
    }
    settings.PLUGIN_HANDLERS = [f"{HERE}.Renamed"]
    inline_plugins_sync()
    (left,) = inline().values()
    assert (left.id, left.name, left.capabilities) == (made.id, "Another name", {"methods": ["onEvent"]})
    assert (left.config_schema, left.public_jobs) == ([], {})
    assert left.updated_at > made.updated_at


def test_a_row_with_a_config_outlives_its_handler(db: None, settings: Any) -> None:
    settings.PLUGIN_HANDLERS = [PATH]
    inline_plugins_sync()
    (plugin,) = inline().values()
    make_plugin_config(make_team(), plugin)
    settings.PLUGIN_HANDLERS = []
    inline_plugins_sync()
    (left,) = inline().values()
    assert left.id == plugin.id
    assert handler_of(left) is None
    PluginConfig.unscoped.all().delete()
    inline_plugins_sync()
    assert not inline()


def test_plugins_of_organizations_have_no_handler_whatever_they_call_themselves(db: None) -> None:
    theirs = [
        make_plugin(make_organization(), url="inline://webhook", plugin_type=kind) for kind in ("inline", "source")
    ]
    assert [handler_of(plugin) for plugin in theirs] == [None, None]
    assert handler_of(Plugin(plugin_type="source", url="inline://webhook")) is None
    assert handler_of(Plugin(plugin_type="inline", url=None)) is None
    assert handler_of(Plugin(plugin_type="inline", url="webhook")) is None
    inline_plugins_sync()
    assert Plugin.objects.filter(pk__in=[plugin.pk for plugin in theirs]).count() == 2


def test_migrate_makes_the_rows(db: None, settings: Any) -> None:
    Plugin.objects.all().delete()
    call_command("migrate", verbosity=0)
    assert list(inline()) == ["inline://webhook"]
    settings.PLUGIN_HANDLERS = ["nonsense"]
    with pytest.raises(ImproperlyConfigured):
        call_command("migrate", verbosity=0)


def test_a_database_from_before_there_were_plugins_is_left_alone(db: None) -> None:
    Plugin.objects.all().delete()
    core = apps.get_app_config("core")
    post_migrate.send(sender=core, app_config=core, apps=Apps(), using="default")
    assert not inline()
    post_migrate.send(sender=core, app_config=core, apps=apps, using="default")
    assert list(inline()) == ["inline://webhook"]


@pytest.mark.django_db(transaction=True)
def test_several_processes_may_start_at_once(settings: Any) -> None:
    settings.PLUGIN_HANDLERS = [PATH, WEBHOOK]
    Plugin.objects.all().delete()
    at_once(*[inline_plugins_sync] * 4)
    assert set(inline()) == {"inline://webhook", "inline://acting"}


def test_a_context_is_decrypted_and_hides_it(db: None) -> None:
    team = make_team()
    config = make_plugin_config(team, config={"token": "s3cret", "n": [1, None]})
    other = make_plugin_config(team)
    for owner, key, contents in ((config, "mapping", b"a,b\x00"), (other, "theirs", b"x")):
        PluginAttachment.objects.for_team(team.id).create(
            team=team, plugin_config=owner, key=key, content_type="text/csv", file_name="m.csv", file_size=4,
            encrypted_contents=encrypt(contents),
        )  # fmt: skip
    said: list[tuple[str, str]] = []
    context = context_of(config, lambda *line: said.append(line))
    assert (context.team_id, context.plugin_id, context.plugin_config_id) == (team.id, config.plugin_id, config.id)
    assert context.config == {"token": "s3cret", "n": [1, None]}
    context.log("INFO", "hello")
    assert said == [("INFO", "hello")]
    assert "s3cret" not in repr(context)
    assert context.attachment("mapping") == Attachment("m.csv", "text/csv", b"a,b\x00")
    assert "a,b" not in repr(context.attachment("mapping"))
    assert context.attachment("theirs") is None
    with pytest.raises(NotImplementedError):
        context.redeliver(1)


def test_what_no_key_reads_is_said_so(db: None) -> None:
    config = make_plugin_config(make_team())
    config.encrypted_config = Fernet(Fernet.generate_key()).encrypt(b"{}")
    with pytest.raises(UnreadableError):
        context_of(config, _silent)


def test_a_context_reads_what_older_keys_encrypted(db: None, settings: Any) -> None:
    config = make_plugin_config(make_team())
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    settings.ENCRYPTION_KEYS = (old,)
    config.encrypted_config = encrypt_json({"a": 1})
    settings.ENCRYPTION_KEYS = (new, old)
    found: HandlerContext = context_of(config, _silent)
    assert found.config == {"a": 1}


def _silent(_type: str, _text: str) -> None:
    pass
