"""Reads of plugins, in the shape of the API."""

from typing import Any
from uuid import UUID

from django.db.models import F, QuerySet

from core.api.params import MAX_INTEGER_ID
from core.plugins.models import Plugin
from core.plugins.shapes import SHOWN_COLUMNS, plugin_object
from core.plugins.visible import visible_plugins


def plugin_page(*, organization_id: UUID, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
    """Return the plugins of a page, oldest first, and how many the organization sees on all pages."""
    offset = min(offset, MAX_INTEGER_ID - limit)
    plugins = _shown(organization_id).order_by("id")[offset : offset + limit]
    return [_object(plugin) for plugin in plugins], visible_plugins(organization_id).count()


def plugin_found(*, organization_id: UUID, plugin_id: int) -> dict[str, Any] | None:
    """Return one plugin that the organization sees, or None."""
    plugin = _shown(organization_id).filter(id=plugin_id).first()
    return None if plugin is None else _object(plugin)


def _shown(organization_id: UUID) -> QuerySet[Plugin]:
    return visible_plugins(organization_id).annotate(owner=F("organization__name")).only(*SHOWN_COLUMNS)


def _object(plugin: Plugin) -> dict[str, Any]:
    return plugin_object(plugin, plugin.owner)  # type: ignore[attr-defined]  # annotated above
