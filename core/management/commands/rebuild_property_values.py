"""`manage.py rebuild_property_values`: count the values of person properties anew, while events come in."""

from collections.abc import Iterator

from django.core.management.base import CommandError

from core.management.projects import ProjectsCommand
from core.persons.values_rebuild import RebuildRunningError, property_values_rebuild


class Command(ProjectsCommand):
    """Needed once for persons that are older than the summary, and after rows of it were refused or lost."""

    help = "Counts the values of person properties anew and corrects the summary behind persons/values/."
    on_store_error = "The summary may be half corrected: run the command again."

    def steps(self, team_id: int) -> Iterator[tuple[int, int, str]]:
        """Count the persons of a project."""
        try:
            for progress in property_values_rebuild(team_id=team_id):
                told = f"{progress.done:,} persons counted, {progress.corrected or 0:,} values corrected"
                yield progress.done, progress.persons, told
        except RebuildRunningError as error:
            message = "another rebuild is running"
            raise CommandError(message) from error
