"""Plain functions that make rows with sensible defaults; everything can be said explicitly."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from core.access.models import PersonalAPIKey, hash_key_value, mask_key_value, new_key_value
from core.encryption.services import encrypt_json
from core.plugins.models import Plugin, PluginConfig
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


def make_plugin(organization: Organization | None, **fields: Any) -> Plugin:
    """Without an organization, an inline plugin of the server."""
    kind: dict[str, Any] = (
        {"plugin_type": Plugin.Type.SOURCE}
        if organization
        else {"plugin_type": Plugin.Type.INLINE, "is_global": True, "is_preinstalled": True}
    )
    name = fields.pop("name", f"Plugin {uuid4().hex[:8]}")
    return Plugin.objects.create(organization=organization, name=name, **{**kind, **fields})


def make_plugin_config(
    team: Team, plugin: Plugin | None = None, *, config: Mapping[str, Any] | None = None, **fields: Any
) -> PluginConfig:
    plugin = plugin or make_plugin(team.organization)
    order = fields.pop("order", 1)
    sealed = encrypt_json(dict(config or {}))
    return PluginConfig.objects.for_team(team.id).create(
        team=team, plugin=plugin, order=order, encrypted_config=sealed, **fields
    )
