"""`manage.py plugin_log`, and how long lines are kept."""

import io
import sys
from datetime import UTC, datetime, timedelta
from io import StringIO
from types import ModuleType
from typing import Any
from uuid import UUID

import orjson
import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from core.outbox.models import OutboxRows
from core.outbox.services import outbox_drain
from core.tenancy.models import Team
from events.plugin_logs import LogQuestion, log_page
from events.rows import Table, plugin_log_row
from tests.core.conftest import Cast
from tests.core.http import parsed

pytestmark = pytest.mark.usefixtures("clickhouse")

NOW = datetime.now(UTC)


def line(**fields: Any) -> dict[str, Any]:
    defaults = {"team_id": 1, "plugin_id": 12, "plugin_config_id": 41, "source": "PLUGIN", "type": "INFO"}
    return {**defaults, "message": "loaded", "timestamp": NOW.isoformat(), **fields}


def run(lines: object) -> tuple[str, str]:
    """Run the command and return what it printed to standard output and error."""
    out, err = StringIO(), StringIO()
    text = lines if isinstance(lines, str) else orjson.dumps(lines).decode()
    call_command("plugin_log", json=text, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


@pytest.mark.django_db(transaction=True)
def test_lines_can_be_read_when_the_command_has_ended(cast: Cast) -> None:
    first = line(team_id=cast.team.id, message="first", timestamp=(NOW - timedelta(days=1)).isoformat())
    second = line(team_id=cast.team.id, message="second", type="ERROR", source="SYSTEM", timestamp=None)
    elsewhere = line(team_id=cast.other_team.id)
    del elsewhere["timestamp"]
    assert run([first, second, elsewhere]) == ("3 lines appended\n", "")
    path = "/api/projects/{}/plugin_configs/41/logs/"
    body = parsed(cast.as_member().get(path.format(cast.team.id)))
    assert [(found["message"], found["type"], found["source"]) for found in body["results"]] == [
        ("second", "ERROR", "SYSTEM"),
        ("first", "INFO", "PLUGIN"),
    ]
    assert body["results"][1]["timestamp"] == f"{NOW - timedelta(days=1):%Y-%m-%dT%H:%M:%S.%f}Z"
    assert parsed(cast.as_member().get(path.format(cast.other_team.id)))["count"] == 1


@pytest.mark.django_db(transaction=True)
def test_lines_can_come_from_standard_input(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, clickhouse: ModuleType
) -> None:
    many = [line(team_id=cast.team.id, message=f"{number} " + "x" * 200) for number in range(3_000)]
    monkeypatch.setattr(sys, "stdin", io.StringIO(orjson.dumps(many).decode()))
    assert run("-") == ("3,000 lines appended\n", "")
    assert clickhouse.query("SELECT count() FROM plugin_log_entries").rows == [(3_000,)]


GOOD = line()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no JSON: "),
        ("{oops", "no JSON: Expecting property name"),
        ("[" * 3_000, "no JSON: "),
        ('"\\ud800"', "no JSON: "),
        ("{}", "expected a JSON array of objects"),
        ("null", "expected a JSON array of objects"),
        ("[5]", "line 0: expected an object"),
        ([GOOD, {}], "line 1: team_id, plugin_id, plugin_config_id, source, type, message missing"),
        ([GOOD, line(level="INFO")], "line 1: unknown key 'level'; a line has team_id, "),
        ([line(team_id="1")], "line 0: team_id must be a positive integer"),
        ([line(plugin_id=True)], "line 0: plugin_id must be a positive integer"),
        ([line(plugin_config_id=0)], "line 0: plugin_config_id must be a positive integer"),
        ([line(plugin_config_id=2**63)], "line 0: plugin_config_id must be a positive integer"),
        ([line(plugin_config_id=1.5)], "line 0: plugin_config_id must be a positive integer"),
        ([line(plugin_config_id=None)], "line 0: plugin_config_id must be a positive integer"),
        ([line(source="system")], "line 0: source must be one of SYSTEM, PLUGIN, CONSOLE"),
        ([line(source=["SYSTEM"])], "line 0: source must be one of SYSTEM, PLUGIN, CONSOLE"),
        ([line(type="FATAL")], "line 0: type must be one of DEBUG, LOG, INFO, WARN, ERROR"),
        ([line(type={})], "line 0: type must be one of DEBUG, LOG, INFO, WARN, ERROR"),
        ([line(message=None)], "line 0: message must be a text"),
        ([line(message={"a": 1})], "line 0: message must be a text"),
        ([line(timestamp="noon")], "line 0: timestamp must be a time in ISO 8601"),
        ([line(timestamp=1700000000)], "line 0: timestamp must be a time in ISO 8601"),
        ([line(timestamp="0001-01-01T00:00:00+14:00")], "line 0: timestamp must be a time in ISO 8601"),
        ([line(timestamp="1969-12-31T23:59:59Z")], "line 0: timestamp must lie from 1970 to 2099"),
        ([line(timestamp="2100-01-01")], "line 0: timestamp must lie from 1970 to 2099"),
        ([GOOD, line(team_id=2**40)], "there is no project 1099511627776"),
    ],
)
def test_one_wrong_line_is_told_and_nothing_is_written(
    cast: Cast, clickhouse: ModuleType, text: object, problem: str
) -> None:
    if isinstance(text, list):
        text = [{**found, "team_id": cast.team.id} if found == GOOD else found for found in text]
    with pytest.raises(CommandError) as refused:
        run(text)
    assert str(refused.value).startswith(problem)
    assert not OutboxRows.objects.exists()
    assert clickhouse.query("SELECT count() FROM plugin_log_entries").rows == [(0,)]


@pytest.mark.django_db
def test_a_deleted_project_takes_no_lines(cast: Cast) -> None:
    Team.objects.filter(id=cast.team.id).update(deleted_at=NOW)
    with pytest.raises(CommandError, match=f"there is no project {cast.team.id}"):
        run([line(team_id=cast.other_team.id), line(team_id=cast.team.id)])
    assert not OutboxRows.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_while_clickhouse_is_away_lines_wait_in_postgres(
    cast: Cast, clickhouse: ModuleType, settings: Settings
) -> None:
    there = settings.CLICKHOUSE_URL
    settings.CLICKHOUSE_URL = "http://127.0.0.1:9/gone"
    out, err = run([line(team_id=cast.team.id)])
    assert out == "1 line appended\n"
    assert err == "A store is away: the worker of `manage.py up` carries them into ClickHouse later.\n"
    settings.CLICKHOUSE_URL = there
    outbox_drain()
    assert clickhouse.query("SELECT count() FROM plugin_log_entries").rows == [(1,)]


@pytest.mark.django_db(transaction=True)
def test_lines_past_their_time_are_told(cast: Cast, settings: Settings) -> None:
    settings.PLUGIN_LOG_RETENTION_DAYS = 3
    days = [2, 4, 5]
    given = [line(team_id=cast.team.id, timestamp=(NOW - timedelta(days=ago)).isoformat()) for ago in days]
    out, err = run(given)
    assert out == "3 lines appended\n"
    assert err == "2 of them are older than 3 days (PLUGIN_LOG_RETENTION_DAYS) and soon gone\n"


def test_the_retention_is_applied_by_migrate_events(clickhouse: ModuleType, settings: Settings) -> None:
    def rule() -> str:
        sql = (
            "SELECT extract(create_table_query, 'TTL [^\\n]*') FROM system.tables "
            "WHERE database = currentDatabase() AND name = 'plugin_log_entries'"
        )
        return str(clickhouse.query(sql).rows[0][0])

    told = StringIO()
    try:
        for days in (30, 30):
            settings.PLUGIN_LOG_RETENTION_DAYS = days
            call_command("migrate_events", stdout=told)
            assert "toIntervalDay(30)" in rule()
    finally:
        settings.PLUGIN_LOG_RETENTION_DAYS = 7
        call_command("migrate_events", stdout=told)
    assert "toIntervalDay(7)" in rule()
    kept = [found for found in told.getvalue().splitlines() if found.startswith("Logs")]
    assert kept == ["Logs of plugins are kept for 30 days.", "Logs of plugins are kept for 7 days."]


def test_lines_are_dropped_when_they_are_older(clickhouse: ModuleType) -> None:
    rows = [
        plugin_log_row(
            id=UUID(int=ago),
            team_id=77,
            plugin_id=1,
            plugin_config_id=1,
            timestamp=NOW - timedelta(days=ago),
            source="SYSTEM",
            type="INFO",
            message=str(ago),
            instance_id=UUID(int=9),
        )
        for ago in (1, 6, 9, 400)
    ]
    clickhouse.insert_json_rows(Table.PLUGIN_LOG_ENTRIES, b"\n".join(map(orjson.dumps, rows)), token="ages")
    clickhouse.command("OPTIMIZE TABLE plugin_log_entries FINAL")
    lines, count = log_page(LogQuestion(77, 1), limit=10, offset=0)
    assert ([found[7] for found in lines], count) == (["1", "6"], 2)
