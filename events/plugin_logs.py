"""Lines about plugin configs: a page of them with the count of all, and how long they are kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

from events import client
from events.retention import ttl_apply
from events.rows import Table, clickhouse_time

_OF_CONFIG: Final = "team_id = {team_id:Int64} AND plugin_config_id = {plugin_config_id:Int64}"
_AFTER: Final = "timestamp > {after:DateTime64(6, 'UTC')}"
_BEFORE: Final = "timestamp < {before:DateTime64(6, 'UTC')}"
_TYPES: Final = "type IN {types:Array(String)}"
# Unlike ILIKE it has no wildcards.
_SEARCH: Final = "positionCaseInsensitiveUTF8(message, {search:String}) > 0"

_PAGE: Final = """
SELECT id, team_id, plugin_id, plugin_config_id, timestamp, source, type, message, instance_id
FROM plugin_log_entries WHERE <condition>
ORDER BY timestamp DESC, id DESC LIMIT {limit:UInt32} OFFSET {offset:UInt64}
"""


@dataclass(frozen=True, slots=True)
class LogQuestion:
    """Which lines of a config are wanted; `after` and `before` are left out themselves, no `types` are all types.

    `search` is a part of the message, whatever its case.
    """

    team_id: int
    plugin_config_id: int
    after: datetime | None = None
    before: datetime | None = None
    search: str = ""
    types: Sequence[str] = ()


type LogLine = tuple[str, int, int, int, str, str, str, str, str]
"""Id, team, plugin, config, timestamp (`YYYY-MM-DD HH:MM:SS.ffffff`, UTC), source, type, message and instance."""


def log_page(question: LogQuestion, *, limit: int, offset: int) -> tuple[list[LogLine], int]:
    """Return `limit` lines from `offset`, newest first, and how many there are in all.

    Lines of one moment are in the order in which they were appended, newest first too.
    """
    condition, parameters = _condition(question)
    page = _PAGE.replace("<condition>", condition)
    rows, count = client.query_counted(page, {**parameters, "limit": limit, "offset": offset})
    return [cast("LogLine", tuple(row)) for row in rows], count


def retention_apply(days: int) -> bool:
    """Let ClickHouse drop lines `days` after their timestamp; return whether that changes anything."""
    return ttl_apply(Table.PLUGIN_LOG_ENTRIES, column="timestamp", days=days)


def _condition(question: LogQuestion) -> tuple[str, dict[str, Any]]:
    asked: dict[str, tuple[str, Any]] = {
        "after": (_AFTER, question.after and clickhouse_time(question.after)),
        "before": (_BEFORE, question.before and clickhouse_time(question.before)),
        "types": (_TYPES, list(question.types)),
        "search": (_SEARCH, question.search),
    }
    given = {name: value for name, (_, value) in asked.items() if value}
    parameters = {"team_id": question.team_id, "plugin_config_id": question.plugin_config_id, **given}
    return " AND ".join([_OF_CONFIG, *(asked[name][0] for name in given)]), parameters
