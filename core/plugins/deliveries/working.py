"""Delivers what waits, the destination that was served longest ago first, each for a turn of about a second.

Several workers may do this at once: each destination is served by the one that holds its row.
"""

import time
from typing import Final

from django.db import InterfaceError, OperationalError, transaction

from core.plugins.deliveries.couriers import defect_note
from core.plugins.deliveries.nudges import deliveries_nudge
from core.plugins.deliveries.queue import Claim, claim_next, destination_rest
from core.plugins.deliveries.turns import Turn
from core.plugins.models import PluginConfig
from core.tenancy.statements import execute

TURN_SECONDS: Final = 1.0
LOOK_EVERY_SECONDS: Final = 0.25
DEFECT_PAUSE_SECONDS: Final = 60.0
HELP_AFTER: Final = 2
"""Destinations after which another worker is asked for: receivers are waited for most of the time."""

# Those that died first go first; by their ids they come before all that waits. A subquery could be run several times,
# and pass over the rows it locked before.
_REVIVE: Final = """
WITH first AS MATERIALIZED (
    SELECT id FROM core_plugindelivery
    WHERE team_id = %(team)s AND plugin_config_id = %(config)s AND dead_at IS NOT NULL
    ORDER BY dead_at, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE core_plugindelivery q SET dead_at = NULL, attempts = 0, error = '', alone = true
FROM first WHERE q.id = first.id
RETURNING 1
"""


def deliver(*, seconds: float) -> bool:
    """Serve destinations for so many seconds, also those whose pause ends meanwhile; return whether to go on.

    False says that nothing waits, or only for longer pauses. Raises what Postgres does when it is away; then what
    was sent in the turn is sent again.
    """
    deadline = time.monotonic() + seconds
    served: set[int] = set()
    while (left := deadline - time.monotonic()) > 0:
        claim = _turn(within=left)
        if claim is None:
            return False
        if claim.wait > 0:
            # Meanwhile others may get events.
            time.sleep(min(claim.wait, LOOK_EVERY_SECONDS, left))
        elif claim.plugin_config_id not in served:
            served.add(claim.plugin_config_id)
            if len(served) == HELP_AFTER:
                deliveries_nudge()
    return True


def _turn(*, within: float) -> Claim | None:
    """Serve a destination that is due and return it; else one that will be, with the time to wait, or None."""
    claim: Claim | None = None
    try:
        with transaction.atomic():
            claim = claim_next(within=within)
            if claim is not None and claim.wait == 0:
                _serve(claim)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        if claim is None:
            raise
        # One destination with a defect may not stop the others.
        defect_note("delivery_turn_failed", claim.plugin_config_id, error)
        destination_rest(claim, pause=DEFECT_PAUSE_SECONDS)
    return claim


def _serve(claim: Claim) -> None:
    configs = PluginConfig.objects.for_team(claim.team_id).select_related("plugin").defer("plugin__archive")
    turn = Turn(claim, configs.get(id=claim.plugin_config_id), ends_at=time.monotonic() + TURN_SECONDS)
    turn.serve()
    turn.finish()


def dead_letters_redeliver(*, team_id: int, plugin_config_id: int, limit: int) -> int:
    """Let dead letters wait again, at most so many, those that died first; return how many.

    Each is then tried by itself.
    """
    revived = len(execute(_REVIVE, {"team": team_id, "config": plugin_config_id, "limit": limit}))
    if revived:
        transaction.on_commit(deliveries_nudge)
    return revived
