"""Housekeeping of the answers kept for repeated requests."""

from celery import shared_task

from core.idempotency import services


@shared_task(ignore_result=True)
def answers_prune() -> None:
    """Forget answers that are past their age."""
    services.answers_prune()
