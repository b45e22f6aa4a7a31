"""A run at work: what it reports to, what it needs of other resources, and how it stops."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from core.deletions.queue import Run
from events import deletions

FIRST_WAIT_SECONDS: Final = 0.02
LONGEST_WAIT_SECONDS: Final = 1.0


class Reporter(Protocol):
    """What a run tells while it works."""

    def begin(self, label: str, total: int) -> None:
        """Start a step of so many parts."""

    def moved(self, done: int) -> None:
        """Show how many parts are done."""


class Silent:
    """Tells nothing."""

    def begin(self, label: str, total: int) -> None:
        """Ignore."""

    def moved(self, done: int) -> None:
        """Ignore."""


class Blobs(Protocol):
    """Where recordings keep the objects that ClickHouse only points at."""

    def blobs_delete(self, keys: Iterable[str]) -> int:
        """Delete objects; deleting again is harmless."""

    def blobs_present(self, keys: Iterable[str]) -> list[str]:
        """Return those of the keys that still have an object."""

    def blobs_of_team(self, team_id: int) -> Iterable[str]:
        """Return the keys of all objects of a project, also of those that no row points at."""


class BusyError(RuntimeError):
    """Another run is at work."""


class OutOfTimeError(RuntimeError):
    """The time given is over; the run goes on where it stopped, at the next call."""


class DeletionStoppedError(RuntimeError):
    """A store failed; the run goes on, or begins anew, at the next call. The text is safe to show."""


@dataclass(slots=True)
class Work:
    """A run at work, and what it needs."""

    run: Run
    blobs: Blobs
    reporter: Reporter = field(default_factory=Silent)
    deadline: float = float("inf")
    alive: Callable[[], None] = lambda: None

    def go_on(self) -> None:
        """Raise what ends this turn: the time is over, or the lock is lost."""
        if time.monotonic() > self.deadline:
            raise OutOfTimeError
        self.alive()

    def wait_for_mutations(self, label: str) -> None:
        """Return when ClickHouse has carried out every mutation of this run."""
        pause, most = FIRST_WAIT_SECONDS, 0
        while (progress := deletions.mutations_progress(self.run.id)).tables_left:
            if most == 0:
                most = progress.parts_left
                self.reporter.begin(label, most)
            self.reporter.moved(most - min(progress.parts_left, most))
            self.go_on()
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_WAIT_SECONDS)
