"""How large a part of the events was delivered."""

from collections.abc import Sequence
from typing import Final

from core.tenancy.statements import fetch_rows

_RATES: Final = """
SELECT plugin_config_id, sum(delivered)::float8 / sum(delivered + failed)::float8 FROM core_plugindeliverycount
WHERE team_id = %s AND plugin_config_id = ANY(%s) AND bucket > statement_timestamp() - interval '24 hours'
GROUP BY plugin_config_id HAVING sum(delivered + failed) > 0
"""


def delivery_rates(*, team_id: int, plugin_config_ids: Sequence[int]) -> dict[int, float]:
    """Return delivered / (delivered + given up) of the last 24 hours by config; one without either is absent.

    Each event counts once, when its fate is known; one that is delivered after it had been given up counts as both.
    """
    return dict(fetch_rows(_RATES, [team_id, list(plugin_config_ids)])) if plugin_config_ids else {}
