"""`manage.py rebuild_property_definitions`: define the properties that projects had before definitions were kept."""

from collections.abc import Iterator

from core.definitions.rebuilding import property_definitions_rebuild
from core.management.projects import ProjectsCommand


class Command(ProjectsCommand):
    """Needed once after an upgrade; run again it adds what is missing, and changes nothing that is there."""

    help = "Finds the properties of stored events, persons and groups, and the types that HogQL reads them as."
    on_store_error = "What was found so far is kept: run the command again."

    def steps(self, team_id: int) -> Iterator[tuple[int, int, str]]:
        """Look through what is stored of a project."""
        for progress in property_definitions_rebuild(team_id=team_id):
            yield progress.done, progress.total, f"{progress.added:,} property definitions added"
