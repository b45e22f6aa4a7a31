"""Imports files of events: in order, each event once, going on where a killed import stopped.

Every batch and the note of how far the file is are one transaction. Events that a store already has
are left out by their uuid: those of the last two days through the door of ingestion, older ones by a
look into ClickHouse. Only rows that wait in the outbox for more than two days escape both.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from core.capture.import_files import EventFile, Record, RowRefusedError
from core.capture.import_rows import Occurrences, events_of, normalised
from core.capture.normalise import Intake
from core.capture.progress import Reporter, Silent
from core.capture.timestamps import Clock
from core.persons.ingest import IngestTeam, NewEvent, events_ingest
from core.persons.models import ImportProgress
from core.tenancy.holding import TeamGoneError, team_hold
from events.errors import StoreUnavailable
from events.lookups import known_event_uuids

DEFAULT_BATCH_SIZE: Final = 1000
MAX_BATCH_BYTES: Final = 32 * 1024 * 1024
SECONDS_TO_WAIT: Final = 60.0
RECORDS_BETWEEN_REPORTS: Final = 100
PROJECT_DELETED: Final = "the project was deleted"


class ImportStoppedError(Exception):
    """The import cannot go on; everything before is stored, and the same command goes on from there."""


@dataclass(slots=True)
class ImportSummary:
    """What became of the rows that this run looked at; `ignored` are kinds of events that are never stored."""

    read: int = 0
    stored: int = 0
    repeated: int = 0
    refused: int = 0
    ignored: int = 0
    warned: int = 0
    skipped: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        parts = [f"{self.read:,} rows read", f"{self.stored:,} stored", f"{self.repeated:,} repeated"]
        parts.append(f"{self.refused:,} refused")
        parts += [f"{self.ignored:,} ignored"] if self.ignored else []
        parts += [f"{self.warned:,} ingestion warnings"] if self.warned else []
        parts += [f"{self.skipped:,} records done before"] if self.skipped else []
        rate = (self.read - self.refused) / max(self.seconds, 0.001)
        return f"{', '.join(parts)} in {self.seconds:.1f} s ({rate:,.0f} events/s)"


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How to import. `again` starts a finished file over, `strict` stops at the first refused row."""

    batch_size: int = DEFAULT_BATCH_SIZE
    strict: bool = False
    again: bool = False
    seconds_to_wait: float = SECONDS_TO_WAIT


@dataclass(slots=True)
class Batch:
    """What waits for the next transaction."""

    events: list[NewEvent] = field(default_factory=list)
    records: int = 0
    size: int = 0


class Importer:
    """Imports files into one team and counts what became of their rows."""

    def __init__(self, team: IngestTeam, options: ImportOptions, reporter: Reporter | None = None) -> None:
        self.summary = ImportSummary()
        self._team = team
        self._options = options
        self._reporter = reporter or Silent()

    def run(self, file: EventFile) -> None:
        """Import one file; raises ImportStoppedError when it cannot be finished."""
        started = time.monotonic()
        done = self._begin(file)
        if done is None:
            return
        occurrences = Occurrences()
        try:
            self._reporter.begin(file.name, file.size)
            self._import(file, done, occurrences)
        finally:
            occurrences.close()
            self.summary.seconds += time.monotonic() - started

    def _begin(self, file: EventFile) -> int | None:
        """Return how many records of the file are done already; None when all are."""
        if file.digest is None:
            return 0
        try:
            with transaction.atomic():
                team_hold(self._team.id)
                progress, made = self._rows(file.digest).get_or_create(team_id=self._team.id, content_hash=file.digest)
        except TeamGoneError:
            raise ImportStoppedError(PROJECT_DELETED) from None
        if made:
            return 0
        if self._options.again:
            self._rows(file.digest).update(rows_done=0, finished_at=None)
            return 0
        if progress.finished_at is not None:
            self._reporter.note(
                f"{file.name}: already imported at {progress.finished_at:%Y-%m-%d %H:%M} UTC "
                f"({progress.events_stored:,} events stored); --again imports it once more"
            )
            return None
        if progress.rows_done:
            self._reporter.note(f"{file.name}: going on after {progress.rows_done:,} records")
        return progress.rows_done

    def _rows(self, digest: str) -> QuerySet[ImportProgress]:
        return ImportProgress.objects.for_team(self._team.id).filter(content_hash=digest)

    def _import(self, file: EventFile, done: int, occurrences: Occurrences) -> None:
        batch, intake = Batch(), self._intake()
        number = 0
        for number, record in enumerate(file.records(), start=1):
            if number <= done:
                # Read all the same: the uuids of rows without one depend on those before.
                for _ in events_of(record, occurrences):
                    pass
                self.summary.skipped += 1
                continue
            self._add(file, record, occurrences, batch, intake)
            full = len(batch.events) >= self._options.batch_size or batch.records >= self._options.batch_size
            if full or batch.size >= MAX_BATCH_BYTES:
                self._store(file, batch, intake, done_before=number - batch.records)
                batch, intake = Batch(), self._intake()
            if number % RECORDS_BETWEEN_REPORTS == 0:
                self._reporter.moved(file.position(), self.summary.read, self.summary.stored)
        self._store(file, batch, intake, done_before=max(number, done) - batch.records, finished=True)
        self._reporter.moved(file.size or 0, self.summary.read, self.summary.stored)

    def _intake(self) -> Intake:
        return Intake(team=self._team, clock=Clock(now=datetime.now(UTC)), historical_migration=True)

    def _add(self, file: EventFile, record: Record, occurrences: Occurrences, batch: Batch, intake: Intake) -> None:
        events = []
        for event in events_of(record, occurrences):
            self.summary.read += 1
            try:
                if isinstance(event, RowRefusedError):
                    raise event
                new = normalised(event, intake)
            except RowRefusedError as refused:
                self.summary.refused += 1
                self._reporter.note(f"{file.name}:{record.line}: {refused}")
                if self._options.strict:
                    self._store(file, batch, intake, done_before=None)
                    message = f"{file.name}:{record.line}: stopped at the first refused row"
                    raise ImportStoppedError(message) from None
                continue
            if new is None:
                self.summary.ignored += 1
            else:
                events.append(new)
        batch.events.extend(events)
        batch.records += 1
        batch.size += record.size

    def _store(
        self, file: EventFile, batch: Batch, intake: Intake, *, done_before: int | None, finished: bool = False
    ) -> None:
        """Store a batch and how far the file is in one transaction."""
        known = self._known(batch.events)
        fresh = [event for event in batch.events if event.uuid not in known]
        try:
            with transaction.atomic():
                result = events_ingest(team=self._team, events=fresh, warnings=intake.warnings)
                if file.digest is not None:
                    self._advance(file.digest, batch.records, result.stored, done_before, finished=finished)
        except TeamGoneError:
            raise ImportStoppedError(PROJECT_DELETED) from None
        self.summary.stored += result.stored
        self.summary.repeated += result.repeated + len(batch.events) - len(fresh)
        self.summary.warned += len(result.warnings)

    def _advance(self, digest: str, records: int, stored: int, done_before: int | None, *, finished: bool) -> None:
        rows = self._rows(digest)
        if done_before is not None:
            rows = rows.filter(rows_done=done_before)
        now = timezone.now()
        changed = rows.update(
            rows_done=F("rows_done") + records,
            events_stored=F("events_stored") + stored,
            finished_at=now if finished else None,
            updated_at=now,
        )
        if not changed:
            raise ImportStoppedError("another process is importing this file")

    def _known(self, events: Sequence[NewEvent]) -> set[UUID]:
        return known_or_wait(self._team.id, events, self._reporter, self._options.seconds_to_wait)


def known_or_wait(
    team_id: int,
    events: Sequence[NewEvent],
    reporter: Reporter,
    seconds: float = SECONDS_TO_WAIT,
    *,
    since: datetime | None = None,
) -> set[UUID]:
    """Return the uuids that ClickHouse already has; wait a while for a ClickHouse that is away."""
    if not events:
        return set()
    give_up = time.monotonic() + seconds
    told = False
    first = since or min(event.timestamp for event in events)
    last = max(event.timestamp for event in events)
    while True:
        try:
            uuids = [event.uuid for event in events]
            return known_event_uuids(team_id=team_id, uuids=uuids, since=first, until=last)
        except StoreUnavailable as error:
            if time.monotonic() >= give_up:
                raise ImportStoppedError("ClickHouse does not answer; run the same command again to go on") from error
            if not told:
                reporter.note("ClickHouse does not answer, waiting for it")
                told = True
            time.sleep(0.5)
