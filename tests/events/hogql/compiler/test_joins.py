"""Joins: every kind gives the rows that its words promise, on tables of the project and on queries."""
# ruff: noqa: E501, S608 - a statement and its outcome are one line; nobody else's text is in the statements

from types import ModuleType
from typing import Any

import pytest

from tests.events.hogql.compiler.world import ask, compiled

LEFT = "(SELECT number AS k, number * 10 AS a FROM numbers(3)) AS l"
RIGHT = "(SELECT number + 1 AS k, number * 100 AS b FROM numbers(3)) AS r"

KINDS: list[tuple[str, list[list[Any]]]] = [
    ("JOIN", [[1, 1, 10, 0], [2, 2, 20, 100]]),
    ("INNER JOIN", [[1, 1, 10, 0], [2, 2, 20, 100]]),
    ("LEFT JOIN", [[0, 0, 0, 0], [1, 1, 10, 0], [2, 2, 20, 100]]),
    ("LEFT OUTER JOIN", [[0, 0, 0, 0], [1, 1, 10, 0], [2, 2, 20, 100]]),
    ("RIGHT JOIN", [[0, 3, 0, 200], [1, 1, 10, 0], [2, 2, 20, 100]]),
    ("FULL OUTER JOIN", [[0, 0, 0, 0], [0, 3, 0, 200], [1, 1, 10, 0], [2, 2, 20, 100]]),
    ("LEFT ANY JOIN", [[0, 0, 0, 0], [1, 1, 10, 0], [2, 2, 20, 100]]),
    ("INNER ANY JOIN", [[1, 1, 10, 0], [2, 2, 20, 100]]),
    ("LEFT SEMI JOIN", [[1, 1, 10, 0], [2, 2, 20, 100]]),
    ("LEFT ANTI JOIN", [[0, 0, 0, 0]]),
    ("SEMI JOIN", [[1, 1, 10, 0], [2, 2, 20, 100]]),
    ("ANTI JOIN", [[0, 0, 0, 0]]),
    ("RIGHT SEMI JOIN", [[1, 1, 10, 0], [2, 2, 20, 100]]),
    ("RIGHT ANY JOIN", [[0, 3, 0, 200], [1, 1, 10, 0], [2, 2, 20, 100]]),
    ("ANY JOIN", [[1, 1, 10, 0], [2, 2, 20, 100]]),
    ("LEFT ALL JOIN", [[0, 0, 0, 0], [1, 1, 10, 0], [2, 2, 20, 100]]),
    ("RIGHT ANTI JOIN", [[0, 3, 0, 200]]),
]


@pytest.mark.parametrize(("kind", "rows"), KINDS)
def test_kind_of_join(world: ModuleType, kind: str, rows: list[list[Any]]) -> None:
    assert ask(f"SELECT l.k, r.k, a, b FROM {LEFT} {kind} {RIGHT} ON l.k = r.k ORDER BY 1, 2") == rows


USING: list[tuple[str, list[list[Any]]]] = [
    ("JOIN", [[1, 10, 0], [2, 20, 100]]),
    ("LEFT JOIN", [[0, 0, 0], [1, 10, 0], [2, 20, 100]]),
    ("RIGHT JOIN", [[1, 10, 0], [2, 20, 100], [3, 0, 200]]),
    ("FULL JOIN", [[0, 0, 0], [1, 10, 0], [2, 20, 100], [3, 0, 200]]),
]


@pytest.mark.parametrize(("kind", "rows"), USING)
def test_using_has_one_column_from_the_side_that_has_the_row(
    world: ModuleType, kind: str, rows: list[list[Any]]
) -> None:
    assert ask(f"SELECT k, a, b FROM {LEFT} {kind} {RIGHT} USING (k) ORDER BY k") == rows
    assert ask(f"SELECT * FROM {LEFT} {kind} {RIGHT} USING k ORDER BY 1") == rows


def test_asof_join_finds_the_nearest_row_before(world: ModuleType) -> None:
    text = """
        SELECT e.event, p.event FROM events AS e ASOF JOIN (SELECT * FROM events WHERE event = 'view') AS p
        ON e.distinct_id = p.distinct_id AND e.timestamp > p.timestamp ORDER BY e.timestamp
    """
    assert ask(text) == [["buy", "view"], ["quit", "view"]]
    nearest = """
        SELECT e.event, p.event FROM events AS e ASOF LEFT JOIN (SELECT * FROM events WHERE event = 'view') AS p
        USING (distinct_id, timestamp) ORDER BY e.timestamp
    """
    assert ask(nearest) == [["view", "view"], ["buy", "view"], ["view", "view"], ["quit", "view"]]


STATEMENTS: list[tuple[str, list[list[Any]]]] = [
    ("SELECT count() FROM events CROSS JOIN persons", [[8]]),
    ("SELECT count() FROM events, persons", [[8]]),
    ("SELECT count() FROM events e FULL JOIN persons p ON e.person_id = p.id", [[4]]),
    ("SELECT count() FROM events e RIGHT JOIN (SELECT 'view' AS event UNION ALL SELECT 'none') v ON e.event = v.event", [[3]]),
    ("SELECT e.event, q.event FROM events e LEFT JOIN events q ON e.event = q.event AND q.event = 'quit' ORDER BY e.timestamp DESC LIMIT 2", [["quit", "quit"], ["view", ""]]),
    ("SELECT p.properties.name, count() FROM events e JOIN persons p ON e.person_id = p.id GROUP BY 1 ORDER BY 1", [["ann", 2], ["ben", 2]]),
    ("SELECT count() FROM events e JOIN person_distinct_ids pdi ON pdi.distinct_id = e.distinct_id JOIN persons p ON p.id = pdi.person_id WHERE p.properties.name = 'ann'", [[2]]),
    ("SELECT count() FROM events AS a JOIN events AS b ON a.uuid = b.uuid WHERE a.event = 'view'", [[2]]),
    ("SELECT a.x FROM (SELECT 1 AS x) AS a JOIN (SELECT 1 AS x) AS b ON a.x = b.x AND a.x < b.x + 1", [[1]]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "rows"), STATEMENTS, ids=[text for text, _ in STATEMENTS])
def test_statement(world: ModuleType, text: str, rows: list[list[Any]]) -> None:
    assert ask(text) == rows


def test_condition_of_a_join_is_left_as_it_is_for_its_index(world: ModuleType) -> None:
    text = (
        "SELECT count() FROM events e LEFT JOIN persons p ON e.properties.x = p.properties.x WHERE e.properties.x = 'a'"
    )
    joined, _, where = compiled(text).sql.partition(" WHERE ifNull(")
    assert where
    assert "ifNull" not in joined
