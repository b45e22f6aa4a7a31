"""Plain functions that make rows with sensible defaults; everything can be said explicitly."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from core.access.models import PersonalAPIKey, hash_key_value, mask_key_value, new_key_value
from core.tenancy.models import Level, Organization, OrganizationMembership, Project, Team, User


def make_organization(**fields: Any) -> Organization:
    name = fields.pop("name", f"Organization {uuid4().hex[:8]}")
    return Organization.objects.create(name=name, slug=f"organization-{uuid4().hex[:12]}", **fields)


def make_team(organization: Organization | None = None, **fields: Any) -> Team:
    organization = organization or make_organization()
    name = fields.pop("name", "Shop")
    project = Project.objects.create(organization=organization, name=name)
    return Team.objects.create(id=project.id, project=project, organization=organization, name=name, **fields)


def make_user(
    organization: Organization | None = None,
    *,
    level: int = Level.OWNER,
    team: Team | None = None,
    password: str | None = None,
    **fields: Any,
) -> User:
    email = fields.pop("email", f"user-{uuid4().hex[:12]}@example.org")
    organization = organization or (team.organization if team else None)
    user = User.objects.create_user(email, password, current_organization=organization, current_team=team, **fields)
    if organization is not None:
        OrganizationMembership.objects.create(organization=organization, user=user, level=level)
    return user


def make_key(
    user: User,
    *,
    scopes: Sequence[str] | None = ("*",),
    scoped_teams: Sequence[int] | None = None,
    scoped_organizations: Sequence[str] | None = None,
    label: str = "test key",
) -> str:
    """Return the key's plain value."""
    value = new_key_value()
    PersonalAPIKey.objects.create(
        user=user,
        label=label,
        secure_value=hash_key_value(value),
        mask_value=mask_key_value(value),
        scopes=None if scopes is None else list(scopes),
        scoped_teams=None if scoped_teams is None else list(scoped_teams),
        scoped_organizations=None if scoped_organizations is None else list(scoped_organizations),
    )
    return value
