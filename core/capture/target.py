"""Which project a command of the operator writes into."""

from core.persons.ingest import IngestTeam
from core.tenancy.models import Team


class TargetUnclearError(Exception):
    """No such project, or several and none was named."""


def target_team(*, project_id: int | None = None, token: str | None = None) -> IngestTeam:
    """Return the named project's team; without a name, the only one there is."""
    teams = Team.objects.order_by("id")
    if project_id is not None:
        teams = teams.filter(id=project_id)
    if token is not None:
        teams = teams.filter(api_token=token.strip())
    found = list(teams[:2])
    if not found and project_id is None and token is None:
        raise TargetUnclearError("there is no project yet: make one with `manage.py provision`")
    if not found:
        raise TargetUnclearError("no such project")
    if len(found) > 1:
        raise TargetUnclearError("there are several projects: say which one with --project ID or --token phc_...")
    team = found[0]
    return IngestTeam(
        id=team.id,
        person_processing_opt_out=team.person_processing_opt_out,
        anonymize_ips=team.anonymize_ips,
        ingested_event=team.ingested_event,
    )
