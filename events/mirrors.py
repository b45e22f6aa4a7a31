"""What ClickHouse's copies of persons and distinct ids hold now."""

from typing import Final
from uuid import UUID

from events import client

_HIGHEST: Final = """
SELECT
    greatest(
        (SELECT max(version) FROM person_distinct_ids
         WHERE team_id = {team_id:Int64} AND distinct_id = {distinct_id:String}),
        (SELECT max(version) FROM person_distinct_id_overrides
         WHERE team_id = {team_id:Int64} AND distinct_id = {distinct_id:String})) AS mapping,
    (SELECT max(version) FROM persons WHERE team_id = {team_id:Int64} AND id = {person_id:UUID}) AS person
"""


def highest_versions(*, team_id: int, distinct_id: str, person_id: UUID) -> tuple[int, int]:
    """Return the highest version, deleted or not, of a distinct id and of a person; 0 where there is no row."""
    parameters = {"team_id": team_id, "distinct_id": distinct_id, "person_id": str(person_id)}
    ((mapping, person),) = client.query(_HIGHEST, parameters).rows
    return int(mapping or 0), int(person or 0)
