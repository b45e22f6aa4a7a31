"""The job that keeps the members of cohorts up to date."""

from celery import shared_task

from core.cohorts.calculation import cohorts_calculate as calculate
from core.cohorts.nudges import cohorts_nudge, cohorts_nudge_forget

PORTION_SECONDS = 5.0


@shared_task(ignore_result=True)
def cohorts_calculate() -> None:
    """Calculate the cohorts that are due for a few seconds, then queue behind the other jobs for the rest."""
    cohorts_nudge_forget()
    if calculate(seconds=PORTION_SECONDS):
        cohorts_nudge()
