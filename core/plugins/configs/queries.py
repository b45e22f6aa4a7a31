"""Reads of plugin configs: PostHog's object straight from rows."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, LiteralString

import orjson

from core.api.params import MAX_INTEGER_ID
from core.encryption.services import UnreadableError, decrypt_json
from core.plugins.configs.families import IN_FAMILY, Family
from core.plugins.configs.frontend import FrontendFile
from core.plugins.configs.masking import ShownFile, shown_config
from core.plugins.deliveries.rates import delivery_rates
from core.plugins.models import Plugin
from core.plugins.shapes import SHOWN_COLUMNS, plugin_object
from core.tenancy.statements import fetch_row, fetch_rows

UNREADABLE: Final = "The config is encrypted under a key that this server does not have (any more)."

_COLUMNS: Final = """
c.id, c.plugin_id, c.enabled, c."order", c.encrypted_config, c.team_id, c.created_at, c.updated_at,
coalesce(nullif(c.name, ''), p.name), coalesce(nullif(c.description, ''), p.description), c.deleted,
p.config_schema::text,
(SELECT jsonb_agg(jsonb_build_array(a.key, a.id, a.file_size, a.file_name, a.content_type) ORDER BY a.id)
 FROM core_pluginattachment a WHERE a.plugin_config_id = c.id)::text
"""
_FROM: Final = " FROM core_pluginconfig c JOIN core_plugin p ON p.id = c.plugin_id "
_ONE: Final = " WHERE c.team_id = %(team_id)s AND c.id = %(config_id)s AND "
_LISTED: Final = " WHERE c.team_id = %(team_id)s AND NOT c.deleted AND "
_ENABLED: Final = " WHERE c.team_id = %(team_id)s AND c.enabled"
_ORDER: Final = ' ORDER BY c."order", c.plugin_id, c.id'
_WINDOW: Final = " LIMIT %(limit)s OFFSET %(offset)s"
_PLUGIN: Final = " FROM core_plugin p WHERE p.id = %s"
_FRONTEND: Final = "SELECT f.id IS NOT NULL, f.status, f.transpiled, f.error"
_FRONTEND_FILE: Final = " LEFT JOIN core_pluginsourcefile f ON f.plugin_id = p.id AND f.filename = 'frontend.tsx' "

type Row = Sequence[Any]


def config_object(
    row: Row, *, plugin_info: Mapping[str, Any] | None = None, delivery_rate: float | None = None
) -> dict[str, Any]:
    """Return PostHog's plugin config object, secrets masked.

    Of a config that cannot be decrypted only its values are missing, and `error` says so.
    """
    files = [ShownFile(*file) for file in orjson.loads(row[12])] if row[12] else []
    error = None
    try:
        config = decrypt_json(row[4])
    except UnreadableError:
        config, error = {}, UNREADABLE
    return {
        "id": row[0],
        "plugin": row[1],
        "enabled": row[2],
        "order": row[3],
        "config": shown_config(config, config_schema=orjson.loads(row[11]), files=files),
        "error": error,
        "team_id": row[5],
        "plugin_info": plugin_info,
        "delivery_rate_24h": delivery_rate,
        "created_at": row[6],
        "updated_at": row[7],
        "name": row[8],
        "description": row[9],
        "deleted": row[10],
    }


def config_row(*, team_id: int, family: Family, config_id: int) -> Row | None:
    """Return a config of the team and the family, deleted or not, or None."""
    sql: LiteralString = "SELECT" + _COLUMNS + _FROM + _ONE + IN_FAMILY[family]
    return fetch_row(sql, {"team_id": team_id, "config_id": config_id})


def config_exists(*, team_id: int, family: Family, config_id: int) -> bool:
    """Tell whether the team has the config, deleted or not, in this family."""
    sql: LiteralString = "SELECT 1" + _FROM + _ONE + IN_FAMILY[family]
    return fetch_row(sql, {"team_id": team_id, "config_id": config_id}) is not None


def config_page(*, team_id: int, family: Family, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
    """Return the configs of a page that are not deleted, by order, with their delivery rates, and how many there are.

    Three statements, however long the page.
    """
    where: LiteralString = _LISTED + IN_FAMILY[family]
    given = {"team_id": team_id, "limit": limit, "offset": min(offset, MAX_INTEGER_ID)}
    rows = fetch_rows("SELECT" + _COLUMNS + _FROM + where + _ORDER + _WINDOW, given)
    ((count,),) = fetch_rows("SELECT count(*)" + _FROM + where, {"team_id": team_id})
    rates = delivery_rates(team_id=team_id, plugin_config_ids=[row[0] for row in rows]) if rows else {}
    return [config_object(row, delivery_rate=rates.get(row[0])) for row in rows], int(count)


def enabled_configs(*, team_id: int) -> list[dict[str, Any]]:
    """Return all configs of the team that are switched on, by order; there is a limit to how many a team has."""
    rows = fetch_rows("SELECT" + _COLUMNS + _FROM + _ENABLED + _ORDER, {"team_id": team_id})
    return [config_object(row) for row in rows]


def plugin_is_of(family: Family, *, plugin_id: int) -> bool | None:
    """Tell whether a plugin belongs to a family; None if there is no such plugin."""
    sql: LiteralString = "SELECT " + IN_FAMILY[family] + _PLUGIN
    row = fetch_row(sql, [plugin_id])
    return None if row is None else bool(row[0])


def plugin_info(plugin_id: int) -> dict[str, Any] | None:
    """Return the plugin object of a config."""
    found = Plugin.objects.select_related("organization").only(*SHOWN_COLUMNS, "organization__name")
    plugin = found.filter(id=plugin_id).first()
    if plugin is None:
        return None
    return plugin_object(plugin, plugin.organization.name if plugin.organization is not None else None)


def delivery_rate(*, team_id: int, config_id: int) -> float | None:
    """Return the share of events of the last 24 hours that were delivered, None where none was or failed."""
    return delivery_rates(team_id=team_id, plugin_config_ids=[config_id]).get(config_id)


def frontend_file(*, team_id: int, family: Family, config_id: int) -> tuple[FrontendFile | None] | None:
    """Return in a tuple of one the browser code of a config's plugin, if it has any; None for no such config."""
    sql: LiteralString = _FRONTEND + _FROM + _FRONTEND_FILE + _ONE + IN_FAMILY[family]
    row = fetch_row(sql, {"team_id": team_id, "config_id": config_id})
    if row is None:
        return None
    return (FrontendFile(*row[1:]) if row[0] else None,)
