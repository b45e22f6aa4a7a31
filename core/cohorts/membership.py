"""Who is in which cohort: every change in Postgres together with its mirror rows.

Who adds or removes a person's membership holds the person's row, in the order of person ids and in a mode
that a merge or a deletion of the person conflicts with. So no membership outlives its person, and versions,
which are taken after the locks, rise in the order of the changes. Who changes a cohort's own list holds the
cohort's row first.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, LiteralString
from uuid import UUID

from core.tenancy.statements import execute
from events.rows import Row, Table, cohort_person_row

type Member = tuple[int, UUID]
"""A person by both of its keys."""

_NEXT_VERSION: Final = "nextval(pg_get_serial_sequence('core_cohortperson', 'version'))"

_LOCK: Final = """
SELECT p.id, p.uuid FROM core_person p
WHERE p.team_id = %(team_id)s AND {named} ORDER BY p.id FOR KEY SHARE OF p
"""
_OWNERS: Final = (
    "SELECT person_id FROM core_persondistinctid WHERE team_id = %(team_id)s AND distinct_id = ANY(%(ids)s::text[])"
)
_BEARERS: Final = "SELECT id FROM core_person WHERE team_id = %(team_id)s AND uuid = ANY(%(uuids)s::uuid[])"
LOCK_BY_UUID: Final = _LOCK.format(named="p.uuid = ANY(%(uuids)s::uuid[])")
LOCK_BY_DISTINCT_ID: Final = _LOCK.format(named=f"p.id IN ({_OWNERS})")
LOCK_BY_EITHER: Final = _LOCK.format(named=f"p.id IN ({_OWNERS} UNION {_BEARERS})")
LOCK_BY_EMAIL: Final = _LOCK.format(
    named="p.email_hash = ANY(ARRAY(SELECT md5(e) FROM unnest(%(ids)s::text[]) AS e))"
    " AND p.properties ->> 'email' = ANY(%(ids)s::text[])"
)

_ADD: Final = """
INSERT INTO core_cohortperson (cohort_id, person_id) SELECT %s, unnest(%s::bigint[])
ON CONFLICT DO NOTHING RETURNING person_id, version
"""

_REMOVE: Final = f"""
DELETE FROM core_cohortperson WHERE cohort_id = %s AND person_id = ANY(%s::bigint[])
RETURNING person_id, {_NEXT_VERSION}
"""  # noqa: S608 constants of this module

_END: Final = f"""
DELETE FROM core_cohortperson m USING core_cohort c
WHERE m.person_id = ANY(%s::bigint[]) AND c.id = m.cohort_id AND c.team_id = %s
RETURNING m.cohort_id, m.person_id, {_NEXT_VERSION}
"""  # noqa: S608 constants of this module

_MOVE: Final = f"""
WITH pairs AS (SELECT * FROM unnest(%s::bigint[], %s::bigint[]) AS pair(source, target)),
gone AS (
    DELETE FROM core_cohortperson m USING core_cohort c, pairs
    WHERE m.person_id = pairs.source AND c.id = m.cohort_id AND c.team_id = %s
    RETURNING m.cohort_id, m.person_id, pairs.target, c.is_static, {_NEXT_VERSION} AS version
),
moved AS (
    INSERT INTO core_cohortperson (cohort_id, person_id)
    SELECT DISTINCT cohort_id, target FROM gone WHERE is_static
    ON CONFLICT DO NOTHING RETURNING cohort_id, person_id, version
)
SELECT cohort_id, person_id, version, true FROM gone
UNION ALL SELECT cohort_id, person_id, version, false FROM moved
"""  # noqa: S608 constants of this module


def members_lock(
    sql: LiteralString, *, team_id: int, ids: Sequence[str] = (), uuids: Sequence[UUID] = ()
) -> list[Member]:
    """Lock the persons that LOCK_BY_UUID or one of its siblings finds, so that they stay while they are added."""
    rows = execute(sql, {"team_id": team_id, "ids": list(ids), "uuids": list(uuids)})
    return [(row[0], row[1]) for row in rows]


def members_add(*, team_id: int, cohort_id: int, persons: Iterable[Member]) -> list[Row]:
    """Add locked persons to a cohort; return the mirror rows of those that were not in it."""
    uuids = dict(persons)
    return [
        cohort_person_row(team_id=team_id, cohort_id=cohort_id, person_id=uuids[person_id], version=version)
        for person_id, version in execute(_ADD, [cohort_id, list(uuids)])
    ]


def members_remove(*, team_id: int, cohort_id: int, persons: Iterable[Member]) -> list[Row]:
    """Remove locked persons from a cohort; return the mirror rows of those that were in it."""
    uuids = dict(persons)
    return [
        cohort_person_row(
            team_id=team_id, cohort_id=cohort_id, person_id=uuids[person_id], version=version, is_deleted=True
        )
        for person_id, version in execute(_REMOVE, [cohort_id, list(uuids)])
    ]


def memberships_end(*, team_id: int, persons: Mapping[int, UUID]) -> dict[str, list[Row]]:
    """Remove persons, which the caller has locked, from every cohort; return the mirror rows for the outbox."""
    return {
        Table.COHORT_PEOPLE: [
            cohort_person_row(
                team_id=team_id, cohort_id=cohort_id, person_id=persons[person_id], version=version, is_deleted=True
            )
            for cohort_id, person_id, version in execute(_END, [list(persons), team_id])
        ]
    }


def memberships_move(*, team_id: int, merges: Sequence[tuple[Member, Member]]) -> dict[str, list[Row]]:
    """Give the static memberships of merged persons to those they ended in; return the mirror rows.

    Each merge is (source, final target), all locked by the caller. Memberships in dynamic cohorts end: whether
    the target belongs to them its own properties say, at the next calculation.
    """
    uuids = {person_id: uuid for merge in merges for person_id, uuid in merge}
    pairs = [[source[0] for source, _ in merges], [target[0] for _, target in merges]]
    return {
        Table.COHORT_PEOPLE: [
            cohort_person_row(
                team_id=team_id,
                cohort_id=cohort_id,
                person_id=uuids[person_id],
                version=version,
                is_deleted=is_deleted,
            )
            for cohort_id, person_id, version, is_deleted in execute(_MOVE, [*pairs, team_id])
        ]
    }
