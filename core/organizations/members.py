"""Members of an organization: their level, and their leaving. An organization always has an active owner.

Every change holds the organization's lock, and reads the caller's own level again under it: of two owners who
demote or remove each other, or leave at once, the second finds what the first has done.
"""

from collections.abc import Sequence
from typing import Any, Final, NoReturn
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from core.access.permissions import ORGANIZATION_LEVEL
from core.activity.changes import changes_between
from core.activity.services import activity_log
from core.api.errors import Forbidden, Invalid, NotFound
from core.organizations.services import Author, organization_lock
from core.roles import services as roles
from core.tenancy.models import Level, OrganizationMembership, User

OWN_LEVEL: Final = "You can't change your own access level."
ABOVE: Final = "You can only edit others with level lower or equal to you."
OWNERS_MAKE_OWNERS: Final = "You can only make another member owner if you're this organization's owner."
TOO_HIGH: Final = "You can only change access level of others to lower or equal to your current one."
LAST_OWNER: Final = "Cannot leave the organization as its owner!"
_SCOPE: Final = "OrganizationMembership"


def member_set_level(*, author: Author, user_uuid: UUID, level: int) -> None:
    """Give another member a level no higher than the author's own; several owners may be made.

    Raises NotFound, and Forbidden for oneself, for who is above the author and for too high a level.
    """
    with transaction.atomic():
        own, member = _lock(author, user_uuid)
        if level == member.level:
            return
        if member.pk == own.pk:
            raise Forbidden(OWN_LEVEL)
        if member.level > own.level:
            raise Forbidden(ABOVE)
        if level > own.level:
            raise Forbidden(OWNERS_MAKE_OWNERS if level == Level.OWNER else TOO_HIGH)
        changes = changes_between(_SCOPE, {"level": member.level}, {"level": level})
        member.level = level
        member.save(update_fields=["level", "updated_at"])
        _log(author, member, "updated", changes)


def member_remove(*, author: Author, user_uuid: UUID) -> None:
    """End a membership with all roles: one's own, or that of a member no higher than the author, who is an admin.

    Raises NotFound, Forbidden, and Invalid when the last active owner wants to leave.
    """
    with transaction.atomic():
        own, member = _lock(author, user_uuid)
        if member.pk == own.pk:
            _check_leaving(member)
        elif own.level < Level.ADMIN:
            raise Forbidden(ORGANIZATION_LEVEL)
        elif member.level > own.level:
            raise Forbidden(ABOVE)
        # Who is being put into a role at this moment holds the membership.
        OrganizationMembership.objects.select_for_update().get(pk=member.pk)
        roles.memberships_end(
            author=roles.Author(author.organization_id, author.user_id), organization_member_id=member.pk
        )
        users = User.objects.filter(pk=member.user_id)
        users.filter(current_organization=author.organization_id).update(current_organization=None)
        users.filter(current_team__organization=author.organization_id).update(current_team=None)
        _log(author, member, "deleted", None)
        member.delete()


def _lock(author: Author, user_uuid: UUID) -> tuple[OrganizationMembership, OrganizationMembership]:
    """Lock the organization and return the author's own membership and the one in question."""
    organization_lock(author.organization_id)
    meant = Q(user=author.user_id) | Q(user__uuid=user_uuid) | Q(pk=user_uuid)
    members = OrganizationMembership.objects.filter(meant, organization=author.organization_id, user__is_active=True)
    found = list(members.select_related("user"))
    own = next((member for member in found if member.user_id == author.user_id), None)
    if own is None:
        raise Forbidden
    member = next((member for member in found if member.user.uuid == user_uuid), None)
    if member is None:
        _refuse(found, user_uuid)
    return own, member


def _refuse(found: Sequence[OrganizationMembership], wanted: UUID) -> NoReturn:
    """Say that there is no such user; who gave the id of a membership is told which one is meant."""
    mistaken = next((member for member in found if member.pk == wanted), None)
    if mistaken is None:
        raise NotFound
    hint = f"This is the id of a membership. Members are named by the uuid of their user, here {mistaken.user.uuid}."
    raise NotFound(extra={"hint": hint})


def _check_leaving(member: OrganizationMembership) -> None:
    if member.level < Level.OWNER:
        return
    owners = OrganizationMembership.objects.filter(
        organization=member.organization_id, level=Level.OWNER, user__is_active=True
    )
    if not owners.exclude(pk=member.pk).exists():
        raise Invalid(LAST_OWNER)


def _log(author: Author, member: OrganizationMembership, activity: str, changes: list[dict[str, Any]] | None) -> None:
    activity_log(
        team_id=None,
        organization_id=author.organization_id,
        user_id=author.user_id,
        scope=_SCOPE,
        activity=activity,
        item_id=str(member.pk),
        detail={"name": member.user.email, "changes": changes},
    )
