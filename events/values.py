"""Reads of the summary `person_property_values`: which values a person property has, and how many persons each."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID, uuid4

import orjson

from events import client

MOST_VALUES: Final = 20
SECONDS_LIMIT: Final = 5
"""A substring is looked for in every value of its key, of which there may be as many as persons."""

# Summed, because the parts of the table are merged only later. Measured with a million values of one key: faster than
# FINAL and than aggregation in the order of the table's key.
_VALUES: Final = """
SELECT value, sum(persons) AS count FROM person_property_values
WHERE team_id = {team_id:Int64} AND key = {key:String}
  AND ({part:String} = '' OR positionCaseInsensitiveUTF8(value, {part:String}) > 0)
GROUP BY value HAVING count > 0
ORDER BY count DESC, value
LIMIT {limit:UInt8}
"""


def property_values(*, team_id: int, key: str, part: str = "") -> list[tuple[str, int]]:
    """Return up to 20 (value, persons) of a property, most persons first, ties by value.

    Only values that contain `part`, in any case, unless it is empty. Raises QueryTimeout after SECONDS_LIMIT.
    """
    parameters = {"team_id": team_id, "key": key, "part": part, "limit": MOST_VALUES}
    settings = {"max_execution_time": SECONDS_LIMIT}
    return [(value, count) for value, count in client.query(_VALUES, parameters, settings=settings).rows]


# A rebuild stages what is missing beside the summary, so that readers never see it half full.
_SLICES: Final = 16
_SECONDS: Final = 600
# The same error may come again, and ClickHouse would take its correction for a repeated insert.
_AS_OFTEN_AS_SAID: Final = {"insert_deduplicate": 0}
_STAGE_CURRENT: Final = """
INSERT INTO person_property_values_rebuild (run, team_id, key, value, persons)
SELECT {run:UUID}, team_id, key, value, -persons FROM person_property_values
WHERE team_id = {team_id:Int64} AND cityHash64(key, value) % {slices:UInt8} = {slice:UInt8}
"""
_DIFFERENCES: Final = """
FROM person_property_values_rebuild
WHERE run = {run:UUID} AND team_id = {team_id:Int64} AND cityHash64(key, value) % {slices:UInt8} = {slice:UInt8}
GROUP BY team_id, key, value HAVING sum(persons) != 0
"""
_COUNT_DIFFERENCES: Final = f"SELECT count() FROM (SELECT key {_DIFFERENCES})"  # noqa: S608 constants of this module
_CORRECT: Final = (
    "INSERT INTO person_property_values (team_id, key, value, persons) "
    f"SELECT team_id, key, value, sum(persons) {_DIFFERENCES}"
)
REBUILD_TABLE: Final = "person_property_values_rebuild"


def rebuild_begin(*, team_id: int, run: UUID) -> None:
    """Stage what the summary of a team holds now, negated; what is staged after it is what should be there."""
    client.command(f"TRUNCATE TABLE {REBUILD_TABLE}")
    for number in range(_SLICES):
        client.command(_STAGE_CURRENT, _slice(team_id, run, number), settings=_AS_OFTEN_AS_SAID, seconds=_SECONDS)


def rebuild_stage(*, team_id: int, run: UUID, counts: Mapping[tuple[str, str], int]) -> None:
    """Stage numbers of persons by (key, value); those of one pair add up."""
    rows = [
        {"run": str(run), "team_id": team_id, "key": key, "value": value, "persons": persons}
        for (key, value), persons in counts.items()
        if persons
    ]
    if rows:
        client.insert_json_rows(REBUILD_TABLE, b"\n".join(map(orjson.dumps, rows)), token=str(uuid4()))


def rebuild_finish(*, team_id: int, run: UUID) -> int:
    """Add the differences that remain to the summary; return for how many values it was wrong."""
    corrected = 0
    for number in range(_SLICES):
        parameters = _slice(team_id, run, number)
        if (wrong := client.query(_COUNT_DIFFERENCES, parameters).rows[0][0]) > 0:
            client.command(_CORRECT, parameters, settings=_AS_OFTEN_AS_SAID, seconds=_SECONDS)
            corrected += wrong
    client.command(f"TRUNCATE TABLE {REBUILD_TABLE}")
    return corrected


def _slice(team_id: int, run: UUID, number: int) -> dict[str, str | int]:
    return {"run": str(run), "team_id": team_id, "slices": _SLICES, "slice": number}
