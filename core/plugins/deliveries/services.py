"""What waits for destinations: capture adds to it, configs switch it on and off, an uninstall forgets it."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import orjson
from django.db import transaction

from core.plugins.deliveries.nudges import deliveries_nudge
from core.plugins.handlers.registry import handler_of
from core.plugins.models import Plugin, PluginConfig
from core.tenancy.statements import execute, fetch_rows
from events.rows import PersonMode, Row

DELIVERING_METHODS: Final = frozenset({"onEvent", "composeWebhook"})
PORTION_BYTES: Final = 16 * 1024 * 1024

# The lock lets an uninstall wait for this transaction: what it adds would be nobody's otherwise. It conflicts with
# no other writer of the row.
_DESTINATIONS: Final = """
SELECT plugin_config_id FROM core_plugindestination WHERE team_id = %s AND is_active
ORDER BY plugin_config_id FOR KEY SHARE
"""
# Ids are drawn in the order of the rows, and after the persons were locked: so events of a person have rising ids.
_ADD: Final = """
INSERT INTO core_plugindelivery
    (team_id, plugin_config_id, distinct_id, generation, event_uuid, event, payload, captured_at,
     alone, attempts, error)
SELECT %s, config, d, g, u, e, p, %s, false, 0, ''
FROM json_to_recordset(%s::json) AS new(n int, d text, g int, u uuid, e text, p text)
CROSS JOIN unnest(%s::bigint[]) AS configs(config)
ORDER BY n, config
"""
_STATE: Final = """
SELECT is_active, attempts > 0 OR next_attempt_at > statement_timestamp()
FROM core_plugindestination WHERE plugin_config_id = %s AND team_id = %s
"""
_CREATE: Final = """
INSERT INTO core_plugindestination (plugin_config_id, team_id, is_active, attempts, next_attempt_at, last_error)
VALUES (%s, %s, true, 0, statement_timestamp(), '')
"""
_SWITCH: Final = """
UPDATE core_plugindestination
SET is_active = %s, attempts = 0, failing_since = NULL, next_attempt_at = statement_timestamp()
WHERE plugin_config_id = %s AND team_id = %s
"""
_FORGET: Final = (
    # First the destinations: that waits for captures that are adding to them, and for a delivery at work.
    "DELETE FROM core_plugindestination WHERE team_id = %s AND plugin_config_id = ANY(%s)",
    "DELETE FROM core_plugindelivery WHERE team_id = %s AND plugin_config_id = ANY(%s)",
    "DELETE FROM core_plugindeliverycount WHERE team_id = %s AND plugin_config_id = ANY(%s)",
)


def deliveries_add(*, team_id: int, rows: Sequence[Row], captured_at: datetime) -> None:
    """Queue event rows for every active destination of the team, in their order; runs inside capture's transaction.

    Events of a historical migration are left out. Without a destination this is one statement.
    """
    new = [row for row in rows if not row["historical_migration"]]
    if not new:
        return
    configs = [config_id for (config_id,) in fetch_rows(_DESTINATIONS, [team_id])]
    if not configs:
        return
    for portion in _portions(new):
        execute(_ADD, [team_id, captured_at, portion, configs])
    transaction.on_commit(deliveries_nudge)


def _portions(rows: Sequence[Row]) -> Iterator[str]:
    """Yield rows as JSON documents of a bounded size: each event carries all properties of its person."""
    items: list[dict[str, Any]] = []
    size = 0
    for number, row in enumerate(rows):
        payload = event_payload(row)
        items.append(
            {
                "n": number,
                "d": row["distinct_id"],
                "g": row["generation"],
                "u": row["uuid"],
                "e": row["event"],
                "p": payload,
            }
        )
        size += len(payload)
        if size >= PORTION_BYTES:
            yield orjson.dumps(items).decode()
            items, size = [], 0
    if items:
        yield orjson.dumps(items).decode()


def event_payload(row: Row) -> str:
    """Return the JSON text of an event as handlers get it (`core.plugins.handlers.base.Event`)."""
    person = None
    if row["person_mode"] != PersonMode.PROPERTYLESS:
        person = {
            "uuid": row["person_id"],
            "created_at": _iso(row["person_created_at"]),
            "properties": orjson.Fragment(row["person_properties"]),
        }
    event = {
        "uuid": row["uuid"],
        "event": row["event"],
        "distinct_id": row["distinct_id"],
        "team_id": row["team_id"],
        "timestamp": _iso(row["timestamp"]),
        "properties": orjson.Fragment(row["properties"]),
        "elements_chain": row["elements_chain"],
        "person": person,
    }
    return orjson.dumps(event).decode()


def _iso(clickhouse_time: str) -> str:
    return f"{clickhouse_time[:10]}T{clickhouse_time[11:]}Z"


def destination_sync(*, config: PluginConfig, plugin: Plugin) -> None:
    """Let captured events be queued and delivered for a config, or no longer; after every save, in its transaction.

    What waits for a config that is switched off stays, and goes on when it is switched on again. A destination that
    is failing is tried anew at once. Once a config is switched off and this has returned, nothing more is sent: it
    waits for a delivery at work.
    """
    handler = handler_of(plugin)
    delivers = handler is not None and not DELIVERING_METHODS.isdisjoint(handler.methods)
    active = delivers and config.enabled and not config.deleted
    states = execute(_STATE, [config.pk, config.team_id])
    if not states:
        if active:
            execute(_CREATE, [config.pk, config.team_id])
        return
    was_active, is_failing = states[0]
    if active != was_active or (active and is_failing):
        execute(_SWITCH, [active, config.pk, config.team_id])
    if active:
        transaction.on_commit(deliveries_nudge)


def deliveries_forget(*, team_id: int, plugin_config_ids: Sequence[int]) -> None:
    """Remove destinations with what waits for them, their dead letters and counts, in the caller's transaction."""
    for sql in _FORGET:
        execute(sql, [team_id, list(plugin_config_ids)])
