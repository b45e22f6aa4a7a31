"""Pages of log lines against a plain loop, and how long lines are kept."""

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from types import ModuleType
from uuid import UUID, uuid4

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events import client
from events.plugin_logs import LogLine, LogQuestion, log_page, retention_apply
from events.rows import Row, Table, plugin_log_row

pytestmark = pytest.mark.usefixtures("clickhouse")

BEGIN = datetime.now(UTC).replace(hour=23, minute=59, second=59, microsecond=999_998) - timedelta(days=2)
TYPES = ["DEBUG", "LOG", "INFO", "WARN", "ERROR"]
_teams = itertools.count(10_000)

moments = st.integers(0, 3).map(lambda us: BEGIN + timedelta(microseconds=us))
pieces = st.sampled_from(["%", "_", "a_b", "acb", "É", "é", "ẞ", "ß", "\\", "'", "x", "X", "😀{x}"])
texts = st.lists(pieces, max_size=4).map("".join)
lines = st.builds(
    plugin_log_row,
    id=st.uuids(),
    team_id=st.just(0),
    plugin_id=st.integers(1, 2),
    plugin_config_id=st.sampled_from([1, 1, 1, 2]),
    timestamp=moments,
    source=st.sampled_from(["SYSTEM", "PLUGIN", "CONSOLE"]),
    type=st.sampled_from(TYPES),
    message=texts,
    instance_id=st.uuids(),
)


def stored(rows: Sequence[Row]) -> None:
    if rows:
        client.insert_json_rows(Table.PLUGIN_LOG_ENTRIES, b"\n".join(map(orjson.dumps, rows)), token=str(uuid4()))


def naive(rows: Sequence[Row], question: LogQuestion) -> list[Row]:
    """Pick by looking at every line. ClickHouse compares the second half of a UUID first."""

    def wanted(row: Row) -> bool:
        moment = datetime.fromisoformat(row["timestamp"]).replace(tzinfo=UTC)
        return (
            (row["team_id"], row["plugin_config_id"]) == (question.team_id, question.plugin_config_id)
            and (question.after is None or moment > question.after)
            and (question.before is None or moment < question.before)
            and (not question.types or row["type"] in question.types)
            and question.search.lower() in row["message"].lower()
        )

    def place(row: Row) -> tuple[str, int, int]:
        number = UUID(row["id"]).int
        return row["timestamp"], number & (1 << 64) - 1, number >> 64

    return sorted(filter(wanted, rows), key=place, reverse=True)


def row_of(line: LogLine) -> Row:
    names = ("id", "team_id", "plugin_id", "plugin_config_id", "timestamp", "source", "type", "message", "instance_id")
    return dict(zip(names, line, strict=True))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(lines, max_size=14, unique_by=lambda row: row["id"]),
    theirs=st.lists(lines, max_size=3, unique_by=lambda row: row["id"]),
    after=st.none() | st.none() | moments,
    before=st.none() | st.none() | moments,
    search=st.just("") | pieces | texts,
    types=st.just([]) | st.lists(st.sampled_from(TYPES), max_size=2),
    limit=st.integers(1, 5),
    offset=st.integers(0, 8) | st.just(10**18),
)
def test_a_page_is_that_of_a_plain_loop(
    rows: list[Row],
    theirs: list[Row],
    after: datetime | None,
    before: datetime | None,
    search: str,
    types: list[str],
    limit: int,
    offset: int,
) -> None:
    team, other = next(_teams), next(_teams)
    rows = [{**row, "team_id": team} for row in rows]
    stored(rows)
    stored([{**row, "team_id": other} for row in theirs])
    question = LogQuestion(team, 1, after=after, before=before, search=search, types=types)
    found, count = log_page(question, limit=limit, offset=offset)
    expected = naive(rows, question)
    assert count == len(expected)
    assert [row_of(line) for line in found] == expected[offset : offset + limit]


def test_times_are_compared_in_utc_whatever_their_offset() -> None:
    team = next(_teams)
    noon = BEGIN.replace(hour=12)
    row = plugin_log_row(
        id=uuid4(), team_id=team, plugin_id=1, plugin_config_id=1, timestamp=noon, source="SYSTEM", type="INFO",
        message="", instance_id=uuid4(),
    )  # fmt: skip
    stored([row])
    east = (noon - timedelta(microseconds=1)).astimezone(timezone(timedelta(hours=9)))
    assert log_page(LogQuestion(team, 1, after=east), limit=1, offset=0)[1] == 1
    assert log_page(LogQuestion(team, 1, before=east), limit=1, offset=0)[1] == 0


def test_retention_changes_the_table_once(clickhouse: ModuleType) -> None:
    def rule() -> str:
        sql = (
            "SELECT extract(create_table_query, 'TTL [^\\n]*') FROM system.tables "
            "WHERE database = currentDatabase() AND name = 'plugin_log_entries'"
        )
        return str(clickhouse.query(sql).rows[0][0])

    try:
        assert retention_apply(7) is False
        assert retention_apply(90) is True
        assert "toDateTime(timestamp) + toIntervalDay(90)" in rule()
        assert retention_apply(90) is False
    finally:
        retention_apply(7)
    assert "toIntervalDay(7)" in rule()


def test_the_count_is_exact_over_many_parts_and_granules(clickhouse: ModuleType) -> None:
    team, parts, rows = next(_teams), 6, 4_000
    for part in range(parts):
        clickhouse.command(
            "INSERT INTO plugin_log_entries SELECT generateUUIDv4(number), {team:Int64}, 1, 1 + number % 2, "
            "toDateTime64({begin:String}, 6, 'UTC') + toIntervalMillisecond(number), 'SYSTEM', 'INFO', "
            "concat('line ', toString(number)), generateUUIDv4() FROM numbers({first:UInt64}, {rows:UInt64})",
            {"team": team, "begin": f"{BEGIN:%Y-%m-%d %H:%M:%S}", "first": part * rows, "rows": rows},
        )
    for offset in (0, 1, 5_000, 11_999, 12_000, 50_000):
        found, count = log_page(LogQuestion(team, 2), limit=3, offset=offset)
        assert count == 12_000
        newest = range(23_999 - 2 * offset, 0, -2)[:3]
        assert [line[7] for line in found] == [f"line {number}" for number in newest]
    assert log_page(LogQuestion(team, 2, search="line 23"), limit=1, offset=0)[1] == 556
    assert log_page(LogQuestion(team, 2, types=["WARN"]), limit=1, offset=0) == ([], 0)
