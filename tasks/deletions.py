"""The deletion job by the clock: short turns, since a task may not outlast its time limit and others wait for a slot.

A run remembers its steps in Postgres, and ClickHouse goes on with a mutation on its own. So a run takes as many
turns, and hours, as it needs; a worker that is killed loses one turn.
"""

import structlog
from celery import shared_task

from core.persons import erasing

log = structlog.get_logger(__name__)

TURN_SECONDS = 240.0


@shared_task(ignore_result=True)
def deletions_run() -> None:
    """Begin a run over all requests that wait."""
    _turn(begin=True)


@shared_task(ignore_result=True)
def deletions_continue() -> None:
    """Go on with a run that has not come to its end; usually there is none."""
    _turn(begin=False)


def _turn(*, begin: bool) -> None:
    try:
        results = erasing.deletions_run(seconds=TURN_SECONDS, begin=begin)
    except erasing.BusyError:
        log.info("deletion_run_busy")
    except erasing.OutOfTimeError:
        log.info("deletion_run_goes_on_later")
    except erasing.DeletionStoppedError as error:
        log.warning("deletion_run_stopped", reason=str(error))
    else:
        for result in results:
            log.info("deletion_run_done", run=str(result.id), requests=result.requests, verified=result.verified)
