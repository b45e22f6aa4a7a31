"""Plugins changed by several callers at the same moment: one has its effect, the others get a documented answer."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from core.plugins.installing.compiling import sources_compile
from core.plugins.models import Plugin, PluginConfig, PluginSourceFile
from core.tenancy.models import Organization, Team
from tests.core.conftest import Cast
from tests.core.http import parsed
from tests.core.plugins.plugin_api import CODE, Plugins, files_of
from tests.factories import make_plugin_config
from tests.support.at_once import WAITING

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 6


@pytest.fixture
def plugins(cast: Cast) -> Plugins:
    Plugin.objects.all().delete()
    made = Plugins(cast.as_owner(), cast.organization.pk)
    # The document that answers are checked against is not made by two threads at once.
    made.read()
    return made


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


def at_once(pool: ThreadPoolExecutor, *calls: Callable[[], Any]) -> list[Any]:
    start = threading.Barrier(len(calls))

    def begin(call: Callable[[], Any]) -> Any:
        start.wait()
        try:
            return call()
        finally:
            connection.close()

    return [one.result(timeout=120) for one in [pool.submit(begin, call) for call in calls]]


def statuses(answers: list[Any]) -> list[int]:
    return sorted(answer.status_code for answer in answers)


def test_one_url_installed_twice(plugins: Plugins, pool: ThreadPoolExecutor, settings: Any, tmp_path: Path) -> None:
    settings.PLUGINS_LOCAL_DIR = str(tmp_path)
    for number in range(ROUNDS):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, text in files_of().items():
            (folder / name).write_text(text)
        url = f"file:{folder}"
        answers = at_once(pool, *(lambda url=url: plugins.send("POST", body={"url": url}) for _ in range(2)))
        assert statuses(answers) == [201, 400]
        (refused,) = (parsed(answer)["detail"] for answer in answers if answer.status_code == 400)
        assert refused == f'Plugin from URL "{url}" already installed!'
    assert Plugin.objects.count() == ROUNDS


def test_one_plugin_uninstalled_and_configured(plugins: Plugins, pool: ThreadPoolExecutor, cast: Cast) -> None:
    path = f"/api/projects/{cast.team.pk}/plugin_configs/"
    for _ in range(ROUNDS):
        plugin_id = plugins.make()["id"]
        make_plugin_config(cast.other_team, Plugin.objects.get(pk=plugin_id))
        uninstalled, configured = at_once(
            pool,
            lambda plugin_id=plugin_id: plugins.send("DELETE", plugin_id),
            lambda plugin_id=plugin_id: plugins.caller("POST", path, {"plugin": plugin_id, "order": 1}),
        )
        assert uninstalled.status_code == 204
        # Made, and gone with its plugin before it was read for the answer, it is not found.
        assert configured.status_code in {201, 400, 404}, configured.content
    assert not Plugin.objects.exists()
    assert not PluginConfig.unscoped.exists()


def test_one_plugin_uninstalled_and_edited(plugins: Plugins, pool: ThreadPoolExecutor) -> None:
    for _ in range(ROUNDS):
        plugin_id = plugins.make(source=CODE)["id"]
        answers = at_once(
            pool,
            lambda plugin_id=plugin_id: plugins.send("DELETE", plugin_id),
            lambda plugin_id=plugin_id: plugins.send("DELETE", plugin_id),
            lambda plugin_id=plugin_id: plugins.send("PATCH", plugin_id, "update_source", body={"a.ts": "x"}),
            lambda plugin_id=plugin_id: plugins.send("PATCH", plugin_id, body={"name": "New"}),
        )
        assert statuses(answers[:2]) == [204, 404]
        assert {answer.status_code for answer in answers[2:]} <= {200, 404}
    assert not PluginSourceFile.objects.exists()


def test_one_file_edited_twice(plugins: Plugins, pool: ThreadPoolExecutor) -> None:
    plugin_id = plugins.make()["id"]
    for number in range(ROUNDS):
        bodies = [{"same.ts": f"{number} {side}", f"{side}{number}.ts": side} for side in ("left", "right")]
        answers = at_once(
            pool, *(lambda body=body: plugins.send("PATCH", plugin_id, "update_source", body=body) for body in bodies)
        )
        assert statuses(answers) == [200, 200]
    files = plugins.read(plugin_id, "source")
    assert len(files) == 1 + 2 * ROUNDS
    assert files["same.ts"] in {f"{ROUNDS - 1} left", f"{ROUNDS - 1} right"}


def web_apps(cast: Cast) -> Any:
    return Team.objects.get(pk=cast.team.pk).settings.get("inject_web_apps")


def test_the_first_config_of_a_project_goes_with_a_plugin_that_is_being_uninstalled(
    plugins: Plugins, pool: ThreadPoolExecutor, cast: Cast
) -> None:
    plugin_id = plugins.make()["id"]
    PluginSourceFile.objects.create(plugin_id=plugin_id, filename="site.ts", status="TRANSPILED")
    body = {"plugin": plugin_id, "order": 1, "enabled": True}
    made: list[Any] = []

    def first(execute: Any, sql: str, *rest: Any) -> Any:
        if not made and "core_plugin" in sql and "FOR UPDATE" in sql:
            path = f"/api/projects/{cast.team.pk}/plugin_configs/"
            made.extend(at_once(pool, lambda: plugins.caller("POST", path, body)))
            assert web_apps(cast) is True
        return execute(sql, *rest)

    with connection.execute_wrapper(first):
        assert plugins.send("DELETE", plugin_id).status_code == 204
    assert statuses(made) == [201]
    assert not PluginConfig.unscoped.exists()
    assert web_apps(cast) is False


def test_a_project_that_takes_a_plugin_up_while_it_is_compiled_has_its_code(
    plugins: Plugins, pool: ThreadPoolExecutor, cast: Cast, settings: Any
) -> None:
    settings.PLUGIN_COMPILE_COMMAND = "cat"
    plugin_id = plugins.make()["id"]
    plugins.send("PATCH", plugin_id, "update_source", body={"site.ts": "x"})
    body = {"plugin": plugin_id, "order": 1, "enabled": True}
    asked: list[Any] = []

    def meanwhile(execute: Any, sql: str, *rest: Any) -> Any:
        if not asked and "inject_web_apps" in sql:
            path = f"/api/projects/{cast.team.pk}/plugin_configs/"
            asked.append(pool.submit(at_once, pool, lambda: plugins.caller("POST", path, body)))
            wait_until_blocked(asked[0])
        return execute(sql, *rest)

    with connection.execute_wrapper(meanwhile):
        sources_compile(seconds=60)
    assert statuses(asked[0].result(timeout=120)) == [201]
    assert web_apps(cast) is True


def wait_until_blocked(asked: Future[Any]) -> None:
    """Return once another connection waits for a lock of this one, or there was none to wait for."""
    for _ in range(6_000):
        with connection.cursor() as cursor:
            # Within a transaction Postgres shows what it showed first.
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute(WAITING)
            if cursor.fetchone()[0] or asked.done():
                return
            cursor.execute("SELECT pg_sleep(0.01)")
    pytest.fail("nobody waits for a lock")


def test_an_organization_deleted_meanwhile_gets_no_plugin(
    plugins: Plugins, pool: ThreadPoolExecutor, cast: Cast
) -> None:
    def delete() -> None:
        organization = Organization.objects.select_for_update().get(pk=cast.organization.pk)
        organization.deleted_at = organization.created_at
        organization.save()

    answer, _ = at_once(
        pool, lambda: plugins.send("POST", body={"plugin_type": "source", "name": "a"}), delete_in_one(delete)
    )
    assert answer.status_code in {201, 403, 404}
    after = plugins.send("POST", body={"plugin_type": "source", "name": "b"})
    assert after.status_code == 404
    assert not Plugin.objects.filter(name="b").exists()


def delete_in_one(call: Callable[[], None]) -> Callable[[], None]:
    from django.db import transaction

    def run() -> None:
        with transaction.atomic():
            call()

    return run
