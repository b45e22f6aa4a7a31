from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from events import client, deletions
from events.errors import EventStoreError
from events.migrate import MigrationRefused, migrate, migrations_applied, migrations_read, rendered
from events.rows import Table
from events.values import REBUILD_TABLE

pytestmark = pytest.mark.usefixtures("clickhouse")
SCRATCH = {*deletions.SCRATCH, REBUILD_TABLE}
"""Tables that one job fills for itself and empties again; no outbox rows go there."""


@pytest.fixture(autouse=True)
def empty_database(clickhouse: object, settings: Settings) -> Iterator[None]:
    del clickhouse
    name = f"migrate_{uuid4().hex}"
    settings.CLICKHOUSE_URL = urlunsplit(urlsplit(settings.CLICKHOUSE_URL)._replace(path=f"/{name}"))
    yield
    # The database is gone when a test never made it.
    client.create_database()
    client.command(f"DROP DATABASE {name}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_first.sql").write_text(
        "CREATE TABLE IF NOT EXISTS a (x UInt8) ENGINE = MergeTree ORDER BY x\n-- next\n"
        "ALTER TABLE a ADD COLUMN IF NOT EXISTS y String DEFAULT 'a -- next b'\n"
    )
    (tmp_path / "0002_second.sql").write_text("CREATE TABLE IF NOT EXISTS b (x UInt8) ENGINE = MergeTree ORDER BY x")
    return tmp_path


def applied(folder: Path, to: str | None = None) -> list[str]:
    return [migration.id for migration, _ in migrate(folder=folder, to=to)]


def columns(table: str) -> list[str]:
    sql = "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String}"
    return [name for (name,) in client.query(sql, {"table": table}).rows]


def test_from_nothing_to_newest_and_again() -> None:
    first = StringIO()
    call_command("migrate_events", stdout=first)
    assert [line.split()[-1] for line in first.getvalue().splitlines()] == [m.id for m in migrations_read()]
    again = StringIO()
    call_command("migrate_events", stdout=again)
    assert again.getvalue() == "ClickHouse is up to date.\n"
    tables = {name for (name,) in client.query("SHOW TABLES").rows}
    assert tables == {*Table, *SCRATCH, "schema_migrations"}


def test_every_table_remembers_insert_tokens() -> None:
    call_command("migrate_events", verbosity=0)
    rows = client.query("SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase()").rows
    rows = [row for row in rows if row[0] not in SCRATCH]
    assert [name for name, text in rows if "non_replicated_deduplication_window = 10000" not in text] == []


def test_plan_prints_and_changes_nothing() -> None:
    out = StringIO()
    call_command("migrate_events", "--plan", stdout=out)
    assert "CREATE TABLE IF NOT EXISTS person_property_updates" in out.getvalue()
    with pytest.raises(EventStoreError):
        client.query("SELECT 1")


def test_to_stops_after_that_number(folder: Path) -> None:
    assert applied(folder, to="0001") == ["0001_first"]
    assert columns("a") == ["x", "y"]
    assert applied(folder) == ["0002_second"]


def test_unknown_number_is_refused() -> None:
    with pytest.raises(CommandError, match="no migration 9999"):
        call_command("migrate_events", "--to", "9999")


def test_changed_file_is_refused(folder: Path) -> None:
    applied(folder)
    (folder / "0001_first.sql").write_text("SELECT 1")
    with pytest.raises(MigrationRefused, match=r"0001_first\.sql was changed"):
        applied(folder)


def test_killed_between_two_statements_runs_again(folder: Path) -> None:
    good = (folder / "0001_first.sql").read_text()
    (folder / "0001_first.sql").write_text(good.replace("ADD COLUMN", "ADD COLUMNS"))
    with pytest.raises(EventStoreError):
        applied(folder)
    assert columns("a") == ["x"]
    assert migrations_applied() == {}
    (folder / "0001_first.sql").write_text(good)
    assert applied(folder) == ["0001_first", "0002_second"]
    assert columns("a") == ["x", "y"]


@pytest.mark.parametrize("name", ["first.sql", "0002_other.sql"])
def test_misnamed_or_doubled_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_text("SELECT 1")
    with pytest.raises(MigrationRefused):
        applied(folder)


def test_cluster_fills_both_placeholders() -> None:
    statement = "CREATE TABLE t {on_cluster} (x UInt8) ENGINE = {engine_prefix}MergeTree"
    assert rendered(statement, cluster="main") == (
        "CREATE TABLE t ON CLUSTER 'main' (x UInt8) ENGINE = ReplicatedMergeTree"
    )
    assert rendered(statement, cluster="") == "CREATE TABLE t  (x UInt8) ENGINE = MergeTree"
