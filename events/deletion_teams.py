"""Erases whole projects from ClickHouse: counts their rows by table, deletes them by one mutation per table, recounts.

The teams of a run stand in `deletion_teams`. Nothing is written down per row, however many there are: when a team
is erased no row of it can come any more, so all that carries its id goes.
"""
# ruff: noqa: S608 - statements are made of this module's constants; values are bound

from collections.abc import Iterable, Iterator
from typing import Final
from uuid import UUID

from events import client
from events.deletion_places import TEAM_TABLES
from events.deletions import SECONDS_PER_STATEMENT, replicas_sync, scratch_insert
from events.recordings import blob_keys_where

__all__ = ["TEAM_TABLES", "team_blob_keys", "team_rows", "team_rows_delete", "teams_add"]

_AMONG: Final = "team_id IN (SELECT team_id FROM deletion_teams WHERE run_id = {run:UUID})"


def teams_add(run_id: UUID, teams: Iterable[tuple[int, int]], *, token: str) -> None:
    """Write down (request_id, team_id) of the projects that a run erases; once per token."""
    rows = ({"run_id": str(run_id), "request_id": request_id, "team_id": team_id} for request_id, team_id in teams)
    scratch_insert("deletion_teams", rows, token)


def team_rows(run_id: UUID, table: str) -> dict[int, int]:
    """Return how many rows of one of TEAM_TABLES each team of the run has, by team; teams without any are absent."""
    return dict(
        client.query(
            f"SELECT team_id, count() FROM `{table}` WHERE {_AMONG} GROUP BY team_id",
            {"run": run_id},
            seconds=SECONDS_PER_STATEMENT,
        ).rows
    )


def team_rows_delete(run_id: UUID, table: str) -> None:
    """Start the mutation that deletes all rows of the run's teams from one of TEAM_TABLES.

    One that was started already, by a run that was killed since, is left alone.
    """
    ((started,),) = client.query(
        "SELECT count() FROM system.mutations WHERE database = currentDatabase() AND table = {table:String}"
        " AND NOT is_killed AND position(command, {run:String}) > 0 AND position(command, 'deletion_teams') > 0",
        {"table": table, "run": str(run_id)},
    ).rows
    if started:
        return
    replicas_sync()
    among = _AMONG.replace("{run:UUID}", f"toUUID('{run_id}')")
    client.command(
        f"ALTER TABLE `{table}` DELETE WHERE {among}",
        settings={"mutations_sync": 0, "allow_nondeterministic_mutations": 1},
    )


def team_blob_keys(run_id: UUID) -> Iterator[str]:
    """Yield the keys of stored objects that recordings of the run's teams point at, in order."""
    return blob_keys_where(_AMONG, {"run": run_id})
