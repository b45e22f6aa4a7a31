"""Applies the numbered .sql files of `events/migrations` and records what ran.

A file is a list of statements separated by a line `-- next`; each statement can run twice, so a run that was
killed anywhere is simply run again. An applied file never changes: its checksum is kept.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

import orjson

from events import client
from events.errors import Code, StoreUnavailable
from events.rows import clickhouse_time

FOLDER: Final = Path(__file__).parent / "migrations"
FILE_NAME: Final = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
SEPARATOR: Final = re.compile(r"^-- next[ \t]*$", re.MULTILINE)

STATE_TABLE: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations {on_cluster}
(
    id String,
    checksum String,
    started DateTime64(6, 'UTC'),
    finished Nullable(DateTime64(6, 'UTC')),
    recorded_at DateTime64(6, 'UTC')
)
ENGINE = {engine_prefix}ReplacingMergeTree(recorded_at)
ORDER BY id
SETTINGS non_replicated_deduplication_window = 10000
"""


class MigrationRefused(Exception):  # noqa: N818
    """The files and the state in ClickHouse contradict each other; the text says where."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file."""

    id: str
    checksum: str
    statements: tuple[str, ...]

    @property
    def number(self) -> str:
        """Return the four digits of the file name."""
        return self.id[:4]


def migrations_read(folder: Path = FOLDER) -> list[Migration]:
    """Return the files in order of their number; two files with one number are refused."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        if not FILE_NAME.fullmatch(path.name):
            message = f"{path.name}: a migration is named NNNN_words.sql"
            raise MigrationRefused(message)
        text = path.read_text(encoding="utf-8")
        statements = tuple(part.strip() for part in SEPARATOR.split(text) if part.strip())
        found.append(Migration(path.stem, hashlib.sha256(text.encode()).hexdigest(), statements))
    numbers = [migration.number for migration in found]
    if len(set(numbers)) != len(numbers):
        message = "two migrations have the same number"
        raise MigrationRefused(message)
    return found


def migrations_pending(
    migrations: Sequence[Migration], *, applied: dict[str, str], to: str | None = None
) -> list[Migration]:
    """Return what still has to run, up to and including the number `to`."""
    known = {migration.id: migration for migration in migrations}
    for name, checksum in applied.items():
        if name in known and known[name].checksum != checksum:
            message = f"{name}.sql was changed after it was applied; write a new migration instead"
            raise MigrationRefused(message)
    if to is not None and to not in {migration.number for migration in migrations}:
        message = f"there is no migration {to}"
        raise MigrationRefused(message)
    return [m for m in migrations if m.id not in applied and (to is None or m.number <= to)]


def migrate(
    *, cluster: str = "", to: str | None = None, folder: Path = FOLDER, plan: bool = False
) -> Iterator[tuple[Migration, list[str]]]:
    """Apply what is pending, yielding each migration with its SQL before it runs; with `plan` nothing runs."""
    migrations = migrations_read(folder)
    if not plan:
        _prepare(cluster)
    for migration in migrations_pending(migrations, applied=migrations_applied(), to=to):
        statements = [rendered(statement, cluster=cluster) for statement in migration.statements]
        yield migration, statements
        if plan:
            continue
        started = datetime.now(UTC)
        _record(migration, started=started, finished=None)
        for statement in statements:
            client.command(statement)
        _record(migration, started=started, finished=datetime.now(UTC))


def migrations_applied() -> dict[str, str]:
    """Return the checksum of each finished migration; nothing when there is no state yet."""
    try:
        result = client.query("SELECT id, checksum FROM schema_migrations FINAL WHERE finished IS NOT NULL")
    except StoreUnavailable as error:
        if error.code in (Code.UNKNOWN_TABLE, Code.UNKNOWN_DATABASE):
            return {}
        raise
    return dict(result.rows)


def rendered(statement: str, *, cluster: str) -> str:
    """Fill the two placeholders that a cluster needs."""
    on_cluster = _on_cluster(cluster)
    return statement.replace("{on_cluster}", on_cluster).replace("{engine_prefix}", "Replicated" if cluster else "")


def _on_cluster(cluster: str) -> str:
    name = cluster.replace("\\", "\\\\").replace("'", "\\'")
    return f"ON CLUSTER '{name}'" if cluster else ""


def _prepare(cluster: str) -> None:
    try:
        client.query("SELECT 1")
    except StoreUnavailable as error:
        if error.code != Code.UNKNOWN_DATABASE:
            raise
        client.create_database(on_cluster=_on_cluster(cluster))
    client.command(rendered(STATE_TABLE, cluster=cluster))


def _record(migration: Migration, *, started: datetime, finished: datetime | None) -> None:
    row = {
        "id": migration.id,
        "checksum": migration.checksum,
        "started": clickhouse_time(started),
        "finished": clickhouse_time(finished) if finished else None,
        "recorded_at": clickhouse_time(datetime.now(UTC)),
    }
    client.insert_json_rows("schema_migrations", orjson.dumps(row), token=str(uuid4()))
