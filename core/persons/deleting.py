"""Deletion of persons and requests to erase what they left: as many statements for 1,000 persons as for one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

import orjson
from django.db import transaction

from core.activity.services import activities_log
from core.cohorts.membership import memberships_end
from core.deletions.models import DeletionRequest
from core.deletions.services import FrozenPerson, deletions_request
from core.outbox.services import outbox_add, outbox_nudge
from core.persons.identity import TOMBSTONE_STEP, person_uuid
from core.persons.ingest import MAX_RACES, MergeRaceError
from core.persons.services import PersonGoneError, PersonRef
from core.persons.store import BURY_PERSONS, RacedError, distinct_id_hash, json_rows
from core.persons.values import property_value_rows
from core.tenancy.holding import team_hold
from core.tenancy.statements import execute
from events.rows import Row, Table, distinct_id_row, person_row

__all__ = [
    "Deleted",
    "Deletion",
    "MergeRaceError",
    "PersonChoice",
    "PersonGoneError",
    "person_delete",
    "persons_delete",
]

_LOCK: Final = """
SELECT id, uuid, created_at, is_identified, version, CASE WHEN %(with_properties)s THEN properties::text END
FROM core_person
WHERE team_id = %(team_id)s AND (id = ANY(%(ids)s) OR uuid = ANY(%(uuids)s) OR id = ANY(ARRAY(
    SELECT person_id FROM core_persondistinctid WHERE team_id = %(team_id)s AND distinct_id = ANY(%(distinct_ids)s))))
ORDER BY id FOR UPDATE
"""

# Read after the locks: an id that moved to somebody else while the locks were awaited shows here.
_OWNERS: Final = """
SELECT distinct_id, person_id FROM core_persondistinctid
WHERE team_id = %s AND distinct_id = ANY(%s)
"""

_MAPPINGS: Final = """
SELECT person_id, distinct_id, version, generation FROM core_persondistinctid
WHERE team_id = %s AND person_id = ANY(%s) ORDER BY id
"""

_BURY_DISTINCT_IDS: Final = """
INSERT INTO core_distinctidtombstone (team_id, distinct_id_hash, version, generation, deleted_at)
SELECT %s, h, v, g, now() FROM unnest(%s::bytea[], %s::bigint[], %s::int[]) AS gone(h, v, g)
ON CONFLICT (team_id, distinct_id_hash) DO UPDATE
SET version = greatest(core_distinctidtombstone.version, excluded.version),
    generation = greatest(core_distinctidtombstone.generation, excluded.generation), deleted_at = excluded.deleted_at
"""

_TOMBSTONES: Final = (
    "SELECT person_uuid, version FROM core_persontombstone WHERE team_id = %s AND person_uuid = ANY(%s)"
)


@dataclass(frozen=True, slots=True)
class PersonChoice:
    """The persons a call names: by their keys, or by their distinct ids."""

    ids: Sequence[int] = ()
    uuids: Sequence[UUID] = ()
    distinct_ids: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Deletion:
    """What is to be done with the chosen persons of a team, and who says so."""

    team_id: int
    organization_id: UUID
    by_user_id: int | None
    keep_person: bool = False
    delete_events: bool = False
    delete_recordings: bool = False


@dataclass(frozen=True, slots=True)
class Deleted:
    """How many persons were found and deleted, and what of the choice named nobody."""

    found: int
    deleted: int
    ids_not_found: Sequence[int | UUID]
    distinct_ids_not_found: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Mapping:
    distinct_id: str
    version: int
    generation: int


@dataclass(slots=True)
class _Locked:
    """A person under lock, with its distinct ids."""

    id: int
    uuid: UUID
    created_at: datetime
    is_identified: bool
    version: int
    properties: str | None
    mappings: list[_Mapping] = field(default_factory=list)

    @property
    def tombstone(self) -> int:
        """Return the version that its tombstone gets."""
        return self.version + TOMBSTONE_STEP


def persons_delete(*, deletion: Deletion, choice: PersonChoice) -> Deleted:
    """Delete persons and ask for the erasure of what they left, all or nothing.

    Tombstones let their ids be used again. Requests for events and recordings wait for the deletion job. Raises
    MergeRaceError when merges of these persons keep coming in between; nothing is changed then.
    """
    for _ in range(MAX_RACES):
        try:
            with transaction.atomic():
                return _delete_once(deletion, choice)
        except RacedError:
            continue
    message = f"gave up after {MAX_RACES} lost races"
    raise MergeRaceError(message)


def person_delete(
    *, person: PersonRef, keep_person: bool = False, delete_events: bool = False, delete_recordings: bool = False
) -> None:
    """Delete one person as `persons_delete` does. Raises PersonGoneError when someone else was faster."""
    deletion = Deletion(
        team_id=person.team.id,
        organization_id=person.organization_id,
        by_user_id=person.by_user_id,
        keep_person=keep_person,
        delete_events=delete_events,
        delete_recordings=delete_recordings,
    )
    if not persons_delete(deletion=deletion, choice=PersonChoice(ids=[person.id])).found:
        raise PersonGoneError


def _delete_once(deletion: Deletion, choice: PersonChoice) -> Deleted:
    team_hold(deletion.team_id)
    persons, missing = _lock(deletion, choice)
    if persons:
        if not deletion.keep_person:
            _delete(deletion, persons)
        _request(deletion, persons)
    ids, uuids = {person.id for person in persons}, {person.uuid for person in persons}
    return Deleted(
        found=len(persons),
        deleted=0 if deletion.keep_person else len(persons),
        ids_not_found=[*(id_ for id_ in choice.ids if id_ not in ids), *(u for u in choice.uuids if u not in uuids)],
        distinct_ids_not_found=missing,
    )


def _lock(deletion: Deletion, choice: PersonChoice) -> tuple[list[_Locked], list[str]]:
    """Return the persons under lock in the order of their ids, and the distinct ids that name nobody."""
    team_id = deletion.team_id
    rows = execute(
        _LOCK,
        {
            "team_id": team_id,
            "ids": list(choice.ids),
            "uuids": list(choice.uuids),
            "distinct_ids": list(choice.distinct_ids),
            "with_properties": not deletion.keep_person,
        },
    )
    persons = {row[0]: _Locked(*row) for row in rows}
    missing: list[str] = []
    if choice.distinct_ids:
        owners = dict(execute(_OWNERS, [team_id, list(choice.distinct_ids)]))
        if not persons.keys() >= set(owners.values()):
            raise RacedError
        missing = [distinct_id for distinct_id in choice.distinct_ids if distinct_id not in owners]
    for person_id, *mapping in execute(_MAPPINGS, [team_id, list(persons)]) if persons else ():
        persons[person_id].mappings.append(_Mapping(*mapping))
    return list(persons.values()), missing


def _delete(deletion: Deletion, persons: Sequence[_Locked]) -> None:
    team_id = deletion.team_id
    ids = [person.id for person in persons]
    rows: dict[str, list[Row]] = memberships_end(team_id=team_id, persons={p.id: p.uuid for p in persons})
    execute("DELETE FROM core_persondistinctid WHERE team_id = %s AND person_id = ANY(%s)", [team_id, ids])
    execute("DELETE FROM core_person WHERE team_id = %s AND id = ANY(%s)", [team_id, ids])
    _bury(team_id, persons)
    rows[Table.PERSONS] = [_person_tombstone(team_id, person) for person in persons]
    mappings = [_distinct_id_tombstone(team_id, p.uuid, mapping) for p in persons for mapping in p.mappings]
    rows[Table.PERSON_DISTINCT_IDS] = mappings
    rows[Table.PERSON_DISTINCT_ID_OVERRIDES] = mappings
    rows[Table.PERSON_PROPERTY_VALUES] = property_value_rows(
        team_id, ((orjson.loads(person.properties or "{}"), None) for person in persons)
    )
    outbox_add(rows)
    activities_log(
        team_id=team_id,
        organization_id=deletion.organization_id,
        user_id=deletion.by_user_id,
        scope="Person",
        activity="deleted",
        items=[(str(person.id), {"name": str(person.uuid), "changes": None}) for person in persons],
    )
    transaction.on_commit(outbox_nudge)


def _bury(team_id: int, persons: Sequence[_Locked]) -> None:
    execute(BURY_PERSONS, [team_id, json_rows({"u": person.uuid, "v": person.tombstone} for person in persons)])
    gone = sorted(
        (distinct_id_hash(team_id, mapping.distinct_id), mapping.version + TOMBSTONE_STEP, mapping.generation)
        for person in persons
        for mapping in person.mappings
    )
    hashes, versions, generations = (list(column) for column in zip(*gone, strict=True)) if gone else ([], [], [])
    execute(_BURY_DISTINCT_IDS, [team_id, hashes, versions, generations])


def _person_tombstone(team_id: int, person: _Locked) -> Row:
    return person_row(
        team_id=team_id,
        id=person.uuid,
        created_at=person.created_at,
        properties="{}",
        is_identified=person.is_identified,
        version=person.tombstone,
        is_deleted=True,
    )


def _distinct_id_tombstone(team_id: int, uuid: UUID, mapping: _Mapping) -> Row:
    return distinct_id_row(
        team_id=team_id,
        distinct_id=mapping.distinct_id,
        person_id=uuid,
        version=mapping.version + TOMBSTONE_STEP,
        generation=mapping.generation,
        is_deleted=True,
    )


def _request(deletion: Deletion, persons: Sequence[_Locked]) -> None:
    kinds = [
        *([DeletionRequest.Kind.EVENTS] if deletion.delete_events else []),
        *([DeletionRequest.Kind.RECORDINGS] if deletion.delete_recordings else []),
    ]
    if not kinds:
        return
    frozen = list(_frozen(deletion, persons))
    for kind in kinds:
        deletions_request(team_id=deletion.team_id, kind=kind, persons=frozen, user_id=deletion.by_user_id)


def _frozen(deletion: Deletion, persons: Sequence[_Locked]) -> Iterator[FrozenPerson]:
    """Yield the persons as their requests keep them; those merged into them had UUIDs made from their ids."""
    team_id = deletion.team_id
    deleted = not deletion.keep_person
    born = {
        person.id: {person.uuid, *(person_uuid(team_id, mapping.distinct_id) for mapping in person.mappings)}
        for person in persons
        if deleted
    }
    uuids = [uuid for all_of_one in born.values() for uuid in all_of_one]
    tombstones: Mapping[UUID, int] = dict(execute(_TOMBSTONES, [team_id, uuids])) if uuids else {}
    for person in persons:
        yield FrozenPerson(
            uuid=person.uuid,
            id=person.id,
            deleted=deleted,
            distinct_ids=[(mapping.distinct_id, mapping.generation) for mapping in person.mappings],
            tombstones={uuid: tombstones[uuid] for uuid in born.get(person.id, ()) if uuid in tombstones},
        )
