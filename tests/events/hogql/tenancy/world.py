"""The two projects of the corpus, made to collide, and a second store in which only the one that asks exists.

The other project's rows come twice: under keys of its own, which are canaries, and under the very keys of the first
project (persons, distinct ids, groups, sessions, cohorts), newer and full of canaries, so that a join without its guard
meets them. A third project has the latter too.
"""
# ruff: noqa: S608 our own names

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

import orjson

from events import client
from events.rows import Table, query_log_row
from tests.events.hogql.corpus.world import CANARY, CANARY_NUMBER, FILLED, OTHER, TEAM, fill

FORMER: Final = TEAM - 1
"""Another stranger, whose rows are met before those of the project that asks."""
TABLES: Final = (*FILLED, Table.QUERY_LOG)
_NEWER: Final = "version + 100 AS version"
_PROPERTIES: Final = f"""'{{"name": "{CANARY}", "plan": "{CANARY}", "price": {CANARY_NUMBER}}}'"""
_EVENT: Final = (
    f"""concat('{{"$session_id": "', `$session_id`, '", "$group_0": "', `$group_0`, '", "price": {CANARY_NUMBER},"""
    f""" "$current_url": "{CANARY}", "$browser": "{CANARY}", "code": "{CANARY}"}}')"""
)
_STRANGER: Final = "toUUID('00000000-0000-0000-0000-0000000003e9')"
COLLIDING: Final[Mapping[Table, str]] = {
    Table.EVENTS: f"timestamp - toIntervalMinute(1) AS timestamp, {_PROPERTIES} AS person_properties,"
    f" {_EVENT} AS properties",
    Table.PERSONS: f"{_PROPERTIES} AS properties, 0 AS is_deleted, {_NEWER}",
    Table.PERSON_DISTINCT_IDS: f"{_STRANGER} AS person_id, {_NEWER}",
    Table.PERSON_DISTINCT_ID_OVERRIDES: f"{_STRANGER} AS person_id, {_NEWER}",
    Table.GROUPS: f"{_PROPERTIES} AS properties, {_NEWER}",
    Table.COHORT_PEOPLE: f"21 - cohort_id AS cohort_id, {_NEWER}",
    Table.SESSION_RECORDINGS: f"'{CANARY}' AS window_id, {CANARY_NUMBER} AS event_count, {CANARY_NUMBER} AS size",
    Table.PLUGIN_LOG_ENTRIES: f"'{CANARY}' AS message",
    Table.QUERY_LOG: f"'{CANARY}' AS query, '{CANARY}' AS name, {CANARY_NUMBER} AS read_rows",
}
"""What differs in the copies of the first project's rows; the rest, keys above all, is the same."""


def twin() -> str:
    """Return the name of the database in which the other project does not exist."""
    return f"{client.database_name()}_twin"


@contextmanager
def two_worlds() -> Iterator[None]:
    """Store both projects in the database of the tests, and the one that asks alone in the twin."""
    fill(client)
    _log_queries()
    for table, changes in COLLIDING.items():
        for team in (OTHER, FORMER):
            client.command(
                f"INSERT INTO `{table.value}` SELECT * REPLACE ({team} AS team_id, {changes})"
                # Without the alias this would be the new team_id.
                f" FROM `{table.value}` AS stored WHERE stored.team_id = {TEAM}"
            )
            ((count,),) = client.query(f"SELECT count() FROM `{table.value}` WHERE team_id = {team}").rows
            assert count, f"nothing collides in {table.value}"
    client.command(f"DROP DATABASE IF EXISTS `{twin()}`")
    client.command(f"CREATE DATABASE `{twin()}`")
    try:
        for table in TABLES:
            name = table.value
            client.command(f"CREATE TABLE `{twin()}`.`{name}` AS `{name}`")
            client.command(f"INSERT INTO `{twin()}`.`{name}` SELECT * FROM `{name}` WHERE team_id = {TEAM}")
            # One part each, so that rows come in the same order from both.
            for database in (client.database_name(), twin()):
                client.command(f"OPTIMIZE TABLE `{database}`.`{name}` FINAL")
        yield
    finally:
        client.command(f"DROP DATABASE IF EXISTS `{twin()}`")
        for table in TABLES:
            client.command("TRUNCATE TABLE {name:Identifier}", {"name": table.value})


def _log_queries() -> None:
    # Lines of this log too are dropped after a while.
    rows = [
        query_log_row(
            team_id=TEAM, query_id=f"q{place}", event_time=datetime.now(UTC) - timedelta(hours=place),
            query_duration_ms=5 + place, read_rows=10 * place, read_bytes=100, result_rows=1, memory_usage=1000,
            query="select 1", kind="HogQLQuery", name=f"query {place}", is_personal_api_key_request=False,
            created_by=place, exception_code=0, status="finished",
        )
        for place in range(2)
    ]  # fmt: skip
    client.insert_json_rows(Table.QUERY_LOG, b"\n".join(map(orjson.dumps, rows)), token=str(uuid4()))
