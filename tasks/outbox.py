"""Jobs that carry committed rows from Postgres into ClickHouse."""

from celery import shared_task

from core.outbox import services as outbox
from core.persons import ingest
from events.errors import StoreUnavailable


@shared_task(autoretry_for=(), ignore_result=True)
def outbox_drain() -> None:
    """Empty the outbox; when ClickHouse is away the rows wait for the next run."""
    try:
        outbox.outbox_drain_paced()
    except StoreUnavailable:
        outbox.log.warning("outbox_drain_postponed", reason="ClickHouse is not reachable")


@shared_task(ignore_result=True)
def seen_events_prune() -> None:
    """Forget event uuids that are older than the promise to drop their repeats."""
    ingest.seen_events_prune()
