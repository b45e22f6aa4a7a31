"""The frame of commands that work on each project in turn."""

import sys
from abc import abstractmethod
from argparse import ArgumentParser
from collections.abc import Iterator

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from core.tenancy.holding import TeamGoneError
from core.tenancy.models import Team
from events.errors import EventStoreError


class ProjectsCommand(BaseCommand):
    """Works on all projects, or those of --project, with a bar and a line for each."""

    on_store_error: str
    """What is left to do when ClickHouse fails on the way."""

    @abstractmethod
    def steps(self, team_id: int) -> Iterator[tuple[int, int, str]]:
        """Work on a project; yield how much is done, of how much, and what came of it so far, for a line."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare --project."""
        parser.add_argument("--project", type=int, action="append", metavar="ID", help="only this project")

    def handle(self, *_args: object, project: list[int] | None, verbosity: int, **_options: object) -> None:
        """Run, project by project."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        bars = Progress(*columns, console=Console(file=sys.stderr), disable=not (verbosity and sys.stderr.isatty()))
        try:
            with bars:
                for team_id in _projects(project):
                    try:
                        told = self._told_of(team_id, bars)
                    except TeamGoneError:
                        self.stdout.write(f"project {team_id}: deleted meanwhile")
                        continue
                    if verbosity and told:
                        self.stdout.write(f"project {team_id}: {told}")
        except EventStoreError as error:
            message = f"{error} {self.on_store_error}"
            raise CommandError(message) from error

    def _told_of(self, team_id: int, bars: Progress) -> str:
        last = ""
        task = bars.add_task(f"project {team_id}", total=None)
        for done, total, told in self.steps(team_id):
            bars.update(task, total=total, completed=done)
            last = told
        return last


def _projects(wanted: list[int] | None) -> list[int]:
    teams = Team.objects.order_by("id")
    found = list((teams.filter(id__in=wanted) if wanted else teams).values_list("id", flat=True))
    if wanted and (missing := set(wanted) - set(found)):
        message = f"no such project: {', '.join(map(str, sorted(missing)))}"
        raise CommandError(message)
    return found
