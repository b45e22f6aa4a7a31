"""Changes to persons that the API makes; each is durable, logged and stored as an event when it returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4

import orjson
from django.db import connection, transaction
from django.utils import timezone

from core.activity.services import activity_log
from core.deletions.models import DeletionRequest
from core.outbox.services import outbox_add, outbox_nudge
from core.persons.identity import TOMBSTONE_STEP, PropertiesTooLargeError, PropertyChanges, Roster
from core.persons.ingest import IngestTeam, NewEvent, events_ingest
from core.persons.store import BURY_PERSONS, distinct_id_hash, json_rows, person_lock, roster_save
from events.rows import Table, distinct_id_row, person_row

_BURY_DISTINCT_IDS: Final = """
INSERT INTO core_distinctidtombstone (team_id, distinct_id_hash, version, generation, deleted_at)
SELECT %s, h, v, g, now() FROM unnest(%s::bytea[], %s::bigint[], %s::int[]) AS gone(h, v, g)
ON CONFLICT (team_id, distinct_id_hash) DO UPDATE
SET version = greatest(core_distinctidtombstone.version, excluded.version),
    generation = greatest(core_distinctidtombstone.generation, excluded.generation), deleted_at = excluded.deleted_at
"""

_REQUEST_DELETION: Final = """
INSERT INTO core_deletionrequest (team_id, kind, person_uuid, distinct_ids, requested_at, requested_by_id)
VALUES (%s, %s, %s, %s::jsonb, clock_timestamp(), %s)
ON CONFLICT (team_id, kind, person_uuid) WHERE verified_at IS NULL
DO UPDATE SET distinct_ids = core_deletionrequest.distinct_ids || excluded.distinct_ids,
              requested_at = excluded.requested_at, requested_by_id = excluded.requested_by_id
"""


class PersonGoneError(LookupError):
    """The person was deleted or merged away by someone else meanwhile."""


@dataclass(frozen=True, slots=True)
class PersonRef:
    """A person of one team by both of its keys, and who is changing it."""

    team: IngestTeam
    organization_id: UUID
    id: int
    uuid: UUID
    by_user_id: int | None


def person_properties_set(*, person: PersonRef, properties: Mapping[str, Any]) -> None:
    """Set the given keys and leave the others; logged as `updated` as PostHog does (no values).

    Raises PropertiesTooLargeError when the person would grow over the size limit; nothing is stored then.
    """
    _apply(person, "$set", PropertyChanges({}, properties, ()))


def person_properties_unset(*, person: PersonRef, keys: Sequence[str]) -> None:
    """Remove keys; stored as a `$delete_person_property` event as PostHog does."""
    _apply(person, "$delete_person_property", PropertyChanges({}, {}, keys))


def _apply(person: PersonRef, event: str, changes: PropertyChanges) -> None:
    with transaction.atomic():
        distinct_id = _first_distinct_id(person)
        if distinct_id is None:
            _apply_without_event(person, changes)
        else:
            stored: dict[str, Any] = {"$unset": list(changes.unset)} if changes.unset else {"$set": dict(changes.set)}
            new = NewEvent(
                uuid=uuid4(),
                event=event,
                distinct_id=distinct_id,
                timestamp=timezone.now(),
                properties=stored,
                set=changes.set,
                unset=list(changes.unset),
            )
            result = events_ingest(team=person.team, events=[new])
            if any(warning.type == "person_properties_size_violation" for warning in result.warnings):
                raise PropertiesTooLargeError
        is_unset = event == "$delete_person_property"
        change = {"type": "Person", "action": "changed", "field": None if is_unset else "properties"}
        activity_log(
            team_id=person.team.id,
            organization_id=person.organization_id,
            user_id=person.by_user_id,
            scope="Person",
            activity="delete_property" if is_unset else "updated",
            item_id=str(person.id),
            detail={
                "name": str(person.uuid) if is_unset else None,
                "changes": [{**change, "before": None, "after": None}],
            },
        )


def _first_distinct_id(person: PersonRef) -> str | None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT distinct_id FROM core_persondistinctid WHERE team_id = %s AND person_id = %s ORDER BY id LIMIT 1",
            [person.team.id, person.id],
        )
        row = cursor.fetchone()
    return None if row is None else str(row[0])


def _apply_without_event(person: PersonRef, changes: PropertyChanges) -> None:
    state = person_lock(team_id=person.team.id, person_id=person.id)
    if state is None:
        raise PersonGoneError
    roster = Roster(person.team.id, nameless=[state])
    roster.apply(state, changes)
    outbox_add(roster_save(roster))
    transaction.on_commit(outbox_nudge)


def person_delete(
    *, person: PersonRef, keep_person: bool = False, delete_events: bool = False, delete_recordings: bool = False
) -> None:
    """Delete a person; tombstones let its ids be used again, requests for its events wait for the deletion job.

    Raises PersonGoneError when someone else was faster.
    """
    with transaction.atomic():
        state = person_lock(team_id=person.team.id, person_id=person.id)
        if state is None:
            raise PersonGoneError
        mappings = _distinct_id_rows(person)
        for kind, wanted in (
            (DeletionRequest.Kind.EVENTS, delete_events),
            (DeletionRequest.Kind.RECORDINGS, delete_recordings),
        ):
            if wanted:
                _request_deletion(person, kind, mappings)
        if not keep_person:
            _delete_rows(person, state.version + TOMBSTONE_STEP, mappings)
            outbox_add(
                {
                    Table.PERSONS: [
                        person_row(
                            team_id=person.team.id,
                            id=person.uuid,
                            created_at=state.created_at,
                            properties="{}",
                            is_identified=state.is_identified,
                            version=state.version + TOMBSTONE_STEP,
                            is_deleted=True,
                        )
                    ],
                    **_distinct_id_tombstones(person, mappings),
                }
            )
            activity_log(
                team_id=person.team.id,
                organization_id=person.organization_id,
                user_id=person.by_user_id,
                scope="Person",
                activity="deleted",
                item_id=str(person.id),
                detail={"name": str(person.uuid), "changes": None},
            )
        transaction.on_commit(outbox_nudge)


type _MappingRow = tuple[str, int, int]


def _distinct_id_rows(person: PersonRef) -> list[_MappingRow]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT distinct_id, version, generation FROM core_persondistinctid WHERE team_id = %s AND person_id = %s",
            [person.team.id, person.id],
        )
        return list(cursor.fetchall())


def _delete_rows(person: PersonRef, version: int, mappings: Sequence[_MappingRow]) -> None:
    team_id = person.team.id
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM core_persondistinctid WHERE team_id = %s AND person_id = %s", [team_id, person.id])
        cursor.execute("DELETE FROM core_person WHERE team_id = %s AND id = %s", [team_id, person.id])
        cursor.execute(BURY_PERSONS, [team_id, json_rows([{"u": person.uuid, "v": version}])])
        cursor.execute(
            _BURY_DISTINCT_IDS,
            [
                team_id,
                [distinct_id_hash(team_id, distinct_id) for distinct_id, _, _ in mappings],
                [mapping_version + TOMBSTONE_STEP for _, mapping_version, _ in mappings],
                [generation for _, _, generation in mappings],
            ],
        )


def _distinct_id_tombstones(person: PersonRef, mappings: Sequence[_MappingRow]) -> dict[str, list[dict[str, Any]]]:
    rows = [
        distinct_id_row(
            team_id=person.team.id,
            distinct_id=distinct_id,
            person_id=person.uuid,
            version=version + TOMBSTONE_STEP,
            generation=generation,
            is_deleted=True,
        )
        for distinct_id, version, generation in mappings
    ]
    return {Table.PERSON_DISTINCT_IDS: rows, Table.PERSON_DISTINCT_ID_OVERRIDES: rows}


def _request_deletion(person: PersonRef, kind: str, mappings: Sequence[_MappingRow]) -> None:
    frozen = [{"distinct_id": distinct_id, "generation": generation} for distinct_id, _, generation in mappings]
    with connection.cursor() as cursor:
        cursor.execute(
            _REQUEST_DELETION,
            [person.team.id, kind, person.uuid, orjson.dumps(frozen).decode(), person.by_user_id],
        )


__all__ = [
    "PersonGoneError",
    "PersonRef",
    "PropertiesTooLargeError",
    "person_delete",
    "person_properties_set",
    "person_properties_unset",
]
