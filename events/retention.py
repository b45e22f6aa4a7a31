"""How long ClickHouse keeps the rows of a table: its TTL, brought to what the settings say."""

from typing import Final

from events import client
from events.rows import Table

_DAYS: Final = (
    "SELECT extract(create_table_query, 'toIntervalDay\\\\((\\\\d+)\\\\)') FROM system.tables "
    "WHERE database = currentDatabase() AND name = {table:String}"
)


def ttl_apply(table: Table, *, column: str, days: int) -> bool:
    """Let rows go `days` after their time in a column, or stay for 0; return whether that changes anything."""
    rows = client.query(_DAYS, {"table": table.value}).rows
    if not rows or int(rows[0][0] or 0) == days:
        return False
    # Identifiers and numbers of our own: DDL binds no parameters.
    rule = f"MODIFY TTL toDateTime({column}) + toIntervalDay({days})" if days else "REMOVE TTL"
    client.command(f"ALTER TABLE {table.value} {rule}")
    return True
