"""The plugin object as PostHog answers it: by itself, and as `plugin_info` of a config."""

from typing import Any, Final

from core.plugins.models import Plugin

SHOWN_COLUMNS: Final = (
    "id", "plugin_type", "name", "description", "url", "icon", "config_schema", "tag", "latest_tag", "is_global",
    "organization_id", "capabilities", "metrics", "public_jobs",
)  # fmt: skip
"""The columns that `plugin_object` reads; the others may be megabytes."""


def plugin_object(plugin: Plugin, organization_name: str | None) -> dict[str, Any]:
    """Return the plugin object; the name of its organization is None for a plugin of the server itself."""
    return {
        "id": plugin.id,
        "plugin_type": plugin.plugin_type,
        "name": plugin.name,
        "description": plugin.description,
        # Nothing writes a query part there; what an operator put in by hand may still be a private token.
        "url": plugin.url.partition("?")[0] if plugin.url else None,
        "icon": plugin.icon,
        "config_schema": plugin.config_schema,
        "tag": plugin.tag,
        "latest_tag": plugin.latest_tag,
        "is_global": plugin.is_global,
        "organization_id": None if plugin.organization_id is None else str(plugin.organization_id),
        "organization_name": organization_name,
        "capabilities": plugin.capabilities,
        "metrics": plugin.metrics,
        "public_jobs": plugin.public_jobs,
        "hog_function_migration_available": False,
    }
