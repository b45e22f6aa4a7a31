"""Which keys the properties of a project's events have, each with an early value: for their definitions."""

from typing import Final

from events import client

MOST_KEYS: Final = 10_000
_SECONDS: Final = 600

_DAYS: Final = """
SELECT toString(toDate(timestamp, 'UTC')) AS day, count() FROM events
WHERE team_id = {team_id:Int64} GROUP BY day ORDER BY day
"""
# An early value, not a null, a list or an object, which tell no type, where the key has any other. Longer values are
# text anyway.
_KEYS: Final = """
SELECT pair.1 AS name, argMin(left(pair.2, 100), (substring(pair.2, 1, 1) IN ('n', '[', '{'), timestamp)) FROM (
    SELECT timestamp, arrayJoin(JSONExtractKeysAndValuesRaw(properties)) AS pair FROM events
    WHERE team_id = {team_id:Int64} AND event != '$groupidentify'
      AND timestamp >= toDateTime64({day:String}, 6, 'UTC')
      AND timestamp < toDateTime64({day:String}, 6, 'UTC') + INTERVAL 1 DAY
) WHERE lengthUTF8(name) <= 400 GROUP BY name ORDER BY name LIMIT {most:UInt32}
"""


def event_days(*, team_id: int) -> list[tuple[str, int]]:
    """Return (day, events) of the days of UTC on which a team has events, the first first."""
    return [(day, count) for day, count in client.query(_DAYS, {"team_id": team_id}, seconds=_SECONDS).rows]


def event_property_keys(*, team_id: int, day: str) -> list[tuple[str, str]]:
    """Return (key, JSON of one of its values, cut off after 100 characters) of the events of a day, at most 10,000."""
    parameters = {"team_id": team_id, "day": day, "most": MOST_KEYS}
    return [(name, value) for name, value in client.query(_KEYS, parameters, seconds=_SECONDS).rows]
