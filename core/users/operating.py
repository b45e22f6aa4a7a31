"""What operators of this server do to users, told in the activity log of every organization of the user."""

from collections.abc import Mapping
from typing import Any, Final

from core.activity.changes import changes_between
from core.activity.services import activity_log
from core.tenancy.models import OrganizationMembership, User

OPERATED_FIELDS: Final = ("email", "first_name", "last_name", "is_active", "is_staff", "is_superuser")
"""What an operator may change of a user; the password has an entry of its own."""


def is_operator(user: Any) -> bool:  # noqa: ANN401 anonymous users too
    """Tell whether a user operates this server: active, staff and superuser."""
    return bool(user.is_active and user.is_staff and user.is_superuser)


def operator_make(*, user: User) -> None:
    """Make a user an operator; who is one stays one."""
    if user.is_staff and user.is_superuser:
        return
    before = {"is_staff": user.is_staff, "is_superuser": user.is_superuser}
    user.is_staff = user.is_superuser = True
    user.save(update_fields=["is_staff", "is_superuser"])
    user_log(user=user, by=None, before=before)


def user_log(*, user: User, by: int | None, before: Mapping[str, Any]) -> None:
    """Tell what an operator made of a user; `before` holds the fields as they were, nothing for a new user."""
    after = {name: getattr(user, name) for name in (before or OPERATED_FIELDS)}
    _log(user, by, "updated" if before else "created", changes_between("User", before, after))


def password_log(*, user: User, by: int) -> None:
    """Tell that a user has another password; never which."""
    change = {"type": "User", "action": "changed", "field": "password", "before": None, "after": None}
    _log(user, by, "updated", [change])


def _log(user: User, by: int | None, activity: str, changes: list[dict[str, Any]]) -> None:
    """Write one entry per organization; a user without any is known to Django's own log of the admin alone."""
    memberships = OrganizationMembership.objects.filter(user=user).order_by("organization_id")
    for organization_id in memberships.values_list("organization_id", flat=True):
        activity_log(
            team_id=None,
            organization_id=organization_id,
            user_id=by,
            scope="User",
            activity=activity,
            item_id=str(user.pk),
            detail={"name": user.email, "changes": changes},
        )
