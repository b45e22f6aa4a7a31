"""How long commands show what they are doing: a bar on a terminal, a line every few seconds elsewhere."""

import sys
import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final, Protocol, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES: Final = 5.0


class Reporter(Protocol):
    """What a long job tells while it runs."""

    def begin(self, label: str, total: int | None) -> None:
        """Start a bar; `total` is in any unit, None when unknown."""

    def moved(self, position: int, rows: int, events: int) -> None:
        """Show how far the job is: position within the total, rows read and events stored by this run."""

    def note(self, text: str) -> None:
        """Print a line."""


class Silent:
    """Tells nothing."""

    def begin(self, label: str, total: int | None) -> None:
        """Ignore."""

    def moved(self, position: int, rows: int, events: int) -> None:
        """Ignore."""

    def note(self, text: str) -> None:
        """Ignore."""


class Lines(Silent):
    """Plain lines for logs and pipes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._label = ""
        self._total: int | None = None
        self._started = self._told = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def begin(self, label: str, total: int | None) -> None:
        """Remember what the lines are about."""
        self._label, self._total = label, total
        self._started = self._told = time.monotonic()

    def moved(self, position: int, rows: int, events: int) -> None:
        """Print a line when the last one is some seconds old."""
        now = time.monotonic()
        if now - self._told < SECONDS_BETWEEN_LINES:
            return
        self._told = now
        share = f"{100 * position / self._total:.0f}%, " if self._total else ""
        self.note(f"{self._label}: {share}{rows:,} rows, {events / (now - self._started):,.0f} events/s")

    def note(self, text: str) -> None:
        """Print a line at once."""
        self._stream.write(f"{text}\n")
        self._stream.flush()


class Bar(Silent):
    """A bar of rich; notes appear above it."""

    def __init__(self, stream: TextIO) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%  {task.fields[rows]:,} rows  {task.fields[rate]:,.0f} events/s"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(file=stream),
        )
        self._task = self._progress.add_task("", total=None, visible=False, rows=0, rate=0.0)
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._progress.stop()

    def begin(self, label: str, total: int | None) -> None:
        """Start a bar of its own below the finished ones."""
        self._started = time.monotonic()
        self._task = self._progress.add_task(label, total=total, rows=0, rate=0.0)

    def moved(self, position: int, rows: int, events: int) -> None:
        """Move the bar."""
        rate = events / max(time.monotonic() - self._started, 0.001)
        self._progress.update(self._task, completed=position, rows=rows, rate=rate)

    def note(self, text: str) -> None:
        """Print a line above the bars."""
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)


def reporter_for(stream: TextIO | None = None) -> AbstractContextManager[Reporter]:
    """Return a bar for a terminal and lines for everything else; standard error unless told otherwise."""
    chosen = stream if stream is not None else sys.stderr
    return Bar(chosen) if chosen.isatty() else Lines(chosen)
