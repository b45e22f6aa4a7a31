"""A handler that answers as a test tells it, a receiver of webhooks, and the steps from capture to delivery."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Self

import orjson
from django.db import transaction
from django.utils import timezone

from core.plugins.deliveries.services import destination_sync
from core.plugins.handlers.base import Event, HandlerContext, Outcome, PluginHandler, Result, Sender
from core.plugins.handlers.inline import inline_plugins_sync
from core.plugins.models import Plugin, PluginConfig, PluginDelivery, PluginDeliveryCount, PluginDestination
from core.tenancy.models import Team
from tests.core.capture.helpers import assert_accepted, batch_of, post, rows
from tests.factories import make_plugin_config

TOLD = "tests.core.plugins.delivering.ToldHandler"
DELIVERED = Result(Outcome.DELIVERED)
RETRY = Result(Outcome.RETRY, "The receiver is away.")
REFUSED = Result(Outcome.REFUSED, "The receiver does not want it.")

type Answer = Callable[[HandlerContext, Sequence[Event]], Result]


class ToldHandler(PluginHandler):
    """Keeps what it sends in `attempts`; `answer` says how each attempt ends."""

    key = "told"
    name = "Told"
    description = "Does as it is told."
    config_schema: ClassVar = [{"key": "token", "name": "Token", "type": "string", "secret": True}]
    methods: ClassVar = ["onEvent"]
    answer: ClassVar[Answer] = staticmethod(lambda _context, _events: DELIVERED)
    attempts: ClassVar[list[tuple[int, list[str], Outcome]]] = []
    events: ClassVar[list[Event]] = []
    connects: ClassVar[int] = 0

    def check(self, config: Mapping[str, Any], *, enabled: bool) -> None:
        pass

    def events_per_send(self, config: Mapping[str, Any]) -> int:
        return int(config.get("together", 1))

    @contextmanager
    def connect(self, context: HandlerContext) -> Iterator[Sender]:
        ToldHandler.connects += 1
        yield _ToldSender(context)

    @classmethod
    def forget(cls) -> None:
        cls.answer = staticmethod(lambda _context, _events: DELIVERED)
        cls.attempts, cls.events, cls.connects = [], [], 0


class _ToldSender(Sender):
    def __init__(self, context: HandlerContext) -> None:
        self._context = context

    def send(self, events: Sequence[Event]) -> Result:
        result = ToldHandler.answer(self._context, events)
        names = [event["event"] for event in events]
        ToldHandler.attempts.append((self._context.plugin_config_id, names, result.outcome))
        if result.outcome is Outcome.DELIVERED:
            ToldHandler.events.extend(events)
        return result


def received(config: PluginConfig | None = None) -> list[str]:
    """Return the names of the events that were delivered, in order."""
    sent = [
        names
        for config_id, names, outcome in ToldHandler.attempts
        if outcome is Outcome.DELIVERED and (config is None or config_id == config.pk)
    ]
    return [name for names in sent for name in names]


def tried() -> list[list[str]]:
    """Return the names of every attempt, in order."""
    return [names for _, names, _ in ToldHandler.attempts]


def inline_plugin(key: str = "told") -> Plugin:
    inline_plugins_sync()
    return Plugin.objects.get(url=f"inline://{key}")


def make_destination(team: Team, plugin: Plugin | None = None, *, enabled: bool = True, **config: Any) -> PluginConfig:
    made = make_plugin_config(team, plugin or inline_plugin(), config=config, enabled=enabled)
    sync(made)
    return made


def sync(config: PluginConfig, **fields: Any) -> None:
    """Save a config as the API does."""
    with transaction.atomic():
        for name, value in fields.items():
            setattr(config, name, value)
        config.save()
        destination_sync(config=config, plugin=config.plugin)


def capture(team: Team, *names: str, who: str = "ann", **fields: Any) -> None:
    """Capture events with these names over HTTP, in one batch."""
    events = [{"event": name, "distinct_id": who, "properties": {}, **fields} for name in names]
    assert_accepted(post("/batch/", batch_of(team, *events)))


def queue(config: PluginConfig) -> list[str]:
    found = PluginDelivery.objects.for_team(config.team_id).filter(plugin_config_id=config.pk, dead_at__isnull=True)
    return list(found.order_by("id").values_list("event", flat=True))


def dead(config: PluginConfig) -> dict[str, tuple[int, str]]:
    """Return attempts and error of each dead letter, by the name of its event."""
    found = PluginDelivery.objects.for_team(config.team_id).filter(plugin_config_id=config.pk, dead_at__isnull=False)
    return {letter.event: (letter.attempts, letter.error) for letter in found.order_by("id")}


def destination(config: PluginConfig) -> PluginDestination:
    return PluginDestination.objects.for_team(config.team_id).get(plugin_config=config)


def due_now(config: PluginConfig) -> None:
    """End the pause of a destination."""
    PluginDestination.objects.for_team(config.team_id).update(next_attempt_at=timezone.now() - timedelta(seconds=1))


def aged(config: PluginConfig, hours: float) -> None:
    """Let what waits have been captured so long ago."""
    found = PluginDelivery.objects.for_team(config.team_id).filter(plugin_config_id=config.pk)
    found.update(captured_at=timezone.now() - timedelta(hours=hours))


def paused(config: PluginConfig, since: datetime, least: float, most: float) -> bool:
    """Whether the destination rests for a time within these seconds, which began between `since` and now.

    However long the attempt took, and the way from it to here.
    """
    due = destination(config).next_attempt_at
    return since + timedelta(seconds=least) <= due <= timezone.now() + timedelta(seconds=most)


def counts(config: PluginConfig) -> tuple[int, int, int]:
    """Return how many were delivered and given up, and how many attempts failed."""
    found = PluginDeliveryCount.objects.for_team(config.team_id).filter(plugin_config_id=config.pk)
    sums = [(count.delivered, count.failed, count.failed_attempts) for count in found]
    return (sum(one[0] for one in sums), sum(one[1] for one in sums), sum(one[2] for one in sums))


def lines(config: PluginConfig) -> list[tuple[str, str, str]]:
    """Return source, type and message of the config's lines that are on their way to ClickHouse."""
    found = [row for row in rows("plugin_log_entries") if row["plugin_config_id"] == config.pk]
    return [(row["source"], row["type"], row["message"]) for row in found]


@dataclass
class Receiver:
    """An HTTP server on a port of its own; `judge` gets a parsed body and returns a status, the rest is kept."""

    judge: Callable[[Any], int] = lambda _body: 200
    port: int = 0
    bodies: list[Any] = field(default_factory=list)
    taken: list[Any] = field(default_factory=list)

    def __enter__(self) -> Self:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = orjson.loads(self.rfile.read(int(self.headers["content-length"])))
                receiver.bodies.append(body)
                status = receiver.judge(body)
                if status == 200:
                    receiver.taken.append(body)
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_words: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            # Joins its threads at the end: a test leaves nothing behind.
            daemon_threads = False

            def handle_error(self, _request: Any, _address: Any) -> None:
                pass

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/events"
