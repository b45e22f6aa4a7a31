"""What plugins, and this server about them, have to say: lines that go to ClickHouse through the outbox."""

import itertools
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Final
from uuid import UUID, uuid4

from django.db import transaction

from core.api.values import json_repaired
from core.outbox.services import outbox_add, outbox_nudge
from events.rows import Table, plugin_log_row

MAX_MESSAGE: Final = 10_000
_ROWS_PER_ENTRY: Final = 1_000

_COUNTER_BITS: Final = 26
_COUNTER_MASK: Final = (1 << _COUNTER_BITS) - 1
_numbers = itertools.count()


class LogSource(StrEnum):
    """Who speaks: this server, the plugin's life cycle, or the plugin's own console."""

    SYSTEM = "SYSTEM"
    PLUGIN = "PLUGIN"
    CONSOLE = "CONSOLE"


class LogType(StrEnum):
    """How serious a line is."""

    DEBUG = "DEBUG"
    LOG = "LOG"
    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class PluginLog:
    """A line about a config; `message` is for the config's owner and holds no secret.

    `timestamp` has an offset; without it, the line is of the moment in which it is appended. Raises ValueError for
    a source or a type that there is not.
    """

    team_id: int
    plugin_id: int
    plugin_config_id: int
    source: str
    type: str
    message: str
    timestamp: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse a wrong word where it is said: once appended it would stop others' rows."""
        LogSource(self.source)
        LogType(self.type)


def logs_append(entries: Iterable[PluginLog]) -> None:
    """Put lines in the outbox, in their order; must run inside the transaction of what they tell.

    A message is cut at 10,000 characters; what no store takes (NUL, lone surrogates) becomes U+FFFD.
    """
    now, instance = datetime.now(UTC), _instance(os.getpid())
    rows = [
        plugin_log_row(
            id=_line_id(),
            team_id=entry.team_id,
            plugin_id=entry.plugin_id,
            plugin_config_id=entry.plugin_config_id,
            timestamp=entry.timestamp or now,
            source=entry.source,
            type=entry.type,
            message=_message(entry.message),
            instance_id=instance,
        )
        for entry in entries
    ]
    for part in itertools.batched(rows, _ROWS_PER_ENTRY, strict=False):
        outbox_add({Table.PLUGIN_LOG_ENTRIES: part})
    if rows:
        transaction.on_commit(outbox_nudge)


def _message(text: str) -> str:
    repaired: str = json_repaired(text)
    return repaired if len(repaired) <= MAX_MESSAGE else repaired[: MAX_MESSAGE - 1] + "…"


def _line_id() -> UUID:
    """Return a UUIDv7 that sorts after those before it where lines have the same timestamp.

    ClickHouse compares the second half of UUIDs first, so the number of the line comes first in it.
    """
    random = uuid4().int
    moment = time.time_ns() // 1_000_000
    number = next(_numbers) & _COUNTER_MASK
    upper = moment << 16 | 7 << 12 | random & 0xFFF
    lower = 0b10 << 62 | number << 62 - _COUNTER_BITS | random >> 64 & (1 << 62 - _COUNTER_BITS) - 1
    return UUID(int=upper << 64 | lower)


@lru_cache(maxsize=1)
def _instance(pid: int) -> UUID:
    """Return what stands for this process in its lines; a forked child has its own."""
    del pid
    return uuid4()
