"""What one event does to the persons of a roster, and which rows it leaves in ClickHouse."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson

from core.persons.elements import elements_taken
from core.persons.identity import (
    MAX_PROPERTIES_BYTES,
    MergeRefusedError,
    PersonState,
    PropertiesTooLargeError,
    PropertyChanges,
    Roster,
    is_mergeable,
)
from events.rows import PersonMode, Row, event_row, property_update_row

PERSONLESS_CREATED_AT: Final = datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC)
FORCE_UPGRADE_AFTER: Final = timedelta(minutes=1)
EVENTS_THAT_CHANGE_NO_PROPERTIES: Final = frozenset({"$exception", "$$heatmap"})
NO_CHANGES: Final = PropertyChanges({}, {}, ())
CREATOR_PROPERTY: Final = "$creator_event_uuid"


@dataclass(frozen=True, slots=True)
class NewEvent:
    """One event, decoded, validated and normalised (capture.md 7.1 done, times final).

    `properties` are stored as they are; `set`, `set_once` and `unset` are what is to be applied to
    the person, empty when person processing is off. `merge_with` is the other distinct id of a merge
    command.
    """

    uuid: UUID
    event: str
    distinct_id: str
    timestamp: datetime
    properties: dict[str, Any]
    person_processing: bool = True
    set: Mapping[str, Any] = field(default_factory=dict)
    set_once: Mapping[str, Any] = field(default_factory=dict)
    unset: list[str] = field(default_factory=list)
    merge_with: str | None = None
    historical_migration: bool = False


@dataclass(frozen=True, slots=True)
class IngestionWarning:
    """Something about an event that the project's owner should know; `details` is any JSON object."""

    type: str
    details: dict[str, Any]


@dataclass(slots=True)
class EventProcessor:
    """Runs events in order against a roster and collects the rows to store."""

    roster: Roster
    team_id: int
    clock: datetime
    personless_upgrade: bool = True
    groups_added: Callable[[dict[str, Any]], dict[str, Any]] = lambda properties: properties
    event_rows: list[Row] = field(default_factory=list)
    update_rows: list[Row] = field(default_factory=list)
    warnings: list[IngestionWarning] = field(default_factory=list)

    def run(self, event: NewEvent) -> None:
        """Apply one event and keep its rows; each event is one microsecond later than the one before."""
        self.roster.event_number += 1
        ingested_at = self.clock + timedelta(microseconds=self.roster.event_number)
        if event.person_processing:
            person = self._person_after(event, ingested_at)
            self._store(event, ingested_at, person, PersonMode.FULL)
            return
        owner = self.roster.person(event.distinct_id)
        if owner is None:
            self._store(event, ingested_at, None, PersonMode.PROPERTYLESS)
        elif self.personless_upgrade and event.timestamp > owner.created_at + FORCE_UPGRADE_AFTER:
            self._store(event, ingested_at, owner, PersonMode.FORCE_UPGRADE)
        else:
            self._store(event, ingested_at, owner, PersonMode.PROPERTYLESS)

    def _person_after(self, event: NewEvent, ingested_at: datetime) -> PersonState:
        changes = NO_CHANGES
        if event.event not in EVENTS_THAT_CHANGE_NO_PROPERTIES:
            changes = PropertyChanges(event.set_once, event.set, event.unset)
        other = self._merge_partner(event)
        target = self.roster.person(event.distinct_id)
        source = self.roster.person(other) if other is not None else None
        if target is None and source is None:
            person = self._create(event, changes, ingested_at)
            if other is not None:
                self.roster.add_distinct_id(other, person)
                person.is_identified = True
            return person
        if target is None and source is not None:
            self.roster.add_distinct_id(event.distinct_id, source)
            target = source
        elif source is None and other is not None and target is not None:
            self.roster.add_distinct_id(other, target)
        elif source is not None and target is not None and source is not target:
            self._merge(event, source, target)
        if target is None:
            message = "an event with person processing always ends with a person"
            raise AssertionError(message)
        self._apply(event, target, changes, ingested_at, identified=other is not None)
        return target

    def _merge_partner(self, event: NewEvent) -> str | None:
        other = event.merge_with
        if other is None or other == event.distinct_id:
            return None
        for illegal in (event.distinct_id, other):
            if not is_mergeable(illegal):
                details = {
                    "illegalDistinctId": illegal,
                    "otherDistinctId": other if illegal == event.distinct_id else event.distinct_id,
                    "distinctId": event.distinct_id,
                    "eventUuid": str(event.uuid),
                }
                self.warnings.append(IngestionWarning("cannot_merge_with_illegal_distinct_id", details))
                return None
        return other

    def _merge(self, event: NewEvent, source: PersonState, target: PersonState) -> None:
        try:
            self.roster.merge(source, target, dangerously=event.event == "$merge_dangerously")
        except MergeRefusedError:
            details = {
                "sourcePersonDistinctId": event.merge_with,
                "targetPersonDistinctId": event.distinct_id,
                "personId": str(target.uuid),
                "otherPersonId": str(source.uuid),
                "eventUuid": str(event.uuid),
            }
            self.warnings.append(IngestionWarning("cannot_merge_already_identified", details))

    def _create(self, event: NewEvent, changes: PropertyChanges, ingested_at: datetime) -> PersonState:
        creator = {CREATOR_PROPERTY: str(event.uuid)}
        first = PropertyChanges({**changes.set_once, **creator}, changes.set, changes.unset)
        size = len(orjson.dumps(first.set_once)) + len(orjson.dumps(first.set))
        if size > MAX_PROPERTIES_BYTES:
            self._warn_too_large(event)
            first = PropertyChanges(creator, {}, ())
        self._record(event, first, ingested_at)
        return self.roster.create(event.distinct_id, created_at=event.timestamp, changes=first)

    def _apply(
        self, event: NewEvent, person: PersonState, changes: PropertyChanges, ingested_at: datetime, *, identified: bool
    ) -> None:
        try:
            self.roster.apply(person, changes, identified=identified)
        except PropertiesTooLargeError:
            self._warn_too_large(event)
        else:
            if changes:
                self._record(event, changes, ingested_at)

    def _warn_too_large(self, event: NewEvent) -> None:
        details = {"eventUuid": str(event.uuid), "distinctId": event.distinct_id}
        self.warnings.append(IngestionWarning("person_properties_size_violation", details))

    def _record(self, event: NewEvent, changes: PropertyChanges, ingested_at: datetime) -> None:
        self.update_rows.append(
            property_update_row(
                team_id=self.team_id,
                distinct_id=event.distinct_id,
                timestamp=event.timestamp,
                ingested_at=ingested_at,
                uuid=event.uuid,
                event=event.event,
                generation=self.roster.generation(event.distinct_id),
                set=orjson.dumps(changes.set).decode(),
                set_once=orjson.dumps(changes.set_once).decode(),
                unset=list(changes.unset),
            )
        )

    def _store(self, event: NewEvent, ingested_at: datetime, person: PersonState | None, mode: PersonMode) -> None:
        properties = event.properties
        if mode is PersonMode.PROPERTYLESS:
            properties = {key: value for key, value in properties.items() if not key.startswith("$group_")}
        elif "$groups" in properties:
            properties = self.groups_added(properties)
        chain, properties = elements_taken(properties)
        self.event_rows.append(
            event_row(
                team_id=self.team_id,
                uuid=event.uuid,
                event=event.event,
                distinct_id=event.distinct_id,
                timestamp=event.timestamp,
                created_at=ingested_at,
                properties=orjson.dumps(properties).decode(),
                person_id=person.uuid if person else self.roster.personless_uuid(event.distinct_id),
                person_created_at=PERSONLESS_CREATED_AT
                if person is None or mode is PersonMode.PROPERTYLESS
                else person.created_at,
                person_properties="{}"
                if person is None or mode is PersonMode.PROPERTYLESS
                else person.properties_text(),
                person_mode=mode,
                generation=self.roster.generation(event.distinct_id),
                elements_chain=chain,
                historical_migration=event.historical_migration,
            )
        )
