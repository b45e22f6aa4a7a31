"""How long ClickHouse keeps its rows about queries that were run; HogQL reads them, the outbox writes them."""

from events.retention import ttl_apply
from events.rows import Table


def retention_apply(days: int) -> bool:
    """Let ClickHouse drop rows `days` after their query; return whether that changes anything."""
    return ttl_apply(Table.QUERY_LOG, column="event_time", days=days)
