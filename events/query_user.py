"""What the ClickHouse user of HogQL statements may do: the one list that the server's and the embedded rules come from.

`python -m events.query_user` writes deploy/clickhouse/users.d/persons_api_query.xml; `--config` writes the file for
config.d beside it. The embedded engine makes its rules of the same names at every start.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

USER: Final = "persons_api_query"
VARIABLE: Final = "CLICKHOUSE_QUERY_PASSWORD"
DATABASE: Final = "persons_api"

TABLES: Final = (
    "events",
    "persons",
    "person_distinct_ids",
    "person_distinct_id_overrides",
    "groups",
    "cohort_people",
    "session_recordings",
    "plugin_log_entries",
    "query_log",
)
"""What may be read, each with a `team_id`; blobs of recordings and the deletions' notes are not among them."""

COMMENT: Final = "hogql:{team_id}:{query_id}"
"""The `log_comment` of a statement. It says whose rows are shown, and is how progress and cancelling find it."""

# A comment of any other form gives NULL, and then no row is shown.
ROW_FILTER: Final = r"team_id = toInt64OrNull(extract(getSetting('log_comment'), '^hogql:([0-9]+):'))"

FIXED: Final[Mapping[str, str]] = {
    "transform_null_in": "1",
    "date_time_output_format": "iso",
    "output_format_json_quote_64bit_integers": "0",
    "output_format_json_quote_denormals": "0",
    "output_format_json_named_tuples_as_objects": "0",
    "cancel_http_readonly_queries_on_client_close": "1",
    # The clock is looked at between blocks: of the usual 65,536 rows, one can take minutes.
    "max_block_size": "8192",
    # It takes a part for one without rows that count once a join has narrowed what was read of it: rows are lost.
    "use_query_condition_cache": "0",
    "timeout_overflow_mode": "throw",
    "result_overflow_mode": "throw",
    "max_query_size": "4194304",
    "max_ast_depth": "2000",
    "max_ast_elements": "1000000",
    "max_expanded_ast_elements": "4000000",
    "max_concurrent_queries_for_user": "64",
}
"""In force on every statement; nobody can change them."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A setting that each statement brings, within bounds."""

    maximum: int
    minimum: int = 1
    """0 would mean no limit at all."""


LIMITS: Final[Mapping[str, Limit]] = {
    "max_execution_time": Limit(1800),
    "max_memory_usage": Limit(64 * 1024**3),
    "max_threads": Limit(64),
    "max_result_rows": Limit(1_000_000),
    "max_result_bytes": Limit(1024**3),
    "max_rows_to_read": Limit(10**13),
    "max_bytes_to_read": Limit(10**15),
    "max_bytes_before_external_group_by": Limit(64 * 1024**3, minimum=0),
    "max_bytes_before_external_sort": Limit(64 * 1024**3, minimum=0),
}

_SERVER: Final = """\
<!-- Written by `python -m events.query_user`: change that, not this. The database's name is {database}. -->
<clickhouse>
    <profiles>
        <{user}>
            <readonly>1</readonly>
{fixed}
            <constraints>
{limits}
                <log_comment><changeable_in_readonly/></log_comment>
            </constraints>
        </{user}>
    </profiles>
    <quotas>
        <!-- Counted and not limited: the API limits requests by project and by key. -->
        <{user}>
            <interval><duration>3600</duration><queries>0</queries><read_rows>0</read_rows></interval>
        </{user}>
    </quotas>
    <users>
        <{user}>
            <password from_env="{variable}"/>
            <networks><ip>::/0</ip></networks>
            <profile>{user}</profile>
            <quota>{user}</quota>
            <grants>
{grants}
            </grants>
            <databases>
                <{database}>
{policies}
                </{database}>
            </databases>
        </{user}>
    </users>
</clickhouse>
"""

_CONFIG: Final = """\
<!-- Written by `python -m events.query_user --config`: what the rules of users.d/persons_api_query.xml stand on. -->
<clickhouse>
    <access_control_improvements>
        <!-- The application's own user has no row policy, and sees all. -->
        <users_without_row_policies_can_read_rows>true</users_without_row_policies_can_read_rows>
        <select_from_system_db_requires_grant>true</select_from_system_db_requires_grant>
        <select_from_information_schema_requires_grant>true</select_from_information_schema_requires_grant>
        <settings_constraints_replace_previous>true</settings_constraints_replace_previous>
    </access_control_improvements>
</clickhouse>
"""


def comment(team_id: int, query_id: str) -> str:
    """Return the `log_comment` of a statement."""
    return COMMENT.format(team_id=team_id, query_id=query_id)


def grants(database: str) -> Iterator[str]:
    """Yield the GRANT of each table, without the user or role that gets it."""
    return (f"GRANT SELECT ON {_quoted(database)}.{_quoted(table)}" for table in TABLES)


def policies(row_filter: str = ROW_FILTER) -> Iterator[str]:
    """Yield the row policy of each table as an element below its database's."""
    return (f"<{table}><filter>{escape(row_filter)}</filter></{table}>" for table in TABLES)


def server_users(database: str = DATABASE) -> str:
    """Return the file for users.d of a real server."""
    bounds = (
        f"<{name}><min>{limit.minimum}</min><max>{limit.maximum}</max><changeable_in_readonly/></{name}>"
        for name, limit in LIMITS.items()
    )
    return _SERVER.format(
        user=USER,
        variable=VARIABLE,
        database=database,
        fixed=_lines((f"<{name}>{value}</{name}>" for name, value in FIXED.items()), 12),
        limits=_lines(bounds, 16),
        grants=_lines((f"<query>{grant}</query>" for grant in grants(database)), 16),
        policies=_lines(policies(), 20),
    )


def server_config() -> str:
    """Return the file for config.d of a real server."""
    return _CONFIG


def _quoted(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _lines(elements: Iterator[str], indent: int) -> str:
    return "\n".join(" " * indent + element for element in elements)


if __name__ == "__main__":
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--database", default=DATABASE)
    reader.add_argument("--config", action="store_true")
    given = reader.parse_args()
    sys.stdout.write(server_config() if given.config else server_users(given.database))
