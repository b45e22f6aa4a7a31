"""Makes the summary of property values right again while events come in.

With drains held for a moment, a snapshot of Postgres is opened and the summary's present state is staged,
negated. Every change is then either in that state, or waits in an outbox row that the snapshot shows, or came
later and will add its own delta. The waiting deltas are staged negated and the persons of the snapshot are
counted and staged; what does not even out is the summary's error, and is added to it. Deltas add up in any
order, so drains go on as soon as the state is staged, and readers see the summary in use all the time.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

import orjson
from django.db import transaction

from core.outbox.holding import drains_held, outbox_waiting
from core.persons.values import Counts, property_value_counts
from core.tenancy.holding import TeamGoneError
from core.tenancy.statements import execute
from events.rows import Table
from events.values import rebuild_begin, rebuild_finish, rebuild_stage

PAGE: Final = 2_000
STAGED_AT_ONCE: Final = 200_000

_PERSONS: Final = (
    "SELECT uuid, properties::text FROM core_person WHERE team_id = %s AND uuid > %s ORDER BY uuid LIMIT %s"
)


class RebuildRunningError(RuntimeError):
    """Another rebuild runs: two at once would both correct the same error."""


@dataclass(slots=True)
class RebuildProgress:
    """How far a rebuild is; `corrected` is the number of values that were wrong, known at the end."""

    persons: int
    done: int = 0
    corrected: int | None = None


def property_values_rebuild(*, team_id: int) -> Iterator[RebuildProgress]:
    """Correct the summary of one team, yielding after each page of persons and at the end.

    Holds one Postgres snapshot open while it reads. A run that was killed may leave the summary half corrected:
    run it again. Raises RebuildRunningError, TeamGoneError, and StoreUnavailable when ClickHouse is away.
    """
    if not execute("SELECT pg_try_advisory_lock(hashtext('property_values_rebuild'))")[0][0]:
        raise RebuildRunningError
    try:
        # The deletion job waits for this lock once, so that no rebuild of a deleted project is left or begins.
        if not execute("SELECT id FROM core_team WHERE id = %s AND deleted_at IS NULL", [team_id]):
            raise TeamGoneError
        yield from _rebuild(team_id)
    finally:
        execute("SELECT pg_advisory_unlock(hashtext('property_values_rebuild'))")


def _rebuild(team_id: int) -> Iterator[RebuildProgress]:
    run = uuid4()
    with ExitStack() as held:
        held.enter_context(drains_held())
        with transaction.atomic(durable=True):
            execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            # The first statement that reads takes the snapshot, so it stands before drains go on.
            ((persons,),) = execute("SELECT count(*) FROM core_person WHERE team_id = %s", [team_id])
            rebuild_begin(team_id=team_id, run=run)
            held.close()
            progress = RebuildProgress(persons)
            yield progress
            _stage_waiting(team_id, run)
            yield from _stage_persons(team_id, run, progress)
    # The deletion job takes what adds up to nothing out of the summary, and holds drains for it as well.
    with drains_held():
        progress.corrected = rebuild_finish(team_id=team_id, run=run)
    yield progress


def _stage_waiting(team_id: int, run: UUID) -> None:
    counts: Counts = {}
    for row in outbox_waiting(Table.PERSON_PROPERTY_VALUES):
        if row["team_id"] == team_id:
            pair = row["key"], row["value"]
            counts[pair] = counts.get(pair, 0) - row["persons"]
            if len(counts) >= STAGED_AT_ONCE:
                rebuild_stage(team_id=team_id, run=run, counts=counts)
                counts = {}
    rebuild_stage(team_id=team_id, run=run, counts=counts)


def _stage_persons(team_id: int, run: UUID, progress: RebuildProgress) -> Iterator[RebuildProgress]:
    counts: Counts = {}
    last = UUID(int=0)
    while page := execute(_PERSONS, [team_id, last, PAGE]):
        last = page[-1][0]
        for pair, count in property_value_counts((None, orjson.loads(text)) for _, text in page).items():
            counts[pair] = counts.get(pair, 0) + count
        if len(counts) >= STAGED_AT_ONCE:
            rebuild_stage(team_id=team_id, run=run, counts=counts)
            counts = {}
        progress.done += len(page)
        yield progress
    rebuild_stage(team_id=team_id, run=run, counts=counts)
