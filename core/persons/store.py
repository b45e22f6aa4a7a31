"""Loads a roster under locks and writes what became of it: a fixed number of statements per batch.

Locks are taken in one order everywhere: person rows by id, then inserts by uuid and distinct id. Who
changes a mapping holds the person on both of its ends, so a mapping that was read again after the
person rows were locked cannot move until commit.
"""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Final, cast

import orjson

from core.cohorts.membership import Member, memberships_move
from core.persons.identity import TOMBSTONE_STEP, Birth, DistinctIdState, PersonState, Roster, person_uuid
from core.persons.values import property_value_rows
from core.tenancy.statements import execute
from events.rows import Row, Table, distinct_id_row, person_row

_LOCK: Final = """
SELECT d.distinct_id, d.version, d.generation,
       p.id, p.uuid, p.properties::text, p.created_at, p.is_identified, p.version
FROM core_person p JOIN core_persondistinctid d ON d.person_id = p.id
WHERE d.team_id = %s AND d.distinct_id = ANY(%s)
ORDER BY p.id
FOR UPDATE OF p
"""

_READ_AGAIN: Final = """
SELECT clock_timestamp(), coalesce(array_agg(distinct_id), '{}'), coalesce(array_agg(person_id), '{}')
FROM core_persondistinctid WHERE team_id = %s AND distinct_id = ANY(%s)
"""

_BIRTHS: Final = """
SELECT 'distinct_id', encode(distinct_id_hash, 'hex'), version, generation
FROM core_distinctidtombstone WHERE team_id = %s AND distinct_id_hash = ANY(%s)
UNION ALL
SELECT 'person', person_uuid::text, version, 0
FROM core_persontombstone WHERE team_id = %s AND person_uuid = ANY(%s)
UNION ALL
SELECT 'taken', uuid::text, 0, 0
FROM core_person WHERE team_id = %s AND uuid = ANY(%s)
"""

# Rows travel as one JSON document: psycopg quotes the texts of an array one by one in Python.
_INSERT_PERSONS: Final = """
INSERT INTO core_person (team_id, uuid, properties, created_at, is_identified, version)
SELECT %s, u, p, c, i, v
FROM json_to_recordset(%s::json) AS new(u uuid, p jsonb, c timestamptz, i bool, v bigint)
ON CONFLICT DO NOTHING
RETURNING id, uuid
"""

_UPDATE_PERSONS: Final = """
UPDATE core_person SET properties = new.p, created_at = new.c, is_identified = new.i, version = new.v
FROM json_to_recordset(%s::json) AS new(id bigint, p jsonb, c timestamptz, i bool, v bigint)
WHERE core_person.id = new.id AND core_person.team_id = %s
"""

_MOVE_DISTINCT_IDS: Final = """
UPDATE core_persondistinctid d SET person_id = moved.target, version = d.version + 1
FROM json_to_recordset(%s::json) AS moved(source bigint, target bigint)
WHERE d.person_id = moved.source AND d.team_id = %s
RETURNING d.distinct_id, d.person_id, d.version, d.generation
"""

_INSERT_DISTINCT_IDS: Final = """
INSERT INTO core_persondistinctid (team_id, person_id, distinct_id, version, generation)
SELECT %s, p, d, v, g
FROM json_to_recordset(%s::json) AS new(p bigint, d text, v bigint, g int)
ON CONFLICT DO NOTHING
RETURNING distinct_id
"""

# A person's ids are read in the order of their row ids, so those must rise in the order of creation; the rows
# themselves go in sorted, so that two batches never wait for each other.
_INSERT_DISTINCT_IDS_IN_ORDER: Final = """
INSERT INTO core_persondistinctid (id, team_id, person_id, distinct_id, version, generation)
SELECT drawn.id, %s, p, d, v, g
FROM json_to_recordset(%s::json) AS new(n bigint, p bigint, d text, v bigint, g int)
JOIN (SELECT id, row_number() OVER (ORDER BY id) AS n
      FROM (SELECT nextval(pg_get_serial_sequence('core_persondistinctid', 'id')) AS id
            FROM generate_series(1, %s)) AS ids) AS drawn USING (n)
ORDER BY d COLLATE "C"
ON CONFLICT DO NOTHING
RETURNING distinct_id
"""

BURY_PERSONS: Final = """
INSERT INTO core_persontombstone (team_id, person_uuid, version, deleted_at)
SELECT %s, u, v, now() FROM json_to_recordset(%s::json) AS gone(u uuid, v bigint)
ON CONFLICT (team_id, person_uuid)
DO UPDATE SET version = greatest(core_persontombstone.version, excluded.version), deleted_at = excluded.deleted_at
"""


def json_rows(rows: Iterable[dict[str, object]]) -> str:
    """Return rows as the JSON document that `json_to_recordset` reads."""
    return orjson.dumps(list(rows)).decode()


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
    for distinct_id, version, generation, person_id, uuid, text, created_at, is_identified, pversion in execute(
        _LOCK, [team_id, wanted]
    ):
        person = persons.get(person_id)
        if person is None:
            person = PersonState.loaded(person_id, uuid, text, created_at, pversion, is_identified=is_identified)
            persons[person_id] = person
        roster.mappings[distinct_id] = DistinctIdState(person, version, generation)
    ((clock, found, owners),) = execute(_READ_AGAIN, [team_id, wanted])
    if dict(zip(found, owners, strict=True)) != {key: m.person.id for key, m in roster.mappings.items()}:
        raise RacedError
    missing = [distinct_id for distinct_id in wanted if distinct_id not in roster.mappings]
    if missing:
        _load_births(roster, missing)
    return roster, clock


def person_lock(*, team_id: int, person_id: int) -> PersonState | None:
    """Lock one person's row and load it; None when there is no such person."""
    rows = execute(
        "SELECT id, uuid, properties::text, created_at, version, is_identified FROM core_person "
        "WHERE team_id = %s AND id = %s FOR UPDATE",
        [team_id, person_id],
    )
    return PersonState.loaded(*rows[0][:5], is_identified=rows[0][5]) if rows else None


def _load_births(roster: Roster, missing: Sequence[str]) -> None:
    team_id = roster.team_id
    hashes = {distinct_id_hash(team_id, distinct_id).hex(): distinct_id for distinct_id in missing}
    by_uuid = {person_uuid(team_id, distinct_id): distinct_id for distinct_id in missing}
    uuids = {str(uuid): distinct_id for uuid, distinct_id in by_uuid.items()}
    rows = execute(
        _BIRTHS, [team_id, [bytes.fromhex(key) for key in hashes], team_id, list(by_uuid), team_id, list(by_uuid)]
    )
    found: dict[str, dict[str, int]] = {}
    for kind, key, version, generation in rows:
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
    merged = [(source.stored, None) for source, _ in roster.merges if source.id is not None]
    changed = ((person.stored, person.properties) for person in alive.values())
    rows[Table.PERSON_PROPERTY_VALUES] = property_value_rows(roster.team_id, [*changed, *merged])
    _save_persons(roster.team_id, list(alive.values()), rows)
    _save_merges(roster, rows)
    _save_distinct_ids(roster, rows)
    overrides = [row for row in rows[Table.PERSON_DISTINCT_IDS] if row["version"] > 0]
    rows[Table.PERSON_DISTINCT_ID_OVERRIDES] = overrides
    return rows


def _values(person: PersonState) -> dict[str, object]:
    return {
        "p": orjson.Fragment(person.properties_text()),
        "c": person.created_at,
        "i": person.is_identified,
        "v": person.version,
    }


def _save_persons(team_id: int, alive: Sequence[PersonState], rows: dict[str, list[Row]]) -> None:
    new = sorted((person for person in alive if person.id is None), key=lambda person: person.uuid)
    changed = [person for person in alive if person.id is not None and person.changed]
    if new:
        made = execute(_INSERT_PERSONS, [team_id, json_rows({"u": person.uuid, **_values(person)} for person in new)])
        ids = {uuid: person_id for person_id, uuid in made}
        if len(ids) != len(new):
            raise RacedError
        for person in new:
            person.id = ids[person.uuid]
    if changed:
        execute(_UPDATE_PERSONS, [json_rows({"id": person.id, **_values(person)} for person in changed), team_id])
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


def _save_merges(roster: Roster, rows: dict[str, list[Row]]) -> None:
    stored = [(source, final(target)) for source, target in roster.merges if source.id is not None]
    if not stored:
        return
    team_id = roster.team_id
    targets = {target.id: target for _, target in stored}
    pairs = json_rows({"source": source.id, "target": target.id} for source, target in stored)
    moved = execute(_MOVE_DISTINCT_IDS, [pairs, team_id])
    rows[Table.PERSON_DISTINCT_IDS].extend(
        distinct_id_row(
            team_id=team_id,
            distinct_id=distinct_id,
            person_id=targets[person_id].uuid,
            version=version,
            generation=generation,
        )
        for distinct_id, person_id, version, generation in moved
    )
    merges = [((source.id, source.uuid), (target.id, target.uuid)) for source, target in stored]
    rows.update(memberships_move(team_id=team_id, merges=cast("list[tuple[Member, Member]]", merges)))
    execute(
        "DELETE FROM core_person WHERE team_id = %s AND id = ANY(%s)", [team_id, [source.id for source, _ in stored]]
    )
    versions = [source.version + TOMBSTONE_STEP for source, _ in stored]
    buried = zip(stored, versions, strict=True)
    execute(BURY_PERSONS, [team_id, json_rows({"u": source.uuid, "v": version} for (source, _), version in buried)])
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


def _save_distinct_ids(roster: Roster, rows: dict[str, list[Row]]) -> None:
    created = [(key, mapping) for key, mapping in roster.mappings.items() if mapping.is_new]
    if not created:
        return
    new = sorted(created)
    ranks = {key: rank for rank, (key, _) in enumerate(created, 1)}
    values = json_rows(
        {"n": ranks[key], "p": m.person.id, "d": key, "v": m.version, "g": m.generation} for key, m in new
    )
    if len(new) == 1:
        inserted = execute(_INSERT_DISTINCT_IDS, [roster.team_id, values])
    else:
        inserted = execute(_INSERT_DISTINCT_IDS_IN_ORDER, [roster.team_id, values, len(new)])
    if len(inserted) != len(new):
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
