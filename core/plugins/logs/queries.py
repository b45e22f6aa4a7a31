"""Reads of logs, as they are answered."""

from typing import Any, Final

from events import plugin_logs
from events.plugin_logs import LogLine, LogQuestion

type Row = dict[str, Any]

FIELDS: Final = (
    "id", "team_id", "plugin_id", "plugin_config_id", "timestamp", "source", "type", "message", "instance_id",
)  # fmt: skip


def log_page(question: LogQuestion, *, limit: int, offset: int) -> tuple[list[Row], int]:
    """Return `limit` lines from `offset`, newest first, in the API's shape, and how many there are in all.

    Raises the errors of events.errors.
    """
    lines, count = plugin_logs.log_page(question, limit=limit, offset=offset)
    return [_row(line) for line in lines], count


def _row(line: LogLine) -> Row:
    row: Row = dict(zip(FIELDS, line, strict=True))
    row["timestamp"] = row["timestamp"].replace(" ", "T") + "Z"
    return row
