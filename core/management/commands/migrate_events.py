"""`manage.py migrate_events`: bring the ClickHouse tables up to date."""

from argparse import ArgumentParser

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from events.errors import EventStoreError
from events.migrate import MigrationRefused, migrate
from events.recordings import retention_apply


class Command(BaseCommand):
    """Apply, or with --plan only print, the ClickHouse migrations that have not run yet."""

    help = "Applies the ClickHouse migrations that have not run yet."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare --plan and --to."""
        parser.add_argument("--plan", action="store_true", help="print the SQL that would run and change nothing")
        parser.add_argument("--to", metavar="NNNN", help="stop after this migration")

    def handle(self, *_args: object, plan: bool, to: str | None, verbosity: int, **_options: object) -> None:
        """Run."""
        count = 0
        try:
            for migration, statements in migrate(cluster=settings.CLICKHOUSE_CLUSTER, to=to, plan=plan):
                count += 1
                if plan:
                    self.stdout.write(f"-- {migration.id}\n" + ";\n\n".join(statements) + ";\n")
                elif verbosity:
                    self.stdout.write(f"Applying {migration.id}")
            changed = [] if plan or to else retention_apply(settings.RECORDINGS_RETENTION_DAYS)
        except (MigrationRefused, EventStoreError) as error:
            raise CommandError(str(error)) from error
        if changed and verbosity:
            days = settings.RECORDINGS_RETENTION_DAYS
            self.stdout.write(f"Recordings are kept {f'for {days} days' if days else 'until they are erased'}.")
        if not count and verbosity:
            self.stdout.write("ClickHouse is up to date.")
