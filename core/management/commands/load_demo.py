"""`manage.py load_demo`: a believable product to try things on."""

from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError

from core.capture.demo import demo_load
from core.capture.importer import ImportStoppedError
from core.capture.progress import reporter_for
from core.capture.target import TargetUnclearError, target_team
from core.outbox.services import outbox_depth
from core.persons.ingest import MergeRaceError
from core.tenancy.holding import TeamGoneError
from events.errors import EventStoreError


class Command(BaseCommand):
    """Load the demo product into a project."""

    requires_system_checks = ()
    help = "Loads a made-up file sharing product: visitors, sign-ups, plans that change, companies, merges."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare how much of it, and where."""
        parser.add_argument("--persons", type=int, default=1000, help="customers to make (default 1000)")
        parser.add_argument("--days", type=int, default=30, help="days their story takes, ending now (default 30)")
        parser.add_argument("--seed", type=int, default=1, help="another seed makes other people (default 1)")
        parser.add_argument("--project", type=int, metavar="ID", help="needed when there are several projects")
        parser.add_argument("--token", metavar="phc_...", help="the project by its token")

    def handle(
        self,
        *_args: object,
        persons: int,
        days: int,
        seed: int,
        project: int | None,
        token: str | None,
        **_options: object,
    ) -> None:
        """Run."""
        if persons < 1 or days < 1:
            raise CommandError("--persons and --days must be at least 1")
        try:
            team = target_team(project_id=project, token=token)
        except TargetUnclearError as error:
            raise CommandError(str(error)) from error
        try:
            with reporter_for() as reporter:
                summary = demo_load(team=team, persons=persons, days=days, seed=seed, reporter=reporter)
        except (ImportStoppedError, MergeRaceError, EventStoreError, TeamGoneError) as error:
            raise CommandError(str(error)) from error
        except (OperationalError, InterfaceError) as error:
            message = f"Postgres: {error}"
            raise CommandError(message) from error
        self.stdout.write(f"Demo: {summary}")
        if waiting := outbox_depth():
            self.stdout.write(f"{waiting} outbox entries wait for the worker that carries them into ClickHouse.")
