"""Properties: texts as they were sent, values of the type that the project's definitions say, times in its zone."""
# ruff: noqa: E501, S608 - a statement and its outcome are one line; nobody else's text is in the statements

from types import ModuleType
from typing import Any

import pytest

from tests.events.hogql.compiler.world import answer, ask, compiled, one

PROPERTIES: list[tuple[str, str, Any]] = [
    ("properties.x", "buy", "b"),
    ("properties['x']", "buy", "b"),
    ("properties.missing", "buy", None),
    ("properties.list", "buy", '[1,"two",{"k":"v"}]'),
    ("properties.list[2]", "buy", "two"),
    ("properties.list.3.k", "buy", "v"),
    ("properties.price", "buy", 2.5),
    ("properties.paid", "buy", False),
    ("properties.code", "buy", "007"),
    ("toFloatOrZero(properties.code)", "buy", 7),
    ("toFloatOrZero(properties.price)", "buy", 2.5),
    ("JSONExtractRaw(properties, 'list')", "buy", '[1,"two",{"k":"v"}]'),
    ("person.properties.age", "buy", 31),
    ("properties.age", "buy", None),
    ("properties.price + 1", "buy", 3.5),
    ("properties.price = '2.5'", "buy", 1),
    ("properties.price = 'two'", "buy", 0),
    ("properties.price IN ('2.5', '3')", "buy", 1),
    ("properties.price IN ('two')", "buy", 0),
    ("properties.paid = false", "buy", 1),
    ("properties.paid = 'false'", "buy", 1),
    ("properties.paid IN ('true', 'false')", "buy", 1),
    ("properties.list[1] = 1", "buy", 1),
    ("properties.code = 7", "buy", 1),
    ("properties.code > 6.5", "buy", 1),
    ("properties.code IN (7, 8)", "buy", 1),
    ("length(properties.quote)", "view", 9),
    ("properties.quote", "view", 'say "hi"\n'),
    ("properties.x", "view", ""),
    ("properties.n", "view", "0"),
    ("properties.nothing", "view", None),
    ("properties.deep.er.est", "view", "end"),
    ("properties['deep']['er']", "view", '{"est":"end"}'),
    ("properties.deep.nope.est", "view", None),
    ("properties[concat('n')]", "view", "0"),
]


@pytest.mark.parametrize(("expression", "event", "value"), PROPERTIES)
def test_property(world: ModuleType, expression: str, event: str, value: Any) -> None:
    rows = ask(f"SELECT {expression} FROM events WHERE event = '{event}' ORDER BY timestamp DESC LIMIT 1")
    assert rows == [[value]]


def test_time_of_a_property_is_shown_in_the_projects_zone(world: ModuleType) -> None:
    found = answer("SELECT properties.due FROM events WHERE properties.due > '2024-03-02 10:59:59'")
    assert found["meta"][0]["type"] == "Nullable(DateTime64(6, 'Europe/Berlin'))"
    assert found["data"] == [["2024-03-02T10:00:00.000000Z"]]


def test_timestamp_is_shown_in_the_projects_zone(world: ModuleType) -> None:
    found = answer("SELECT timestamp FROM events WHERE event = 'quit'")
    assert found["meta"][0]["type"] == "DateTime64(6, 'Europe/Berlin')"
    inner = answer("SELECT t FROM (SELECT timestamp AS t FROM events WHERE event = 'quit')")
    assert inner["meta"][0]["type"] == "DateTime64(6, 'Europe/Berlin')"
    assert inner["data"] == found["data"] == [["2024-03-01T15:00:00.000000Z"]]


def test_function_that_wants_text_gets_the_text_of_a_typed_property() -> None:
    assert "toFloat64OrNull(JSONExtract(" in compiled("SELECT properties.price FROM events").sql
    assert "toFloat64OrNull(JSONExtract(" not in compiled("SELECT toFloatOrZero(properties.price) FROM events").sql
    assert "toFloat64OrNull(JSONExtract(" in compiled("SELECT toFloatOrZero(-properties.price) FROM events").sql


TIMES: list[tuple[str, Any]] = [
    # 12:00 to 15:00 UTC are 13:00 to 16:00 in Berlin.
    ("SELECT count() FROM events WHERE timestamp >= '2024-03-01 16:00:00'", [[1]]),
    ("SELECT count() FROM events WHERE timestamp >= '2024-03-01T15:00:00Z'", [[1]]),
    ("SELECT count() FROM events WHERE timestamp >= '2024-03-01T16:00:00+01:00'", [[1]]),
    ("SELECT count() FROM events WHERE timestamp >= 'Mar 1 2024 16:00:00'", [[1]]),
    ("SELECT count() FROM events WHERE timestamp >= toDateTime('2024-03-01 16:00:00')", [[1]]),
    ("SELECT count() FROM events WHERE timestamp < '2024-03-02' AND timestamp >= '2024-03-01'", [[4]]),
    ("SELECT count() FROM events WHERE timestamp >= toDate('2024-03-02')", [[0]]),
    ("SELECT count() FROM events WHERE timestamp BETWEEN '2024-03-01 14:00' AND '2024-03-01 15:00'", [[2]]),
    ("SELECT count() FROM events WHERE timestamp IN ('2024-03-01 14:00:00')", [[1]]),
    ("SELECT count() FROM events WHERE toDate(timestamp) = '2024-03-01'", [[4]]),
    ("SELECT count() FROM events WHERE toHour(timestamp) = 16", [[1]]),
    ("SELECT timestamp AS t, count() FROM events GROUP BY t ORDER BY t DESC LIMIT 1", [["2024-03-01T15:00:00.000000Z", 1]]),
    ("SELECT timestamp, count() FROM events GROUP BY 1 ORDER BY timestamp DESC LIMIT 1", [["2024-03-01T15:00:00.000000Z", 1]]),
    ("SELECT DISTINCT timestamp FROM events ORDER BY timestamp DESC LIMIT 1", [["2024-03-01T15:00:00.000000Z"]]),
    ("SELECT max(timestamp) AS last FROM events HAVING last > '2024-03-01'", [["2024-03-01T15:00:00.000000Z"]]),
    ("SELECT toStartOfWeek(timestamp), count() FROM events GROUP BY 1", [["2024-02-26", 4]]),
    ("SELECT toStartOfDay(timestamp) AS day FROM events GROUP BY day", [["2024-02-29T23:00:00Z"]]),
    ("SELECT count() FROM (SELECT timestamp FROM events) WHERE timestamp >= '2024-03-01 16:00:00'", [[1]]),
    ("SELECT count() FROM events WHERE created_at > now() - interval 1 day", [[0]]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "rows"), TIMES, ids=[text for text, _ in TIMES])
def test_time(world: ModuleType, text: str, rows: Any) -> None:
    assert ask(text) == rows


@pytest.mark.parametrize(
    "text",
    [
        "SELECT count() FROM events WHERE timestamp >= '2024-03-01' AND timestamp < '2024-03-02'",
        "SELECT count() FROM events WHERE timestamp >= '2024-03-01T00:00:00.000Z'",
        "SELECT timestamp AS t FROM events WHERE t >= toDate('2024-03-01')",
        "SELECT count() FROM events WHERE timestamp >= now() - interval 7 day",
        "SELECT count() FROM (SELECT timestamp, event FROM events) WHERE timestamp >= toDateTime('2024-03-01 00:00:00')",
        "SELECT count() FROM events WHERE timestamp BETWEEN '2024-03-01' AND '2024-03-02'",
        "SELECT count() FROM events WHERE timestamp IN ('2024-03-01', '2024-03-02')",
        "SELECT e.event, person.properties.name FROM events e WHERE e.timestamp > '2024-03-01'",
        "SELECT count() FROM events e JOIN persons p ON p.id = e.person_id WHERE e.timestamp > '2024-03-01'",
    ],
)
def test_condition_on_timestamp_uses_the_primary_key(world: ModuleType, text: str) -> None:
    made = compiled(text)
    lines = world.query(f"EXPLAIN indexes = 1 {made.sql}", made.parameters, settings={"transform_null_in": 1}).rows
    plan = "\n".join(str(line[0]) for line in lines)
    assert "toDate(timestamp) in " in plan, plan


CASTS: list[tuple[str, Any]] = [
    ("CAST('5' AS int)", 5),
    ("'5'::Float", 5),
    ("5::text", "5"),
    ("'2024-03-01'::date", "2024-03-01"),
    ("'2024-03-01 13:00:00'::timestamp", "2024-03-01T12:00:00.000000Z"),
    ("CAST(1 AS boolean)", True),
    ("CAST('1.25' AS decimal(10, 2))", 1.25),
    ("CAST('[1,2]' AS Array(Int64))", [1, 2]),
    ("TRY_CAST('x' AS int)", None),
    ("TRY_CAST('5' AS int)", 5),
    ("TRY_CAST('x' AS timestamp)", None),
    ("TRY_CAST('x' AS uuid)", None),
    ("CAST(nullIf('', '') AS int)", None),
    ("nullIf('', '')::Nullable(String)", None),
]


@pytest.mark.parametrize(("expression", "value"), CASTS)
def test_cast(world: ModuleType, expression: str, value: Any) -> None:
    assert one(expression) == value


CONSTANTS: list[Any] = [
    "a",
    "it's",
    "back\\slash",
    "new\nline\ttab",
    "{p1:String}",
    "ünï©ode 🦩",
    "`",
    '"',
    "%s %(x)s",
    "",
    "'; DROP",
]


@pytest.mark.parametrize("text", CONSTANTS)
def test_text_reaches_the_engine_unchanged(world: ModuleType, text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\t", "\\t")
    assert ask(f"SELECT '{quoted}', ['{quoted}', 'b'], '{quoted}' IN ('{quoted}')") == [[text, [text, "b"], 1]]


def test_long_text_reaches_the_engine_unchanged(world: ModuleType) -> None:
    long = "ä" * 45_000
    assert ask(f"SELECT '{long}', length('{long}')") == [[long, 90_000]]
