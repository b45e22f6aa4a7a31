"""Adds uploaded lists to static cohorts, one part per transaction."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from django.db import transaction

from core.cohorts.membership import (
    LOCK_BY_DISTINCT_ID,
    LOCK_BY_EITHER,
    LOCK_BY_EMAIL,
    LOCK_BY_UUID,
    Member,
    members_add,
    members_lock,
)
from core.cohorts.models import CohortUpload
from core.outbox.services import outbox_add, outbox_nudge
from core.tenancy.statements import execute
from events.rows import Table

Kind = CohortUpload.Kind
_LOCKS: Final = {
    Kind.ANY: LOCK_BY_EITHER,
    Kind.DISTINCT_ID: LOCK_BY_DISTINCT_ID,
    Kind.PERSON_ID: LOCK_BY_UUID,
    Kind.EMAIL: LOCK_BY_EMAIL,
}

_OLDEST: Final = "SELECT id, kind, ids FROM core_cohortupload WHERE cohort_id = %s ORDER BY id LIMIT 1 FOR UPDATE"
_DONE: Final = "DELETE FROM core_cohortupload WHERE id = %s"
_CHANGED: Final = "UPDATE core_cohort SET members_changed = true WHERE id = %s"
_OWNERS: Final = """
SELECT coalesce(array_agg(DISTINCT person_id), '{}') FROM core_persondistinctid
WHERE team_id = %s AND distinct_id = ANY(%s)
"""


class OwnersMovedError(Exception):
    """Distinct ids moved to other persons while theirs were being locked; the part is tried again."""


def upload_part_add(*, team_id: int, cohort_id: int) -> bool:
    """Add the persons of the oldest part that waits; return whether there was one. Unknown ids are left out."""
    waiting = execute(_OLDEST, [cohort_id])
    if not waiting:
        return False
    ((part_id, kind, ids),) = waiting
    rows = members_add(team_id=team_id, cohort_id=cohort_id, persons=_persons(team_id, kind, ids))
    execute(_DONE, [part_id])
    if rows:
        execute(_CHANGED, [cohort_id])
        outbox_add({Table.COHORT_PEOPLE: rows})
        transaction.on_commit(outbox_nudge)
    return True


def _persons(team_id: int, kind: str, ids: Sequence[str]) -> list[Member]:
    uuids = [uuid for text in ids if (uuid := _uuid(text))]
    persons = members_lock(_LOCKS[Kind(kind)], team_id=team_id, ids=ids, uuids=uuids)
    if kind in {Kind.ANY, Kind.DISTINCT_ID}:
        ((owners,),) = execute(_OWNERS, [team_id, list(ids)])
        if not set(owners) <= {person_id for person_id, _ in persons}:
            raise OwnersMovedError
    return persons


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
