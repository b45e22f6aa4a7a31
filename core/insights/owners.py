"""Changes of owners of distinct ids that are committed and on their way to ClickHouse.

A merge, split, deletion or re-use is one transaction in Postgres, whose rows for ClickHouse the worker carries over a
moment later. Insights read the rows that still wait, so that the change counts in the next answer.
"""

from typing import Final

from core.outbox.queries import rows_waiting
from events.insights.source import Owner
from events.rows import Table

MOST_ENTRIES: Final = 500
MOST_OWNERS: Final = 1_000
MOST_BYTES: Final = 48 * 1024


def owners_waiting(team_id: int) -> tuple[Owner, ...]:
    """Return the waiting owners of a team, the newest first.

    Behind a worker that is far behind, not all are read: the MOST_ENTRIES newest entries of all teams, MOST_OWNERS
    and MOST_BYTES of distinct ids. The others count when the worker has carried them.
    """
    found: list[Owner] = []
    size = 0
    for row in rows_waiting(Table.PERSON_DISTINCT_ID_OVERRIDES, team_id=team_id, entries=MOST_ENTRIES):
        owner = Owner(row["distinct_id"], row["person_id"], row["generation"], row["version"])
        size += len(owner.distinct_id.encode()) + 4
        if size > MOST_BYTES or len(found) == MOST_OWNERS:
            break
        found.append(owner)
    return tuple(found)
