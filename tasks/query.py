"""Queries that run in the background."""

from celery import shared_task

from core.query.background import background_run


@shared_task(ignore_result=True)
def query_run(team_id: int, query_id: str) -> None:
    """Run one query of a project; its status says what to run, and gets the answer."""
    background_run(team_id, query_id)
