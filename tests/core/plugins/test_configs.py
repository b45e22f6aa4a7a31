"""Plugin configs over HTTP: who sees what, what is kept, what is refused."""

from typing import Any

import orjson
import pytest
from pytest_django import DjangoAssertNumQueries

from core.activity.models import ActivityLog
from core.plugins.configs import services
from core.plugins.models import Plugin, PluginConfig
from tests.core.http import parsed, problem
from tests.core.plugins.config_api import BASES, ConfigApi, change, make_api, make_schemed
from tests.factories import make_organization, make_plugin, make_plugin_config, make_team

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(db: None) -> ConfigApi:
    return make_api()


@pytest.fixture
def plugin(api: ConfigApi) -> Plugin:
    return make_schemed(api.team, description="Sends on", capabilities={"methods": ["onEvent"]})


def rows() -> tuple[int, int]:
    return PluginConfig.unscoped.count(), ActivityLog.objects.count()


# What an object is


def test_a_config_as_it_is_answered(api: ConfigApi, plugin: Plugin) -> None:
    made = api.made(plugin, config={"host": "example.org"}, order=-3, name="Mine", description="Of mine")
    assert made == {
        "id": made["id"],
        "plugin": plugin.pk,
        "enabled": False,
        "order": -3,
        "config": {"host": "example.org"},
        "error": None,
        "team_id": api.team.pk,
        "plugin_info": made["plugin_info"],
        "delivery_rate_24h": None,
        "created_at": made["created_at"],
        "updated_at": made["updated_at"],
        "name": "Mine",
        "description": "Of mine",
        "deleted": False,
    }
    assert made["plugin_info"]["id"] == plugin.pk
    assert made["plugin_info"]["organization_name"] == api.team.organization.name
    assert api.read(made["id"]) == made
    assert api.listed()["results"] == [{**made, "plugin_info": None}]


@pytest.mark.parametrize("empty", [{}, {"name": None, "description": None}, {"name": "", "description": ""}])
def test_without_a_name_of_its_own_a_config_has_its_plugins(api: ConfigApi, plugin: Plugin, empty: Any) -> None:
    made = api.made(plugin, **empty)
    assert (made["name"], made["description"]) == ("Relay", "Sends on")
    assert [listed["name"] for listed in api.listed()["results"]] == ["Relay"]


def test_a_new_config_has_a_token_of_its_own_that_is_not_shown(api: ConfigApi, plugin: Plugin) -> None:
    ids = [api.made(plugin)["id"], api.made(plugin)["id"]]
    tokens = [PluginConfig.unscoped.get(pk=number).web_token for number in ids]
    assert len(set(tokens)) == 2
    assert all(token and token not in str(api.read(ids[0])) for token in tokens)


# Lists and families


def test_lists_go_by_order_then_by_plugin_and_leave_deleted_ones_out(api: ConfigApi, plugin: Plugin) -> None:
    other = make_schemed(api.team)
    late, second, first = api.made(other, order=5), api.made(other, order=2), api.made(plugin, order=2)
    gone = api.made(plugin, order=1)
    api.changed(gone["id"], deleted=True)
    page = api.listed(query="?limit=2")
    assert [found["id"] for found in page["results"]] == [first["id"], second["id"]]
    assert page["count"] == 3
    assert page["next"]
    page = api.listed(query="?limit=2&offset=2")
    assert [found["id"] for found in page["results"]] == [late["id"]]
    assert api.read(gone["id"])["deleted"] is True


def test_the_list_costs_the_same_however_long(
    api: ConfigApi, plugin: Plugin, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    api.made(plugin)
    api.listed()
    with django_assert_num_queries(4):  # the caller, the page, the count, the rates
        api.listed()
    for _ in range(5):
        api.made(plugin)
    with django_assert_num_queries(4):
        assert len(api.listed()["results"]) == 6


@pytest.mark.parametrize(
    ("capabilities", "found_under"),
    [
        ({}, "F"),
        ({"jobs": ["export"]}, "F"),
        ({"methods": ["onEvent"]}, "D"),
        ({"methods": ["composeWebhook"], "scheduled_tasks": []}, "D"),
        ({"methods": ["processEvent", "setupPlugin"]}, "T"),
        ({"methods": ["processEvent", "onEvent"]}, "DT"),
        ({"methods": ["processEvent"], "scheduled_tasks": ["runEveryMinute"]}, "TI"),
        ({"methods": ["onEvent"], "scheduled_tasks": ["runEveryDay"]}, "DI"),
        ({"scheduled_tasks": ["runEveryDay"]}, "I"),
        ({"scheduled_tasks": []}, ""),
        ({"methods": []}, "I"),
        ({"methods": ["setupPlugin"]}, "I"),
        ({"methods": ["setupPlugin"], "scheduled_tasks": []}, "I"),
        ({"methods": "onEvent"}, "I"),
        ({"methods": {"onEvent": 1}}, "I"),
        ({"methods": None, "scheduled_tasks": None}, "I"),
    ],
)
def test_families_are_told_by_what_plugins_can_do(api: ConfigApi, capabilities: Any, found_under: str) -> None:
    plugin = make_schemed(api.team, capabilities=capabilities)
    config = make_plugin_config(api.team, plugin)
    letters = dict(zip(BASES, "ADFTI", strict=True))
    seen = {letters[base] for base in BASES if api.listed(base)["count"]}
    assert seen == {"A", *found_under}
    for base in BASES:
        is_there = letters[base] in seen
        answers = [
            api("GET", f"{config.pk}/", base=base),
            api("PATCH", f"{config.pk}/", {"name": "New"}, base),
            api("PUT", f"{config.pk}/", {"order": 1}, base),
            api("GET", f"{config.pk}/frontend/", base=base),
            api("GET", f"{config.pk}/activity/", base=base),
        ]
        assert {answer.status_code for answer in answers} == {200 if is_there else 404}, base
        assert api("DELETE", f"{config.pk}/", base=base).status_code == (204 if is_there else 404)
        made = api("POST", "", {"plugin": plugin.pk, "order": 1}, base)
        if is_there:
            assert made.status_code == 201
        else:
            assert problem(made) == (400, "validation_error", "invalid_input", services.OTHER_FAMILY, "plugin")


def test_both_prefixes_are_the_same_project(api: ConfigApi, plugin: Plugin) -> None:
    made = api.made(plugin)
    found = api.caller.get(api.url(f"{made['id']}/", tree="environments"))
    assert parsed(found) == made


# Which plugins may be configured


def test_a_plugin_of_another_organization_is_as_if_it_were_not_there(api: ConfigApi) -> None:
    foreign = make_plugin(make_organization())
    answer = problem(api("POST", "", {"plugin": foreign.pk, "order": 1}))
    assert answer == (
        400, "validation_error", "does_not_exist", f'Invalid pk "{foreign.pk}" - object does not exist.', "plugin",
    )  # fmt: skip
    assert rows() == (0, 0)


def test_a_global_plugin_may_be_configured_and_stays_so_once_it_is_not_global(api: ConfigApi) -> None:
    other = make_organization(name="Maker")
    plugin = make_plugin(other, is_global=True)
    made = api.made(plugin)
    assert made["plugin_info"]["organization_name"] == "Maker"
    Plugin.objects.filter(pk=plugin.pk).update(is_global=False)
    assert api.changed(made["id"], enabled=True)["enabled"] is True
    assert api.made(plugin)["id"] != made["id"]
    stranger = make_api()
    assert stranger("POST", "", {"plugin": plugin.pk, "order": 1}).status_code == 400


def test_the_plugin_of_a_config_never_changes(api: ConfigApi, plugin: Plugin) -> None:
    other = make_schemed(api.team)
    made = api.made(plugin)
    assert api.changed(made["id"], plugin=other.pk)["plugin"] == plugin.pk
    put = api("PUT", f"{made['id']}/", {"plugin": "nonsense", "order": 1})
    assert parsed(put)["plugin"] == plugin.pk


# Bodies


@pytest.mark.parametrize(
    ("body", "code", "attr"),
    [
        ({"order": 1}, "required", "plugin"),
        ({"plugin": None, "order": 1}, "null", "plugin"),
        ({"plugin": "", "order": 1}, "required", "plugin"),
        ({"plugin": True, "order": 1}, "incorrect_type", "plugin"),
        ({"plugin": "abc", "order": 1}, "incorrect_type", "plugin"),
        ({"plugin": [1], "order": 1}, "incorrect_type", "plugin"),
        ({"plugin": 1.5, "order": 1}, "incorrect_type", "plugin"),
        ({"plugin": -1, "order": 1}, "does_not_exist", "plugin"),
        ({"plugin": 10**18, "order": 1}, "does_not_exist", "plugin"),
        ({"plugin": "9" * 5000, "order": 1}, "does_not_exist", "plugin"),
        ({"plugin": "{id}"}, "required", "order"),
        ({"plugin": "{id}", "order": None}, "null", "order"),
        ({"plugin": "{id}", "order": "first"}, "invalid_input", "order"),
        ({"plugin": "{id}", "order": 1.5}, "invalid_input", "order"),
        ({"plugin": "{id}", "order": [1]}, "invalid_input", "order"),
        ({"plugin": "{id}", "order": 2**31}, "max_value", "order"),
        ({"plugin": "{id}", "order": -(2**31) - 1}, "min_value", "order"),
        ({"plugin": "{id}", "order": "9" * 5000}, "max_string_length", "order"),
        ({"plugin": "{id}", "order": 1, "enabled": "perhaps"}, "invalid_input", "enabled"),
        ({"plugin": "{id}", "order": 1, "enabled": None}, "null", "enabled"),
        ({"plugin": "{id}", "order": 1, "deleted": {}}, "invalid_input", "deleted"),
        ({"plugin": "{id}", "order": 1, "name": "x" * 401}, "max_length", "name"),
        ({"plugin": "{id}", "order": 1, "name": ["x"]}, "invalid_input", "name"),
        ({"plugin": "{id}", "order": 1, "name": "a\x00b"}, "null_characters_not_allowed", "name"),
        ({"plugin": "{id}", "order": 1, "description": "x" * 1001}, "max_length", "description"),
        ({"plugin": "{id}", "order": 1, "config": "{oops"}, "invalid_input", "config"),
        ({"plugin": "{id}", "order": 1, "config": "[]"}, "invalid_input", "config"),
        ({"plugin": "{id}", "order": 1, "config": [1]}, "invalid_input", "config"),
        ({"plugin": "{id}", "order": 1, "config": 7}, "invalid_input", "config"),
        ({"plugin": "{id}", "order": 1, "config": "7"}, "invalid_input", "config"),
        ({"plugin": "{id}", "order": 1, "config": {"a": "x" * 2**20}}, "max_length", "config"),
        ([1], "invalid_input", None),
        ("text", "invalid_input", None),
    ],
)
def test_what_cannot_be_made(api: ConfigApi, plugin: Plugin, body: Any, code: str, attr: str | None) -> None:
    sent = orjson.loads(orjson.dumps(body).replace(b'"{id}"', str(plugin.pk).encode()))
    answer = problem(api("POST", "", orjson.dumps(sent)))
    assert (answer[0], answer[1], answer[2], answer[4]) == (400, "validation_error", code, attr)
    assert rows() == (0, 0)


def test_a_body_that_is_no_json_or_has_broken_text(api: ConfigApi, plugin: Plugin) -> None:
    made = api.made(plugin)
    before = rows()
    for body in (b"{", b'{"config": {"host": "\\ud800"}}', b'{"config": ' + b'{"a":' * 500 + b"1" + b"}" * 501):
        assert api("PATCH", f"{made['id']}/", body).status_code == 400, body[:40]
    assert rows() == before
    assert api.changed(made["id"], config={"host": "a\x00b"})["config"] == {"host": "a\ufffdb"}


def test_deep_configs_are_refused(api: ConfigApi, plugin: Plugin) -> None:
    deep: Any = 1
    for _ in range(230):
        deep = [deep]
    answer = problem(api("POST", "", {"plugin": plugin.pk, "order": 1, "config": {"deep": deep}}))
    assert answer == (400, "validation_error", "invalid_input", "The value is nested too deeply.", "config")


def test_numbers_beyond_64_bits_are_kept_as_floating_point(api: ConfigApi, plugin: Plugin) -> None:
    made = api(
        "POST", "", b'{"plugin": %d, "order": 1, "config": {"n": 1e300, "m": 123456789012345678901234}}' % plugin.pk
    )
    assert parsed(made)["config"] == {"n": 1e300, "m": 1.2345678901234568e23}


def test_forms_carry_config_as_text(api: ConfigApi, plugin: Plugin) -> None:
    made = api.form("POST", "", plugin=plugin.pk, order="2", enabled="true", config='{"host": "a.example"}')
    assert made.status_code == 201, made.content
    found = parsed(made)
    assert (found["order"], found["enabled"], found["config"]) == (2, True, {"host": "a.example"})
    refused = api.form("PATCH", f"{found['id']}/", config="host=a")
    assert problem(refused)[2:] == ("invalid_input", "Value must be valid JSON.", "config")
    urlencoded = api.caller(
        "PATCH", api.url(f"{found['id']}/"), "name=Other", content_type="application/x-www-form-urlencoded"
    )
    assert (parsed(urlencoded)["name"], parsed(urlencoded)["config"]) == ("Other", {"host": "a.example"})


# Changes


@pytest.mark.parametrize("nothing", [{}, {"config": None}, {"config": ""}, {"config": " "}])
def test_a_config_that_is_not_sent_stays(api: ConfigApi, plugin: Plugin, nothing: Any) -> None:
    made = api.made(plugin, config={"host": "a", "token": "t0ken"}, enabled=True)
    api.changed(made["id"], order=7, **nothing)
    assert api.stored(made["id"]) == {"host": "a", "token": "t0ken"}
    assert api.read(made["id"])["enabled"] is True


def test_put_wants_the_order_and_takes_the_deletion_back(api: ConfigApi, plugin: Plugin) -> None:
    made = api.made(plugin, config={"host": "a"}, name="Mine", deleted=True)
    assert made["deleted"] is True
    assert problem(api("PUT", f"{made['id']}/", {"name": "New"}))[2:] == (
        "required",
        "This field is required.",
        "order",
    )
    put = parsed(api("PUT", f"{made['id']}/", {"order": 4}))
    assert (put["order"], put["deleted"], put["name"], put["config"]) == (4, False, "Mine", {"host": "a"})
    assert api.changed(made["id"], deleted=True)["deleted"] is True
    assert api.changed(made["id"], name="Other")["deleted"] is True


def test_an_object_sent_back_as_it_was_changes_nothing(api: ConfigApi, plugin: Plugin) -> None:
    made = api.made(plugin, config={"host": "a", "token": "t0ken"}, enabled=True, name="Mine", description="Text")
    before = api.stored(made["id"]), api.log(made["id"])
    put = api("PUT", f"{made['id']}/", made)
    assert parsed(put) == {**made, "updated_at": parsed(put)["updated_at"]}
    assert (api.stored(made["id"]), api.log(made["id"])) == before


def test_deleting_switches_off_and_restoring_does_not_switch_on(api: ConfigApi, plugin: Plugin) -> None:
    made = api.made(plugin, enabled=True, config={"host": "a"})
    gone = api.changed(made["id"], deleted=True, enabled=True)
    assert (gone["deleted"], gone["enabled"]) == (True, False)
    assert api.changed(made["id"], enabled=True)["enabled"] is False
    back = api.changed(made["id"], deleted=False)
    assert (back["deleted"], back["enabled"]) == (False, False)
    assert api.changed(made["id"], enabled=True)["enabled"] is True


def test_delete_switches_off_and_keeps_the_config(api: ConfigApi, plugin: Plugin) -> None:
    made = api.made(plugin, enabled=True, config={"host": "a", "token": "t0ken"})
    for _ in range(2):
        answer = api("DELETE", f"{made['id']}/")
        assert (answer.status_code, answer.content) == (204, b"")
    found = api.read(made["id"])
    assert (found["enabled"], found["deleted"]) == (False, False)
    assert api.stored(made["id"]) == {"host": "a", "token": "t0ken"}
    assert [name for name, _ in api.log(made["id"])] == ["enabled", "disabled"]


@pytest.mark.parametrize("wrong", ["999999", "9" * 30, "abc", "-1", "1%00"])
def test_what_is_not_there(api: ConfigApi, wrong: str) -> None:
    for method, path, body in (
        ("GET", "", None), ("PUT", "", {"order": 1}), ("PATCH", "", {}), ("DELETE", "", None),
        ("GET", "frontend/", None), ("POST", "job/", {"job": {"type": "x"}}), ("GET", "activity/", None),
    ):  # fmt: skip
        answer = problem(api(method, f"{wrong}/{path}", body))
        assert answer == (404, "invalid_request", "not_found", "Not found.", None)


def test_configs_of_another_project_are_not_there(api: ConfigApi, plugin: Plugin) -> None:
    other = make_team(api.team.organization)
    theirs = make_plugin_config(other, plugin, enabled=True)
    for method, path, body in (
        ("GET", "", None), ("PUT", "", {"order": 9}), ("PATCH", "", {"order": 9}), ("DELETE", "", None),
        ("GET", "frontend/", None), ("POST", "job/", {"job": {"type": "x"}}), ("GET", "activity/", None),
    ):  # fmt: skip
        assert api(method, f"{theirs.pk}/{path}", body).status_code == 404
    api("PATCH", "rearrange/", {"orders": {str(theirs.pk): 9}})
    assert PluginConfig.unscoped.values_list("order", "enabled").get(pk=theirs.pk) == (1, True)
    assert api.listed()["count"] == 0


def test_there_is_a_limit(api: ConfigApi, plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MAX_CONFIGS", 2)
    first = api.made(plugin)
    api.made(plugin)
    assert problem(api("POST", "", {"plugin": plugin.pk, "order": 1}))[2] == "limit_reached"
    api.changed(first["id"], deleted=True)
    api.made(plugin)
    assert problem(api("PATCH", f"{first['id']}/", {"deleted": False}))[2] == "limit_reached"
    assert api.read(first["id"])["deleted"] is True


# What the activity log says


def test_the_log_of_a_config(api: ConfigApi, plugin: Plugin) -> None:
    made = api.made(plugin, config={"host": "a", "flag": True})
    api.changed(made["id"], config={"host": "b", "flag": 1})
    api.changed(made["id"], config={"host": "b"})
    api.changed(made["id"], enabled=True)
    api.changed(made["id"], order=9)
    api.changed(made["id"], name="New")
    api.changed(made["id"], deleted=True)
    assert api.log(made["id"]) == [
        (
            "config_updated",
            [change("host", None, "a", "created"), change("flag", before=None, after=True, action="created")],
        ),
        ("config_updated", [change("host", "a", "b"), change("flag", before=True, after=1)]),
        ("config_updated", [change("flag", before=1, after=None, action="deleted")]),
        ("enabled", None),
        ("order_changed", [change("order", 1, 9)]),
        ("updated", [change("name", None, "New", "created")]),
        ("deleted", [change("deleted", before=False, after=True)]),
        ("disabled", None),
    ]
    page = parsed(api("GET", f"{made['id']}/activity/?limit=2"))
    assert [entry["activity"] for entry in page["results"]] == ["disabled", "deleted"]
    assert page["total_count"] == 8
    assert {(entry["scope"], entry["item_id"], entry["detail"]["name"]) for entry in page["results"]} == {
        ("PluginConfig", str(made["id"]), "Relay")
    }


def test_a_config_made_enabled_has_one_entry_with_all_its_values(api: ConfigApi, plugin: Plugin) -> None:
    made = api.made(plugin, config={"host": "a"}, enabled=True)
    assert api.log(made["id"]) == [("enabled", [change("host", None, "a", "created")])]
    empty = api.made(make_plugin(api.team.organization), enabled=True)
    assert api.log(empty["id"]) == [("enabled", None)]
