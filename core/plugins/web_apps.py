"""Whether projects have plugins whose code belongs into their own web pages (`inject_web_apps` of the project)."""

from collections.abc import Collection
from typing import Final

from core.tenancy.statements import execute

# A project that never had any keeps saying nothing.
_SYNC: Final = """
UPDATE core_team t SET settings = jsonb_set(t.settings, '{inject_web_apps}', to_jsonb(app.is_there)), updated_at = now()
FROM (
    SELECT wanted.id, EXISTS (
        SELECT FROM core_pluginconfig c
        JOIN core_pluginsourcefile f
          ON f.plugin_id = c.plugin_id AND f.filename = 'site.ts' AND f.status = 'TRANSPILED'
        WHERE c.team_id = wanted.id AND c.enabled
    ) AS is_there
    FROM unnest(%s::bigint[]) AS wanted(id)
) AS app
WHERE t.id = app.id
  AND coalesce(nullif(t.settings -> 'inject_web_apps', 'null'), 'false') <> to_jsonb(app.is_there)
"""


def web_apps_sync(team_ids: Collection[int]) -> None:
    """Say of projects what is true now; called in the transaction that changes their configs or a `site.ts`."""
    execute(_SYNC, [sorted(team_ids)])
