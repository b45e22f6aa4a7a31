"""The deletion job: takes all waiting requests of all teams, erases, counts again, writes receipts.

A run is a list of steps; each may run twice. Until all rows are found nothing is erased, so a run that stopped
before is dropped and begun anew; one that stopped later goes on after its last completed step. Which rows can be
meant was decided when the request was committed: events that were accepted before it are in the outbox or in
ClickHouse by then, so after one drain nothing that a request means can still arrive.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

import structlog
from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connections, transaction

from core.deletions import deliveries, projects, queue, remains
from core.deletions.project_rows import organizations_sweep
from core.deletions.queue import Remaining, Run
from core.deletions.work import (
    LONGEST_WAIT_SECONDS,
    Blobs,
    BusyError,
    DeletionStoppedError,
    OutOfTimeError,
    Reporter,
    Silent,
    Work,
)
from core.outbox.services import batch_begin, batch_finish
from core.tenancy.statements import execute
from events import deletion_teams, deletions
from events.deletion_places import DELIVERIES, KEPT, PLACES, VALUES, VALUES_ROW
from events.deletions import MutationFailed
from events.errors import EventStoreError
from events.rows import Table

__all__ = [
    "Blobs",
    "BusyError",
    "DeletionStoppedError",
    "OutOfTimeError",
    "Reporter",
    "RunResult",
    "Silent",
    "deletions_count",
    "deletions_run",
]

log = structlog.get_logger(__name__)

LOCK_NAME: Final = "deletion_run"
MOST_FAILED: Final = 100_000
STILL_THERE: Final = "Rows were still there when they were counted again."


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended: requests it took and verified, rows found by place."""

    id: UUID
    requests: int
    verified: int
    found: dict[str, int]


def drain(work: Work) -> None:
    """Carry everything that was committed before now into ClickHouse."""
    if projects.projects_waiting(work.run.id):
        _wait_for_rebuild(work)
    newest = execute("SELECT coalesce(max(id), 0) FROM core_outboxrows")[0][0]
    waiting = "SELECT EXISTS (SELECT FROM core_outboxrows WHERE id <= %s AND refused_at IS NULL)"
    while execute(waiting, [newest])[0][0]:
        if (batch := batch_begin()) is not None:
            batch_finish(batch.id)


def _wait_for_rebuild(work: Work) -> None:
    """Wait for a rebuild of property values that is at work; who begins one later sees which projects are deleted."""
    waiting = False
    while True:
        with transaction.atomic():
            if execute("SELECT pg_try_advisory_xact_lock(hashtext('property_values_rebuild'))")[0][0]:
                return
        if not waiting:
            work.reporter.begin("waiting for rebuild_property_values", 1)
            waiting = True
        work.go_on()
        time.sleep(LONGEST_WAIT_SECONDS)


def collect(work: Work) -> None:
    """Write the keys of the run's requests down in ClickHouse."""
    projects.projects_collect(work.run.id, projects.projects_waiting(work.run.id))
    work.reporter.begin("collecting keys", work.run.requests)
    done = 0
    for number, chunk in enumerate(queue.key_chunks(work.run.id)):
        deletions.keys_add(work.run.id, chunk.keys, chunk.persons, token=f"{work.run.id}-{number}")
        done = min(done + queue.CHUNK, work.run.requests)
        work.reporter.moved(done)


def find(work: Work) -> None:
    """Write down every row that the keys match: from here on it is settled what goes."""
    _find(work.run, work.reporter)
    if teams := projects.projects_waiting(work.run.id):
        for place, counts in _counts(work.run, teams, work.reporter, "counting projects", None):
            projects.found_write(teams, place, counts)


def _find(run: Run, reporter: Reporter) -> None:
    reporter.begin("finding rows", len(PLACES))
    for number, place in enumerate(PLACES):
        deletions.targets_find(run.id, place)
        reporter.moved(number + 1)
    run.found = deletions.targets_total(run.id)


def _counts(
    run: Run, teams: projects.Teams, reporter: Reporter, label: str, blobs: Blobs | None
) -> Iterator[tuple[str, dict[int, int]]]:
    """Yield the rows of whole projects by place and team, moving the reporter along."""
    reporter.begin(label, len(projects.PLACES))
    objects_of = None if blobs is None else blobs.blobs_of_team
    for number, counted in enumerate(projects.projects_count(run.id, teams, objects_of)):
        yield counted
        reporter.moved(number + 1)


def erase(work: Work) -> None:
    """Delete the objects of recordings, then the rows of every table, each table by one statement.

    Whole projects take one statement per table as well, however many they are.
    """
    if work.run.found.get(Table.SESSION_RECORDINGS):
        work.blobs.blobs_delete(deletions.blob_keys(work.run.id))
        if left := work.blobs.blobs_present(deletions.blob_keys(work.run.id)):
            message = f"{len(left)} objects of recordings are still there after their deletion."
            raise DeletionStoppedError(message)
    for place in PLACES:
        if count := work.run.found.get(place.table, 0):
            deletions.rows_delete(work.run.id, place.table, row=place.row, among=place.among, count=count)
    if teams := projects.projects_waiting(work.run.id):
        _erase_objects(work, teams)
        for table in deletion_teams.TEAM_TABLES:
            if deletion_teams.team_rows(work.run.id, table):
                deletion_teams.team_rows_delete(work.run.id, table)
    work.wait_for_mutations("erasing rows")


def _erase_objects(work: Work, teams: projects.Teams) -> None:
    """Delete every object of the projects, also those that a failed request left."""
    for _ in projects.objects_erase(teams, work.blobs.blobs_of_team, work.blobs.blobs_delete):
        work.go_on()
    # Where no bucket is named any more, objects that rows still point at are out of reach.
    if (key := next(deletion_teams.team_blob_keys(work.run.id), None)) and work.blobs.blobs_present([key]):
        message = "Objects of recordings are still there after their deletion."
        raise DeletionStoppedError(message)


def erase_values(work: Work) -> None:
    """Delete values that no person has any more from the summary of values.

    Between finding them and the start of the mutation nothing is inserted, because no drain can begin a batch; what
    comes later lies in new parts, which the mutation leaves alone.
    """
    attempt = Run(uuid4(), work.run.started_at, work.run.step, 0)
    with transaction.atomic():
        execute("SELECT pg_advisory_xact_lock(hashtext('outbox_drain'))")
        for (batch_id,) in execute("SELECT DISTINCT batch_id FROM core_outboxrows WHERE batch_id IS NOT NULL"):
            batch_finish(batch_id)
        count = deletions.empty_values_find(work.run.id, attempt.id)
        if count:
            deletions.rows_delete(attempt.id, VALUES, row=VALUES_ROW, count=count)
    work.run.found[VALUES] = work.run.found.get(VALUES, 0) + count
    Work(attempt, work.blobs, work.reporter, work.deadline, work.alive).wait_for_mutations("erasing unused values")
    deletions.run_forget(attempt.id)


def erase_remains(work: Work) -> None:
    """Take the persons out of what Postgres keeps."""
    remains.refused_rows_redact(work.run.id)
    remains.activity_redact(work.run.id)
    remains.answers_forget(work.run.id)
    if count := deliveries.deliveries_erase(work.run.id):
        work.run.found[DELIVERIES] = work.run.found.get(DELIVERIES, 0) + count


def erase_projects(work: Work) -> None:
    """Remove all that Postgres keeps of whole projects, some thousand rows at a time, but not yet the projects."""
    if not (teams := projects.projects_waiting(work.run.id)):
        return
    found = projects.found_total(work.run.id)
    done, total = 0, sum(count for place, count in found.items() if place.startswith("postgres."))
    work.reporter.begin("erasing projects", total)
    for count in projects.rows_erase(teams):
        done += count
        work.reporter.moved(min(done, total))
        work.go_on()
    for place, count in found.items():
        work.run.found[place] = work.run.found.get(place, 0) + count


def verify(work: Work) -> None:
    """Count again, and write the receipts of all requests of which nothing remains."""
    _verify_persons(work)
    if teams := projects.projects_waiting(work.run.id):
        left: dict[int, dict[str, int]] = {}
        for place, counts in _counts(work.run, teams, work.reporter, "verifying projects", work.blobs):
            for team_id, count in counts.items():
                left.setdefault(team_id, {})[place] = count
            work.go_on()
        projects.outcomes_write(work.run, teams, left, error=STILL_THERE)


def _verify_persons(work: Work) -> None:
    left = Remaining()
    work.reporter.begin("verifying", len(PLACES))
    for number, place in enumerate(PLACES):
        left.add(place.table, deletions.remaining(work.run.id, place, most=MOST_FAILED), most=MOST_FAILED)
        work.reporter.moved(number + 1)
    left.add(DELIVERIES, deliveries.deliveries_remaining(work.run.id, most=MOST_FAILED), most=MOST_FAILED)

    def found_of(first: int, last: int) -> dict[int, dict[str, int]]:
        return deletions.targets_by_request(work.run.id, first=first, last=last)

    queue.outcomes_write(work.run, found_of=found_of, remaining=left, error=STILL_THERE)


def clean(work: Work) -> None:
    """Forget the keys, organizations that were deleted with all their projects, and requests with old receipts."""
    deletions.run_forget(work.run.id)
    _forget_old()


def _forget_old() -> None:
    organizations_sweep()
    queue.requests_prune()


type Step = Callable[[Work], None]

STEPS: tuple[Step, ...] = (drain, collect, find, erase, erase_values, erase_remains, erase_projects, verify, clean)
SETTLED: Final = find.__name__
"""The step after which a run is never begun anew."""


def deletions_run(
    *, blobs: Blobs, reporter: Reporter | None = None, seconds: float | None = None, begin: bool = True
) -> list[RunResult]:
    """Finish the run that was left unfinished, if any, and carry out all requests that wait; return the runs made.

    With `begin` false nothing happens unless a run was left unfinished. Raises BusyError when another process is at it,
    OutOfTimeError when `seconds` are over, DeletionStoppedError when a store fails; in every case what is left to
    do is done by the next call.
    """
    if not begin and queue.run_unfinished() is None and not _others_left():
        return []
    deadline = time.monotonic() + seconds if seconds is not None else float("inf")
    results: list[RunResult] = []
    with only_one() as alive:
        _others_forget()
        while (run := queue.run_unfinished()) is not None:
            if _is_settled(run):
                results.append(_finish(Work(run, blobs, reporter or Silent(), deadline, alive)))
                continue
            deletions.run_forget(run.id)
            queue.run_end(run.id, error=queue.ABANDONED)
            begin = True
        if begin and (run := queue.run_begin()) is not None:
            results.append(_finish(Work(run, blobs, reporter or Silent(), deadline, alive)))
        elif begin:
            _forget_old()
    return results


def _others_left() -> bool:
    """Tell whether a killed run or count left keys behind that nobody goes on with, as far as ClickHouse says."""
    with suppress(EventStoreError):
        return bool(deletions.other_runs(but=None))
    return False


def _others_forget() -> None:
    """Remove what killed runs and counts left, now or next time; the caller holds the lock, so none is at work."""
    unfinished = queue.run_unfinished()
    with suppress(EventStoreError):
        deletions.other_runs_forget(but=None if unfinished is None else unfinished.id)


def deletions_count(reporter: Reporter | None = None) -> tuple[int, dict[str, int]]:
    """Return how many requests wait and how many rows a run would erase now, by place; changes no data.

    What waits in the outbox is not counted, nor are objects of projects in S3. Raises BusyError when a run is at
    work, and EventStoreError when ClickHouse fails. What a killed count wrote down is removed by whoever comes next.
    """
    trial = Run(uuid4(), None, "", queue.requests_waiting())  # type: ignore[arg-type]  # never stored
    with only_one():
        _others_forget()
        try:
            for number, chunk in enumerate(queue.key_chunks(None)):
                deletions.keys_add(trial.id, chunk.keys, chunk.persons, token=f"{trial.id}-{number}")
            _find(trial, reporter or Silent())
            if waiting := deliveries.deliveries_count(None):
                trial.found[DELIVERIES] = waiting
            if teams := projects.projects_waiting(None):
                projects.projects_collect(trial.id, teams)
                for place, counts in _counts(trial, teams, reporter or Silent(), "counting projects", None):
                    if counts:
                        trial.found[place] = trial.found.get(place, 0) + sum(counts.values())
        finally:
            deletions.run_forget(trial.id)
    return trial.requests, {place: count for place, count in trial.found.items() if place != KEPT}


def _is_settled(run: Run) -> bool:
    """Tell whether it is written down what the run erases; before that it is dropped and begun anew."""
    names = [step.__name__ for step in STEPS]
    return run.step in names and names.index(run.step) >= names.index(SETTLED)


def _finish(work: Work) -> RunResult:
    """Do the steps that are left."""
    run = work.run
    names = [step.__name__ for step in STEPS]
    following = names.index(run.step) + 1 if run.step in names else 0
    try:
        for step in STEPS[following:]:
            if time.monotonic() > work.deadline:
                raise OutOfTimeError
            work.alive()
            step(work)
            queue.run_reached(run, step.__name__)
            log.debug("deletion_step_done", run=str(run.id), step=step.__name__)
    except (EventStoreError, MutationFailed, DeletionStoppedError) as error:
        queue.failure_note(run.id, str(error))
        raise DeletionStoppedError(str(error)) from error
    except (OperationalError, InterfaceError) as error:
        message = "PostgreSQL is not available right now."
        raise DeletionStoppedError(message) from error
    queue.run_end(run.id)
    verified = execute("SELECT verified FROM core_deletionrun WHERE id = %s", [run.id])[0][0]
    return RunResult(run.id, run.requests, verified, {k: v for k, v in run.found.items() if k != KEPT})


@contextmanager
def only_one() -> Iterator[Callable[[], None]]:
    """Hold the run's lock on a connection of its own; yield what raises when it is lost.

    The lock goes when the process does, so a killed run is followed at once.
    """
    connection = connections.create_connection(DEFAULT_DB_ALIAS)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(hashtext(%s))", [LOCK_NAME])
            if not cursor.fetchone()[0]:
                raise BusyError

        def alive() -> None:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")

        try:
            yield alive
        finally:
            # A connection that is lost has lost its lock too.
            with suppress(OperationalError, InterfaceError), connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(hashtext(%s))", [LOCK_NAME])
    finally:
        connection.close()
