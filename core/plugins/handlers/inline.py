"""The plugins that handlers are: one row each, as every organization sees them."""

from typing import Any, Final

import orjson

from core.plugins.handlers.base import PluginHandler
from core.plugins.handlers.registry import INLINE, handlers
from core.tenancy.statements import execute

# Rows that say the same already stay untouched: many processes may do this at once, at every start.
_UPSERT: Final = """
INSERT INTO core_plugin AS plugin (
    plugin_type, is_global, is_preinstalled, is_stateless, name, description, url,
    config_schema, capabilities, metrics, public_jobs, created_at, updated_at)
SELECT 'inline', true, true, false, name, description, url, config_schema, capabilities, '{}', public_jobs,
       statement_timestamp(), statement_timestamp()
FROM jsonb_to_recordset(%s::jsonb)
    AS new(url text, name text, description text, config_schema jsonb, capabilities jsonb, public_jobs jsonb)
ORDER BY url
ON CONFLICT (url) WHERE organization_id IS NULL AND url IS NOT NULL
DO UPDATE SET
    plugin_type = 'inline', is_global = true, is_preinstalled = true,
    name = excluded.name, description = excluded.description, config_schema = excluded.config_schema,
    capabilities = excluded.capabilities, public_jobs = excluded.public_jobs, updated_at = excluded.updated_at
WHERE (plugin.plugin_type, plugin.is_global, plugin.is_preinstalled, plugin.name, plugin.description,
       plugin.config_schema, plugin.capabilities, plugin.public_jobs)
   IS DISTINCT FROM ('inline', true, true, excluded.name, excluded.description,
       excluded.config_schema, excluded.capabilities, excluded.public_jobs)
"""
# A config keeps the row it points at; `handler_of` then finds nothing for it, and its jobs say so.
_REMOVE: Final = """
DELETE FROM core_plugin plugin
WHERE organization_id IS NULL AND plugin_type = 'inline' AND url <> ALL(%s)
  AND NOT EXISTS (SELECT FROM core_pluginconfig WHERE plugin_id = plugin.id)
"""


def inline_plugins_sync() -> None:
    """Make the row of every handler, or bring it up to date, and remove those of handlers that are gone.

    A row that some project has a config of stays. Raises ImproperlyConfigured for a wrong PLUGIN_HANDLERS.
    """
    rows = [_row(handler) for handler in handlers().values()]
    execute(_UPSERT, [orjson.dumps(rows).decode()])
    execute(_REMOVE, [[row["url"] for row in rows]])


def _row(handler: PluginHandler) -> dict[str, Any]:
    capabilities = {"methods": list(handler.methods), "jobs": list(handler.public_jobs)}
    return {
        "url": INLINE + handler.key,
        "name": handler.name,
        "description": handler.description,
        "config_schema": list(handler.config_schema),
        "capabilities": {name: listed for name, listed in capabilities.items() if listed},
        "public_jobs": dict(handler.public_jobs),
    }
