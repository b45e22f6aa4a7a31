"""What a statement may do once it runs as the query user: attacks straight through `ask`, past the compiler."""

from collections.abc import Callable
from datetime import UTC, datetime
from types import ModuleType
from typing import Any
from uuid import uuid4

import orjson
import pytest
from django.conf import settings

from events import client, query_guard, query_user
from events.client import Asked
from events.errors import EventStoreError, QueryMistake
from events.rows import Table, distinct_id_row, event_row

OURS, THEIRS = 71, 72
CANARY = "qqcanary"
type Ask = Callable[..., Asked]


@pytest.fixture
def ask(clickhouse: ModuleType) -> Ask:
    """Both teams have rows; the other team's hold the canary."""
    for team_id, mark in ((OURS, "ours"), (THEIRS, CANARY)):
        event = event_row(
            team_id=team_id, uuid=uuid4(), event=mark, distinct_id=mark, timestamp=datetime.now(UTC),
            created_at=datetime.now(UTC), properties=f'{{"a":"{mark}"}}', person_id=uuid4(),
            person_created_at=datetime.now(UTC),
        )  # fmt: skip
        mapping = distinct_id_row(team_id=team_id, distinct_id=mark, person_id=uuid4(), version=1)
        client.insert_json_rows(Table.EVENTS, orjson.dumps(event), token=str(uuid4()))
        client.insert_json_rows(Table.PERSON_DISTINCT_IDS, orjson.dumps(mapping), token=str(uuid4()))
    return asked


def asked(sql: str, parameters: dict[str, Any] | None = None, **words: Any) -> Asked:
    given = {
        "team_id": OURS, "query_id": "q", "seconds": 10, "memory_mb": 500, "max_rows": 10_000, "max_bytes": 10**7,
        **words,
    }  # fmt: skip
    return client.ask(sql, parameters, **given)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT team_id, event FROM events",
        "SELECT team_id, event FROM events WHERE team_id = 72 OR 1",
        "SELECT a.team_id, b.event FROM events AS a CROSS JOIN events AS b",
        "SELECT a.team_id, b.team_id FROM events AS a FULL JOIN person_distinct_ids AS b USING (distinct_id)",
        "SELECT team_id, event FROM events FINAL",
        "SELECT team_id, event FROM events PREWHERE team_id = 72 OR 1",
        "SELECT team_id, 1 FROM events UNION ALL SELECT team_id, 2 FROM person_distinct_ids",
        "WITH events AS (SELECT * FROM events) SELECT team_id, event FROM events",
        "SELECT team_id, event FROM `events`",
        "SELECT max(team_id), count() FROM events GROUP BY team_id WITH TOTALS",
        "SELECT 71, (SELECT groupArray(event) FROM events)",
        "SELECT 71, 1 WHERE 1 IN (SELECT team_id - 70 FROM events)",
        "WITH RECURSIVE r AS (SELECT team_id FROM events UNION ALL SELECT team_id FROM r WHERE 0) SELECT * FROM r",
    ],
)  # fmt: skip
def test_only_rows_of_the_team_of_the_comment_are_seen(ask: Ask, sql: str) -> None:
    """None of these has a guard: it is the row policies that hold."""
    answer = ask(sql)
    assert CANARY not in repr(answer.rows)
    assert str(THEIRS) not in repr(answer.rows)
    assert answer.rows, "there is something to see"
    theirs = ask(sql, team_id=THEIRS)
    assert "ours" not in repr(theirs.rows)


@pytest.mark.parametrize("table", query_user.TABLES)
def test_every_table_that_may_be_read_is_narrowed_to_the_team(ask: Ask, table: str) -> None:
    # Rows of 1970 would be over their time.
    time = {"plugin_log_entries": "timestamp", "query_log": "event_time"}.get(table)
    for team_id in (OURS, THEIRS):
        columns, values = (f"team_id, {time}", f"{team_id}, now()") if time else ("team_id", team_id)
        client.command(f"INSERT INTO `{table}` ({columns}) VALUES ({values})")  # noqa: S608 our own names
    assert ask(f"SELECT DISTINCT team_id FROM `{table}`").rows == [[OURS]]  # noqa: S608
    assert ask(f"SELECT count() FROM `{table}`", team_id=73).rows == [[0]]  # noqa: S608


@pytest.mark.parametrize(
    "comment", ["", "hogql:", "hogql::q", "hogql:7x:q", "hogql:71", "HOGQL:71:q", "x hogql:71:q", "hogql:-71:q",
                "hogql:99999999999999999999:q", "hogql: 71:q", "72"]
)  # fmt: skip
def test_a_comment_that_names_no_team_shows_nothing(ask: Ask, monkeypatch: pytest.MonkeyPatch, comment: str) -> None:
    assert ask("SELECT count() FROM events").rows == [[1]]
    monkeypatch.setattr(query_user, "comment", lambda *_: comment)
    assert ask("SELECT count() FROM events").rows == [[0]]


PROHIBITED = [
    # tables that no grant names
    "SELECT * FROM deletion_keys", "SELECT * FROM schema_migrations", "SELECT lines FROM session_recording_blobs",
    "SELECT * FROM person_property_values", "SELECT * FROM ingestion_warnings", "SELECT * FROM default.x",
    "SELECT 1 FROM events WHERE 1 IN (SELECT 1 FROM deletion_keys)", "SELECT (SELECT count() FROM deletion_teams)",
    "SELECT * FROM person_property_updates",
    # table functions
    "SELECT * FROM url('http://127.0.0.1/', 'CSV', 'a String')", "SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "SELECT * FROM s3('http://127.0.0.1/a/b', 'CSV', 'a Int8')", "SELECT * FROM remote('127.0.0.1', default.x)",
    "SELECT * FROM remoteSecure('127.0.0.1', default.x)", "SELECT * FROM merge('.*', '.*')",
    "SELECT * FROM cluster('x', default.x)", "SELECT * FROM clusterAllReplicas('x', default.x)",
    "SELECT * FROM executable('x', 'CSV', 'a Int8')", "SELECT * FROM generateRandom('a Int8')",
    "SELECT * FROM numbers_mt(5)", "SELECT * FROM zeros(5)", "SELECT * FROM primes(5)",
    "SELECT * FROM view(SELECT 1)", "SELECT * FROM viewExplain('EXPLAIN', '', (SELECT 1))",
    "SELECT * FROM mysql('a:1', 'b', 'c', 'd', 'e')", "SELECT * FROM postgresql('a:1', 'b', 'c', 'd', 'e')",
    "SELECT * FROM dictionary('x')", "SELECT * FROM loop(events)", "SELECT * FROM input('a Int8')",
    "SELECT * FROM mergeTreeIndex(currentDatabase(), 'events')", "SELECT * FROM null('a Int8')",
    "SELECT * FROM mergeTreeProjection(default, x, y)", "SELECT * FROM sqlite('/tmp/x', 'y')",
    "SELECT * FROM `file`('/etc/passwd', 'LineAsString')", 'SELECT * FROM "url" (\'http://127.0.0.1/\')',
    "SELECT * FROM hdfs('hdfs://x', 'CSV', 'a Int8')", "SELECT * FROM python(x)", "SELECT * FROM filesystem('/')",
    # functions that read elsewhere
    "SELECT file('/etc/passwd')", "SELECT `file`('/etc/passwd')", "SELECT `\\x66ile`('/etc/passwd')",
    "SELECT FILE('/etc/passwd')", "SELECT * APPLY(file) FROM (SELECT '/etc/passwd')",
    "SELECT * APPLY file FROM (SELECT '/etc/passwd')", "SELECT arrayMap(x -> file(x), ['/etc/passwd'])",
    "SELECT file\n('/etc/passwd')", "SELECT file/**/('/etc/passwd')", "SELECT $$'$$, file('/etc/passwd'), $$'$$",
    "SELECT '\\'', file('/etc/passwd')", "SELECT \u2018'\u2019, file('/etc/passwd')",
    "SELECT dictGet('a', 'b', 1)", "SELECT dictGetOrDefault('a', 'b', 1, 2)", "SELECT joinGet('a', 'b', 1)",
    "SELECT hostName()", "SELECT version()", "SELECT currentUser()", "SELECT currentDatabase()", "SELECT uptime()",
    "SELECT getSetting('log_comment')", "SELECT getServerSetting('x')", "SELECT getMacro('x')", "SELECT tcpPort()",
    "SELECT sleep(3)", "SELECT sleepEachRow(3) FROM events", "SELECT hasColumnInTable('a', 'b', 'c')",
    "SELECT filesystemAvailable()", "SELECT catboostEvaluate('/x', 1)", "SELECT currentRoles()",
    "SELECT showCertificate()", "SELECT addressToLine(1)", "SELECT queryID()", "SELECT serverUUID()",
    # settings and clauses
    "SELECT 1 SETTINGS max_threads = 1", "SELECT event FROM events SETTINGS log_comment = 'hogql:72:q'",
    "SELECT * FROM (SELECT event FROM events SETTINGS log_comment = 'hogql:72:q')", "SELECT 1 FORMAT CSV",
    "SELECT 1 INTO OUTFILE '/tmp/x'", "SELECT 1; SELECT 2", "SELECT 1 -- x", "SELECT 1 # x", "SELECT 1 /* x */",
    # other statements
    "SET log_comment = 'hogql:72:q'", "SET ROLE persons_api", "SET readonly = 0", "USE system", "SHOW TABLES",
    "SHOW GRANTS", "DESCRIBE TABLE events", "SHOW CREATE TABLE events", "EXISTS TABLE events", "CHECK TABLE events",
    "INSERT INTO events (team_id) VALUES (71)", "INSERT INTO events (team_id) SELECT 71",
    "CREATE TABLE x (a Int8) ENGINE = Memory", "CREATE TEMPORARY TABLE x (a Int8)", "DROP TABLE events",
    "CREATE FUNCTION f AS x -> x", "ALTER TABLE events DELETE WHERE 1", "TRUNCATE TABLE events",
    "OPTIMIZE TABLE events",
    "DELETE FROM events WHERE 1", "KILL QUERY WHERE 1", "SYSTEM RELOAD USERS", "GRANT ALL ON *.* TO default",
    "ATTACH TABLE x", "DETACH TABLE events", "RENAME TABLE events TO x", "BACKUP TABLE events TO File('x')",
    "EXECUTE AS default SELECT 1", "", "( )",
]  # fmt: skip


@pytest.mark.parametrize("sql", PROHIBITED)
def test_what_is_not_a_plain_select_of_its_tables_is_refused(ask: Ask, sql: str) -> None:
    with pytest.raises(EventStoreError) as caught:
        ask(sql)
    assert isinstance(caught.value, QueryMistake), repr(caught.value)
    assert caught.value.code_name == "query_is_prohibited"
    assert not {"passwd", "default", "system", "persons_api", "deletion", "SELECT"} & set(caught.value.message.split())


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM system.tables", "SELECT * FROM system.processes", "SELECT * FROM system.settings",
        "SELECT * FROM system.columns", "SELECT * FROM system.databases", "SELECT * FROM system.parts",
        "SELECT * FROM system.users", "SELECT * FROM system.row_policies", "SELECT * FROM `system`.`functions`",
        "SELECT * FROM information_schema.tables", "SELECT * FROM INFORMATION_SCHEMA.COLUMNS",
        "SELECT * FROM system.server_settings", "SELECT * FROM system.events", "SELECT * FROM system.grants",
        "SELECT * FROM system.macros", "SELECT * FROM system.disks", "SELECT * FROM system.numbers LIMIT 1",
        "SELECT * FROM system.contributors", "SELECT * FROM system.errors", "SELECT * FROM system.query_log",
    ],
)  # fmt: skip
def test_the_servers_own_tables_are_empty_or_closed(ask: Ask, sql: str) -> None:
    try:
        answer = ask(sql)
    except EventStoreError:
        return
    assert answer.rows == []


def test_every_table_of_the_servers_own_is_empty_or_closed(ask: Ask) -> None:
    names = client.query("SELECT database, name FROM system.tables WHERE database NOT LIKE 'persons_api%'").rows
    seen = []
    for database, name in names:
        try:
            if ask(f"SELECT 1 FROM `{database}`.`{name}` LIMIT 1").rows:  # noqa: S608 names of the server
                seen.append(name)
        except EventStoreError:
            continue
    assert len(names) > 100
    # What a SELECT without FROM reads, and views of the standard that hold constants.
    assert {name.lower() for name in seen} == {"one", "character_sets", "collations"}, seen


def test_every_table_of_other_databases_is_closed(ask: Ask) -> None:
    client.command("CREATE DATABASE IF NOT EXISTS persons_api_elsewhere")
    try:
        client.command("CREATE TABLE persons_api_elsewhere.events (team_id Int64) ENGINE = MergeTree ORDER BY team_id")
        client.command("INSERT INTO persons_api_elsewhere.events VALUES ({team:Int64})", {"team": OURS})
        with pytest.raises(QueryMistake, match="not allowed"):
            ask("SELECT * FROM persons_api_elsewhere.events")
    finally:
        client.command("DROP DATABASE persons_api_elsewhere")


def test_the_app_sees_all_teams_whatever_its_comment_says(ask: Ask) -> None:
    for comment in ("", "hogql:71:q"):
        rows = client.query("SELECT DISTINCT team_id FROM events ORDER BY 1", settings={"log_comment": comment}).rows
        assert rows == [(OURS,), (THEIRS,)]


def test_the_guard_knows_every_table_function_of_the_engine(ask: Ask) -> None:
    """A new one must be looked at: it is refused, or listed here as one that reads what it is given."""
    harmless = {"numbers", "values", "format", "generate_series", "generateSeries", "SQLStandardValues"}
    names = {name for (name,) in client.query("SELECT name FROM system.table_functions").rows}
    allowed = {name for name in names if query_guard.forbidden(f"SELECT * FROM {name}(1)") is None}  # noqa: S608
    assert allowed == harmless
    assert len(names) > 80


def test_what_the_compiler_writes_passes(ask: Ask) -> None:
    answer = ask(
        "SELECT `e`.`event` AS `settings`, concat(`e`.`event`, ' format SETTINGS file(', {p:String}) AS `file` "
        "FROM (SELECT e.event FROM events AS e WHERE e.team_id = {team_id:Int64}) AS `e` LIMIT 1 OFFSET 0",
        {"team_id": OURS, "p": "'; DROP TABLE events --"},
    )
    assert answer.columns == (("settings", "String"), ("file", "String"))
    assert answer.rows == [["ours", "ours format SETTINGS file('; DROP TABLE events --"]]
    assert ask("EXPLAIN indexes = 1 SELECT event FROM events WHERE team_id = 71").rows


def test_the_settings_name_the_query_user() -> None:
    assert f"//{query_user.USER}:" in settings.CLICKHOUSE_QUERY_URL
