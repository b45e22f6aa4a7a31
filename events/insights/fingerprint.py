"""Whether distinct ids of a team have changed hands: a number that differs after every merge, split and re-use."""

from typing import Final

from events.insights.statement import look_up

_FINGERPRINT: Final = """
SELECT sum(cityHash64(distinct_id, version, is_deleted)) FROM person_distinct_id_overrides
WHERE team_id = {team_id:Int64}
"""


def owners_fingerprint(team_id: int) -> int:
    """Return a number of the rows that say who owns events now.

    Every change of an owner writes a row of a new version, so no two states have the same number. A background merge
    of the table may change the number without a change of owners.
    """
    ((found,),) = look_up(_FINGERPRINT, {"team_id": team_id})
    return int(found)
