"""Reads of logs, as they are answered."""

from typing import Any

from events import plugin_logs
from events.plugin_logs import LogLine, LogQuestion

type Row = dict[str, Any]


def log_page(question: LogQuestion, *, limit: int, offset: int) -> tuple[list[Row], int]:
    """Return `limit` lines from `offset`, newest first, in the API's shape, and how many there are in all.

    Raises the errors of events.errors.
    """
    lines, count = plugin_logs.log_page(question, limit=limit, offset=offset)
    return [_row(line) for line in lines], count


def _row(line: LogLine) -> Row:
    return {
        "id": line.id,
        "team_id": line.team_id,
        "plugin_id": line.plugin_id,
        "plugin_config_id": line.plugin_config_id,
        "timestamp": line.timestamp.isoformat(timespec="microseconds") + "Z",
        "source": line.source,
        "type": line.type,
        "message": line.message,
        "instance_id": line.instance_id,
    }
