"""What ClickHouse itself reads out of the files under deploy/clickhouse: the user, its grants, bounds and policies."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from events import query_user

RULES = Path(__file__).parents[2] / "deploy/clickhouse/users.d/persons_api_query.xml"
OTHERS = {
    "users": "<default><password/><networks><ip>::/0</ip></networks><access_management>1</access_management></default>",
    "profiles": "<default/>",
    "quotas": "<default/>",
}
# An engine is opened once in a process. It prints a list of rows for each statement.
ASKING = """
import sys

import orjson
from chdb.state.sqlitelike import Connection

connection = Connection(sys.argv[1])
answers = [orjson.loads(bytes(connection.query(sql, "JSONCompact").bytes()))["data"] for sql in sys.argv[2:]]
print("\\n" + orjson.dumps(answers).decode())
"""
QUESTIONS = (
    "SHOW GRANTS FOR persons_api_query",
    "SELECT setting_name, value, min, max FROM system.settings_profile_elements WHERE profile_name LIKE 'p%'",
    "SELECT table, select_filter FROM system.row_policies WHERE short_name = 'persons_api_query'",
    "SELECT auth_type, host_ip FROM system.users WHERE name = 'persons_api_query'",
)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[list[list[Any]]]:
    """Open an engine with the server's rules of users, and ask it what they are."""
    folder = tmp_path_factory.mktemp("rules")
    text = RULES.read_text(encoding="utf-8")
    for section, others in OTHERS.items():
        text = text.replace(f"<{section}>", f"<{section}>{others}", 1)
    # chDB does not read `access_control_improvements`, without which these words are an error.
    text = text.replace("<changeable_in_readonly/>", "")
    users, config = folder / "users.xml", folder / "config.xml"
    users.write_text(text, encoding="utf-8")
    directories = f"<user_directories><users_xml><path>{users}</path></users_xml></user_directories>"
    config.write_text(f"<clickhouse>{directories}</clickhouse>", encoding="utf-8")
    command = [sys.executable, "-c", ASKING, f"{folder / 'data'}?config-file={config}", *QUESTIONS]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, query_user.VARIABLE: "a-password"}
    )
    found: list[list[list[Any]]] = orjson.loads(done.stdout.splitlines()[-1])
    return found


def test_it_may_read_its_tables_and_nothing_else(answers: list[list[list[Any]]]) -> None:
    granted = {text for (text,) in answers[0]}
    prefix = f"GRANT SELECT ON {query_user.DATABASE}."
    assert granted == {f"{prefix}{table} TO {query_user.USER}" for table in query_user.TABLES}


def test_its_settings_are_fixed_or_within_bounds(answers: list[list[list[Any]]]) -> None:
    found = {name: (value, low, high) for name, value, low, high in answers[1]}
    assert found.pop("readonly")[0] == "1"
    for name, fixed in query_user.FIXED.items():
        assert found.pop(name)[0] in {fixed, {"1": "true", "0": "false"}.get(fixed)}, name
    for name, limit in query_user.LIMITS.items():
        assert found.pop(name) == (None, str(limit.minimum), str(limit.maximum)), name
    assert set(found) <= {"log_comment"}


def test_it_sees_rows_of_one_team(answers: list[list[list[Any]]]) -> None:
    # ClickHouse writes conditions with more parentheses.
    found = {table: re.sub("[()]", "", text) for table, text in answers[2]}
    assert found == dict.fromkeys(query_user.TABLES, re.sub("[()]", "", query_user.ROW_FILTER))


def test_it_has_a_password(answers: list[list[list[Any]]]) -> None:
    assert answers[3] == [[["plaintext_password"], ["::/0"]]]
