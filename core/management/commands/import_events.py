"""`manage.py import_events`: events from files, in the capture shape or as PostHog exports them."""

from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError

from core.capture.import_files import EventFile, FileRefusedError, Format
from core.capture.importer import DEFAULT_BATCH_SIZE, Importer, ImportOptions, ImportStoppedError
from core.capture.progress import Reporter, reporter_for
from core.capture.target import TargetUnclearError, target_team
from core.outbox.services import outbox_depth
from core.persons.ingest import MergeRaceError
from events.errors import EventStoreError

INTERRUPTED = 130


class Command(BaseCommand):
    """Import files of events into a project."""

    requires_system_checks = ()
    help = (
        "Imports JSONL or CSV files of events (plain or gzip, - for standard input) in their order. "
        "Events that are stored already are left out by uuid; a killed import goes on where it stopped."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare files, target and manner."""
        parser.add_argument("files", nargs="+", metavar="FILE")
        parser.add_argument("--project", type=int, metavar="ID", help="needed when there are several projects")
        parser.add_argument("--token", metavar="phc_...", help="the project by its token")
        parser.add_argument(
            "--batch-size", type=int, default=DEFAULT_BATCH_SIZE, metavar="N", help="events per transaction"
        )
        parser.add_argument("--format", choices=[form.value for form in Format], default=Format.AUTO.value)
        parser.add_argument("--strict", action="store_true", help="stop at the first refused row")
        parser.add_argument("--again", action="store_true", help="read files anew that were imported before")

    def handle(  # noqa: PLR0913 one argument per option
        self,
        *_args: object,
        files: list[str],
        project: int | None,
        token: str | None,
        batch_size: int,
        format: str,  # noqa: A002 the option's name
        strict: bool,
        again: bool,
        **_options: object,
    ) -> None:
        """Run."""
        if batch_size < 1:
            raise CommandError("--batch-size must be at least 1")
        try:
            team = target_team(project_id=project, token=token)
        except TargetUnclearError as error:
            raise CommandError(str(error)) from error
        with reporter_for() as reporter:
            importer = Importer(team, ImportOptions(batch_size=batch_size, strict=strict, again=again), reporter)
            problems = [problem for name in files if (problem := self._import(importer, name, format, reporter))]
        self.stdout.write(str(importer.summary))
        if waiting := outbox_depth():
            self.stdout.write(
                f"{waiting} outbox entries wait for the worker of `manage.py up`, which carries them into ClickHouse."
            )
        if problems:
            message = f"{len(problems)} of {len(files)} files could not be imported in full"
            raise CommandError(message)
        if importer.summary.refused:
            message = f"{importer.summary.refused:,} rows were refused; all others are stored"
            raise CommandError(message)

    def _import(self, importer: Importer, name: str, form: str, reporter: Reporter) -> str:
        """Import one file; return what stopped it, if anything did."""
        try:
            with EventFile.open(name, Format(form)) as file:
                importer.run(file)
        except (ImportStoppedError, FileRefusedError) as error:
            reporter.note(str(error))
            return str(error)
        except (MergeRaceError, EventStoreError, OperationalError, InterfaceError) as error:
            message = f"{name}: {error}; run the same command again to go on where it stopped"
            raise CommandError(message) from error
        except KeyboardInterrupt:
            message = f"{name}: interrupted; run the same command again to go on where it stopped"
            raise CommandError(message, returncode=INTERRUPTED) from None
        return ""
