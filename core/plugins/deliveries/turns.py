"""One turn of a destination: its oldest events are sent in order, and all that came of it is written down together.

The order holds because nothing is sent while the event before it waits for another attempt. What a crash undoes is
sent again, and nothing else.
"""

import time
from collections.abc import Sequence
from typing import Final

import orjson
from django.conf import settings

from core.api.values import json_repaired
from core.plugins.deliveries.couriers import Courier
from core.plugins.deliveries.pacing import pause_seconds
from core.plugins.deliveries.queue import (
    Claim,
    DeadLetter,
    WaitingEvent,
    WaitingEvents,
    aged_bury,
    delivered_remove,
    destination_finish,
    destination_rest,
    events_part,
    letters_bury,
    outcomes_count,
)
from core.plugins.handlers.base import Outcome, Result
from core.plugins.logs.services import LogSource, LogType, PluginLog, logs_append
from core.plugins.models import PluginConfig

BATCH_ATTEMPTS: Final = 3
"""Attempts with several events at once, after which they are tried one by one: one of them may be the reason."""
AGED_ATTEMPTS: Final = 5
"""Attempts that even an event past its age gets, for it may have waited for a config that was switched off."""
SLOW_SECONDS: Final = 1.0
LINES_MOST: Final = 100
LOCKED_SECONDS: Final = 0.25
_ERROR_MOST: Final = 400


class TurnLog:
    """The lines of a turn, at most so many of the server and of the handler; how many more there were is a last one."""

    def __init__(self, config: PluginConfig) -> None:
        self._config = config
        self._lines: dict[LogSource, list[PluginLog]] = {LogSource.SYSTEM: [], LogSource.CONSOLE: []}
        self._dropped = 0

    def say(self, line_type: str, message: str) -> None:
        """Add a line of this server."""
        self._add(LogSource.SYSTEM, line_type, message)

    def console(self, line_type: str, message: str) -> None:
        """Add a line of the handler; raises ValueError for a type that there is not."""
        self._add(LogSource.CONSOLE, line_type, message)

    def append(self) -> None:
        """Put the lines into the logs of the config, in the turn's transaction."""
        lines = [line for lines in self._lines.values() for line in lines]
        if self._dropped:
            lines.append(self._line(LogSource.SYSTEM, LogType.WARN, f"{self._dropped} more lines are left out."))
        logs_append(lines)

    def _add(self, source: LogSource, line_type: str, message: str) -> None:
        line = self._line(source, line_type, message)
        if len(self._lines[source]) < LINES_MOST:
            self._lines[source].append(line)
        else:
            self._dropped += 1

    def _line(self, source: LogSource, line_type: str, message: str) -> PluginLog:
        config = self._config
        return PluginLog(config.team_id, config.plugin_id, config.pk, source, line_type, message)


class Turn:
    """What a turn does to a destination; `serve` sends, `finish` writes it down in the same transaction."""

    def __init__(self, claim: Claim, config: PluginConfig, *, ends_at: float) -> None:
        self._claim = claim
        self._config = config
        self._ends_at = ends_at
        self._log = TurnLog(config)
        self._attempts = claim.attempts
        self._failing_long = claim.failing_long
        self._failing = False
        self._answered = False
        self._slow = False
        self._failed_attempts = 0
        self._pause: float | None = None
        self._error = ""
        self._delivered: list[int] = []
        self._dead: list[DeadLetter] = []
        self._dead_of_age = 0
        self._parted: set[int] = set()

    def serve(self) -> None:
        """Send what waits until the time is up (`ends_at`, of the monotonic clock) or an attempt fails for now."""
        with Courier(self._config, self._log.console) as courier:
            waiting = WaitingEvents(self._claim, events_per_send=courier.events_per_send())
            while self._pause is None and (batch := waiting.next_batch()):
                begun = time.monotonic()
                result = courier.send([orjson.loads(event.payload) for event in batch])
                self._slow = time.monotonic() - begun > SLOW_SECONDS
                self._judge(batch, result, waiting)
                if time.monotonic() >= self._ends_at:
                    break

    def _judge(self, batch: Sequence[WaitingEvent], result: Result, waiting: WaitingEvents) -> None:
        if result.outcome is Outcome.DELIVERED:
            self._delivered.extend(event.id for event in batch)
            self._receiver_answers()
            self._error = ""
            return
        self._failed_attempts += 1
        detail = _text(result.detail)
        if result.outcome is Outcome.RETRY:
            self._put_off(batch, detail, result.retry_after)
        elif len(batch) > 1:
            self._log.say(LogType.WARN, f"{len(batch)} events were refused together and go one by one: {detail}")
            self._part(batch)
            waiting.part(batch)
            self._receiver_answers()
        else:
            self._attempts += 1
            self._bury(batch[0], f"Refused: {detail}")
            self._receiver_answers()

    def _receiver_answers(self) -> None:
        self._attempts = 0
        self._answered = True
        self._failing = self._failing_long = False

    def _put_off(self, batch: Sequence[WaitingEvent], detail: str, retry_after: float | None) -> None:
        """Rest after an attempt that failed for now, or give the event up."""
        self._attempts += 1
        self._failing = True
        most, first = settings.PLUGIN_RETRY_ATTEMPTS, batch[0]
        if len(batch) > 1:
            if self._attempts >= min(BATCH_ATTEMPTS, most):
                self._part(batch)
        elif self._attempts >= most:
            self._bury(first, f"Given up after {self._attempts} attempts: {detail}")
            self._attempts = 0
        elif first.aged and (self._failing_long or self._attempts >= AGED_ATTEMPTS):
            self._bury_aged(first, detail)
            self._attempts = 0
        self._pause = pause_seconds(self._attempts, retry_after)
        if self._attempts:
            self._error = detail
            self._log.say(
                LogType.WARN,
                f"{_events(batch)} not delivered (attempt {self._attempts} of {most}, "
                f"the next in {self._pause:.1f} s): {detail}",
            )

    def _part(self, batch: Sequence[WaitingEvent]) -> None:
        self._parted.update(event.id for event in batch)

    def _bury(self, event: WaitingEvent, reason: str) -> None:
        self._error = reason[:_ERROR_MOST]
        self._dead.append(DeadLetter(event.id, self._attempts, self._error))
        self._log.say(LogType.ERROR, f"Event {event.uuid} was given up. {reason}")

    def _bury_aged(self, event: WaitingEvent, detail: str) -> None:
        """Give an event up that waited too long; with it those like it, if the receiver has been away for long.

        One after the other would keep them past all bounds: each attempt takes as long as the receiver lets it.
        """
        hours = settings.PLUGIN_DELIVERY_MAX_AGE_HOURS
        reason = f"Given up because it waited for more than {hours} hours: {detail}"
        self._bury(event, reason)
        if self._failing_long:
            self._dead_of_age = aged_bury(self._claim, after=event.id, error=reason[:_ERROR_MOST])
        if self._dead_of_age:
            self._log.say(LogType.ERROR, f"{self._dead_of_age} more events were given up with it.")

    def finish(self) -> None:
        """Write down what came of the turn."""
        claim = self._claim
        if not self._delivered and not self._failed_attempts:
            # All that waits is locked by whoever is erasing it.
            destination_rest(claim, pause=LOCKED_SECONDS)
            return
        delivered_remove(claim, self._delivered)
        letters_bury(claim, self._dead)
        events_part(claim, self._parted.difference(self._delivered, (letter.id for letter in self._dead)))
        outcomes_count(
            claim,
            delivered=len(self._delivered),
            failed=len(self._dead) + self._dead_of_age,
            failed_attempts=self._failed_attempts,
        )
        destination_finish(
            claim,
            attempts=self._attempts,
            failing=self._failing,
            answered=self._answered,
            delivered=bool(self._delivered),
            slow=self._slow,
            pause=self._pause or 0.0,
            error=self._error,
        )
        self._log.append()


def _text(detail: str) -> str:
    """Return what a handler says in a form that every store takes, without a line break at its end."""
    repaired: str = json_repaired(detail)
    return repaired.strip()[:_ERROR_MOST] or "no reason was given"


def _events(batch: Sequence[WaitingEvent]) -> str:
    return f"Event {batch[0].uuid}" if len(batch) == 1 else f"{len(batch)} events from {batch[0].uuid} on"
