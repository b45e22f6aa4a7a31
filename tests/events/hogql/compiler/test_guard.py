"""Every table that ClickHouse sees in a compiled statement stands in a SELECT whose WHERE holds the team for it.

ClickHouse itself says what it read: EXPLAIN QUERY TREE of the printed SQL, with the team's parameter bound.
"""
# ruff: noqa: S608 - nobody else's text is in the statements

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, get_args

import pytest

from events.hogql.compile import compile_aggregate_expr, compile_row_expr
from events.hogql.context import PersonMode
from events.hogql.parser import parse_expr
from events.hogql.tables.registry import TABLES
from events.hogql.tables.source import star
from tests.events.hogql.compiler import test_joins, test_selects
from tests.events.hogql.compiler.world import CONTEXT, TEAM, compiled

_ID = re.compile(r"\bid: (\d+)")
# What a SELECT without FROM reads, and the rows that a recursive CTE has had so far.
_OF_THE_ENGINE = re.compile(r"table_name: system\.one$|temporary_table_name: w\d+$")
_SOURCE = re.compile(r"column_name: team_id, .*source_id: (\d+)")


@dataclass
class Line:
    """One line of the explained tree with what is indented below it."""

    text: str
    below: list["Line"] = field(default_factory=list)

    def all(self) -> Iterator["Line"]:
        yield self
        for one in self.below:
            yield from one.all()


def tree(lines: list[str]) -> Line:
    root = Line("")
    path = [(-1, root)]
    for text in lines:
        depth = len(text) - len(text.lstrip())
        while path[-1][0] >= depth:
            path.pop()
        line = Line(text.strip())
        path[-1][1].below.append(line)
        path.append((depth, line))
    return root


def section(query: Line, name: str) -> Line | None:
    return next((line for line in query.below if line.text == name), None)


def tables_of(line: Line) -> Iterator["Line"]:
    """Yield the tables of a FROM, not those of the queries in it."""
    if line.text.startswith(("QUERY", "UNION")):
        return
    if line.text.startswith("TABLE id:") and not _OF_THE_ENGINE.search(line.text):
        yield line
    for one in line.below:
        yield from tables_of(one)


def conjuncts(condition: Line) -> Iterator["Line"]:
    if "function_name: and," in condition.text:
        for one in condition.below[0].below[0].below:
            yield from conjuncts(one)
    else:
        yield condition


def guards(condition: Line) -> Iterator[str]:
    """Yield the ids of the tables whose team is the caller's in this part of a WHERE."""
    for one in conjuncts(condition):
        if "function_name: equals," not in one.text:
            continue
        left, right = one.below[0].below[0].below
        source = _SOURCE.search(left.text)
        if source and f"constant_value: Int64_{TEAM}," in right.text:
            yield source[1]


def unguarded(store: ModuleType, sql: str, parameters: dict[str, Any]) -> tuple[int, list[str]]:
    """Return how many tables a statement reads, and those that it reads without the team."""
    rows = store.query(f"EXPLAIN QUERY TREE {sql}", parameters, settings={"transform_null_in": 1}).rows
    found, loose = 0, []
    for query in tree([str(row[0]) for row in rows]).all():
        if not query.text.startswith("QUERY"):
            continue
        joined, where = section(query, "JOIN TREE"), section(query, "WHERE")
        guarded = set(guards(where.below[0])) if where else set()
        for table in tables_of(joined) if joined else ():
            found += 1
            number = _ID.search(table.text)
            if number is None or number[1] not in guarded:
                loose.append(table.text)
    return found, loose


ATTEMPTS = [
    "SELECT count() FROM events WHERE team_id = 8 OR 1",
    "SELECT count() FROM events WHERE 1 OR team_id = 8",
    "SELECT count() FROM events e FULL JOIN events f ON 1 = 1 OR e.team_id = 8",
    "SELECT count() FROM events e LEFT JOIN (SELECT * FROM events WHERE team_id = 8) f ON e.uuid = f.uuid",
    "WITH events AS (SELECT * FROM events) SELECT * FROM events UNION ALL SELECT * FROM events",
    "WITH e AS (SELECT event AS e FROM events AS e) SELECT e.e FROM e AS e",
    "SELECT arrayMap(team_id -> team_id + 1, [1]) FROM events",
    "SELECT (SELECT max(timestamp) FROM events), person.properties.a, pdi.person.properties.b FROM events",
    "SELECT * FROM persons p ANTI LEFT JOIN events e ON p.id = e.person_id",
    "SELECT session.$session_duration, group_0.properties.a, event FROM events WHERE person_id IN COHORT 5",
    "SELECT pdi.distinct_id FROM persons",
]


def statements() -> list[str]:
    everything = [f"SELECT * FROM {name}" for name in TABLES]
    fields = [
        f"SELECT {', '.join('.'.join(f'`{part}`' for part in chain) for chain in star(table, CONTEXT))} FROM {name}"
        for name, table in TABLES.items()
    ]
    known = [text for text, _ in (*test_selects.STATEMENTS, *test_joins.STATEMENTS)]
    return [*known, *everything, *fields, *ATTEMPTS]


@pytest.mark.parametrize("mode", get_args(PersonMode.__value__))
def test_every_table_is_read_for_the_team_only(world: ModuleType, mode: PersonMode) -> None:
    read = 0
    for text in statements():
        made = compiled(text, person_mode=mode)
        found, loose = unguarded(world, made.sql, made.parameters)
        assert loose == [], text
        assert found >= len(made.tables), text
        read += found
    assert read > len(ATTEMPTS) + 2 * len(TABLES)


@pytest.mark.parametrize(
    "expression", ["event IN (SELECT event FROM events WHERE team_id = 8)", "(SELECT count() FROM persons) > 0"]
)
def test_subquery_of_a_row_expression_is_guarded(world: ModuleType, expression: str) -> None:
    parameters: dict[str, Any] = {}
    sql, _ = compile_row_expr(parse_expr(expression), CONTEXT, parameters)
    around = f"SELECT {sql} FROM events AS e WHERE e.team_id = {{team_id:Int64}}"
    assert unguarded(world, around, parameters) == (2, [])


@pytest.mark.parametrize(
    "expression",
    ["sum((SELECT count() FROM events WHERE team_id = 8))", "countIf(event IN (SELECT event FROM events)) / 2"],
)
def test_subquery_of_an_aggregation_is_guarded(world: ModuleType, expression: str) -> None:
    parameters: dict[str, Any] = {}
    found = compile_aggregate_expr(parse_expr(expression), CONTEXT, parameters)
    listed = ", ".join(f"{sql} AS {name}" for name, sql in found.columns.items()) or "1"
    around = f"SELECT {found.sql} FROM (SELECT {listed} FROM events AS e WHERE e.team_id = {{team_id:Int64}})"
    assert unguarded(world, around, parameters) == (2, [])


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count() FROM events",
        "SELECT count() FROM events AS e WHERE e.team_id = {team_id:Int64} OR e.event = 'x'",
        "SELECT count() FROM events AS e WHERE e.team_id = 8",
        "SELECT count() FROM events AS e JOIN events AS f ON f.uuid = e.uuid WHERE e.team_id = {team_id:Int64}",
        "SELECT count() FROM (SELECT * FROM events) AS e WHERE e.team_id = {team_id:Int64}",
        "SELECT 1 WHERE 1 IN (SELECT team_id FROM persons)",
    ],
)
def test_this_test_notices_a_table_without_the_team(world: ModuleType, sql: str) -> None:
    assert unguarded(world, sql, {"team_id": TEAM})[1]


def test_nothing_of_the_callers_text_is_in_the_sql(world: ModuleType) -> None:
    text = """
        WITH `canary one` AS (SELECT 'canary 2' AS `canary 3` FROM events AS canary4)
        SELECT `canary 3` AS `canary` `canary`, arrayMap(canary5 -> canary5, ['canary']), properties.canary6.canary7,
            sum(1) OVER canary8 AS `can``ary9`
        FROM `canary one` AS canary10 CROSS JOIN events AS canary11 ARRAY JOIN ['canary'] AS canary12
        WHERE `canary 3` IN ('canary', 'canary2') AND canary12 = 'x' WINDOW canary8 AS (PARTITION BY canary12)
    """.replace("`canary` `canary`", "`canary z`")
    assert "can" not in compiled(text).sql.replace("scan", "")
