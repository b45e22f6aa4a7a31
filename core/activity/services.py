"""Writing the activity log; called by services inside the transaction of the change."""

from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

from core.activity.models import ActivityLog

_SHAPE: Final = {"changes": None, "trigger": None, "type": None, "name": None, "short_id": None}


def activity_log(  # noqa: PLR0913 one argument per column
    *,
    team_id: int | None,
    organization_id: UUID | None,
    user_id: int | None,
    scope: str,
    activity: str,
    item_id: str | None,
    detail: dict[str, Any],
) -> None:
    """Add one entry; `detail` holds `name` and `changes` in PostHog's shape (access_and_organizations.md f1).

    An `updated` entry whose changes are an empty list says nothing and is not written.
    """
    if activity == "updated" and detail.get("changes") == []:
        return
    ActivityLog.objects.create(
        team_id=team_id,
        organization_id=organization_id,
        user_id=user_id,
        is_system=user_id is None,
        scope=scope,
        activity=activity,
        item_id=item_id,
        detail={**_SHAPE, **detail},
    )


def activities_log(  # noqa: PLR0913 one argument per column
    *,
    team_id: int | None,
    organization_id: UUID | None,
    user_id: int | None,
    scope: str,
    activity: str,
    items: Iterable[tuple[str, dict[str, Any]]],
) -> None:
    """Add one entry per (item_id, detail) in one statement."""
    of_team = ((team_id, item_id, detail) for item_id, detail in items)
    activities_log_of_teams(
        organization_id=organization_id, user_id=user_id, scope=scope, activity=activity, items=of_team
    )


def activities_log_of_teams(
    *,
    organization_id: UUID | None,
    user_id: int | None,
    scope: str,
    activity: str,
    items: Iterable[tuple[int | None, str, dict[str, Any]]],
) -> None:
    """Add one entry per (team_id, item_id, detail) in one statement; the projects belong to the organization."""
    ActivityLog.objects.bulk_create(
        ActivityLog(
            team_id=team_id,
            organization_id=organization_id,
            user_id=user_id,
            is_system=user_id is None,
            scope=scope,
            activity=activity,
            item_id=item_id,
            detail={**_SHAPE, **detail},
        )
        for team_id, item_id, detail in items
    )
