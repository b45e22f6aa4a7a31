"""Loads the demo product through ingestion, in time order, ending now; a second run adds nothing."""

import time
from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate, batched
from random import Random
from typing import Final
from uuid import UUID, uuid5

from core.capture.demo_people import Customer, Step, visitor
from core.capture.importer import SECONDS_TO_WAIT, ImportSummary, known_or_wait
from core.capture.normalise import Intake, normalise_events
from core.capture.progress import Reporter, Silent
from core.capture.shapes import Submitted
from core.capture.timestamps import Clock
from core.persons.ingest import IngestTeam, events_ingest
from events.rows import EARLIEST

DEMO_NAMESPACE: Final = UUID("b3b5b7a2-0b52-4f0c-8f3e-0a7f2c7d9d55")
BATCH_SIZE: Final = 500
VISITORS_PER_PERSON: Final = 0.5
# Visits last less than this, so that the last one ends before now.
LONGEST_VISIT: Final = timedelta(hours=1)
_HOURS: Final = (2, 1, 1, 1, 1, 2, 4, 8, 14, 18, 20, 19, 16, 18, 20, 19, 17, 14, 10, 8, 7, 6, 5, 3)
_DAYS: Final = (10, 11, 11, 10, 8, 3, 3)


class Calendar:
    """Turns positions from 0 to 1 into times: busy hours of weekdays take a larger part than nights."""

    def __init__(self, *, start: datetime, end: datetime) -> None:
        hours = max(1, int((end - start).total_seconds() // 3600))
        self._start, self._slot = start, (end - start) / hours
        moments = (start + self._slot * number for number in range(hours))
        self._sums = [0, *accumulate(_HOURS[moment.hour] * _DAYS[moment.weekday()] for moment in moments)]

    def time(self, position: float) -> datetime:
        """Return the time at a position; a later position is a later time."""
        wanted = position * self._sums[-1]
        slot = min(bisect_right(self._sums, wanted), len(self._sums) - 1) - 1
        within = (wanted - self._sums[slot]) / (self._sums[slot + 1] - self._sums[slot])
        return self._start + self._slot * (slot + within)


def demo_load(  # noqa: PLR0913 one argument per option
    *,
    team: IngestTeam,
    persons: int,
    days: float,
    seed: int = 1,
    now: datetime | None = None,
    reporter: Reporter | None = None,
    seconds_to_wait: float = SECONDS_TO_WAIT,
) -> ImportSummary:
    """Load a product with this many customers, and half as many visitors who never sign up.

    The story ends at `now`. Raises ImportStoppedError when ClickHouse is away for longer than `seconds_to_wait`.
    """
    now = now or datetime.now(UTC)
    reporter = reporter or Silent()
    summary = ImportSummary()
    started = time.monotonic()
    reporter.begin("Demo", None)
    calendar = Calendar(start=now - timedelta(days=days) - LONGEST_VISIT, end=now - LONGEST_VISIT)
    story = sorted(_story(team.id, persons, seed, calendar), key=lambda entry: entry[0])
    reporter.begin("Demo", len(story))
    for chunk in batched(story, BATCH_SIZE):
        intake = Intake(team=team, clock=Clock(now=now))
        events = normalise_events((_submitted(*entry) for entry in chunk), intake)
        known = known_or_wait(team.id, events, reporter, seconds_to_wait, since=EARLIEST)
        fresh = [event for event in events if event.uuid not in known]
        result = events_ingest(team=team, events=fresh, warnings=intake.warnings)
        summary.read += len(chunk)
        summary.stored += result.stored
        summary.repeated += result.repeated + len(events) - len(fresh)
        summary.ignored += len(chunk) - len(events)
        reporter.moved(summary.read, summary.read, summary.stored)
    summary.seconds = time.monotonic() - started
    return summary


def _story(team_id: int, persons: int, seed: int, calendar: Calendar) -> Iterator[tuple[datetime, UUID, Step]]:
    for number in range(persons):
        customer = Customer(Random(f"{seed}:customer:{number}"), number, persons)  # noqa: S311 demo data
        yield from _timed(f"{team_id}:{seed}:customer:{number}", customer.story(), calendar)
    for number in range(int(persons * VISITORS_PER_PERSON)):
        name = f"{seed}:visitor:{number}"
        yield from _timed(f"{team_id}:{name}", visitor(Random(name)), calendar)  # noqa: S311 demo data


def _timed(name: str, steps: list[Step], calendar: Calendar) -> Iterator[tuple[datetime, UUID, Step]]:
    """Give one person's steps their times, in the order in which they are told."""
    last = None
    for number, step in enumerate(steps):
        moment = calendar.time(step.at) + timedelta(seconds=step.delay)
        if last is not None and moment <= last:
            moment = last + timedelta(seconds=1)
        last = moment
        yield moment, uuid5(DEMO_NAMESPACE, f"{name}:{number}"), step


def _submitted(moment: datetime, uuid: UUID, step: Step) -> Submitted:
    return Submitted(
        uuid=uuid,
        event=step.event,
        distinct_id=step.distinct_id,
        properties=dict(step.properties),
        timestamp=moment.isoformat(),
        set=dict(step.set),
        set_once=dict(step.set_once),
    )
