"""Lines that plugins wrote, and the queries that were run."""

from collections.abc import Mapping
from typing import Final

from events.hogql.tables.table import Field, Member, Table, column, same, written
from events.hogql.types import BOOLEAN, DATE, DATETIME, INTEGER, STRING

_TEAM: Final = Field(type=INTEGER, write=column("team_id"), hidden=True, description="The project.")
_LINES: Final[Mapping[str, Member]] = {
    "team_id": _TEAM,
    "log_source": Field(type=STRING, write=written("'plugin'"), description="What wrote the line: `plugin`."),
    "log_source_id": Field(
        type=STRING, write=written("toString(<e>.plugin_config_id)"), description="The id of the plugin config."
    ),
    "instance_id": Field(
        type=STRING, write=written("toString(<e>.instance_id)"), description="The process that wrote the line."
    ),
    "timestamp": Field(type=DATETIME, write=column("timestamp"), description="When the line was written."),
    "level": Field(
        type=STRING, write=written("CAST(<e>.type AS String)"), description="`DEBUG`, `LOG`, `INFO`, `WARN` or `ERROR`."
    ),
    "message": Field(type=STRING, write=column("message"), description="The line."),
}
LOG_ENTRIES: Final = Table(
    name="log_entries",
    clickhouse="plugin_log_entries",
    description="Lines about plugin configs.",
    of=same(_LINES),
)

_QUERIES: Final[Mapping[str, Member]] = {
    "query_id": Field(type=STRING, write=column("query_id"), description="The query's id, as the client gave it."),
    "team_id": _TEAM,
    "event_date": Field(type=DATE, write=written("toDate(<e>.event_time)"), description="The day, in UTC."),
    "event_time": Field(type=DATETIME, write=column("event_time"), description="When the query began."),
    "query_duration_ms": Field(
        type=INTEGER, write=column("query_duration_ms"), description="How many milliseconds it took."
    ),
    "read_rows": Field(type=INTEGER, write=column("read_rows"), description="Rows read in ClickHouse."),
    "read_bytes": Field(type=INTEGER, write=column("read_bytes"), description="Bytes read in ClickHouse."),
    "result_rows": Field(type=INTEGER, write=column("result_rows"), description="Rows of the answer."),
    "memory_usage": Field(type=INTEGER, write=column("memory_usage"), description="Bytes of memory used at most."),
    "query": Field(type=STRING, write=column("query"), description="The query as it was sent."),
    "kind": Field(type=STRING, write=written("CAST(<e>.kind AS String)"), description="Such as `HogQLQuery`."),
    "name": Field(type=STRING, write=column("name"), description="The name that it was sent with."),
    "is_personal_api_key_request": Field(
        type=BOOLEAN,
        write=column("is_personal_api_key_request"),
        description="Whether a personal API key sent it.",
    ),
    "created_by": Field(type=INTEGER, write=column("created_by"), description="The id of the user who sent it."),
    "exception_code": Field(type=INTEGER, write=column("exception_code"), description="ClickHouse's code; 0 for none."),
    "status": Field(type=STRING, write=written("CAST(<e>.status AS String)"), description="How it ended."),
}


def _query_log(name: str, description: str, *, listed: bool) -> Table:
    return Table(name=name, clickhouse="query_log", description=description, of=same(_QUERIES), listed=listed)


QUERY_LOG: Final = _query_log("query_log", "The queries of this project.", listed=True)
RAW_QUERY_LOG: Final = _query_log("raw_query_log", "The same as query_log.", listed=False)
