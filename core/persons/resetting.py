"""Repair of a distinct id whose mirror in ClickHouse holds something newer than Postgres, such as a foreign tombstone.

Re-used ids need no reset, because their versions start above their tombstones.
"""

from typing import Final
from uuid import UUID

from django.db import transaction

from core.outbox.services import outbox_add, outbox_nudge
from core.persons.identity import TOMBSTONE_STEP
from core.persons.ingest import MAX_RACES, MergeRaceError
from core.persons.store import RacedError, roster_load, roster_save
from core.tenancy.holding import team_hold
from core.tenancy.statements import execute, fetch_row
from events.mirrors import highest_versions
from events.rows import Table, distinct_id_row

__all__ = ["MergeRaceError", "distinct_id_reset"]

_OWNER: Final = """
SELECT p.uuid FROM core_persondistinctid d JOIN core_person p ON p.id = d.person_id
WHERE d.team_id = %s AND d.distinct_id = %s
"""

_RAISE: Final = "UPDATE core_persondistinctid SET version = %s WHERE team_id = %s AND distinct_id = %s"


def distinct_id_reset(*, team_id: int, distinct_id: str) -> None:
    """Raise a distinct id and its person above what ClickHouse holds and write their mirror rows anew.

    An id that nobody uses now is left alone. Raises StoreUnavailable when ClickHouse is away, and
    MergeRaceError.
    """
    for _ in range(MAX_RACES):
        owner = fetch_row(_OWNER, [team_id, distinct_id])
        if owner is None:
            return
        # Read before the locks: nobody waits for ClickHouse, and what is above Postgres there came from nobody here.
        mirrored = highest_versions(team_id=team_id, distinct_id=distinct_id, person_id=owner[0])
        try:
            with transaction.atomic():
                _raise_above(team_id, distinct_id, owner[0], mirrored)
        except RacedError:
            continue
        return
    message = f"gave up after {MAX_RACES} lost races"
    raise MergeRaceError(message)


def _raise_above(team_id: int, distinct_id: str, owner: UUID, mirrored: tuple[int, int]) -> None:
    team_hold(team_id)
    roster, _ = roster_load(team_id=team_id, distinct_ids=[distinct_id])
    person = roster.person(distinct_id)
    if person is None or person.uuid != owner:
        raise RacedError
    mapping = roster.mappings[distinct_id]
    person.version = max(person.version, mirrored[1]) + TOMBSTONE_STEP
    person.changed = True
    mapping.version = max(mapping.version, mirrored[0]) + TOMBSTONE_STEP
    rows = roster_save(roster)
    execute(_RAISE, [mapping.version, team_id, distinct_id])
    row = distinct_id_row(
        team_id=team_id,
        distinct_id=distinct_id,
        person_id=person.uuid,
        version=mapping.version,
        generation=mapping.generation,
    )
    rows[Table.PERSON_DISTINCT_IDS] = [row]
    rows[Table.PERSON_DISTINCT_ID_OVERRIDES] = [row]
    outbox_add(rows)
    transaction.on_commit(outbox_nudge)
