"""What a Python handler of plugins is: the code of this server that does what a plugin promises.

A handler is trusted code of the operator, named in the setting PLUGIN_HANDLERS. Each becomes an inline plugin
(`inline://<key>`) that every organization sees; configs, payloads and events are input of strangers all the same.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar


class ConfigRefusedError(ValueError):
    """A config that the handler cannot work with; `key` is the field, the text is for its owner and holds no secret."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


class Outcome(StrEnum):
    """How an attempt to deliver ended."""

    DELIVERED = "delivered"
    RETRY = "retry"
    """It may go well later: the receiver is away, slow, busy or broken."""
    REFUSED = "refused"
    """It will never go well: the receiver does not want these events."""


@dataclass(frozen=True, slots=True)
class Result:
    """An attempt; `detail` tells the owner why it failed and holds no secret, `retry_after` is in seconds."""

    outcome: Outcome
    detail: str = ""
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of a config."""

    file_name: str = field(repr=False)
    content_type: str
    contents: bytes = field(repr=False)


def _no_dead_letters(_limit: int) -> int:
    raise NotImplementedError


@dataclass(frozen=True, slots=True)
class HandlerContext:
    """A config at work: plain values, decrypted. `log` appends a line, given its type and its text, to its logs.

    `redeliver`, for jobs alone, puts at most so many dead letters of the config, the oldest, back into its queue, and
    returns how many; it is undone when the job raises.
    """

    team_id: int
    plugin_id: int
    plugin_config_id: int
    config: Mapping[str, Any] = field(repr=False)
    log: Callable[[str, str], None] = field(repr=False)
    attachment: Callable[[str], Attachment | None] = field(repr=False, default=lambda _key: None)
    redeliver: Callable[[int], int] = field(repr=False, default=_no_dead_letters)


type Event = Mapping[str, Any]
"""`uuid`, `event`, `distinct_id`, `team_id`, `timestamp` (ISO 8601, UTC), `properties`, `elements_chain`, and
`person`: None, or `uuid`, `created_at` and `properties` as they were after the event."""


class Sender(ABC):
    """Delivers events of one config, over connections that it keeps."""

    @abstractmethod
    def send(self, events: Sequence[Event]) -> Result:
        """Deliver events together, in order: all of them or none. Must end by itself, within a few seconds."""


class RetryJobError(RuntimeError):
    """A job that should run again, after so many seconds at least; the text is for its owner and holds no secret."""

    def __init__(self, message: str, *, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class JobFailedError(RuntimeError):
    """A job that can never succeed; the text is for its owner and holds no secret."""


class PluginHandler(ABC):
    """Carries out one inline plugin."""

    key: ClassVar[str]
    name: ClassVar[str]
    description: ClassVar[str]
    config_schema: ClassVar[Sequence[Mapping[str, Any]]] = ()
    methods: ClassVar[Sequence[str]] = ()
    """Of PostHog's names: with `onEvent` or `composeWebhook`, captured events are delivered."""
    public_jobs: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """`{"<job>": {"payload": {"<field>": {"type", "title", "required"}}}}`"""

    @abstractmethod
    def check(self, config: Mapping[str, Any], *, enabled: bool) -> None:
        """Raise ConfigRefusedError for a config that may not be saved; if not `enabled`, it may be half filled."""

    def events_per_send(self, config: Mapping[str, Any]) -> int:
        """Return how many events a sender may get at once."""
        del config
        return 1

    def connect(self, context: HandlerContext) -> AbstractContextManager[Sender]:
        """Return a sender for a while; raises ConfigRefusedError."""
        raise NotImplementedError

    def run_job(self, job: str, payload: Mapping[str, Any], context: HandlerContext) -> str:
        """Carry out a job and return a line for its log; raises RetryJobError and JobFailedError.

        Must end by itself, within minutes. Called again with the same payload when the worker died meanwhile.
        """
        raise NotImplementedError
