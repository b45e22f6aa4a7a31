"""Limits that the operator gives to one project alone."""

from collections.abc import Mapping

from django.db import transaction

from core.access.throttles import rates_checked
from core.activity.changes import changes_between
from core.activity.services import activity_log
from core.tenancy.models import Team


@transaction.atomic
def rate_limits_set(*, team_id: int, rate_limits: Mapping[str, str] | None, user_id: int | None) -> None:
    """Replace a project's own limits by `{scope: "N/period"}`; None or nothing takes them away.

    Raises ValueError, saying why, for what is no limit, and Team.DoesNotExist.
    """
    wanted = rates_checked(rate_limits) if rate_limits else None
    team = Team.objects.select_for_update().get(pk=team_id)
    before = {"rate_limits": team.rate_limits}
    if wanted == team.rate_limits:
        return
    team.rate_limits = wanted
    team.save(update_fields=["rate_limits", "updated_at"])
    activity_log(
        team_id=team.pk,
        organization_id=team.organization_id,
        user_id=user_id,
        scope="Team",
        activity="updated",
        item_id=str(team.pk),
        detail={"name": team.name, "changes": changes_between("Team", before, {"rate_limits": wanted})},
    )
