"""`manage.py rebuild_property_definitions`: define the properties that projects had before definitions were kept."""

import sys
from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from core.definitions.rebuilding import RebuildProgress, property_definitions_rebuild
from core.tenancy.holding import TeamGoneError
from core.tenancy.models import Team
from events.errors import EventStoreError


class Command(BaseCommand):
    """Needed once after an upgrade; run again it adds what is missing, and changes nothing that is there."""

    help = "Finds the properties of stored events, persons and groups, and the types that HogQL reads them as."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare --project."""
        parser.add_argument("--project", type=int, action="append", metavar="ID", help="only this project")

    def handle(self, *_args: object, project: list[int] | None, verbosity: int, **_options: object) -> None:
        """Run, project by project."""
        teams = Team.objects.order_by("id")
        if project:
            teams = teams.filter(id__in=project)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        bars = Progress(*columns, console=Console(file=sys.stderr), disable=not (verbosity and sys.stderr.isatty()))
        found = list(teams.values_list("id", flat=True))
        if project and (missing := set(project) - set(found)):
            message = f"no such project: {', '.join(map(str, sorted(missing)))}"
            raise CommandError(message)
        try:
            with bars:
                for team_id in found:
                    try:
                        done = self._rebuild(team_id, bars)
                    except TeamGoneError:
                        self.stdout.write(f"project {team_id}: deleted meanwhile")
                        continue
                    if verbosity:
                        self.stdout.write(f"project {team_id}: {done.added:,} property definitions added")
        except EventStoreError as error:
            message = f"{error} What was found so far is kept: run the command again."
            raise CommandError(message) from error

    def _rebuild(self, team_id: int, bars: Progress) -> RebuildProgress:
        progress = RebuildProgress(0)
        task = bars.add_task(f"project {team_id}", total=None)
        for progress in property_definitions_rebuild(team_id=team_id):
            bars.update(task, total=progress.total, completed=progress.done)
        return progress
