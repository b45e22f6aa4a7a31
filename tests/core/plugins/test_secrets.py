"""Secrets of configs, from the request that brings them to the last row that tells of them: they are seen nowhere.

Whatever comes out of the server in a whole scenario is searched for them: answers, log output, pages of the admin, and
both stores and the broker as they lie there.
"""

import base64
import logging
import threading
from collections.abc import Iterator, Mapping
from http.server import ThreadingHTTPServer
from ipaddress import ip_network
from types import ModuleType
from typing import Any

import pytest
from django.core.management import call_command

from core.outbox.services import outbox_drain
from core.plugins.handlers.inline import inline_plugins_sync
from core.plugins.models import Plugin
from tests.core.plugins.secret_scenario import (
    PLACEHOLDER,
    Echo,
    LeakyHandler,
    Scenario,
    broken_bodies,
    installing,
    leaking_handler,
    look,
    look_as_operator,
    stored_plugins,
    webhooks,
    work,
)
from tests.support.secret_search import broker_text, clickhouse_text, forms, leaks, postgres_texts


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a receiver that echoes; a path says the status of its answers."""
    Echo.seen.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.django_db(transaction=True)
def test_no_secret_is_seen_anywhere(
    echo: int,
    clickhouse: ModuleType,
    valkey: Any,
    settings: Any,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings.OUTBOUND_ALLOWED_NETWORKS = (ip_network("127.0.0.0/8"),)
    settings.PLUGIN_HANDLERS = [*settings.PLUGIN_HANDLERS, f"{LeakyHandler.__module__}.LeakyHandler"]
    settings.PLUGIN_RETRY_SECONDS = 0.001
    settings.PLUGIN_RETRY_ATTEMPTS = 3
    settings.PLUGINS_FETCH = True
    settings.PLUGINS_FETCH_ENDPOINTS = dict.fromkeys(settings.PLUGINS_FETCH_ENDPOINTS, f"http://127.0.0.1:{echo}")
    caplog.set_level(logging.DEBUG)
    inline_plugins_sync()
    do = Scenario(echo)

    configs = [*webhooks(do), *stored_plugins(do), leaking_handler(do)]
    broken_bodies(do)
    plugin = installing(do)
    do.capture(3)
    for config in configs[:-3]:
        job = {"type": "send_test_event", "payload": {}}
        do.call("POST", f"{do.project}/pipeline_destination_configs/{config}/job/", {"job": job})
    work(do)
    outbox_drain()
    look(do, configs)
    assert look_as_operator(do) > 60
    call_command("rotate_encryption")
    for config in configs:
        do.call("DELETE", f"{do.project}/plugin_configs/{config}/", status=204)
    mapped = Plugin.objects.get(organization=do.team.organization, name="mapped")
    for gone in (plugin, mapped.pk):
        do.call("DELETE", f"{do.plugins}/{gone}/", status=204)

    output = capfd.readouterr()
    logged = "\n".join([*(record.getMessage() for record in caplog.records), caplog.text, output.out, output.err])
    postgres = postgres_texts()
    others = {"the logs": logged, "ClickHouse": clickhouse_text(clickhouse), "Valkey": broker_text(valkey)}
    assert_the_search_works(do, postgres, others)
    answers = {f"answer {number}": answer for number, answer in enumerate(do.answers)}
    # Who sees a config sees the address in it, also in its activity; the name of a file lies beside what is in it.
    urls = {name for name in do.secrets if "url" in name}
    names = {name for name in do.secrets if "file name" in name}
    found = leaks(do.secrets, others) + leaks(do.secrets, answers, but=urls)
    for table, text in postgres.items():
        shown = {"core_activitylog": urls, "core_pluginattachment": names}.get(table, set())
        found += leaks(do.secrets, {table: text}, but=shown)
    assert found == []


def assert_the_search_works(do: Scenario, postgres: Mapping[str, str], others: Mapping[str, str]) -> None:
    """What is no secret is found where it belongs, and the secrets did reach the receiver."""
    assert any("visible.example.org" in answer for answer in do.answers)
    assert any(PLACEHOLDER in answer for answer in do.answers)
    assert "known event" in postgres["core_plugindelivery"]
    assert "known event" in others["ClickHouse"]
    assert "plugin_log_entries" in others["ClickHouse"]
    assert "pipeline_destination_configs" in others["the logs"]
    seen = " ".join(Echo.seen)
    reached = ("header 400", "header 503", "302 in the url", "token of repository")
    assert [name for name in reached if do.secrets[name] not in seen] == []
    for value in ("hexadecimal and base64", "of a secret that somebody wrote"):
        text = base64.b64encode(b"xy" + value.encode() + b"zz").decode() + value.encode().hex()
        assert sum(form in text for form in forms(value)) >= 2
