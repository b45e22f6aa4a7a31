"""Which plugins an organization sees, and may configure."""

from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from core.plugins.models import Plugin, PluginConfig


def visible_plugins(organization_id: UUID) -> QuerySet[Plugin]:
    """Return the plugins of the organization, global ones, and those that one of its projects has a config of.

    Neither a deleted config counts, nor what a deleted organization made global. Unordered.
    """
    configs = PluginConfig.unscoped.filter(
        plugin_id=OuterRef("id"),
        deleted=False,
        team__organization_id=organization_id,
        team__deleted_at__isnull=True,
    )
    everybodys = Q(is_global=True, organization__deleted_at__isnull=True)
    return Plugin.objects.filter(Q(organization_id=organization_id) | everybodys | Exists(configs))
