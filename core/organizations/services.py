"""Organizations: made with an owner and a first project, changed, deleted with everything in them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.text import slugify

from core.activity.changes import changes_between
from core.activity.services import activity_log
from core.api.errors import Invalid, NotFound
from core.projects.deleting import projects_delete
from core.projects.services import project_create
from core.roles.models import Role
from core.tenancy.models import Level, Organization, OrganizationMembership, Team, random_token
from core.tenancy.statements import execute

NO_ROLE: Final = "Role does not exist."
SETTINGS: Final = (
    "name",
    "enforce_2fa",
    "members_can_invite",
    "members_can_use_personal_api_keys",
    "allow_publicly_shared_resources",
    "is_member_join_email_enabled",
    "default_role_id",
)
"""What admins may change."""

_MAX_SLUG: Final = 48
_SUFFIX_BYTES: Final = 6
_SLUG_CONSTRAINT: Final = "core_organization_slug"
_LEAVE: Final = """
UPDATE core_user SET current_organization_id = NULL, current_team_id = NULL
WHERE id IN (SELECT id FROM core_user WHERE current_organization_id = %s ORDER BY id FOR NO KEY UPDATE)
"""


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes an organization."""

    organization_id: UUID
    user_id: int


def organization_create(*, name: str, **settings: Any) -> Organization:  # noqa: ANN401 model fields
    """Make an organization without members, with a slug that nobody has, whoever else makes one meanwhile."""
    base = slugify(name)[:_MAX_SLUG].rstrip("-_") or "organization"
    slug = base
    while True:
        try:
            with transaction.atomic():
                return Organization.objects.create(name=name, slug=slug, **settings)
        except IntegrityError as error:
            constraint = getattr(getattr(error.__cause__, "diag", None), "constraint_name", None) or ""
            if not constraint.startswith(_SLUG_CONSTRAINT):
                raise
        suffix = random_token("-", _SUFFIX_BYTES).lower()
        slug = base[: _MAX_SLUG - len(suffix)] + suffix


def organization_start(*, user_id: int, fields: Mapping[str, Any]) -> UUID:
    """Make an organization owned by this user, with a first project; both become the user's current ones.

    Raises Invalid for a default role: there is none yet.
    """
    if fields.get("default_role_id") is not None:
        raise Invalid(NO_ROLE, attr="default_role_id")
    with transaction.atomic():
        organization = organization_create(**{name: fields[name] for name in SETTINGS if name in fields})
        OrganizationMembership.objects.create(organization=organization, user_id=user_id, level=Level.OWNER)
        _log(Author(organization.pk, user_id), organization.name, "created", None)
        project_create(organization_id=organization.pk, user_id=user_id)
    return organization.pk


def organization_lock(organization_id: UUID, *, no_key: bool = True) -> Organization:
    """Lock an organization, before its roles, projects and memberships; raises NotFound when it was deleted.

    Who changes or counts memberships holds this lock, so that owners do not leave at the same time. Without
    `no_key` it also waits for everyone who is adding something to the organization.
    """
    organization = Organization.objects.select_for_update(no_key=no_key).filter(pk=organization_id).first()
    if organization is None:
        message = "Organization not found."
        raise NotFound(message)
    return organization


def organization_update(*, author: Author, fields: Mapping[str, Any]) -> None:
    """Change the given settings; raises Invalid for a default role of another organization."""
    with transaction.atomic():
        organization = organization_lock(author.organization_id)
        role_id = fields.get("default_role_id")
        if role_id is not None and not Role.objects.filter(pk=role_id, organization=organization).exists():
            raise Invalid(NO_ROLE, attr="default_role_id")
        before = _logged({name: getattr(organization, name) for name in SETTINGS})
        changes = changes_between("Organization", before, _logged(fields))
        if not changes:
            return
        changed = [change["field"] for change in changes]
        for name in changed:
            setattr(organization, name, fields[name])
        organization.save(update_fields=[*changed, "updated_at"])
        _log(author, organization.name, "updated", changes)


def organization_delete(*, author: Author) -> None:
    """Delete an organization and its projects, whose data the deletion job erases; nobody is a member any more."""
    with transaction.atomic():
        organization = organization_lock(author.organization_id, no_key=False)
        team_ids = list(Team.objects.filter(organization=organization).values_list("pk", flat=True))
        projects_delete(organization_id=organization.pk, team_ids=team_ids, user_id=author.user_id)
        organization.deleted_at = timezone.now()
        organization.save(update_fields=["deleted_at"])
        execute(_LEAVE, [organization.pk])
        OrganizationMembership.objects.filter(organization=organization).delete()
        _log(author, organization.name, "deleted", None)


def _logged(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings among `fields` as the activity log holds them."""
    return {
        name: str(fields[name]) if isinstance(fields[name], UUID) else fields[name]
        for name in SETTINGS
        if name in fields
    }


def _log(author: Author, name: str, activity: str, changes: list[dict[str, Any]] | None) -> None:
    activity_log(
        team_id=None,
        organization_id=author.organization_id,
        user_id=author.user_id,
        scope="Organization",
        activity=activity,
        item_id=str(author.organization_id),
        detail={"name": name, "changes": changes},
    )
