"""The tables that can hold a person's data, and how the rows that a deletion means are found in each."""
# ruff: noqa: S608 - statements are made of this module's constants; values are bound

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from events.rows import Table
from events.values import REBUILD_TABLE


class Kind(StrEnum):
    """What a request wants gone."""

    EVENTS = "events"
    RECORDINGS = "recordings"


KEPT: Final = "kept"
OUTBOX: Final = "outbox"
ACTIVITY: Final = "activity_log"
DELIVERIES: Final = "plugin_deliveries"

_KEYS: Final = """(
    SELECT request_id, team_id, distinct_id, generation, deleted_generation, until FROM deletion_keys
    WHERE run_id = {run:UUID} AND kind = {kind:String}) AS k"""
# Two conditions on one column each are looked up several times faster than one on both, and the join is exact.
_NAMED: Final = (
    """
    INNER JOIN """
    + _KEYS
    + """ ON r.team_id = k.team_id AND r.distinct_id = k.distinct_id
    WHERE r.team_id IN (SELECT team_id FROM deletion_keys WHERE run_id = {run:UUID} AND kind = {kind:String})
      AND r.distinct_id IN (SELECT distinct_id FROM deletion_keys WHERE run_id = {run:UUID} AND kind = {kind:String})"""
)
_DEAD: Final = """(
    SELECT request_id, team_id, person_id, max(version) AS version FROM deletion_persons
    WHERE run_id = {run:UUID} GROUP BY request_id, team_id, person_id) AS k"""
_AMONG_IDS: Final = """team_id IN (SELECT team_id FROM deletion_keys WHERE run_id = {run:UUID})
    AND distinct_id IN (SELECT distinct_id FROM deletion_keys WHERE run_id = {run:UUID})"""
_DEAD_IDS: Final = "(SELECT team_id, person_id FROM deletion_persons WHERE run_id = {run:UUID})"


@dataclass(frozen=True, slots=True)
class Place:
    """A table that can hold a person's data.

    `row` is the SQL hash that tells its rows apart, over plain column names; `among` is a cheap condition that holds
    for all rows that can match, so that a mutation computes few hashes; `matched` is the FROM clause that
    joins its rows as `r` to their keys as `k`; `within` says which of them are to go. Rows that match and stay,
    such as those newer than the request, are written down under KEPT.
    """

    table: str
    kind: Kind
    row: str
    among: str
    matched: str
    within: str
    notes_kept: bool = False
    once_per_request: bool = False


def _hash(*columns: str) -> str:
    return f"sipHash128({', '.join(columns)})"


def _mapping(table: str) -> Place:
    # The row of a dead id is what hides events that stayed, such as those with a time in the future.
    return Place(
        table=table,
        kind=Kind.EVENTS,
        row=_hash("team_id", "distinct_id", "version", "generation"),
        among=_AMONG_IDS,
        matched=f"FROM {table} AS r {_NAMED}",
        within=(
            "r.generation <= k.deleted_generation AND (r.team_id, r.distinct_id) NOT IN ("
            f"SELECT team_id, distinct_id FROM deletion_targets WHERE run_id = {{run:UUID}} AND place = '{KEPT}')"
        ),
    )


RECORDING_ROW: Final = _hash("team_id", "session_id", "uuid", "distinct_id", "generation", "created_at")


def _recordings(table: str) -> Place:
    return Place(
        table=table,
        kind=Kind.RECORDINGS,
        row=RECORDING_ROW,
        among=_AMONG_IDS,
        matched=f"FROM {table} AS r {_NAMED}",
        within="r.generation <= k.generation AND r.created_at <= k.until",
    )


PLACES: Final = (
    Place(
        table=Table.EVENTS,
        kind=Kind.EVENTS,
        row=_hash("team_id", "uuid", "distinct_id", "generation", "created_at"),
        among=_AMONG_IDS,
        matched=f"FROM events AS r {_NAMED} AND r.generation <= k.generation",
        within="r.timestamp <= k.until AND r.created_at <= k.until",
        notes_kept=True,
    ),
    Place(
        table=Table.PERSON_PROPERTY_UPDATES,
        kind=Kind.EVENTS,
        row=_hash("team_id", "uuid", "distinct_id", "generation", "ingested_at"),
        among=_AMONG_IDS,
        matched=f"FROM person_property_updates AS r {_NAMED} AND r.generation <= k.generation",
        within="r.timestamp <= k.until AND r.ingested_at <= k.until",
        notes_kept=True,
    ),
    _mapping(Table.PERSON_DISTINCT_IDS),
    _mapping(Table.PERSON_DISTINCT_ID_OVERRIDES),
    Place(
        table=Table.PERSONS,
        kind=Kind.EVENTS,
        row=_hash("team_id", "id", "version", "is_deleted"),
        among=f"(team_id, id) IN {_DEAD_IDS}",
        matched=f"FROM persons AS r INNER JOIN {_DEAD} ON r.team_id = k.team_id AND r.id = k.person_id"
        f" WHERE (r.team_id, r.id) IN {_DEAD_IDS}",
        within="r.version < k.version AND NOT r.is_deleted",
    ),
    Place(
        table=Table.COHORT_PEOPLE,
        kind=Kind.EVENTS,
        row=_hash("team_id", "cohort_id", "person_id", "version"),
        among=f"(team_id, person_id) IN {_DEAD_IDS}",
        # A person that lives again may be a member again, by rows above the end of its earlier membership.
        matched=f"FROM cohort_people AS r INNER JOIN {_DEAD} ON r.team_id = k.team_id AND r.person_id = k.person_id"
        f""" WHERE (r.team_id, r.cohort_id, r.person_id, r.version) IN (
            SELECT team_id, cohort_id, person_id, arrayJoin(arrayFilter(v -> v <= ended, versions)) FROM (
                SELECT team_id, cohort_id, person_id, groupArray(version) AS versions,
                       maxIf(version, is_deleted) AS ended
                FROM cohort_people WHERE (team_id, person_id) IN {_DEAD_IDS}
                GROUP BY team_id, cohort_id, person_id))""",
        within="true",
    ),
    Place(
        table=Table.INGESTION_WARNINGS,
        kind=Kind.EVENTS,
        row=_hash("team_id", "timestamp", "type", "details"),
        among="team_id IN (SELECT team_id FROM deletion_keys WHERE run_id = {run:UUID})",
        matched="""FROM (
            SELECT team_id, timestamp, type, details,
                   arrayJoin(arrayDistinct(arrayMap(pair -> pair.2, JSONExtractKeysAndValues(details, 'String'))))
                       AS distinct_id
            FROM ingestion_warnings
            WHERE team_id IN (SELECT team_id FROM deletion_keys WHERE run_id = {run:UUID} AND kind = {kind:String})
        ) AS r """
        + _NAMED,
        within="r.timestamp <= k.until",
        once_per_request=True,
    ),
    _recordings(Table.SESSION_RECORDINGS),
    _recordings(Table.SESSION_RECORDING_BLOBS),
)
TEAM_TABLES: Final = (*(table.value for table in Table), REBUILD_TABLE)
"""Every table with rows of a project that outlast a run of the deletion job."""
COUNTED: Final = (
    *((place.table, place.kind) for place in PLACES),
    (OUTBOX, None),
    (ACTIVITY, Kind.EVENTS),
    (DELIVERIES, Kind.EVENTS),
)
"""Every place of a receipt, with the kind of request that it belongs to; None is both."""
VALUES_ROW: Final = _hash("team_id", "key", "value")
VALUES: Final = Table.PERSON_PROPERTY_VALUES.value
"""The summary of values has no persons in it: its empty rows belong to a run, not to a request."""
