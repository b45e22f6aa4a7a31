"""Loads a roster under locks and writes what became of it: a fixed number of statements per batch.

Locks are taken in one order everywhere: person rows by id, then inserts by uuid and distinct id. Who
changes a mapping holds the person on both of its ends, so a mapping that was read again after the
person rows were locked cannot move until commit.
"""

import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime

from django.db import connection

from core.persons.identity import TOMBSTONE_STEP, Birth, DistinctIdState, PersonState, Roster, person_uuid
from events.rows import Row, Table, distinct_id_row, person_row

_LOCK = """
SELECT d.distinct_id, d.version, d.generation,
       p.id, p.uuid, p.properties::text, p.created_at, p.is_identified, p.version
FROM core_person p JOIN core_persondistinctid d ON d.person_id = p.id
WHERE d.team_id = %s AND d.distinct_id = ANY(%s::text[])
ORDER BY p.id
FOR UPDATE OF p
"""

_READ_AGAIN = """
SELECT clock_timestamp(), coalesce(array_agg(distinct_id), '{}'), coalesce(array_agg(person_id), '{}')
FROM core_persondistinctid WHERE team_id = %s AND distinct_id = ANY(%s::text[])
"""

_BIRTHS = """
SELECT 'distinct_id', encode(distinct_id_hash, 'hex'), version, generation
FROM core_distinctidtombstone WHERE team_id = %s AND distinct_id_hash = ANY(%s::bytea[])
UNION ALL
SELECT 'person', person_uuid::text, version, 0
FROM core_persontombstone WHERE team_id = %s AND person_uuid = ANY(%s::uuid[])
UNION ALL
SELECT 'taken', uuid::text, 0, 0
FROM core_person WHERE team_id = %s AND uuid = ANY(%s::uuid[])
"""

_INSERT_PERSONS = """
INSERT INTO core_person (team_id, uuid, properties, created_at, is_identified, version)
SELECT %s, u, p::jsonb, c, i, v
FROM unnest(%s::uuid[], %s::text[], %s::timestamptz[], %s::bool[], %s::bigint[]) AS new(u, p, c, i, v)
ON CONFLICT DO NOTHING
RETURNING id, uuid
"""

_UPDATE_PERSONS = """
UPDATE core_person SET properties = new.p::jsonb, created_at = new.c, is_identified = new.i, version = new.v
FROM unnest(%s::bigint[], %s::text[], %s::timestamptz[], %s::bool[], %s::bigint[]) AS new(id, p, c, i, v)
WHERE core_person.id = new.id AND core_person.team_id = %s
"""

_MOVE_DISTINCT_IDS = """
UPDATE core_persondistinctid d SET person_id = moved.target, version = d.version + 1
FROM unnest(%s::bigint[], %s::bigint[]) AS moved(source, target)
WHERE d.person_id = moved.source AND d.team_id = %s
RETURNING d.distinct_id, d.person_id, d.version, d.generation
"""

_INSERT_DISTINCT_IDS = """
INSERT INTO core_persondistinctid (team_id, person_id, distinct_id, version, generation)
SELECT %s, p, d, v, g
FROM unnest(%s::bigint[], %s::text[], %s::bigint[], %s::int[]) AS new(p, d, v, g)
ON CONFLICT DO NOTHING
RETURNING distinct_id
"""

BURY_PERSONS = """
INSERT INTO core_persontombstone (team_id, person_uuid, version, deleted_at)
SELECT %s, u, v, now() FROM unnest(%s::uuid[], %s::bigint[]) AS gone(u, v)
ON CONFLICT (team_id, person_uuid)
DO UPDATE SET version = greatest(core_persontombstone.version, excluded.version), deleted_at = excluded.deleted_at
"""


class RacedError(Exception):
    """Another transaction changed the same persons first; the batch must be run again from a fresh read."""


def distinct_id_hash(team_id: int, distinct_id: str) -> bytes:
    """Return the form in which a deleted distinct id is remembered."""
    return hashlib.sha256(f"{team_id}:{distinct_id}".encode()).digest()


def roster_load(*, team_id: int, distinct_ids: Collection[str]) -> tuple[Roster, datetime]:
    """Lock and load the persons behind these distinct ids; also return the database's clock after the locks."""
    roster = Roster(team_id)
    wanted = sorted(distinct_ids)
    persons: dict[int, PersonState] = {}
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [team_id, wanted])
        for distinct_id, version, generation, person_id, uuid, text, created_at, is_identified, pversion in cursor:
            person = persons.get(person_id)
            if person is None:
                person = PersonState.loaded(person_id, uuid, text, created_at, pversion, is_identified=is_identified)
                persons[person_id] = person
            roster.mappings[distinct_id] = DistinctIdState(person, version, generation)
        cursor.execute(_READ_AGAIN, [team_id, wanted])
        clock, found, owners = cursor.fetchone()
        if dict(zip(found, owners, strict=True)) != {key: m.person.id for key, m in roster.mappings.items()}:
            raise RacedError
        missing = [distinct_id for distinct_id in wanted if distinct_id not in roster.mappings]
        if missing:
            _load_births(cursor, roster, missing)
    return roster, clock


def person_lock(*, team_id: int, person_id: int) -> PersonState | None:
    """Lock one person's row and load it; None when there is no such person."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, uuid, properties::text, created_at, version, is_identified FROM core_person "
            "WHERE team_id = %s AND id = %s FOR UPDATE",
            [team_id, person_id],
        )
        row = cursor.fetchone()
    return None if row is None else PersonState.loaded(*row[:5], is_identified=row[5])


def _load_births(cursor, roster: Roster, missing: Sequence[str]) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 Django's cursor wrapper
    team_id = roster.team_id
    hashes = {distinct_id_hash(team_id, distinct_id).hex(): distinct_id for distinct_id in missing}
    uuids = {str(person_uuid(team_id, distinct_id)): distinct_id for distinct_id in missing}
    cursor.execute(
        _BIRTHS, [team_id, [bytes.fromhex(key) for key in hashes], team_id, list(uuids), team_id, list(uuids)]
    )
    found: dict[str, dict[str, int]] = {}
    for kind, key, version, generation in cursor:
        known = found.setdefault(hashes[key] if kind == "distinct_id" else uuids[key], {})
        if kind == "distinct_id":
            known.update(mapping_version=version + 1, generation=generation + 1)
        elif kind == "person":
            known["person_version"] = version + 1
        else:
            known["uuid_taken"] = 1
    for distinct_id, known in found.items():
        roster.births[distinct_id] = Birth(
            person_version=known.get("person_version", 0),
            mapping_version=known.get("mapping_version", 0),
            generation=known.get("generation", 0),
            uuid_taken=bool(known.get("uuid_taken")),
        )


def roster_save(roster: Roster) -> dict[str, list[Row]]:
    """Write every change to Postgres and return the mirror rows for ClickHouse.

    Raises RacedError when another transaction created one of the persons or distinct ids first.
    """
    rows: dict[str, list[Row]] = {Table.PERSONS: [], Table.PERSON_DISTINCT_IDS: []}
    alive = {id(m.person): m.person for key, m in roster.mappings.items() if roster.person(key)}
    alive.update((id(person), person) for person in roster.nameless)
    with connection.cursor() as cursor:
        _save_persons(cursor, roster.team_id, list(alive.values()), rows)
        _save_merges(cursor, roster, rows)
        _save_distinct_ids(cursor, roster, rows)
    overrides = [row for row in rows[Table.PERSON_DISTINCT_IDS] if row["version"] > 0]
    rows[Table.PERSON_DISTINCT_ID_OVERRIDES] = overrides
    return rows


def _columns(persons: Sequence[PersonState]) -> list[list[object]]:
    return [
        [person.properties_text() for person in persons],
        [person.created_at for person in persons],
        [person.is_identified for person in persons],
        [person.version for person in persons],
    ]


def _save_persons(cursor, team_id: int, alive: Sequence[PersonState], rows: dict[str, list[Row]]) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 Django's cursor wrapper
    new = sorted((person for person in alive if person.id is None), key=lambda person: person.uuid)
    changed = [person for person in alive if person.id is not None and person.changed]
    if new:
        cursor.execute(_INSERT_PERSONS, [team_id, [person.uuid for person in new], *_columns(new)])
        ids = {uuid: person_id for person_id, uuid in cursor}
        if len(ids) != len(new):
            raise RacedError
        for person in new:
            person.id = ids[person.uuid]
    if changed:
        cursor.execute(_UPDATE_PERSONS, [[person.id for person in changed], *_columns(changed), team_id])
    rows[Table.PERSONS].extend(
        person_row(
            team_id=team_id,
            id=person.uuid,
            created_at=person.created_at,
            properties=person.properties_text(),
            is_identified=person.is_identified,
            version=person.version,
        )
        for person in (*new, *changed)
    )


def _save_merges(cursor, roster: Roster, rows: dict[str, list[Row]]) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 Django's cursor wrapper
    stored = [(source, final(target)) for source, target in roster.merges if source.id is not None]
    if not stored:
        return
    team_id = roster.team_id
    targets = {target.id: target for _, target in stored}
    cursor.execute(_MOVE_DISTINCT_IDS, [[source.id for source, _ in stored], [t.id for _, t in stored], team_id])
    rows[Table.PERSON_DISTINCT_IDS].extend(
        distinct_id_row(
            team_id=team_id,
            distinct_id=distinct_id,
            person_id=targets[person_id].uuid,
            version=version,
            generation=generation,
        )
        for distinct_id, person_id, version, generation in cursor
    )
    cursor.execute(
        "DELETE FROM core_person WHERE team_id = %s AND id = ANY(%s)", [team_id, [source.id for source, _ in stored]]
    )
    versions = [source.version + TOMBSTONE_STEP for source, _ in stored]
    cursor.execute(BURY_PERSONS, [team_id, [source.uuid for source, _ in stored], versions])
    rows[Table.PERSONS].extend(
        person_row(
            team_id=team_id,
            id=source.uuid,
            created_at=source.created_at,
            properties="{}",
            is_identified=source.is_identified,
            version=version,
            is_deleted=True,
        )
        for (source, _), version in zip(stored, versions, strict=True)
    )


def final(person: PersonState) -> PersonState:
    """Return the person that a merged one ended in."""
    while person.merged_into is not None:
        person = person.merged_into
    return person


def _save_distinct_ids(cursor, roster: Roster, rows: dict[str, list[Row]]) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 Django's cursor wrapper
    new = sorted((key, mapping) for key, mapping in roster.mappings.items() if mapping.is_new)
    if not new:
        return
    cursor.execute(
        _INSERT_DISTINCT_IDS,
        [
            roster.team_id,
            [mapping.person.id for _, mapping in new],
            [key for key, _ in new],
            [mapping.version for _, mapping in new],
            [mapping.generation for _, mapping in new],
        ],
    )
    if len(cursor.fetchall()) != len(new):
        raise RacedError
    rows[Table.PERSON_DISTINCT_IDS].extend(
        distinct_id_row(
            team_id=roster.team_id,
            distinct_id=key,
            person_id=mapping.person.uuid,
            version=mapping.version,
            generation=mapping.generation,
        )
        for key, mapping in new
    )
