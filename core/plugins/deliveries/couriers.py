"""Between the queue and a handler: whatever that does, an attempt ends with a Result and tells no secret."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self

import structlog

from core.encryption.services import UnreadableError
from core.plugins.handlers.base import ConfigRefusedError, Event, HandlerContext, Outcome, PluginHandler, Result, Sender
from core.plugins.handlers.contexts import context_of
from core.plugins.handlers.registry import handler_of
from core.plugins.models import PluginConfig

log = structlog.get_logger(__name__)

NO_HANDLER: Final = "This server has no handler for the plugin any more."
UNREADABLE: Final = "The config was encrypted under a key that this server does not have."


class Courier:
    """Sends events of a config through its plugin's handler, over one connection that is made when it is needed."""

    def __init__(self, config: PluginConfig, log_line: Callable[[str, str], None]) -> None:
        self._config = config
        self._log_line = log_line
        self._handler = handler_of(config.plugin)
        self._context: HandlerContext | None = None
        self._sender: Sender | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._stack.close()
        except Exception as raised:  # noqa: BLE001 the events are delivered, however the connection ends
            self._note(raised)

    def events_per_send(self) -> int:
        """Return how many events may go together; one when the handler cannot say."""
        try:
            return 1 if self._handler is None else self._handler.events_per_send(self._open().config)
        except UnreadableError:
            return 1
        except Exception as raised:  # noqa: BLE001 sending says what is wrong
            self._note(raised)
            return 1

    def send(self, events: Sequence[Event]) -> Result:
        """Make one attempt to deliver events together."""
        if self._handler is None:
            return Result(Outcome.RETRY, NO_HANDLER)
        try:
            return self._connected(self._handler).send(events)
        except UnreadableError:
            return Result(Outcome.RETRY, UNREADABLE)
        except ConfigRefusedError as refused:
            return Result(Outcome.RETRY, f"The config cannot be used: {refused}")
        except Exception as raised:  # noqa: BLE001 whatever a handler raises is an attempt that failed
            self._note(raised)
            return Result(Outcome.RETRY, f"The handler failed: {type(raised).__name__}.")

    def _open(self) -> HandlerContext:
        if self._context is None:
            self._context = context_of(self._config, self._log_line)
        return self._context

    def _connected(self, handler: PluginHandler) -> Sender:
        if self._sender is None:
            self._sender = self._stack.enter_context(handler.connect(self._open()))
        return self._sender

    def _note(self, raised: Exception) -> None:
        defect_note("plugin_handler_failed", self._config.pk, raised)


def defect_note(event: str, plugin_config_id: int, raised: Exception) -> None:
    """Say in this server's log what was raised and where, without its text: that may hold what is secret."""
    log.error(event, config=plugin_config_id, error=type(raised).__name__, at=raised_at(raised))


def raised_at(raised: BaseException) -> str:
    """Return the file and line in which an exception was raised."""
    trace = raised.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
