"""How the deletion job shows what it is doing: a bar per step on a terminal, a line per step elsewhere."""

import sys
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from core.deletions.job import Reporter, Silent


class Lines(Silent):
    """A line at the beginning of each step."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def begin(self, label: str, total: int) -> None:
        """Print what begins."""
        self._stream.write(f"{label} ({total:,})\n")
        self._stream.flush()


class Bars(Silent):
    """A bar of rich for each step, below those that are done."""

    def __init__(self, stream: TextIO) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<24}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(file=stream),
        )
        self._task = self._progress.add_task("", total=None, visible=False)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._progress.stop()

    def begin(self, label: str, total: int) -> None:
        """Start a bar."""
        self._task = self._progress.add_task(label, total=total)

    def moved(self, done: int) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=done)


def reporter_for(stream: TextIO | None = None) -> AbstractContextManager[Reporter]:
    """Return bars for a terminal and lines for everything else; standard error unless told otherwise."""
    chosen = stream if stream is not None else sys.stderr
    return Bars(chosen) if chosen.isatty() else Lines(chosen)
