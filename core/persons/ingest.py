"""The one door for events: a batch becomes person state, event rows and outbox rows in one transaction."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, cast
from uuid import UUID

import orjson
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from core.definitions.services import Sighting, property_definitions_add
from core.outbox.services import outbox_add, outbox_nudge
from core.persons import groups
from core.persons.process import EventProcessor, IngestionWarning, NewEvent
from core.persons.store import RacedError, roster_load, roster_save
from core.plugins.deliveries.services import deliveries_add
from core.tenancy.holding import team_hold
from core.tenancy.statements import execute
from events.hogql.context import PropertyOf
from events.rows import Row, Table, warning_row

__all__ = ["IngestResult", "IngestTeam", "IngestionWarning", "NewEvent", "events_ingest", "seen_events_prune"]

MAX_RACES: Final = 20
SEEN_EVENTS_KEPT: Final = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class IngestTeam:
    """What ingestion needs to know of a team."""

    id: int
    person_processing_opt_out: bool = False
    anonymize_ips: bool = False
    ingested_event: bool = True


@dataclass(frozen=True, slots=True)
class IngestResult:
    """How many events were stored, how many dropped as repeats of earlier ones, and what was odd about them."""

    stored: int
    repeated: int
    warnings: tuple[IngestionWarning, ...] = ()


class MergeRaceError(OperationalError):
    """The same persons were changed by others too many times in a row; as with a store away, try again later."""


def events_ingest(
    *, team: IngestTeam, events: Sequence[NewEvent], warnings: Sequence[IngestionWarning] = ()
) -> IngestResult:
    """Apply and store a batch of events in array order; when this returns the batch is durable.

    Events whose uuid was accepted within the last day are dropped. Two batches that touch the same
    persons are ordered by locks; a lost race rolls back and runs again from a fresh read. Raises TeamGoneError, and
    stores nothing, when the project was deleted since the caller found it.
    """
    for _ in range(MAX_RACES):
        try:
            with transaction.atomic():
                result = _ingest_once(team, events, warnings)
        except RacedError:
            continue
        return result
    message = f"gave up after {MAX_RACES} lost races"
    raise MergeRaceError(message)


def _ingest_once(team: IngestTeam, events: Sequence[NewEvent], warnings: Sequence[IngestionWarning]) -> IngestResult:
    team_hold(team.id)
    fresh = _unseen(team.id, events)
    roster, clock = roster_load(team_id=team.id, distinct_ids=_distinct_ids(fresh))
    processor = EventProcessor(
        roster=roster,
        team_id=team.id,
        clock=clock,
        personless_upgrade=not team.person_processing_opt_out,
        groups_added=groups.enricher(team.id, fresh),
    )
    for event in fresh:
        processor.run(event)
    rows = roster_save(roster)
    rows[Table.EVENTS] = processor.event_rows
    rows[Table.PERSON_PROPERTY_UPDATES] = processor.update_rows
    group_rows, group_warnings = groups.groups_save(team.id, fresh)
    rows[Table.GROUPS] = group_rows
    property_definitions_add(team.id, _sightings(fresh, group_rows))
    all_warnings = (*warnings, *processor.warnings, *group_warnings)
    rows[Table.INGESTION_WARNINGS] = _warning_rows(team.id, clock, all_warnings)
    outbox_add(rows)
    deliveries_add(team_id=team.id, rows=processor.event_rows, captured_at=clock)
    if fresh and not team.ingested_event:
        execute("UPDATE core_team SET ingested_event = true WHERE id = %s AND NOT ingested_event", [team.id])
    transaction.on_commit(outbox_nudge)
    return IngestResult(stored=len(fresh), repeated=len(events) - len(fresh), warnings=all_warnings)


def _unseen(team_id: int, events: Sequence[NewEvent]) -> list[NewEvent]:
    """Return the events whose uuid is new, the first of each; sorted inserts keep two batches from a deadlock."""
    uuids = sorted({event.uuid for event in events})
    if not uuids:
        return []
    rows = execute(
        "INSERT INTO core_seenevent (team_id, uuid) SELECT %s, u FROM unnest(%s) AS new(u) "
        "ON CONFLICT DO NOTHING RETURNING uuid",
        [team_id, uuids],
    )
    new: set[UUID] = {row[0] for row in rows}
    fresh = []
    for event in events:
        if event.uuid in new:
            new.remove(event.uuid)
            fresh.append(event)
    return fresh


def _sightings(events: Iterable[NewEvent], group_rows: Iterable[Row]) -> Iterator[Sighting]:
    """Yield the properties whose keys are to be defined; those of `$groupidentify` are about the group only."""
    for event in events:
        if event.event != "$groupidentify":
            yield "event", event.properties
            yield "person", event.set
            yield "person", event.set_once
    for row in group_rows:
        yield cast("PropertyOf", f"group_{row['group_type_index']}"), orjson.loads(row["properties"])


def _distinct_ids(events: Iterable[NewEvent]) -> set[str]:
    found: set[str] = set()
    for event in events:
        found.add(event.distinct_id)
        if event.merge_with is not None and event.person_processing:
            found.add(event.merge_with)
    return found


def _warning_rows(team_id: int, now: datetime, warnings: Iterable[IngestionWarning]) -> list[Row]:
    return [
        warning_row(
            team_id=team_id,
            source="persons-api",
            type=warning.type,
            details=orjson.dumps(warning.details, default=str).decode(),
            timestamp=now,
        )
        for warning in warnings
    ]


def seen_events_prune() -> int:
    """Forget event uuids past their age; return how many."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM core_seenevent WHERE seen_at < %s", [timezone.now() - SEEN_EVENTS_KEPT])
        return int(cursor.rowcount)
