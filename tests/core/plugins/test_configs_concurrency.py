"""Changes of plugin configs at the same moment: each has its effect or its documented answer, nobody a 500."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from core.activity.models import ActivityLog
from core.encryption.services import decrypt
from core.plugins.models import Plugin, PluginAttachment, PluginConfig
from tests.core.http import Caller, parsed
from tests.core.plugins.config_api import ConfigApi, make_api, make_schemed
from tests.factories import make_plugin

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 6


@pytest.fixture
def api() -> ConfigApi:
    return make_api()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(6) as threads:
        yield threads


def at_once(pool: ThreadPoolExecutor, *calls: Callable[[Caller], Any], api: ConfigApi) -> list[Any]:
    start = threading.Barrier(len(calls))

    def run(call: Callable[[Caller], Any]) -> Any:
        try:
            start.wait()
            return call(Caller(api.caller.key))
        finally:
            connection.close()

    return [asked.result(timeout=60) for asked in [pool.submit(run, call) for call in calls]]


def test_no_change_is_lost(api: ConfigApi, pool: ThreadPoolExecutor) -> None:
    plugin = make_schemed(api.team)
    made = api.made(plugin, config={"host": "a", "token": "t0ken"})
    url = api.url(f"{made['id']}/")
    for number in range(ROUNDS):
        answers = at_once(
            pool,
            lambda caller, n=number: caller("PATCH", url, {"order": n}),
            lambda caller, n=number: caller("PATCH", url, {"name": f"name {n}"}),
            lambda caller, n=number: caller("PATCH", url, {"config": {"host": f"host {n}"}}),
            lambda caller, n=number: caller("PATCH", url, {"enabled": n % 2 == 0}),
            api=api,
        )
        assert {answer.status_code for answer in answers} == {200}
        found = api.read(made["id"])
        assert (found["order"], found["name"], found["enabled"]) == (number, f"name {number}", number % 2 == 0)
        assert api.stored(made["id"]) == {"host": f"host {number}", "token": "t0ken"}


def test_a_secret_is_never_brought_back_by_a_change_judged_before_it_was_cleared(
    api: ConfigApi, pool: ThreadPoolExecutor
) -> None:
    plugin = make_schemed(api.team)
    for _ in range(ROUNDS):
        made = api.made(plugin, config={"host": "a", "token": "t0ken"})
        url = api.url(f"{made['id']}/")
        cleared, other = at_once(
            pool,
            lambda caller, url=url: caller("PATCH", url, {"config": {"host": "a", "token": ""}}),
            lambda caller, url=url: caller("PATCH", url, {"config": {"host": "b"}}),
            api=api,
        )
        assert (cleared.status_code, other.status_code) == (200, 200)
        assert api.stored(made["id"])["token"] == ""


def test_files_sent_at_once_under_one_key(api: ConfigApi, pool: ThreadPoolExecutor) -> None:
    made = api.made(make_schemed(api.team))

    def send(content: bytes) -> Callable[[Caller], Any]:
        body = encode_multipart(BOUNDARY, {"add_attachment[mapping]": SimpleUploadedFile("a.csv", content)})
        return lambda caller: caller("PATCH", api.url(f"{made['id']}/"), body, content_type=MULTIPART_CONTENT)

    answers = at_once(pool, *(send(b"x" * size) for size in range(1, 5)), api=api)
    assert {answer.status_code for answer in answers} == {200}
    assert len({parsed(answer)["config"]["mapping"]["uid"] for answer in answers}) == 1
    file = PluginAttachment.unscoped.get()
    assert decrypt(file.encrypted_contents) == b"x" * file.file_size != b""
    names = sorted(entry.activity for entry in ActivityLog.objects.filter(activity__startswith="attachment"))
    assert names == ["attachment_created"] + ["attachment_updated"] * 3


def test_a_config_of_a_plugin_that_is_being_uninstalled(api: ConfigApi, pool: ThreadPoolExecutor) -> None:
    for _ in range(ROUNDS):
        plugin = make_plugin(api.team.organization)
        body = {"plugin": plugin.pk, "order": 1}
        uninstall = f"/api/organizations/{api.team.organization_id}/plugins/{plugin.pk}/"
        made, gone = at_once(
            pool,
            lambda caller, body=body: caller("POST", api.url(), body),
            lambda caller, path=uninstall: caller("DELETE", path),
            api=api,
        )
        assert gone.status_code == 204
        # Made, and gone with its plugin before it was read for the answer, it is not found.
        assert made.status_code in {201, 400, 404}, made.content
        if made.status_code == 400:
            assert parsed(made)["code"] == "does_not_exist"
        assert not PluginConfig.unscoped.exists()


def test_a_plugin_that_is_uninstalled_while_it_is_looked_at_does_not_exist(
    api: ConfigApi, pool: ThreadPoolExecutor
) -> None:
    plugin = make_plugin(api.team.organization)
    looks: list[str] = []

    def uninstall() -> None:
        try:
            Plugin.objects.filter(id=plugin.pk).delete()
        finally:
            connection.close()

    def meanwhile(execute: Any, sql: str, *rest: Any) -> Any:
        if "FROM core_plugin p WHERE" in sql:
            looks.append(sql)
            pool.submit(uninstall).result(timeout=60)
        return execute(sql, *rest)

    with connection.execute_wrapper(meanwhile):
        answer = api.caller("POST", api.url(), {"plugin": plugin.pk, "order": 1})
    assert looks
    assert answer.status_code == 400
    assert parsed(answer) == {
        "type": "validation_error", "code": "does_not_exist", "attr": "plugin",
        "detail": f'Invalid pk "{plugin.pk}" - object does not exist.',
    }  # fmt: skip
