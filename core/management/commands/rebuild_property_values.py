"""`manage.py rebuild_property_values`: count the values of person properties anew, while events come in."""

import sys
from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from core.persons.values_rebuild import RebuildProgress, RebuildRunningError, property_values_rebuild
from core.tenancy.holding import TeamGoneError
from core.tenancy.models import Team
from events.errors import EventStoreError


class Command(BaseCommand):
    """Needed once for persons that are older than the summary, and after rows of it were refused or lost."""

    help = "Counts the values of person properties anew and corrects the summary behind persons/values/."

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
                        told = f"{done.done:,} persons counted, {done.corrected or 0:,} values corrected"
                        self.stdout.write(f"project {team_id}: {told}")
        except RebuildRunningError as error:
            message = "another rebuild is running"
            raise CommandError(message) from error
        except EventStoreError as error:
            message = f"{error} The summary may be half corrected: run the command again."
            raise CommandError(message) from error

    def _rebuild(self, team_id: int, bars: Progress) -> RebuildProgress:
        progress = RebuildProgress(0)
        task = bars.add_task(f"project {team_id}", total=None)
        for progress in property_values_rebuild(team_id=team_id):
            bars.update(task, total=progress.persons, completed=progress.done)
        return progress
