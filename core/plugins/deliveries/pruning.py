"""Forgets dead letters and counts past their age, and what nobody will ever deliver."""

from typing import Final

from django.conf import settings

from core.tenancy.statements import execute

PORTION: Final = 5_000
COUNTS_KEPT: Final = "2 days"

# Hops over the index from one config to the next: a queue may have millions of rows.
_QUEUES: Final = """
WITH RECURSIVE queue AS (
    (SELECT team_id, plugin_config_id FROM core_plugindelivery ORDER BY team_id, plugin_config_id LIMIT 1)
    UNION ALL
    SELECT next.team_id, next.plugin_config_id
    FROM queue CROSS JOIN LATERAL (
        SELECT team_id, plugin_config_id FROM core_plugindelivery q
        WHERE (q.team_id, q.plugin_config_id) > (queue.team_id, queue.plugin_config_id)
        ORDER BY team_id, plugin_config_id LIMIT 1) AS next
)
SELECT q.team_id, q.plugin_config_id, d.is_active
FROM queue q LEFT JOIN core_plugindestination d USING (plugin_config_id) ORDER BY 1, 2
"""
_FORGET: Final = """
WITH gone AS MATERIALIZED (
    SELECT id FROM core_plugindelivery WHERE team_id = %(team)s AND plugin_config_id = %(config)s AND {which}
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
DELETE FROM core_plugindelivery q USING gone WHERE q.id = gone.id RETURNING 1
"""
_DEAD: Final = "dead_at < statement_timestamp() - %(days)s * interval '1 day'"
# They would be dead letters, and forgotten as such, had the config not been switched off.
_ASLEEP: Final = """
dead_at IS NULL
AND captured_at < statement_timestamp() - %(days)s * interval '1 day' - %(hours)s * interval '1 hour'
"""
_ALL: Final = "true"
_COUNTS: Final = f"""
DELETE FROM core_plugindeliverycount WHERE bucket < statement_timestamp() - interval '{COUNTS_KEPT}'
"""  # noqa: S608 a constant of this module


def prune() -> int:
    """Forget what is past its age; return how many events that were."""
    gone = 0
    for team_id, config_id, is_active in execute(_QUEUES):
        parameters = {
            "team": team_id,
            "config": config_id,
            "limit": PORTION,
            "days": settings.PLUGIN_DEAD_LETTER_DAYS,
            "hours": settings.PLUGIN_DELIVERY_MAX_AGE_HOURS,
        }
        for which in (_ALL,) if is_active is None else (_DEAD,) if is_active else (_DEAD, _ASLEEP):
            while taken := len(execute(_FORGET.format(which=which), parameters)):
                gone += taken
    execute(_COUNTS)
    return gone
