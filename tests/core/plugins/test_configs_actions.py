"""Plugin configs: their places, the browser code of their plugins, and their jobs."""

from typing import Any

import pytest

from core.activity.models import ActivityLog
from core.plugins.configs.frontend import FrontendFile, frontend_script
from core.plugins.models import Plugin, PluginConfig, PluginJob, PluginSourceFile
from tests.core.http import parsed, problem
from tests.core.plugins.config_api import ConfigApi, make_api, make_schemed
from tests.factories import make_plugin_config, make_team

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(db: None) -> ConfigApi:
    return make_api()


@pytest.fixture
def plugin(api: ConfigApi) -> Plugin:
    return make_schemed(api.team)


# Places


def test_rearranging(api: ConfigApi, plugin: Plugin) -> None:
    first, second, off = (
        make_plugin_config(api.team, plugin, enabled=enabled, order=order)
        for order, enabled in ((1, True), (2, True), (3, False))
    )
    of_other_family = make_plugin_config(
        api.team, make_schemed(api.team, capabilities={"methods": ["onEvent"]}), enabled=True, order=1
    )
    foreign = make_plugin_config(make_team(api.team.organization), plugin, enabled=True, order=1)
    orders = {
        str(first.pk): 5, str(second.pk): 2, str(off.pk): 9, str(foreign.pk): 9, str(of_other_family.pk): -1,
        "999999999": 4, "-7": 1, "9" * 40: 1,
    }  # fmt: skip
    answer = api("PATCH", "rearrange/", {"orders": orders}, base="pipeline_frontend_apps_configs")
    found = parsed(answer)
    assert [(config["id"], config["order"]) for config in found] == [
        (of_other_family.pk, -1), (second.pk, 2), (first.pk, 5),
    ]  # fmt: skip
    assert {(config["plugin_info"], config["delivery_rate_24h"]) for config in found} == {(None, None)}
    assert set(PluginConfig.unscoped.filter(pk__in=[off.pk, foreign.pk]).values_list("order", flat=True)) == {3, 1}
    entries = ActivityLog.objects.filter(activity="order_changed", scope="Plugin", team_id=api.team.pk)
    moved = {"type": "Plugin", "action": "changed", "field": "order", "before": 1}
    assert {entry.item_id: (entry.detail["name"], entry.detail["changes"]) for entry in entries} == {
        str(first.pk): ("Relay", [{**moved, "after": 5}]),
        str(of_other_family.pk): ("Relay", [{**moved, "after": -1}]),
    }
    assert PluginConfig.unscoped.get(pk=first.pk).updated_at > first.updated_at
    assert PluginConfig.unscoped.get(pk=second.pk).updated_at == second.updated_at


@pytest.mark.parametrize("body", [None, {}, {"orders": None}, {"orders": {}}, {"id": 4, "order": 9}, {"orders": ""}])
def test_rearranging_nothing(api: ConfigApi, plugin: Plugin, body: Any) -> None:
    made = api.made(plugin, enabled=True, config={"host": "a"})
    assert [config["order"] for config in parsed(api("PATCH", "rearrange/", body))] == [made["order"]]
    assert not ActivityLog.objects.filter(activity="order_changed").exists()


@pytest.mark.parametrize(
    "orders",
    [
        [1], "x", 7, {"abc": 1}, {"": 1}, {"1.0": 1}, {"\u0661": 1}, {"1": "2"}, {"1": None}, {"1": True}, {"1": 1.5},
        {"1": 2**31}, {"1": -(2**31) - 1}, {"1": [1]}, {"1\x00": 1},
    ],
)  # fmt: skip
def test_orders_that_are_none(api: ConfigApi, plugin: Plugin, orders: Any) -> None:
    made = api.made(plugin, enabled=True, config={"host": "a"})
    body = {"orders": {str(made["id"]): 5, **orders} if isinstance(orders, dict) else orders}
    answer = problem(api("PATCH", "rearrange/", body))
    assert (answer[:3], answer[4]) == ((400, "validation_error", "invalid_input"), "orders")
    assert api.read(made["id"])["order"] == 1


def test_rearranging_costs_the_same_for_many(
    api: ConfigApi, plugin: Plugin, django_assert_max_num_queries: Any
) -> None:
    made = [make_plugin_config(api.team, plugin, enabled=True, order=number) for number in range(40)]
    api.listed()
    with django_assert_max_num_queries(10):
        found = parsed(api("PATCH", "rearrange/", {"orders": {str(config.pk): 90 - config.order for config in made}}))
    assert [config["id"] for config in found] == [config.pk for config in reversed(made)]


# Browser code


@pytest.mark.parametrize(
    ("file", "script"),
    [
        (None, 'export function getFrontendApp () { return {"no_frontend": true} }'),
        ({"status": None}, 'export function getFrontendApp () { return {"transpiling": true} }'),
        ({"status": "LOCKED"}, 'export function getFrontendApp () { return {"transpiling": true} }'),
        ({"status": "TRANSPILED", "transpiled": "export const a = '</script>'"}, "export const a = '</script>'"),
        ({"status": "TRANSPILED", "transpiled": None}, ""),
        ({"status": "ERROR"}, 'export function getFrontendApp () { return {"error": "Error Compiling Plugin"} }'),
        (
            {"status": "ERROR", "error": 'a "quote" </script> <!-- \u2028'},
            'export function getFrontendApp () { return {"error": "a \\"quote\\" <\\/script> <\\!-- \\u2028"} }',
        ),
    ],
)
@pytest.mark.parametrize("accept", ["*/*", "application/javascript", "application/json"])
def test_frontend(api: ConfigApi, plugin: Plugin, file: Any, script: str, accept: str) -> None:
    if file is not None:
        PluginSourceFile.objects.create(plugin=plugin, filename="frontend.tsx", source="source", **file)
    PluginSourceFile.objects.create(plugin=plugin, filename="site.ts", status="ERROR", error="other file")
    made = api.made(plugin, deleted=True)
    answer = api.caller.get(api.url(f"{made['id']}/frontend/"), headers={"Accept": accept})
    assert answer.status_code == 200, answer.content
    assert answer.headers["Content-Type"] == "application/javascript; charset=UTF-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.content.decode() == script


def test_frontend_of_an_empty_status_is_an_error() -> None:
    assert '"error"' in frontend_script(FrontendFile("", None, None))


# Jobs


def test_a_job_is_queued_for_any_config(api: ConfigApi, plugin: Plugin) -> None:
    made = api.made(plugin)
    answer = api("POST", f"{made['id']}/job/", {"job": {"type": "export", "payload": {"a": 1}}})
    job = PluginJob.unscoped.get()
    assert (answer.status_code, parsed(answer)) == (200, {"success": True, "job_id": str(job.pk)})
    assert (job.plugin_config_id, job.type, job.state) == (made["id"], "export", "queued")
    assert [name for name, _ in api.log(made["id"])] == ["job_triggered"]


@pytest.mark.parametrize("body", [{}, {"job": None}, {"job": {}}, {"job": {"payload": {}}}])
def test_a_job_without_a_type(api: ConfigApi, plugin: Plugin, body: Any) -> None:
    made = api.made(plugin)
    answer = problem(api("POST", f"{made['id']}/job/", body))
    assert answer == (400, "validation_error", "invalid_input", "The job type must be specified!", None)
    assert PluginJob.unscoped.count() == 0
