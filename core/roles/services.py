"""Changes to roles and their members: each is logged in the organization's activity log.

Locks are taken in this order: organization, role, membership of the organization, membership of the role.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, LiteralString, NoReturn
from uuid import UUID

from django.db import IntegrityError, transaction

from core.activity.changes import changes_between
from core.activity.services import activities_log, activity_log
from core.api.errors import Invalid, NotFound
from core.roles.models import Role, RoleMembership
from core.tenancy.statements import execute

NAME_TAKEN: Final = "There is already a role with this name."
NO_ROLE: Final = "Role does not exist."
NO_USER: Final = "User does not exist."
IN_ROLE_ALREADY: Final = "User is already part of the role."
_LOGGED: Final = ("name", "feature_flags_access_level")
_UNIQUE: Final = {"role_name_unique": NAME_TAKEN, "role_membership_unique": IN_ROLE_ALREADY}

_ORGANIZATION: Final[LiteralString] = (
    "SELECT name, default_role_id FROM core_organization WHERE id = %s AND deleted_at IS NULL"
)
_HOLD_ROLE: Final = "SELECT name FROM core_role WHERE id = %s AND organization_id = %s FOR KEY SHARE"
_HOLD_MEMBER: Final = """
SELECT m.id, u.id, u.email FROM core_organizationmembership m JOIN core_user u ON u.id = m.user_id
WHERE m.organization_id = %s AND u.uuid = %s AND u.is_active FOR KEY SHARE OF m, u
"""
_USER_OF_MEMBERSHIP: Final = """
SELECT u.uuid FROM core_organizationmembership m JOIN core_user u ON u.id = m.user_id
WHERE m.organization_id = %s AND m.id = %s AND u.is_active
"""
_REMOVE_ONE: Final = """
DELETE FROM core_rolemembership s USING core_role r, core_user u
WHERE s.id = %s AND s.role_id = %s AND r.id = s.role_id AND r.organization_id = %s AND u.id = s.user_id
RETURNING r.name, u.email
"""
_REMOVE_MEMBER: Final = """
DELETE FROM core_rolemembership s USING core_role r, core_user u
WHERE s.organization_member_id = %s AND r.id = s.role_id AND u.id = s.user_id
RETURNING r.id, r.name, u.email
"""


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes roles, of which organization."""

    organization_id: UUID
    user_id: int | None


def role_create(*, author: Author, name: str) -> UUID:
    """Make a role without members and return its id; raises Invalid when the name is taken."""
    try:
        with transaction.atomic():
            _organization(author, " FOR KEY SHARE")
            role = Role.objects.create(organization_id=author.organization_id, name=name, created_by_id=author.user_id)
            _log(author, role.id, name, "created", None)
    except IntegrityError as error:
        _refuse_duplicate(error, attr="name")
    return role.id


def role_update(*, author: Author, role_id: UUID, fields: Mapping[str, Any]) -> None:
    """Change the given fields; raises NotFound, and Invalid when another role has the name."""
    try:
        with transaction.atomic():
            role = _role_lock(author, role_id, no_key=True)
            before = {name: getattr(role, name) for name in _LOGGED}
            after = {**before, **{name: value for name, value in fields.items() if name in _LOGGED}}
            if changes := changes_between("Role", before, after):
                for name, value in after.items():
                    setattr(role, name, value)
                role.save(update_fields=_LOGGED)
                _log(author, role_id, role.name, "updated", changes)
    except IntegrityError as error:
        _refuse_duplicate(error, attr="name")


def role_delete(*, author: Author, role_id: UUID) -> None:
    """Delete a role with its memberships; the organization has no default role then, if this was it.

    Raises NotFound.
    """
    with transaction.atomic():
        organization, default_role_id = _organization(author, " FOR NO KEY UPDATE")
        role = _role_lock(author, role_id, no_key=False)
        role.delete()
        _log(author, role_id, role.name, "deleted", None)
        if default_role_id == role_id:
            before, after = {"default_role_id": str(role_id)}, {"default_role_id": None}
            activity_log(
                team_id=None,
                organization_id=author.organization_id,
                user_id=author.user_id,
                scope="Organization",
                activity="updated",
                item_id=str(author.organization_id),
                detail={"name": organization, "changes": changes_between("Organization", before, after)},
            )


def membership_create(*, author: Author, role_id: UUID, user_uuid: UUID) -> UUID:
    """Put an active member of the organization into a role and return the membership's id.

    Raises Invalid: first for the role, then for the user, then for who is in it already.
    """
    try:
        with transaction.atomic():
            _organization(author, " FOR KEY SHARE")
            role = execute(_HOLD_ROLE, [role_id, author.organization_id])
            if not role:
                raise Invalid(NO_ROLE)
            found = execute(_HOLD_MEMBER, [author.organization_id, user_uuid])
            if not found:
                _refuse_user(author, user_uuid)
            ((member_id, user_id, email),) = found
            membership = RoleMembership.objects.create(
                role_id=role_id, user_id=user_id, organization_member_id=member_id
            )
            _log(author, role_id, role[0][0], "updated", _members_changed(None, email))
    except IntegrityError as error:
        _refuse_duplicate(error)
    return membership.id


def membership_delete(*, author: Author, role_id: UUID, membership_id: UUID) -> None:
    """Take a user out of a role; raises NotFound, also for a membership of another role."""
    with transaction.atomic():
        removed = execute(_REMOVE_ONE, [membership_id, role_id, author.organization_id])
        if not removed:
            raise NotFound
        ((name, email),) = removed
        _log(author, role_id, name, "updated", _members_changed(email, None))


def memberships_end(*, author: Author, organization_member_id: UUID) -> None:
    """Take a member who leaves the organization out of all its roles.

    The caller holds the membership of the organization FOR UPDATE in its transaction: who is being put into a
    role at this moment is either in it already, and taken out here, or refused.
    """
    with transaction.atomic():
        removed = execute(_REMOVE_MEMBER, [organization_member_id])
        activities_log(
            team_id=None,
            organization_id=author.organization_id,
            user_id=author.user_id,
            scope="Role",
            activity="updated",
            items=[
                (str(role_id), {"name": name, "changes": _members_changed(email, None)})
                for role_id, name, email in removed
            ],
        )


def _organization(author: Author, lock: LiteralString) -> tuple[str, UUID | None]:
    """Lock the organization and return its name and default role; its deletion waits even for a lock of the key."""
    rows = execute(_ORGANIZATION + lock, [author.organization_id])
    if not rows:
        raise NotFound("Organization not found.")
    ((name, default_role_id),) = rows
    return name, default_role_id


def _role_lock(author: Author, role_id: UUID, *, no_key: bool) -> Role:
    roles = Role.objects.select_for_update(no_key=no_key)
    role = roles.filter(id=role_id, organization_id=author.organization_id).first()
    if role is None:
        raise NotFound
    return role


def _refuse_user(author: Author, user_uuid: UUID) -> NoReturn:
    mistaken = execute(_USER_OF_MEMBERSHIP, [author.organization_id, user_uuid])
    if mistaken:
        hint = f"user_uuid is the id of a membership of the organization. The uuid of its user is {mistaken[0][0]}."
        raise Invalid(NO_USER, extra={"hint": hint})
    raise Invalid(NO_USER)


def _refuse_duplicate(error: IntegrityError, attr: str | None = None) -> NoReturn:
    """Say which rule a row broke; what is no rule of roles stays the error it was."""
    constraint = getattr(getattr(error.__cause__, "diag", None), "constraint_name", None)
    if constraint not in _UNIQUE:
        raise error
    raise Invalid(_UNIQUE[constraint], code="unique" if attr else None, attr=attr) from error


def _members_changed(before: str | None, after: str | None) -> list[dict[str, Any]]:
    return changes_between("Role", {"members": before}, {"members": after})


def _log(author: Author, role_id: UUID, name: str, activity: str, changes: list[dict[str, Any]] | None) -> None:
    activity_log(
        team_id=None,
        organization_id=author.organization_id,
        user_id=author.user_id,
        scope="Role",
        activity=activity,
        item_id=str(role_id),
        detail={"name": name, "changes": changes},
    )
