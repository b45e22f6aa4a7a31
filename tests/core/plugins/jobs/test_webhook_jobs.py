"""The two jobs of the webhook, from the request that starts one to what its receiver gets."""

from collections.abc import Iterator
from ipaddress import ip_network
from types import ModuleType
from typing import Any

import pytest

from core.plugins.deliveries.rates import delivery_rates
from core.plugins.deliveries.working import deliver
from core.plugins.jobs.working import jobs_run
from core.plugins.models import PluginConfig, PluginJob
from tests.core.conftest import Cast
from tests.core.http import problem
from tests.core.plugins.delivering import Receiver, capture, dead, inline_plugin, make_destination
from tests.factories import make_plugin_config


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    settings.OUTBOUND_ALLOWED_NETWORKS = [ip_network("127.0.0.0/8")]
    settings.PLUGIN_RETRY_SECONDS = 0.01
    with Receiver() as running:
        yield running


def run(cast: Cast, config: PluginConfig, kind: str, **payload: Any) -> PluginJob:
    body = {"job": {"type": kind, "payload": payload}}
    answer = cast.as_owner()("POST", f"/api/projects/{cast.team.id}/pipeline_destination_configs/{config.id}/job", body)
    assert answer.status_code == 200, answer.content
    while jobs_run(seconds=5):
        pass
    return PluginJob.unscoped.order_by("-created_at")[0]


def test_a_test_event_reaches_the_receiver_of_a_config_that_is_not_enabled_yet(cast: Cast, receiver: Receiver) -> None:
    config = make_plugin_config(cast.team, inline_plugin("webhook"), config={"url": receiver.url})
    assert run(cast, config, "send_test_event").state == "done"
    (body,) = receiver.taken
    assert (body["event"], body["team_id"]) == ("$webhook_test", cast.team.id)


def test_a_receiver_that_refuses_fails_the_job(cast: Cast, settings: Any) -> None:
    settings.OUTBOUND_ALLOWED_NETWORKS = [ip_network("127.0.0.0/8")]
    with Receiver(judge=lambda _body: 410) as receiver:
        config = make_plugin_config(cast.team, inline_plugin("webhook"), config={"url": receiver.url})
        job = run(cast, config, "send_test_event")
    assert (job.state, job.last_error) == ("failed", "The receiver answered 410.")
    settings.OUTBOUND_ALLOWED_NETWORKS = []
    with Receiver() as receiver:
        config = make_plugin_config(cast.team, inline_plugin("webhook"), config={"url": receiver.url})
        assert run(cast, config, "send_test_event").state == "failed"
    assert not receiver.taken


def test_a_half_filled_config_fails_the_job_with_the_reason(cast: Cast) -> None:
    job = run(cast, make_plugin_config(cast.team, inline_plugin("webhook")), "send_test_event")
    assert job.state == "failed"
    assert job.last_error


def test_dead_letters_are_delivered_after_all(
    cast: Cast, receiver: Receiver, clickhouse: ModuleType, settings: Any
) -> None:
    with Receiver(judge=lambda _body: 400) as refusing:
        config = make_destination(cast.team, inline_plugin("webhook"), url=refusing.url)
        capture(cast.team, "a", "b", "c")
        while deliver(seconds=1):
            pass
    assert list(dead(config)) == ["a", "b", "c"]
    other = make_destination(cast.team, inline_plugin("webhook"), url=receiver.url)
    config.encrypted_config = other.encrypted_config
    config.save()
    assert run(cast, config, "redeliver_dead_letters", limit=2).state == "done"
    while deliver(seconds=1):
        pass
    assert [body["event"] for body in receiver.taken] == ["a", "b"]
    assert list(dead(config)) == ["c"]
    assert run(cast, config, "redeliver_dead_letters").state == "done"
    while deliver(seconds=1):
        pass
    assert [body["event"] for body in receiver.taken] == ["a", "b", "c"]
    assert not dead(config)
    assert delivery_rates(team_id=cast.team.id, plugin_config_ids=[config.pk]) == {config.pk: 0.5}


@pytest.mark.parametrize(("limit", "code"), [(0, "min_value"), (-1, "min_value"), (10_001, "max_value")])
def test_a_limit_out_of_bounds_is_refused_at_once(cast: Cast, receiver: Receiver, limit: int, code: str) -> None:
    config = make_destination(cast.team, inline_plugin("webhook"), url=receiver.url)
    body = {"job": {"type": "redeliver_dead_letters", "payload": {"limit": limit}}}
    answer = cast.as_owner()("POST", f"/api/projects/{cast.team.id}/plugin_configs/{config.id}/job", body)
    assert (problem(answer)[2], problem(answer)[4]) == (code, "job__payload__limit")
    assert not PluginJob.unscoped.exists()
