"""`manage.py run_deletions`: carry out all requests to erase events, recordings and projects now."""

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError
from django.db.models import QuerySet

from core.deletions.models import DeletionRequest
from core.management.deletion_progress import reporter_for
from core.persons import erasing
from events.errors import EventStoreError

SHOWN_REQUESTS = 20
BUSY = 3
INTERRUPTED = 130


class Command(BaseCommand):
    """Run the deletion job."""

    requires_system_checks = ()
    help = (
        "Erases for good what waiting deletion requests ask for, whole projects among it, verifies it by counting, "
        "and writes receipts; those of projects are printed. "
        "A run that was killed goes on where it stopped. "
        "Exit codes: 0 all requests are verified, 1 some are not, 3 another run is at work."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--dry-run", action="store_true", help="count what would go, and change nothing")

    def handle(self, *_args: object, dry_run: bool, **_options: object) -> None:
        """Run."""
        try:
            with reporter_for() as reporter:
                if dry_run:
                    requests, found = erasing.deletions_count(reporter)
                else:
                    results = erasing.deletions_run(reporter=reporter)
        except erasing.BusyError as error:
            message = "another run is at work; it takes all requests that waited when it began"
            raise CommandError(message, returncode=BUSY) from error
        except (erasing.DeletionStoppedError, EventStoreError) as error:
            message = f"{error} Nothing is lost: run the same command again to go on where it stopped."
            raise CommandError(message) from error
        except KeyboardInterrupt:
            message = "interrupted; run the same command again to go on where it stopped"
            raise CommandError(message, returncode=INTERRUPTED) from None
        if dry_run:
            waiting = DeletionRequest.unscoped.filter(kind=DeletionRequest.Kind.PROJECT, verified_at=None)
            for request in waiting.order_by("id"):
                self.stdout.write(f"waiting: {_named(request)}, deleted at {request.requested_at:%Y-%m-%d %H:%M} UTC")
            self._table(f"waiting requests: {requests:,}; a run would erase", found)
        else:
            self._tell(results)

    def _tell(self, results: list[erasing.RunResult]) -> None:
        if not results:
            self.stdout.write("No requests wait.")
        for result in results:
            self._table(f"run {result.id}: {result.verified:,} of {result.requests:,} requests verified", result.found)
            self._projects(result)
            self._requests(result)
        if missing := sum(result.requests - result.verified for result in results):
            message = (
                f"{missing:,} requests are not verified and wait for the next run: "
                "rows were still there (see last_error), or they were asked for again while it ran"
            )
            raise CommandError(message)

    def _table(self, title: str, found: Mapping[str, int]) -> None:
        self.stdout.write(title)
        for place, count in sorted(found.items()):
            self.stdout.write(f"  {place:<32}{count:>14,} rows")
        if not found:
            self.stdout.write("  no rows")

    def _projects(self, result: erasing.RunResult) -> None:
        """Print the receipt of every project of a run: when its organization is deleted, nobody else can read it."""
        for request in _verified(result).filter(kind=DeletionRequest.Kind.PROJECT):
            self.stdout.write(f"  {_named(request)} is erased; receipt:")
            self.stdout.write(f"  {orjson.dumps(request.receipt).decode()}")

    def _requests(self, result: erasing.RunResult) -> None:
        """Print the first requests of a run for persons, each with what was removed for it."""
        verified = _verified(result).exclude(kind=DeletionRequest.Kind.PROJECT)
        for request in verified[:SHOWN_REQUESTS]:
            removed = {place: counts["removed"] for place, counts in _tables(request.receipt).items()}
            parts = ", ".join(f"{place} {count:,}" for place, count in removed.items() if count) or "nothing was there"
            self.stdout.write(f"  request {request.id}, {request.kind} of {request.person_uuid}: {parts}")
        if (more := verified.count() - SHOWN_REQUESTS) > 0:
            self.stdout.write(f"  ... and {more:,} more; deletion_status has every receipt")


def _verified(result: erasing.RunResult) -> QuerySet[DeletionRequest]:
    return DeletionRequest.unscoped.filter(run_id=result.id, verified_at__isnull=False).order_by("id")


def _named(request: DeletionRequest) -> str:
    return f'project {request.team_id} "{request.project_name}" of organization {request.organization_id}'


def _tables(receipt: Any) -> Mapping[str, Mapping[str, int]]:  # noqa: ANN401 the column's JSON
    found: Mapping[str, Mapping[str, int]] = (receipt or {}).get("tables", {})
    return found
