"""Whole statements on the real engine, with the rows that they must give."""
# ruff: noqa: E501 - a statement and its outcome are one line

from types import ModuleType
from typing import Any

import pytest

from tests.events.hogql.compiler.world import ANN, BEN, ask

STATEMENTS: list[tuple[str, list[list[Any]]]] = [
    ("SELECT event, count() FROM events WHERE properties.x = 'a' GROUP BY event", [["view", 1]]),
    ("SELECT event, count() AS n FROM events GROUP BY event ORDER BY n DESC, event", [["view", 2], ["buy", 1], ["quit", 1]]),
    ("SELECT event FROM events ORDER BY timestamp DESC LIMIT 1 OFFSET 1", [["view"]]),
    ("SELECT DISTINCT event FROM events ORDER BY event", [["buy"], ["quit"], ["view"]]),
    ("SELECT count() FROM events WHERE team_id = 8", [[0]]),
    ("SELECT count() FROM events PREWHERE event = 'view' WHERE distinct_id = 'ann'", [[1]]),
    ("SELECT event, count() FROM events GROUP BY 1 ORDER BY 1 LIMIT 2", [["buy", 1], ["quit", 1]]),
    ("SELECT event, count() FROM events GROUP BY event HAVING count() > 1", [["view", 2]]),
    ("SELECT count() AS n, distinct_id FROM events GROUP BY distinct_id HAVING n > 1 ORDER BY distinct_id", [[2, "ann"], [2, "ben"]]),
    # Aliases.
    ("SELECT upper(event) AS event FROM events WHERE event = 'VIEW' LIMIT 1", [["VIEW"]]),
    ("SELECT n + 1 AS m, length(event) AS n FROM events WHERE event = 'quit'", [[5, 4]]),
    ("SELECT concat(event AS e, '!') FROM events WHERE e = 'quit'", [["quit!"]]),
    ("SELECT toDate(timestamp) AS timestamp FROM events WHERE timestamp = '2024-03-01' LIMIT 1", [["2024-03-01"]]),
    ("SELECT 1 AS one, one + 1", [[1, 2]]),
    ("SELECT max(timestamp) AS timestamp FROM events WHERE timestamp < '2024-03-01 14:30:00'", [["2024-03-01T13:00:00.000000Z"]]),
    ("SELECT any(event) AS event, count() FROM events GROUP BY event HAVING event = 'view'", [["view", 2]]),
    ("SELECT sum(length(event)) AS event, max(event) FROM events", [[15, "view"]]),
    ("SELECT count() FROM events WHERE (distinct_id, event) IN (('ann', 'view'))", [[1]]),
    ("SELECT count() FROM events WHERE (distinct_id, event) IN (('ann', 'view'), ('ben', 'quit'))", [[2]]),
    ("SELECT CASE event WHEN 'view' THEN 1 WHEN 'buy' THEN 2 END FROM events ORDER BY timestamp", [[1], [2], [1], [None]]),
    ("SELECT CASE event WHEN 'view' THEN 1 ELSE 3 END FROM events WHERE event = 'quit'", [[3]]),
    # Subqueries and CTEs.
    ("SELECT e FROM (SELECT event AS e FROM events) WHERE e = 'quit'", [["quit"]]),
    ("SELECT s.event FROM (SELECT * FROM events) AS s WHERE s.event = 'quit'", [["quit"]]),
    ("SELECT properties.x FROM (SELECT properties, event FROM events) WHERE event = 'buy'", [["b"]]),
    ("SELECT x FROM (SELECT properties.x FROM events WHERE event = 'buy')", [["b"]]),
    ("SELECT b FROM (SELECT event FROM events WHERE event = 'quit') AS s(b)", [["quit"]]),
    ("WITH events AS (SELECT 'mine' AS event) SELECT event FROM events", [["mine"]]),
    ("WITH events AS (SELECT * FROM events WHERE event = 'quit') SELECT event FROM events", [["quit"]]),
    ("SELECT (WITH events AS (SELECT 5 AS n) SELECT n FROM events), count() FROM events", [[5, 4]]),
    ("WITH a AS (SELECT 1 AS n), b AS (SELECT n + 1 AS n FROM a) SELECT a.n, b.n FROM a CROSS JOIN b", [[1, 2]]),
    ("WITH 2 AS two SELECT two * 3", [[6]]),
    ("WITH upper(event) AS big SELECT big FROM events WHERE big = 'QUIT'", [["QUIT"]]),
    ("WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 4) SELECT sum(n) FROM r", [[10]]),
    ("SELECT count() FROM events WHERE event IN (SELECT event FROM events WHERE distinct_id = 'ben')", [[3]]),
    ("WITH some AS (SELECT 'quit') SELECT count() FROM events WHERE event IN some", [[1]]),
    ("SELECT (SELECT count() FROM events) + 1", [[5]]),
    # Sets.
    ("(SELECT 1 AS n) UNION ALL (SELECT 1)", [[1], [1]]),
    ("SELECT 1 UNION DISTINCT SELECT 1", [[1]]),
    ("SELECT event FROM events EXCEPT SELECT event FROM events WHERE event != 'quit'", [["quit"]]),
    ("SELECT event FROM events INTERSECT SELECT 'buy'", [["buy"]]),
    ("SELECT n FROM (SELECT 1 AS n UNION ALL SELECT 2) ORDER BY n DESC", [[2], [1]]),
    ("((SELECT 3 AS n) UNION ALL (SELECT 3)) LIMIT 1", [[3]]),
    # GROUP BY's kinds, LIMIT BY, WITH TIES.
    ("SELECT event, count() FROM events GROUP BY ROLLUP(event) ORDER BY 2 DESC LIMIT 1", [["", 4]]),
    ("SELECT event, distinct_id, count() FROM events GROUP BY GROUPING SETS ((event), (distinct_id)) ORDER BY 3 DESC, 1, 2 LIMIT 2", [["", "ann", 2], ["", "ben", 2]]),
    ("WITH events AS (SELECT 1 AS n) SELECT n FROM events UNION ALL SELECT count() FROM events", [[1], [1]]),
    ("SELECT event, count() FROM events GROUP BY ALL ORDER BY event LIMIT 1", [["buy", 1]]),
    ("SELECT distinct_id, event FROM events ORDER BY timestamp LIMIT 1 BY distinct_id", [["ann", "view"], ["ben", "view"]]),
    ("SELECT distinct_id FROM events ORDER BY distinct_id LIMIT 1 WITH TIES", [["ann"], ["ann"]]),
    # Windows.
    ("SELECT event, row_number() OVER (PARTITION BY event ORDER BY timestamp) AS n FROM events QUALIFY n = 2", [["view", 2]]),
    ("SELECT number, sum(number) OVER (ORDER BY number ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM numbers(3)", [[0, 0], [1, 1], [2, 3]]),
    ("SELECT number, sum(number) OVER w FROM numbers(3) WINDOW w AS (ORDER BY number)", [[0, 0], [1, 1], [2, 3]]),
    # ARRAY JOIN, lambdas, arrays.
    ("SELECT n, name FROM (SELECT [1, 2] AS list, ['a', 'b'] AS names) ARRAY JOIN list AS n, names AS name", [[1, "a"], [2, "b"]]),
    ("SELECT n FROM (SELECT arrayFilter(x -> 0, [1]) AS list) LEFT ARRAY JOIN list AS n", [[0]]),
    ("SELECT event, tag FROM events ARRAY JOIN ['p', 'q'] AS tag WHERE event = 'quit' AND tag = 'q'", [["quit", "q"]]),
    ("SELECT arrayMap(event -> concat(event, '!'), ['a']) FROM events WHERE event = 'quit'", [[["a!"]]]),
    ("SELECT arrayMap((a, b) -> a + b, [1, 2], [10, 20])", [[[11, 22]]]),
    ("SELECT arrayMap(a -> arrayMap(b -> a * b, [1, 2]), [3])", [[[[3, 6]]]]),
    ("SELECT ['a', 'b', 'c'][2], ['a', 'b', 'c', 'd'][2:3], (1, 'x').2", [["b", ["b", "c"], "x"]]),
    ("SELECT list[1], t.2 FROM (SELECT [7] AS list, (1, 'x') AS t)", [[7, "x"]]),
    # Numbers.
    ("SELECT number FROM numbers(2)", [[0], [1]]),
    ("SELECT n.number FROM numbers(5, 2) AS n", [[5], [6]]),
    # Lazy joins.
    ("SELECT DISTINCT person.properties.name FROM events WHERE distinct_id = 'ann'", [["ann"]]),
    ("SELECT DISTINCT person_id, person.id FROM events WHERE distinct_id = 'ben'", [[str(BEN), str(BEN)]]),
    ("SELECT DISTINCT pdi.person_id FROM events WHERE distinct_id = 'ann'", [[str(ANN)]]),
    ("SELECT group_0.properties.size, company.properties.size FROM events WHERE event = 'view' AND distinct_id = 'ann'", [["3", "3"]]),
    ("SELECT properties.name FROM persons ORDER BY 1", [["ann"], ["ben"]]),
    # Cohorts.
    ("SELECT DISTINCT distinct_id FROM events WHERE person_id IN COHORT 5", [["ann"]]),
    ("SELECT DISTINCT distinct_id FROM events WHERE person_id NOT IN COHORT 'Fans'", [["ben"]]),
    ("WITH cohort_people AS (SELECT person_id, 5 AS cohort_id FROM events) SELECT DISTINCT distinct_id FROM events WHERE person_id IN COHORT 5", [["ann"]]),
    ("SELECT count() FROM events WHERE person_id IN COHORT 6", [[0]]),
    # Samples.
    ("SELECT count() FROM events SAMPLE 1", [[4]]),
    ("SELECT count() FROM events SAMPLE 0.000001", [[0]]),
    # Columns.
    ("SELECT e.* EXCLUDE (a) FROM (SELECT 1 AS a, 2 AS b) AS e", [[2]]),
    ("SELECT COLUMNS(* REPLACE (a + 1 AS a)) FROM (SELECT 1 AS a, 2 AS b)", [[2, 2]]),
    ("SELECT COLUMNS('^a') FROM (SELECT 1 AS a1, 2 AS b, 3 AS a2)", [[1, 3]]),
    ("SELECT countIf(event = 'view'), count(DISTINCT event), sum(1) FILTER (WHERE event = 'quit') FROM events", [[2, 3, 1]]),
    ("SELECT quantile(0.5)(number) FROM numbers(11)", [[5]]),
    ("SELECT {'a': 1}", [[{"a": 1}]]),
    ("SELECT 1 + 2 * 3 - 4 % 3, -5, 1.5, true, null", [[6, -5, 1.5, True, None]]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "rows"), STATEMENTS, ids=[text for text, _ in STATEMENTS])
def test_statement(world: ModuleType, text: str, rows: list[list[Any]]) -> None:
    assert ask(text) == rows


# Whichever SELECT is done first comes first: the ORDER BY behind the last one is that one's.
IN_ANY_ORDER: list[tuple[str, list[list[Any]]]] = [
    ("WITH a AS (SELECT 1 AS n) SELECT n FROM a UNION ALL SELECT n + 1 FROM a ORDER BY n", [[1], [2]]),
    ("(WITH events AS (SELECT 1 AS n) SELECT n FROM events) UNION ALL (SELECT count() FROM events)", [[1], [4]]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "rows"), IN_ANY_ORDER, ids=[text for text, _ in IN_ANY_ORDER])
def test_statement_whose_rows_have_no_order(world: ModuleType, text: str, rows: list[list[Any]]) -> None:
    assert sorted(ask(text)) == rows
