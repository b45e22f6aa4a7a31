"""Requests to erase what a person left behind; the job of `core.deletions.job` carries them out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import orjson

from core.deletions.models import DeletionRequest
from core.tenancy.statements import execute

# The clock is read by the statement that stores it, after the caller's locks: events that were committed before
# carry an earlier time, and those that come later a later one.
_REQUEST: Final = """
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS at),
asked AS (
    SELECT person.*, clock.at, coalesce((
        SELECT jsonb_agg(pair || jsonb_build_object('until', clock.at, 'deleted', person.deleted))
        FROM jsonb_array_elements(person.ids) AS pair), '[]') AS frozen
    FROM clock, jsonb_to_recordset(%(persons)s::jsonb)
        AS person(uuid uuid, id bigint, deleted bool, ids jsonb, tombstones jsonb)
    ORDER BY person.uuid
)
INSERT INTO core_deletionrequest AS request (
    team_id, kind, person_uuid, person_id, person_deleted, distinct_ids, tombstones,
    requested_at, requested_by_id, requested_by_email)
SELECT %(team_id)s, %(kind)s, uuid, id, deleted, frozen, tombstones,
       at, %(user_id)s, coalesce((SELECT email FROM core_user WHERE id = %(user_id)s), '')
FROM asked
ON CONFLICT (team_id, kind, person_uuid) WHERE verified_at IS NULL
DO UPDATE SET
    person_id = excluded.person_id,
    person_deleted = request.person_deleted OR excluded.person_deleted,
    distinct_ids = (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'distinct_id', d, 'generation', g, 'until', until, 'deleted', deleted)), '[]')
        FROM (SELECT pair ->> 'distinct_id' AS d, (pair -> 'generation')::int AS g,
                     max((pair ->> 'until')::timestamptz) AS until, bool_or((pair -> 'deleted')::bool) AS deleted
              FROM jsonb_array_elements(request.distinct_ids || excluded.distinct_ids) AS pair
              GROUP BY 1, 2) AS merged),
    tombstones = request.tombstones || excluded.tombstones,
    requested_at = excluded.requested_at,
    requested_by_id = excluded.requested_by_id,
    requested_by_email = excluded.requested_by_email,
    run_id = NULL
"""

_PROJECTS: Final = """
INSERT INTO core_deletionrequest (
    team_id, kind, person_uuid, organization_id, project_name, person_deleted, distinct_ids, tombstones,
    requested_at, requested_by_id, requested_by_email)
SELECT id, %s, uuid, organization_id, name, false, '[]', '[]',
       deleted_at, %s, coalesce((SELECT email FROM core_user WHERE id = %s), '')
FROM core_team WHERE id = ANY(%s) ORDER BY id
"""


@dataclass(frozen=True, slots=True)
class FrozenPerson:
    """A person as it is at the moment of a request.

    `distinct_ids` are its (distinct id, generation) pairs; `tombstones` the UUIDs that meant it and mean nobody
    any more, each with the version of its tombstone.
    """

    uuid: UUID
    id: int
    deleted: bool
    distinct_ids: Sequence[tuple[str, int]]
    tombstones: Mapping[UUID, int]

    def document(self) -> dict[str, object]:
        """Return it as the statement above reads it."""
        return {
            "uuid": self.uuid,
            "id": self.id,
            "deleted": self.deleted,
            "ids": [
                {"distinct_id": distinct_id, "generation": generation} for distinct_id, generation in self.distinct_ids
            ],
            "tombstones": [{"uuid": uuid, "version": version} for uuid, version in self.tombstones.items()],
        }


def deletions_request(
    *, team_id: int, kind: DeletionRequest.Kind, persons: Sequence[FrozenPerson], user_id: int | None
) -> None:
    """Ask for the erasure of the persons' events or recordings; the caller holds the persons' locks.

    A request that still waits is widened by the ids of now and its time moves forward, each id up to the moment
    at which it was last asked for; one that was carried out is followed by a new one.
    """
    if persons:
        documents = orjson.dumps([person.document() for person in persons]).decode()
        execute(_REQUEST, {"team_id": team_id, "kind": kind.value, "persons": documents, "user_id": user_id})


def projects_request(*, team_ids: Sequence[int], user_id: int | None) -> None:
    """Ask for the erasure of projects, all that belongs to them; the caller has just marked them as deleted.

    Requests of their persons that still wait are answered by the same run: see core.deletions.projects.
    """
    execute(_PROJECTS, [DeletionRequest.Kind.PROJECT.value, user_id, user_id, list(team_ids)])
