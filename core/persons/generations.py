"""Which life of its distinct id something belongs to that makes no person, such as a recording."""

from collections.abc import Collection
from datetime import datetime
from typing import Final

from core.persons.store import distinct_id_hash
from core.tenancy.statements import execute

# A deletion locks the person first: one of the two waits, and is later by the clock as well as by generation.
_LOCK: Final = """
SELECT p.id FROM core_person p JOIN core_persondistinctid d ON d.person_id = p.id
WHERE d.team_id = %s AND d.distinct_id = ANY(%s)
ORDER BY p.id
FOR KEY SHARE OF p
"""

_READ: Final = """
SELECT wanted.distinct_id, coalesce(d.generation, t.generation + 1, 0), clock_timestamp()
FROM unnest(%s::text[], %s::bytea[]) AS wanted(distinct_id, hash)
LEFT JOIN core_persondistinctid d ON d.team_id = %s AND d.distinct_id = wanted.distinct_id
LEFT JOIN core_distinctidtombstone t ON t.team_id = %s AND t.distinct_id_hash = wanted.hash
"""


def generations_lock(*, team_id: int, distinct_ids: Collection[str]) -> tuple[dict[str, int], datetime]:
    """Return the present generation of each distinct id, and the database's clock after the locks.

    Until the transaction ends, none of their persons can be deleted. `distinct_ids` must not be empty.
    """
    wanted = sorted(distinct_ids)
    execute(_LOCK, [team_id, wanted])
    hashes = [distinct_id_hash(team_id, distinct_id) for distinct_id in wanted]
    rows = execute(_READ, [wanted, hashes, team_id, team_id])
    return {distinct_id: generation for distinct_id, generation, _ in rows}, max(row[2] for row in rows)
