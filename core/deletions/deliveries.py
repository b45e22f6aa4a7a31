"""Events of erased persons that wait for destinations of plugins, or that could not be delivered to them.

They stand in Postgres alone, so they are found there, by the distinct ids and lives that a run's requests name. What
was captured before the request goes, also an event that is dated in the future: what is sent cannot be taken back.
"""
# ruff: noqa: S608 - statements are made of this module's constants; values are bound

from collections import Counter
from typing import Final
from uuid import UUID

import orjson
from django.db import transaction

from core.deletions.queue import ALONE
from core.tenancy.statements import execute
from events.deletion_places import DELIVERIES

BATCH: Final = 20_000

_WANTED: Final = f"""
WITH wanted AS MATERIALIZED (
    SELECT r.id AS request_id, r.team_id, k.distinct_id, k.generation, k.until
    FROM core_deletionrequest r
    CROSS JOIN jsonb_to_recordset(r.distinct_ids) AS k(distinct_id text, generation int, until timestamptz)
    WHERE r.kind = 'events' AND r.verified_at IS NULL AND (%(run)s::uuid IS NULL OR r.run_id = %(run)s) AND {ALONE}),
found AS (
    SELECT d.id, d.plugin_config_id, w.request_id FROM wanted w JOIN core_plugindelivery d
    ON d.team_id = w.team_id AND d.distinct_id = w.distinct_id
        AND d.generation <= w.generation AND d.captured_at <= w.until)
"""
_BATCH: Final = (
    _WANTED + "SELECT id, array_agg(DISTINCT request_id), min(plugin_config_id)"
    " FROM found GROUP BY id ORDER BY id LIMIT %(limit)s"
)
_REMAINING: Final = _WANTED + "SELECT request_id, count(DISTINCT id) FROM found GROUP BY request_id LIMIT %(most)s"
_COUNT: Final = _WANTED + "SELECT count(DISTINCT id) FROM found"
# One key at a time, each would read all that waits for the team: the planner cannot know how many keys there are.
_HASHED: Final = "SELECT set_config('enable_nestloop', 'off', true)"
# Whoever delivers holds the destination, so nothing that is deleted here is being sent, or will be.
_HOLD: Final = """
SELECT FROM core_plugindestination WHERE plugin_config_id = ANY(%s) ORDER BY plugin_config_id FOR NO KEY UPDATE
"""
_DELETE: Final = "DELETE FROM core_plugindelivery WHERE id = ANY(%s) RETURNING id"
_ADD_REMOVED: Final = """
UPDATE core_deletionrequest r
SET receipt = jsonb_set(coalesce(r.receipt, '{"tables": {}, "run_ids": []}'), ARRAY['tables', %(place)s],
    jsonb_build_object(
        'found', coalesce((r.receipt #>> ARRAY['tables', %(place)s, 'found'])::bigint, 0) + n.rows,
        'removed', coalesce((r.receipt #>> ARRAY['tables', %(place)s, 'removed'])::bigint, 0) + n.rows,
        'remaining', 0))
FROM jsonb_to_recordset(%(counts)s::jsonb) AS n(id bigint, rows bigint)
WHERE r.id = n.id
"""


def deliveries_count(run_id: UUID | None) -> int:
    """Return how many events a run would take, or one over all requests that wait."""
    with transaction.atomic():
        execute(_HASHED)
        return int(execute(_COUNT, {"run": run_id})[0][0])


def deliveries_remaining(run_id: UUID, *, most: int) -> dict[int, int]:
    """Count what a run's requests still mean: events by request, of `most` requests at most."""
    with transaction.atomic():
        execute(_HASHED)
        return dict(execute(_REMAINING, {"run": run_id, "most": most}))


def deliveries_erase(run_id: UUID) -> int:
    """Remove the events that the run's requests mean, waiting and dead ones, and return how many.

    Each batch and its part of the requests' receipts are one transaction, so the sums are right after any kill.
    """
    total = 0
    while True:
        with transaction.atomic():
            execute(_HASHED)
            batch = execute(_BATCH, {"run": run_id, "limit": BATCH})
            execute(_HOLD, [sorted({config_id for _, _, config_id in batch})])
            gone = {row[0] for row in execute(_DELETE, [[row[0] for row in batch]])}
            counts = Counter(request for id_, requests, _ in batch if id_ in gone for request in requests)
            if counts:
                rows = [{"id": request, "rows": count} for request, count in counts.items()]
                execute(_ADD_REMOVED, {"place": DELIVERIES, "counts": orjson.dumps(rows).decode()})
        total += len(gone)
        if len(batch) < BATCH:
            return total
