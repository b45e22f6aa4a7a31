"""The jobs of plugins: deliveries to destinations, jobs that the API started, and what is to be forgotten."""

from celery import shared_task


@shared_task(ignore_result=True)
def plugins_deliver() -> None:
    """Deliver what waits for a few seconds."""


@shared_task(ignore_result=True)
def plugin_jobs_run() -> None:
    """Run the jobs that are due."""


@shared_task(ignore_result=True)
def plugins_prune() -> None:
    """Forget dead letters, counts and finished jobs past their age."""
