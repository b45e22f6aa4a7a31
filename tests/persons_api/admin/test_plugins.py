"""What operators see of plugins: enough to know what is wrong, and nothing that projects keep secret."""

import re
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from core.plugins.models import Plugin, PluginConfig, PluginDelivery
from core.tenancy.models import Team
from persons_api.admin import plugins
from tests.core.conftest import Cast
from tests.persons_api.admin.helpers import NOW, seed
from tests.persons_api.admin.test_words import text_of


def page(admin: Client, model: str, pk: Any) -> str:
    return text_of(admin.get(reverse(f"admin:core_{model}_change", args=[pk])).content.decode())


def links(admin: Client, model: str, pk: Any, to: str) -> str:
    body = admin.get(reverse(f"admin:core_{model}_change", args=[pk])).content.decode()
    found = re.search(rf'href="(/admin/core/{to}/\?[^"]*)"', body)
    assert found, (model, to)
    return found[1].replace("&amp;", "&")


@pytest.fixture
def config(cast: Cast) -> PluginConfig:
    for number in range(2):
        seed(cast, number)
    return PluginConfig.unscoped.get(plugin__name="Relay 0")


def let_wait(config: PluginConfig, count: int, **fields: Any) -> None:
    PluginDelivery.unscoped.bulk_create(
        PluginDelivery(
            team_id=config.team_id, plugin_config_id=config.pk, distinct_id="mia@example.org", generation=0,
            event_uuid=uuid4(), event="waits", payload="{}", captured_at=NOW, **fields,
        )
        for _ in range(count)
    )  # fmt: skip


def test_a_plugin_tells_where_it_is_from_and_who_uses_it(admin: Client, config: PluginConfig) -> None:
    shown = page(admin, "plugin", config.plugin_id)
    assert "URL https://github.com/example/relay0 Tag" in shown
    assert "1 config " in shown
    assert "hush" not in shown
    narrowed = text_of(admin.get(links(admin, "plugin", config.plugin_id, "pluginconfig")).content.decode())
    assert "Relay 0" in narrowed
    assert "Relay 1" not in narrowed
    handler = Plugin.objects.get(url="inline://webhook")
    assert "0 configs" in page(admin, "plugin", handler.pk)


def test_a_config_tells_of_its_work_and_not_of_its_values(admin: Client, config: PluginConfig) -> None:
    shown = page(admin, "pluginconfig", config.pk)
    assert "Stored encrypted" in shown
    assert "mapping (9 bytes)" in shown
    for to, wanted in (
        ("pluginjob", "The receiver is away."), ("plugindestination", "status 500"), ("plugindelivery", "status 400"),
    ):  # fmt: skip
        listed = text_of(admin.get(links(admin, "pluginconfig", config.pk, to)).content.decode())
        assert (listed.count(wanted), f"config {config.pk} " in listed) == (1, True), to


def test_a_destination_tells_how_much_waits(
    admin: Client, config: PluginConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_wait(config, 2)
    let_wait(config, 1, dead_at=NOW)
    shown = page(admin, "plugindestination", config.pk)
    assert "Events that wait 3 events" in shown
    assert "Dead letters 2 events" in shown
    monkeypatch.setattr(plugins, "COUNTED_MOST", 2)
    shown = page(admin, "plugindestination", config.pk)
    assert "Events that wait more than 2 events" in shown
    assert "Dead letters 2 events" in shown


def test_dead_letters_are_listed_without_what_still_waits(admin: Client, config: PluginConfig) -> None:
    let_wait(config, 3)
    for narrowed in ("", f"?q={config.pk}", f"?q={config.team_id}"):
        shown = text_of(admin.get(f"/admin/core/plugindelivery/{narrowed}").content.decode())
        assert "Refused: status 400" in shown, narrowed
        assert "waits" not in shown, narrowed
    waiting = PluginDelivery.unscoped.filter(dead_at=None).first()
    assert waiting is not None
    response = admin.get(reverse("admin:core_plugindelivery_change", args=[waiting.pk]))
    assert (response.status_code, response["Location"]) == (302, "/admin/")


def test_a_name_of_ones_own_goes_before_that_of_the_plugin(admin: Client, config: PluginConfig) -> None:
    assert "Name Relay 0" in page(admin, "pluginconfig", config.pk)
    PluginConfig.unscoped.filter(pk=config.pk).update(name="To the warehouse")
    assert "Name To the warehouse" in page(admin, "pluginconfig", config.pk)
    assert "To the warehouse" in text_of(admin.get("/admin/core/pluginconfig/").content.decode())


def test_projects_that_are_deleted_do_not_break_pages(admin: Client, config: PluginConfig) -> None:
    Team.objects.filter(id=config.team_id).update(deleted_at=NOW)
    for model in ("plugin", "pluginconfig", "pluginjob", "plugindestination", "plugindelivery"):
        assert admin.get(f"/admin/core/{model}/").status_code == 200
    assert "Relay 0" in page(admin, "pluginconfig", config.pk)
