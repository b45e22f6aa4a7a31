"""`manage.py migrate_events`: bring the ClickHouse tables up to date."""

from argparse import ArgumentParser

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from events import plugin_logs, query_logs, recordings
from events.errors import EventStoreError
from events.migrate import MigrationRefused, migrate


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
            changed = [] if plan or to else _retention_apply()
        except (MigrationRefused, EventStoreError) as error:
            raise CommandError(str(error)) from error
        for what, days in changed if verbosity else ():
            self.stdout.write(f"{what} are kept {f'for {days} days' if days else 'until they are erased'}.")
        if not count and verbosity:
            self.stdout.write("ClickHouse is up to date.")


def _retention_apply() -> list[tuple[str, int]]:
    """Bring what ClickHouse keeps to what the settings say; return what changes, and the days."""
    rules = (
        ("Recordings", recordings.retention_apply, settings.RECORDINGS_RETENTION_DAYS),
        ("Logs of plugins", plugin_logs.retention_apply, settings.PLUGIN_LOG_RETENTION_DAYS),
        ("Logs of queries", query_logs.retention_apply, settings.QUERY_LOG_RETENTION_DAYS),
    )
    return [(what, days) for what, apply, days in rules if apply(days)]
