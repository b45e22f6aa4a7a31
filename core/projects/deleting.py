"""Deletion of projects: nobody sees or writes them any more, and the deletion job is asked to erase their data."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from django.db import transaction

from core.activity.services import activities_log_of_teams
from core.api.errors import NotFound
from core.deletions.services import projects_request
from core.tenancy.models import new_project_token
from core.tenancy.statements import execute

# Waits for every transaction that holds the team (core.tenancy.holding), and lets none come after it.
_LOCK: Final = """
SELECT id, name FROM core_team
WHERE organization_id = %s AND id = ANY(%s) AND deleted_at IS NULL ORDER BY id FOR UPDATE
"""
# Capture knows a project by its token alone, so the old one must mean nothing from this moment on.
_MARK: Final = """
UPDATE core_team SET deleted_at = clock_timestamp(), api_token = new.token
FROM unnest(%s::bigint[], %s::text[]) AS new(id, token) WHERE core_team.id = new.id
"""
_LEAVE: Final = """
UPDATE core_user SET current_team_id = NULL
WHERE id IN (SELECT id FROM core_user WHERE current_team_id = ANY(%s) ORDER BY id FOR NO KEY UPDATE)
"""


def projects_delete(*, organization_id: UUID, team_ids: Sequence[int], user_id: int | None) -> None:
    """Delete projects of one organization; their data is erased by the deletion job, which writes a receipt for each.

    From the commit on every answer is as if they had never been, and their tokens are refused. Those that are
    deleted already are left alone; raises NotFound when all that are named are.
    """
    with transaction.atomic():
        teams = execute(_LOCK, [organization_id, list(team_ids)])
        if not teams:
            if team_ids:
                raise NotFound
            return
        ids = [team_id for team_id, _ in teams]
        execute(_MARK, [ids, [new_project_token() for _ in ids]])
        execute(_LEAVE, [ids])
        projects_request(team_ids=ids, user_id=user_id)
        for scope in ("Team", "Project"):
            activities_log_of_teams(
                organization_id=organization_id,
                user_id=user_id,
                scope=scope,
                activity="deleted",
                items=[(team_id, str(team_id), {"name": name, "changes": None}) for team_id, name in teams],
            )
