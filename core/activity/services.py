"""Writing the activity log; called by services inside the transaction of the change."""

from typing import Any
from uuid import UUID

from core.activity.models import ActivityLog


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
    shape = {"changes": None, "trigger": None, "type": None, "name": None, "short_id": None}
    ActivityLog.objects.create(
        team_id=team_id,
        organization_id=organization_id,
        user_id=user_id,
        is_system=user_id is None,
        scope=scope,
        activity=activity,
        item_id=item_id,
        detail={**shape, **detail},
    )
