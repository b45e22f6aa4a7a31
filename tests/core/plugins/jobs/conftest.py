"""The acting plugin with a config, what its jobs do, and the log as it was written."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest
from django.utils import timezone

from core.outbox.services import outbox_drain
from core.plugins.handlers.base import HandlerContext
from core.plugins.handlers.inline import inline_plugins_sync
from core.plugins.jobs.working import jobs_run
from core.plugins.models import Plugin, PluginConfig, PluginJob
from tests.core.conftest import Cast
from tests.core.plugins.jobs.acting import PATH, ActingHandler
from tests.factories import make_plugin_config


@dataclass(frozen=True)
class World:
    """The acting plugin with a config in the project of the cast's owner."""

    cast: Cast
    plugin: Plugin
    config: PluginConfig

    def url(self, config: PluginConfig | None = None) -> str:
        return f"/api/projects/{self.cast.team.id}/plugin_configs/{(config or self.config).id}/job/"

    def send(self, job: Any, config: PluginConfig | None = None) -> Any:
        return self.cast.as_owner()("POST", self.url(config), {"job": job})

    def start(self, kind: str = "act", config: PluginConfig | None = None, **fields: Any) -> PluginJob:
        before = set(PluginJob.unscoped.values_list("id", flat=True))
        answer = self.send({"type": kind, **fields}, config)
        assert answer.status_code == 200, answer.content
        return PluginJob.unscoped.exclude(id__in=before).get()


@pytest.fixture
def world(cast: Cast, settings: Any) -> World:
    settings.PLUGIN_HANDLERS = ["core.plugins.handlers.webhook.WebhookHandler", PATH]
    # So long that no pause ends before a test has looked at the job that rests.
    settings.PLUGIN_RETRY_SECONDS = 60
    inline_plugins_sync()
    plugin = Plugin.objects.get(url="inline://acting")
    return World(cast, plugin, make_plugin_config(cast.team, plugin, config={"token": "t0ken"}))


@pytest.fixture
def act(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], None]:
    """Set what the job `act` does."""

    def set_act(does: Callable[..., Any]) -> None:
        monkeypatch.setattr(ActingHandler, "acts", staticmethod(does), raising=False)

    return set_act


@pytest.fixture
def lines(clickhouse: ModuleType) -> Callable[[], list[tuple[str, str, str]]]:
    def read() -> list[tuple[str, str, str]]:
        outbox_drain()
        found = clickhouse.query("SELECT source, type, message FROM plugin_log_entries ORDER BY timestamp, id")
        return [tuple(row) for row in found.rows]

    return read


def due(job: PluginJob) -> None:
    PluginJob.unscoped.filter(pk=job.pk).update(next_attempt_at=timezone.now() - timedelta(seconds=1))


def ran(job: PluginJob) -> PluginJob:
    """Run what is due, and return the job as it is then."""
    jobs_run(seconds=5)
    job.refresh_from_db()
    return job


def raising(error: BaseException) -> Callable[..., str]:
    def act(_payload: Any, _context: HandlerContext) -> str:
        raise error

    return act
